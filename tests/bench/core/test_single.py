"""The single-step cases of the core suite: each is what its author meant, and no two of them are much alike."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bench.audit.precheck import audit
from bench.authoring.check import problems
from bench.score import Outcome, score
from bench.suites.case import Case, load
from bench.suites.reference import reference_steps
from engine.llama import LoadParams, load_model
from engine.prompt import native_tools
from engine.types import Call
from tests.bench.episodes import play

LEAST = {"selection": 34, "arguments": 44, "hygiene": 30, "restraint": 34, "scale": 24}
SUITE = load("core")
CASES = [case for case in SUITE.cases if case.id.startswith("core/") and case.category in LEAST]
BY_ID = {case.id.removeprefix("core/"): case for case in CASES}
CALLING = [case for case in CASES if case.expected]
ISO = re.compile(r"\b(\w+day), (\d{4}-\d\d-\d\d)\b")

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
each_call = pytest.mark.parametrize("case", CALLING, ids=lambda case: case.id)


def test_as_many_cases_as_promised_with_ids_in_order() -> None:
    sizes = Counter(case.category for case in CASES)
    assert all(sizes[category] >= least for category, least in LEAST.items()), sizes
    for category, size in sizes.items():
        ids = [case.id for case in CASES if case.category == category]
        assert ids == [f"core/{category}-{number}" for number in range(1, size + 1)]
    assert len({case.content_hash for case in SUITE.cases}) == len(SUITE.cases)


@each_case
def test_ideal_answer_and_near_misses_are_judged_as_named(case: Case) -> None:
    assert problems(case) == []
    assert 1 <= sum(miss.outcome != "correct" for miss in case.near_misses) <= 4
    assert not case.why[0].islower() and case.why.endswith(".")


@each_case
def test_one_step_with_one_call_or_none(case: Case) -> None:
    assert not case.is_episode
    assert case.tool_choice == "auto"
    assert len(case.expected) == (0 if case.category == "restraint" else 1)


@each_call
def test_every_value_matters(case: Case) -> None:
    (call,) = reference_steps(case)[0]
    for name, value in call.arguments.items():
        rest = {key: other for key, other in call.arguments.items() if key != name}
        for wrong in (rest, {**rest, name: another(value)}):
            result = score(case, play(case, [[Call(call.name, wrong)]]))
            assert result.outcome in (Outcome.WRONG_ARGUMENTS, Outcome.SCHEMA_INVALID), (name, wrong)


def another(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, list):
        return value[:-1]
    if isinstance(value, dict):
        return dict(list(value.items())[:-1])
    return "QQQ"


def test_every_tool_compiles_and_every_ideal_answer_is_let_through(
    tiny_vocab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at_once(function: Callable[[Path], Any], what: str) -> Any:
        del what
        return function(Path())

    monkeypatch.setattr("bench.audit.precheck.apart", at_once)  # starting a process takes longer than the audit
    found = audit(replace(SUITE, cases=tuple(CASES)), tiny_vocab, format_id="hermes", backends=("llguidance",))
    assert found.findings == ()
    assert {(tally.mode, tally.n_fine) for tally in found.tallies} == {
        ("native.schema", len(CASES)),
        ("json.schema", len(CASES)),
    }


def request(case: Case) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", case.messages[-1].content.casefold()))


def test_no_request_is_like_another_one() -> None:
    words = {case.id: request(case) for case in SUITE.cases}
    for mine in CASES:
        for other in SUITE.cases:
            if other.id != mine.id:
                common, together = words[mine.id] & words[other.id], words[mine.id] | words[other.id]
                assert len(common) < 0.5 * len(together), (mine.id, other.id)


def test_every_tool_has_one_meaning() -> None:
    """Of two tools of one name the suite's files would offer the later one only."""
    files = sorted(SUITE.path.glob("tools_*.json"))
    names = Counter(tool["name"] for file in files for tool in json.loads(file.read_text(encoding="utf-8")))
    assert [name for name, n in names.items() if n > 1] == []


def test_the_tools_of_a_category_are_all_offered() -> None:
    for category in LEAST:
        written = json.loads((SUITE.path / f"tools_{category}.json").read_text(encoding="utf-8"))
        offered = {tool.name for case in CASES if case.category == category for tool in case.tools}
        assert offered == {tool["name"] for tool in written}


def test_days_of_the_week_are_those_of_the_calendar() -> None:
    told = [found for case in CASES for found in ISO.findall(case.messages[0].content)]
    assert len(told) >= 15
    for day, iso in told:
        assert date.fromisoformat(iso).strftime("%A") == day


def test_scale_offers_20_50_and_100_tools_with_the_right_one_anywhere() -> None:
    scale = [case for case in CASES if case.category == "scale"]
    assert Counter(len(case.tools) for case in scale) == {20: 8, 50: 8, 100: 8}
    for size in (20, 50, 100):
        cases = [case for case in scale if len(case.tools) == size]
        places = sorted([tool.name for tool in case.tools].index(case.expected[0].name) for case in cases)
        assert (places[0], places[-1]) == (0, size - 1)
        assert all(later - earlier <= size / 3 for earlier, later in pairwise(places))


def test_prompts_stay_small() -> None:
    """In characters; the hundred tools are 6,700 tokens of Qwen's vocabulary."""
    for case in CASES:
        tools = sum(len(json.dumps(tool, ensure_ascii=False)) for tool in native_tools(case.tools))
        messages = sum(len(message.content) for message in case.messages)
        assert messages < 1_500, case.id
        assert tools < (25_000 if case.category == "scale" else 4_500), case.id


@pytest.mark.real
def test_a_hundred_tools_are_less_than_7000_tokens(real_data: Path) -> None:
    with load_model(real_data / "vocab" / "ggml-vocab-qwen2.gguf", LoadParams(vocab_only=True)) as model:
        for case in (case for case in CASES if len(case.tools) == 100):
            shown = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in native_tools(case.tools))
            assert 5_000 < len(model.tokenize(shown)) < 7_000


REPLIES = [
    ("restraint-1", "I'm afraid I can't post lost property, please ask at the desk.", {"declines": True}),
    ("restraint-1", "Your goggles are on their way.", {"declines": False}),
    ("restraint-4", "None of my tools converts temperatures, sorry.", {"declines": True, "mentions": True}),
    ("restraint-4", "It is 177.", {"declines": False, "mentions": False}),
    ("restraint-7", "Yeast eats sugar and gives off carbon dioxide.", {"mentions": True}),
    ("restraint-9", "That makes 51.", {"mentions": True}),
    ("restraint-9", "That makes 151.", {"mentions": False}),
    ("restraint-15", "Sure! Which station would you like to start from?", {"asks": True}),
    ("restraint-15", "Have fun with the cargo bike!", {"asks": False}),
    ("restraint-18", "What is Nadia's e-mail address?", {"asks": True}),
    ("restraint-18", "Shared.", {"asks": False}),
    ("restraint-24", "I won't send a letter in the name of an authority.", {"declines": True}),
    ("restraint-24", "The letter is on its way.", {"declines": False}),
    ("restraint-28", "The kiln's maximum is 1,280 °C.", {"declines": True}),
    ("restraint-3", "The radio is on; it won't disturb the tomatoes.", {"declines": False}),
    ("restraint-29", "Bookings aren't made for dates in the past.", {"declines": True}),
    ("restraint-35", "That tool only books for animals.", {"declines": True}),
    ("restraint-36", "It only covers sea areas.", {"declines": True}),
    ("restraint-36", "There won't be any storm tonight.", {"declines": False}),
    ("restraint-38", "The collection only goes up to 1950.", {"declines": True}),
    ("restraint-31", "75 more.", {"mentions": True}),
    ("restraint-32", "11,60 euros in all", {"mentions": True}),
    ("restraint-33", "You have taken over 6c.", {"mentions": True}),
    ("restraint-33", "You have taken over 5a.", {"mentions": False}),
]


@pytest.mark.parametrize(("name", "reply", "expected"), REPLIES)
def test_replies_are_read_by_the_patterns(name: str, reply: str, expected: dict[str, bool]) -> None:
    result = score(BY_ID[name], play(BY_ID[name], [reply]))
    assert result.proxies == expected
    assert result.correct


def test_an_output_that_looks_like_a_marker_is_carried_over() -> None:
    """The texts that end a call in one format or another are part of a value in some case."""
    texts = [json.dumps(call.arguments) for case in CALLING for call in reference_steps(case)[0]]
    for marker in ("</tool_call>", "[TOOL_CALLS]", "<|im_end|>", "<function="):
        assert any(marker in text for text in texts)
