"""Ministral 3's calls: what is read, what is refused and why, what is written, against literal tables."""

from __future__ import annotations

import pytest

from engine.errors import ConstraintError
from engine.formats.mistral_args import MistralArgsFormat
from engine.formats.protocol import CannotCarry
from engine.types import Call, Parsed, Tool
from grammars.nodes import Choice, Json, Literal, Marker, Repeat, Seq
from tests.engine.formats.prefixes import ADD, ADDED, ODD, PING, PINGED, TOOLS, check_every_prefix, moments

FORMAT = MistralArgsFormat()
ADD_TEXT = '[TOOL_CALLS]add[ARGS]{"b": 2.5, "a": 1}'
PING_TEXT = "[TOOL_CALLS]ping[ARGS]{}"


@pytest.mark.parametrize(
    ("text", "calls", "content"),
    [
        (ADD_TEXT, [ADDED], ""),
        (ADD_TEXT + PING_TEXT, [ADDED, PINGED], ""),
        (f"I add. {ADD_TEXT}\n{PING_TEXT} Done.", [ADDED, PINGED], "I add. \n Done."),
        ('[TOOL_CALLS]add[ARGS] {\n"a":1,"b":2.5 }', [ADDED], ""),
        ('[TOOL_CALLS]math.f-1[ARGS]{"x": "[ARGS]{}[TOOL_CALLS]g"}',
         [Call("math.f-1", {"x": "[ARGS]{}[TOOL_CALLS]g"})], ""),
        ("[TOOL_CALLS] ping [ARGS]{}", [Call(" ping ", {})], ""),
        (f"{PING_TEXT}}}", [PINGED], "}"),
        # Mistral Small 3.2's ids
        ("[TOOL_CALLS]ping[CALL_ID]abcdef123[ARGS]{}", [PINGED], ""),
        ("[TOOL_CALLS]ping[CALL_ID][ARGS]{}", [PINGED], ""),
        ("Just words [1], and [TOOL_CALLS", [], "Just words [1], and [TOOL_CALLS"),
        ("", [], ""),
    ],
)  # fmt: skip
def test_answers_are_read(text: str, calls: list[Call], content: str) -> None:
    assert FORMAT.parse(text, TOOLS) == Parsed(tuple(calls), content=content)
    check_every_prefix(FORMAT, text)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("[TOOL_CALLS]", "[ARGS] is missing"),
        ("[TOOL_CALLS]add", "[ARGS] is missing"),
        ("[TOOL_CALLS][ARGS]{}", "the tool's name is missing"),
        ('[TOOL_CALLS][{"name": "f", "arguments": {}}]', "JSON where a tool's name belongs"),
        ('[TOOL_CALLS] {"name": "f", "arguments": {}}', "JSON where a tool's name belongs"),
        ("[TOOL_CALLS]add[ARGS]hello", "not JSON: expecting value"),
        ("[TOOL_CALLS]add[ARGS]{a: 1}", "not JSON: expecting property name enclosed in double quotes"),
        ('[TOOL_CALLS]add[ARGS]{"a": 1, "a": 1}', 'the key "a" is there twice'),
        ("[TOOL_CALLS]add[ARGS][ARGS]{}", "not JSON: expecting value"),
    ],
)
def test_a_broken_call_ends_at_the_next(broken: str, reason: str) -> None:
    text = f"Hm. {broken}{ADD_TEXT}"
    parsed = FORMAT.parse(text, TOOLS)
    assert parsed.calls == (ADDED,)
    assert [(each.text, each.reason, each.position) for each in parsed.fragments] == [(broken, reason, 4)]
    assert not parsed.open_block
    check_every_prefix(FORMAT, text)


@pytest.mark.parametrize("arguments", ['"{}"', "[1]", "null", "7 "])
def test_arguments_are_an_object(arguments: str) -> None:
    parsed = FORMAT.parse(f"[TOOL_CALLS]add[ARGS]{arguments}", TOOLS)
    assert [each.reason for each in parsed.fragments] == ["the arguments are not an object"]
    assert not parsed.open_block


@pytest.mark.parametrize("cut", range(len("[TOOL_CALLS]"), len(ADD_TEXT)))
def test_a_cut_call_is_open(cut: int) -> None:
    text = f"{PING_TEXT}{ADD_TEXT[:cut]}"
    parsed = FORMAT.parse(text, TOOLS)
    assert parsed.calls == (PINGED,)
    assert parsed.open_block
    assert [each.text for each in parsed.fragments] == [ADD_TEXT[:cut]]


@pytest.mark.parametrize(
    ("text", "fragment", "reason"),
    [
        ("add[ARGS]{}", "[ARGS]", "[ARGS] without [TOOL_CALLS]"),
        ('So: {"name": "add", "arguments": {}}', '{"name": "add", "arguments": {}}', "a call without [TOOL_CALLS]"),
    ],
)
def test_what_looks_like_a_call_is_reported(text: str, fragment: str, reason: str) -> None:
    parsed = FORMAT.parse(text, TOOLS)
    assert [(each.text, each.reason) for each in parsed.fragments] == [(fragment, reason)]
    assert (parsed.calls, parsed.content) == ((), text)


@pytest.mark.parametrize(
    ("text", "opened", "parsed"),
    [
        (f"[THINK]I {PING_TEXT}?[/THINK]{ADD_TEXT}", False, Parsed((ADDED,), reasoning=f"I {PING_TEXT}?")),
        (f"Hm.[/THINK]{ADD_TEXT}", True, Parsed((ADDED,), reasoning="Hm.")),
        (f"[THINK]I {PING_TEXT}", False, Parsed((Call("ping", {}),), reasoning="I")),
        (f"[THINK]I {PING_TEXT}?", False, Parsed(reasoning=f"I {PING_TEXT}?", open_reasoning=True)),
        ("<think>Hm.</think>Hello.", False, Parsed(content="<think>Hm.</think>Hello.")),
    ],
)
def test_reasoning_stands_in_its_own_marks(text: str, opened: bool, parsed: Parsed) -> None:
    assert FORMAT.parse(text, TOOLS, reasoning_opened=opened) == parsed


@pytest.mark.parametrize(
    ("calls", "text"),
    [([], ""), ([ADDED], ADD_TEXT), ([PINGED, ADDED], PING_TEXT + ADD_TEXT), ([PINGED] * 2, PING_TEXT * 2)],
)
def test_calls_are_written_in_the_schemas_order(calls: list[Call], text: str) -> None:
    assert FORMAT.write(calls, TOOLS) == text


def test_what_is_odd_comes_back() -> None:
    assert FORMAT.parse(FORMAT.write([ODD, ODD], TOOLS), TOOLS) == Parsed((ODD, ODD))


@pytest.mark.parametrize("name", ["", "[x]", " {", "a[ARGS]", "[TOOL_CALLS]", "a[TOOL_CALLS]b", "a[CALL_ID]b"])
def test_names_that_cannot_be_read_back_are_refused(name: str) -> None:
    with pytest.raises(CannotCarry, match="A tool's name can neither be empty"):
        FORMAT.write([Call(name, {})], ())
    with pytest.raises(ConstraintError, match="A tool's name can neither be empty"):
        FORMAT.constraint((PING, Tool(name, "", {"type": "object"})), required=True)


def test_the_grammar_repeats_marker_name_marker_arguments() -> None:
    spec = FORMAT.constraint(TOOLS, required=False)
    named = tuple(Seq((Literal(tool.name), Marker("[ARGS]"), Json(tool.parameters))) for tool in (ADD, PING))
    call = Seq((Marker("[TOOL_CALLS]"), Choice(named)))
    assert spec.root == Repeat(call, Literal(""))
    assert (spec.triggers, spec.at_start) == (("[TOOL_CALLS]",), False)
    required = FORMAT.constraint(TOOLS, required=True, several=False)
    assert (required.root, required.triggers) == (Repeat(call, Literal(""), maximum=1), ())
    with pytest.raises(ConstraintError, match="without tools"):
        FORMAT.constraint((), required=False)


def test_the_watcher_names_the_moments() -> None:
    named, called = moments(FORMAT, ADD_TEXT + PING_TEXT)
    assert named == "[TOOL_CALLS]add[ARGS]"
    assert called == ADD_TEXT
