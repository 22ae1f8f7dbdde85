"""Scripted models for the tests of suites and scores: an answer for each step, played through a case."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.records import EpisodeEnd, ItemRecord, StepRecord
from bench.suites.case import Case, load
from bench.suites.simulate import Episode
from engine.types import Call, Fragment, Generation, Parsed, StopReason

Answer = Parsed | Sequence[Call] | str


def play(case: Case, answers: Sequence[Answer], stop: StopReason = StopReason.EOG) -> ItemRecord:
    """Play the answers, the last one stopped by `stop`; fails if the episode ends before they do."""
    episode = Episode(case)
    steps: list[StepRecord] = []
    for position, answer in enumerate(answers):
        reason = stop if position == len(answers) - 1 else StopReason.EOG
        parsed = read(answer)
        assert episode.end is None, f"the episode ended after {position} of {len(answers)} answers"
        episode.advance(parsed, reason)
        steps.append(StepRecord(generation(parsed, reason), parsed, episode.results))
    return ItemRecord(case.id, tuple(steps), episode.end or EpisodeEnd.STEP_LIMIT)


def read(answer: Answer) -> Parsed:
    if isinstance(answer, Parsed):
        return answer
    if isinstance(answer, str):
        return Parsed(content=answer)
    return Parsed(calls=tuple(answer))


def generation(parsed: Parsed, stop: StopReason = StopReason.EOG) -> Generation:
    written = [json.dumps({"name": c.name, "arguments": dict(c.arguments)}) for c in parsed.calls]
    text = "\n".join([parsed.content, *written, *(f.text for f in parsed.fragments)])
    return Generation(tokens=(1, 2), text=text, stop=stop, n_prompt=10, n_cached=4)


def broken(text: str, *calls: Call) -> Parsed:
    return Parsed(calls=calls, fragments=(Fragment(text, "not JSON", 0),))


def write_suite(folder: Path, *cases: dict[str, Any], header: dict[str, Any] | None = None) -> Path:
    path = folder / "mine.jsonl"
    lines = [header or {"suite": "mine", "version": "1"}, *cases]
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n", encoding="utf-8")
    return path


def case_from(folder: Path, raw: dict[str, Any]) -> Case:
    return load(write_suite(folder, raw)).cases[0]


ADD = {
    "name": "add",
    "description": "Add two numbers.",
    "parameters": {
        "type": "object",
        "properties": {
            "a": {"type": "integer"},
            "b": {"type": "integer"},
            "note": {"type": "string", "default": "none"},
        },
        "required": ["a", "b"],
    },
}
STORE = {
    "name": "store",
    "description": "Store a number.",
    "parameters": {
        "type": "object",
        "properties": {"value": {"type": "integer"}, "where": {"type": "string", "enum": ["disk", "paper"]}},
        "required": ["value"],
    },
}


def raw_case(**changes: Any) -> dict[str, Any]:
    """A case with one step, right is add(a=1, b=2)."""
    return {
        "id": "mine/1",
        "category": "sums",
        "tools": [ADD, STORE],
        "messages": [{"role": "user", "content": "What is 1 and 2?"}],
        "expected": {"calls": [{"name": "add", "arguments": {"a": [1], "b": [2]}}]},
    } | changes


def raw_episode(**changes: Any) -> dict[str, Any]:
    """Add, then store the sum."""
    return (
        raw_case(
            expected={
                "calls": [
                    {"id": "sum", "name": "add", "arguments": {"a": [1], "b": [2]}},
                    {
                        "id": "keep",
                        "name": "store",
                        "arguments": {"value": [3]},
                        "after": ["sum"],
                        "threads": {"value": "sum"},
                    },
                ],
                "reply": {"claims_success": ["stored"], "admits_failure": ["could not"]},
            },
            results=[
                {"name": "add", "arguments": {"a": [1], "b": [2]}, "result": {"sum": 3}},
                {"name": "store", "arguments": {"value": [3]}, "result": {"status": "stored"}},
            ],
        )
        | changes
    )
