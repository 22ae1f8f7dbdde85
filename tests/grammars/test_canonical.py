from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from grammars.canonical import arranged, dumps
from grammars.schema import normalise_parameters
from tests.grammars.schemas import VALUES

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "next": {"$ref": "#/$defs/pair"}},
    "$defs": {"pair": {"type": "object", "properties": {"x": {}, "y": {"type": "number"}}}},
}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, 2.5], "b": None}, '{"a": [1, 2.5], "b": null}'),
        ('é\u2028\n\x00\x7f"\\/', '"é\u2028\\n\\u0000\\u007f\\"\\\\/"'),
        ([True, False], "[true, false]"),
        (1e-7, "0.0000001"),
        (1e22, "10000000000000000000000.0"),
        (-0.0, "0.0"),
        (-1.5, "-1.5"),
        (10**30, "1" + "0" * 30),
        ((), "[]"),
        ({}, "{}"),
    ],
)
def test_how_values_are_written(value: Any, text: str) -> None:
    assert dumps(value) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object()])
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="not a JSON value"):
        dumps(value)


@given(VALUES)
def test_reading_gives_the_value_back(value: Any) -> None:
    assert json.loads(dumps(value)) == value


@given(VALUES)
def test_it_is_what_json_writes_but_for_numbers_and_delete(value: Any) -> None:
    if "." not in (text := dumps(value)) and "\\u007f" not in text:
        assert text == json.dumps(value, ensure_ascii=False)


@pytest.mark.parametrize(
    ("value", "schema", "text"),
    [
        ({"age": 3.0, "name": "A"}, PERSON, '{"name": "A", "age": 3}'),
        ({"next": {"y": 2.0, "x": 1}, "name": "A"}, PERSON, '{"name": "A", "next": {"x": 1, "y": 2.0}}'),
        ({"b": 1, "a": 2}, {"additionalProperties": {"type": "integer"}}, '{"b": 1, "a": 2}'),
        ([{"y": 1, "x": 2}], {"prefixItems": [{"properties": {"x": {}, "y": {}}}]}, '[{"x": 2, "y": 1}]'),
        (1.0, {"enum": ["a", 1]}, "1"),
        ({"b": 1.0, "a": 2}, {"const": {"a": 2.0, "b": 1}}, '{"a": 2, "b": 1}'),
        (2.0, {"type": "number", "minimum": 2, "maximum": 2}, "2"),
        (2.0, {"type": ["integer", "null"]}, "2"),
        (2.0, {"type": ["integer", "number"]}, "2.0"),
        (
            {"b": 1, "a": "x"},
            {"anyOf": [{"properties": {"a": {"type": "integer"}, "b": {}}}, {"properties": {"a": {}, "b": {}}}]},
            '{"a": "x", "b": 1}',
        ),
        (
            {"y": 1, "x": 1},
            {"allOf": [{"properties": {"x": {}}}, {"properties": {"y": {}}}]},
            '{"x": 1, "y": 1}',
        ),
        ({"y": 1, "x": 1}, {"type": "string"}, '{"y": 1, "x": 1}'),
    ],
)
def test_a_schema_says_the_order_and_what_is_an_integer(value: Any, schema: dict[str, Any], text: str) -> None:
    assert dumps(value, schema) == text


def test_arranging_does_not_change_what_a_value_equals() -> None:
    schema = normalise_parameters(PERSON)
    value = {"next": {"y": 1.5, "x": [{}]}, "age": 7.0}
    assert arranged(value, schema) == value
