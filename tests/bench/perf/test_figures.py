"""The figures of the speed harness, from made-up samples: medians with intervals, ratios within rounds, verdicts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.perf.measure import Measured, Missing, Sample, Settings
from bench.perf.methods import BINDING_FREE, BINDING_GRAMMAR, FORCED, FREE, UNFORCED, Run
from bench.perf.results import Claim, ratio, summarise
from bench.perf.texts import Comparison
from bench.perf.workload import load_workload
from bench.stats import Middle, middle


@pytest.mark.parametrize(
    ("n", "low", "high", "confidence"),
    [  # of the values 1 to n; the ranks as printed in tables of the sign test
        (1, 1, 1, 0.0),
        (2, 1, 2, 0.5),
        (5, 1, 5, 0.9375),
        (6, 1, 6, 0.96875),
        (8, 1, 8, 0.9921875),
        (9, 2, 8, 0.9609375),
        (12, 3, 10, 0.96142578125),
        (15, 4, 12, 0.96484375),
        (25, 8, 18, 0.9567),
    ],
)
def test_the_interval_of_a_median_is_the_sign_tests(n: int, low: float, high: float, confidence: float) -> None:
    found = middle([float(value) for value in range(n, 0, -1)])
    assert found is not None
    assert (found.low, found.high, found.n) == (low, high, n)
    assert found.confidence == pytest.approx(confidence, abs=1e-4)
    assert found.median == (n + 1) / 2


def test_no_values_have_no_median() -> None:
    assert middle([]) is None


@settings(max_examples=60)
@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=60))
def test_the_interval_holds_the_median_and_is_sure_enough(values: list[float]) -> None:
    found = middle(values)
    assert found is not None
    assert min(values) <= found.low <= found.median <= found.high <= max(values)
    assert found.confidence >= 0.95 or (found.low, found.high) == (min(values), max(values))


def run(rate: float, **more: object) -> Run:
    values: dict[str, object] = {"tokens": (1, 2), "n_tokens": 101, "n_timed": 100, "seconds": 100 / rate, **more}
    return Run(**values)  # type: ignore[arg-type]


def measured(*samples: Sample, missing: list[Missing] | None = None) -> Measured:
    settings = Settings(2048, 512, 1, 0, True, "plain")
    return Measured(settings, n_rounds=3, samples=list(samples), missing=missing or [])


def test_a_ratio_is_taken_within_each_round() -> None:
    # The second round ran on a machine half as fast: rates overlap, ratios do not.
    seen = measured(
        Sample(FREE, "a", 0, run(100)),
        Sample(FORCED, "a", 0, run(150)),
        Sample(FREE, "a", 1, run(50)),
        Sample(FORCED, "a", 1, run(80)),
        Sample(FORCED, "b", 0, run(900)),  # no free run to compare it with
    )
    found = ratio(seen, FORCED, FREE)
    assert found is not None
    assert (found.low, found.median, found.high, found.n) == pytest.approx((1.5, 1.55, 1.6, 2))
    assert ratio(seen, UNFORCED, FREE) is None


@pytest.mark.parametrize(
    ("low", "high", "at_least", "below", "met"),
    [
        (1.3, 1.5, 1.2, None, "yes"),
        (1.2, 1.5, 1.2, None, "yes"),
        (1.1, 1.5, 1.2, None, "cannot tell"),
        (1.0, 1.1, 1.2, None, "no"),
        (0.01, 0.04, None, 0.05, "yes"),
        (0.01, 0.06, None, 0.05, "cannot tell"),
        (0.05, 0.06, None, 0.05, "no"),
        (0.9, 1.1, None, None, None),
    ],
)
def test_a_promise_is_kept_when_its_whole_interval_is(
    low: float, high: float, at_least: float | None, below: float | None, met: str | None
) -> None:
    assert Claim("x", Middle((low + high) / 2, low, high, 12, 0.96), at_least, below).met == met
    assert Claim("x", None, at_least, below).met == (None if met is None else "cannot tell")


def test_a_methods_figures_and_counts() -> None:
    seen = measured(
        Sample(FREE, "a", 0, run(100, host_s=0.02, n_forced=0)),
        Sample(FORCED, "a", 0, run(200, n_forced=50, mask_s=0.0051, host_s=0.05)),
        missing=[
            Missing(FORCED, "b", "it cannot", 4, skipped=True),
            Missing(FORCED, "c", "too short", 1, skipped=False),
        ],
    )
    seen.compile_s[FORCED] = [0.25]
    free, forced, binding = summarise(seen, [FREE, FORCED, BINDING_GRAMMAR]).methods
    assert free.to_free is not None
    assert free.to_free.median == 1
    assert free.host_share is not None
    assert free.host_share.median == pytest.approx(0.02)
    assert free.mask_s_per_token is None
    assert forced.forced_share is not None
    assert forced.forced_share.median == pytest.approx(50 / 101)
    assert forced.mask_s_per_token is not None
    assert forced.mask_s_per_token.median == pytest.approx(0.0001)
    assert forced.compile_s == Middle(0.25, 0.25, 0.25, 1, 0.0)
    assert (forced.n_timed, forced.n_skipped, forced.n_excluded) == (1, 4, 1)
    assert (binding.tok_per_s, binding.to_free, binding.n_timed) == (None, None, 0)


def test_texts_are_counted_by_pair_and_verdict() -> None:
    seen = measured()
    seen.texts = [
        Comparison(FORCED, UNFORCED, "a", "same tokens"),
        Comparison(FORCED, UNFORCED, "b", "noise", 3, 0.1, 0.2),
        Comparison(FREE, BINDING_FREE, "a", "same tokens"),
    ]
    forced, free = summarise(seen, []).texts
    assert (forced.n, forced.counts["same tokens"], forced.counts["noise"], forced.counts["unexplained"]) == (
        2,
        1,
        1,
        0,
    )
    assert (free.first, free.second, free.n) == (FREE, BINDING_FREE, 1)


def test_repetitions_that_differ_are_counted() -> None:
    samples = [Sample(FREE, "a", repetition, run(100)) for repetition in range(3)]
    assert summarise(measured(*samples), []).n_unrepeatable == 0
    samples.append(Sample(FREE, "a", 3, run(100, tokens=(1, 3))))
    samples.append(Sample(FREE, "b", 0, run(100, tokens=(7,))))
    assert summarise(measured(*samples), []).n_unrepeatable == 1


def test_the_workload_is_pinned() -> None:
    """Whoever changes it makes a new version, because figures of different workloads cannot be compared."""
    workload = load_workload()
    assert (workload.version, workload.sha256) == (
        1,
        "2d4e3893dc5d216dceaca05bf5e5bf3d1a952f3499d2e3352c4e483384ba3f80",
    )
