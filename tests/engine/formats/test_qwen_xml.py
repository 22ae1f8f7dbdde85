"""The `qwen_xml` format by examples: what it writes, what it reads, what it refuses, what its grammar is made of."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from engine.errors import ConstraintError
from engine.formats.protocol import CannotCarry
from engine.formats.qwen_xml import QwenXmlFormat
from engine.types import Call, Fragment, Parsed, Tool
from grammars.nodes import AnyOrder, Choice, Json, Literal, Marker, RawString, Repeat, Seq
from grammars.schema import normalise_parameters
from tests.engine.formats.prefixes import is_thinking

FORMAT = QwenXmlFormat()
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
            },
            "required": ["city"],
        }
    ),
)
PING = Tool("ping", "", normalise_parameters({}))
TOOLS = (WEATHER, PING)

PARIS = (
    "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n2\n</parameter>\n"
    "</function>\n</tool_call>"
)
PINGED = "<tool_call>\n<function=ping>\n</function>\n</tool_call>"
TO_PARIS = Call("get_weather", {"city": "Paris", "days": 2})


def inside(*arguments: str) -> str:
    return "".join(("<tool_call>\n<function=get_weather>\n", *arguments, "</function>\n</tool_call>"))


@pytest.mark.parametrize(
    ("calls", "text"),
    [
        ([], ""),
        ([TO_PARIS], PARIS),
        ([Call("ping", {})], PINGED),
        ([TO_PARIS, Call("ping", {})], f"{PARIS}\n{PINGED}"),
        (
            [Call("get_weather", {"tags": ["a\n", "é"], "metric": True, "city": ""})],
            inside(
                "<parameter=city>\n\n</parameter>\n",
                "<parameter=metric>\nTrue\n</parameter>\n",
                '<parameter=tags>\n["a\\n", "é"]\n</parameter>\n',
            ),
        ),
        ([Call("get_weather", {"metric": None})], inside("<parameter=metric>\nNone\n</parameter>\n")),
        ([Call("get_weather", {"city": "2"})], inside("<parameter=city>\n2\n</parameter>\n")),
        ([Call("get_weather", {"city": "\n a\n"})], inside("<parameter=city>\n\n a\n\n</parameter>\n")),
        (
            [Call("unheard_of", {"x": "2"})],
            inside("<parameter=x>\n2\n</parameter>\n").replace("get_weather", "unheard_of"),
        ),
    ],
)
def test_what_is_written_is_read_back(calls: list[Call], text: str) -> None:
    assert FORMAT.write(calls, TOOLS) == text
    assert FORMAT.parse(text, TOOLS) == Parsed(tuple(calls))


@pytest.mark.parametrize(
    ("text", "calls", "content"),
    [
        (f"I look it up.\n\n{PARIS}\n", [TO_PARIS], "I look it up."),
        # The beginning that Qwen3-Coder leaves out
        (PARIS.removeprefix("<tool_call>\n"), [TO_PARIS], ""),
        (PARIS.removeprefix("<tool_call>\n").removesuffix("\n</tool_call>"), [TO_PARIS], ""),
        (
            f"First.\n{PARIS.removeprefix('<tool_call>')} then\n{PINGED}",
            [TO_PARIS, Call("ping", {})],
            "First.\n\n then",
        ),
        # white space between the tags, and values in one line with theirs
        (PARIS.replace(">\n<", "><"), [TO_PARIS], ""),
        (PARIS.replace(">\n<", ">\n\n  <"), [TO_PARIS], ""),
        (inside("<parameter=city>Paris</parameter><parameter=days>2</parameter>"), [TO_PARIS], ""),
        (inside("<parameter=city>\n</parameter>\n"), [Call("get_weather", {"city": ""})], ""),
        # JSON's words and Python's
        (inside("<parameter=metric>\ntrue\n</parameter>\n"), [Call("get_weather", {"metric": True})], ""),
        (inside("<parameter=metric>\nFalse\n</parameter>\n"), [Call("get_weather", {"metric": False})], ""),
        (inside("<parameter=metric>\nnull\n</parameter>\n"), [Call("get_weather", {"metric": None})], ""),
        # what is not of its type, for the schema to judge
        (inside("<parameter=days>\ntwo\n</parameter>\n"), [Call("get_weather", {"days": "two"})], ""),
        (inside("<parameter=tags>\n[a]\n</parameter>\n"), [Call("get_weather", {"tags": "[a]"})], ""),
        (inside("<parameter=hours>\n2\n</parameter>\n"), [Call("get_weather", {"hours": "2"})], ""),
        # a closing tag in the value's own line
        (
            inside("<parameter=city>\nParis</parameter>\n<parameter=days>\n2</parameter>\n"),
            [TO_PARIS],
            "",
        ),
        (
            inside("<parameter=days>\n2</parameter><parameter=city>\nParis\n</parameter>"),
            [Call("get_weather", {"days": 2, "city": "Paris"})],
            "",
        ),
        (inside("<parameter=city>\nParis</parameter>\n"), [Call("get_weather", {"city": "Paris"})], ""),
        (inside("<parameter=city>Paris\n</parameter>\n"), [Call("get_weather", {"city": "Paris"})], ""),
        (inside("<parameter=metric>\nTrue</parameter>\n"), [Call("get_weather", {"metric": True})], ""),
        (inside("<parameter=days>\ntwo</parameter>\n"), [Call("get_weather", {"days": "two"})], ""),
        (
            inside('<parameter=tags>\n["</parameter>\\n"]</parameter>\n'),
            [Call("get_weather", {"tags": ["</parameter>\n"]})],
            "",
        ),
        # tags in strings
        (
            inside("<parameter=city>\n</tool_call> <function=f> a</parameter>\n</parameter>\n"),
            [Call("get_weather", {"city": "</tool_call> <function=f> a</parameter>"})],
            "",
        ),
    ],
)
def test_other_ways_of_writing_a_call(text: str, calls: list[Call], content: str) -> None:
    assert FORMAT.parse(text, TOOLS) == Parsed(tuple(calls), content=content)


@pytest.mark.parametrize(
    ("text", "reason", "fragment"),
    [
        ('<tool_call>\n{"name": "ping", "arguments": {}}\n</tool_call>', "<function= is missing", ...),
        ("<tool_call>\n<function=>\n</function>\n</tool_call>", "no name that > ends", ...),
        ("<tool_call>\n<function=a\nb>\n</function>\n</tool_call>", "no name that > ends", ...),
        (inside("<parameter=<>\n</parameter>\n"), "no name that > ends", ...),
        (inside("city: Paris\n"), "<parameter= or </function> is missing", ...),
        (PINGED.replace("</function>", "</function> please"), "</tool_call> is missing", ...),
        (
            inside("<parameter=city>\na\n</parameter>\n", "<parameter=city>\nb\n</parameter>\n"),
            "the parameter city is there twice",
            ...,
        ),
        ("Well.</tool_call>", "</tool_call> without <function=", "</tool_call>"),
        ("<parameter=city>\nParis\n</parameter>", "<parameter= without <function=", ...),
    ],
)
def test_what_is_no_call(text: str, reason: str, fragment: Any) -> None:
    parsed = FORMAT.parse(text, TOOLS)
    assert parsed.calls == ()
    shown = text if fragment is ... else fragment
    assert parsed.fragments == (Fragment(shown, reason, text.index(shown)),)
    assert not parsed.open_block


def test_a_broken_block_ends_where_the_next_one_begins() -> None:
    broken = "<tool_call>\nping()\n"
    parsed = FORMAT.parse(broken + PARIS, TOOLS)
    assert parsed == Parsed((TO_PARIS,), (Fragment(broken, "<function= is missing", 0),))
    forgotten = PINGED.removesuffix("</tool_call>")
    parsed = FORMAT.parse(forgotten + PARIS, TOOLS)
    assert parsed == Parsed((TO_PARIS,), (Fragment(forgotten, "</tool_call> is missing", 0),))


@pytest.mark.parametrize(
    "forgotten",
    [
        inside("<parameter=city>\nParis\n"),
        inside("<parameter=city>\n"),
        inside("<parameter=city>\nParis\n<parameter=days>\n2\n</parameter>\n"),
        inside("<parameter=city>Paris<parameter=days>2</parameter>"),
        inside("<parameter=days>\n2\n"),
    ],
)
def test_a_value_that_is_not_closed_swallows_no_other(forgotten: str) -> None:
    parsed = FORMAT.parse(f"{forgotten}\n{PARIS}", TOOLS)
    assert parsed == Parsed((TO_PARIS,), (Fragment(forgotten, "</parameter> is missing", 0),))


def test_a_text_that_speaks_of_parameters_within_a_line_is_read() -> None:
    text = "use <parameter=x> and\n </function>"
    parsed = FORMAT.parse(inside(f"<parameter=city>\n{text}\n</parameter>\n"), TOOLS)
    assert parsed == Parsed((Call("get_weather", {"city": text}),))
    with pytest.raises(CannotCarry, match="contains <parameter="):
        FORMAT.write([Call("get_weather", {"city": text})], TOOLS)


def test_a_call_ends_reasoning_that_is_not_closed() -> None:
    expected = Parsed((TO_PARIS,), reasoning="Hm.")
    assert FORMAT.parse(f"<think>Hm.\n{PARIS}\n", TOOLS) == expected
    assert FORMAT.parse(f"<think>Hm.\n{PARIS}\n{PINGED}", TOOLS) == replace(
        expected, calls=(TO_PARIS, Call("ping", {}))
    )
    draft = FORMAT.parse(f"<think>I use <tool_call>, so {PINGED}? No: {PARIS}", TOOLS)
    assert draft == Parsed((TO_PARIS,), reasoning=f"I use <tool_call>, so {PINGED}? No:")


@pytest.mark.parametrize(
    "thought", [f"{PARIS} or not", PARIS[:-1], "<tool_call>", PARIS.replace("call>\n", "call>"), ""]
)
def test_reasoning_without_an_end_and_a_call_is_open(thought: str) -> None:
    assert FORMAT.parse(thought, TOOLS, reasoning_opened=True) == Parsed(reasoning=thought, open_reasoning=True)


def test_every_cut_is_open_until_the_call_is_whole() -> None:
    text = f"Yes. {PARIS}"
    for end in range(len(text)):
        parsed = FORMAT.parse(text[:end], TOOLS)
        assert parsed.calls == ()
        assert parsed.open_block == (end >= len("Yes. <tool_call>"))
        if parsed.open_block:
            assert [one.text for one in parsed.fragments] == [text[5:end]]
    bare = PARIS.removeprefix("<tool_call>\n")
    whole = len(bare.removesuffix("\n</tool_call>"))
    for end in range(len(bare)):
        parsed = FORMAT.parse(bare[:end], TOOLS)
        assert bool(parsed.calls) == (end >= whole)
        assert parsed.open_block == (len("<function=") <= end < whole)


def test_reasoning_comes_first() -> None:
    text = f"I could {PARIS}\n</think>\n\n{PINGED}"
    expected = Parsed((Call("ping", {}),), reasoning=f"I could {PARIS}")
    assert FORMAT.parse(text, TOOLS, reasoning_opened=True) == expected
    assert FORMAT.parse(f"<think>\n{text}", TOOLS) == expected


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (Call("get_weather", {"city": "a\n</parameter>\nb"}), "contains </parameter>"),
        (Call("get_weather", {"city": "</parameter>"}), "contains </parameter>"),
        (Call("get_weather", {"city": "a</parameter>b"}), "contains </parameter>"),
        (Call("get_weather", {"city": 2}), "read as something else"),
        (Call("get_weather", {"days": "2"}), "read as something else"),
        (Call("get_weather", {"days": "True"}), "read as something else"),
        (Call("get_weather", {"a>b": "2"}), "cannot stand between tags"),
        (Call("get weather\n", {}), "cannot stand between tags"),
        (Call("", {}), "cannot stand between tags"),
    ],
)
def test_what_cannot_be_written(call: Call, reason: str) -> None:
    with pytest.raises(CannotCarry, match=reason):
        FORMAT.write([call], TOOLS)


def test_the_grammar() -> None:
    spec = FORMAT.constraint([WEATHER], required=False)
    assert spec.triggers == ("<tool_call>", "<function=")
    assert not spec.at_start
    opening = Seq((Marker("<tool_call>"), Literal("\n")))
    assert isinstance(spec.root, Seq)
    first, calls, last = spec.root.parts
    assert first == Repeat(opening, Literal(""), 0, 1)
    assert last == Repeat(Literal("\n"), Literal(""), 0, 1), (
        "a line break behind the last call, as Nemotron 3 writes it"
    )
    assert isinstance(calls, Repeat)
    assert calls.separator == Seq((Literal("\n"), *opening.parts))
    assert (calls.minimum, calls.maximum) == (1, None)
    assert isinstance(calls.item, Seq)
    call, *end = calls.item.parts
    assert end == [Literal("\n"), Marker("</tool_call>")]
    assert isinstance(call, Seq)
    function, parameters, close = call.parts
    assert isinstance(parameters, AnyOrder)
    assert parameters.is_required == (True, False, False, False)
    city, days, metric, _ = parameters.items
    assert (function, close) == (Literal("<function=get_weather>\n"), Literal("</function>"))
    closing = Literal("\n</parameter>\n")
    text = RawString({"type": "string"}, "\n</parameter>", tag="</parameter>", without=("<parameter=",))
    assert city == Seq((Literal("<parameter=city>\n"), text, closing))
    assert days == Seq((Literal("<parameter=days>\n"), Json({"type": "integer"}), closing))
    words = (Literal("True"), Literal("False"), Literal("None"))
    either = Choice((Json({"type": ["boolean", "null"]}), *words))
    assert metric == Seq((Literal("<parameter=metric>\n"), either, closing))


def test_required_and_several() -> None:
    auto = FORMAT.constraint(TOOLS, required=False)
    required = FORMAT.constraint(TOOLS, required=True)
    assert required.root == auto.root
    assert required.triggers == ()
    single = FORMAT.constraint(TOOLS, required=False, several=False).root
    assert isinstance(single, Seq)
    _, call = single.parts
    assert isinstance(call, Repeat)
    assert call.maximum == 1


def test_tools_that_no_grammar_can_offer() -> None:
    with pytest.raises(ConstraintError, match="without tools"):
        FORMAT.constraint((), required=False)
    with pytest.raises(ConstraintError, match="the tool 'a>b' cannot stand between tags; rename it"):
        FORMAT.constraint([Tool("a>b", "", normalise_parameters({}))], required=False)


def test_a_parameter_whose_name_cannot_be_written_is_left_out() -> None:
    tool = Tool("f", "", normalise_parameters({"type": "object", "properties": {"a>b": {}, "c": {"type": "null"}}}))
    text = repr(FORMAT.constraint([tool], required=True).root)
    assert "a>b" not in text
    assert "<parameter=c>" in text


@pytest.mark.parametrize(
    ("text", "name_at", "call_at"),
    [
        (PARIS, "get_weather>", "</tool_call>"),
        (PARIS.removeprefix("<tool_call>\n"), "get_weather>", "</function>"),
        (f"<think>\nping {PINGED}</think>{PARIS}", "get_weather>", "</think>" + PARIS),
        (f"<tool_call>\n<function=a>\noops</tool_call>\n{PINGED}", "<function=a>", PINGED),
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
        "<function=a a a a a\n",
        "<tool_call><function=get_weather>\n<parameter=city>\n",
        '<function=get_weather><parameter=tags>["</parameter>',
        "<function=get_weather><parameter=tags>[</parameter>",
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
        ("'<tool_call>\\n<function=' + name + '>' ... '<parameter=' + key", True),
        ('<tool_call>\n{"name": ..., "arguments"', False),
        ("<tool_call>{name}<arg_key>", False),
    ],
)
def test_its_signature(template: str, expected: bool) -> None:
    assert FORMAT.signature.matches(template) is expected
