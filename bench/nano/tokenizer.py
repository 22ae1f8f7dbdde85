"""The bundled model's tokenizer: byte-level BPE whose merges stay inside runs of letters, plus whole JSON pieces.

A space, a quote or a bracket is never merged with a word, so a word has the same tokens in a request, in a schema and
in a call: copying it is then the same act everywhere. Training tokenises through llama.cpp with the vocabulary written
here, so training and inference agree by construction.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MARKERS = ("<tool_call>", "</tool_call>", "<tools>", "</tools>", "<tool_response>", "</tool_response>")
# What schemas and calls repeat; each becomes one token wherever it occurs, the longest first.
PIECES = (
    '{"name": "',
    '", "description": "',
    '", "parameters": {"type": "object", "properties": {"',
    '", "parameters": {"type": "object", "properties": {}}}',
    '": {"type": "string", "description": "',
    '": {"type": "string"',
    '": {"type": "integer", "description": "',
    '": {"type": "integer"',
    '": {"type": "number", "description": "',
    '": {"type": "number"',
    '": {"type": "boolean", "description": "',
    '": {"type": "array", "items": {"type": "string"}, "description": "',
    '": {"type": "array", "items": {"type": "',
    '": {"type": "object", "properties": {"',
    '": {"description": "',
    '", "type": "',
    '", "enum": ["',
    '"}, "',
    '"}}, "required": ["',
    '"], "additionalProperties": false',
    '", "default": "',
    '"pattern": "',
    '"]}}',
    '"]}, "',
    '"], "description": "',
    '"], "',
    '", "arguments": {"',
    '", "arguments": {}',
    '": "',
    '": ["',
    '": ',
    '", "',
    '"}}',
    "}}",
    '"}',
    '"]',
    '["',
    '{"',
    ', "',
    '{"calls": [{"name": "',
    '{"calls": [], "reply": "',
    '}}, {"name": "',
    '"}}, {"name": "',
    '"}}], "reply": "',
    '}}], "reply": "',
    '{"error": {"type": "',
    '{"error": "',
    '", "message": "',
    '", "field": "',
    '{"status": "',
    "Result of ",
    "YYYY-MM-DD",
)


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """`tokens` in id order; `merges` in rank order, GPT-2 style."""

    tokens: tuple[str, ...]
    kinds: tuple[int, ...]
    merges: tuple[str, ...]


_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4
_WORD = re.compile(r"[A-Za-z]+")


def _byte_names() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes, in byte order."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(spare)) for byte in range(256)]


def train(texts: Iterable[str], size: int) -> Tokenizer:
    """Learn merges from the letters of `texts` until the vocabulary has `size` tokens."""
    names = _byte_names()
    fixed = [*CONTROL, *MARKERS, *PIECES]
    counts: Counter[str] = Counter()
    cut = re.compile(
        "|".join(re.escape(piece) for piece in sorted((*CONTROL, *MARKERS, *PIECES), key=len, reverse=True))
    )
    for text in texts:
        counts.update(_WORD.findall(cut.sub(" ", text)))
    merges = _merges(counts, size - len(names) - len(fixed))
    tokens = [*fixed, *names, *(left + right for left, right in merges)]
    kinds = (
        [_CONTROL] * len(CONTROL)
        + [_USER_DEFINED] * (len(fixed) - len(CONTROL))
        + [_NORMAL] * (len(tokens) - len(fixed))
    )
    return Tokenizer(tuple(tokens), tuple(kinds), tuple(f"{left} {right}" for left, right in merges))


def _merges(counts: Counter[str], wanted: int) -> list[tuple[str, str]]:
    words = [list(word) for word in counts]
    weights = list(counts.values())
    pairs: Counter[tuple[str, str]] = Counter()
    where: dict[tuple[str, str], set[int]] = {}
    for index, word in enumerate(words):
        for pair in pairwise(word):
            pairs[pair] += weights[index]
            where.setdefault(pair, set()).add(index)
    merges: list[tuple[str, str]] = []
    known = set()
    while len(merges) < wanted and pairs:
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        if best[0] + best[1] not in known:
            merges.append(best)
            known.add(best[0] + best[1])
        for index in where.pop(best):
            _apply(words, index, best, weights[index], pairs, where)
        del pairs[best]
    return merges


def _apply(words: list[list[str]], index: int, best: tuple[str, str], weight: int, pairs: Any, where: Any) -> None:
    """Merge `best` in one word and keep the pair counts right."""
    old = words[index]
    new: list[str] = []
    for letter in old:
        if new and (new[-1], letter) == best:
            new[-1] += letter
        else:
            new.append(letter)
    words[index] = new
    for pair in pairwise(old):
        if pair != best:
            pairs[pair] -= weight
    for pair in pairwise(new):
        pairs[pair] += weight
        where.setdefault(pair, set()).add(index)


def add_to_gguf(writer: Any, tokenizer: Tokenizer, chat_template: str) -> None:
    """Write the tokenizer's metadata with a `gguf.GGUFWriter`."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(list(tokenizer.tokens))
    writer.add_token_types(list(tokenizer.kinds))
    writer.add_token_merges(list(tokenizer.merges))
    writer.add_eos_token_id(tokenizer.tokens.index("<|im_end|>"))
    writer.add_pad_token_id(tokenizer.tokens.index("<|endoftext|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(chat_template)


def write_vocabulary(path: Path, tokenizer: Tokenizer, chat_template: str) -> None:
    """A GGUF with the vocabulary alone, for tokenising before there is a model."""
    import gguf

    writer = gguf.GGUFWriter(str(path), "qwen3")
    writer.add_block_count(0)
    add_to_gguf(writer, tokenizer, chat_template)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
