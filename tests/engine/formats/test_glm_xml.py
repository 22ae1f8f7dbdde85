"""The `glm_xml` format by examples: what it writes, what it reads, what it refuses, what its grammar is made of."""

from __future__ import annotations

import time

import pytest

from engine.errors import ConstraintError
from engine.formats.glm_xml import GlmXmlFormat
from engine.formats.protocol import CannotCarry
from engine.types import Call, Fragment, Parsed, Tool
from grammars.nodes import AnyOrder, Choice, Json, Literal, Marker, Node, RawString, Repeat, Seq
from grammars.schema import normalise_parameters
from tests.engine.formats.prefixes import is_thinking

FORMAT = GlmXmlFormat()
LINE_BREAK = Repeat(Literal("\n"), Literal(""), 0, 1)
WEATHER = Tool(
    "get_weather",
    "",
    normalise_parameters(
        {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "metric": {"type": ["boolean", "null"]},
                "tags": {"type": "array", "items": {"type": "string"}},
                "unit": {"type": ["string", "null"], "maxLength": 2},
            },
            "required": ["city"],
        }
    ),
)
PING = Tool("ping", "", normalise_parameters({}))
TOOLS = (WEATHER, PING)


def pair(key: str, value: str) -> str:
    return f"<arg_key>{key}</arg_key><arg_value>{value}</arg_value>"


def weather(*pairs: str) -> str:
    return "".join(("<tool_call>get_weather", *pairs, "</tool_call>"))


PARIS = weather(pair("city", "Paris"), pair("days", "2"))
TO_PARIS = Call("get_weather", {"city": "Paris", "days": 2})
PINGED = "<tool_call>ping</tool_call>"


@pytest.mark.parametrize(
    ("calls", "text"),
    [
        ([], ""),
        ([TO_PARIS], PARIS),
        ([Call("ping", {})], PINGED),
        ([TO_PARIS, Call("ping", {})], PARIS + PINGED),
        (
            [Call("get_weather", {"tags": ["</arg_value>", "é"], "metric": True, "city": ""})],
            weather(pair("city", ""), pair("metric", "true"), pair("tags", '["</arg_value>", "é"]')),
        ),
        ([Call("get_weather", {"metric": None, "unit": None})], weather(pair("metric", "null"), pair("unit", "null"))),
        ([Call("get_weather", {"city": "2"})], weather(pair("city", "2"))),
        ([Call("get_weather", {"city": "\n True\n"})], weather(pair("city", "\n True\n"))),
        ([Call("pong", {"a b": "2"})], f"<tool_call>pong{pair('a b', '2')}</tool_call>"),
    ],
)
def test_what_is_written_is_read_back(calls: list[Call], text: str) -> None:
    assert FORMAT.write(calls, TOOLS) == text
    assert FORMAT.parse(text, TOOLS) == Parsed(tuple(calls))


@pytest.mark.parametrize(
    ("text", "calls", "content"),
    [
        (f"I look it up.\n\n{PARIS}\n", [TO_PARIS], "I look it up."),
        # GLM-4.5 and 4.6
        (
            "\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n<arg_key>days</arg_key>\n"
            "<arg_value>2</arg_value>\n</tool_call>\n<tool_call>ping\n</tool_call>",
            [TO_PARIS, Call("ping", {})],
            "",
        ),
        (weather(pair("tags", '[ "</arg_value>" ]\n')), [Call("get_weather", {"tags": ["</arg_value>"]})], ""),
        # what is not of its type, for the schema to judge
        (weather(pair("days", "two")), [Call("get_weather", {"days": "two"})], ""),
        (weather(pair("metric", "True")), [Call("get_weather", {"metric": "True"})], ""),
        (weather(pair("tags", "[a]")), [Call("get_weather", {"tags": "[a]"})], ""),
        (weather(pair("hours", "2")), [Call("get_weather", {"hours": "2"})], ""),
        # tags in strings
        (
            weather(pair("city", "</tool_call><tool_call>")),
            [Call("get_weather", {"city": "</tool_call><tool_call>"})],
            "",
        ),
    ],
)
def test_other_ways_of_writing_a_call(text: str, calls: list[Call], content: str) -> None:
    assert FORMAT.parse(text, TOOLS) == Parsed(tuple(calls), content=content)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('<tool_call>\n{"name": "ping", "arguments": {}}\n</tool_call>', "no name"),
        ("<tool_call></tool_call>", "no name"),
        ("<tool_call>I call ping</tool_call>", "<arg_key> or </tool_call> is missing"),
        (weather("<arg_key>city<arg_value>Paris</arg_value>"), "no name that </arg_key> ends"),
        (weather("<arg_key>city</arg_key>Paris"), "<arg_value> is missing"),
        (weather(pair("city", "a"), pair("city", "b")), "the parameter city is there twice"),
        ("</tool_call>", "</tool_call> without <tool_call>"),
        (pair("city", "Paris"), "<arg_key> without <tool_call>"),
    ],
)
def test_what_is_no_call(text: str, reason: str) -> None:
    parsed = FORMAT.parse(f"Well. {text}", TOOLS)
    assert parsed.calls == ()
    assert parsed.fragments == (Fragment(text, reason, len("Well. ")),)
    assert not parsed.open_block


def test_a_value_that_is_not_closed_swallows_no_other() -> None:
    forgotten = "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris</tool_call>"
    parsed = FORMAT.parse(forgotten + PARIS, TOOLS)
    assert parsed == Parsed((TO_PARIS,), (Fragment(forgotten, "</arg_value> is missing", 0),))


def test_a_broken_block_ends_where_the_next_one_begins() -> None:
    broken = "<tool_call>get_weather(Paris)"
    parsed = FORMAT.parse(broken + PARIS, TOOLS)
    assert parsed == Parsed((TO_PARIS,), (Fragment(broken, "<arg_key> or </tool_call> is missing", 0),))


def test_every_cut_is_open_until_the_call_is_whole() -> None:
    text = "Yes. " + weather(pair("tags", '["</arg_value></tool_call>", "a"]'), pair("city", "b"))
    for end in range(len(text)):
        parsed = FORMAT.parse(text[:end], TOOLS)
        assert parsed.calls == ()
        is_closed = text[:end].endswith("</tool_call>")  # as far as anybody can see
        assert parsed.open_block == (end >= len("Yes. <tool_call>") and not is_closed)
        if parsed.open_block:
            assert [one.text for one in parsed.fragments] == [text[5:end]]


def test_reasoning_comes_first() -> None:
    text = f"I could {PARIS}</think>{PINGED}"
    expected = Parsed((Call("ping", {}),), reasoning=f"I could {PARIS}")
    assert FORMAT.parse(text, TOOLS, reasoning_opened=True) == expected
    assert FORMAT.parse(f"<think>{text}", TOOLS) == expected


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (Call("get_weather", {"city": "a</arg_value>b"}), "contains </arg_value>"),
        (Call("get_weather", {"city": 2}), "read as something else"),
        (Call("get_weather", {"days": "2"}), "read as something else"),
        (Call("get_weather", {"unit": "null"}), "read as something else"),
        (Call("get_weather", {"a<b": "2"}), "cannot stand between tags"),
        (Call("get weather", {}), "cannot stand between tags"),
        (Call("", {}), "cannot stand between tags"),
    ],
)
def test_what_cannot_be_written(call: Call, reason: str) -> None:
    with pytest.raises(CannotCarry, match=reason):
        FORMAT.write([call], TOOLS)


def test_the_grammar() -> None:
    spec = FORMAT.constraint([WEATHER], required=False)
    assert spec.triggers == ("<tool_call>",)
    assert isinstance(spec.root, Seq)
    calls, last = spec.root.parts
    assert isinstance(calls, Repeat)
    assert (calls.separator, calls.minimum, calls.maximum) == (LINE_BREAK, 1, None)
    assert last == LINE_BREAK
    assert isinstance(calls.item, Seq)
    opening, call, closing = calls.item.parts
    assert (opening, closing) == (Marker("<tool_call>"), Marker("</tool_call>"))
    assert isinstance(call, Seq)
    name, spellings = call.parts
    assert name == Literal("get_weather")
    assert isinstance(spellings, Choice)
    compact, in_lines = spellings.options
    assert isinstance(compact, Seq)
    assert isinstance(in_lines, Seq)
    [parameters] = compact.parts
    check_parameters(parameters, ())
    line_break, parameters = in_lines.parts
    assert line_break == Literal("\n")
    check_parameters(parameters, (Literal("\n"),))


def check_parameters(parameters: Node, gap: tuple[Literal, ...]) -> None:
    assert isinstance(parameters, AnyOrder)
    city, days, _, _, unit = parameters.items
    assert parameters.is_required == (True, False, False, False, False)

    def key(name: str) -> tuple[Node, ...]:
        return (Marker("<arg_key>"), Literal(name), Marker("</arg_key>"), *gap, Marker("<arg_value>"))

    end: tuple[Node, ...] = (Marker("</arg_value>"), *gap)
    assert city == Seq((*key("city"), RawString({"type": "string"}, "</arg_value>", without=("<arg_value>",)), *end))
    assert days == Seq((*key("days"), Json({"type": "integer"}), *end))
    assert isinstance(unit, Seq)
    text = unit.parts[-1 - len(end)]
    assert isinstance(text, Choice)
    schema = {"type": ["string", "null"], "maxLength": 2}
    assert text.options == (
        RawString(schema, "</arg_value>", without=("<arg_value>",)),
        Json({"allOf": [schema, {"type": ["null"]}]}),
    )


def test_required_and_several() -> None:
    auto, required = (FORMAT.constraint(TOOLS, required=required) for required in (False, True))
    assert isinstance(auto.root, Seq)
    assert required.root == Seq((LINE_BREAK, *auto.root.parts)), "the line break that GLM-4.6 writes before its calls"
    assert required.triggers == ()
    single = FORMAT.constraint(TOOLS, required=False, several=False).root
    assert isinstance(single, Repeat)
    assert single.maximum == 1


def test_tools_that_no_grammar_can_offer() -> None:
    with pytest.raises(ConstraintError, match="without tools"):
        FORMAT.constraint((), required=False)
    with pytest.raises(ConstraintError, match="the tool 'a b' cannot stand between tags; rename it"):
        FORMAT.constraint([Tool("a b", "", normalise_parameters({}))], required=False)


@pytest.mark.parametrize(
    ("text", "name_at", "call_at"),
    [
        (PARIS, "get_weather<", "</tool_call>"),
        ("<tool_call>ping\n</tool_call>", "ping\n", "</tool_call>"),
        (f"<think>\nping {PINGED}</think>{PARIS}", "get_weather<", "</think>" + PARIS),
        (f"<tool_call>a b</tool_call>\n{PINGED}", "a ", PINGED),
        ("Hello > <b> you.", None, None),
    ],
)
def test_the_watcher_names_the_moments(text: str, name_at: str | None, call_at: str | None) -> None:
    watcher = FORMAT.watcher(TOOLS)
    name_end = call_end = None
    for end, character in enumerate(text, start=1):
        watcher.feed(character)
        calls = () if is_thinking(FORMAT, text[:end]) else FORMAT.parse(text[:end], TOOLS).calls
        assert watcher.call_complete == bool(calls)
        name_end = name_end or (end if watcher.name_known else None)
        call_end = call_end or (end if watcher.call_complete else None)
    assert name_end == (None if name_at is None else text.index(name_at) + len(name_at))
    assert call_end == (None if call_at is None else text.index(call_at) + len(call_at))


@pytest.mark.parametrize(
    "unit",
    [
        "<tool_call>",
        "<tool_call>a",
        "<tool_call>get_weather<arg_key>tags</arg_key><arg_value>[",
        '<tool_call>get_weather<arg_key>tags</arg_key><arg_value>["</arg_value>',
        "<tool_call>get_weather<arg_key>tags</arg_key><arg_value>[</arg_value>",
    ],
)
def test_broken_blocks_take_linear_time(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    started = time.process_time()
    assert FORMAT.parse(text, TOOLS).fragments
    assert time.process_time() - started < 5  # in quadratic time it would be minutes


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("<tool_call>{name}<arg_key>{key}</arg_key><arg_value>", True),
        ('<tool_call>\n{"name": ..., "arguments"', False),
        ("<tool_call>\n<function=f>\n<parameter=", False),
    ],
)
def test_its_signature(template: str, expected: bool) -> None:
    assert FORMAT.signature.matches(template) is expected
