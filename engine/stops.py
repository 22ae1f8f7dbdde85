"""When text has reached a marker, and when tokens go round in circles. Knows no model and no request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

# A generation repeats itself when its last REPEATED_TOKENS tokens are one block of at most LONGEST_PERIOD tokens over
# and over. Tables and lists in honest answers repeat structure, but not for that long without a single difference.
REPEATED_TOKENS: Final = 128
LONGEST_PERIOD: Final = 32


def repeats(tokens: Sequence[int]) -> bool:
    """Whether the tail of `tokens` is endless repetition."""
    if len(tokens) < REPEATED_TOKENS:
        return False
    tail = list(tokens[-REPEATED_TOKENS:])
    return any(tail[period:] == tail[:-period] for period in range(1, LONGEST_PERIOD + 1))


class MarkerFinder:
    """Finds a marker in a stream of byte pieces, wherever the pieces are cut."""

    def __init__(self, marker: str) -> None:
        self._marker = marker.encode()
        self._tail = b""

    def overflow(self, piece: bytes) -> int | None:
        """The number of bytes of `piece` behind the marker, if the marker ends within it. Does not advance."""
        data = self._tail + piece
        start = data.find(self._marker)
        return None if start < 0 else len(data) - start - len(self._marker)

    def feed(self, piece: bytes) -> None:
        keep = len(self._marker) - 1
        self._tail = (self._tail + piece)[-keep:] if keep else b""
