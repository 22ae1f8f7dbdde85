"""Judging stored answers again: what a newer parser or simulator would have led elsewhere is stale, never re-judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench.records import EpisodeEnd, ItemRecord, ToolResult
from bench.results.store import Store
from bench.run import writer
from bench.run.config import RunConfig
from bench.run.judge import Rescored, read_again, rescore, verdict
from bench.run.plan import make_plan
from bench.suites import simulate
from bench.suites.case import load
from engine import formats
from engine.formats.protocol import ToolFormat
from engine.formats.reasoning import THINK, Frame
from engine.types import Call, Fragment, Parsed
from tests.bench.episodes import Answer, play, raw_case, raw_episode, write_suite
from tests.bench.scripted import NO_LATENCY, PROVENANCE, fake

FIRST = Call("add", {"a": 1, "b": 2})
SECOND = Call("store", {"value": 3})
EPISODE: list[Answer] = [[FIRST], [SECOND], "Stored."]


class Newer:
    """A parser of another version, which reads whatever it is told to."""

    id, version, frame = "hermes", "next", THINK

    def __init__(self, *answers: Parsed) -> None:
        self.answers = list(answers)

    def parse(self, text: str, tools: Sequence[object], *, reasoning_opened: bool = False) -> Parsed:
        return self.answers.pop(0)


def judged_again(folder: Path, raw: dict[str, Any], answers: Sequence[Answer]) -> tuple[Rescored, str]:
    """Store one item as it was played, judge it again, and return what came out."""
    path = write_suite(folder, raw)
    config = RunConfig(suites=(str(path),), modes=("native.free",), latency=NO_LATENCY)
    plan = make_plan(config, (fake(),), (load(path),))
    (item,) = plan.cells[0].items
    record: ItemRecord = replace(
        play(item.case, answers), format_id="hermes", format_version=formats.NATIVE["hermes"].version
    )
    with Store.open(folder / "results.db") as store:
        run_id = writer.begin_run(store, plan, PROVENANCE)
        (cell,) = store.cells(run_id)
        item_id = writer.put_item(store, run_id, cell.id, item, record, scores=[verdict(item.case, record)])
        found = rescore(store, store.run("last"))
        newest = store.scores(item_id)[0]
    return found, f"{newest.outcome}{' stale' if newest.stale else ''}"


def test_the_same_parser_changes_nothing(tmp_path: Path) -> None:
    assert judged_again(tmp_path, raw_episode(), EPISODE) == (Rescored(1, 0, 0), "correct")


def test_a_parser_that_reads_other_calls_makes_an_episode_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = Newer(Parsed(calls=(replace(FIRST, arguments={"a": 2, "b": 2}),)), Parsed(calls=(SECOND,)), Parsed())
    monkeypatch.setattr(formats, "get", lambda format_id: newer)
    assert judged_again(tmp_path, raw_episode(), EPISODE) == (Rescored(1, 1, 1), "correct stale")


def test_calls_alone_do_not_make_a_transcript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls are the same, but the last answer is now unreadable: the conversation would have ended otherwise."""
    unreadable = Parsed(fragments=(Fragment("Stored.", "not JSON", 0),))
    newer = Newer(Parsed(calls=(FIRST,)), Parsed(calls=(SECOND,)), unreadable)
    monkeypatch.setattr(formats, "get", lambda format_id: newer)
    assert judged_again(tmp_path, raw_episode(), EPISODE)[0].n_stale == 1


def test_tools_that_answer_otherwise_make_an_episode_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = simulate.Simulation.run
    n_answered = 0

    def answer_otherwise_when_replayed(tools: simulate.Simulation, call: Call) -> ToolResult:
        nonlocal n_answered
        n_answered += 1
        result = answer(tools, call)
        return result if n_answered <= 2 else replace(result, content="something else")

    monkeypatch.setattr(simulate.Simulation, "run", answer_otherwise_when_replayed)
    assert judged_again(tmp_path, raw_episode(), EPISODE)[0].n_stale == 1


def test_an_envelope_is_read_again_in_the_models_own_frame(tmp_path: Path) -> None:
    """What the prompt opened, and what the model reasoned in, is known from the stored run."""
    case = load(write_suite(tmp_path, raw_case())).cases[0]
    step = play(case, [[FIRST]]).steps[0]
    answer = '{"calls": [{"name": "add", "arguments": {"a": 1, "b": 2}}], "reply": ""}'
    native = cast(ToolFormat, SimpleNamespace(frame=Frame("[THINK]", "[/THINK]")))

    def read(prompt: str, text: str) -> Parsed:
        generation = replace(step.generation, text=text)
        stored = replace(step, prompt=prompt, generation=generation, parsed=Parsed())
        record = ItemRecord(case.id, (stored,), EpisodeEnd.SINGLE, format_id="json", format_version="1")
        again = read_again(record, case, native)
        assert again.format_version == formats.ENVELOPE.version
        return again.steps[0].parsed

    assert read("[/INST]", f"[THINK]so[/THINK]{answer}") == Parsed((FIRST,), reasoning="so")
    assert read("[/INST][THINK]\n", f"so[/THINK]{answer}") == Parsed((FIRST,), reasoning="so")
    assert read("[/INST]", f"<think>so</think>{answer}").calls == ()


def test_a_case_of_one_step_is_simply_read_and_judged_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = Newer(Parsed(calls=(replace(FIRST, arguments={"a": 2, "b": 2}),)))
    monkeypatch.setattr(formats, "get", lambda format_id: newer)
    assert judged_again(tmp_path, raw_case(), [[FIRST]]) == (Rescored(1, 1, 0), "wrong_arguments")
