"""The model of random weights that speed is measured with where no other is named, and the command that writes one.

    python -m bench.perf.random_model --vocab 151936 --out random.gguf

A Qwen3 with tied embeddings, about 90 million parameters, of which the vocabulary has most: as in small models, and
the step is short, so that the time outside llama.cpp shows. Its text is noise, and never ends of itself. The vocabulary
is Qwen2's where TOOLGAUGE_REAL_DATA names a folder that has it in this size, and made up otherwise. The same arguments
write the same file. True shapes of known models: `toolgauge profile`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from bench.perf.workload import load_workload
from engine.cache import cache_path
from engine.shapes import Dense
from engine.shapes.tokens import UNUSED, USER_DEFINED, Tokens, made_up_tokens
from engine.shapes.writer import write

N_VOCAB: Final = 151_936
REAL_DATA: Final = "TOOLGAUGE_REAL_DATA"
_QWEN2: Final = Path("vocab") / "ggml-vocab-qwen2.gguf"
_RECIPE: Final = 3  # in the names of cached files; raise it when the same arguments come to mean another file
_MARKERS: Final = {"<tool_call>": 151_657, "</tool_call>": 151_658}  # their ids in Qwen2's own files

# Makes a step of about 5 ms on two cores.
SHAPE: Final = Dense(
    arch="qwen3",
    hidden_size=512,
    num_hidden_layers=6,
    num_attention_heads=8,
    num_key_value_heads=2,
    head_dim=64,
    intermediate_size=1024,
    vocab_size=N_VOCAB,
    max_position_embeddings=4096,
    rope_theta=1_000_000.0,
    tie_word_embeddings=True,
)


def write_random_model(path: Path, n_vocab: int = N_VOCAB, shape: Dense = SHAPE, seed: int = 0) -> Path:
    """Write the file, whole or not at all."""
    tokens = workload_tokens(n_vocab)
    name = f"random weights, {tokens.source} vocabulary"
    return write(path, shape.with_vocabulary(n_vocab), "F16", tokens, seed=seed, name=name)


def default_model(on_write: Callable[[], None] = lambda: None) -> Path:
    """The model that `bench.perf` measures when none is named: from the cache, written at the first time."""
    source = "qwen2" if _qwen2_file() else "synthetic"
    words = hashlib.sha256("\n".join(_words()).encode()).hexdigest()[:8] if source == "synthetic" else ""
    name = "-".join(part for part in ("random", str(N_VOCAB), source, words, f"r{_RECIPE}") if part)
    path: Path = cache_path("perf", f"{name}.gguf")
    if not path.exists():
        on_write()
        write_random_model(path)
    return path


def workload_tokens(n_tokens: int) -> Tokens:
    """A vocabulary of that size which has the words of the workload whole, as a trained one would."""
    path = _qwen2_file()
    return _real_tokens(path) if path and n_tokens == N_VOCAB else made_up_tokens(n_tokens, _words())


def _qwen2_file() -> Path | None:
    folder = os.environ.get(REAL_DATA)
    path = Path(folder) / _QWEN2 if folder else None
    return path if path and path.exists() else None


def _real_tokens(path: Path) -> Tokens:
    """Qwen2's tokens; what that file calls padding becomes the markers that Qwen's models have, or is not used."""
    from gguf import GGUFReader

    fields = GGUFReader(path).fields
    texts, types, merges = (fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "token_type", "merges"))
    types = [UNUSED if text.startswith("[PAD") else kind for text, kind in zip(texts, types, strict=True)]
    for text, token in _MARKERS.items():
        texts[token], types[token] = text, USER_DEFINED
    return Tokens("qwen2", texts, types, merges, texts.index("<|im_end|>"), texts.index("<|endoftext|>"))


def _words() -> list[str]:
    """The words of the workload, the frequent ones first."""
    found = re.findall(r"[A-Za-z]{2,}", load_workload().text)
    counts: dict[str, int] = {}
    for word in found:
        counts[word] = counts.get(word, 0) + 1
    return sorted(counts, key=lambda word: (-counts[word], len(word), word))


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
