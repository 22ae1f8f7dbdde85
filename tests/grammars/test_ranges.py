from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammars.ranges import Bound, decimals, integers
from grammars.syntax import to_regex_text

ENDS = st.none() | st.integers(-2000, 2000) | st.integers(-(10**20), 10**20)


@given(low=ENDS, high=ENDS, data=st.data())
def test_integers_are_exactly_those_between(low: int | None, high: int | None, data: st.DataObject) -> None:
    if low is not None and high is not None and low > high:
        low, high = high, low
    pattern = re.compile(to_regex_text(integers(low, high)))
    near = [end + step for end in (low, high) if end is not None for step in (-10, -1, 0, 1, 10)]
    for number in near + data.draw(st.lists(st.integers(-3000, 3000) | st.integers(), max_size=20)):
        inside = (low is None or number >= low) and (high is None or number <= high)
        assert bool(pattern.fullmatch(str(number))) == inside, number


def test_integers_have_one_spelling() -> None:
    pattern = re.compile(to_regex_text(integers(None, None)))
    assert [text for text in ("0", "-0", "00", "01", "-1", "+1", "1.0", "") if pattern.fullmatch(text)] == ["0", "-1"]


def test_an_empty_range_of_integers_has_none() -> None:
    assert re.fullmatch(to_regex_text(integers(2, 1)), "1") is None


DECIMALS = st.decimals(min_value=-120, max_value=120, places=3) | st.sampled_from(
    [Decimal(text) for text in ("0", "0.5", "0.25", "-1", "1.001", "10", "99.999", "100")]
)


@given(low=st.none() | DECIMALS, high=st.none() | DECIMALS, open_ends=st.booleans(), data=st.data())
def test_decimals_are_exactly_those_between(
    low: Decimal | None, high: Decimal | None, open_ends: bool, data: st.DataObject
) -> None:
    if low is not None and high is not None and low > high:
        low, high = high, low
    if low is None and high is None:
        return
    bounds = [None if end is None else Bound(end, excluded=open_ends and end == 0) for end in (low, high)]
    pattern = re.compile(to_regex_text(decimals(*bounds)))
    steps = [Decimal(step) for step in ("-0.001", "0", "0.001", "0.1")]
    near = [end + step for end in (low, high) if end is not None for step in steps]
    near += [round(end, 1) for end in (low, high) if end is not None]
    for number in near + data.draw(st.lists(DECIMALS, max_size=20)):
        text = format(abs(number) if number == 0 else number, "f")
        inside = all(
            bound is None or (number - bound.value) * sign > 0 or (number == bound.value and not bound.excluded)
            for bound, sign in zip(bounds, (1, -1), strict=True)
        )
        assert bool(pattern.fullmatch(text)) == inside, text


@pytest.mark.parametrize(
    ("text", "matches"),
    [("0.5", True), ("1e-05", False), ("0", True), ("0.", False), (".5", False), ("1.000", True), ("1.0001", False)],
)
def test_bounded_numbers_have_no_exponent(text: str, matches: bool) -> None:
    expr = decimals(Bound(Decimal(0)), Bound(Decimal(1)))
    assert bool(re.fullmatch(to_regex_text(expr), text)) == matches


def test_unbounded_numbers_are_those_of_json() -> None:
    pattern = re.compile(to_regex_text(decimals(None, None)))
    numbers = ["0", "-0", "-0.0", "1e5", "1E+5", "1.25e-7", "10"]
    assert [text for text in [*numbers, "01", "+1", "1.", "1e", "NaN"] if pattern.fullmatch(text)] == numbers
