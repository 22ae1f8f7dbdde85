"""The tokens of a model as bytes, with the special and end-of-generation ones marked. Knows no logits and no model.

Built by `engine.llama` from a loaded model or a vocabulary-only GGUF; everything that computes masks or turns tokens
to text reads this.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

TokenKind = Literal["control", "user-defined"]  # of a special token; llama.cpp's CONTROL and USER_DEFINED


@dataclass(frozen=True)
class Vocabulary:
    """`pieces[id]` is the token's bytes as rendered with special tokens visible."""

    pieces: tuple[bytes, ...]
    control: frozenset[int]  # CONTROL and UNKNOWN tokens: structural, never part of free text
    user_defined: frozenset[int]  # USER_DEFINED tokens: matched in text before ordinary tokenization
    eog: frozenset[int]  # tokens that end a generation
    bos: int | None
    eos: int | None
    add_bos: bool
    suppressed: frozenset[int] = frozenset()  # tokens that the model's maker forbids in output

    @property
    def n_tokens(self) -> int:
        return len(self.pieces)

    def text(self, tokens: Iterable[int]) -> str:
        """The text of a token sequence; an incomplete UTF-8 tail becomes U+FFFD."""
        return b"".join(self.pieces[token] for token in tokens).decode("utf-8", errors="replace")

    def token_of(self, text: str) -> int | None:
        """The id of the special (control or user-defined) token that is exactly this text, if there is one."""
        return self._special_ids.get(text)

    def kind_of(self, text: str) -> TokenKind | None:
        """How this text is one special token, if it is one."""
        token = self.token_of(text)
        if token is None:
            return None
        return "control" if token in self.control else "user-defined"

    @cached_property
    def _special_ids(self) -> dict[str, int]:
        special = sorted(self.control | self.user_defined, reverse=True)
        return {self.pieces[token].decode("utf-8", errors="replace"): token for token in special}
