"""The `deepseek_dsml` format by examples: what it writes and reads, what it refuses, what its grammar is made of."""

from __future__ import annotations

import time

import pytest

from engine.errors import ConstraintError
from engine.formats.deepseek_dsml import DeepseekDsmlFormat
from engine.formats.protocol import CannotCarry
from engine.types import Call, Fragment, Parsed, Tool
from grammars.nodes import AnyOrder, Choice, Json, Literal, Marker, Node, RawString, Repeat, Seq
from grammars.schema import normalise_parameters
from tests.engine.formats.prefixes import is_thinking

FORMAT = DeepseekDsmlFormat()
WEATHER = Tool(
    "get_weather",
    "",
    normalise_parameters(
        {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "unit": {"type": ["string", "null"]},
                "tags": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["city"],
        }
    ),
)
PING = Tool("ping", "", normalise_parameters({}))
TOOLS = (WEATHER, PING)


def text_of(key: str, value: str, *, is_text: bool = True) -> str:
    flag = "true" if is_text else "false"
    return f'<｜DSML｜parameter name="{key}" string="{flag}">{value}</｜DSML｜parameter>\n'


def json_of(key: str, value: str) -> str:
    return text_of(key, value, is_text=False)


def invoke(name: str, *parameters: str) -> str:
    return "".join((f'<｜DSML｜invoke name="{name}">\n', *parameters, "</｜DSML｜invoke>\n"))


def block(*invokes: str) -> str:
    return "".join(("<｜DSML｜function_calls>\n", *invokes, "</｜DSML｜function_calls>"))


PARIS = invoke("get_weather", text_of("city", "Paris"), json_of("days", "2"))
TO_PARIS = Call("get_weather", {"city": "Paris", "days": 2})
PINGED = invoke("ping")


@pytest.mark.parametrize(
    ("calls", "text"),
    [
        ([], ""),
        ([TO_PARIS], "\n\n" + block(PARIS)),
        ([Call("ping", {})], "\n\n" + block(PINGED)),
        ([TO_PARIS, Call("ping", {})], "\n\n" + block(PARIS, PINGED)),
        (
            [Call("get_weather", {"tags": ["</｜DSML｜parameter>", "é"], "unit": None, "city": ""})],
            "\n\n"
            + block(
                invoke(
                    "get_weather",
                    text_of("city", ""),
                    json_of("unit", "null"),
                    json_of("tags", '["</｜DSML｜parameter>", "é"]'),
                )
            ),
        ),
        # no schema is needed to tell a text from a value
        (
            [Call("get_weather", {"city": 2, "days": "2", "unit": "null"})],
            "\n\n" + block(invoke("get_weather", json_of("city", "2"), text_of("days", "2"), text_of("unit", "null"))),
        ),
        ([Call("pong", {"a b": True})], "\n\n" + block(invoke("pong", json_of("a b", "true")))),
        (
            [Call("get_weather", {"city": '\n"</｜DSML｜invoke>\n'})],
            "\n\n" + block(invoke("get_weather", text_of("city", '\n"</｜DSML｜invoke>\n'))),
        ),
    ],
)
def test_what_is_written_is_read_back(calls: list[Call], text: str) -> None:
    assert FORMAT.write(calls, TOOLS) == text
    assert FORMAT.parse(text, TOOLS) == Parsed(tuple(calls))


@pytest.mark.parametrize(
    ("text", "calls", "content"),
    [
        (f"I look it up.\n\n{block(PARIS)}\n", [TO_PARIS], "I look it up."),
        (block(PARIS).replace("\n", ""), [TO_PARIS], ""),
        (block(PARIS, PINGED).replace("function_calls", "tool_calls"), [TO_PARIS, Call("ping", {})], ""),
        (f"{block(PARIS)} and {block(PINGED)}", [TO_PARIS, Call("ping", {})], "and"),
        ("<｜DSML｜function_calls></｜DSML｜function_calls>", [], ""),
        (block(invoke("ping", json_of("a", " [1] "))), [Call("ping", {"a": [1]})], ""),
        (block(invoke("ping", json_of("a", '"x"'))), [Call("ping", {"a": "x"})], ""),
    ],
)
def test_other_ways_of_writing_a_call(text: str, calls: list[Call], content: str) -> None:
    assert FORMAT.parse(text, TOOLS) == Parsed(tuple(calls), content=content)


OPENING = "<｜DSML｜function_calls>\n"
OTHER = '<｜DSML｜parameter name="'


def test_a_value_that_is_not_closed_swallows_no_other() -> None:
    forgotten = invoke("get_weather", text_of("city", "Paris").removesuffix("</｜DSML｜parameter>\n"))
    parsed = FORMAT.parse(block(forgotten, PARIS), TOOLS)
    assert parsed == Parsed((TO_PARIS,), (Fragment(OPENING + forgotten, "</｜DSML｜parameter> is missing", 0),))


@pytest.mark.parametrize(
    ("text", "reason", "fragment"),
    [
        (block("ping()"), '<｜DSML｜invoke name=" or </｜DSML｜function_calls> is missing', block("ping()")),
        (block(invoke("")), 'no name that "> ends', block(invoke(""))),
        (
            block(invoke("ping", "Paris\n")),
            '<｜DSML｜parameter name=" or </｜DSML｜invoke> is missing',
            block(invoke("ping", "Paris\n")),
        ),
        (
            block(invoke("ping", text_of("a", "b").replace(' string="true"', ""))),
            'string="true"> or string="false"> is missing',
            block(invoke("ping", text_of("a", "b").replace(' string="true"', ""))),
        ),
        (
            block(invoke("ping", json_of("a", "b"))),
            "not JSON: expecting value",
            block(invoke("ping", json_of("a", "b"))),
        ),
        (
            block(invoke("ping", json_of("a", "1 2"))),
            "text after the JSON value",
            block(invoke("ping", json_of("a", "1 2"))),
        ),
        (
            block(invoke("ping", json_of("a", "1"), text_of("a", "1"))),
            "the parameter a is there twice",
            (OPENING + invoke("ping", json_of("a", "1"), text_of("a", "1"))).rstrip(),
        ),
        (PINGED, '<｜DSML｜invoke name="ping"> without <｜DSML｜function_calls>', PINGED.rstrip()),
    ],
)
def test_what_is_no_call(text: str, reason: str, fragment: str) -> None:
    parsed = FORMAT.parse(f"Well. {text}", TOOLS)
    assert parsed.calls == ()
    assert parsed.fragments == (Fragment(fragment, reason, len("Well. ")),)
    assert not parsed.open_block


def test_a_broken_call_leaves_those_beside_it() -> None:
    broken = '<｜DSML｜invoke name="get_weather">\nParis\n'
    parsed = FORMAT.parse(block(PARIS, broken, PINGED), TOOLS)
    reason = '<｜DSML｜parameter name=" or </｜DSML｜invoke> is missing'
    position = len(OPENING + PARIS) - 1
    assert parsed == Parsed((TO_PARIS, Call("ping", {})), (Fragment("\n" + broken, reason, position),))


def test_a_block_that_the_other_tag_closes_is_broken() -> None:
    parsed = FORMAT.parse(OPENING + PINGED + "</｜DSML｜tool_calls>", TOOLS)
    assert parsed.calls == (Call("ping", {}),)
    assert [one.reason for one in parsed.fragments] == [
        '<｜DSML｜invoke name=" or </｜DSML｜function_calls> is missing',
        "</｜DSML｜tool_calls> without <｜DSML｜function_calls>",
    ]


def test_every_cut_is_open_until_the_block_is_closed() -> None:
    text = "Yes.\n\n" + block(PARIS, PINGED)
    first, second = (text.index(one) + len(one.rstrip()) for one in (PARIS, PINGED))
    for end in range(len(text)):
        parsed = FORMAT.parse(text[:end], TOOLS)
        assert len(parsed.calls) == (end >= first) + (end >= second)
        assert parsed.open_block == (end >= len("Yes.\n\n<｜DSML｜function_calls>"))
        assert len(parsed.fragments) == parsed.open_block
        for fragment in parsed.fragments:
            assert text[fragment.position : end] == fragment.text


def test_reasoning_comes_first() -> None:
    text = f"I could {block(PARIS)}</think>\n\n{block(PINGED)}"
    expected = Parsed((Call("ping", {}),), reasoning=f"I could {block(PARIS)}")
    assert FORMAT.parse(text, TOOLS, reasoning_opened=True) == expected
    assert FORMAT.parse(f"<think>{text}", TOOLS) == expected


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (Call("get_weather", {"city": "a</｜DSML｜parameter>b"}), "a string contains </｜DSML｜parameter>"),
        (Call("get_weather", {"city": "a\0"}), "a string contains NUL"),
        (Call("get_weather", {"days": float("inf")}), "not a JSON value"),
        (Call("get_weather", {'a"b': "2"}), "cannot stand between tags"),
        (Call("get\nweather", {}), "cannot stand between tags"),
        (Call("", {}), "cannot stand between tags"),
    ],
)
def test_what_cannot_be_written(call: Call, reason: str) -> None:
    with pytest.raises(CannotCarry, match=reason):
        FORMAT.write([call], TOOLS)


def tag(*texts: str) -> tuple[Node, ...]:
    first, *rest = texts
    return (Literal(first), *(node for text in rest for node in (Marker("｜DSML｜"), Literal(text))))


def test_the_grammar() -> None:
    spec = FORMAT.constraint([WEATHER], required=False)
    assert spec.triggers == ("<｜DSML｜function_calls>", "<｜DSML｜tool_calls>")
    assert isinstance(spec.root, Choice)
    calls, other = spec.root.options
    assert isinstance(calls, Seq)
    assert isinstance(other, Seq)
    assert calls.parts[:3] == tag("<", "function_calls>\n")
    assert calls.parts[-3:] == tag("</", "function_calls>")
    assert other.parts[:3] == tag("<", "tool_calls>\n")
    invokes = calls.parts[3]
    assert isinstance(invokes, Repeat)
    assert invokes == other.parts[3]
    assert (invokes.separator, invokes.minimum, invokes.maximum) == (Literal(""), 1, None)
    assert isinstance(invokes.item, Seq)
    parts = invokes.item.parts
    assert parts[:3] == tag("<", 'invoke name="get_weather">\n')
    assert parts[-3:] == tag("</", "invoke>\n")
    end, until = tag("</", "parameter>\n"), "</｜DSML｜parameter>"
    [parameters] = parts[3:-3]
    assert isinstance(parameters, AnyOrder)
    assert parameters.is_required == (True, False, False, False)
    city, days, unit, _ = parameters.items
    text, integer = RawString({"type": "string"}, until, without=(OTHER,)), Json({"type": "integer"})
    assert city == Seq((*tag("<", 'parameter name="city" string="true">'), text, *end))
    assert days == Seq((*tag("<", 'parameter name="days" string="false">'), integer, *end))
    nullable = {"type": ["string", "null"]}
    either = (
        Seq((*tag("<", 'parameter name="unit" string="true">'), RawString(nullable, until, without=(OTHER,)))),
        Seq((*tag("<", 'parameter name="unit" string="false">'), Json({"allOf": [nullable, {"type": ["null"]}]}))),
    )
    assert unit == Seq((Choice(either), *end))


def test_required_and_several() -> None:
    auto, required = (FORMAT.constraint(TOOLS, required=required) for required in (False, True))
    lead = Repeat(Literal("\n\n"), Literal(""), 0, 1)
    assert required.root == Seq((lead, auto.root)), "the line breaks that the template writes before a block"
    assert required.triggers == ()
    single = FORMAT.constraint(TOOLS, required=False, several=False).root
    assert "maximum=1" in repr(single)
    assert "maximum=None" not in repr(single)


def test_tools_that_no_grammar_can_offer() -> None:
    with pytest.raises(ConstraintError, match="without tools"):
        FORMAT.constraint((), required=False)
    with pytest.raises(ConstraintError, match="cannot stand between tags; rename it"):
        FORMAT.constraint([Tool('a"b', "", normalise_parameters({}))], required=False)


@pytest.mark.parametrize(
    ("text", "name_at", "call_at"),
    [
        (block(PARIS), 'get_weather">', "</｜DSML｜invoke>"),
        (
            f"<think>\nping {block(PINGED)}</think>{block(PARIS)}",
            'get_weather">',
            "</think>" + OPENING + PARIS.rstrip(),
        ),
        (block(invoke("a", "b\n"), PINGED), 'a">', OPENING + invoke("a", "b\n") + PINGED.rstrip()),
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
        OPENING,
        OPENING + '<｜DSML｜invoke name="',
        '<｜DSML｜invoke name="f">',
        '<｜DSML｜invoke name="f">' + json_of("a", "["),
        '<｜DSML｜invoke name="f">' + json_of("a", '["'),
        '<｜DSML｜invoke name="f">' + text_of("a", "").removesuffix("</｜DSML｜parameter>\n"),
    ],
)
def test_broken_blocks_take_linear_time(unit: str) -> None:
    text = OPENING + unit * (200_000 // len(unit))
    started = time.process_time()
    assert FORMAT.parse(text, TOOLS).fragments
    assert time.process_time() - started < 5  # in quadratic time it would be minutes


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("set dsml_token = '｜DSML｜' ... dsml_token + 'invoke name=\"' + name", True),
        ("<｜tool▁calls▁begin｜>", False),
        ('<invoke name="f">', False),
    ],
)
def test_its_signature(template: str, expected: bool) -> None:
    assert FORMAT.signature.matches(template) is expected
