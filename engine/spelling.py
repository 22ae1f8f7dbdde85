"""Text to tokens in the middle of an answer, byte for byte.

Some tokenizers put a space before every text and behind every special token, which is right for a prompt and wrong
where the tokens continue what a model has written. Knows no model.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property

from engine.constraint.tokens import TokenKinds
from engine.vocabulary import Vocabulary

Tokenize = Callable[[str], list[int]]


class Spelling:
    """Special tokens wherever their text stands, canonical tokens between them; where those add a space, long ones."""

    def __init__(self, vocabulary: Vocabulary, tokenize: Tokenize) -> None:
        self._kinds, self._tokenize = TokenKinds(vocabulary), tokenize

    def tokens(self, text: str) -> list[int]:
        """Tokens that write exactly `text`; what the tokenizer makes of it where no tokens do."""
        tokens = self._tokenize(text)
        if self._writes(tokens, text):
            return tokens
        parts = [self._part(part) for part in self._special.split(text) if part]
        return tokens if None in parts else [token for part in parts for token in part or ()]

    def _part(self, part: str) -> list[int] | None:
        tokens = self._tokenize(part)
        return tokens if self._writes(tokens, part) else self._kinds.spelled(part.encode())

    def _writes(self, tokens: list[int], text: str) -> bool:
        pieces = self._kinds.vocabulary.pieces
        return b"".join(pieces[token] for token in tokens) == text.encode(errors="replace")

    @cached_property
    def _special(self) -> re.Pattern[str]:
        vocabulary = self._kinds.vocabulary
        texts = {vocabulary.text([token]) for token in self._kinds.structural}
        longest_first = sorted(filter(None, texts), key=len, reverse=True)
        return re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")
