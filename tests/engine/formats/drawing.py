"""Hypothesis strategies: tools as applications offer them, calls to them, and the texts that formats stumble over."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from engine.formats import FORMATS
from engine.types import Call, Tool
from grammars.schema import normalise_parameters
from tests.grammars.schemas import instances, tool_parameters

NAMES = st.sampled_from(["get_weather", "add", "a", "math.factorial", "get-user", "Tool_2", "search"])
PROPERTIES = st.sampled_from(["city", "days", "a", "b", "unit", "userName", "x_1", "address", "note"])

# Pieces of every family's syntax, whole and cut, so that each format meets its own and the others'.
SYNTAX = (
    *(f'"}}]<tool_call>{i}' for i in range(1)),
    *(
        "<tool_call>",
        "</tool_call>",
        "<function=f>",
        "</function>",
        "<parameter=a>",
        "</parameter>",
        "\n</parameter>\n",
    ),
    *("<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", "\n</tool_call>", "<TOOLCALL>", "</TOOLCALL>"),
    *("[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "[/INST]", "<|python_tag|>", "```", "```json\n", "; ", "[", "]", "{", "}"),
    *("<|channel|>", "<|message|>", "<|call|>", "<|end|>", "<|start|>", "<|constrain|>json", "to=functions.add "),
    *('<|"|>', "<|tool_call>call:add{", "<tool_call|>", "<|tool_response>", "call:", ",", ":"),
    *("<｜DSML｜invoke>", "</｜DSML｜parameter>", "</｜DSML｜", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>", "｜"),
    *("<think>", "</think>", "<", ">", "</", "\n", "\r\n", "\\", '"', '\\"', "'", "null", "true", "2", "1e9", "&lt;"),
)
Conversation = tuple[tuple[Tool, ...], tuple[Call, ...]]
CHARACTERS = st.characters(exclude_categories=["Cs"])
PLAIN_TEXT = st.text(CHARACTERS | st.sampled_from("ab é\"'\\\n\t{}[],:😀\x00\x7f"), max_size=12)
HOSTILE_TEXT = st.lists(st.sampled_from(SYNTAX) | PLAIN_TEXT, max_size=5).map("".join)
NUMBERS = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
INTEGERS = st.integers(-9, 99) | st.integers(-(10**30), 10**30)


def _values(text: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    scalars = st.none() | st.booleans() | NUMBERS | text
    keys = PROPERTIES | text
    return st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=5
    )


@st.composite
def _parameter(draw: st.DrawFn, text: st.SearchStrategy[str]) -> tuple[dict[str, Any], Any]:
    """The schema of one parameter, and a value for it."""
    nested = st.dictionaries(PROPERTIES, text | INTEGERS, max_size=2)
    kinds: list[tuple[dict[str, Any], st.SearchStrategy[Any]]] = [
        ({"type": "string"}, text),
        ({"type": "string"}, st.sampled_from(["", "2", "-0.5", "null", "true", '{"a": 1}', "[]", '"', " a "])),
        ({"type": "integer"}, INTEGERS),
        ({"type": "number"}, NUMBERS),
        ({"type": "boolean"}, st.booleans()),
        ({"enum": ["celsius", "°F", "two words", 'q"']}, st.sampled_from(["celsius", "°F", "two words", 'q"'])),
        ({"type": ["string", "null"]}, text.filter(lambda value: value != "null") | st.none()),
        ({"type": "array", "items": {"type": "string"}}, st.lists(text, max_size=3)),
        ({"type": "array", "items": {"type": "number"}}, st.lists(NUMBERS, max_size=3)),
        ({"type": "object", "additionalProperties": True}, nested),
        ({"type": "object", "properties": {"city": {"type": "string"}}}, text.map(lambda value: {"city": value})),
    ]
    schema, values = draw(st.sampled_from(kinds))
    return schema, draw(values)


@st.composite
def _call(draw: st.DrawFn, name: str, text: st.SearchStrategy[str]) -> tuple[Tool, Call]:
    names = draw(st.lists(PROPERTIES, unique=True, max_size=4))
    drawn = {each: draw(_parameter(text)) for each in names}
    given_names = draw(st.lists(st.sampled_from(names), unique=True)) if names else []
    schema = {"type": "object", "properties": {each: drawn[each][0] for each in names}}
    if given_names and draw(st.booleans()):
        schema["required"] = [given_names[0]]
    tool = Tool(name, "Does it.", normalise_parameters(schema))
    return tool, Call(name, {each: drawn[each][1] for each in given_names})


@st.composite
def _typical(draw: st.DrawFn, text: st.SearchStrategy[str]) -> Conversation:
    names = draw(st.lists(NAMES, unique=True, min_size=1, max_size=3))
    made = [draw(_call(name, text)) for name in names]
    calls = [call for _, call in made]
    if len(calls) < 3 and draw(st.booleans()):
        calls.append(calls[0])  # the same again
    return tuple(tool for tool, _ in made), tuple(calls)


def plain() -> st.SearchStrategy[Conversation]:
    """Calls without any family's syntax in them."""
    return _typical(PLAIN_TEXT)


def hostile() -> st.SearchStrategy[Conversation]:
    """Calls whose strings are made of the families' syntax."""
    return _typical(HOSTILE_TEXT)


@st.composite
def wild(draw: st.DrawFn) -> Conversation:
    """One call under any schema: unions, references, odd names of properties; the arguments are valid or nearly so."""
    schema = draw(tool_parameters())
    arguments = draw(instances(schema))
    tool = Tool(draw(NAMES | st.just('say "hi" <tool_call>')), "", schema)
    return (tool,), (Call(tool.name, arguments if isinstance(arguments, dict) else {}),)


def marker_texts() -> tuple[str, ...]:
    """Every registered format's own markers."""
    return tuple(dict.fromkeys(marker for fmt in FORMATS.values() for marker in fmt.markers))
