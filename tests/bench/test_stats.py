from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from bench.stats import (
    Interval,
    Pairs,
    Spread,
    cases_to_settle,
    count_pairs,
    grouped_bootstrap,
    holm,
    is_not_inferior,
    mcnemar,
    mcnemar_of_several,
    paired_interval,
    spread,
    wilson,
)

COUNTS = st.tuples(st.integers(1, 400), st.floats(0, 1), st.floats(0, 1)).map(
    lambda t: Pairs(t[0], up := int(t[0] * t[1]), int((t[0] - up) * t[2]))
)


@given(st.integers(1, 2000), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_is_the_library_s(n: int, share: float, confidence: float) -> None:
    k = round(n * share)
    theirs = stats.binomtest(k, n).proportion_ci(confidence, method="wilson")
    ours = wilson(k, n, confidence)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_at_its_ends() -> None:
    assert wilson(0, 0) == Interval(0, 1)
    assert wilson(0, 8).low == 0 and wilson(8, 8).high == 1
    assert wilson(7.5, 7.5).high == 1
    with pytest.raises(ValueError, match="9 of 8"):
        wilson(9, 8)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_library_s_binomial_test(up: int, down: int) -> None:
    theirs = stats.binomtest(up, up + down).pvalue if up + down else 1.0
    assert mcnemar(Pairs(1000, up, down)) == pytest.approx(theirs, rel=1e-9)


def test_mcnemar_of_very_many_cases() -> None:
    assert mcnemar(Pairs(10_000, 2000, 2100)) == pytest.approx(stats.binomtest(2000, 4100).pvalue, rel=1e-9)
    assert mcnemar(Pairs(10_000, 0, 5000)) == 0.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm(p_values: list[float]) -> None:
    """By definition: the smallest p times m, the next times m - 1, and so on, never decreasing, at most 1."""
    adjusted = holm(p_values)
    rest, highest = sorted(p_values), 0.0
    for p in sorted(adjusted):
        highest = max(highest, min(1.0, len(rest) * rest.pop(0)))
        assert p == pytest.approx(highest)
    assert all(a >= p for a, p in zip(adjusted, p_values, strict=True))
    assert np.argsort(p_values, kind="stable").tolist() == np.argsort(adjusted, kind="stable").tolist() or len(
        set(adjusted)
    ) < len(adjusted)


def test_holm_keeps_the_order_given() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([]) == []


def test_a_pair_that_cannot_show_anything_is_no_test() -> None:
    """Five changed cases give 0.0625 at best, six 0.03125."""
    clear, six, five, unchanged = Pairs(175, 3, 24), Pairs(175, 0, 6), Pairs(175, 0, 5), Pairs(175, 0, 0)
    few = mcnemar_of_several([unchanged, six, clear, five, unchanged])
    assert few == pytest.approx([1.0, 0.03125, 2 * mcnemar(clear), 0.0625, 1.0])
    assert mcnemar_of_several([five, five], confidence=0.9) == pytest.approx([0.125, 0.125])
    assert mcnemar_of_several([]) == []


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=6))
def test_no_p_value_is_smaller_for_there_being_several(changes: list[tuple[int, int]]) -> None:
    every = [Pairs(40, up, down) for up, down in changes]
    alone = [mcnemar(pairs) for pairs in every]
    together = mcnemar_of_several(every)
    assert all(p <= q for p, q in zip(alone, together, strict=True))
    assert all(p <= q * (1 + 1e-9) for p, q in zip(together, holm(alone), strict=True))


def score_by_maximum_likelihood(pairs: Pairs, difference: float) -> float:
    """The score statistic from first principles: the other parameter by numerical maximum likelihood."""
    up, down, n = pairs.rescued, pairs.broken, pairs.n
    low, high = max(0.0, -difference), (1 - difference) / 2

    def minus_log_likelihood(q: float) -> float:
        cells = ((up, q + difference), (down, q), (n - up - down, 1 - 2 * q - difference))
        return -sum(count * math.log(max(p, 1e-300)) for count, p in cells if count)

    q = optimize.minimize_scalar(minus_log_likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    return float((up - down - n * difference) / math.sqrt(n * (2 * q + difference * (1 - difference))))


@pytest.mark.parametrize(
    "pairs", [Pairs(100, 5, 10), Pairs(40, 0, 3), Pairs(40, 3, 0), Pairs(40, 0, 0), Pairs(500, 90, 40), Pairs(8, 4, 4)]
)
def test_the_ends_of_the_interval_are_where_the_score_test_rejects(pairs: Pairs) -> None:
    interval = paired_interval(pairs)
    z = stats.norm.ppf(0.975)
    assert score_by_maximum_likelihood(pairs, interval.low) == pytest.approx(z, abs=2e-3)
    assert score_by_maximum_likelihood(pairs, interval.high) == pytest.approx(-z, abs=2e-3)


@given(COUNTS)
def test_the_paired_interval_is_sane(pairs: Pairs) -> None:
    interval = paired_interval(pairs)
    assert -1 <= interval.low <= pairs.difference + 1e-9
    assert pairs.difference - 1e-9 <= interval.high <= 1
    mirrored = paired_interval(Pairs(pairs.n, pairs.broken, pairs.rescued))
    assert (mirrored.low, mirrored.high) == pytest.approx((-interval.high, -interval.low), abs=1e-6)
    wider = paired_interval(pairs, 0.99)
    assert wider.low <= interval.low + 1e-9 and wider.high >= interval.high - 1e-9


def test_no_change_in_forty_cases_leaves_nine_points_open() -> None:
    z2 = stats.norm.ppf(0.975) ** 2
    assert paired_interval(Pairs(40, 0, 0)).high == pytest.approx(z2 / (40 + z2))
    assert paired_interval(Pairs(0, 0, 0)) == Interval(-1, 1)


def test_forty_cases_rule_a_loss_out_only_beside_a_gain() -> None:
    fewer = [Pairs(40, up, down) for up in range(20) for down in range(20) if up - down < 2]
    assert not any(is_not_inferior(pairs, 0.05) for pairs in fewer)
    assert [is_not_inferior(Pairs(40, gained, 0), 0.05) for gained in range(4)] == [False, False, True, True]


def test_the_paired_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    drawn = np.random.default_rng(1).multinomial(120, [0.06, 0.1, 0.84], size=600)
    intervals = [paired_interval(Pairs(120, int(up), int(down))) for up, down, _ in drawn]
    covered = sum(i.low <= -0.04 <= i.high for i in intervals) / len(intervals)
    assert 0.92 < covered < 0.98


@given(COUNTS, st.sampled_from([0.02, 0.05, 0.1]))
def test_non_inferiority_is_the_score_test_at_the_margin(pairs: Pairs, margin: float) -> None:
    score, z = score_by_maximum_likelihood(pairs, -margin), stats.norm.ppf(0.975)
    if abs(score - z) > 1e-2:  # not a hair's breadth from the limit, where the numerical maximum is too coarse
        assert is_not_inferior(pairs, margin) == (score > z)


@settings(max_examples=50)
@given(COUNTS, st.sampled_from([0.02, 0.05, 0.1]))
def test_so_many_cases_do_settle_it(pairs: Pairs, margin: float) -> None:
    """At the rates seen, the number given decides one way or the other."""
    n = cases_to_settle(pairs, margin)
    assert n is not None and n >= 1
    scale = n / pairs.n
    scaled = Pairs(n, round(pairs.rescued * scale), round(pairs.broken * scale))
    rounding = 1 / n
    assert is_not_inferior(scaled, margin + rounding) or mcnemar(scaled) < 0.05 or n < 30


def share_settled(pairs: Pairs, n: int, n_tests: int) -> float:
    """How often `n` cases that change at the rates of `pairs` give a verdict, of 2,000 draws."""
    rates = [pairs.rescued, pairs.broken, pairs.n - pairs.n_changed]
    drawn = np.random.default_rng(3).multinomial(n, np.asarray(rates) / pairs.n, size=2000)
    times = Counter(Pairs(n, int(up), int(down)) for up, down, _ in drawn)

    def is_settled(found: Pairs) -> bool:
        return (found.difference < 0 and n_tests * mcnemar(found) < 0.05) or is_not_inferior(found, 0.05)

    return sum(count for found, count in times.items() if is_settled(found)) / 2000


@pytest.mark.parametrize("n_tests", [1, 3, 8])
@pytest.mark.parametrize(
    "pairs", [Pairs(175, 0, 6), Pairs(175, 3, 24), Pairs(40, 1, 5), Pairs(40, 0, 4), Pairs(40, 2, 2)]
)
def test_so_many_cases_settle_it_about_as_often_as_promised(pairs: Pairs, n_tests: int) -> None:
    n = cases_to_settle(pairs, 0.05, n_tests=n_tests)
    assert n is not None
    assert share_settled(pairs, n, n_tests) > 0.75


@pytest.mark.parametrize(("pairs", "n"), [(Pairs(40, 0, 8), 40), (Pairs(40, 0, 1), 314), (Pairs(0, 0, 0), None)])
def test_numbers_of_cases(pairs: Pairs, n: int | None) -> None:
    assert cases_to_settle(pairs, 0.05) == n


@pytest.mark.parametrize(("margin", "settled"), [(0.05, 73), (0.02, 189), (0.1, 35)])
def test_without_a_change_the_number_is_exact(margin: float, settled: int) -> None:
    assert [cases_to_settle(Pairs(n, 0, 0), margin) for n in (5, 8, 40)] == [settled] * 3
    assert [is_not_inferior(Pairs(n, 0, 0), margin) for n in (settled - 1, settled)] == [False, True]


@pytest.mark.parametrize("n", range(20, 201, 20))
def test_a_loss_of_exactly_the_margin_is_settled_by_showing_it(n: int) -> None:
    """Such as 1 gained and 3 lost of 40: as fractions their difference is -0.049999999999999996."""
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    for rescued in range(0, (n - n // 20) // 2 + 1, 1 + n // 40):
        broken = rescued + n // 20
        expected = math.ceil(z * z * (rescued + broken) * n / (rescued - broken) ** 2)
        assert cases_to_settle(Pairs(n, rescued, broken), 0.05) == expected


def test_a_margin_has_to_leave_room() -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        cases_to_settle(Pairs(40, 0, 0), 0)


def test_a_mean_over_groups_varies_as_the_groups_do() -> None:
    rng = np.random.default_rng(8)
    counts = rng.integers(5, 60, size=40).tolist()
    sums = [float(count * level) for count, level in zip(counts, rng.normal(1, 0.3, size=40), strict=True)]
    ours = grouped_bootstrap(sums, counts, seed=1)
    assert ours is not None
    assert ours.low < sum(sums) / sum(counts) < ours.high
    theirs = stats.bootstrap(
        (sums, counts),
        lambda s, c, axis: s.sum(axis) / c.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=5000,
        method="percentile",
        rng=4,
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)
    assert grouped_bootstrap([3.0, 6.0], [1, 2]) == Interval(3.0, 3.0)


def test_a_mean_over_one_group_has_no_interval() -> None:
    """Resampled, it would be a point, as if the mean were known exactly."""
    assert grouped_bootstrap([3.0], [4]) is None
    assert grouped_bootstrap([], []) is None


def test_pairs_are_counted_by_what_became_of_them() -> None:
    assert count_pairs([True, True, False, False], [True, False, True, True]) == Pairs(4, rescued=2, broken=1)
    assert Pairs(4, 2, 1).difference == 0.25
    assert Pairs(0, 0, 0).difference == 0
    with pytest.raises(ValueError):
        count_pairs([True], [])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_spread_is_the_library_s(values: list[float]) -> None:
    found = spread(values)
    assert found is not None
    assert (found.median, found.mad) == pytest.approx((np.median(values), stats.median_abs_deviation(values)))


def test_spread_of_nothing_and_of_one() -> None:
    assert spread([]) is None
    assert spread([2.5]) == Spread(2.5, 0.0, 1)
