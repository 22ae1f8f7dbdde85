"""When what a user waits for was there: the first token, the function's name, the first complete call.

Told of every token as it is written, and afterwards of the decodes between them, it says what the time to the first
call went to. Knows neither llama.cpp nor constraints.
"""

from __future__ import annotations

import codecs
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence

from engine.formats.protocol import StreamWatcher
from engine.types import FirstCall

Decode = tuple[int, float]  # tokens that had been written before it, and the seconds it took


class Moments:
    """Of one answer; `first_s`, `last_s`, `name_s` and `call_s` are times of `clock`, None until they come."""

    def __init__(self, watcher: StreamWatcher | None, clock: Callable[[], float] | None = None) -> None:
        self._watcher, self._clock = watcher, clock or time.perf_counter
        self.first_s = self.last_s = self.name_s = self.call_s = None  # type: float | None
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._ends: list[int] = []  # characters there were after each token, up to the call

    def token(self, piece: bytes) -> bool:
        """A token was written; True if with it the first call is complete."""
        self.last_s = self._clock()
        if self.first_s is None:
            self.first_s = self.last_s
        watcher = self._watcher
        if watcher is None or self.call_s is not None:
            return False
        text = self._decoder.decode(piece)
        self._ends.append((self._ends[-1] if self._ends else 0) + len(text))
        watcher.feed(text)
        if self.name_s is None and watcher.name_known:
            self.name_s = self._clock()
        if watcher.call_complete:
            self.call_s = self._clock()
        return self.call_s is not None

    def first_call(
        self, submitted_s: float, prefill_s: float, decodes: Sequence[Decode], mask_wait_s: float, *, n_reasoning: int
    ) -> FirstCall | None:
        """What the time to the first call went to; `mask_wait_s` is what was waited for the constraint until then.

        A decode belongs to the part that the next token is of.
        """
        start = self._watcher.call_start if self._watcher else None
        if self.call_s is None or start is None:
            return None
        first = max(n_reasoning, bisect_right(self._ends, start))  # the token in which the call begins
        parts = [0.0, 0.0, 0.0]
        for n_before, seconds in decodes:
            if n_before < len(self._ends):
                parts[(n_before >= n_reasoning) + (n_before >= first)] += seconds
        reasoning_s, prose_s, call_s = parts
        overhead_s = self.call_s - submitted_s - prefill_s - sum(parts) - mask_wait_s
        return FirstCall(reasoning_s, prose_s, call_s, mask_wait_s, max(0.0, overhead_s))
