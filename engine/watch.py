"""Watches one output grow, and knows when the first function name and the first complete call were there.

The latency pass hangs on these moments, so they must agree with the parser: at any point `call_complete` is exactly
what the format's parser would find in the text so far, but for a call in reasoning that is not closed: it may still
turn out to be a draft, and has no moment. Rather than a second, incremental parser that could disagree, the format's
own reading runs again, but only when a character arrives that could change its verdict.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.formats.reasoning import THINK, Frame, split_reasoning

Reading = Callable[[str, int], bool]  # (text, where the answer starts) -> verdict
Finding = Callable[[str, int], int | None]  # the same -> where the first complete call begins, if there is one


class BufferWatcher:
    """Implements `engine.formats.protocol.StreamWatcher` for a format that can say how its text is read."""

    def __init__(
        self,
        *,
        name_written: Reading,
        find_call: Finding,
        closing: str,
        reasoning_opened: bool,
        naming: str = '"',
        frame: Frame = THINK,
    ) -> None:
        """`closing`, `naming`: the characters without one of which no call becomes complete, no name known."""
        self._name_written, self._find_call = name_written, find_call
        self._closing, self._naming = frozenset(closing), frozenset(naming)
        self._reasoning_opened, self._frame = reasoning_opened, frame
        self._text = ""
        self._start: int | None = None  # None: still reasoning, or too early to tell
        self._name_known = False
        self._call_start: int | None = None

    def feed(self, text: str) -> None:
        """Take the next piece of output, of any size."""
        if not text:
            return
        self._text += text
        fresh = text
        if self._start is None:
            split = split_reasoning(self._text, opened=self._reasoning_opened, frame=self._frame)
            if not split.decided:
                return
            self._start, fresh = split.start, self._text[split.start :]
        if self.call_complete or not self._closing.isdisjoint(fresh):
            self._call_start = self._find_call(self._text, self._start)
        if not self._name_known and (self.call_complete or not self._naming.isdisjoint(fresh)):
            self._name_known = self.call_complete or self._name_written(self._text, self._start)

    @property
    def name_known(self) -> bool:
        """The function name of the first attempted call is complete; stays so if the attempt then breaks."""
        return self._name_known

    @property
    def call_complete(self) -> bool:
        return self._call_start is not None

    @property
    def call_start(self) -> int | None:
        return self._call_start
