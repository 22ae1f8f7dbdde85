"""References to places other than definitions, as generators of schemas write them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from grammars.definitions import with_definitions
from grammars.errors import InvalidSchema
from grammars.gbnf import to_gbnf
from grammars.lark import to_lark
from grammars.nodes import Json
from grammars.schema import normalise_parameters
from grammars.validation import validator
from tests.grammars.schemas import instances


def _accepts(parameters: dict[str, Any], value: Any) -> bool:
    normalised = normalise_parameters(parameters)
    assert to_gbnf(Json(normalised), {}) and to_lark(Json(normalised), {})
    return validator(normalised).is_valid(value)


NULLABLE = {
    "properties": {
        "a": {"nullable": True, "anyOf": [{"type": "string"}, {"type": "integer"}]},
        "b": {"$ref": "#/properties/a/anyOf/1"},
    }
}
POINT = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}
TUPLE = {"properties": {"line": {"type": "array", "items": [POINT, {"$ref": "#/properties/line/items/0"}]}}}
INTERSECTION = {
    "properties": {
        "a": {
            "allOf": [
                {"properties": {"p": {"properties": {"q": {"type": "string"}}}}},
                {"properties": {"r": {"type": "number"}}},
            ]
        },
        "b": {"$ref": "#/properties/a/allOf/0/properties/p"},
    }
}
REPEATED = {
    "properties": {
        "a": {"anyOf": [{"$ref": "#/$defs/s"}, {"$ref": "#/$defs/s"}, {"type": "null"}]},
        "b": {"$ref": "#/properties/a/anyOf/2"},
    },
    "$defs": {"s": {"type": "string"}},
}
TREE = {
    "properties": {
        "tree": {"properties": {"sons": {"type": "array", "items": {"$ref": "#/properties/tree"}}}},
    }
}
WITHIN = {
    "$ref": "#/definitions/form",
    "definitions": {
        "form": {"properties": {"a": {"type": "int"}, "b": {"$ref": "#/definitions/form/properties/a"}}},
    },
}


@pytest.mark.parametrize(
    ("parameters", "valid", "invalid"),
    [
        (NULLABLE, [{"b": 5}, {"a": None}], [{"b": None}, {"b": "x"}]),
        (TUPLE, [{"line": [{"x": 1}, {"x": 2}]}], [{"line": [{"x": 1}, {"x": "2"}]}, {"line": [{"x": 1}, {"y": 2}]}]),
        (INTERSECTION, [{"b": {"q": "x"}}, {"a": {"p": {}, "r": 1}}], [{"b": {"q": 3}}, {"b": {"r": 1}}]),
        (REPEATED, [{"b": None}, {"a": "x"}], [{"b": "x"}]),
        (TREE, [{"tree": {"sons": [{"sons": [{}]}]}}], [{"tree": {"sons": [{"sons": [{"son": 1}]}]}}]),
        (WITHIN, [{"a": 1, "b": 2}], [{"b": "2"}]),
    ],
    ids=["nullable", "tuple", "intersection", "repeated", "tree", "within"],
)
def test_a_reference_means_what_stood_there_when_it_was_written(
    parameters: dict[str, Any], valid: list[Any], invalid: list[Any]
) -> None:
    """Its target may be rewritten: `items`, `nullable` and `allOf` of other drafts, references that are repeated."""
    assert all(_accepts(parameters, value) for value in valid)
    assert not any(_accepts(parameters, value) for value in invalid)


def _component(schema: Any, **others: Any) -> dict[str, Any]:
    return {
        "properties": {"x": {"$ref": "#/components/schemas/X"}},
        "required": ["x"],
        "components": {"schemas": {"X": schema, **others}},
    }


@pytest.mark.parametrize(
    ("schema", "valid", "invalid"),
    [
        ({"type": "float"}, [1.5], ["1.5", {}]),
        ({"type": "integer", "minimum": 0, "exclusiveMinimum": True}, [1], [0]),
        ({"type": "string", "nullable": True}, [None, "a"], [1]),
        (POINT, [{"x": 1}], [{"x": 1, "y": 2}]),
        ({"type": "array", "items": [{"type": "string"}], "additionalItems": False}, [["a"]], [[1], ["a", "b"]]),
        ({"$ref": "#/components/schemas/Y"}, ["y"], [1]),
        ({"properties": {"more": {"$ref": "#/components/schemas/X"}}}, [{"more": {}}], [{"more": {"less": {}}}]),
    ],
    ids=lambda one: str(one)[:40],
)
def test_definitions_under_any_name_are_read_as_all_others(
    schema: dict[str, Any], valid: list[Any], invalid: list[Any]
) -> None:
    """OpenAPI keeps them under `components/schemas`."""
    parameters = _component(schema, Y={"type": "str"})
    assert all(_accepts(parameters, {"x": value}) for value in valid)
    assert not any(_accepts(parameters, {"x": value}) for value in invalid)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "strng"}, "#/$defs/components_schemas_X/type"),
        ({"items": {"$ref": "#/components/schemas/Z"}}, "'#/components/schemas/Z' points to nothing"),
        ({"$ref": "#/components/schemas/X"}, "only refers to itself"),
        ([], "points to no schema"),
    ],
)
def test_what_is_wrong_in_them_is_named(schema: Any, message: str) -> None:
    with pytest.raises(InvalidSchema) as caught:
        normalise_parameters(_component(schema))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("key", "ref"),
    [
        ("Record<string,string>", "#/definitions/Record%3Cstring%2Cstring%3E"),
        ("Record<string,string>", "#/definitions/Record<string,string>"),
        ("Record%3Cstring%3E", "#/definitions/Record%3Cstring%3E"),
        ("Record%3Cstring%3E", "#/definitions/Record%253Cstring%253E"),
        ("a/b~c d", "#/definitions/a~1b~0c%20d"),
        ("a/b", "#/definitions/a%2Fb"),
        ("é", "#/definitions/%C3%A9"),
    ],
)
def test_a_reference_may_be_percent_encoded(key: str, ref: str) -> None:
    parameters = {"properties": {"x": {"$ref": ref}}, "definitions": {key: {"type": "integer"}}}
    assert _accepts(parameters, {"x": 1})
    assert not _accepts(parameters, {"x": "1"})


def test_what_needs_no_name_is_left_as_it_is() -> None:
    schema = {
        "properties": {"a": {"$ref": "#/$defs/a"}, "b": {"$ref": "#"}, "c": {"$ref": "http://x/y"}, "$ref": {}},
        "$defs": {"a": {"$ref": "#/definitions/b"}},
        "definitions": {"b": {"$ref": "#/$defs/none/at/all"}},
    }
    assert with_definitions(schema) == schema


def test_each_gets_a_name_of_its_own_and_the_input_is_left_alone() -> None:
    schema = {
        "properties": {"a_b": {"type": "string"}, "a": {"$ref": "#/x/a/b"}, "b": {"$ref": "#/x/a_b"}},
        "x": {"a": {"b": True}, "a_b": {"type": "null"}},
        "$defs": {"x_a_b": {"type": "integer"}},
    }
    before = json.dumps(schema)
    found = with_definitions(schema)
    assert found["$defs"] == {"x_a_b": {"type": "integer"}, "x_a_b_2": True, "x_a_b_3": {"type": "null"}}
    assert found["properties"]["a"] == {"$ref": "#/$defs/x_a_b_2"}
    assert found["properties"]["b"] == {"$ref": "#/$defs/x_a_b_3"}
    assert json.dumps(schema) == before


REFERENCES = st.sampled_from(
    ["#", "#/$defs/d", "#/$defs/d/items", "#/components/schemas/s", "#/properties/a", "#/properties/t/anyOf/1"]
).map(lambda ref: {"$ref": ref})
LEAVES = st.sampled_from(
    [True, {"type": "string"}, {"type": "integer"}, {"type": ["boolean", "null"]}, {"enum": [1, "x", None]}]
)


@st.composite
def _objects(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    """Which say of themselves whether they are closed, so that normalising them changes nothing."""
    properties = draw(st.dictionaries(st.sampled_from("abt"), REFERENCES | inner, max_size=3))
    return {"type": "object", "properties": properties, "additionalProperties": draw(st.booleans())}


def _containing(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    arrays = (REFERENCES | inner).map(lambda items: {"type": "array", "items": items})
    return arrays | _objects(inner) | st.lists(inner, min_size=1, max_size=2).map(lambda some: {"anyOf": some})


SCHEMAS = st.recursive(LEAVES, _containing, max_leaves=4)


@given(_objects(SCHEMAS), st.lists(SCHEMAS, min_size=5, max_size=5), st.data())
def test_what_is_valid_stays_valid_wherever_references_point_to(
    whole: dict[str, Any], parts: list[Any], data: st.DataObject
) -> None:
    a, first, second, items, component = parts
    whole["properties"] |= {"a": a, "t": {"anyOf": [first, second]}}
    whole |= {"components": {"schemas": {"s": component}}, "$defs": {"d": {"type": "array", "items": items}}}
    normalised = normalise_parameters(whole)
    for _ in range(3):
        value = data.draw(instances(normalised))
        assert validator(normalised).is_valid(value) == Draft202012Validator(whole).is_valid(value)
