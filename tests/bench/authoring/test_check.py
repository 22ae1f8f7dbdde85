from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.authoring.check import problems
from bench.suites.case import Case, load
from tests.bench.episodes import case_from, raw_case, raw_episode, write_suite

ADD_CALL = {"name": "add", "arguments": {"a": 1, "b": 2}}
KEEP_CALL = {"name": "store", "arguments": {"value": 3}}
SUM = {"id": "sum", "name": "add", "arguments": {"a": [1], "b": [2]}}
KEPT_ON_DISK = {
    "id": "keep",
    "name": "store",
    "arguments": {"value": [3], "where": ["disk"]},
    "after": ["sum"],
    "threads": {"value": "sum", "where": "sum"},
}


def expecting(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"calls": list(calls)}


LAMP = {"item_id": "lamp", "customer": "ann@example.com", "quantity": 2}
# what start(7) gives, and the number that follows from the order
SHOP = raw_case(
    tools=["find_items", "place_order", "get_order", "cancel_order"],
    world={"name": "stock", "seed": 7},
    messages=[{"role": "user", "content": "Order two desk lamps for ann@example.com, then look the order up."}],
    expected={
        "calls": [
            {"id": "order", "name": "place_order", "arguments": {name: [value] for name, value in LAMP.items()}},
            {
                "id": "look",
                "name": "get_order",
                "arguments": {"order_id": ["OR-3355"]},
                "after": ["order"],
                "threads": {"order_id": "order"},
            },
        ],
        "state": {"orders.OR-3355.status": ["placed"], "orders.OR-1": {"absent": True}},
    },
)


@pytest.mark.parametrize("name", ["quick", "nano"])
def test_the_bundled_cases_are_sound(name: str) -> None:
    assert {case.id: found for case in load(name).cases if (found := problems(case))} == {}


def test_a_case_in_a_world_is_sound(tmp_path: Path) -> None:
    assert problems(case_from(tmp_path, SHOP)) == []


def test_a_case_and_its_twin_are_sound(tmp_path: Path) -> None:
    fault = {"on": "order", "kind": "transient", "times": 2, "seed": 0}
    cases = load(write_suite(tmp_path, SHOP | {"fault": fault, "without_fault": True})).cases
    assert [problems(case) for case in cases] == [[], []]
    assert len(cases) == 2


def changed(raw: dict[str, Any], **state: Any) -> dict[str, Any]:
    return raw | {"expected": raw["expected"] | {"state": state}}


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (raw_case(expected=expecting({"name": "add", "arguments": {"a": [1]}})), "judged schema_invalid"),
        (raw_case(expected=expecting({"name": "add", "arguments": {"a": [1, "x"], "b": [2]}})), 'cannot be "x"'),
        (raw_case(near_misses=[{"outcome": "no_call", "calls": [ADD_CALL]}]), "near miss 1 is judged correct, not"),
        (raw_case(near_misses=[{"outcome": "wrong_count", "reply": "3"}]), "near miss 1 is judged no_call, not"),
        (raw_episode(results=[{"name": "store", "result": 1}]), "the ideal call add(a=1, b=2) fails: "),
        (raw_episode(expected=expecting(SUM, KEPT_ON_DISK)), "'where' of 'keep' is to be carried over from sum"),
        (raw_episode(max_steps=2), "takes 3 steps, and max_steps is 2"),
        (
            raw_episode(near_misses=[{"outcome": "no_call", "steps": [[], [ADD_CALL]]}]),
            "goes on after its end: step 1",
        ),
        (changed(SHOP, **{"items.lamp.count": [99]}), "at the end items.lamp.count is"),
        (
            SHOP | {"world": {"name": "stock", "state": {"items.lamp.count": 1}}},
            'fails: {"error": {"type": "not_found"',
        ),
    ],
)
def test_what_its_author_did_not_mean_is_said(tmp_path: Path, raw: dict[str, Any], problem: str) -> None:
    assert any(problem in found for found in problems(case_from(tmp_path, raw)))


@pytest.mark.parametrize(
    "miss",
    [
        {"outcome": "wrong_order", "calls": [ADD_CALL, KEEP_CALL]},
        {"outcome": "wrong_order", "steps": [[KEEP_CALL], [ADD_CALL]]},
        {"outcome": "wrong_count", "steps": [[ADD_CALL]]},
        {"outcome": "no_call", "reply": "It is 3."},
        {"outcome": "correct", "steps": [[ADD_CALL], [KEEP_CALL]]},
    ],
)
def test_near_misses_that_get_what_they_are_named(tmp_path: Path, miss: dict[str, Any]) -> None:
    assert problems(case_from(tmp_path, raw_episode(near_misses=[miss]))) == []


def test_a_world_in_which_independent_calls_meet_is_noticed(tmp_path: Path) -> None:
    """The last two lamps: who comes first gets them, so the two calls are not independent."""
    calls = [
        {"name": "place_order", "arguments": {"item_id": ["lamp"], "customer": [who], "quantity": [n]}}
        for who, n in (("ann@example.com", 1), ("bob@example.com", 2))
    ]
    world = {"name": "stock", "seed": 7, "state": {"items.lamp.count": 2}}
    case = case_from(tmp_path, SHOP | {"world": world, "expected": {"calls": calls}})
    assert any("fails: " in found and "conflict" in found for found in problems(case))


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ('Jo "JJ" Lee', 'Name: Jo "JJ" Lee'),
        ("Jürgen Müller", json.dumps({"name": "Jürgen Müller"})),
        ("a\nb", "line a\nb"),
        ("oslo", "Oslo, Norway"),
    ],
)
def test_a_value_that_a_result_spells_in_its_own_way_is_there(tmp_path: Path, value: str, content: str) -> None:
    tool = {"name": "note", "parameters": {"type": "object", "properties": {"text": {"type": "string"}}}}
    note = {"name": "note", "arguments": {"text": [value]}, "after": ["sum"], "threads": {"text": "sum"}}
    results = [{"name": "add", "content": content}, {"name": "note", "result": "ok"}]
    tools = [*raw_episode()["tools"], tool]
    case = case_from(tmp_path, raw_episode(tools=tools, expected=expecting(SUM, note), results=results))
    assert problems(case) == []


def paying(schema: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    properties = {"card": {"type": "string", "maxLength": 4}, "cvv": {"type": "string"}}
    pay = {"name": "pay", "parameters": {"type": "object", "properties": properties, **schema}}
    return raw_case(tools=[pay], expected=expecting({"name": "pay", "arguments": arguments}))


BOTH = {"card": ["4111"], "cvv": ["123"]}


@pytest.mark.parametrize(
    "schema",
    [
        {"dependentRequired": {"card": ["cvv"]}},
        {"minProperties": 2},
        {"anyOf": [{"required": ["card", "cvv"]}]},
        {"if": {"not": {"required": ["cvv"]}}, "then": {"properties": {"card": {"const": "none"}}}},
    ],
)
def test_a_schema_may_look_at_several_arguments(tmp_path: Path, schema: dict[str, Any]) -> None:
    assert problems(case_from(tmp_path, paying(schema, **BOTH))) == []
    wrong = problems(case_from(tmp_path, paying(schema, **BOTH | {"card": ["4111", "41112"]})))
    assert [problem for problem in wrong if "'card' of 'call-1' cannot be \"41112\"" in problem] == wrong
    assert len(wrong) == 1
    assert any(
        "judged schema_invalid" in problem for problem in problems(case_from(tmp_path, paying(schema, card=["4"])))
    )


@pytest.mark.parametrize(
    "schema", [{"additionalProperties": True}, {"patternProperties": {"^x-": {}}, "additionalProperties": False}]
)
def test_an_argument_that_an_open_schema_does_not_list(tmp_path: Path, schema: dict[str, Any]) -> None:
    assert problems(case_from(tmp_path, paying(schema, **BOTH, **{"x-note": ["red"]}))) == []


def test_any_call_has_no_ideal_answer(tmp_path: Path) -> None:
    miss = {"outcome": "schema_invalid", "calls": [{"name": "add", "arguments": {}}]}
    raw = raw_case(any_call=True, expected={"calls": []}, near_misses=[miss, {"outcome": "no_call", "reply": "3"}])
    case: Case = case_from(tmp_path, raw)
    assert problems(case) == []
