"""A constraint that knows how long it was asked things. Wraps any other; decides nothing itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.constraint.protocol import Compiled, Constraint, Mask
from engine.sampler import CandidateChecker

T = TypeVar("T")


class TimedConstraint:
    """Adds up the seconds spent in the constraint it wraps, on whichever thread."""

    def __init__(self, inner: Constraint, seconds: float) -> None:
        self._inner = inner
        self.seconds = seconds

    def _timed(self, call: Callable[[], T]) -> T:
        started = time.perf_counter()
        try:
            return call()
        finally:
            self.seconds += time.perf_counter() - started

    def allows(self, token: int) -> bool:
        return self._timed(lambda: self._inner.allows(token))

    def mask(self) -> Mask:
        return self._timed(self._inner.mask)

    def accept(self, token: int) -> None:
        self._timed(lambda: self._inner.accept(token))

    def forced(self) -> list[int]:
        return self._timed(self._inner.forced)

    def copy(self) -> TimedConstraint:
        """Its seconds begin with those of this one."""
        return TimedConstraint(self._timed(self._inner.copy), self.seconds)

    @property
    def complete(self) -> bool:
        return self._timed(lambda: self._inner.complete)

    @property
    def finished(self) -> bool:
        return self._timed(lambda: self._inner.finished)


class _TimedChecker(TimedConstraint):
    """The same for a constraint that checks candidates, so that the sampler still sees that it does."""

    def __init__(self, inner: CandidateChecker, seconds: float) -> None:
        super().__init__(inner, seconds)  # type: ignore[arg-type]  # it is both
        self._checker = inner

    def check(self, candidates: NDArray[np.int32]) -> NDArray[np.bool_]:
        return self._timed(lambda: self._checker.check(candidates))


def start_timed(compiled: Compiled) -> TimedConstraint:
    """A new sequence under the grammar; the time it takes to start counts."""
    started = time.perf_counter()
    inner = compiled.start()
    seconds = time.perf_counter() - started
    return _TimedChecker(inner, seconds) if isinstance(inner, CandidateChecker) else TimedConstraint(inner, seconds)
