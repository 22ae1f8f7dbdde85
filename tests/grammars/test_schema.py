from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from grammars.errors import InvalidSchema
from grammars.schema import normalise_parameters, normalise_tool, normalise_tools

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CLOSED_CITY = {**CITY, "additionalProperties": False}


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "function": {"name": "w", "description": "d", "parameters": CITY}},
        {"name": "w", "description": "d", "parameters": CITY},
        {"name": "w", "description": "d", "inputSchema": CITY},
        {"name": "w", "description": "d", "input_schema": CITY},
    ],
    ids=["openai", "bare", "mcp", "anthropic"],
)
def test_every_spelling_of_a_tool_reads_the_same(tool: dict[str, Any]) -> None:
    normalised = normalise_tool(tool)
    assert (normalised.name, normalised.description) == ("w", "d")
    assert normalised.parameters == CLOSED_CITY


def test_a_tool_without_parameters_takes_none() -> None:
    expected = {"type": "object", "properties": {}, "additionalProperties": False, "required": []}
    assert normalise_tool({"name": "ping"}).parameters == expected
    assert normalise_tool({"name": "ping", "parameters": None}).description == ""


def test_the_input_is_left_alone() -> None:
    given = {"type": "dict", "properties": {"a": {"type": "float", "nullable": True}}, "required": ["a"]}
    before = repr(given)
    normalise_parameters(given)
    assert repr(given) == before


def _property(schema: dict[str, Any]) -> Any:
    return normalise_parameters({"type": "object", "properties": {"p": schema}})["properties"]["p"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"type": "float"}, {"type": "number"}),
        ({"type": "String"}, {"type": "string"}),
        ({"type": "HashMap"}, {"type": "object"}),
        ({"type": "tuple", "items": {"type": "long"}}, {"type": "array", "items": {"type": "integer"}}),
        ({"type": "any", "description": "x"}, {"description": "x"}),
        ({"type": ""}, {}),
        ({"type": ["int", "none"]}, {"type": ["integer", "null"]}),
        ({"items": {}}, {"items": {}, "type": "array"}),
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "string", "enum": ["a"], "nullable": True}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"type": "string", "nullable": False}, {"type": "string"}),
        ({"enum": ["a"], "nullable": True}, {"anyOf": [{"enum": ["a"]}, {"type": "null"}]}),
        (
            {"type": "array", "items": [{"type": "int"}], "additionalItems": False},
            {"type": "array", "prefixItems": [{"type": "integer"}], "items": False},
        ),
        (
            {"type": "integer", "minimum": 0, "exclusiveMinimum": True, "maximum": 9, "exclusiveMaximum": False},
            {"type": "integer", "exclusiveMinimum": 0, "maximum": 9},
        ),
        ({"properties": {"q": {}}}, {"properties": {"q": {}}, "type": "object", "additionalProperties": False}),
        ({"type": "object"}, {"type": "object"}),
        ({"type": "object", "properties": {}}, {"type": "object", "properties": {}}),
        (
            {"type": "object", "properties": {"q": {}}, "additionalProperties": True},
            {"type": "object", "properties": {"q": {}}, "additionalProperties": True},
        ),
        (
            {"type": "array", "items": {"type": "object", "properties": {"q": {}}}},
            {"type": "array", "items": {"type": "object", "properties": {"q": {}}, "additionalProperties": False}},
        ),
    ],
)
def test_one_property_normalised(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert _property(given) == expected


def test_required_follows_the_order_of_the_properties_and_lists_what_was_forgotten() -> None:
    given = {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["z", "b", "a"]}
    normalised = normalise_parameters(given)
    assert normalised["required"] == ["a", "b", "z"]
    assert list(normalised["properties"]) == ["a", "b", "z"]


def test_all_of_becomes_one_closed_object() -> None:
    given = {
        "type": "object",
        "$defs": {"base": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}},
        "allOf": [
            {"$ref": "#/$defs/base"},
            {"properties": {"id": {"minimum": 1}, "name": {"type": "string"}}, "required": ["name"]},
        ],
    }
    normalised = normalise_parameters(given)
    assert normalised["properties"] == {"id": {"type": "integer", "minimum": 1}, "name": {"type": "string"}}
    assert normalised["required"] == ["id", "name"]
    assert normalised["additionalProperties"] is False
    validator = Draft202012Validator(normalised)
    assert validator.is_valid({"id": 1, "name": "x"})
    assert not validator.is_valid({"id": 0, "name": "x"})
    assert not validator.is_valid({"id": 1, "name": "x", "other": 1})


def test_all_of_that_no_single_schema_can_say_stays() -> None:
    both = [{"pattern": "^a"}, {"pattern": "b$"}]
    assert _property({"type": "string", "allOf": both})["allOf"] == both


def test_a_top_level_reference_is_written_out() -> None:
    normalised = normalise_parameters({"$ref": "#/$defs/M", "$defs": {"M": CITY}})
    assert {key: normalised[key] for key in CLOSED_CITY} == CLOSED_CITY


def test_branches_that_only_require_leave_the_object_closed() -> None:
    given = {"type": "object", "properties": {"a": {}, "b": {}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}
    validator = Draft202012Validator(normalise_parameters(given))
    assert validator.is_valid({"a": 1}) and validator.is_valid({"b": 1})
    assert not validator.is_valid({}) and not validator.is_valid({"a": 1, "c": 1})


def test_branches_that_list_properties_leave_the_object_open() -> None:
    given = {"type": "object", "properties": {"a": {}}, "anyOf": [{"properties": {"b": {"type": "string"}}}]}
    validator = Draft202012Validator(normalise_parameters(given))
    assert validator.is_valid({"a": 1, "b": "x"})
    assert not validator.is_valid({"b": 1})


def test_what_is_negated_is_not_closed() -> None:
    given = {"type": "object", "properties": {"a": {"not": {"type": "object", "properties": {"b": {"const": 1}}}}}}
    assert "additionalProperties" not in normalise_parameters(given)["properties"]["a"]["not"]


def _tool(parameters: Any) -> dict[str, Any]:
    return {"name": "t", "parameters": parameters}


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        ({}, "no name"),
        ({"name": 3}, "no name"),
        ({"name": "  "}, "no name"),
        ({"type": "function", "function": "x"}, "must be a JSON object"),
        ({"name": "t", "description": 3}, "description"),
        (_tool([]), "tool 't': parameters must be a JSON object"),
        (_tool({"type": "string"}), "must be of type object"),
        (
            {"name": "t", "parameters": {"type": "object", "properties": {"p": {"type": "strng"}}}},
            "#/properties/p/type",
        ),
        (_tool({"type": "object", "required": "p"}), "#/required"),
        (_tool({"properties": {"p": {"pattern": "("}}}), "#/properties/p/pattern"),
        (_tool({"properties": {"a/b": {"minLength": -1}}}), "#/properties/a~1b/minLength"),
        (
            {"name": "t", "parameters": {"properties": {"p": {"$ref": "#/$defs/no"}}}},
            "#/properties/p: $ref '#/$defs/no'",
        ),
        (_tool({"properties": {"p": {"$ref": "http://x/y"}}}), "not a pointer"),
        (_tool({"properties": {"p": {"$ref": "#/properties/p"}}}), "only refers to itself"),
        (_tool({"properties": {"p": {"$ref": "#/required"}}, "required": []}), "to no schema"),
        (_tool({"properties": {"p": {"$dynamicRef": "#x"}}}), "$dynamicRef"),
        (_tool({"type": "object", "allOf": [{"type": "string"}]}), "contradict"),
    ],
)
def test_what_is_wrong_is_named(tool: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSchema) as caught:
        normalise_tool(tool)
    assert message in str(caught.value)


def test_two_tools_may_not_share_a_name() -> None:
    with pytest.raises(InvalidSchema, match="two tools are named 'a'"):
        normalise_tools([{"name": "a"}, {"name": "b"}, {"name": "a"}])
    assert [tool.name for tool in normalise_tools([{"name": "a"}, {"name": "b"}])] == ["a", "b"]
