"""Writes a GGUF of a shape with random weights: tensor by tensor to the disk, the same file for the same arguments.

    write(Path("random.gguf"), shape, "Q4_K_M", made_up_tokens(shape.vocab_size))

Its text is noise and never ends of itself: the tokens that end a text have no logit. The file appears under its name
only when it is whole, and nothing is begun that the disk cannot hold.
"""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import ToolgaugeError
from engine.gguf_header import Tensor
from engine.shapes import blocks
from engine.shapes.base import Shape, Weight
from engine.shapes.mix import ALIGNMENT, LEVELS, kinds, level, tensors
from engine.shapes.tokens import Tokens

Progress = Callable[[int, int], None]  # bytes written, bytes in all

_CHUNK_BYTES: Final = 32 << 20
_HEADER_BYTES_A_TOKEN: Final = 64  # with its merge and its type; a little more than there ever are
_SPARE_BYTES: Final = 256 << 20  # left on the disk for everybody else
# Small embeddings: the layers drown them, so that a token does not predict itself for ever.
_EMBEDDING_SPREAD: Final = 0.02


def size_bytes(shape: Shape, level_name: str) -> int:
    """About what the file will have: all of its tensors, and a guess at the vocabulary."""
    last = tensors(shape, level_name)[-1]
    return last.offset + (last.n_bytes or 0) + _HEADER_BYTES_A_TOKEN * shape.vocab_size


def write(
    path: Path,
    shape: Shape,
    level_name: str,
    tokens: Tokens,
    *,
    seed: int = 0,
    name: str = "random weights",
    progress: Progress = lambda done, total: None,
) -> Path:
    """Write the file, whole or not at all."""
    if len(tokens.texts) != shape.vocab_size:
        raise ValueError(f"the shape has {shape.vocab_size} tokens, the vocabulary {len(tokens.texts)}")
    official = level(level_name)
    _check_room(path, size_bytes(shape, official))
    with _replacing(path) as partial:
        _write_header(partial, shape, official, tokens, name)
        with partial.open("ab") as file:
            _write_tensors(file, shape, official, tokens, seed, progress)
    return path


def _check_room(path: Path, n_bytes: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free
    if free < n_bytes + _SPARE_BYTES:
        raise ToolgaugeError(
            f"the file needs {n_bytes / 1e9:.1f} GB and {path.parent} has {free / 1e9:.1f} GB free; "
            "choose another folder, or a smaller level"
        )


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _write_header(path: Path, shape: Shape, level_name: str, tokens: Tokens, name: str) -> None:
    from gguf import GGMLQuantizationType, GGUFWriter

    with closing(GGUFWriter(path, shape.arch)) as writer:
        writer.add_name(name)
        for key, value in shape.metadata().items():
            _add(writer, key, value)
        writer.add_file_type(LEVELS[level_name].file_type)
        writer.add_quantization_version(2)
        _add_tokens(writer, tokens)
        for tensor in tensors(shape, level_name):
            dimensions = tuple(reversed(tensor.shape))
            kind = GGMLQuantizationType(tensor.type_id)
            writer.add_tensor_info(tensor.name, dimensions, np.dtype(np.int8), tensor.n_bytes or 0, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()


def _add(writer: Any, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


def _add_tokens(writer: Any, tokens: Tokens) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(list(tokens.texts))
    writer.add_token_types(list(tokens.types))
    writer.add_token_merges(list(tokens.merges))
    writer.add_eos_token_id(tokens.eos)
    writer.add_pad_token_id(tokens.padding)
    writer.add_add_bos_token(False)
    if tokens.chat_template is not None:
        writer.add_chat_template(tokens.chat_template)


def _write_tensors(
    file: IO[bytes], shape: Shape, level_name: str, tokens: Tokens, seed: int, progress: Progress
) -> None:
    placed = tensors(shape, level_name)
    total = placed[-1].offset + (placed[-1].n_bytes or 0)
    chosen = kinds(shape, level_name)
    output = "token_embd.weight" if shape.tie_word_embeddings else "output.weight"
    file.write(b"\0" * (-file.tell() % ALIGNMENT))
    start = file.tell()
    for weight, tensor in zip(shape.weights(), placed, strict=True):
        file.write(b"\0" * (start + tensor.offset - file.tell()))
        silent = tokens.silent if weight.name == output else []
        for chunk in _chunks(weight, tensor, chosen[weight.name], seed, silent):
            file.write(chunk.data)
            progress(file.tell() - start, total)


def _chunks(weight: Weight, tensor: Tensor, kind: str, seed: int, silent: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
    """A tensor's bytes, some rows at a time; `silent` rows are zero."""
    columns, n_rows = weight.dims[0], weight.n_values // weight.dims[0]
    fixed = _fixed(weight)
    if fixed is not None:
        yield blocks.constant(kind, fixed)
        return
    random = np.random.default_rng((seed, zlib.crc32(weight.name.encode())))
    spread = _EMBEDDING_SPREAD if weight.fill == "embedding" else columns**-0.5
    a_time = max(1, _CHUNK_BYTES * n_rows // (tensor.n_bytes or 1))
    muted = np.asarray(silent, dtype=np.int64)
    for first in range(0, n_rows, a_time):
        count = min(a_time, n_rows - first)
        rows = blocks.random_rows(random, kind, count, columns, spread)
        rows[muted[(muted >= first) & (muted < first + count)] - first] = 0
        yield rows


def _fixed(weight: Weight) -> NDArray[np.float32] | None:
    """The values of a tensor that is not random."""
    if weight.fill == "ones":
        return np.ones(weight.n_values, dtype=np.float32)
    if weight.fill == "zeros":
        return np.zeros(weight.n_values, dtype=np.float32)
    if weight.fill == "decay":  # negative, from slow to fast, as trained ones are
        return -np.linspace(0.1, 1.0, weight.n_values, dtype=np.float32)
    return None
