"""What a GGUF file says about itself before anything is loaded: one model, in one file or in the parts of a split.

    facts = read_gguf("Qwen3-8B-Q4_K_M.gguf")
    facts.arch, facts.quant, facts.n_params, facts.template(tools=True)

Also the file's SHA-256, which names the model in every record, and whether two files are the same model at two levels
of quantization. Knows no llama.cpp and no registry.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.cache import cache_path
from engine.errors import ModelFileError
from engine.gguf_header import Header, LongArray, Tensor, read_header

_PART = re.compile(r"(?P<stem>.+)-(?P<no>\d{5})-of-(?P<count>\d{5})\.gguf")
_TEMPLATE = "tokenizer.chat_template"
_HASH_BLOCK_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class TokenizerInfo:
    model: str | None  # "gpt2" (byte pairs), "llama" (SentencePiece), ...
    pre: str | None  # the splitting rule before merges
    n_tokens: int | None
    bos: int | None
    eos: int | None
    add_bos: bool | None  # None: the file leaves it to llama.cpp


@dataclass(frozen=True, slots=True)
class GgufFile:
    """Header facts of a model; `paths` has one entry, or one for each part of a split."""

    paths: tuple[Path, ...]
    n_bytes: int
    arch: str
    name: str | None
    quant: str  # as llama.cpp names the file type: "Q4_K_M", "F16", ...
    n_params: int
    n_ctx_train: int | None
    n_layers: int | None
    templates: Mapping[str, str]  # "default", and others by name, e.g. "tool_use"
    tokenizer: TokenizerInfo
    metadata: Mapping[str, Any]  # of the first part; long arrays as `LongArray`
    tensors: tuple[Tensor, ...]

    @property
    def path(self) -> Path:
        """What llama.cpp is given: the file, or the first part."""
        return self.paths[0]

    def template(self, *, tools: bool) -> str | None:
        """The chat template; the one named `tool_use` if there are tools and the file has one."""
        named = self.templates.get("tool_use") if tools else None
        return named or self.templates.get("default")


@dataclass(frozen=True, slots=True)
class Sameness:
    """Whether two files can be levels of one ladder. `notes` are differences that do not forbid it.

    `marks`: those of the notes by which a fine-tune is known, which has its base's shapes and vocabulary; they come
    first among the notes. A converter or a publisher may have made them as well, so they decide nothing by themselves.
    """

    conflicts: tuple[str, ...]
    notes: tuple[str, ...]
    marks: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        return not self.conflicts


def read_gguf(path: str | Path) -> GgufFile:
    """Raises `ModelFileError` for anything but a whole, readable GGUF model."""
    path = Path(path)
    return described(*_parts(path, read_header(path)))


def described(paths: tuple[Path, ...], headers: Sequence[Header]) -> GgufFile:
    """The model that these files, whole or the parts of a split, are."""
    metadata = headers[0].metadata
    arch = metadata.get("general.architecture")
    if not isinstance(arch, str):
        raise ModelFileError(f"{paths[0]} names no architecture, so it is not a model; choose another file")
    tensors = tuple(tensor for part in headers for tensor in part.tensors)
    return GgufFile(
        paths=paths,
        n_bytes=sum(part.n_bytes for part in headers),
        arch=arch,
        name=_text(metadata, "general.name"),
        quant=_quant(metadata, tensors),
        n_params=sum(tensor.n_values for tensor in tensors),
        n_ctx_train=_number(metadata, f"{arch}.context_length"),
        n_layers=_number(metadata, f"{arch}.block_count"),
        templates=_templates(metadata),
        tokenizer=_tokenizer(metadata),
        metadata=metadata,
        tensors=tensors,
    )


def sha256_of(file: GgufFile, *, cache: Path | None = None, on_progress: Callable[[int], None] | None = None) -> str:
    """The file's SHA-256; of a split, the SHA-256 of its parts' digests in order.

    Remembered by path, size and time of change in `cache` (default: toolgauge's cache folder). `on_progress` is told
    how many bytes were read since the last time.
    """
    cache = cache or default_hash_cache()
    digests = [_cached_digest(path, cache, on_progress) for path in file.paths]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def default_hash_cache() -> Path:
    return cache_path("gguf-sha256.json")


def same_model(first: GgufFile, second: GgufFile) -> Sameness:
    """Compare what quantization does not change: hyperparameters, vocabulary, tensor shapes."""
    conflicts: list[str] = []
    notes: list[str] = []
    marks: list[str] = []
    for key in sorted({*first.metadata, *second.metadata} - _PER_FILE_KEYS):
        if key.startswith(_PER_FILE_PREFIXES):
            continue
        one, other = first.metadata.get(key), second.metadata.get(key)
        if one == other:
            continue
        # A newer converter writes keys that an older one did not, which says nothing about the weights.
        is_note = one is None or other is None or key.startswith(_NOTE_PREFIXES)
        kind = marks if _is_mark(key, one, other) else notes if is_note else conflicts
        kind.append(f"{key}: {_shown(one)} / {_shown(other)}")
    shapes = [{tensor.name: tensor.shape for tensor in file.tensors} for file in (first, second)]
    for name in sorted({*shapes[0], *shapes[1]}):
        one_shape, other_shape = shapes[0].get(name), shapes[1].get(name)
        if one_shape != other_shape:
            conflicts.append(f"tensor {name}: {_shown(one_shape)} / {_shown(other_shape)}")
    return Sameness(tuple(conflicts), (*marks, *notes), tuple(marks))


def _is_mark(key: str, one: object, other: object) -> bool:
    """Whether a chat template is another one, or a name is, however it is spelled; older converters wrote fewer."""
    if key.startswith(_TEMPLATE):
        return True
    if key not in _NAME_KEYS or one is None or other is None:
        return False
    first, second = (_SPELLING.sub("", str(name)).casefold() for name in (one, other))
    return first != second


_PER_FILE_KEYS = {"general.file_type", "general.quantization_version", "general.quantized_by", "general.alignment"}
_PER_FILE_PREFIXES = ("split.", "quantize.", "general.url", "general.repo_url", "general.source")
_NAME_KEYS = {"general.name", "general.basename", "general.finetune"}
_SPELLING = re.compile(r"[\W_]+")  # what people write otherwise between the words of a name
_NOTE_PREFIXES = ("general.", _TEMPLATE, "tokenizer.ggml.padding_token_id")


def _parts(path: Path, header: Header) -> tuple[tuple[Path, ...], tuple[Header, ...]]:
    """All parts of the split that `path` belongs to, the first one first; just the file if it is whole."""
    count = _number(header.metadata, "split.count") or 1
    if count == 1:
        return (path,), (header,)
    match = _PART.fullmatch(path.name)
    if not match or int(match["count"]) != count:
        raise ModelFileError(
            f"{path} is one of {count} parts and its name must end in -NNNNN-of-{count:05}.gguf; give it back that name"
        )
    paths = tuple(path.with_name(f"{match['stem']}-{no:05}-of-{count:05}.gguf") for no in range(1, count + 1))
    missing = [part.name for part in paths if not part.is_file()]
    if missing:
        raise ModelFileError(f"of the {count} parts of {path}, {', '.join(missing)} are missing; download them too")
    headers = tuple(header if part == path else read_header(part) for part in paths)
    expected = _number(headers[0].metadata, "split.tensors.count")
    n_tensors = sum(len(part.tensors) for part in headers)
    if expected is not None and expected != n_tensors:
        raise ModelFileError(
            f"the parts of {paths[0]} hold {n_tensors} tensors instead of {expected}; they do not belong together"
        )
    return paths, headers


def _quant(metadata: Mapping[str, Any], tensors: Iterable[Tensor]) -> str:
    """llama.cpp's name of the file type, or where a file has none the type that holds most of its values."""
    from gguf.constants import GGMLQuantizationType, LlamaFileType

    file_type = _number(metadata, "general.file_type")
    if file_type is not None:
        try:
            name: str = LlamaFileType(file_type).name
            return name.removeprefix("MOSTLY_").removeprefix("ALL_")
        except ValueError:
            return f"type{file_type}"  # newer than the installed `gguf` package
    n_values: dict[int, int] = {}
    for tensor in tensors:
        n_values[tensor.type_id] = n_values.get(tensor.type_id, 0) + tensor.n_values
    if not n_values:
        return "none"
    commonest = max(n_values, key=lambda type_id: n_values[type_id])
    try:
        return str(GGMLQuantizationType(commonest).name)
    except ValueError:
        return f"type{commonest}"


def _templates(metadata: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for key, value in metadata.items():
        if isinstance(value, str) and key == _TEMPLATE:
            found["default"] = value
        elif isinstance(value, str) and key.startswith(_TEMPLATE + "."):
            found[key.removeprefix(_TEMPLATE + ".")] = value
    return found


def _tokenizer(metadata: Mapping[str, Any]) -> TokenizerInfo:
    tokens = metadata.get("tokenizer.ggml.tokens")
    add_bos = metadata.get("tokenizer.ggml.add_bos_token")
    return TokenizerInfo(
        model=_text(metadata, "tokenizer.ggml.model"),
        pre=_text(metadata, "tokenizer.ggml.pre"),
        n_tokens=tokens.n if isinstance(tokens, LongArray) else len(tokens) if isinstance(tokens, list) else None,
        bos=_number(metadata, "tokenizer.ggml.bos_token_id"),
        eos=_number(metadata, "tokenizer.ggml.eos_token_id"),
        add_bos=add_bos if isinstance(add_bos, bool) else None,
    )


def _text(metadata: Mapping[str, Any], key: str) -> str | None:
    value = metadata.get(key)
    return value if isinstance(value, str) else None


def _number(metadata: Mapping[str, Any], key: str) -> int | None:
    value = metadata.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _shown(value: Any) -> str:
    if value is None:
        return "absent"
    if isinstance(value, LongArray):
        return f"{value.n} values ({value.sha256[:8]})"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _cached_digest(path: Path, cache: Path, on_progress: Callable[[int], None] | None) -> str:
    facts = path.stat()
    key = f"{path.resolve()}|{facts.st_size}|{facts.st_mtime_ns}"
    known = _read_cache(cache)
    if key not in known:
        digest = _digest(path, on_progress)
        known = {**_read_cache(cache), key: digest}  # read again: another process may have hashed meanwhile
        _write_cache(cache, known)
    return known[key]


def _digest(path: Path, on_progress: Callable[[int], None] | None) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_HASH_BLOCK_BYTES):
            digest.update(block)
            if on_progress:
                on_progress(len(block))
    return digest.hexdigest()


def _read_cache(cache: Path) -> dict[str, str]:
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # only a cache: hashing again is always right
    return known if isinstance(known, dict) else {}


def _write_cache(cache: Path, known: Mapping[str, str]) -> None:
    scratch = cache.with_name(f"{cache.name}.{os.getpid()}")
    with suppress(OSError):  # a cache that cannot be kept costs time next time, nothing else
        cache.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(json.dumps(known), encoding="utf-8")
        scratch.replace(cache)
