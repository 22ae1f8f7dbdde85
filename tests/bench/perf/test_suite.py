"""A whole suite by both sides on the bundled model, and the arithmetic of what comes out of it in literal tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from bench.perf.__main__ import main
from bench.perf.whole_command import bundled
from bench.perf.whole_figures import APART, Texts, summarise
from bench.perf.whole_suite import (
    OURS,
    THEIRS,
    TOGETHER,
    LeftOut,
    Measured,
    Share,
    Side,
    Step,
    Theirs,
    WholeSuite,
    envelope_schema,
    open_suite,
)
from bench.perf.whole_tables import document, facts
from bench.report.document import Table
from bench.run.messages import ItemJob
from bench.suites.case import load
from engine.formats import FORMATS
from engine.prompt import Prompt
from engine.runtime import Reasoning
from engine.types import Tool

THINKING = Reasoning("<think>", "</think>")
NOTHING = Tool("f", "", {"type": "object", "properties": {}, "required": [], "additionalProperties": False})


def step(text: str, n_tokens: int = 10, n_prompt: int = 100, n_cached: int = 0, prompt: str = "P") -> Step:
    return Step(prompt, text, n_tokens, n_prompt, n_cached, is_cut=False)


def share(side: Side, mode: str, repetition: int, seconds: float, *steps: Step) -> Share:
    items = {(each, "case"): steps for each in (("a", "b") if mode == TOGETHER else (mode,))}
    return Share(side, mode, repetition, seconds, items, {})


def made_up(n: int = 2) -> Measured:
    """Two modes; ours takes 2 + 3 seconds apart and 4 together, theirs 12 + 6; after the first time twice as long."""
    shares = []
    for repetition, factor in enumerate((1.0, *(2.0,) * (n - 1))):
        shares += [
            share(OURS, "a", repetition, 2.0 * factor, step("x", n_cached=60), step("y")),
            share(THEIRS, "a", repetition, 12.0 * factor, step("x", 30), step("z")),
            share(OURS, TOGETHER, repetition, 4.0 * factor, step("x", n_cached=60), step("y")),
            share(THEIRS, "b", repetition, 6.0 * factor, step("x", prompt="Q"), step("y")),
            share(OURS, "b", repetition, 3.0 * factor, step("x"), step("y")),
        ]
    return Measured(1, 40, shares)


def test_ratios_are_formed_within_repetitions() -> None:
    rows = {row.what: row for row in summarise(made_up()).rows}
    faster = {
        what: (row.faster.median, row.faster.low, row.faster.high, row.faster.n)
        for what, row in rows.items()
        if row.faster
    }
    assert faster == {
        "a": (6.0, 6.0, 6.0, 2),
        "b": (2.0, 2.0, 2.0, 2),
        APART: (3.6, 3.6, 3.6, 2),
        TOGETHER: (4.5, 4.5, 4.5, 2),
    }


def test_who_writes_more_is_not_the_slower_one_for_that() -> None:
    rows = {row.what: row for row in summarise(made_up()).rows}
    per_token = {what: row.faster_per_token.median for what, row in rows.items() if row.faster_per_token}
    # ours writes 20 tokens a mode, theirs 40 in the first and 20 in the second
    assert per_token == {"a": 3.0, "b": 2.0, APART: pytest.approx(2.4), TOGETHER: pytest.approx(3.0)}


def test_work_is_counted_once_however_often_it_was_repeated() -> None:
    rows = {row.what: row for row in summarise(made_up()).rows}
    ours, theirs = rows["a"].ours, rows["a"].theirs
    assert (ours.n_answers, ours.n_tokens, ours.n_prompt, ours.n_decoded) == (2, 20, 200, 140)
    assert (theirs.n_answers, theirs.n_tokens, theirs.n_prompt, theirs.n_decoded) == (2, 40, 200, 200)
    assert (rows[TOGETHER].ours.n_answers, rows[TOGETHER].theirs.n_answers) == (4, 4)


def test_same_prompts_and_same_texts_are_told_apart() -> None:
    assert summarise(made_up()).texts == (Texts("a", 1, 1, 0), Texts("b", 1, 0, 1))


@pytest.mark.parametrize(
    ("side", "mode", "text", "n"),
    [
        (OURS, "a", "x", 0),
        (OURS, "a", "other", 1),
        (THEIRS, "b", "other", 1),
        (OURS, TOGETHER, "other", 2),  # both modes' items
    ],
)
def test_what_is_written_otherwise_another_time_is_counted(side: Side, mode: str, text: str, n: int) -> None:
    measured = made_up()
    last = "z" if (side, mode) == (THEIRS, "a") else "y"
    again = share(side, mode, 1, 1.0, step(text), step(last))
    shares = [again if (s.side, s.mode, s.repetition) == (side, mode, 1) else s for s in measured.shares]
    assert summarise(Measured(1, 40, shares)).n_unrepeatable == n


@pytest.mark.parametrize(
    ("seconds", "n", "met"),
    [  # theirs takes 18, then 36 each time
        ((4.5, 9.0), 6, "yes"),
        ((4.5, 9.1), 6, "cannot tell"),
        ((4.6, 9.1), 6, "no"),
        ((1.0, 1.0), 5, "cannot tell"),  # too few to tell
    ],
)
def test_the_promise_is_about_all_modes_together(seconds: tuple[float, float], n: int, met: str) -> None:
    measured = made_up(n)
    measured.shares = [
        replace(each, seconds=seconds[each.repetition > 0]) if each.mode == TOGETHER else each
        for each in measured.shares
    ]
    assert summarise(measured).claim.met == met


def test_what_was_not_asked_is_said_under_the_table() -> None:
    measured = made_up()
    measured.left_out = [LeftOut("b", None, "no way"), LeftOut("a", "case 7", "no grammar")]
    results = summarise(measured)
    times = next(
        block for block in document(results, measured, "") if isinstance(block, Table) and block.title == "Time"
    )
    assert times.notes == (
        "Asked: 1 of the suite's 40 cases, spread over its categories.",
        "Left out on both sides: b: no way",
        "Left out on both sides: a, case 7: no grammar",
    )
    assert facts(results, measured)["left_out"][1] == {"mode": "a", "case": "case 7", "reason": "no grammar"}


@pytest.mark.parametrize(
    ("tools", "required", "several", "calls"),
    [
        ((), False, True, {"const": []}),
        ((NOTHING,), True, True, {"type": "array", "items": None, "minItems": 1}),
        ((NOTHING,), False, False, {"type": "array", "items": None, "maxItems": 1}),
    ],
)
def test_the_envelope_is_a_schema(
    tools: tuple[Tool, ...], required: bool, several: bool, calls: dict[str, object]
) -> None:
    schema = envelope_schema(tools, required=required, several=several)
    found = schema["properties"]["calls"]
    if "items" in calls:
        (call,) = found["items"]["anyOf"]
        assert call["properties"] == {"name": {"const": "f"}, "arguments": NOTHING.parameters}
        calls = {**calls, "items": found["items"]}
    assert found == calls
    assert schema["required"] == ["calls", "reply"]


@pytest.fixture(scope="module")
def whole() -> Iterator[WholeSuite]:
    with open_suite(bundled(), "nano", n_gpu_layers=0, n_threads=1, limit=2) as whole:  # its prompts are short
        yield whole


@pytest.fixture(scope="module")
def measured(whole: WholeSuite) -> Measured:
    return whole.measure(1)


def test_both_sides_do_the_same_cases_and_mostly_write_the_same(measured: Measured) -> None:
    turns = [(share.side, share.mode) for share in measured.shares]
    assert turns == [
        (OURS, "native.free"),
        (THEIRS, "native.free"),
        (THEIRS, "native.schema"),
        (OURS, "native.schema"),
        (OURS, TOGETHER),
        (OURS, "json.free"),
        (THEIRS, "json.free"),
        (THEIRS, "json.schema"),
        (OURS, "json.schema"),
    ]
    results = summarise(measured)
    assert not measured.left_out
    assert all(row.ours.n_failed == row.theirs.n_failed == 0 for row in results.rows)
    for texts in results.texts:
        assert texts.n_same_prompt == texts.n == 2, texts
    free = [texts for texts in results.texts if texts.mode.endswith("free")]
    assert [texts.n_same_text for texts in free] == [2, 2]
    together = results.rows[-1]
    assert together.ours.n_answers >= 8
    n_cached = together.theirs.n_prompt - together.theirs.n_decoded
    assert 0 < n_cached < 40, "how any prompt begins; of the same one in another mode nothing is left"


def test_an_episode_goes_on_with_the_results_of_the_simulated_tools(whole: WholeSuite) -> None:
    suite = whole.plan.cells[0].suite
    case = next(case for case in suite.cases if case.category == "recovery")
    job = ItemJob("key", case, "native.free", "none", 0)
    ours, theirs = (whole.share(side, "native.free", 0, [job]) for side in (OURS, THEIRS))
    steps = theirs.steps["native.free", case.id]
    assert len(steps) > 1
    assert [each.prompt for each in steps] == [each.prompt for each in ours.steps["native.free", case.id]]
    assert steps[0].n_cached == 0  # nothing is left of an earlier share
    assert steps[1].n_cached > steps[0].n_prompt // 2  # the binding keeps what it has just read


class Noted:
    """A model in a format of choice, and a binding that takes any grammar."""

    def __init__(self, format_id: str, reasoning: Reasoning | None = None) -> None:
        self.format, self.reasoning = FORMATS[format_id], reasoning
        self.taken: list[str] = []

    def format_of(self, style: str) -> Any:
        return self.format

    def prompt(self, *_: object) -> Prompt:
        return Prompt("", (), 0, self.reasoning)

    def text_grammar(self, gbnf: str) -> str:
        self.taken.append(gbnf)
        return gbnf


def job_of(mode: str) -> ItemJob:
    return ItemJob("key", load("quick").cases[0], mode, "llguidance", 0)


@pytest.mark.parametrize(
    ("noted", "why"),
    [
        (Noted("json_list"), "the binding cannot begin a constraint in the middle of an answer in this format"),
        (Noted("qwen_xml"), "the binding cannot begin a constraint in the middle of an answer in this format"),
        (Noted("hermes", THINKING), "the binding cannot let a model reason before a constraint begins"),
    ],
)
def test_what_the_binding_cannot_express_is_left_out_with_its_mode(noted: Noted, why: str) -> None:
    theirs = Theirs(cast(Any, noted), cast(Any, None), cast(Any, noted))
    free, constrained = job_of("native.free"), job_of("native.schema")
    assert theirs.check([free, constrained, constrained]) == ([free], [LeftOut("native.schema", None, why)])
    assert noted.taken == []


def test_a_grammar_is_made_once_for_each_set_of_tools() -> None:
    noted = Noted("hermes")
    theirs = Theirs(cast(Any, noted), cast(Any, None), cast(Any, noted))
    job = job_of("native.schema")
    theirs.check([job, job])
    assert len(noted.taken) == 1


def test_the_command_prints_tables_and_one_json_document(
    measured: Measured, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def measure(whole: WholeSuite, n_repetitions: int, _progress: object) -> Measured:
        asked.extend((n_repetitions, whole.plan.config.limit, whole.native.path))
        return measured

    monkeypatch.setattr(WholeSuite, "measure", measure)
    file = tmp_path / "suite.json"
    assert main(["--suite", "--quick", "--json", str(file), "-t", "1", "-ngl", "0"]) == 0
    assert asked == [1, 2, bundled()]
    *table, last = capsys.readouterr().out.strip().splitlines()
    found = json.loads(last)
    assert found == json.loads(file.read_text(encoding="utf-8"))
    assert found["suite"]["suite"] == "quick"
    assert (found["settings"]["n_threads"], found["settings"]["n_gpu_layers"]) == (1, 0)
    assert (found["n_cases"], found["n_cases_in_suite"]) == (2, 175)  # as measured above
    assert [row["what"] for row in found["rows"]][-2:] == [APART, TOGETHER]
    assert found["claims"][0]["at_least"] == 4.0
    assert any("Asked: 2 of the suite's 175 cases" in line for line in table)
