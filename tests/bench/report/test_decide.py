from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.report.decide import Level, Verdict, decide
from bench.stats import cases_to_settle


def level(name: str, size: int, n: int, right: int, *, swapped: int = 0) -> Level:
    """`right` of `n` cases right, and `swapped` of the right ones lost for as many others."""
    ids = [f"case-{i}" for i in range(n)]
    correct = {case: i < right for i, case in enumerate(ids)}
    for i in range(swapped):
        correct[ids[i]], correct[ids[right + i]] = False, True
    return Level(name, size, correct)


@pytest.mark.parametrize(
    ("n", "right", "swapped", "verdict"),
    [
        (400, 360, 0, Verdict.NOT_WORSE),  # the same
        (400, 358, 0, Verdict.NOT_WORSE),  # half a point less
        (400, 300, 0, Verdict.WORSE),
        (40, 36, 0, Verdict.CANNOT_TELL),  # the same, and too few cases
        (40, 35, 0, Verdict.CANNOT_TELL),
        (40, 26, 0, Verdict.WORSE),
        (200, 180, 20, Verdict.CANNOT_TELL),  # as many right, but others
        (4000, 3920, 0, Verdict.NOT_WORSE),  # better
    ],
)
def test_verdicts(n: int, right: int, swapped: int, verdict: Verdict) -> None:
    reference = level("F16", 100, n, round(n * 0.9))
    result = decide([reference, level("Q4", 30, n, right, swapped=swapped)])
    (comparison,) = result.comparisons
    assert comparison.verdict is verdict
    assert result.smallest == ("Q4" if verdict is Verdict.NOT_WORSE else "F16")
    assert comparison.interval.low <= comparison.difference <= comparison.interval.high
    assert (comparison.n_to_settle is not None) is (verdict is Verdict.CANNOT_TELL)
    assert comparison.n_to_settle is None or comparison.n_to_settle > n


def test_a_small_but_certain_loss_within_the_margin_is_not_worse() -> None:
    reference = level("F16", 100, 4000, 3600)
    (at_two,) = decide([reference, level("Q4", 30, 4000, 3560)], margin=0.02).comparisons
    assert at_two.p_value < 0.001
    assert at_two.verdict is Verdict.NOT_WORSE
    (at_half,) = decide([reference, level("Q4", 30, 4000, 3560)], margin=0.005).comparisons
    assert at_half.verdict is Verdict.WORSE


def test_cases_without_a_verdict_are_counted_and_rule_a_level_out() -> None:
    reference = Level("F16", 10, {case: case < 320 for case in range(400)})
    result = decide([reference, Level("Q2_K", 5, dict.fromkeys(range(120), True), n_without_verdict=280)])
    (found,) = result.comparisons
    assert (found.verdict, found.pairs.n, found.n_without_verdict) == (Verdict.NOT_WORSE, 120, 280)
    assert result.smallest == "F16"


def test_the_smallest_by_size_and_not_by_place() -> None:
    ladder = [
        level("F16", 100, 400, 360),
        level("Q8", 50, 400, 360),
        level("Q4", 30, 400, 200),
        level("Q6", 40, 400, 359),
    ]
    assert decide(ladder).smallest == "Q6"


def test_several_levels_are_judged_more_strictly() -> None:
    reference, loser = level("F16", 100, 200, 180), level("Q4", 30, 200, 173)
    (alone,) = decide([reference, loser], margin=0.01).comparisons
    others = [level(f"Q{i}", 50, 200, 180, swapped=3) for i in range(5)]
    crowd = decide([reference, *others, loser], margin=0.01).comparisons
    assert alone.p_value == pytest.approx(2 * 0.5**7)
    assert crowd[-1].p_value == pytest.approx(min(1, 6 * alone.p_value))
    assert (alone.verdict, crowd[-1].verdict) == (Verdict.WORSE, Verdict.CANNOT_TELL)


@pytest.mark.parametrize("n_unchanged", [1, 4])
def test_a_level_that_answers_all_alike_hides_no_other_s_loss(n_unchanged: int) -> None:
    """With Q8_0 beside it, which cannot be worse, a level that had lost six of 175 cases could not be told."""
    reference = level("F16", 100, 175, 160)
    losers = [level("Q4_K_M", 30, 175, 154), level("Q2_K", 20, 175, 139, swapped=3)]
    unchanged = [level(f"Q8_{i}", 50, 175, 160) for i in range(n_unchanged)]
    without = decide([reference, *losers]).comparisons
    beside = decide([reference, *unchanged, *losers]).comparisons
    assert beside[n_unchanged:] == without
    assert (without[0].p_value, without[0].verdict) == (pytest.approx(2 * 0.5**6), Verdict.WORSE)


def test_more_cases_are_asked_for_than_there_were() -> None:
    """With twenty levels a loss has to be clearer than with one; these two hundred did not do."""
    crowd = [level(f"Q{i}", 50, 200, 180, swapped=3) for i in range(19)]
    result = decide([level("F16", 100, 200, 180), *crowd, level("Q4", 30, 200, 171)], margin=0.01)
    last = result.comparisons[-1]
    assert last.p_value == pytest.approx(20 * 2 * 0.5**9)
    assert last.verdict is Verdict.CANNOT_TELL
    assert last.n_to_settle == cases_to_settle(last.pairs, 0.01, n_tests=20) == 332


@settings(max_examples=50)
@given(st.integers(30, 200), st.lists(st.tuples(st.integers(0, 10), st.integers(0, 14)), min_size=1, max_size=8))
def test_cases_that_did_not_settle_it_are_never_enough(n: int, changes: list[tuple[int, int]]) -> None:
    reference = level("F16", 100, n, n - 10)
    others = [level("Q", 50, n, n - 10 + up - down, swapped=min(up, down)) for up, down in changes]
    for found in decide([reference, *others]).comparisons:
        assert found.n_to_settle is None or found.n_to_settle > n


def test_a_loss_of_exactly_the_margin_cannot_be_told_from_forty_cases() -> None:
    """Three lost and one gained of forty, in the default suite."""
    reference = Level("F16", 2, {case: case != 39 for case in range(40)})
    (comparison,) = decide([reference, Level("Q4", 1, {case: case > 2 for case in range(40)})]).comparisons
    assert (comparison.pairs.rescued, comparison.pairs.broken) == (1, 3)
    assert (comparison.verdict, comparison.n_to_settle) == (Verdict.CANNOT_TELL, 314)


def test_only_cases_that_both_have_are_compared() -> None:
    reference = Level("F16", 2, {"a": True, "b": True, "c": True})
    (comparison,) = decide([reference, Level("Q4", 1, {"b": False, "c": True, "d": False})]).comparisons
    assert (comparison.pairs.n, comparison.pairs.broken) == (2, 1)
    (nothing,) = decide([reference, Level("Q4", 1, {})]).comparisons
    assert (nothing.verdict, nothing.n_to_settle, nothing.difference) == (Verdict.CANNOT_TELL, None, 0.0)


def test_a_ladder_of_one() -> None:
    result = decide([level("F16", 100, 40, 36)])
    assert (result.smallest, result.comparisons) == ("F16", ())


@given(st.lists(st.booleans(), max_size=60))
def test_the_same_answers_twice_are_never_a_difference(verdicts: list[bool]) -> None:
    correct = dict(enumerate(verdicts))
    (comparison,) = decide([Level("A", 1, correct), Level("A again", 1, correct)]).comparisons
    assert comparison.verdict is not Verdict.WORSE
    assert (comparison.difference, comparison.p_value) == (0.0, 1.0)


@pytest.mark.parametrize("margin", [0, -0.1, 1, 5])
def test_a_margin_is_a_rate(margin: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        decide([level("F16", 1, 4, 2)], margin=margin)


def test_no_levels() -> None:
    with pytest.raises(ValueError, match="at least one"):
        decide([])
