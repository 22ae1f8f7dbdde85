from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammars.regular import (
    ANY,
    EMPTY,
    NOTHING,
    Chars,
    Expr,
    Many,
    Text,
    alt,
    cat,
    chars,
    excluding,
    length_bounds,
    many,
    optional,
    other_than,
    ranges,
    separated,
)
from grammars.syntax import to_regex_text


def matches(expr: Expr, text: str) -> bool:
    return re.fullmatch(to_regex_text(expr), text) is not None


def texts(alphabet: str, longest: int) -> list[str]:
    return ["".join(some) for n in range(longest + 1) for some in itertools.product(alphabet, repeat=n)]


@pytest.mark.parametrize("words", [[], ["a"], ["a", "ab", "b"], ["", "a"], ["abc", "abz"]])
def test_other_than_is_every_other_text(words: list[str]) -> None:
    expr = other_than(words)
    for text in texts("abcz", 4):
        assert matches(expr, text) == (text not in words), text


@pytest.mark.parametrize(
    ("minimum", "maximum", "expected"),
    [
        (0, None, {0, 1, 2, 3}),
        (1, None, {1, 2, 3}),
        (0, 2, {0, 1, 2}),
        (2, 3, {2, 3}),
        (0, 0, {0}),
        (1, 0, set()),
    ],
)
def test_separated_counts_items(minimum: int, maximum: int | None, expected: set[int]) -> None:
    expr = separated(Text("ab"), Text(","), minimum, maximum)
    assert {n for n in range(4) if matches(expr, ",".join(["ab"] * n))} == expected
    assert not matches(expr, "ab,")


def test_what_is_built_is_simplified() -> None:
    assert cat(Text("a"), EMPTY, Text("b")) == Text("ab")
    assert cat(Text("a"), NOTHING) == NOTHING
    assert alt(Text("a"), Text("c"), Text("b")) == chars("abc")
    assert alt(EMPTY, Text("ab")) == optional(Text("ab"))
    assert many(NOTHING) == EMPTY and many(NOTHING, 1) == NOTHING
    assert many(Text("ab"), 1, 1) == Text("ab")


def test_no_set_holds_surrogates() -> None:
    assert ranges((0xD000, 0xE001)) == Chars(((0xD000, 0xD7FF), (0xE000, 0xE001)))
    assert ANY.ranges == ((0, 0xD7FF), (0xE000, 0x10FFFF))


@given(st.sets(st.characters(exclude_categories=["Cs"])), st.sets(st.characters(exclude_categories=["Cs"])))
def test_excluding_is_the_difference_of_sets(some: set[str], others: set[str]) -> None:
    left = excluding(chars("".join(some)), chars("".join(others)))
    assert {chr(code) for low, high in left.ranges for code in range(low, high + 1)} == some - others
    assert all(char in left for char in some - others)


@pytest.mark.parametrize(
    ("expr", "bounds"),
    [
        (Text("abc"), (3, 3)),
        (many(ANY), (0, None)),
        (cat(many(ANY, 2, 5), Text("x")), (3, 6)),
        (alt(Text("ab"), many(Text("xyz"), 1)), (2, None)),
        (Many(many(ANY, 1, 3), 2, 4), (2, 12)),
    ],
)
def test_length_bounds(expr: Expr, bounds: tuple[int, int | None]) -> None:
    assert length_bounds(expr) == bounds
