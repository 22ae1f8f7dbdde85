"""Llama 3's bare objects: what is read, what is refused and why, what is written, against literal tables."""

from __future__ import annotations

import pytest

from engine.errors import ConstraintError
from engine.formats.llama3_json import TAG, Llama3JsonFormat
from engine.formats.protocol import CannotCarry
from engine.types import Call, Parsed
from grammars.nodes import Choice, Json, Literal, Marker, Repeat, Seq
from tests.engine.formats.prefixes import ADD, ADDED, ODD, PING, PINGED, TOOLS, check_every_prefix, moments

FORMAT = Llama3JsonFormat()
ADD_TEXT = '{"name": "add", "parameters": {"b": 2.5, "a": 1}}'
PING_TEXT = '{"name": "ping", "parameters": {}}'


@pytest.mark.parametrize(
    ("text", "calls", "content"),
    [
        (ADD_TEXT, [ADDED], ""),
        (f"\n {ADD_TEXT}\n", [ADDED], ""),
        (f"<|python_tag|>{ADD_TEXT}", [ADDED], ""),
        (f" <|python_tag|> {ADD_TEXT}", [ADDED], ""),
        (f"{ADD_TEXT}; {PING_TEXT}", [ADDED, PINGED], ""),
        (f"{ADD_TEXT}, {PING_TEXT}", [ADDED, PINGED], ""),
        (f"{ADD_TEXT}\n{PING_TEXT}", [ADDED, PINGED], ""),
        (f"<|python_tag|>{ADD_TEXT} ;\n{PING_TEXT};", [ADDED, PINGED], ";"),
        (f"[{ADD_TEXT}, {PING_TEXT}]", [ADDED, PINGED], ""),
        ('{"type": "function", "name": "ping", "parameters": {}}', [PINGED], ""),
        ('{"parameters":{},"name":"ping"}', [PINGED], ""),
        (f"{ADD_TEXT}\n\nThis adds.", [ADDED], "This adds."),
        ("[]", [], ""),
        ("The result is {x}.", [], "The result is {x}."),
        ("<|python", [], "<|python"),
        ("", [], ""),
    ],
)
def test_answers_are_read(text: str, calls: list[Call], content: str) -> None:
    assert FORMAT.parse(text, TOOLS) == Parsed(tuple(calls), content=content)
    check_every_prefix(FORMAT, text)


@pytest.mark.parametrize(
    ("text", "reason", "open_block"),
    [
        ('{"a": 1}', '"name" is missing', False),
        ('{"name": "f", "arguments": {}}', '"parameters" is missing', False),
        ('{"name": "f", "parameters": "{}"}', '"parameters" is not an object', False),
        ('{"type": "tool", "name": "f", "parameters": {}}', 'unexpected key "type"', False),
        ('{"type": "function", "function": {"name": "f", "parameters": {}}}', '"name" is missing', False),
        ("{'name': 'f'}", "not JSON: expecting property name enclosed in double quotes", False),
        ('{"name": "f", "parameters": {"a": 1, "a": 2}}', 'the key "a" is there twice', False),
        ("[f(a=1)]", "not JSON: expecting value", False),
        ('<|python_tag|>search.call(query="x")', "no JSON after <|python_tag|>", False),
        ("<|python_tag|>", "no JSON after <|python_tag|>", True),
        ('<|python_tag|>{"name": "f"', "the JSON ends early", True),
        ("{", "the JSON ends early", True),
        (f"[{PING_TEXT}, ", "the JSON ends early", True),
    ],
)
def test_what_begins_like_a_call_and_is_none_is_reported(text: str, reason: str, open_block: bool) -> None:
    parsed = FORMAT.parse(text, TOOLS)
    assert [(each.text, each.reason, each.position) for each in parsed.fragments] == [(text, reason, 0)]
    assert (parsed.calls, parsed.content, parsed.open_block) == ((), "", open_block)
    check_every_prefix(FORMAT, text)


@pytest.mark.parametrize(
    ("rest", "fragment", "reason", "open_block"),
    [
        ('; {"name": 7}', '; {"name": 7}', '"name" is not a string', False),
        ('; {"name": "f", oops', '; {"name": "f", oops', "not JSON: expecting property name enclosed in double quotes",
         False),
        ('\n{"name": "f", "para', '\n{"name": "f", "para', "the JSON ends early", True),
        (f" is it, or {PING_TEXT}.", PING_TEXT, "a call that is not at the answer's start", False),
    ],
)  # fmt: skip
def test_what_follows_a_call_leaves_it(rest: str, fragment: str, reason: str, open_block: bool) -> None:
    parsed = FORMAT.parse(ADD_TEXT + rest, TOOLS)
    assert parsed.calls == (ADDED,)
    assert [(each.text, each.reason) for each in parsed.fragments] == [(fragment, reason)]
    assert parsed.open_block is open_block
    check_every_prefix(FORMAT, ADD_TEXT + rest)


@pytest.mark.parametrize("text", [f"So: {ADD_TEXT}", f"Sure! <|python_tag|>{ADD_TEXT}", f"```json\n{ADD_TEXT}\n```"])
def test_a_call_behind_prose_is_reported_and_is_none(text: str) -> None:
    parsed = FORMAT.parse(text, TOOLS)
    assert [(each.text, each.reason, each.position) for each in parsed.fragments] == [
        (ADD_TEXT, "a call that is not at the answer's start", text.index(ADD_TEXT))
    ]
    assert (parsed.calls, parsed.content, parsed.open_block) == ((), text, False)


@pytest.mark.parametrize("cut", range(1, len(ADD_TEXT)))
def test_a_cut_call_is_open(cut: int) -> None:
    for text in (ADD_TEXT[:cut], TAG + ADD_TEXT[:cut]):
        parsed = FORMAT.parse(text, TOOLS)
        assert (parsed.calls, parsed.open_block) == ((), True)
        assert [each.text for each in parsed.fragments] == [text]


def test_one_call_is_written_in_the_schemas_order() -> None:
    assert FORMAT.write([], TOOLS) == ""
    assert FORMAT.write([ADDED], TOOLS) == ADD_TEXT
    assert FORMAT.parse(FORMAT.write([ODD], TOOLS), TOOLS) == Parsed((ODD,))
    with pytest.raises(CannotCarry, match="ping: There is one call in an answer"):
        FORMAT.write([ADDED, PINGED], TOOLS)


def test_the_grammar_is_one_call_bare_or_behind_the_tag_or_in_a_list() -> None:
    call = Choice(
        tuple(
            Seq((Literal(f'{{"name": "{tool.name}", "parameters": '), Json(tool.parameters), Literal("}")))
            for tool in (ADD, PING)
        )
    )

    def root(minimum: int) -> Choice:
        listed = Seq((Literal("["), Repeat(call, Literal(", "), minimum, 1), Literal("]")))
        return Choice((call, Seq((Marker("<|python_tag|>"), call)), listed))

    for several in (False, True):
        spec = FORMAT.constraint(TOOLS, required=False, several=several)
        assert (spec.root, spec.triggers, spec.at_start) == (root(0), ("{", "[", "<|python_tag|>"), True)
        spec = FORMAT.constraint(TOOLS, required=True, several=several)
        assert (spec.root, spec.triggers, spec.at_start) == (root(1), (), False)
    with pytest.raises(ConstraintError, match="without tools"):
        FORMAT.constraint((), required=False)


@pytest.mark.parametrize(
    ("text", "named", "called"),
    [
        (f"{ADD_TEXT}; {PING_TEXT}", '{"name": "add"', ADD_TEXT),
        (f"<|python_tag|>{ADD_TEXT}", '<|python_tag|>{"name": "add"', f"<|python_tag|>{ADD_TEXT}"),
        (f"[{ADD_TEXT}] ", '[{"name": "add"', f"[{ADD_TEXT}]"),
    ],
)
def test_the_watcher_names_the_moments(text: str, named: str, called: str) -> None:
    assert moments(FORMAT, text) == (named, called)
