"""The distance of two distributions: against other libraries' arithmetic, and exactly nothing between equals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.special import log_softmax, rel_entr, softmax

from engine.drift import compare
from engine.errors import ToolgaugeError
from engine.sampler import Logits

ROW = arrays.arrays(np.float32, 12, elements=st.floats(-60, 60, width=32))
FEW = settings(max_examples=60)
# The widest vocabulary there is, with logits as language models have them: a few high ones, and a long tail.
RNG = np.random.default_rng(11)
WIDE: Logits = (RNG.standard_normal(262_144) * 3).astype(np.float32)
WIDE[:20] += np.float32(20)


def exact_kl(before: Logits, after: Logits) -> float:
    """In long double precision, from the definition."""
    first, second = (row.astype(np.longdouble) for row in (before, after))
    first, second = (row - row.max() for row in (first, second))
    first, second = (row - np.log(np.exp(row).sum()) for row in (first, second))
    return float((np.exp(first) * (first - second)).sum())


@FEW
@given(before=ROW, after=ROW, token=st.integers(0, 11))
def test_divergence_and_probabilities_are_the_library_s(before: Logits, after: Logits, token: int) -> None:
    shift = compare(before, after, token)
    doubles = before.astype(float), after.astype(float)
    theirs = float(rel_entr(softmax(doubles[0]), softmax(doubles[1])).sum())
    assert shift.kl == pytest.approx(theirs, rel=1e-9, abs=1e-12)
    assert shift.logp_before == pytest.approx(log_softmax(doubles[0])[token])
    assert shift.logp_after == pytest.approx(log_softmax(doubles[1])[token])
    assert shift.agrees == (before.argmax() == after.argmax())
    order = sorted(before.tolist(), reverse=True)
    assert order[shift.rank_before] == before[token]


@FEW
@given(row=ROW, token=st.integers(0, 11))
def test_equal_logits_have_no_distance_at_all(row: Logits, token: int) -> None:
    shift = compare(row, row.copy(), token)
    assert shift.kl == 0.0
    assert shift.logp_before == shift.logp_after
    assert shift.agrees


@pytest.mark.parametrize("noise", [0.0, 1e-4, 1e-2, 1.0])
def test_the_numeric_error_over_a_wide_vocabulary_is_far_below_any_level_s_drift(noise: float) -> None:
    after = (WIDE + RNG.standard_normal(WIDE.size) * noise).astype(np.float32)
    kl = compare(WIDE, after, 3).kl
    assert kl == pytest.approx(exact_kl(WIDE, after), abs=1e-13, rel=1e-9)


def test_adding_a_constant_to_all_logits_changes_next_to_nothing() -> None:
    assert compare(WIDE, WIDE + np.float32(8), 0).kl < 1e-12


@pytest.mark.parametrize(
    ("before", "after", "flip", "rescue", "ranks"),
    [
        ([3, 1, 0], [3, 2, 0], False, False, (0, 0)),
        ([3, 1, 0], [3, 4, 0], True, False, (0, 1)),
        ([1, 3, 2], [4, 3, 2], False, True, (2, 0)),
        ([1, 3, 2], [1, 3, 4], False, False, (2, 2)),  # another wrong one
        ([3, 3, 0], [3, 3, 0], False, False, (0, 0)),  # of two equal ones, the first
    ],
)
def test_what_becomes_of_the_right_token(
    before: list[float], after: list[float], flip: bool, rescue: bool, ranks: tuple[int, int]
) -> None:
    shift = compare(np.array(before, dtype=np.float32), np.array(after, dtype=np.float32), 0)
    assert (shift.is_flip, shift.is_rescue, (shift.rank_before, shift.rank_after)) == (flip, rescue, ranks)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_are_an_error(bad: float) -> None:
    row = np.zeros(4, dtype=np.float32)
    broken = row.copy()
    broken[2] = bad
    with pytest.raises(ToolgaugeError, match="no numbers"):
        compare(row, broken, 0)


def test_a_token_that_a_model_rules_out_counts_for_nothing() -> None:
    before = np.array([1, 2, -np.inf], dtype=np.float32)
    after = np.array([1, 3, -np.inf], dtype=np.float32)
    assert compare(before, after, 0).kl == pytest.approx(exact_kl(before[:2], after[:2]))
    assert compare(before, before.copy(), 0).kl == 0.0
