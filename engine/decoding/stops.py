"""When text has reached a marker, and when tokens and grammars go round in circles. Knows no model and no request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.constraint.protocol import Constraint, Mask

# A generation repeats itself when its last REPEATED_TOKENS tokens are one block of at most LONGEST_PERIOD tokens over
# and over. Honest answers may do that too, an empty board of eight by eight for 200 tokens, but hardly for longer.
REPEATED_TOKENS: Final = 256
LONGEST_PERIOD: Final = 32
# How far a grammar is followed to see whether it ends a repetition: a tenth of a second, and few answers need it.
LOOK_AHEAD: Final = 4096


def repeats(tokens: Sequence[int]) -> int:
    """The length of the block that the tail of `tokens` repeats endlessly; 0 if there is none."""
    if len(tokens) < REPEATED_TOKENS:
        return 0
    tail = list(tokens[-REPEATED_TOKENS:])
    for period in range(1, LONGEST_PERIOD + 1):
        if tail[-1] == tail[-1 - period] and tail[period:] == tail[:-period]:
            return period
    return 0


def nests(block: bytes) -> bool:
    """Whether a block opens more brackets than it closes. Grammars count what is in a list, but not how deep it is."""
    return block.count(b"[") > block.count(b"]") or block.count(b"{") > block.count(b"}")


def circles(constraint: Constraint, block: Sequence[int]) -> bool:
    """Whether a constraint, which is used up here, allows `block` again and again, and never anything new beside it.

    Where it counts (`maxItems`, `minLength`) it refuses the block in the end, or allows an end that it did not before.
    """
    last = LOOK_AHEAD // len(block)
    first: list[Mask] = []
    for number in range(last + 1):
        for place, token in enumerate(block):
            if number == 0:
                first.append(constraint.mask())
            elif number == last and not np.array_equal(constraint.mask(), first[place]):
                return False
            if not constraint.allows(token):
                return False
            constraint.accept(token)
    return True


@dataclass(frozen=True, slots=True)
class Found:
    """A marker that has been written, and the bytes behind it in the piece that completed it."""

    marker: bytes
    rest: bytes


class MarkerFinder:
    """Finds the first of a few markers in a stream of byte pieces, wherever the pieces are cut.

    `at_start`: a marker counts only where nothing but white space stands before it in the stream.
    """

    def __init__(self, markers: Sequence[str], *, at_start: bool = False) -> None:
        self._markers = sorted((marker.encode() for marker in markers), key=len, reverse=True)
        self._keep = max(map(len, self._markers)) - 1
        self._at_start = at_start
        self.reset()

    def reset(self) -> None:
        """Begin a new stream."""
        self._tail = b""
        self._hopeless = False  # nothing can be found any more

    def feed(self, piece: bytes) -> Found | None:
        """Take the next piece; the marker that is complete first (the longest of several), if there is one."""
        if self._hopeless:
            return None
        data = self._tail + piece
        if self._at_start:
            data = data.lstrip()
            ends = {marker: len(marker) for marker in self._markers if data.startswith(marker)}
            self._tail = data
            self._hopeless = bool(data) and not any(marker.startswith(data) for marker in self._markers)
        else:
            starts = ((marker, data.find(marker)) for marker in self._markers)
            ends = {marker: start + len(marker) for marker, start in starts if start >= 0}
            self._tail = data[-self._keep :] if self._keep else b""
        if not ends:
            return None
        first = min(ends, key=lambda marker: ends[marker])
        return Found(first, data[ends[first] :])
