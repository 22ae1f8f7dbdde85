"""DeepSeek V3.1's block of calls: what is read, what is refused and why, what is written, against literal tables."""

from __future__ import annotations

import pytest

from engine.errors import ConstraintError
from engine.formats.deepseek_v31 import CALL_CLOSE, CALL_OPEN, CLOSE, OPEN, SEPARATOR, DeepseekV31Format
from engine.formats.protocol import CannotCarry
from engine.types import Call, Parsed
from grammars.nodes import Choice, Json, Literal, Marker, Repeat, Seq
from tests.engine.formats.prefixes import ADD, ADDED, ODD, PING, PINGED, TOOLS, check_every_prefix, moments

FORMAT = DeepseekV31Format()
ADD_TEXT = '<｜tool▁call▁begin｜>add<｜tool▁sep｜>{"b": 2.5, "a": 1}<｜tool▁call▁end｜>'
PING_TEXT = "<｜tool▁call▁begin｜>ping<｜tool▁sep｜>{}<｜tool▁call▁end｜>"
WHOLE = f"<｜tool▁calls▁begin｜>{ADD_TEXT}{PING_TEXT}<｜tool▁calls▁end｜>"


@pytest.mark.parametrize(
    ("text", "calls", "content"),
    [
        (f"{OPEN}{ADD_TEXT}{CLOSE}", [ADDED], ""),
        (WHOLE, [ADDED, PINGED], ""),
        (f"I add.\n\n{OPEN}\n{ADD_TEXT}\n{PING_TEXT}\n{CLOSE}\n", [ADDED, PINGED], "I add."),
        (f"{OPEN}{CALL_OPEN}ping{SEPARATOR} {{ }} {CALL_CLOSE}{CLOSE}", [PINGED], ""),
        (f'{OPEN}{CALL_OPEN}f{SEPARATOR}{{"x": "{CALL_CLOSE}{CLOSE}{OPEN}"}}{CALL_CLOSE}{CLOSE}',
         [Call("f", {"x": f"{CALL_CLOSE}{CLOSE}{OPEN}"})], ""),
        (f"{OPEN}{PING_TEXT}{CLOSE}{OPEN}{ADD_TEXT}{CLOSE}", [PINGED, ADDED], ""),
        (f"{OPEN}{CLOSE}", [], ""),
        ("Just words, and <｜tool▁calls", [], "Just words, and <｜tool▁calls"),
        ("", [], ""),
    ],
)  # fmt: skip
def test_answers_are_read(text: str, calls: list[Call], content: str) -> None:
    assert FORMAT.parse(text, TOOLS) == Parsed(tuple(calls), content=content)
    check_every_prefix(FORMAT, text)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (f"{CALL_OPEN}function{SEPARATOR}f\n```json\n{{}}\n```{CALL_CLOSE}", "not JSON: expecting value"),
        (f"{CALL_OPEN}f{CALL_CLOSE}", f"{SEPARATOR} is missing"),
        (f"{CALL_OPEN}f", f"{SEPARATOR} is missing"),
        (f"{CALL_OPEN}{SEPARATOR}{{}}{CALL_CLOSE}", "the tool's name is missing"),
        (f'{CALL_OPEN}{{"name": "f"}}{CALL_CLOSE}', "JSON where a tool's name belongs"),
        (f"{CALL_OPEN}f{SEPARATOR}[]{CALL_CLOSE}", "the arguments are not an object"),
        (f"{CALL_OPEN}f{SEPARATOR}{{}}}}{CALL_CLOSE}", f"{CALL_CLOSE} is missing after the arguments"),
        (f"{CALL_OPEN}f{SEPARATOR}{{}}", f"{CALL_CLOSE} is missing after the arguments"),
        ("and then", "text between the calls"),
        (f"f{SEPARATOR}{{}}{CALL_CLOSE}", "text between the calls"),
    ],
)
def test_a_broken_call_leaves_the_others(broken: str, reason: str) -> None:
    text = f"{OPEN}{PING_TEXT}{broken}{ADD_TEXT}{CLOSE}"
    parsed = FORMAT.parse(text, TOOLS)
    assert parsed.calls == (PINGED, ADDED)
    assert [(each.text, each.reason) for each in parsed.fragments] == [(broken, reason)]
    assert not parsed.open_block
    check_every_prefix(FORMAT, text)


@pytest.mark.parametrize("cut", range(len(OPEN), len(WHOLE)))
def test_a_call_counts_when_it_is_closed_and_the_block_stays_open(cut: int) -> None:
    parsed = FORMAT.parse(WHOLE[:cut], TOOLS)
    assert parsed.open_block
    n_closed = WHOLE[:cut].count(CALL_CLOSE)
    assert parsed.calls == (ADDED, PINGED)[:n_closed]
    assert len(parsed.fragments) == 1
    assert WHOLE[:cut].endswith(parsed.fragments[0].text)


def test_a_block_that_is_opened_again_was_never_closed() -> None:
    text = f"{OPEN}{PING_TEXT}{WHOLE}"
    parsed = FORMAT.parse(text, TOOLS)
    assert parsed.calls == (PINGED, ADDED, PINGED)
    assert [(each.text, each.reason) for each in parsed.fragments] == [(OPEN + PING_TEXT, f"{CLOSE} is missing")]
    assert not parsed.open_block
    check_every_prefix(FORMAT, text)


@pytest.mark.parametrize(
    ("text", "fragment", "reason"),
    [
        (f"So: {PING_TEXT}.", PING_TEXT, f"{CALL_OPEN} without {OPEN}"),
        (f"{WHOLE} {CLOSE}", CLOSE, f"{CLOSE} without {OPEN}"),
        ('{"name": "f", "arguments": {}}', '{"name": "f", "arguments": {}}', f"a call without {OPEN}"),
    ],
)
def test_what_looks_like_a_call_is_reported(text: str, fragment: str, reason: str) -> None:
    assert [(each.text, each.reason) for each in FORMAT.parse(text, TOOLS).fragments] == [(fragment, reason)]


@pytest.mark.parametrize(("calls", "text"), [([], ""), ([ADDED], f"{OPEN}{ADD_TEXT}{CLOSE}"), ([ADDED, PINGED], WHOLE)])
def test_calls_are_written_in_the_schemas_order(calls: list[Call], text: str) -> None:
    assert FORMAT.write(calls, TOOLS) == text


def test_what_is_odd_comes_back_and_a_name_with_a_marker_is_refused() -> None:
    assert FORMAT.parse(FORMAT.write([ODD, ODD], TOOLS), TOOLS) == Parsed((ODD, ODD))
    for name in ("", "[x]", *(f"a{marker}" for marker in FORMAT.markers)):
        with pytest.raises(CannotCarry, match="A tool's name can neither be empty"):
            FORMAT.write([Call(name, {})], ())


def test_the_grammar_is_a_block_of_calls() -> None:
    spec = FORMAT.constraint(TOOLS, required=False)
    named = tuple(Seq((Literal(tool.name), Marker(SEPARATOR), Json(tool.parameters))) for tool in (ADD, PING))
    call = Seq((Marker(CALL_OPEN), Choice(named), Marker(CALL_CLOSE)))
    assert spec.root == Seq((Marker(OPEN), Repeat(call, Literal("")), Marker(CLOSE)))
    assert (spec.triggers, spec.at_start) == ((OPEN,), False)
    required = FORMAT.constraint(TOOLS, required=True, several=False)
    assert required.root == Seq((Marker(OPEN), Repeat(call, Literal(""), maximum=1), Marker(CLOSE)))
    assert required.triggers == ()
    with pytest.raises(ConstraintError, match="without tools"):
        FORMAT.constraint((), required=False)


def test_the_watcher_names_the_moments() -> None:
    named, called = moments(FORMAT, WHOLE)
    assert named == f"{OPEN}{CALL_OPEN}add{SEPARATOR}"
    assert called == OPEN + ADD_TEXT
