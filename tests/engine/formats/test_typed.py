"""Bare texts and the values that they mean, by schema; and the grammar's side of the same rules."""

from __future__ import annotations

import json
import re
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import UnsupportedSchema
from engine.formats.protocol import CannotCarry
from engine.formats.strict import Broken, Value
from engine.formats.typed import Notation, TypedArguments, kinds_of, ordered_arguments
from engine.formats.typed_nodes import Parameter, parameter_lists, value_node
from engine.types import Call, Tool
from grammars.merge import same
from grammars.nodes import Choice, Json, Literal, Node, RawString, Seq
from grammars.regex import START, to_regex
from grammars.schema import normalise_parameters
from grammars.validation import validator

PLAIN = Notation(close="</v>", opening="<v>")
LINES = Notation(
    opening="<v>",
    close="\n</v>",
    lead="\n",
    words=MappingProxyType({"True": True, "False": False, "None": None}),
    onward=("\n<v>",),
)
NAMES = re.compile(r"[a-z]+")

DEFINITIONS: dict[str, Any] = {
    "text": {"type": "string"},
    "size": {"enum": ["small", 1, None]},
    "tree": {
        "type": "object",
        "properties": {"next": {"$ref": "#/$defs/tree"}},
        "additionalProperties": False,
    },
}
NULLABLE = {"type": ["string", "null"]}
SHORT = {"type": ["string", "null"], "maxLength": 2}


def tool_with(schema: Any, **others: Any) -> Tool:
    whole = {"type": "object", "properties": {"x": schema, **others}, "$defs": DEFINITIONS}
    return Tool("f", "", normalise_parameters(whole))


def typed(schema: Any, notation: Notation = PLAIN) -> TypedArguments:
    return TypedArguments(tool_with(schema), notation)


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        # strings stay what they are
        ({"type": "string"}, "2", "2"),
        ({"type": "string"}, "null", "null"),
        ({"type": "string"}, ' "a" ', ' "a" '),
        ({"type": "string"}, "", ""),
        ({"enum": ["1", "2"]}, "1", "1"),
        ({"$ref": "#/$defs/text"}, "true", "true"),
        ({"anyOf": [{"const": "1"}, {"const": "2"}]}, "2", "2"),
        ({"allOf": [{"type": "string"}, {"minLength": 1}]}, "2", "2"),
        # everything else is JSON
        ({"type": "integer"}, "2", 2),
        ({"type": "integer"}, " 2\n", 2),
        ({"type": "number"}, "1e3", 1000.0),
        ({"type": "boolean"}, "true", True),
        ({"type": "null"}, "null", None),
        ({"type": "array"}, '[1, "a", null]', [1, "a", None]),
        ({"type": "object"}, '{"a": {}}', {"a": {}}),
        ({"enum": [1, 2]}, "2", 2),
        ({"$ref": "#/$defs/tree"}, '{"next": {}}', {"next": {}}),
        # and what is none stays a string, for the schema to judge
        ({"type": "integer"}, "two", "two"),
        ({"type": "integer"}, "", ""),
        ({"type": "integer"}, "2 days", "2 days"),
        ({"type": "integer"}, "2.5", 2.5),
        ({"type": "boolean"}, "True", "True"),
        ({"type": "array"}, "['a']", "['a']"),
        ({"type": "object"}, '{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
        ({"type": "number"}, "NaN", "NaN"),
        ({"type": "number"}, "1e999", "1e999"),
        # both: the value that the schema accepts, first as JSON
        (NULLABLE, "null", None),
        (NULLABLE, "nil", "nil"),
        (NULLABLE, "2", "2"),
        (NULLABLE, " null", " null"),
        ({"type": ["string", "integer"]}, "2", 2),
        ({"type": ["string", "integer"]}, "2.5", "2.5"),
        ({"type": ["string", "integer"]}, '"2"', '"2"'),
        ({"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 0}]}, "-2", "-2"),
        ({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "integer"}}]}, "[1]", [1]),
        ({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "integer"}}]}, '["a"]', '["a"]'),
        ({"$ref": "#/$defs/size"}, "1", 1),
        ({"$ref": "#/$defs/size"}, "small", "small"),
        ({"$ref": "#/$defs/size"}, "null", None),
        ({"$ref": "#/$defs/size"}, "2", "2"),
        # no type: any value
        ({}, "2", 2),
        ({}, "[1", "[1"),
        ({}, '"a"', '"a"'),
        ({"description": "whatever"}, '{"a": 1}', {"a": 1}),
    ],
    ids=str,
)
def test_a_text_means_what_the_schema_says(schema: Any, text: str, value: Any) -> None:
    found = typed(schema).value_of("x", text)
    assert type(found) is type(value)
    assert found == value
    assert typed(schema).read("x", f"..{text}</v>..", 2) == Value(value, len(text) + len("..</v>"))


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "boolean"}, "True", True),
        ({"type": "boolean"}, "true", True),
        ({"type": "boolean"}, " False ", False),
        ({"type": "null"}, "None", None),
        (NULLABLE, "None", None),
        (NULLABLE, "True", "True"),
        ({"type": "string"}, "True", "True"),
        ({}, "True", True),
        ({"type": "array"}, "[True]", "[True]"),
    ],
    ids=str,
)
def test_other_words_mean_the_same_where_a_template_writes_them(schema: Any, text: str, value: Any) -> None:
    found = typed(schema, LINES).value_of("x", text)
    assert type(found) is type(value)
    assert found == value


def test_parameters_that_no_schema_lists() -> None:
    assert typed({"type": "integer"}).value_of("y", "2") == "2"
    assert TypedArguments(None, PLAIN).value_of("x", "2") == "2"
    for schema, expected in ((True, 2), ({"type": "string"}, "2"), ({"type": "integer"}, 2), (False, "2")):
        tool = Tool("f", "", normalise_parameters({"type": "object", "additionalProperties": schema}))
        assert TypedArguments(tool, PLAIN).value_of("y", "2") == expected


def test_the_alternatives_of_all_parameters_are_looked_through() -> None:
    branches = [
        {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False},
        {"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"], "additionalProperties": False},
        {"type": "object", "properties": {"a": {"type": "string", "minLength": 3}}, "additionalProperties": False},
    ]
    tool = Tool("f", "", normalise_parameters({"type": "object", "anyOf": branches}))
    arguments = TypedArguments(tool, PLAIN)
    assert arguments.value_of("a", "12") == 12
    assert arguments.value_of("a", "twelve") == "twelve"
    assert arguments.value_of("b", "12") == "12"
    lists = parameter_lists(tool, NAMES, "test")
    assert [[(one.name, one.is_required) for one in each] for each in lists] == [
        [("a", True)],
        [("b", True)],
        [("a", False)],
    ]


@pytest.mark.parametrize(
    ("notation", "schema", "text", "expected"),
    [
        (PLAIN, {"type": "string"}, "a</v>b</v>", Value("a", 5)),
        (PLAIN, {"type": "array"}, '["</v>"]</v>', Value(["</v>"], 12)),
        (PLAIN, {"type": "array"}, '[ "</v>"\n]\n</v>', Value(["</v>"], 15)),
        (PLAIN, {"type": "array"}, "[1</v>]</v>", Value("[1", 6)),
        (PLAIN, {}, '["</v>"]</v>', Value('["', 6)),
        (PLAIN, {"type": "integer"}, "12", None),
        (PLAIN, {"type": "array"}, '["</v>', None),
        (PLAIN, {"type": "string"}, "a</v", None),
        (LINES, {"type": "string"}, "\na\n</v>", Value("a", 7)),
        (LINES, {"type": "string"}, "\n\n\n</v>", Value("\n", 7)),
        (LINES, {"type": "string"}, "\n\n</v>", Value("", 6)),
        (LINES, {"type": "string"}, "\n</v>", Value("", 5)),
        (LINES, {"type": "string"}, "\na</v>\n</v>", Value("a</v>", 11)),
        (LINES, {"type": "string"}, "\na</v>\n<v>", Value("a", 6)),
        (LINES, {"type": "string"}, "\na</v> <v></v>\n<v>", Value("a</v> <v>", 14)),
        (LINES, {"type": "string"}, "\na</v>\n", None),  # it may be the end, if a tag follows
        (LINES, {"type": "string"}, "a</v>", Value("a", 5)),
        (LINES, {"type": "string"}, "a\nb</v>\n</v>", Value("a\nb", 7)),
        (LINES, {"type": "integer"}, "\n 2 \n</v>", Value(2, 9)),
        (LINES, {"type": "array"}, "\n[\n1]\n\n</v>", Value([1], 11)),
        (LINES, {"type": "integer"}, "\n2</v>", Value(2, 6)),
        (LINES, {"type": "array"}, '\n["</v>\\n"]</v>', Value(["</v>\n"], 15)),
        (LINES, {"type": "integer"}, "\ntwo</v>\n</v>", Value("two", 8)),
        (LINES, {"type": "integer"}, "2\n</v>", Value(2, 6)),
        (LINES, {"type": "string"}, "a\n</v>", Value("a", 6)),
        (LINES, {"type": "string"}, "", None),
        (LINES, {"type": "string"}, "\n", None),
    ],
    ids=str,
)
def test_where_a_value_ends(notation: Notation, schema: Any, text: str, expected: Value | None) -> None:
    found = typed(schema, notation).read("x", text, 0)
    if expected is None:
        assert isinstance(found, Broken)
        assert found.unfinished
    else:
        assert found == expected


@pytest.mark.parametrize(
    ("notation", "schema", "value", "text"),
    [
        (PLAIN, {"type": "string"}, "2", "2"),
        (PLAIN, {"type": "boolean"}, True, "true"),
        (LINES, {"type": "boolean"}, True, "True"),
        (LINES, {"type": "null"}, None, "None"),
        (PLAIN, {"type": "number"}, 1e22, "10000000000000000000000.0"),
        (PLAIN, {"type": "array"}, ["é", None, True, {"a": "</v>"}], '["é", null, true, {"a": "</v>"}]'),
        (PLAIN, {"type": "integer"}, "two", "two"),
        (LINES, {"type": "string"}, "\n", "\n"),
    ],
    ids=str,
)
def test_how_a_value_is_written(notation: Notation, schema: Any, value: Any, text: str) -> None:
    assert typed(schema, notation).text_of("x", value) == text


@pytest.mark.parametrize(
    ("notation", "schema", "value", "reason"),
    [
        (PLAIN, {"type": "string"}, "a</v>", "contains </v>"),
        (LINES, {"type": "string"}, "a\n</v>", "contains </v>"),
        (LINES, {"type": "string"}, "</v>", "contains </v>"),
        (LINES, {"type": "string"}, "a</v>b", "contains </v>"),
        (PLAIN, {"type": "string"}, "a\0", "contains NUL"),
        (PLAIN, {"type": "string"}, "\ud800", "half of a surrogate pair"),
        (PLAIN, {"type": "string"}, 2, "this number would be read as something else"),
        (PLAIN, {"type": "integer"}, "2", "this string would be read as something else"),
        (PLAIN, {"type": "array"}, '["a', "this string would be read as something else"),
        (PLAIN, NULLABLE, "null", "this string would be read as something else"),
        (LINES, NULLABLE, "None", "this string would be read as something else"),
        (PLAIN, {}, "[1]", "this string would be read as something else"),
        (PLAIN, {"type": "number"}, float("nan"), "not a JSON value"),
        (PLAIN, {"type": "array"}, [10**5000], "digits"),
    ],
)
def test_what_has_no_text(notation: Notation, schema: Any, value: Any, reason: str) -> None:
    with pytest.raises(CannotCarry, match=f"the argument 'x'.*{re.escape(reason)}"):
        typed(schema, notation).text_of("x", value)


def test_arguments_are_written_in_the_order_of_the_schema() -> None:
    tool = tool_with({"type": "integer"}, y={"type": "object", "properties": {"a": {}, "b": {}}})
    call = Call("f", {"z": 0, "y": {"b": 1, "a": 2}, "x": 1.0})
    ordered = ordered_arguments(call, tool)
    assert json.dumps(ordered) == '{"x": 1, "y": {"a": 2, "b": 1}, "z": 0}'
    assert ordered_arguments(call, None) is call.arguments


def test_a_parameter_that_is_allowed_and_not_listed_is_not_written() -> None:
    tool = Tool("f", "", normalise_parameters({"type": "object", "required": ["a"], "additionalProperties": True}))
    assert ordered_arguments(Call("f", {"a": 1}), tool) == {"a": 1}
    with pytest.raises(CannotCarry, match="does not list the parameter 'b'"):
        ordered_arguments(Call("f", {"a": 1, "b": 2}), tool)


SCHEMAS = (
    {"type": "string"},
    {"type": "integer"},
    {"type": "array"},
    {"type": "object"},
    {"type": "boolean"},
    NULLABLE,
    {"type": ["string", "number"]},
    {"type": ["string", "array", "boolean"]},
    {"enum": ["a", "null", None, 1, "2", True, [1]]},
    {"$ref": "#/$defs/size"},
    {},
)
TEXTS = st.lists(
    st.sampled_from(
        ["</v>", "<v>", "\n", "<", '"', "[", "]", "{", "}", "1", "-", "null", "None", "True", ", ", "a", " "]
    ),
    max_size=6,
).map("".join)
VALUES = st.recursive(
    TEXTS | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=150)
@given(schema=st.sampled_from(SCHEMAS), notation=st.sampled_from((PLAIN, LINES)), value=VALUES, tail=TEXTS)
def test_what_is_written_is_read_back_whatever_follows(schema: Any, notation: Notation, value: Any, tail: str) -> None:
    arguments = typed(schema, notation)
    try:
        text = f"{notation.lead}{arguments.text_of('x', value)}{notation.close}"
    except CannotCarry:
        return
    found = arguments.read("x", text + tail, 0)
    assert isinstance(found, Value)
    assert found.end == len(text)
    assert same(found.value, value)


@settings(max_examples=150)
@given(schema=st.sampled_from(SCHEMAS), notation=st.sampled_from((PLAIN, LINES)), text=TEXTS, more=TEXTS)
def test_more_text_does_not_change_what_was_read(schema: Any, notation: Notation, text: str, more: str) -> None:
    arguments = typed(schema, notation)
    found = arguments.read("x", text, 0)
    if isinstance(found, Value):
        assert arguments.read("x", text + more, 0) == found
    elif not found.unfinished:
        assert isinstance(arguments.read("x", text + more, 0), Broken)


# The grammar's side


def node_of(schema: Any, notation: Notation = PLAIN) -> Node:
    [[parameter]] = parameter_lists(tool_with(schema), NAMES, "test")
    assert not parameter.is_required
    return value_node(parameter, notation)


def others(schema: Any, *kinds: str) -> Json:
    return Json({"allOf": [schema, {"type": list(kinds)}]})


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (
            {"type": "string", "minLength": 2},
            RawString({"type": "string", "minLength": 2}, "\n</v>", tag="</v>", without=("<v>",)),
        ),
        ({"type": "integer"}, Json({"type": "integer"})),
        ({"type": "boolean"}, Choice((Json({"type": "boolean"}), Literal("True"), Literal("False")))),
        ({"enum": [True, 1]}, Choice((Json({"enum": [True, 1]}), Literal("True")))),
        ({"type": ["integer", "null"]}, Choice((Json({"type": ["integer", "null"]}), Literal("None")))),
        (
            SHORT,
            Choice((RawString(SHORT, "\n</v>", tag="</v>", without=("<v>",)), others(SHORT, "null"), Literal("None"))),
        ),
        # any string at all: every text is valid, as it or as something else
        (NULLABLE, RawString({"type": "string"}, "\n</v>", tag="</v>", without=("<v>",))),
        ({}, RawString({"type": "string"}, "\n</v>", tag="</v>", without=("<v>",))),
        (
            {"anyOf": [{"type": "object"}, {"type": "string"}]},
            RawString({"type": "string"}, "\n</v>", tag="</v>", without=("<v>",)),
        ),
        (
            {"enum": ["a", 1, [2]]},
            Choice(
                (
                    RawString({"enum": ["a", 1, [2]]}, "\n</v>", tag="</v>", without=("<v>",)),
                    others({"enum": ["a", 1, [2]]}, "array", "integer", "number"),
                )
            ),
        ),
    ],
    ids=str,
)
def test_what_a_grammar_is_made_of(schema: Any, expected: Node) -> None:
    assert node_of(schema, LINES) == expected


UNIONS = (
    NULLABLE,
    {"type": ["string", "null"], "format": "date"},
    {"type": ["string", "boolean"], "minLength": 9},
    {"type": ["string", "integer"], "pattern": "^a$"},
    {"anyOf": [{"type": "string", "maxLength": 1}, {"type": "number", "minimum": 0}]},
    {"enum": ["a", 1.0, None, True, "2"]},
    {"type": "integer"},
    {"type": ["null", "boolean"]},
)
BARE = (
    "2024-02-29",
    "a",
    "b",
    "something",
    "nothing",
    "0",
    "1",
    "2",
    "0.5",
    "-12",
    "01",
    "+1",
    "1.0",
    "",
    "null",
    "None",
)


@pytest.mark.parametrize("schema", UNIONS, ids=str)
def test_a_grammar_has_the_texts_that_mean_a_valid_value(schema: Any) -> None:
    """But for other spellings of one value, of which a grammar has the canonical one."""
    expression = re.compile(to_regex(Seq((node_of(schema, LINES), Literal("\n</v>"))), {}))
    arguments, check = typed(schema, LINES), validator(tool_with(schema).parameters)
    accepted = []
    for text in (*BARE, "None", "true", "True", "false", "False", "[]", "{}", "\n</v>", "</v>", "</v"):
        value = arguments.value_of("x", text)
        if expression.fullmatch(f"{START}{text}\n</v>"):
            assert check.is_valid({"x": value}), text
            accepted.append(text)
        elif isinstance(value, str) and "</v>" not in text:
            assert not check.is_valid({"x": value}), text
    assert accepted


def test_references_keep_their_document() -> None:
    node = node_of({"$ref": "#/$defs/tree"})
    assert isinstance(node, Json)
    check = validator(node.schema)
    assert check.is_valid({"next": {"next": {}}})
    assert not check.is_valid({"next": {"next": 1}})
    [[parameter]] = parameter_lists(
        Tool("f", "", normalise_parameters({"type": "object", "properties": {"x": {"$ref": "#"}}})), NAMES, "test"
    )
    node = value_node(parameter, PLAIN)
    assert isinstance(node, Json)
    assert validator(node.schema).is_valid({"x": {"x": {}}})
    assert not validator(node.schema).is_valid({"x": {"y": {}}})


def test_parameters_of_a_tool() -> None:
    schema = {
        "type": "object",
        "properties": {"b": {"type": "string"}, "a": {}, "B": {}, "never": False},
        "required": ["a"],
    }
    [found] = parameter_lists(Tool("f", "", normalise_parameters(schema)), NAMES, "test")
    assert [(one.name, one.is_required) for one in found] == [("b", False), ("a", True)]
    assert all(isinstance(one, Parameter) and one.tool == "f" for one in found)


@pytest.mark.parametrize(
    ("schema", "keyword"),
    [
        ({"required": ["B"]}, "required"),
        ({"minProperties": 1}, "minProperties"),
        ({"properties": {"a": {}, "b": {}}, "maxProperties": 1}, "maxProperties"),
        ({"patternProperties": {"^x": {}}}, "patternProperties"),
        ({"properties": {"a": {}}, "dependentRequired": {"a": ["b"]}}, "dependentRequired"),
        ({"not": {"required": ["a"]}}, "not"),
    ],
    ids=str,
)
def test_what_is_said_of_all_arguments_is_refused_by_name(schema: Any, keyword: str) -> None:
    with pytest.raises(UnsupportedSchema) as error:
        parameter_lists(Tool("f", "", normalise_parameters({"type": "object", **schema})), NAMES, "test")
    assert error.value.keyword == keyword


@pytest.mark.parametrize(
    ("schema", "kinds"),
    [
        ({"type": "string"}, "string"),
        ({"type": ["string", "null"], "enum": ["a", None, 3]}, "string null"),
        ({"enum": [1, 2.5]}, "integer number"),
        ({"const": {}}, "object"),
        ({"$ref": "#/$defs/size"}, "string integer number null"),
        ({"oneOf": [{"type": "array"}, {"$ref": "#/$defs/text"}]}, "array string"),
        ({"allOf": [{"type": ["string", "array"]}, {"type": ["array", "null"]}]}, "array"),
        (False, ""),
        (True, "object array string number integer boolean null"),
    ],
    ids=str,
)
def test_the_types_that_a_schema_may_accept(schema: Any, kinds: str) -> None:
    assert kinds_of(schema, {"$defs": DEFINITIONS}) == frozenset(kinds.split())
