"""Mistral Nemo's lists: what is read, what is refused and why, what is written, against literal tables."""

from __future__ import annotations

import pytest

from engine.errors import ConstraintError
from engine.formats.mistral_json import OPEN, MistralJsonFormat
from engine.formats.protocol import CannotCarry
from engine.types import Call, Parsed
from grammars.nodes import Choice, Json, Literal, Marker, Repeat, Seq
from tests.engine.formats.prefixes import ADD, ADDED, ODD, PING, PINGED, TOOLS, check_every_prefix, moments

FORMAT = MistralJsonFormat()
ADD_TEXT = '{"name": "add", "arguments": {"b": 2.5, "a": 1}}'
PING_TEXT = '{"name": "ping", "arguments": {}}'
ID = {"type": "string", "pattern": "^[a-zA-Z0-9]{9}$"}


@pytest.mark.parametrize(
    ("text", "calls", "content"),
    [
        (f"[TOOL_CALLS][{ADD_TEXT}]", [ADDED], ""),
        (f"[TOOL_CALLS][{ADD_TEXT}, {PING_TEXT}]", [ADDED, PINGED], ""),
        (f"[TOOL_CALLS] [{ADD_TEXT},{PING_TEXT} ]\n", [ADDED, PINGED], ""),
        ('[TOOL_CALLS][{"name": "ping", "arguments": {}, "id": "abcdef123"}]', [PINGED], ""),
        ('[TOOL_CALLS][{"id": "7", "arguments": {}, "name": "ping"}]', [PINGED], ""),
        (f"I add.[TOOL_CALLS][{ADD_TEXT}] Done.", [ADDED], "I add. Done."),
        (f"[TOOL_CALLS][{ADD_TEXT}][TOOL_CALLS][{PING_TEXT}]", [ADDED, PINGED], ""),
        ('[TOOL_CALLS][{"name": "f", "arguments": {"x": "[TOOL_CALLS][]"}}]', [Call("f", {"x": "[TOOL_CALLS][]"})], ""),
        ("[TOOL_CALLS][]", [], ""),
        ("Just words [1].", [], "Just words [1]."),
        ("", [], ""),
    ],
)
def test_answers_are_read(text: str, calls: list[Call], content: str) -> None:
    assert FORMAT.parse(text, TOOLS) == Parsed(tuple(calls), content=content)
    check_every_prefix(FORMAT, text)


@pytest.mark.parametrize(
    ("body", "fragment", "reason"),
    [
        (f"[{ADD_TEXT}, 7]", "7", "call 2: not a JSON object"),
        (f'[{ADD_TEXT}, {{"name": "f"}}]', '{"name": "f"}', 'call 2: "arguments" is missing'),
        (f'[{ADD_TEXT}, {{"name": "f", "arguments": {{}}, "id": 7}}]', '{"name": "f", "arguments": {}, "id": 7}',
         'call 2: unexpected key "id"'),
        (f'[{ADD_TEXT}, {{"name": "f", "parameters": {{}}}}]', '{"name": "f", "parameters": {}}',
         'call 2: "arguments" is missing'),
    ],
)  # fmt: skip
def test_the_good_calls_of_a_list_stay(body: str, fragment: str, reason: str) -> None:
    parsed = FORMAT.parse(OPEN + body, TOOLS)
    assert parsed.calls == (ADDED,)
    assert [(each.text, each.reason) for each in parsed.fragments] == [(fragment, reason)]
    assert parsed.fragments[0].position == (OPEN + body).index(fragment)
    check_every_prefix(FORMAT, OPEN + body)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (PING_TEXT, "not a JSON list"),
        ("ping[ARGS]{}", "not a JSON list"),
        ('[{"name": "f" "arguments": {}}]', "not JSON: expecting ',' delimiter"),
        ('[{"name": "f", "name": "g", "arguments": {}}]', 'the key "name" is there twice'),
        ("[" * 100 + "]" * 100, "JSON nested too deeply, more than 64 levels"),
    ],
)
def test_a_broken_list_ends_at_the_next_marker(body: str, reason: str) -> None:
    text = f"Hm. {OPEN}{body}{OPEN}[{ADD_TEXT}]"
    parsed = FORMAT.parse(text, TOOLS)
    assert parsed.calls == (ADDED,)
    assert [(each.text, each.reason, each.position) for each in parsed.fragments] == [(OPEN + body, reason, 4)]
    assert not parsed.open_block
    assert not FORMAT.parse(OPEN + body, TOOLS).open_block
    check_every_prefix(FORMAT, text)


@pytest.mark.parametrize("cut", range(len(OPEN), len(f"{OPEN}[{ADD_TEXT}, {PING_TEXT}]")))
def test_a_list_counts_when_it_is_closed(cut: int) -> None:
    text = f"{OPEN}[{ADD_TEXT}, {PING_TEXT}]"[:cut]
    parsed = FORMAT.parse(text, TOOLS)
    assert parsed.open_block
    assert not parsed.calls
    assert [(each.text, each.reason) for each in parsed.fragments] == [(text, "the JSON ends early")]


def test_a_call_without_the_marker_is_reported() -> None:
    text = f"So: [{ADD_TEXT}] and [TOOL_CALLS"
    parsed = FORMAT.parse(text, TOOLS)
    assert [(each.text, each.reason) for each in parsed.fragments] == [(ADD_TEXT, "a call without [TOOL_CALLS]")]
    assert (parsed.calls, parsed.content, parsed.open_block) == ((), text, False)


@pytest.mark.parametrize(
    ("calls", "text"),
    [
        ([], ""),
        ([ADDED], '[TOOL_CALLS][{"name": "add", "arguments": {"b": 2.5, "a": 1}, "id": "5feceb66f"}]'),
        ([PINGED, ADDED],
         '[TOOL_CALLS][{"name": "ping", "arguments": {}, "id": "5feceb66f"}, '
         '{"name": "add", "arguments": {"b": 2.5, "a": 1}, "id": "6b86b273f"}]'),
    ],
)  # fmt: skip
def test_calls_are_written_in_the_schemas_order_and_numbered(calls: list[Call], text: str) -> None:
    assert FORMAT.write(calls, TOOLS) == text
    assert FORMAT.parse(text, TOOLS) == Parsed(tuple(calls))


def test_what_is_odd_comes_back_and_what_cannot_be_read_is_refused() -> None:
    assert FORMAT.parse(FORMAT.write([ODD, ODD], TOOLS), TOOLS) == Parsed((ODD, ODD))
    deep: object = 1
    for _ in range(61):
        deep = [deep]
    assert FORMAT.parse(FORMAT.write([Call("f", {"x": deep})], ()), ()).calls
    with pytest.raises(CannotCarry, match="a list of calls: JSON nested too deeply"):
        FORMAT.write([Call("f", {"x": [deep]})], ())
    with pytest.raises(CannotCarry, match="f: "):
        FORMAT.write([Call("f", {"x": float("nan")})], ())


def test_the_grammar_is_the_marker_and_a_list_with_or_without_ids() -> None:
    spec = FORMAT.constraint(TOOLS, required=False)
    end = Choice((Literal("}"), Seq((Literal(', "id": '), Json(ID), Literal("}")))))
    calls = tuple(
        Seq((Literal(f'{{"name": "{tool.name}", "arguments": '), Json(tool.parameters), end)) for tool in (ADD, PING)
    )
    several = Repeat(Choice(calls), Literal(", "))
    space = Repeat(Literal(" "), Literal(""), 0, 1)  # as Mistral 7B v0.3 writes
    assert spec.root == Seq((Marker(OPEN), space, Seq((Literal("["), several, Literal("]")))))
    assert (spec.triggers, spec.at_start) == ((OPEN,), False)
    required = FORMAT.constraint(TOOLS, required=True)
    assert (required.root, required.triggers) == (spec.root, ())
    single = FORMAT.constraint(TOOLS, required=True, several=False)
    one = Repeat(Choice(calls), Literal(", "), maximum=1)
    assert single.root == Seq((Marker(OPEN), space, Seq((Literal("["), one, Literal("]")))))
    with pytest.raises(ConstraintError, match="without tools"):
        FORMAT.constraint((), required=True)


def test_the_watcher_names_the_moments() -> None:
    text = f"{OPEN}[{ADD_TEXT}, {PING_TEXT}] done"
    named, called = moments(FORMAT, text)
    assert named.endswith('{"name": "add"')
    assert called.endswith(PING_TEXT + "]")
