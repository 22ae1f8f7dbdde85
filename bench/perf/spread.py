"""Medians and how far they can be trusted, from few and skewed values such as times. Pure; knows no method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from statistics import median

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Middle:
    """A median of `n` values, and the interval that covers the true one with `confidence`."""

    median: float
    low: float
    high: float
    n: int
    confidence: float


def middle(values: Sequence[float]) -> Middle | None:
    """None where there are no values.

    The interval lies between two of the values, chosen by counting how many fall on either side, so nothing is
    supposed about their distribution. Fewer than six values cannot reach 95%: theirs is the whole range.
    """
    if not values:
        return None
    ordered = sorted(values)
    n = len(ordered)
    outside = 0  # values left out at either end
    while _confidence(n, outside + 1) >= CONFIDENCE:
        outside += 1
    return Middle(median(ordered), ordered[outside], ordered[n - 1 - outside], n, _confidence(n, outside))


def _confidence(n: int, outside: int) -> float:
    """How surely the median of the distribution lies between the values that are left."""
    if 2 * outside >= n:
        return 0.0
    n_ways: int = 2**n
    return 1 - 2 * sum(comb(n, below) for below in range(outside + 1)) / n_ways
