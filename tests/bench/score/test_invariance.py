"""What a score does not depend on (order of keys, of independent calls, white space) and what it does: every value."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.records import ItemRecord
from bench.score import Outcome, score
from bench.suites.build import cases_of
from bench.suites.case import Case, load
from bench.suites.match import Anything, Matcher, Object, Optional
from bench.suites.reference import played, reference_steps
from bench.suites.schema import CaseLine
from engine import formats
from engine.formats.protocol import CannotCarry, ToolFormat
from engine.types import Call, Parsed

DONE = Parsed(content="Done.")
QUICK = load("quick").cases
WITH_CALLS = [case for case in QUICK if case.expected]


# --- made-up cases ----------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["city", "when", "count", "title", "tags", "größe"])
SCALARS = st.one_of(
    st.text("abcXYZ äß“”'\"{}\\\n,.", min_size=1, max_size=12).filter(lambda text: text.strip(" .\n") != ""),
    st.integers(-1000, 1000),
    st.floats(-1000, 1000, allow_nan=False),
    st.booleans(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)


def schema_of(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"type": "boolean"}
        case int() | float():
            return {"type": "number"}
        case str():
            return {"type": "string"}
        case list():
            return {"type": "array"}
        case _:
            return {"type": "object", "properties": {name: schema_of(inner) for name, inner in value.items()}}


def matcher_of(value: Any, data: st.DataObject) -> Any:
    """One of the ways to write that this value, and hardly another, is right."""
    if isinstance(value, dict) and data.draw(st.booleans()):
        return {"object": {name: matcher_of(inner, data) for name, inner in value.items()}}
    if isinstance(value, str) and data.draw(st.booleans()):
        return {data.draw(st.sampled_from(["text", "contains"])): [value]}
    if isinstance(value, list) and data.draw(st.booleans()):
        return {"unordered": value}
    return data.draw(st.sampled_from([[value], {"one_of": [value]}, {"absent_or": [value]}]))


CALLS = st.lists(st.dictionaries(NAMES, VALUES, min_size=1, max_size=3), min_size=1, max_size=3)


def made_up(calls: list[dict[str, Any]], data: st.DataObject) -> tuple[dict[str, Any], list[Call]]:
    """A case in which each of these is to be made with a tool of its own, as it is written; and its right calls."""
    tools = [
        {"name": f"tool_{n}", "parameters": {"type": "object", "properties": schema_of(call)["properties"]}}
        for n, call in enumerate(calls)
    ]
    expected = [
        {"name": f"tool_{n}", "arguments": {name: matcher_of(value, data) for name, value in call.items()}}
        for n, call in enumerate(calls)
    ]
    raw = {
        "id": "made/1",
        "category": "made",
        "tools": tools,
        "messages": [{"role": "user", "content": "?"}],
        "expected": {"calls": expected},
    }
    return raw, [Call(f"tool_{n}", call) for n, call in enumerate(calls)]


def read(raw: Mapping[str, Any]) -> Case:
    return cases_of(CaseLine.model_validate(raw), {})[0]


def item(case: Case, steps: Any) -> ItemRecord:
    answers = [Parsed(calls=tuple(step)) if step else DONE for step in steps]
    return played(case, [*answers, *[DONE] * case.is_episode])


def outcome(case: Case, steps: Any) -> Outcome:
    return score(case, item(case, steps)).outcome


# --- what does not matter ---------------------------------------------------------------------------------------------


def mixed(value: Any, random: Any) -> Any:
    """The same value, with its keys in another order."""
    if isinstance(value, list):
        return [mixed(inner, random) for inner in value]
    if not isinstance(value, Mapping):
        return value
    names = list(value)
    random.shuffle(names)
    return {name: mixed(value[name], random) for name in names}


def shuffled(steps: Any, random: Any) -> list[list[Call]]:
    changed = [[Call(call.name, mixed(call.arguments, random)) for call in step] for step in steps]
    for step in changed:
        random.shuffle(step)
    return changed


@settings(max_examples=50, deadline=None)
@given(CALLS, st.data(), st.randoms(use_true_random=False))
def test_made_up_cases_do_not_depend_on_order(calls: list[dict[str, Any]], data: st.DataObject, random: Any) -> None:
    raw, right = made_up(calls, data)
    case = read(raw)
    assert outcome(case, [right]) is Outcome.CORRECT
    assert outcome(case, shuffled([right], random)) is Outcome.CORRECT


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(WITH_CALLS), st.randoms(use_true_random=False), st.data())
def test_a_whole_score_does_not_depend_on_order(case: Case, random: Any, data: st.DataObject) -> None:
    """Right or wrong: one value of the ideal answer may be another."""
    steps = [list(step) for step in reference_steps(case)]
    if data.draw(st.booleans(), label="wrong"):
        number, position, leaf = data.draw(st.sampled_from(list(leaves(steps))))
        steps = with_leaf(steps, number, position, leaf)
        steps = [step for step in steps if step]
    there, here = (score(case, item(case, answer)) for answer in (steps, shuffled(steps, random)))
    # which of two wrong calls is told first is no part of the verdict
    shown = ("explanation", "mismatches")
    there_, here_ = ({k: v for k, v in s.details().items() if k not in shown} for s in (there, here))
    assert there_ == here_


FORMATS: list[ToolFormat] = [*formats.NATIVE.values(), formats.ENVELOPE]
WHITE = st.text(" \n\t", max_size=4)


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.id)
@settings(max_examples=15, deadline=None)
@given(case=st.sampled_from([case for case in WITH_CALLS if not case.is_episode]), before=WHITE, after=WHITE)
def test_white_space_around_an_answer_does_not_matter(fmt: ToolFormat, case: Case, before: str, after: str) -> None:
    try:
        text = fmt.write(reference_steps(case)[0], case.tools)
    except CannotCarry:
        return
    scores = [score(case, played(case, [fmt.parse(t, case.tools)])) for t in (text, before + text + after)]
    assert [s.outcome for s in scores] == [Outcome.CORRECT] * 2
    assert scores[0].details() == scores[1].details()


# --- what does --------------------------------------------------------------------------------------------------------

Leaf = tuple[Any, ...]


def paths(value: Any, way: Leaf = ()) -> Iterator[Leaf]:
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else None
    if inner is None:
        yield way
        return
    for step, below in inner:
        yield from paths(below, (*way, step))


def leaves(steps: Any) -> Iterator[tuple[int, int, Leaf]]:
    """Every single value: its step, its call, its path in the arguments."""
    for number, step in enumerate(steps):
        for position, call in enumerate(step):
            for leaf in paths(dict(call.arguments)):
                yield number, position, leaf


def another(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 7919
        case str():
            return "QQQ"
        case _:
            return 0


def put(document: Any, way: Leaf) -> Any:
    """The same with another value at that place."""
    changed = copy.deepcopy(document)
    *outer, last = way
    place = changed
    for step in outer:
        place = place[step]
    place[last] = another(place[last])
    return changed


def with_leaf(steps: Any, number: int, position: int, leaf: Leaf) -> list[list[Call]]:
    changed = [list(step) for step in steps]
    call = changed[number][position]
    changed[number][position] = Call(call.name, put(dict(call.arguments), leaf))
    return changed


@settings(max_examples=60, deadline=None)
@given(CALLS, st.data())
def test_every_value_of_a_made_up_case_matters(calls: list[dict[str, Any]], data: st.DataObject) -> None:
    """Whether the answer or the expectation is another."""
    raw, right = made_up(calls, data)
    places = [(n, way) for n, call in enumerate(calls) for way in paths(call) if way]
    single = [(n, way) for n, way in places if not isinstance(leaf_of(calls[n], way), list | dict)]
    if not single:
        return
    n, way = data.draw(st.sampled_from(single))
    wrong = with_leaf([right], 0, n, way)
    assert outcome(read(raw), wrong) in (Outcome.WRONG_ARGUMENTS, Outcome.SCHEMA_INVALID)
    expected_other, _ = made_up([put(call, way) if i == n else call for i, call in enumerate(calls)], data)
    assert outcome(read(expected_other), [right]) in (Outcome.WRONG_ARGUMENTS, Outcome.SCHEMA_INVALID)


def leaf_of(document: Any, way: Leaf) -> Any:
    for step in way:
        document = document[step]
    return document


def accepts_anything(matcher: Matcher, way: Leaf) -> bool:
    match matcher:
        case Anything():
            return True
        case Optional(inner):
            return inner is not None and accepts_anything(inner, way)
        case Object(fields):
            return accepts_anything(fields[way[0]], way[1:])
        case _:
            return False


@pytest.mark.parametrize("case", WITH_CALLS, ids=lambda case: case.id)
def test_every_single_value_of_quick_matters(case: Case) -> None:
    steps = [list(step) for step in reference_steps(case)]
    for number, position, leaf in leaves(steps):
        call = steps[number][position]
        assert leaf
        if any(e.name == call.name and accepts_anything(e.arguments[leaf[0]], leaf[1:]) for e in case.expected):
            continue
        wrong = with_leaf(steps, number, position, leaf)[: number + 1]
        assert outcome(case, wrong) is not Outcome.CORRECT


@pytest.mark.parametrize("case", WITH_CALLS, ids=lambda case: case.id)
def test_every_call_of_quick_matters(case: Case) -> None:
    steps = [list(step) for step in reference_steps(case)]
    for number, step in enumerate(steps):
        for position in range(len(step)):
            fewer = [*steps[:number], step[:position] + step[position + 1 :], *steps[number + 1 :]]
            more = [*steps[:number], [*step, step[position]], *steps[number + 1 :]]
            for answer in (fewer, more):
                assert outcome(case, [s for s in answer if s][: case.max_steps] or [[]]) is not Outcome.CORRECT
