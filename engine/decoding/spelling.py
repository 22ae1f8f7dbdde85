"""Text to tokens in the middle of an answer, byte for byte.

Some tokenizers put a space before every text and behind every special token, which is right for a prompt and wrong
where the tokens continue what a model has written; and what a model has written may end within a character. Knows no
model.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property

from engine.constraint.tokens import TokenKinds
from engine.vocabulary import Vocabulary

Spell = Callable[[bytes], list[int]]


class Spelling:
    """Special tokens wherever their text stands, and between them canonical tokens, or else the longest that fit."""

    def __init__(self, vocabulary: Vocabulary, tokenize: Callable[[str], list[int]]) -> None:
        self._kinds, self._tokenize = TokenKinds(vocabulary), tokenize

    def tokens(self, data: bytes) -> list[int]:
        """Tokens that write exactly `data`; what the tokenizer makes of it where no tokens do."""
        tokens = self._tokenize(data.decode("utf-8", errors="replace"))
        if self._writes(tokens, data):
            return tokens
        parts = [self._part(part) for part in self._special.split(data) if part]
        return tokens if None in parts else [token for part in parts for token in part or ()]

    def _part(self, part: bytes) -> list[int] | None:
        tokens = self._tokenize(part.decode("utf-8", errors="replace"))
        return tokens if self._writes(tokens, part) else self._kinds.spelled(part)

    def _writes(self, tokens: list[int], data: bytes) -> bool:
        return b"".join(self._kinds.vocabulary.pieces[token] for token in tokens) == data

    @cached_property
    def _special(self) -> re.Pattern[bytes]:
        pieces = {self._kinds.vocabulary.pieces[token] for token in self._kinds.structural} - {b""}
        return re.compile(b"(" + b"|".join(map(re.escape, sorted(pieces, key=len, reverse=True))) + b")")
