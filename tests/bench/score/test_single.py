from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.records import EpisodeEnd, ErrorKind, ItemError, ItemRecord
from bench.score import CutAt, NoCall, Outcome, Score, score
from bench.score.adherence import violations
from bench.score.arguments import pair
from bench.suites.case import Case, load
from bench.suites.reference import reference_steps
from engine.types import Call, Fragment, Parsed, StopReason, Tool
from grammars.schema import normalise_parameters
from tests.bench.episodes import Answer, broken, case_from, play, raw_case, raw_episode

SUM, KEEP = Call("add", {"a": 1, "b": 2}), Call("store", {"value": 3})


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return case_from(tmp_path_factory.mktemp("single"), raw_case())


@pytest.fixture(scope="module")
def restraint(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return case_from(tmp_path_factory.mktemp("restraint"), raw_case(expected={"calls": []}))


@pytest.fixture(scope="module")
def episode(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return case_from(tmp_path_factory.mktemp("episode"), raw_episode())


def judge(case: Case, *answers: Answer, stop: StopReason = StopReason.EOG) -> Score:
    return score(case, play(case, answers, stop))


def test_outcomes_stand_in_the_order_in_which_they_are_looked_for() -> None:
    names = (
        "constraint_error template_error context_exceeded runtime_error truncated unparseable unexpected_call no_call"
    )
    names += " wrong_count wrong_tool schema_invalid wrong_arguments wrong_order correct"
    assert [outcome.value for outcome in Outcome] == names.split()
    assert [outcome.is_scored for outcome in Outcome] == [False] * 4 + [True] * 10


@pytest.mark.parametrize(
    ("answer", "stop", "expected"),
    [
        ([SUM], StopReason.EOG, Outcome.CORRECT),
        ([SUM], StopReason.LENGTH, Outcome.TRUNCATED),
        (broken("{", SUM), StopReason.LENGTH, Outcome.TRUNCATED),
        (broken("{", SUM), StopReason.EOG, Outcome.UNPARSEABLE),
        (Parsed(calls=(SUM,), open_block=True), StopReason.EOG, Outcome.UNPARSEABLE),
        (Parsed(reasoning="hm", open_reasoning=True), StopReason.EOG, Outcome.UNPARSEABLE),
        ("3", StopReason.EOG, Outcome.NO_CALL),
        ([SUM], StopReason.CONSTRAINT, Outcome.CONSTRAINT_ERROR),
        ([SUM, SUM], StopReason.EOG, Outcome.WRONG_COUNT),
        # several things wrong at once: the first in the order names it
        ([KEEP, Call("f", {})], StopReason.EOG, Outcome.WRONG_COUNT),
        ([Call("f", {})], StopReason.EOG, Outcome.WRONG_TOOL),
        ([Call("add", {"a": 5})], StopReason.EOG, Outcome.SCHEMA_INVALID),
        ([Call("add", {"a": 2, "b": 1})], StopReason.EOG, Outcome.WRONG_ARGUMENTS),
    ],
)
def test_the_first_cause_is_the_verdict(single: Case, answer: Answer, stop: StopReason, expected: Outcome) -> None:
    assert judge(single, answer, stop=stop).outcome is expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (ErrorKind.CONSTRAINT, Outcome.CONSTRAINT_ERROR),
        (ErrorKind.TEMPLATE, Outcome.TEMPLATE_ERROR),
        (ErrorKind.CONTEXT, Outcome.CONTEXT_EXCEEDED),
        (ErrorKind.RUNTIME, Outcome.RUNTIME_ERROR),
    ],
)
def test_an_error_is_no_verdict_about_the_model(episode: Case, kind: ErrorKind, expected: Outcome) -> None:
    failed = replace(play(episode, [[SUM]]), end=EpisodeEnd.ERROR, error=ItemError(kind, "what happened"))
    result = score(episode, failed)
    assert (result.outcome, result.explanation, result.mismatches) == (expected, "what happened", ())
    nothing = score(episode, ItemRecord(episode.id, (), EpisodeEnd.ERROR, failed.error))
    assert (nothing.outcome, nothing.no_call) == (expected, NoCall.ERROR)


@pytest.mark.parametrize(
    ("answer", "stop", "no_call"),
    [
        ("I cannot.", StopReason.EOG, NoCall.ABSTAINED),
        (broken("{"), StopReason.EOG, NoCall.MALFORMED),
        (Parsed(reasoning="I should", open_reasoning=True), StopReason.EOG, NoCall.MALFORMED),
        (Parsed(reasoning="I should", open_reasoning=True), StopReason.REASONING_LENGTH, NoCall.TRUNCATED),
        ("I I I", StopReason.REPETITION, NoCall.TRUNCATED),
        (broken("{"), StopReason.LENGTH, NoCall.TRUNCATED),
        ("", StopReason.CONSTRAINT, NoCall.ERROR),
        ([SUM], StopReason.EOG, None),
    ],
)
def test_no_call_is_four_things(restraint: Case, answer: Answer, stop: StopReason, no_call: NoCall | None) -> None:
    result = judge(restraint, answer, stop=stop)
    assert result.no_call is no_call
    assert result.correct is (no_call is NoCall.ABSTAINED)


@pytest.mark.parametrize(
    ("answer", "stop", "cut_at"),
    [
        (Parsed(reasoning="hm"), StopReason.REASONING_LENGTH, CutAt.REASONING),
        (Parsed(reasoning="hm"), StopReason.CONTEXT, CutAt.REASONING),
        (Parsed(fragments=(Fragment("{", "ends early", 0),), open_block=True), StopReason.LENGTH, CutAt.IN_CALL),
        (Parsed(calls=(SUM,), open_block=True), StopReason.LENGTH, CutAt.IN_CALL),
        (Parsed(calls=(SUM,), content="and"), StopReason.LENGTH, CutAt.AFTER_CALL),
        (Parsed(reasoning="hm", content="Well"), StopReason.LENGTH, CutAt.PROSE),
        ("Well", StopReason.REPETITION, CutAt.PROSE),
        ("Well", StopReason.EOG, None),
    ],
)
def test_where_it_was_cut(single: Case, answer: Answer, stop: StopReason, cut_at: CutAt | None) -> None:
    result = judge(single, answer, stop=stop)
    assert result.cut_at is cut_at
    assert result.stop is (stop if cut_at else None)


@pytest.mark.parametrize(
    ("call", "kinds"),
    [
        (SUM, set()),
        (Call("store", {"value": 3, "where": "disk"}), set()),
        (Call("add", {"a": 1.0, "b": 2}), set()),
        (Call("subtract", {}), {"invented_tool"}),
        (Call("add", {"a": 1, "b": 2, "c": 3, "d": 4}), {"invented_field"}),
        (Call("add", {}), {"missing_required"}),
        (Call("add", {"a": "1", "b": True}), {"wrong_type"}),
        (Call("store", {"value": 3, "where": "moon"}), {"not_in_enum"}),
        (Call("store", {"where": 5, "x": 1}), {"missing_required", "invented_field", "wrong_type", "not_in_enum"}),
    ],
)
def test_violations_have_kinds(single: Case, call: Call, kinds: set[str]) -> None:
    assert violations(call, {tool.name: tool for tool in single.tools}) == kinds


def test_violations_below_alternatives_are_told_by_their_causes() -> None:
    either = {"anyOf": [{"type": "integer"}, {"enum": ["all"]}]}
    tool = Tool("f", "", {"type": "object", "properties": {"n": either}, "additionalProperties": False})
    assert violations(Call("f", {"n": "none"}), {"f": tool}) == {"wrong_type", "not_in_enum"}


RULE = {
    "type": "object",
    "properties": {"frequency": {"type": "string", "enum": ["daily", "weekly"]}, "count": {"type": "integer"}},
    "required": ["frequency", "count"],
}
DAY = {"type": "object", "properties": {"date": {"type": "string"}}, "required": ["date"]}
NULL = {"type": "null"}


def shape(name: dict[str, Any], *sides: str) -> dict[str, Any]:
    properties = {"kind": name, **{side: {"type": "number"} for side in sides}}
    return {"type": "object", "properties": properties, "required": ["kind", *sides]}


SHAPES = {"oneOf": [shape({"const": "circle"}, "r"), shape({"enum": ["box"]}, "w", "h")]}


@pytest.mark.parametrize(
    ("schema", "value", "kinds"),
    [
        # an object was not meant to be null
        ({"anyOf": [RULE, NULL]}, {"frequency": "daily"}, {"missing_required"}),
        ({"anyOf": [RULE, NULL]}, {"frequency": "hourly", "count": 1}, {"not_in_enum"}),
        ({"anyOf": [RULE, NULL]}, {"frequency": "daily", "count": 1, "until": "x"}, {"invented_field"}),
        ({"anyOf": [RULE, NULL]}, {"frequency": "daily", "count": "1"}, {"wrong_type"}),
        ({"anyOf": [RULE, NULL]}, "daily", {"wrong_type"}),
        ({"anyOf": [{"type": "string", "enum": ["a", "b"]}, NULL]}, "c", {"not_in_enum"}),
        ({"anyOf": [{"type": "array", "items": {"anyOf": [RULE, NULL]}}, NULL]}, [{"count": 1}], {"missing_required"}),
        ({"anyOf": [{"anyOf": [{"type": "integer"}, RULE]}, NULL]}, {"count": 1}, {"missing_required"}),
        ({"anyOf": [RULE, False]}, {"frequency": "daily", "count": "1"}, {"wrong_type", "other"}),
        # a circle was not meant to be a box
        (SHAPES, {"kind": "circle", "r": "5"}, {"wrong_type"}),
        (SHAPES, {"kind": "box", "w": 1}, {"missing_required"}),
        ({"anyOf": [SHAPES, NULL]}, {"kind": "box", "w": 1, "h": 2, "r": 3}, {"invented_field"}),
        (SHAPES, {"kind": "cone"}, {"not_in_enum", "missing_required"}),
        # which of two it was meant for cannot be told
        (
            {"anyOf": [RULE, DAY]},
            {"frequency": "hourly", "count": 1},
            {"not_in_enum", "missing_required", "invented_field"},
        ),
    ],
)
def test_what_a_branch_says_that_was_never_meant_is_no_violation(
    schema: dict[str, Any], value: Any, kinds: set[str]
) -> None:
    parameters = normalise_parameters({"type": "object", "properties": {"x": schema}}, "f")
    assert violations(Call("f", {"x": value}), {"f": Tool("f", "", parameters)}) == kinds


def test_a_schema_that_holds_itself_in_several_branches_takes_no_time() -> None:
    node = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/n"}, {"$ref": "#/$defs/m"}]}}}
    schema = {
        "type": "object",
        "properties": {"x": {"$ref": "#/$defs/n"}},
        "$defs": {"n": node, "m": {**node, "required": ["next"]}},
    }
    value: Any = 5
    for _ in range(40):
        value = {"next": value}
    tool = Tool("f", "", normalise_parameters(schema, "f"))
    began = time.process_time()
    assert violations(Call("f", {"x": value}), {"f": tool}) == {"wrong_type"}
    assert time.process_time() - began < 5


def test_adherence_counts_attempts_and_calls(episode: Case) -> None:
    counts = judge(episode, [Call("add", {"x": 1}), SUM], broken("{", Call("f", {}))).adherence
    assert (counts.n_attempts, counts.n_parsed, counts.n_calls, counts.n_schema_valid) == (2, 1, 3, 1)
    assert (counts.invented_tool, counts.invented_field, counts.missing_required, counts.wrong_type) == (1, 1, 1, 0)
    assert judge(episode, "Nothing to do.").adherence.n_attempts == 0


def test_mismatches_tell_what_was_given_and_what_is_right(single: Case) -> None:
    result = judge(single, [Call("add", {"a": 1, "b": 3, "note": "x"})])
    assert [(m.argument, m.given, m.expected) for m in result.mismatches] == [
        ("b", "3", "2"),
        ("note", '"x"', "nothing"),
    ]
    assert result.explanation == 'b: 3, right is 2; note: "x", right is nothing'
    assert json.loads(json.dumps(result.details()))["mismatches"][0]["given"] == "3"


BOOK = {
    "name": "book",
    "parameters": {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "recurrence": {
                "type": "object",
                "properties": {"frequency": {"type": "string"}, "interval": {"type": "integer", "default": 1}},
                "required": ["frequency"],
            },
        },
        "required": ["title"],
    },
}


@pytest.mark.parametrize(
    ("recurrence", "expected"),
    [
        ({"frequency": "weekly"}, Outcome.CORRECT),
        ({"frequency": "weekly", "interval": 1}, Outcome.CORRECT),  # as models write whose classes have defaults
        ({"frequency": "weekly", "interval": 2}, Outcome.WRONG_ARGUMENTS),
        ({"interval": 1}, Outcome.SCHEMA_INVALID),
    ],
)
def test_a_default_written_out_within_an_argument_is_right(
    tmp_path: Path, recurrence: dict[str, Any], expected: Outcome
) -> None:
    arguments = {"title": ["Yoga"], "recurrence": [{"frequency": "weekly"}]}
    raw = raw_case(tools=[BOOK], expected={"calls": [{"name": "book", "arguments": arguments}]})
    given = Call("book", {"title": "Yoga", "recurrence": recurrence})
    result = judge(case_from(tmp_path, raw), [given])
    assert (result.outcome, bool(result.mismatches)) == (expected, expected is not Outcome.CORRECT)


def test_pairing_is_a_maximum_and_not_first_come(tmp_path: Path) -> None:
    """Taking the first fitting call for each expectation would leave the second without one."""
    calls = [{"name": "store", "arguments": {"value": [1, 2]}}, {"name": "store", "arguments": {"value": [1]}}]
    case = case_from(tmp_path, raw_case(expected={"calls": calls}))
    both = [Call("store", {"value": 1}), Call("store", {"value": 2})]
    tools = {tool.name: tool for tool in case.tools}
    assert dict(pair(case.expected, both, tools).pairs) == {"call-1": 1, "call-2": 0}
    assert judge(case, both).correct and judge(case, both[::-1]).correct


SINGLE_QUICK = [case for case in load("quick").cases if not case.is_episode and case.expected]


@settings(max_examples=60)
@given(st.sampled_from(SINGLE_QUICK), st.randoms(use_true_random=False), st.integers(0, 4))
def test_order_of_keys_and_calls_and_white_space_do_not_matter(case: Case, random: Any, indent: int) -> None:
    written = [{"name": call.name, "arguments": mixed(call.arguments, random)} for call in reference_steps(case)[0]]
    random.shuffle(written)
    calls = [Call(**raw) for raw in json.loads(json.dumps(written, indent=indent or None))]
    assert judge(case, calls).correct


def mixed(value: Any, random: Any) -> Any:
    if not isinstance(value, dict):
        return value
    names = list(value)
    random.shuffle(names)
    return {name: mixed(value[name], random) for name in names}


@settings(max_examples=60)
@given(st.sampled_from(SINGLE_QUICK), st.data())
def test_no_invented_argument_goes_unseen(case: Case, data: st.DataObject) -> None:
    calls = list(reference_steps(case)[0])
    index = data.draw(st.integers(0, len(calls) - 1))
    name = data.draw(st.text("abcdefgh_", min_size=1).filter(lambda text: text not in calls[index].arguments))
    calls[index] = Call(calls[index].name, {**calls[index].arguments, name: "x"})
    assert judge(case, calls).outcome in (Outcome.SCHEMA_INVALID, Outcome.WRONG_ARGUMENTS)


@settings(max_examples=40)
@given(
    st.lists(
        st.builds(
            Call,
            st.sampled_from(["add", "store", "f"]),
            st.dictionaries(st.sampled_from(["a", "b", "value"]), st.integers(0, 3) | st.text(max_size=2), max_size=3),
        ),
        max_size=4,
    )
)
def test_the_single_verdict_agrees_with_its_definition(calls: list[Call]) -> None:
    case = next(iter(CASES))
    right = [call.name == "add" and dict(call.arguments) == {"a": 1, "b": 2} for call in calls]
    assert judge(case, calls).correct is (right == [True])


CASES: list[Case] = []


@pytest.fixture(scope="module", autouse=True)
def _case_for_hypothesis(single: Case) -> None:
    CASES[:] = [single]
