"""Writes a GGUF with random weights and a vocabulary of real size: what speed needs of a model, without a download.

    python -m bench.perf.random_model --vocab 151936 --out random.gguf

A Qwen3 with tied embeddings, about 90 million parameters, of which the vocabulary has most: as in small models, and
the step is short, so that the time outside llama.cpp shows. Its text is noise, and never ends of itself: the
end-of-generation tokens have zero embeddings, so their logits are zero, which is never the largest. The vocabulary is
Qwen2's where TOOLGAUGE_REAL_DATA names a folder that has it in this size, and made up otherwise. The same arguments
write the same file.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from bench.perf.vocabulary import synthesise
from bench.perf.workload import load_workload

N_VOCAB: Final = 151_936
REAL_DATA: Final = "TOOLGAUGE_REAL_DATA"
_QWEN2: Final = Path("vocab") / "ggml-vocab-qwen2.gguf"
_RECIPE: Final = 2  # in the names of cached files; raise it when the same arguments come to mean another file
_CONTEXT: Final = 4096
_ROWS: Final = 8192  # of a matrix that are made at a time

_CONTROL: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_MARKERS: Final = {"<tool_call>": 151_657, "</tool_call>": 151_658}  # their ids in Qwen2's own files
_NORMAL, _CONTROL_TYPE, _USER_DEFINED, _UNUSED = 1, 3, 4, 5  # gguf.TokenType


@dataclass(frozen=True, slots=True)
class Shape:
    """The default makes a step of about 5 ms on two cores."""

    width: int = 512
    n_layers: int = 6
    n_heads: int = 8
    n_kv_heads: int = 2
    feed_forward: int = 1024

    @property
    def head(self) -> int:
        return self.width // self.n_heads


@dataclass(frozen=True, slots=True)
class Tokens:
    """A vocabulary as a GGUF holds it."""

    source: Literal["qwen2", "synthetic"]
    texts: Sequence[str]
    types: Sequence[int]
    merges: Sequence[str]
    eos: int
    padding: int


def write_random_model(path: Path, n_vocab: int = N_VOCAB, shape: Shape | None = None, seed: int = 0) -> Path:
    """Write the file, whole or not at all."""
    shape = shape or Shape()
    tokens = _tokens(n_vocab)
    with _replacing(path) as partial:
        _write(partial, tokens, shape, seed)
    return path


def default_model(on_write: Callable[[], None] = lambda: None) -> Path:
    """The model that `bench.perf` measures when none is named: from the cache, written at the first time."""
    from platformdirs import user_cache_path

    source = "qwen2" if _qwen2_file() else "synthetic"
    words = hashlib.sha256("\n".join(_words()).encode()).hexdigest()[:8] if source == "synthetic" else ""
    name = "-".join(part for part in ("random", str(N_VOCAB), source, words, f"r{_RECIPE}") if part)
    path: Path = user_cache_path("toolgauge") / "perf" / f"{name}.gguf"
    if not path.exists():
        on_write()
        write_random_model(path)
    return path


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


# Tokens


def _qwen2_file() -> Path | None:
    folder = os.environ.get(REAL_DATA)
    path = Path(folder) / _QWEN2 if folder else None
    return path if path and path.exists() else None


def _tokens(n_vocab: int) -> Tokens:
    path = _qwen2_file()
    return _real_tokens(path) if path and n_vocab == N_VOCAB else _made_up_tokens(n_vocab)


def _real_tokens(path: Path) -> Tokens:
    """Qwen2's tokens; what that file calls padding becomes the markers that Qwen's models have, or is not used."""
    from gguf import GGUFReader

    fields = GGUFReader(path).fields
    texts, types, merges = (fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "token_type", "merges"))
    types = [_UNUSED if text.startswith("[PAD") else kind for text, kind in zip(texts, types, strict=True)]
    for text, token in _MARKERS.items():
        texts[token], types[token] = text, _USER_DEFINED
    return Tokens("qwen2", texts, types, merges, texts.index("<|im_end|>"), texts.index("<|endoftext|>"))


def _made_up_tokens(n_vocab: int) -> Tokens:
    special = (*_CONTROL, *_MARKERS)
    made = synthesise(n_vocab - len(special), words=_words())
    types = [_NORMAL] * len(made.tokens) + [_CONTROL_TYPE] * len(_CONTROL) + [_USER_DEFINED] * len(_MARKERS)
    texts = [*made.tokens, *special]
    return Tokens("synthetic", texts, types, made.merges, texts.index("<|im_end|>"), texts.index("<|endoftext|>"))


def _words() -> list[str]:
    """The words of the workload, the frequent ones first: a trained vocabulary has such words whole."""
    found = re.findall(r"[A-Za-z]{2,}", load_workload().text)
    counts: dict[str, int] = {}
    for word in found:
        counts[word] = counts.get(word, 0) + 1
    return sorted(counts, key=lambda word: (-counts[word], len(word), word))


# The file


def _write(path: Path, tokens: Tokens, shape: Shape, seed: int) -> None:
    """Tensor by tensor, each of them by rows: the whole is never in memory."""
    from gguf import GGUFWriter

    tensors = dict(_tensors(len(tokens.texts), shape))
    mute = [token for token, kind in enumerate(tokens.types) if kind in (_CONTROL_TYPE, _UNUSED)]
    with closing(GGUFWriter(path, "qwen3")) as writer:
        _add_header(writer, tokens, shape)
        for name, (rows, columns) in tensors.items():
            kind = np.dtype(np.float16 if rows else np.float32)
            dimensions = (rows, columns) if rows else (columns,)
            writer.add_tensor_info(name, dimensions, kind, int(np.prod(dimensions)) * kind.itemsize)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for name, (rows, columns) in tensors.items():
            silent = mute if name.startswith("token_embd") else []
            writer.write_tensor_data(_values(name, rows, columns, seed, silent))


def _add_header(writer: Any, tokens: Tokens, shape: Shape) -> None:
    writer.add_name(f"random weights, {tokens.source} vocabulary")
    writer.add_context_length(_CONTEXT)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.n_layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.n_heads)
    writer.add_head_count_kv(shape.n_kv_heads)
    writer.add_key_length(shape.head)
    writer.add_value_length(shape.head)
    writer.add_rope_freq_base(1_000_000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_file_type(1)  # mostly F16
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(list(tokens.texts))
    writer.add_token_types(list(tokens.types))
    writer.add_token_merges(list(tokens.merges))
    writer.add_eos_token_id(tokens.eos)
    writer.add_pad_token_id(tokens.padding)
    writer.add_add_bos_token(False)


def _tensors(n_vocab: int, shape: Shape) -> Iterator[tuple[str, tuple[int, int]]]:
    """Names and (rows, columns); no rows: a norm. No output matrix: it is the embedding again."""
    width, kv_width = shape.width, shape.n_kv_heads * shape.head
    yield "token_embd.weight", (n_vocab, width)
    yield "output_norm.weight", (0, width)
    for layer in range(shape.n_layers):
        block = f"blk.{layer}"
        for name, size in (("attn", width), ("ffn", width), ("attn_q", shape.head), ("attn_k", shape.head)):
            yield f"{block}.{name}_norm.weight", (0, size)
        yield f"{block}.attn_q.weight", (width, width)
        yield f"{block}.attn_k.weight", (kv_width, width)
        yield f"{block}.attn_v.weight", (kv_width, width)
        yield f"{block}.attn_output.weight", (width, width)
        yield f"{block}.ffn_gate.weight", (shape.feed_forward, width)
        yield f"{block}.ffn_up.weight", (shape.feed_forward, width)
        yield f"{block}.ffn_down.weight", (width, shape.feed_forward)


def _values(name: str, rows: int, columns: int, seed: int, silent: Sequence[int]) -> NDArray[Any]:
    """Numbers that depend on the name and the seed alone; `silent` rows are zero."""
    if not rows:
        return np.ones(columns, dtype=np.float32)
    random = np.random.default_rng((seed, zlib.crc32(name.encode())))
    values = np.empty((rows, columns), dtype=np.float16)
    # Small embeddings: the layers drown them, so that a token does not predict itself for ever.
    scale = 0.02 if name.startswith("token_embd") else columns**-0.5
    for start in range(0, rows, _ROWS):
        part = values[start : start + _ROWS]
        part[...] = random.standard_normal(part.shape, dtype=np.float32) * np.float32(scale)
    values[list(silent)] = 0
    return values


def main(arguments: Sequence[str] | None = None) -> None:
    """Write one file, as the command line says."""
    parser = argparse.ArgumentParser("python -m bench.perf.random_model", description="Write a random GGUF.")
    parser.add_argument("--vocab", type=int, default=N_VOCAB, metavar="N", help="size of the vocabulary (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the weights (%(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the GGUF to write")
    options = parser.parse_args(arguments)
    write_random_model(options.out, options.vocab, seed=options.seed)


if __name__ == "__main__":
    main()
