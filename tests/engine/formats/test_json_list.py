"""Bare lists of calls, as xLAM-2 and Hammer write them: what is read, refused, written, against literal tables."""

from __future__ import annotations

import pytest

from engine.constraint import BACKENDS, backend
from engine.constraint.walk import accepts
from engine.errors import ConstraintError
from engine.formats.json_list import JsonListFormat
from engine.llama import Model
from engine.types import Call, Parsed
from grammars.nodes import Choice, Json, Literal, Node, Repeat, Seq
from tests.engine.formats.prefixes import ADD, ADDED, ODD, PING, PINGED, TOOLS, check_every_prefix, moments

FORMAT = JsonListFormat()
ADD_TEXT = '{"name": "add", "arguments": {"b": 2.5, "a": 1}}'
PING_TEXT = '{"name": "ping", "arguments": {}}'
WHOLE = f"[{ADD_TEXT}, {PING_TEXT}]"


@pytest.mark.parametrize(
    ("text", "calls", "content"),
    [
        (f"[{ADD_TEXT}]", [ADDED], ""),
        (WHOLE, [ADDED, PINGED], ""),
        (f"\n [\n    {ADD_TEXT},\n    {PING_TEXT}\n]\n", [ADDED, PINGED], ""),
        (f"```json\n{WHOLE}\n```", [ADDED, PINGED], ""),
        (f"```\n{WHOLE}\n```\nDone.", [ADDED, PINGED], "Done."),
        (f"```{WHOLE}", [ADDED, PINGED], ""),
        (f"{WHOLE}\nDone.", [ADDED, PINGED], "Done."),
        (f"{WHOLE}\n```", [ADDED, PINGED], "```"),
        ("[]", [], ""),
        ("```\n[]\n```", [], ""),
        ("[]\nWhich city?", [], "Which city?"),
        # what xLAM's makers take as well
        (ADD_TEXT, [ADDED], ""),
        (f"\n{ADD_TEXT}; {PING_TEXT}", [ADDED, PINGED], ""),
        (f"{ADD_TEXT}\nDone.", [ADDED], "Done."),
        ("Use [1] or {x}.", [], "Use [1] or {x}."),
        ("```python\nprint([1])\n```", [], "```python\nprint([1])\n```"),
        ("", [], ""),
    ],
)
def test_answers_are_read(text: str, calls: list[Call], content: str) -> None:
    assert FORMAT.parse(text, TOOLS) == Parsed(tuple(calls), content=content)
    check_every_prefix(FORMAT, text)


@pytest.mark.parametrize(
    ("text", "reason", "open_block"),
    [
        (f"```json\n{ADD_TEXT}\n```", "not a JSON list", False),
        (f'{{"tool_calls": [{ADD_TEXT}]}}', '"name" is missing', False),
        ('{"name": "ping", "argu', "the JSON ends early", True),
        ("[add(a=1, b=2.5)]", "not JSON: expecting value", False),
        ("[{'name': 'ping', 'arguments': {}}]", "not JSON: expecting property name enclosed in double quotes", False),
        (f"[{ADD_TEXT} {PING_TEXT}]", "not JSON: expecting ',' delimiter", False),
        ("[Note] There is none.", "not JSON: expecting value", False),
        (f"[{ADD_TEXT},", "the JSON ends early", True),
        ("```json\n[", "the JSON ends early", True),
    ],
)
def test_what_begins_like_a_list_and_is_none_is_reported(text: str, reason: str, open_block: bool) -> None:
    parsed = FORMAT.parse(text, TOOLS)
    assert [(each.text, each.reason, each.position) for each in parsed.fragments] == [(text, reason, 0)]
    assert (parsed.calls, parsed.content, parsed.open_block) == ((), "", open_block)
    check_every_prefix(FORMAT, text)


def test_the_good_calls_of_a_list_stay() -> None:
    text = f'[{ADD_TEXT}, ["ping"], {{"name": "ping", "arguments": "{{}}"}}]'
    parsed = FORMAT.parse(text, TOOLS)
    assert parsed.calls == (ADDED,)
    assert [(each.text, each.reason) for each in parsed.fragments] == [
        ('["ping"]', "call 2: not a JSON object"),
        ('{"name": "ping", "arguments": "{}"}', 'call 3: "arguments" is not an object'),
    ]


@pytest.mark.parametrize("text", [f"I call {ADD_TEXT}", f"{WHOLE}\n[{ADD_TEXT}]", f"Sure:\n```json\n[{ADD_TEXT}]\n```"])
def test_a_call_behind_prose_is_reported_and_is_none(text: str) -> None:
    parsed = FORMAT.parse(text, TOOLS)
    assert [(each.text, each.reason, each.position) for each in parsed.fragments] == [
        (ADD_TEXT, "a call that is not at the answer's start", text.rindex(ADD_TEXT))
    ]
    assert parsed.calls == ((ADDED, PINGED) if text.startswith(WHOLE) else ())
    check_every_prefix(FORMAT, text)


@pytest.mark.parametrize("cut", range(1, len(WHOLE)))
def test_a_list_counts_when_it_is_closed(cut: int) -> None:
    parsed = FORMAT.parse(WHOLE[:cut], TOOLS)
    assert (parsed.calls, parsed.open_block) == ((), True)
    assert [each.text for each in parsed.fragments] == [WHOLE[:cut]]


@pytest.mark.parametrize(("calls", "text"), [([], "[]"), ([ADDED], f"[{ADD_TEXT}]"), ([ADDED, PINGED], WHOLE)])
def test_calls_are_written_in_the_schemas_order(calls: list[Call], text: str) -> None:
    assert FORMAT.write(calls, TOOLS) == text
    assert FORMAT.parse(text, TOOLS) == Parsed(tuple(calls))


def test_what_is_odd_comes_back() -> None:
    assert FORMAT.parse(FORMAT.write([ODD, ODD], TOOLS), TOOLS) == Parsed((ODD, ODD))


def test_the_grammar_has_the_empty_list_unless_a_call_is_required() -> None:
    calls = tuple(
        Seq((Literal(f'{{"name": "{tool.name}", "arguments": '), Json(tool.parameters), Literal("}")))
        for tool in (ADD, PING)
    )

    def maybe(*options: Node) -> Repeat:
        return Repeat(options[0] if len(options) == 1 else Choice(options), Literal(""), 0, 1)

    white_space = map(Literal, (" ", "\t", "\n", "\r"))
    fence = maybe(Seq((Literal("```"), maybe(Literal("json")), maybe(*white_space))))

    indent = Repeat(Choice((Literal(" "), Literal("\t"))), Literal(""), 0, 20)
    space = maybe(Literal(" "), Seq((Literal("\n"), indent)))

    def root(minimum: int, maximum: int | None) -> Choice:
        elements = Repeat(Seq((Choice(calls), space)), Seq((Literal(","), space)), minimum, maximum)
        objects = Repeat(Choice(calls), Literal("; "), 1, maximum)
        return Choice((Seq((fence, Literal("["), space, elements, Literal("]"))), objects))

    spec = FORMAT.constraint(TOOLS, required=False)
    assert (spec.root, spec.at_start) == (root(0, None), True)
    assert spec.triggers == ("[", "{", "```json", "```[", "``` ", "```\t", "```\n", "```\r")
    assert FORMAT.constraint(TOOLS, required=False, several=False).root == root(0, 1)
    required = FORMAT.constraint(TOOLS, required=True)
    assert (required.root, required.triggers, required.at_start) == (root(1, None), (), False)
    with pytest.raises(ConstraintError, match="without tools"):
        FORMAT.constraint((), required=False)


@pytest.mark.parametrize("engine", BACKENDS)
@pytest.mark.parametrize(
    "text",
    [
        "[\n    CALL,\n    CALL\n]",  # as Hammer's template shows it
        "```\n[\n    CALL,\n    CALL\n]",
        "```json\n[\n\tCALL\n,\n\tCALL\n]",
        "[ CALL, CALL ]",
        "[CALL,CALL]",
    ],
)
def test_the_grammar_has_the_list_as_models_print_it(text: str, engine: str, tiny_model: Model) -> None:
    text = text.replace("CALL", PING_TEXT)
    assert FORMAT.parse(text, TOOLS).calls == (PINGED, PINGED)
    made = backend(engine, tiny_model)
    for required in (False, True):
        compiled = made.compile(FORMAT.constraint((PING,), required=required).root)
        assert accepts(compiled.start(), made.kinds, text)  # type: ignore[attr-defined]
        assert accepts(compiled.start(), made.kinds, "[\n]") is not required  # type: ignore[attr-defined]


def test_the_watcher_names_the_moments() -> None:
    named, called = moments(FORMAT, f"```json\n{WHOLE}\n```")
    assert named == '```json\n[{"name": "add"'
    assert called == f"```json\n{WHOLE}"


def test_what_follows_a_bare_call_leaves_it() -> None:
    text = f'{ADD_TEXT}; {{"name": "pi'
    parsed = FORMAT.parse(text, TOOLS)
    assert (parsed.calls, parsed.open_block) == ((ADDED,), True)
    assert [each.text for each in parsed.fragments] == ['; {"name": "pi']
    check_every_prefix(FORMAT, text)
