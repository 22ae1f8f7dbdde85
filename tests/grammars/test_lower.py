from __future__ import annotations

import time
from typing import Any

import pytest

from grammars.errors import UnsupportedSchema
from grammars.lower import lower
from grammars.merge import Unmergeable, merge
from grammars.schema import normalise_parameters
from grammars.shape import NEVER, AnyValue, Array, Const, Integer, Number, Object, Property, Ref, String, Union
from grammars.validation import validator

TREE = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]}}}


@pytest.mark.parametrize(
    ("schema", "shape"),
    [
        ({}, AnyValue()),
        ({"description": "x", "default": 3}, AnyValue()),
        ({"enum": ["a", 1.0, None], "type": ["string", "integer"]}, Union((Const('"a"'), Const("1")))),
        ({"const": "é\n"}, Const('"é\\n"')),
        ({"type": "integer", "exclusiveMinimum": 2.5, "maximum": 9.5}, Integer(3, 9)),
        ({"type": "integer", "multipleOf": 4, "minimum": 3, "maximum": 9}, Union((Const("4"), Const("8")))),
        ({"type": "integer", "multipleOf": 4}, Integer(None, None, 4)),
        ({"type": "number", "minimum": 2, "maximum": 2.0}, Const("2")),
        ({"type": "string", "minLength": 2}, String(2)),
        ({"type": ["string", "null"]}, Union((String(), Const("null")))),
        ({"type": ["integer", "number"]}, Number()),
        ({"type": "array", "items": False}, Array((), None, 0, 0)),
        ({"type": "array", "prefixItems": [{"const": 1}, False]}, Array((Const("1"),), None, 0, 1)),
        ({"type": "object", "properties": {"a": False}, "additionalProperties": False}, Object(())),
        (
            {"type": "object", "required": ["z"], "additionalProperties": {"const": 1}},
            Object((Property("z", Const("1"), True),), Const("1")),
        ),
        ({"anyOf": [{"type": "integer"}, {"maximum": 3, "type": "integer"}]}, Union((Integer(), Integer(None, 3)))),
        ({"type": "integer", "anyOf": [{"minimum": 1}, {"type": "string"}]}, Integer(1)),
        ({"allOf": [{"type": "integer"}, {"$ref": "#/$defs/low"}], "$defs": {"low": {"maximum": 3}}}, Integer(None, 3)),
        ({"oneOf": [{"const": 1}, {"const": 2}]}, Union((Const("1"), Const("2")))),
        ({"enum": [1, 2, 3], "not": {"const": 2}, "if": {"const": 3}, "then": False}, Const("1")),
    ],
)
def test_what_a_schema_becomes(schema: dict[str, Any], shape: Any) -> None:
    assert lower(schema, "gbnf").root == shape


def test_a_recursive_schema_refers_to_itself() -> None:
    document = lower({"$ref": "#/$defs/tree", "$defs": {"tree": TREE}}, "gbnf")
    assert document.root == Ref("#/$defs/tree")
    assert document.reachable(document.root) == {"#/$defs/tree"}
    assert document.shapes["#/$defs/tree"] == Object(
        (Property("next", Union((Ref("#/$defs/tree"), Const("null"))), False),), AnyValue()
    )


@pytest.mark.parametrize(
    ("schema", "keyword", "path"),
    [
        ({"not": {"type": "null"}}, "not", "#/properties/p"),
        ({"type": "integer", "if": {}, "then": False}, "if", "#/properties/p"),
        ({"type": "string", "format": "ipv6"}, "format", "#/properties/p"),
        ({"type": "string", "pattern": "(?=a)"}, "pattern", "#/properties/p"),
        ({"type": "string", "pattern": r"^\p{L}+$"}, "pattern", "#/properties/p"),
        ({"type": "string", "pattern": "(" * 300 + ")" * 300}, "pattern", "#/properties/p"),
        ({"type": "string", "allOf": [{"pattern": "a"}, {"pattern": "b"}]}, "pattern", "#/properties/p"),
        ({"type": "number", "multipleOf": 0.1}, "multipleOf", "#/properties/p"),
        ({"type": "number", "maximum": 1e300}, "maximum", "#/properties/p"),
        ({"type": "array", "items": {"type": "array", "uniqueItems": True}}, "uniqueItems", "#/properties/p/items"),
        ({"type": "array", "contains": {}}, "contains", "#/properties/p"),
        ({"type": "object", "patternProperties": {"a": {}}}, "patternProperties", "#/properties/p"),
        ({"type": "object", "propertyNames": {"maxLength": 1}}, "propertyNames", "#/properties/p"),
        ({"type": "object", "minProperties": 1}, "minProperties", "#/properties/p"),
        ({"type": "object", "maxProperties": 1}, "maxProperties", "#/properties/p"),
        ({"type": "object", "dependentRequired": {"a": ["b"]}}, "dependentRequired", "#/properties/p"),
        ({"type": "object", "dependentSchemas": {"a": False}}, "dependentSchemas", "#/properties/p"),
        (
            {"type": "object", "properties": {"a": {}}, "anyOf": [{}], "unevaluatedProperties": False},
            "unevaluatedProperties",
            "#/prop",
        ),
        ({"type": "object", "properties": {"a": False}, "additionalProperties": True}, "properties", "#/properties/p"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf", "#/properties/p"),
        ({"anyOf": [{"oneOf": [{"minimum": 1}, {"maximum": 2}]}, {"type": "null"}]}, "oneOf", "#/properties/p"),
        ({"anyOf": [{"type": "null"}, {"type": "string", "format": "ipv6"}]}, "format", "#/properties/p/anyOf/1"),
        ({"type": "array", "enum": ["a"]}, "enum", "#/properties/p"),
    ],
)
def test_what_no_shape_can_say_is_refused_by_name(schema: dict[str, Any], keyword: str, path: str) -> None:
    parameters = {"type": "object", "properties": {"p": schema}, "required": ["p"]}
    with pytest.raises(UnsupportedSchema) as caught:
        lower(normalise_parameters(parameters), "gbnf")
    assert caught.value.keyword == keyword
    assert caught.value.path.startswith(path)
    assert str(caught.value).startswith(f"the gbnf backend cannot express '{keyword}' at {caught.value.path}")


def test_a_type_that_is_none_is_refused() -> None:
    with pytest.raises(UnsupportedSchema, match="'type' at #/properties/p: 'float' is no type of JSON Schema"):
        lower({"type": "object", "properties": {"p": {"type": "float"}}}, "gbnf")


def test_a_schema_that_is_itself_without_a_value_in_between_is_refused() -> None:
    loop = {"anyOf": [{"$ref": "#/$defs/loop"}, {"type": "null"}]}
    with pytest.raises(UnsupportedSchema, match=r"'\$ref' at #/\$defs/loop: it refers to itself"):
        lower({"type": "object", "properties": {"p": {"$ref": "#/$defs/loop"}}, "$defs": {"loop": loop}}, "gbnf")


def test_branches_that_hold_themselves_are_compared_to_an_end() -> None:
    """A `oneOf` of two linked lists, each of which requires its next item."""
    lists = {
        name: {"type": "object", "properties": {"next": {"$ref": f"#/$defs/{name}"}}, "required": ["next"]}
        for name in "ab"
    }
    both = {"oneOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]}
    with pytest.raises(UnsupportedSchema, match="'oneOf' at #/properties/p"):
        lower({"type": "object", "properties": {"p": both}, "$defs": lists}, "gbnf")


@pytest.mark.parametrize(
    "harmless",
    [
        {
            "type": "object",
            "properties": {"a": {}},
            "additionalProperties": False,
            "maxProperties": 1,
            "minProperties": 0,
        },
        {"type": "array", "maxItems": 1, "uniqueItems": True},
        {"type": "array", "uniqueItems": False},
        {"type": "object", "patternProperties": {}, "propertyNames": True},
        {"type": "string", "format": "password", "contentEncoding": "base64", "x-order": 3},
    ],
)
def test_keywords_that_say_nothing_are_not_refused(harmless: dict[str, Any]) -> None:
    assert lower(harmless, "gbnf").root != NEVER


@pytest.mark.parametrize(
    ("a", "b", "both"),
    [
        ({"minimum": 1}, {"minimum": 3, "maximum": 9}, {"minimum": 3, "maximum": 9}),
        ({"type": ["integer", "string"]}, {"type": "number"}, {"type": "integer"}),
        ({"type": "string"}, {"type": "integer"}, False),
        ({"enum": [1, 2]}, {"enum": [2.0, 3]}, {"enum": [2]}),
        ({"enum": [1]}, {"const": True}, False),
        ({"properties": {"a": {"type": "integer"}}, "additionalProperties": False}, {"properties": {"b": {}}}, None),
        ({"prefixItems": [{"minimum": 1}]}, {"items": {"maximum": 5}}, None),
        ({"multipleOf": 4}, {"multipleOf": 6}, {"multipleOf": 12}),
        (True, {"minimum": 1}, {"minimum": 1}),
        ({"minimum": 1}, False, False),
    ],
)
def test_merging(a: Any, b: Any, both: Any) -> None:
    expected = {
        True: {
            "properties": {"a": {"type": "integer"}, "b": False},
            "additionalProperties": False,
        },
        False: {"prefixItems": [{"minimum": 1, "maximum": 5}], "items": {"maximum": 5}},
    }
    assert merge(a, b, {}) == (expected["properties" in a] if both is None else both)


@pytest.mark.parametrize("keyword", ["pattern", "format", "not", "if"])
def test_what_cannot_be_merged_says_why(keyword: str) -> None:
    values = [{"const": 1}, {"const": 2}] if keyword in ("not", "if") else ["a", "b"]
    with pytest.raises(Unmergeable) as caught:
        merge({keyword: values[0]}, {keyword: values[1]}, {})
    assert caught.value.keyword == keyword


DATE = {"type": "string", "format": "date"}


@pytest.mark.parametrize(
    "schema",
    [
        {**DATE, "anyOf": [{"pattern": "^2024"}, {"pattern": "^2025"}]},
        {"type": "string", "pattern": "^2", "anyOf": [{"format": "date"}, {"format": "date-time"}]},
        {"allOf": [DATE, {"pattern": "^2024"}]},
        {"allOf": [{**DATE, "pattern": "^2024"}, DATE]},
        {"$ref": "#/$defs/date", "pattern": "^2024"},
    ],
    ids=["alternatives of patterns", "alternatives of formats", "all of", "all of, with its own", "reference"],
)
def test_a_pattern_replaces_no_format_of_another_schema(schema: dict[str, Any]) -> None:
    whole = normalise_parameters({"type": "object", "properties": {"d": schema}, "$defs": {"date": DATE}})
    assert validator(whole).is_valid({"d": "2024-01-02"})
    assert not validator(whole).is_valid({"d": "2024-xx"})
    with pytest.raises(UnsupportedSchema) as caught:
        lower(whole, "gbnf")
    assert caught.value.keyword == "pattern"


def test_a_format_of_nobodys_is_no_matter_to_a_pattern() -> None:
    assert merge({"format": "password"}, {"pattern": "x"}, {}) == {"format": "password", "pattern": "x"}


def test_branches_are_told_apart_in_time_that_grows_with_their_number() -> None:
    """Two chains in which each link names the next one twice: forty links would have taken months."""

    def links(name: str, last: dict[str, Any]) -> dict[str, Any]:
        refs = [{"$ref": f"#/$defs/{name}{number}"} for number in range(41)]
        parts = [{"type": "object", "properties": {"x": ref, "y": ref}, "required": ["x", "y"]} for ref in refs[1:]]
        return {f"{name}{number}": part for number, part in enumerate([*parts, last])}

    def schema(last: dict[str, Any]) -> dict[str, Any]:
        branches = {"oneOf": [{"$ref": "#/$defs/a0"}, {"$ref": "#/$defs/b0"}]}
        return {"$defs": links("a", {"type": "string"}) | links("b", last), **branches}

    started = time.process_time()
    with pytest.raises(UnsupportedSchema, match="two of its branches may accept the same value"):
        lower(schema({"type": "string"}), "gbnf")
    assert lower(schema({"type": "integer"}), "gbnf")
    assert time.process_time() - started < 5


def test_a_pair_that_led_back_to_itself_may_still_be_told_apart() -> None:
    """`next` is asked first, and leads back in vain; then `kind` tells, and with it what was asked in vain."""

    def link(kind: str, name: str) -> dict[str, Any]:
        properties = {"next": {"$ref": f"#/$defs/{name}"}, "kind": {"const": kind}}
        return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}

    def holding(**names: str) -> dict[str, Any]:
        properties = {name: {"$ref": f"#/$defs/{other}"} for name, other in names.items()}
        return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}

    parts = {"a": link("x", "c"), "b": link("y", "d"), "c": holding(back="a"), "d": holding(back="b")}
    parts |= {"e": holding(below="c"), "f": holding(below="d")}
    branches = [{"anyOf": [holding(p="a"), holding(q="e")]}, holding(p="b", q="f")]
    assert lower({"$defs": parts, "oneOf": branches}, "gbnf")
