"""Values that say the same as the ideal ones, in the cases of `core` and `quick`: right, and right to the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from bench.score import score
from bench.suites.case import Case, load
from bench.suites.match import Contains, Like, Text
from bench.suites.reference import reference_steps
from engine.types import Call
from tests.bench.episodes import play

CASES = load("core").cases
LEFT_OUT = {"core/arguments-49"}  # of its weekdays the tool says: leave it out for once

Change = Callable[[Case, Call], Call]


def filled(case: Case, call: Call) -> Call:
    """With an empty list for each list that may be left out, as a model writes that fills every field."""
    parameters = next(tool for tool in case.tools if tool.name == call.name).parameters
    optional = parameters["properties"].keys() - parameters.get("required", ())
    empty = {name: [] for name in optional if parameters["properties"][name].get("type") == "array"}
    return Call(call.name, {**empty, **call.arguments})


def in_capitals(case: Case, call: Call) -> Call:
    """With every text in capitals whose case does not matter."""
    lax = {
        name
        for e in case.expected
        for name, matcher in e.arguments.items()
        if e.name == call.name and isinstance(matcher, Text | Like | Contains)
    }
    return Call(call.name, {name: value.upper() if name in lax else value for name, value in call.arguments.items()})


def changed(case: Case, change: Change) -> list[Sequence[Call]]:
    return [[change(case, call) for call in step] for step in reference_steps(case)]


def differing(change: Change) -> list[Case]:
    return [case for case in CASES if changed(case, change) != [[*step] for step in reference_steps(case)]]


@pytest.mark.parametrize("case", differing(filled), ids=lambda case: case.id)
def test_an_empty_list_is_as_good_as_none(case: Case) -> None:
    result = score(case, play(case, [step or "Done." for step in changed(case, filled)]))
    assert result.correct == (case.id not in LEFT_OUT), result.explanation


@pytest.mark.parametrize("case", [c for c in differing(in_capitals) if c.end_state], ids=lambda case: case.id)
def test_a_text_in_capitals_leads_to_the_same_end_where_it_is_right(case: Case) -> None:
    """Otherwise a call is right and the state that follows from it wrong, as where an id is made of the text."""
    result = score(case, play(case, [step or "Done." for step in changed(case, in_capitals)]))
    assert result.correct, result.explanation


SPELLINGS = [
    ("core/recovery-2~no-fault", [[Call("create_login", {"login": "mika", "team": "team Aurora"})]]),
    ("core/recovery-25~no-fault", [[Call("get_sensor_log", {"sensor": "attic sensor", "days": 30})]]),
]


@pytest.mark.parametrize(("name", "steps"), SPELLINGS)
def test_a_twin_takes_the_spellings_of_its_case(name: str, steps: list[Sequence[Call]]) -> None:
    case = next(case for case in CASES if case.id == name)
    result = score(case, play(case, [*steps, "Done."]))
    assert result.correct, result.explanation
