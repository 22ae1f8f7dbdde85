"""The statistics behind every figure: intervals for rates, paired tests for differences, spread for times.

Plain functions over counts and numbers, exact where that is cheap. A difference is always new minus old, so negative is
worse. Knows no run, no model and no case.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, median

CONFIDENCE = 0.95
POWER = 0.8


@dataclass(frozen=True, slots=True)
class Interval:
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Pairs:
    """The same cases judged twice, old and new, counted by what became of them."""

    n: int
    rescued: int  # wrong before, right now
    broken: int  # right before, wrong now

    @property
    def n_changed(self) -> int:
        return self.rescued + self.broken

    @property
    def difference(self) -> float:
        return (self.rescued - self.broken) / self.n if self.n else 0.0


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, and the median absolute deviation from it (not scaled)."""

    median: float
    mad: float
    n: int


@dataclass(frozen=True, slots=True)
class Middle:
    """A median of `n` values, and the interval that covers the true one with `confidence`."""

    median: float
    low: float
    high: float
    n: int
    confidence: float


def count_pairs(old: Sequence[bool], new: Sequence[bool]) -> Pairs:
    """Of two verdicts for each case, in the same order."""
    both = list(zip(old, new, strict=True))
    return Pairs(len(both), sum(b and not a for a, b in both), sum(a and not b for a, b in both))


def wilson(k: float, n: float, confidence: float = CONFIDENCE) -> Interval:
    """The interval of a rate of k in n, not necessarily whole; from 0 to 1 where there is nothing to count."""
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n} is not a rate")
    if n == 0:
        return Interval(0.0, 1.0)
    z = _z(confidence)
    centre = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(k * (n - k) / n + z * z / 4)
    return Interval(0.0 if k == 0 else centre - half, 1.0 if k == n else centre + half)


def mcnemar(pairs: Pairs) -> float:
    """Exact two-sided p-value of 'neither is better', that is: a case that changed went either way equally likely."""
    n = pairs.n_changed
    tail: int = sum(math.comb(n, i) for i in range(min(pairs.rescued, pairs.broken) + 1))
    ways: int = 2**n
    return min(1.0, 2 * tail / ways)  # whole numbers until the division, so no n is too large


def paired_interval(pairs: Pairs, confidence: float = CONFIDENCE) -> Interval:
    """Tango's score interval of the difference of two paired rates.

    Unlike a bootstrap it does not shrink to a point where no case changed: after forty such cases nine points are open.
    """
    if pairs.n == 0:
        return Interval(-1.0, 1.0)
    return _score_interval(pairs.rescued, pairs.broken, pairs.n, _z(confidence))


def grouped_bootstrap(
    sums: Sequence[float],
    counts: Sequence[int],
    *,
    seed: int = 0,
    n_resamples: int = 10_000,
    confidence: float = CONFIDENCE,
) -> Interval | None:
    """Percentile interval of a mean over values that come in groups, given each group's sum and (positive) count.

    Whole groups are resampled, since values of one group resemble each other; None where there are not two that could
    differ.
    """
    import numpy as np

    if len(sums) < 2:
        return None
    totals = np.asarray([sums, counts], dtype=float).T
    rng, n = np.random.default_rng(seed), len(totals)
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=n_resamples) @ totals
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for there being several, in the order given."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def mcnemar_of_several(every: Sequence[Pairs], confidence: float = CONFIDENCE) -> list[float]:
    """The p-value of each, adjusted for there being several, in the order given.

    Where so few cases changed that no p-value below 1 - `confidence` could come out, whichever way they went, there is
    no chance of a false alarm: such a pair keeps its own p-value and makes the others' no larger (Tarone 1990).
    """
    p_values = [mcnemar(pairs) for pairs in every]
    tested = [i for i, pairs in enumerate(every) if _smallest_p(pairs) < 1 - confidence]
    for i, adjusted in zip(tested, holm([p_values[i] for i in tested]), strict=True):
        p_values[i] = adjusted
    return p_values


def _smallest_p(pairs: Pairs) -> float:
    """What the test says if all cases that changed went the same way."""
    return mcnemar(Pairs(pairs.n, 0, pairs.n_changed))


def is_not_inferior(pairs: Pairs, margin: float, confidence: float = CONFIDENCE) -> bool:
    """Whether the new is shown to be worse by less than `margin` (a rate, 0.05 for five points)."""
    return pairs.n > 0 and paired_interval(pairs, confidence).low > -margin


def cases_to_settle(
    pairs: Pairs, margin: float, *, n_tests: int = 1, confidence: float = CONFIDENCE, power: float = POWER
) -> int | None:
    """About how many cases would tell 'worse' from 'not worse by more than the margin'.

    Supposes that as many cases change, and in the same proportion, as in those seen. Where none did that leaves nothing
    to chance, so no power is asked for: so many cases settle it if none of them changes. None if no case was seen.
    `n_tests`: over how many a p-value is adjusted, so how many times smaller it has to be to show a loss.
    """
    if margin <= 0:
        raise ValueError("a margin has to be greater than 0")
    if pairs.n == 0:
        return None
    z_power = NormalDist().inv_cdf(power) if pairs.n_changed else 0.0
    z = _z(confidence) + z_power
    up, down = pairs.rescued / pairs.n, pairs.broken / pairs.n
    shows_loss = math.inf
    if up < down:  # enough cases show that there is a loss; one of the margin or more is never shown to be smaller
        z_loss = _z(1 - (1 - confidence) / n_tests) + z_power
        shows_loss = math.ceil(z_loss * z_loss * (up + down) / (up - down) ** 2)
    return _smallest(lambda n: n >= shows_loss or _score_interval(up * n, down * n, n, z).low > -margin)


def spread(values: Sequence[float]) -> Spread | None:
    """None where there are no values: no time is not a time of 0."""
    if not values:
        return None
    centre = median(values)
    return Spread(centre, median(abs(value - centre) for value in values), len(values))


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
    while _covered(n, outside + 1) >= CONFIDENCE:
        outside += 1
    return Middle(median(ordered), ordered[outside], ordered[n - 1 - outside], n, _covered(n, outside))


def _covered(n: int, outside: int) -> float:
    """How surely the median of the distribution lies between the values that are left."""
    if 2 * outside >= n:
        return 0.0
    n_ways: int = 2**n
    return 1 - 2 * sum(math.comb(n, below) for below in range(outside + 1)) / n_ways


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _score_interval(up: float, down: float, n: float, z: float) -> Interval:
    """All differences that a score test at `z` does not reject; `up` and `down` are counts, not necessarily whole."""
    estimate = (up - down) / n
    return Interval(
        _bisect(lambda d: _score(up, down, n, d) > z, -1.0, estimate),
        _bisect(lambda d: _score(up, down, n, d) >= -z, estimate, 1.0),
    )


def _score(up: float, down: float, n: float, difference: float) -> float:
    """Tango (1998): standardised distance between the observed and a supposed difference."""
    a = 2 * n
    b = -up - down + (2 * n - up + down) * difference
    c = -down * difference * (1 - difference)
    q = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = n * (2 * q + difference * (1 - difference))
    distance = up - down - n * difference
    if variance <= 0:
        return math.copysign(math.inf, distance) if abs(distance) > 1e-12 else 0.0
    return distance / math.sqrt(variance)


def _bisect(is_below: Callable[[float], bool], low: float, high: float) -> float:
    """The point from which `is_below` no longer holds."""
    for _ in range(60):
        between = (low + high) / 2
        low, high = (between, high) if is_below(between) else (low, between)
    return (low + high) / 2


def _smallest(is_enough: Callable[[int], bool]) -> int:
    """The smallest whole number that is enough, where every larger one is too."""
    high = 1
    while not is_enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        between = (low + high) // 2
        low, high = (low, between) if is_enough(between) else (between, high)
    return high
