"""A share with its interval: the one way in which answers are counted.

Answers of several trials to one case resemble each other, and so do those to a case with its fault and without it. They
make a rate finer and its interval no narrower: that is as wide as if each case had been answered once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench import stats
from bench.suites.case import TWIN_SUFFIX


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


def case_of(case_id: str) -> str:
    """What counts as one case: a case without its fault is the same one once more."""
    return case_id.removesuffix(TWIN_SUFFIX)


def share(hits: int, n: int, answers: Sequence[str]) -> Rate | None:
    """`hits` of `n` things in these answers, which are named by their cases; None where there is nothing to count."""
    if not n:
        return None
    n_each = len(answers) / len(set(map(case_of, answers)))
    interval = stats.wilson(hits / n_each, n / n_each)
    return Rate(hits, n, interval.low, interval.high)


def rate(hits: Iterable[tuple[str, bool | None]]) -> Rate | None:
    """How many answers are true, each with its case; None among them is left out, and given where nothing is left."""
    found = [(case_id, hit) for case_id, hit in hits if hit is not None]
    return share(sum(hit for _, hit in found), len(found), [case_id for case_id, _ in found])


def mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return sum(found) / len(found) if found else None
