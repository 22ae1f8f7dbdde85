from __future__ import annotations

import itertools
import re

import pytest

from grammars.automaton import Automaton, TooLarge, automaton, expression, matches, may_be_empty
from grammars.pattern import parse_pattern
from grammars.regular import ANY, NOTHING, TEXT, Both, Expr, Text, UpTo, alt, cat, many
from grammars.syntax import to_regex_text

WORDS = ["a", "ab", "aa", "aab", "aba", "abab", "ababb", "\na\n"]
PATTERNS = ["^a*b*$", "ab", "^(a|bb)*$", "^.{2,5}$", "a.b|b$", "^(?:ab?){1,3}$", "^[^a]", "^(?:(?:a?b?){2}){2}$"]


def texts(alphabet: str, longest: int) -> list[str]:
    return ["".join(some) for n in range(longest + 1) for some in itertools.product(alphabet, repeat=n)]


def run(machine: Automaton, text: str) -> bool:
    state = 0
    for char in text:
        found = [to for on, to in machine.steps[state] if char in on]
        assert len(found) <= 1
        if not found:
            return False
        state = found[0]
    return state in machine.ends


def holds_only_at_the_end(text: str, word: str) -> bool:
    return (text + word).find(word) == len(text)


@pytest.mark.parametrize("word", WORDS)
def test_a_text_goes_on_up_to_the_first_occurrence_of_a_word(word: str) -> None:
    machine = automaton(UpTo(word), 100)
    pattern = re.compile(to_regex_text(expression(machine, 10_000)))
    for text in texts("".join(sorted(set(word))) + "z", 7):
        expected = holds_only_at_the_end(text, word)
        assert run(machine, text) == expected, text
        assert matches(UpTo(word), text) == expected, text
        assert (pattern.fullmatch(text) is not None) == expected, text
    assert len(machine.steps) <= len(word)


def test_a_text_holds_no_nul() -> None:
    assert not matches(UpTo("x"), "a\0") and matches(UpTo("x"), "a\x01\U0010ffff")


@pytest.mark.parametrize(("left", "right"), list(itertools.combinations(PATTERNS, 2)))
def test_an_intersection_is_what_both_match(left: str, right: str) -> None:
    both = Both(parse_pattern(left), parse_pattern(right))
    machine = automaton(both, 1000)
    pattern = re.compile(to_regex_text(expression(machine, 10_000)))
    parts = [re.compile(to_regex_text(parse_pattern(one))) for one in (left, right)]
    for text in texts("abz", 5):
        expected = all(part.fullmatch(text) for part in parts)
        assert run(machine, text) == expected, text
        assert matches(both, text) == expected, text
        assert (pattern.fullmatch(text) is not None) == expected, text


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("word", ["ab", "aba", "bb"])
def test_a_pattern_without_a_word(pattern: str, word: str) -> None:
    machine = automaton(Both(parse_pattern(pattern), UpTo(word)), 1000)
    whole = re.compile(to_regex_text(parse_pattern(pattern)))
    for text in texts("abz", 5):
        expected = whole.fullmatch(text) is not None and holds_only_at_the_end(text, word)
        assert run(machine, text) == expected, text


@pytest.mark.parametrize("expr", [Both(Text("ab"), Text("ac")), Both(many(Text("ab"), 1), UpTo("b")), NOTHING])
def test_what_matches_nothing_is_empty(expr: Expr) -> None:
    machine = automaton(expr, 100)
    assert machine.is_empty and machine.steps == ((),)
    assert expression(machine, 100) == NOTHING


def test_every_state_leads_to_an_end() -> None:
    machine = automaton(Both(many(ANY, 3, 6), UpTo("ab")), 1000)
    reached = set(machine.ends)
    for _ in machine.steps:
        reached |= {state for state, ways in enumerate(machine.steps) if any(to in reached for _, to in ways)}
    assert reached == set(range(len(machine.steps)))


def test_what_grows_too_large_is_refused() -> None:
    lengths = Both(many(TEXT, 0, 40), UpTo("\n</parameter>"))
    with pytest.raises(TooLarge):
        automaton(lengths, 100)
    with pytest.raises(TooLarge):
        expression(automaton(lengths, 1000), 10_000)


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        (cat(many(ANY), many(Text("a"))), True),
        (many(Text("a"), 1), False),
        (many(many(Text("a")), 3, 5), True),
        (alt(Text("a"), many(Text("bc"))), True),
        (Both(many(ANY), Text("a")), False),
        (UpTo("aba", seen=2), False),
        (UpTo("aba", seen=1), True),
    ],
)
def test_what_may_be_empty(expr: Expr, expected: bool) -> None:
    assert may_be_empty(expr) == expected
    assert matches(expr, "") == expected
