"""Parameters between tags, of which a tool has several lists: what is valid under one of them is accepted.

In any order; a lexer reads the same parameter of all of them at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import permutations, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.constraint.walk import accepts
from engine.errors import UnsupportedSchema
from engine.formats import FORMATS
from engine.formats.protocol import ToolFormat
from engine.types import Call, Tool
from grammars.nodes import Json
from grammars.schema import normalise_parameters
from grammars.validation import validator
from tests.engine.constraint.test_any_order import FEW, tagged

BOUNDED = {"type": "number", "minimum": 0.5, "maximum": 2.5}  # for llguidance, a value that no `%json` can say


def an_object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties]}


SCHEMAS: list[Any] = [
    {"type": "string"},
    {"enum": ["red", "blue"]},
    {"type": "string", "pattern": "^[a-c]+$"},
    {"type": "integer"},
    {"type": ["string", "null"]},
    {"type": "boolean"},
    BOUNDED,
    an_object(n={"type": "integer"}),
    an_object(n=BOUNDED),
    {"type": "object", "additionalProperties": {"type": "number"}},
    {"const": {"n": 7}},
    {"type": "array", "items": {"type": "integer"}},
    {"type": "array", "items": BOUNDED},
]
VALUES: list[Any] = ["red", "w w", "abc", 5, 1.5, True, None, {"n": 7}, {"n": 1}, {"k": 2}, [5], [1], []]


def tool_of(*branches: dict[str, Any]) -> Tool:
    return Tool("f", "", normalise_parameters({"type": "object", "anyOf": [*branches]}))


def texts(fmt: ToolFormat, arguments: dict[str, Any]) -> Iterator[str]:
    """The call in every order of its arguments."""
    for order in permutations(arguments):
        anything = Tool("f", "", {"type": "object", "properties": {name: {} for name in order}})
        yield fmt.write([Call("f", {name: arguments[name] for name in order})], [anything])


def readings(fmt: ToolFormat, arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What the text of these arguments may mean: a word or a number may be a string, too."""
    meant = [
        [value] if isinstance(value, str) or fmt.id == "deepseek_dsml" else [value, json.dumps(value), str(value)]
        for value in arguments.values()
    ]
    return (dict(zip(arguments, values, strict=True)) for values in product(*meant))


@tagged
@FEW
@given(data=st.data())
def test_what_one_of_two_lists_allows_is_accepted_in_any_order(
    engine: Any, fmt: ToolFormat, data: st.DataObject
) -> None:
    some = st.sampled_from(SCHEMAS)
    branches = [an_object(kind={"const": kind}, a=data.draw(some)) for kind in ("x", "y")]
    for branch in branches:
        branch["required"] = data.draw(st.sampled_from((["kind", "a"], ["a"])))
    tool = tool_of(*branches)
    try:
        compiled = engine.compile(fmt.constraint([tool], required=True).root)
    except UnsupportedSchema:
        return
    check = validator(tool.parameters)
    for value, kind in data.draw(st.lists(st.sampled_from([*product(VALUES, ("x", "y", None))]), min_size=8)):
        arguments = {"a": value} if kind is None else {"kind": kind, "a": value}
        valid = any(map(check.is_valid, readings(fmt, arguments)))
        for text in texts(fmt, arguments):
            assert accepts(compiled.start(), engine.kinds, text) == valid, f"{text} under {branches}"


@tagged
@pytest.mark.parametrize(
    ("a", "other", "values"),
    [
        ({"type": "integer"}, {"type": "string"}, (5, "w w")),
        ({"type": "boolean"}, {"type": ["string", "null"]}, (True, "w w")),
        (an_object(n={"type": "integer"}), an_object(n=BOUNDED), ({"n": 7}, {"n": 1.5})),
    ],
    ids=["number or text", "word or text", "objects"],
)
def test_a_tag_may_come_before_and_behind_what_it_tells(
    engine: Any, fmt: ToolFormat, a: Any, other: Any, values: tuple[Any, Any]
) -> None:
    tool = tool_of(an_object(kind={"const": "x"}, a=a), an_object(kind={"const": "y"}, a=other))
    compiled = engine.compile(fmt.constraint([tool], required=True).root)
    for kind, value in zip("xy", values, strict=True):
        for text in texts(fmt, {"kind": kind, "a": value}):
            assert accepts(compiled.start(), engine.kinds, text), text


@pytest.mark.parametrize("other", [{"const": {"n": 7}}, {"type": "object", "additionalProperties": {"type": "number"}}])
def test_alternative_objects_within_a_value(engine: Any, other: Any) -> None:
    whole = normalise_parameters(an_object(a={"anyOf": [an_object(n=BOUNDED), other]}))
    compiled = engine.compile(Json(whole))
    for value in ({"n": 7}, {"n": 1}):
        assert accepts(compiled.start(), engine.kinds, json.dumps({"a": value})), value


def test_an_object_where_another_list_has_text_is_refused_by_name(engines: dict[str, Any]) -> None:
    tool = tool_of(an_object(a=an_object(n={"type": "integer"})), an_object(a={"type": "string"}))
    with pytest.raises(UnsupportedSchema, match="one value may begin like another one"):
        engines["llguidance"].compile(FORMATS["qwen_xml"].constraint([tool], required=True).root)
