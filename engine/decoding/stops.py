"""When text has reached a marker, and when tokens go round in circles. Knows no model and no request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
