"""The nano suite: every case is solvable, and its own ideal answer is what scores as correct."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from bench.nano.suite import CATEGORIES, PER_CATEGORY
from bench.records import ItemRecord, StepRecord
from bench.score import Outcome, score
from bench.suites.case import Case, load
from bench.suites.reference import played, reference_steps
from bench.suites.simulate import Episode
from engine.types import Call, Generation, Parsed, StopReason

CASES = load("nano").cases


def ideal(case: Case) -> ItemRecord:
    """The item of a model that answers ideally."""
    episode, steps = Episode(case), []
    answers = [Parsed(calls=tuple(calls)) for calls in reference_steps(case)] + [Parsed(content="Done.")]
    for parsed in answers:
        text = json.dumps([call.name for call in parsed.calls])
        generation = Generation((), text, StopReason.EOG, n_prompt=0, n_cached=0)
        goes_on = episode.advance(parsed)
        steps.append(StepRecord(generation, parsed, tuple(episode.results)))
        if not goes_on:
            break
    return ItemRecord(case.id, tuple(steps), episode.end)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_ideal_answer_is_correct(case: Case) -> None:
    assert score(case, ideal(case)).outcome is Outcome.CORRECT


def test_who_leaves_a_default_out_gets_the_ticket() -> None:
    """The berth is inside by default, and the suite's answer spells that out."""
    case = load("nano").case("nano/sequential-15")
    (buy, *_), *rest = reference_steps(case)
    assert buy.arguments["berth_type"] == "inside"
    short = Call(buy.name, {name: value for name, value in buy.arguments.items() if name != "berth_type"})
    steps = [Parsed(calls=calls) if calls else Parsed(content="Done.") for calls in [(short,), *rest]]
    record = played(case, steps)
    assert [result.ok for step in record.steps for result in step.results] == [True] * (len(steps) - 1)
    assert score(case, record).outcome is Outcome.CORRECT


def test_seven_categories_of_twenty_five() -> None:
    assert Counter(case.category for case in CASES) == dict.fromkeys(CATEGORIES.values(), PER_CATEGORY)
