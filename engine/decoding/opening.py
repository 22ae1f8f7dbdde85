"""How an answer may open its reasoning: what of it is written, and what that may still become.

    opening = Opening(reasoning)
    opening.feed(piece)   # True: reasoning is open; False: there will be none; None: both are possible

Knows no token and no constraint.
"""

from __future__ import annotations

from engine.runtime import Reasoning


class Opening:
    """The beginning of an answer beside the texts that open reasoning; white space before them says nothing."""

    def __init__(self, reasoning: Reasoning | None) -> None:
        self._texts = [text.encode() for text in (reasoning.open, *reasoning.others)] if reasoning else []
        self._head = b""

    @property
    def begun(self) -> bool:
        return bool(self._head)

    @property
    def missing(self) -> bytes:
        """What completes the first opening that begins as the answer does."""
        head = self._head.lstrip()
        return next((text[len(head) :] for text in self._texts if text.startswith(head)), b"")

    def goes_on(self, piece: bytes) -> bool:
        """Whether `piece` begins an opening, or goes on with it."""
        return bool(piece.strip() and self._meant(piece))

    def is_clear(self, piece: bytes) -> bool:
        """Whether it is known which one `piece` goes on with: what a model should write, or the only one left."""
        meant = self._meant(piece)
        return len(meant) == 1 or meant[:1] == self._texts[:1]

    def feed(self, piece: bytes) -> bool | None:
        """Whether reasoning is open with `piece`; None while that is undecided."""
        self._head += piece
        head = self._head.lstrip()
        if any(map(head.startswith, self._texts)):
            return True
        return None if any(text.startswith(head) for text in self._texts) else False

    def _meant(self, piece: bytes) -> list[bytes]:
        head = (self._head + piece).lstrip()
        return [text for text in self._texts if text.startswith(head) or head.startswith(text)]
