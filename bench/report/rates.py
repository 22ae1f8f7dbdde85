"""A share with its interval: the one way in which the report counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench import stats


@dataclass(frozen=True, slots=True)
class Rate:
    """`hits` of `n`, with the ends of its 95% interval."""

    hits: int
    n: int
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.hits / self.n


def share(hits: int, n: int) -> Rate | None:
    """`hits` of `n`; None where there is nothing to count."""
    if not n:
        return None
    interval = stats.wilson(hits, n)
    return Rate(hits, n, interval.low, interval.high)


def rate(hits: Iterable[bool | None]) -> Rate | None:
    """How many are true; None among them is left out, and None is given where nothing is left."""
    found = [hit for hit in hits if hit is not None]
    return share(sum(found), len(found))


def mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return sum(found) / len(found) if found else None
