"""Keywords that say nothing, as generators of schemas write them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from grammars.errors import InvalidSchema
from grammars.lark import to_lark
from grammars.nodes import Json
from grammars.plainer import plainer
from grammars.schema import normalise_parameters

RECORD = {"type": "object", "additionalProperties": {"type": "integer"}}
A = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({**RECORD, "propertyNames": {"type": "string"}}, RECORD),
        ({**RECORD, "propertyNames": {"type": ["string", "null"], "title": "Key"}}, RECORD),
        ({**RECORD, "propertyNames": True}, RECORD),
        ({"not": {}}, False),
        ({"not": True, "description": "never"}, False),
        ({"anyOf": [{"not": {}}, {"type": "string"}]}, {"anyOf": [False, {"type": "string"}]}),
        ({"type": "string", "not": False}, {"type": "string"}),
        ({"type": "string", "not": {"not": {"title": "x"}}}, {"type": "string"}),
        ({"type": "number", "multipleOf": 1}, {"type": "integer"}),
        ({"type": "number", "multipleOf": 1.0}, {"type": "integer"}),
        ({"type": ["integer", "number", "null"], "multipleOf": 5}, {"type": ["integer", "null"], "multipleOf": 5}),
        ({"type": "integer", "multipleOf": 0.5}, {"type": "integer"}),
        ({"type": "integer", "multipleOf": 0.01}, {"type": "integer"}),
        ({"type": "integer", "multipleOf": 2.5}, {"type": "integer", "multipleOf": 5}),
        ({**A, "unevaluatedProperties": False}, {**A, "additionalProperties": False}),
        ({**RECORD, "anyOf": [A], "unevaluatedProperties": False}, {**RECORD, "anyOf": [A]}),
    ],
    ids=str,
)
def test_what_says_nothing_is_left_out(given: dict[str, Any], expected: Any) -> None:
    assert plainer(given) == expected
    assert to_lark(Json(normalise_parameters({"type": "object", "properties": {"p": given}})), {})


@pytest.mark.parametrize(
    "schema",
    [
        {**RECORD, "propertyNames": {"type": "string", "maxLength": 3}},
        {**RECORD, "propertyNames": {"type": "integer"}},
        {"type": "string", "not": {"const": "a"}},
        {"type": "number", "multipleOf": 0.5},
        {"type": ["integer", "number"], "multipleOf": 2.5},
        {"multipleOf": 0.5},
        {**A, "anyOf": [{"properties": {"b": {}}}], "unevaluatedProperties": False},
    ],
    ids=str,
)
def test_what_says_something_stays(schema: dict[str, Any]) -> None:
    assert plainer(schema) == schema


def test_what_is_merged_is_closed_by_unevaluated_properties() -> None:
    parts = [{"properties": {name: {"type": "integer"}}} for name in "ab"]
    normalised = normalise_parameters({"type": "object", "allOf": parts, "unevaluatedProperties": False})
    assert normalised["additionalProperties"] is False
    assert "unevaluatedProperties" not in normalised


def test_parameters_that_nothing_can_satisfy_are_one_sentence() -> None:
    with pytest.raises(InvalidSchema, match="contradict themselves"):
        normalise_parameters({"not": {}})


STEPS = st.sampled_from([1, 2, 1.0, 0.5, 2.5, 0.25, 4])
SCHEMAS = st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["integer", "number", "string", ["integer", "null"], ["number", "integer"]]),
            "multipleOf": STEPS,
            "title": st.just("x"),
        },
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "not": inner,
            "propertyNames": inner,
            "properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
            "additionalProperties": inner,
            "unevaluatedProperties": st.booleans() | inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
        },
    ),
    max_leaves=5,
)
VALUES = st.recursive(
    st.sampled_from([None, "x", 0, 1, 2, 2.0, 2.5, 5, 0.5, 0.3]),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=4,
)


@given(SCHEMAS, st.lists(VALUES, min_size=1, max_size=5))
def test_the_same_values_are_valid(schema: dict[str, Any], values: list[Any]) -> None:
    for value in values:
        assert Draft202012Validator(plainer(schema)).is_valid(value) == Draft202012Validator(schema).is_valid(value)
