"""The vocabulary that a random-weight file carries: of any size, made up, or given. Knows no shape and no file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engine.shapes.vocabulary import synthesise

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # gguf.TokenType
_CONTROL: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_MARKERS: Final = ("<tool_call>", "</tool_call>")


@dataclass(frozen=True, slots=True)
class Tokens:
    """A byte-pair vocabulary as a GGUF holds it, split as Qwen2's is."""

    source: str
    texts: Sequence[str]
    types: Sequence[int]
    merges: Sequence[str]
    eos: int
    padding: int
    chat_template: str | None = None

    @property
    def silent(self) -> list[int]:
        """Tokens that a random model must never choose: those that end a text, and those that are none."""
        return [token for token, kind in enumerate(self.types) if kind in (CONTROL, UNUSED)]


def made_up_tokens(n_tokens: int, words: Sequence[str] = (), chat_template: str | None = None) -> Tokens:
    """A vocabulary of that size, with `words` whole and the markers of a tool call."""
    special = (*_CONTROL, *_MARKERS)
    made = synthesise(n_tokens - len(special), words=words)
    types = [NORMAL] * len(made.tokens) + [CONTROL] * len(_CONTROL) + [USER_DEFINED] * len(_MARKERS)
    texts = [*made.tokens, *special]
    end, padding = texts.index("<|im_end|>"), texts.index("<|endoftext|>")
    return Tokens("synthetic", texts, types, made.merges, end, padding, chat_template)
