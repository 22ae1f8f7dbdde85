"""The search of an author's patterns: it finds what Python's `re` finds, and never takes as long as that can."""

from __future__ import annotations

import pickle
import random
import re
import time
from pathlib import Path

import pytest

from bench.run.judge import verdict
from bench.suites.case import bundled, load
from bench.suites.reply_pattern import reply_pattern
from engine.types import Parsed
from tests.bench.episodes import case_from, play, raw_case

# Of a case that was to tell whether a reply asks something: "some words, then a question mark".
WORDS_AND_A_MARK = r"(\w+[ ,']*)+\?"
NO_QUESTION = "I can book the table for you, just tell me when you would like to come and how many of you there are"

PARTS = [
    *("a", "B", "k", "ſ", "é", "İ", " ", r"\n", ".", "[ab]", "[^a]", "[^ab]", "[a-k]", r"[\w-]", r"[^\W_]"),
    *(
        r"\w",
        r"\W",
        r"\d",
        r"\s",
        r"\S",
        r"\b",
        r"\B",
        "^",
        "$",
        r"\A",
        r"\Z",
        "(?m:^)",
        "(?m:$)",
        "(?s:.)",
        r"(?a:\w)",
    ),
    *("(?-i:a)", "(?=a)", "(?!b)", "(?=.*b)", "(?<=a)", "(?<!b )", "(?!)", "(?:(?=a)|b)"),
]
COUNTS = ["*", "+", "?", "*?", "{2}", "{1,3}", "{2,}", "{,2}"]


def written(rng: random.Random, depth: int) -> str:
    kind = rng.random()
    if depth == 0 or kind < 0.35:
        return rng.choice(PARTS)
    if kind < 0.65:
        return "".join(written(rng, depth - 1) for _ in range(rng.randint(1, 3)))
    if kind < 0.8:
        return f"({written(rng, depth - 1)}|{written(rng, depth - 1)})"
    return f"(?:{written(rng, depth - 1)}){rng.choice(COUNTS)}"


@pytest.mark.filterwarnings("ignore")
def test_it_finds_what_python_finds() -> None:
    rng = random.Random(1)
    n_compared = 0
    while n_compared < 3000:
        pattern = written(rng, 3)
        try:
            known = re.compile(pattern, re.IGNORECASE)
        except re.error:
            continue
        ours = reply_pattern(pattern)
        for _ in range(10):
            text = "".join(rng.choices("aabbAB k\nsSſKéÉiİ1_", k=rng.randint(0, 7)))
            assert ours.search(text) == bool(known.search(text)), (pattern, text)
            n_compared += 1


def test_the_bundled_patterns_find_what_they_found() -> None:
    cases = [case for name in bundled() for case in load(name).cases]
    texts = list({miss.reply for case in cases for miss in case.near_misses if miss.reply})
    texts += sorted({case.messages[-1].content for case in cases})[:60]
    patterns = {pattern for case in cases for found in case.reply.values() for pattern in found}
    n_found = 0
    for pattern in patterns:
        known = re.compile(pattern.pattern, re.IGNORECASE)
        for text in texts:
            assert pattern.search(text) == bool(known.search(text)), (pattern, text)
            n_found += pattern.search(text)
    assert n_found > 50


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (WORDS_AND_A_MARK, NO_QUESTION),
        (r"(a|a)*b", "a" * 5000),
        (r"(a?){30}b", "a" * 5000),
        (r"(.*)*(.*)*\?", "word " * 2000),
        (r"(?=(\w+ ?)+\?)\w", "word " * 2000),
        (r"(?<!x)(\w+\s*)*(?!\w|\s).", "word " * 2000),
    ],
)
def test_a_pattern_that_python_never_finishes_takes_no_time(pattern: str, text: str) -> None:
    began_s = time.process_time()
    assert not reply_pattern(pattern).search(text)
    assert time.process_time() - began_s < 5


def test_a_reply_that_such_a_pattern_is_searched_in_is_judged(tmp_path: Path) -> None:
    case = case_from(tmp_path, raw_case(expected={"calls": [], "reply": {"asks": [WORDS_AND_A_MARK]}}))
    began_s = time.process_time()
    judged = [verdict(case, play(case, [Parsed(content=text)])) for text in (NO_QUESTION, f"{NO_QUESTION}?")]
    assert time.process_time() - began_s < 5
    assert [each.details["proxies"] for each in judged] == [{"asks": False}, {"asks": True}]


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(", "not a regular expression (missing )"),
        ("(?<=a+)b", "not a regular expression (look-behind"),
        ("a{99999999999999999999}", "not a regular expression (the repetition number is too large"),
        ("(" * 5000 + ")" * 5000, "too many groups within each other"),
        (r"(\w+) \1", "a back-reference cannot be searched for in bounded time"),
        ("(a)?(?(1)b|c)", "a condition on a group cannot"),
        ("(?>a+)b", "an atomic group cannot"),
        ("a++b", "a possessive repetition cannot"),
        ("(?:a{100}){100}", "too long a regular expression: more than 1000 parts"),
        ("((){10000}){10000}", "too long a regular expression"),
    ],
)
def test_what_has_no_such_search_is_refused(pattern: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        reply_pattern(pattern)


def test_a_pattern_travels_to_other_processes() -> None:
    pattern = reply_pattern(r"\bdone\b")
    copy = pickle.loads(pickle.dumps(pattern))
    assert copy == pattern
    assert copy.search("All DONE.")
