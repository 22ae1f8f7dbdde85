"""Nemotron Nano v2's lists: what is read, what is refused and why, what is written, against literal tables."""

from __future__ import annotations

import pytest

from engine.errors import ConstraintError
from engine.formats.nemotron_json import NemotronJsonFormat
from engine.types import Call, Parsed
from grammars.nodes import Choice, Json, Literal, Marker, Repeat, Seq
from tests.engine.formats.prefixes import ADD, ADDED, ODD, PING, PINGED, TOOLS, check_every_prefix, moments

FORMAT = NemotronJsonFormat()
ADD_TEXT = '{"name": "add", "arguments": {"b": 2.5, "a": 1}}'
PING_TEXT = '{"name": "ping", "arguments": {}}'


@pytest.mark.parametrize(
    ("text", "calls", "content"),
    [
        (f"<TOOLCALL>[{ADD_TEXT}]</TOOLCALL>", [ADDED], ""),
        (f"<TOOLCALL>[{ADD_TEXT}, {PING_TEXT}]</TOOLCALL>\n", [ADDED, PINGED], ""),
        (f"<TOOLCALL>\n[ {ADD_TEXT},\n{PING_TEXT}\n]\n</TOOLCALL>", [ADDED, PINGED], ""),
        (f"I add.\n<TOOLCALL>[{ADD_TEXT}]</TOOLCALL> Done.", [ADDED], "I add.\n Done."),
        (f"<TOOLCALL>[{ADD_TEXT}]</TOOLCALL>\n<TOOLCALL>[{PING_TEXT}]</TOOLCALL>", [ADDED, PINGED], ""),
        ('<TOOLCALL>[{"name": "f", "arguments": {"x": "]</TOOLCALL><TOOLCALL>["}}]</TOOLCALL>',
         [Call("f", {"x": "]</TOOLCALL><TOOLCALL>["})], ""),
        ("<TOOLCALL>[]</TOOLCALL>", [], ""),
        ("Just words, and <TOOLCALL", [], "Just words, and <TOOLCALL"),
        ("", [], ""),
    ],
)  # fmt: skip
def test_answers_are_read(text: str, calls: list[Call], content: str) -> None:
    assert FORMAT.parse(text, TOOLS) == Parsed(tuple(calls), content=content)
    check_every_prefix(FORMAT, text)


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (f"<TOOLCALL>{PING_TEXT}</TOOLCALL>", "not a JSON list"),
        ("<TOOLCALL></TOOLCALL>", "not a JSON list"),
        ("<TOOLCALL>[{'name': 'f'}]</TOOLCALL>", "not JSON: expecting property name enclosed in double quotes"),
        ('<TOOLCALL>[{{"name": "f", "arguments": {}}}]</TOOLCALL>',
         "not JSON: expecting property name enclosed in double quotes"),
        (f"<TOOLCALL>[{PING_TEXT}]]</TOOLCALL>", "</TOOLCALL> is missing after the list"),
        (f"<TOOLCALL>[{PING_TEXT}] ", "</TOOLCALL> is missing after the list"),
        (f"<TOOLCALL>[{PING_TEXT}, ", "not JSON: expecting value"),
        ('<TOOLCALL>[{"name": "f", "name": "g", "arguments": {}}]</TOOLCALL>', 'the key "name" is there twice'),
    ],
)  # fmt: skip
def test_a_broken_block_ends_at_the_next_marker(block: str, reason: str) -> None:
    text = f"Hm. {block}<TOOLCALL>[{ADD_TEXT}]</TOOLCALL>"
    parsed = FORMAT.parse(text, TOOLS)
    assert parsed.calls == (ADDED,)
    assert [(each.text, each.reason, each.position) for each in parsed.fragments] == [(block, reason, 4)]
    assert not parsed.open_block
    check_every_prefix(FORMAT, text)


def test_the_good_calls_of_a_list_stay() -> None:
    text = f'<TOOLCALL>[{ADD_TEXT}, {{"name": "f", "parameters": {{}}}}]</TOOLCALL>'
    parsed = FORMAT.parse(text, TOOLS)
    assert parsed.calls == (ADDED,)
    assert [(each.text, each.reason) for each in parsed.fragments] == [
        ('{"name": "f", "parameters": {}}', 'call 2: "arguments" is missing')
    ]


WHOLE = f"<TOOLCALL>[{ADD_TEXT}, {PING_TEXT}]</TOOLCALL>"


@pytest.mark.parametrize("cut", range(len("<TOOLCALL>"), len(WHOLE)))
def test_a_block_counts_when_it_is_closed(cut: int) -> None:
    parsed = FORMAT.parse(WHOLE[:cut], TOOLS)
    assert (parsed.calls, parsed.open_block) == ((), True)
    assert [each.text for each in parsed.fragments] == [WHOLE[:cut]]


@pytest.mark.parametrize("broken", ["<TOOLCALL>hello", "<TOOLCALL>[{'a", f"<TOOLCALL>[{PING_TEXT}] hello"])
def test_a_broken_block_without_an_end_is_open(broken: str) -> None:
    assert FORMAT.parse(broken, TOOLS).open_block


@pytest.mark.parametrize(
    ("text", "fragment", "reason"),
    [
        (f"[{ADD_TEXT}]", ADD_TEXT, "a call without <TOOLCALL>"),
        (f"{WHOLE}</TOOLCALL>", "</TOOLCALL>", "</TOOLCALL> without <TOOLCALL>"),
    ],
)
def test_what_looks_like_a_call_is_reported(text: str, fragment: str, reason: str) -> None:
    assert [(each.text, each.reason) for each in FORMAT.parse(text, TOOLS).fragments] == [(fragment, reason)]


def test_reasoning_is_split_off() -> None:
    assert FORMAT.parse(f"I {WHOLE}\n</think>\n\n{WHOLE}", TOOLS, reasoning_opened=True) == Parsed(
        (ADDED, PINGED), reasoning=f"I {WHOLE}"
    )


@pytest.mark.parametrize(
    ("calls", "text"), [([], ""), ([ADDED], f"<TOOLCALL>[{ADD_TEXT}]</TOOLCALL>"), ([ADDED, PINGED], WHOLE)]
)
def test_calls_are_written_in_the_schemas_order(calls: list[Call], text: str) -> None:
    assert FORMAT.write(calls, TOOLS) == text


def test_what_is_odd_comes_back() -> None:
    assert FORMAT.parse(FORMAT.write([ODD, ODD], TOOLS), TOOLS) == Parsed((ODD, ODD))


def test_the_grammar_is_a_list_between_the_markers() -> None:
    spec = FORMAT.constraint(TOOLS, required=False)
    calls = tuple(
        Seq((Literal(f'{{"name": "{tool.name}", "arguments": '), Json(tool.parameters), Literal("}")))
        for tool in (ADD, PING)
    )
    several = Seq((Literal("["), Repeat(Choice(calls), Literal(", ")), Literal("]")))
    assert spec.root == Seq((Marker("<TOOLCALL>"), several, Marker("</TOOLCALL>")))
    assert (spec.triggers, spec.at_start) == (("<TOOLCALL>",), False)
    required = FORMAT.constraint(TOOLS, required=True, several=False)
    one = Seq((Literal("["), Repeat(Choice(calls), Literal(", "), maximum=1), Literal("]")))
    assert (required.root, required.triggers) == (Seq((Marker("<TOOLCALL>"), one, Marker("</TOOLCALL>"))), ())
    with pytest.raises(ConstraintError, match="without tools"):
        FORMAT.constraint((), required=False)


def test_the_watcher_names_the_moments() -> None:
    named, called = moments(FORMAT, WHOLE + "\n")
    assert named.endswith('{"name": "add"')
    assert called == WHOLE
