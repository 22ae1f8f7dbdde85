"""Mistral Small 3.2's calls with ids; everything else is as in `test_mistral_args`, which shares the reading."""

from __future__ import annotations

import pytest

from engine.errors import ConstraintError
from engine.formats.mistral_args_id import MistralArgsIdFormat
from engine.formats.protocol import CannotCarry
from engine.types import Call, Parsed
from grammars.nodes import Choice, Json, Literal, Marker, RawString, Repeat, Seq
from tests.engine.formats.prefixes import ADDED, ODD, PING, PINGED, TOOLS, check_every_prefix, moments

FORMAT = MistralArgsIdFormat()
ADD_TEXT = '[TOOL_CALLS]add[CALL_ID]abcdef123[ARGS]{"b": 2.5, "a": 1}'
PING_TEXT = "[TOOL_CALLS]ping[ARGS]{}"


@pytest.mark.parametrize(
    ("text", "calls", "content"),
    [
        (ADD_TEXT, [ADDED], ""),
        (ADD_TEXT + PING_TEXT, [ADDED, PINGED], ""),
        (f"I ping. {PING_TEXT}{ADD_TEXT}", [PINGED, ADDED], "I ping."),
        ("[TOOL_CALLS]ping[CALL_ID]call_7[ARGS]{}", [PINGED], ""),
        ("[TOOL_CALLS]ping[CALL_ID][ARGS]{}", [PINGED], ""),
        ('[TOOL_CALLS]ping[CALL_ID]1[ARGS]{"x": "[CALL_ID]"}', [Call("ping", {"x": "[CALL_ID]"})], ""),
    ],
)
def test_answers_are_read_and_ids_dropped(text: str, calls: list[Call], content: str) -> None:
    assert FORMAT.parse(text, TOOLS) == Parsed(tuple(calls), content=content)
    check_every_prefix(FORMAT, text)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("[TOOL_CALLS]add[CALL_ID]abcdef123", "[ARGS] is missing"),
        ("[TOOL_CALLS]add[CALL_ID]a[CALL_ID]b[ARGS]{}", "[ARGS] is missing"),
        ("[TOOL_CALLS][CALL_ID]abcdef123[ARGS]{}", "the tool's name is missing"),
        ("[TOOL_CALLS]add[ARGS]{}[CALL_ID]abcdef123", ""),
    ],
)
def test_what_is_out_of_place_is_reported(broken: str, reason: str) -> None:
    text = f"{broken}{PING_TEXT}"
    parsed = FORMAT.parse(text, TOOLS)
    assert parsed.calls[-1] == PINGED
    expected = (broken, reason) if reason else ("[CALL_ID]", "[CALL_ID] without [TOOL_CALLS]")
    assert [(each.text, each.reason) for each in parsed.fragments] == [expected]
    check_every_prefix(FORMAT, text)


@pytest.mark.parametrize("cut", range(len("[TOOL_CALLS]"), len(ADD_TEXT)))
def test_a_cut_call_is_open(cut: int) -> None:
    parsed = FORMAT.parse(ADD_TEXT[:cut], TOOLS)
    assert (parsed.calls, parsed.open_block) == ((), True)
    assert [each.text for each in parsed.fragments] == [ADD_TEXT[:cut]]


def test_calls_are_written_with_the_ids_that_prompts_give_them() -> None:
    assert FORMAT.write([PINGED, ADDED], TOOLS) == (
        "[TOOL_CALLS]ping[CALL_ID]5feceb66f[ARGS]{}"
        '[TOOL_CALLS]add[CALL_ID]6b86b273f[ARGS]{"b": 2.5, "a": 1}'
    )  # fmt: skip
    assert FORMAT.parse(FORMAT.write([ODD, ODD], TOOLS), TOOLS) == Parsed((ODD, ODD))
    with pytest.raises(CannotCarry, match="A tool's name can neither be empty"):
        FORMAT.write([Call("a[CALL_ID]b", {})], ())


def test_the_grammar_has_an_id_or_none() -> None:
    spec = FORMAT.constraint((PING,), required=False)
    id_ = RawString({"type": "string", "pattern": "^[a-zA-Z0-9]{9}$"}, until="[ARGS]")
    separator = Choice((Marker("[ARGS]"), Seq((Marker("[CALL_ID]"), id_, Marker("[ARGS]")))))
    named = Choice((Seq((Literal("ping"), separator, Json(PING.parameters))),))
    assert spec.root == Repeat(Seq((Marker("[TOOL_CALLS]"), named)), Literal(""))
    assert spec.triggers == ("[TOOL_CALLS]",)
    assert FORMAT.constraint((PING,), required=True).triggers == ()
    with pytest.raises(ConstraintError, match="without tools"):
        FORMAT.constraint((), required=False)


def test_the_watcher_names_the_moments() -> None:
    named, called = moments(FORMAT, ADD_TEXT + PING_TEXT)
    assert named == "[TOOL_CALLS]add[CALL_ID]"
    assert called == ADD_TEXT
