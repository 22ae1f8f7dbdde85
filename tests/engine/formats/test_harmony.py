"""gpt-oss's messages: what is read, what is refused and why, what is written, against literal tables."""

from __future__ import annotations

import time
from typing import Any

import pytest

from engine.decoding.stops import MarkerFinder
from engine.errors import ConstraintError
from engine.formats import envelope
from engine.formats.harmony import HarmonyFormat
from engine.formats.protocol import CannotCarry
from engine.types import Call, Fragment, Parsed, Tool
from grammars.nodes import Choice, Json, Literal, Marker, Seq
from tests.engine.formats.prefixes import is_thinking

FORMAT = HarmonyFormat()
ADD = Tool(
    "add",
    "Add.",
    {"type": "object", "properties": {"b": {"type": "number"}, "a": {"type": "integer"}}, "required": ["b", "a"]},
)
PING = Tool("ping", "Ping.", {"type": "object", "properties": {}, "additionalProperties": False})
TOOLS = (ADD, PING)

NEXT = "<|start|>assistant"
THOUGHT = "<|channel|>analysis<|message|>Hm.<|end|>" + NEXT
BODY = '{"a": 1, "b": 2.5}'
CALLED = Call("add", {"a": 1, "b": 2.5})
WRITTEN = f" to=functions.add<|channel|>commentary json<|message|>{BODY}"
TYPICAL = f"<|channel|>commentary to=functions.add <|constrain|>json<|message|>{BODY}"


# Reading


@pytest.mark.parametrize("end", ["", "<|call|>", "\n", "<|end|>", "<|ca"])
@pytest.mark.parametrize("before", ["", NEXT, THOUGHT])
@pytest.mark.parametrize(
    "header",
    [
        " to=functions.add<|channel|>commentary json",
        " to=functions.add<|channel|>commentary",
        " to=functions.add<|channel|>commentary <|constrain|>json",
        " to=functions.add <|channel|>commentary<|constrain|>json",
        " to=functions.add<|channel|>analysis code",
        "<|channel|>commentary to=functions.add <|constrain|>json",
        "<|channel|>commentary to=functions.add<|constrain|>json",
        "<|channel|>commentary to=functions.add",
        "<|channel|>commentary to=functions.add json",
        "<|channel|>analysis to=functions.add <|constrain|>json",
    ],
)
def test_every_header_of_a_call_is_read(header: str, before: str, end: str) -> None:
    parsed = FORMAT.parse(f"{before}{header}<|message|>{BODY}{end}", TOOLS)
    assert parsed == Parsed((CALLED,), reasoning="Hm." if before == THOUGHT else "")


@pytest.mark.parametrize(
    ("body", "arguments"),
    [
        ("{}", {}),
        (' {"a":1,\n"b": [null, {"c": true}]} ', {"a": 1, "b": [None, {"c": True}]}),
        ('{"a": "<|end|> <|call|> \\"}"}', {"a": '<|end|> <|call|> "}'}),
        ('{"a": "<|start|>assistant to=functions.f{}"}', {"a": "<|start|>assistant to=functions.f{}"}),
    ],
)  # fmt: skip
def test_arguments_are_read(body: str, arguments: dict[str, Any]) -> None:
    text = f"<|channel|>commentary to=functions.no-such.tool<|message|>{body}<|call|>"
    assert FORMAT.parse(text, TOOLS) == Parsed((Call("no-such.tool", arguments),))


@pytest.mark.parametrize(
    ("text", "reasoning", "content"),
    [
        ("<|channel|>final<|message|>Hello.<|return|>", "", "Hello."),
        ("<|channel|>final<|message|>Hello.", "", "Hello."),
        (f"{THOUGHT}<|channel|>final<|message|>Hello.", "Hm.", "Hello."),
        (f"{THOUGHT}<|channel|>final <|constrain|>json<|message|>{BODY}", "Hm.", BODY),
        (f"{THOUGHT}<|channel|>analysis<|message|>More.<|end|>{NEXT}<|channel|>final<|message|>Hello.", "Hm.\nMore.",
         "Hello."),
        (f"{THOUGHT}<|channel|>commentary<|message|>I look.<|end|>{NEXT}<|channel|>final<|message|>Hello.", "Hm.",
         "I look.\nHello."),
        ("<|channel|>analysis<|message|>Hm.<|end|>Hello.", "Hm.", "Hello."),
        ("Hello.", "", "Hello."),
        ("I set a to=5 and functions.add", "", "I set a to=5 and functions.add"),
        ("<|message|>Hello.<|end|>", "", "Hello."),
        ("<|channel|>fin", "", ""),
        ("<|chan", "", ""),
        (f"{THOUGHT}<|channel|>final", "Hm.", ""),
        ("<|channel|>analysis<|message|>Hm.<|end|><|sta", "Hm.", ""),
        ("", "", ""),
    ],
)  # fmt: skip
def test_an_answer_without_a_call_is_read(text: str, reasoning: str, content: str) -> None:
    assert FORMAT.parse(text, TOOLS) == Parsed(reasoning=reasoning, content=content)


@pytest.mark.parametrize(
    ("text", "reasoning"),
    [
        ("<|channel|>analysis<|message|>Hm", "Hm"),
        (f"{THOUGHT}<|channel|>analysis<|message|>More", "Hm.\nMore"),
        ("<|channel|>analysis<|message|>I send to=functions.add<|channel|>commentary<|message|>{}",
         "I send to=functions.add<|channel|>commentary<|message|>{}"),
        (f"<|channel|>analysis<|message|>Maybe {TYPICAL} or not", f"Maybe {TYPICAL} or not"),
    ],
)  # fmt: skip
def test_reasoning_that_never_ends_is_said_to_be_open(text: str, reasoning: str) -> None:
    assert FORMAT.parse(text, TOOLS) == Parsed(reasoning=reasoning, open_reasoning=True)


def test_reasoning_without_an_end_behind_a_call_leaves_the_call_as_it_is() -> None:
    text = f"{THOUGHT}{TYPICAL}<|end|>{NEXT}<|channel|>analysis<|message|>Now I wait"
    assert FORMAT.parse(text, TOOLS) == Parsed((CALLED,), reasoning="Hm.\nNow I wait")


@pytest.mark.parametrize("between", ["", NEXT, "<|end|>" + NEXT])
def test_a_call_ends_reasoning_that_is_not_closed(between: str) -> None:
    parsed = FORMAT.parse(f"<|channel|>analysis<|message|>Hm.{between}{TYPICAL}", TOOLS)
    assert parsed == Parsed((CALLED,), reasoning="Hm.")


@pytest.mark.parametrize("stray", ["<|channel|>commentary to=assistant", "<|channel|>commentary"])
def test_a_channel_that_another_one_follows_says_nothing(stray: str) -> None:
    thought = f"{stray}{THOUGHT}"
    assert FORMAT.parse(thought + TYPICAL, TOOLS) == Parsed((CALLED,), reasoning="Hm.")
    assert FORMAT.parse(THOUGHT + stray + TYPICAL, TOOLS) == Parsed((CALLED,), reasoning="Hm.")
    greeted = f"{THOUGHT}{stray}<|channel|>final<|message|>Hi!"
    assert FORMAT.parse(greeted, TOOLS) == Parsed(reasoning="Hm.", content="Hi!")
    assert FORMAT.parse(THOUGHT + stray, TOOLS) == Parsed(reasoning="Hm.")
    assert envelope(FORMAT).parse(f'{thought}{stray}<|channel|>final<|message|>{{"reply": "Hi!"}}', TOOLS) == Parsed(
        reasoning="Hm.", content="Hi!"
    )


def test_reasoning_that_the_prompt_opened_is_split_off() -> None:
    text = f"Hm.<|end|>{NEXT}{TYPICAL}"
    assert FORMAT.parse(text, TOOLS, reasoning_opened=True) == Parsed((CALLED,), reasoning="Hm.")


def test_a_preamble_before_a_call_is_content() -> None:
    text = f"{THOUGHT}<|channel|>commentary<|message|>I add them.<|end|>{NEXT}{TYPICAL}"
    assert FORMAT.parse(text, TOOLS) == Parsed((CALLED,), reasoning="Hm.", content="I add them.")


def test_calls_that_follow_each_other_are_all_read() -> None:
    text = f"{TYPICAL}<|call|>{NEXT}{WRITTEN}<|call|>{NEXT}<|channel|>commentary to=functions.ping<|message|>{{}}"
    assert FORMAT.parse(text, TOOLS) == Parsed((CALLED, CALLED, Call("ping", {})))


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("<|channel|>commentary to=web.find<|message|>{}", 'the recipient "web.find" is none of the functions'),
        ("<|channel|>analysis to=python code<|message|>1 + 1", 'the recipient "python" is none of the functions'),
        (" to=add<|channel|>commentary json<|message|>{}", 'the recipient "add" is none of the functions'),
        ("<|channel|>commentary to=functions.<|message|>{}", "the name of the function is missing"),
        (" to=functions.add<|message|>{}", "the channel is missing"),
        (" to=functions.add<|channel|>final<|message|>{}", "a call on the channel final"),
        (" to=functions.add<|channel|>commentary to=functions.add<|message|>{}", "two recipients"),
        (" to=functions.add<|channel|>thoughts<|message|>{}", "the header of the message is malformed"),
        ("<|channel|>commentary to= functions.add<|message|>{}", "the header of the message is malformed"),
        ("<|channel|>final<|channel|>final to=functions.add<|message|>{}", "the header of the message is malformed"),
        ("<|channel|>commentary to=functions.\ud800<|message|>{}", "the header of the message is malformed"),
        ("<|channel|>commentary to=functions.add<|message|>[1]", "the arguments are not a JSON object"),
        ("<|channel|>commentary to=functions.add<|message|>{'a': 1}", "not JSON: expecting property name"),
        ("<|channel|>commentary to=functions.add<|message|>a = 1", "not JSON: expecting value"),
        ('<|channel|>commentary to=functions.add<|message|>{"a": 1, "a": 2}', 'the key "a" is there twice'),
        ('<|channel|>commentary to=functions.add<|message|>```json\n{"a": 1}\n```', "not JSON: expecting value"),
    ],
)  # fmt: skip
def test_a_message_that_is_no_call_is_reported(message: str, reason: str) -> None:
    text = f"{THOUGHT}{message}<|end|>{NEXT}{TYPICAL}"
    parsed = FORMAT.parse(text, TOOLS)
    assert [(fragment.text, fragment.position) for fragment in parsed.fragments] == [(message, len(THOUGHT))]
    assert parsed.fragments[0].reason.startswith(reason)
    assert (parsed.calls, parsed.reasoning, parsed.content, parsed.open_block) == ((CALLED,), "Hm.", "", False)


def test_messages_of_others_are_reported() -> None:
    result = '<|start|>functions.add to=assistant<|channel|>commentary<|message|>"3.5"<|end|>'
    parsed = FORMAT.parse(f"{TYPICAL}<|call|>{result}{NEXT}<|channel|>final<|message|>3.5", TOOLS)
    (fragment,) = parsed.fragments
    assert fragment.reason == "a message by functions.add, not by the assistant"
    assert fragment.text == ' to=assistant<|channel|>commentary<|message|>"3.5"'
    assert (parsed.calls, parsed.content) == ((CALLED,), "3.5")


def test_text_behind_the_arguments_is_reported_and_the_call_stays() -> None:
    parsed = FORMAT.parse(f"{TYPICAL} Done.<|call|>", TOOLS)
    assert parsed == Parsed((CALLED,), (Fragment("Done.", "text behind the arguments", len(TYPICAL) + 1),))


def test_a_header_within_a_message_is_reported() -> None:
    text = f"<|channel|>final<|message|>I call{WRITTEN}"
    rest = Fragment(WRITTEN[len(" to=functions.add") :], "a header within a message", text.index("<|channel|>c"))
    assert FORMAT.parse(text, TOOLS) == Parsed(fragments=(rest,), content="I call to=functions.add")


def test_a_header_that_is_ended_before_its_message_is_reported() -> None:
    parsed = FORMAT.parse(f" to=functions.add<|end|>{NEXT}{TYPICAL}", TOOLS)
    assert parsed == Parsed((CALLED,), (Fragment(" to=functions.add", "<|message|> is missing after the header", 0),))


@pytest.mark.parametrize("answer", [TYPICAL, WRITTEN])
def test_a_cut_call_is_open_from_its_recipient_on(answer: str) -> None:
    for cut in range(answer.index(" to=") + len(" to="), len(answer)):
        parsed = FORMAT.parse(THOUGHT + answer[:cut], TOOLS)
        assert [(fragment.text, fragment.position) for fragment in parsed.fragments] == [(answer[:cut], len(THOUGHT))]
        assert (parsed.calls, parsed.reasoning, parsed.content, parsed.open_block) == ((), "Hm.", "", True)


# Writing, constraining, watching, detecting


@pytest.mark.parametrize(
    ("calls", "text"),
    [
        ([], ""),
        ([CALLED], ' to=functions.add<|channel|>commentary json<|message|>{"b": 2.5, "a": 1}'),
        ([Call("ping", {})], " to=functions.ping<|channel|>commentary json<|message|>{}"),
        ([Call("f", {"x": 'é "<|call|>"\n', "y": {"z": [None, True, 10**30]}})],
         ' to=functions.f<|channel|>commentary json<|message|>{"x": "é \\"<|call|>\\"\\n", '
         '"y": {"z": [null, true, 1000000000000000000000000000000]}}'),
    ],
)  # fmt: skip
def test_calls_are_written_as_the_template_does(calls: list[Call], text: str) -> None:
    assert FORMAT.write(calls, TOOLS) == text
    assert FORMAT.parse(text, TOOLS) == Parsed(tuple(calls))


@pytest.mark.parametrize(
    ("calls", "reason"),
    [
        ([CALLED, CALLED], "harmony ends an answer with its first call; there are 2"),
        *(([Call(name, {})], "the tool's name") for name in ("", "a b", "a<b", "a\n", "\ud800")),
        ([Call("f", {"a": "\ud800"})], "f: half of a surrogate pair"),
    ],
)
def test_what_cannot_be_written_is_refused(calls: list[Call], reason: str) -> None:
    with pytest.raises(CannotCarry) as refused:
        FORMAT.write(calls, TOOLS)
    assert str(refused.value).startswith(reason)


def test_the_grammar_begins_where_a_message_is_addressed_to_a_function() -> None:
    spec = FORMAT.constraint([PING], required=False)
    kinds = Choice(
        (
            Marker("<|message|>"),
            Seq((Literal(" json"), Marker("<|message|>"))),
            Seq((Literal(" "), Marker("<|constrain|>"), Literal("json"), Marker("<|message|>"))),
        )
    )
    body = Json(PING.parameters)
    in_role = Seq((Literal("ping"), Marker("<|channel|>"), Literal("commentary"), kinds, body))
    channel = (Marker("<|channel|>"), Choice((Literal("commentary"), Literal("analysis"))))
    assert spec.root == Choice(
        (
            Seq((Literal(" to=functions."), Choice((in_role,)))),
            Seq((*channel, Literal(" to=functions."), Choice((Seq((Literal("ping"), kinds, body)),)))),
        )
    )
    assert set(spec.triggers) == {
        " to=functions.",
        "<|channel|>commentary to=functions.",
        "<|channel|>analysis to=functions.",
    }
    assert not spec.at_start
    assert FORMAT.constraint([PING], required=True, several=False).root == spec.root
    assert FORMAT.constraint([PING], required=True).triggers == ()


@pytest.mark.parametrize(
    ("answer", "begun"),
    [
        (f"{NEXT}{WRITTEN}", " to=functions."),
        (f"{NEXT}{TYPICAL}", "<|channel|>commentary to=functions."),
        ("<|channel|>analysis to=functions.add<|message|>", "<|channel|>analysis to=functions."),
    ],
)
def test_the_longest_beginning_of_a_call_is_found(answer: str, begun: str) -> None:
    """The header's channel belongs to the constraint: without it, a second one could follow."""
    finder = MarkerFinder(FORMAT.constraint(TOOLS, required=False).triggers)
    found = [marker for character in answer if (marker := finder.feed(character.encode()))]
    assert found[0].marker.decode() == begun


@pytest.mark.parametrize("tools", [[], [Tool("a b", "", {"type": "object"})]])
def test_tools_that_cannot_be_constrained_are_an_error(tools: list[Tool]) -> None:
    with pytest.raises(ConstraintError):
        FORMAT.constraint(tools, required=False)


@pytest.mark.parametrize(
    "text",
    [
        f"{THOUGHT}<|channel|>commentary<|message|>I {{add}}.<|end|>{NEXT}{TYPICAL}<|call|>{NEXT}{WRITTEN}",
        f"<|channel|>analysis<|message|>Maybe {TYPICAL}<|end|>{NEXT}{WRITTEN} So.",
        f"<|channel|>commentary to=python<|message|>{{}}<|end|>{NEXT}<|channel|>commentary to=functions.f"
        f'<|message|>{{"a": "}}<|end|>", "b": {{}}}}',
    ],
)
def test_the_watcher_agrees_with_the_parser_at_every_prefix(text: str) -> None:
    watcher = FORMAT.watcher(TOOLS)
    known, calls = False, 0
    for end in range(1, len(text) + 1):
        watcher.feed(text[end - 1])
        parsed = FORMAT.parse(text[:end], TOOLS)
        if is_thinking(FORMAT, text[:end]):
            assert not watcher.call_complete
            continue
        assert watcher.call_complete == bool(parsed.calls), text[:end]
        assert len(parsed.calls) >= calls
        assert watcher.name_known >= max(known, watcher.call_complete)
        known, calls = watcher.name_known, len(parsed.calls)
    assert watcher.call_complete


@pytest.mark.parametrize("header", [WRITTEN, TYPICAL])
def test_the_name_is_known_with_the_mark_behind_it(header: str) -> None:
    watcher = FORMAT.watcher(TOOLS)
    begun = header.index("add") + len("add")
    watcher.feed(THOUGHT + header[:begun])
    assert not watcher.name_known
    watcher.feed(header[begun : header.index("<", begun) + 1])
    assert watcher.name_known
    assert not watcher.call_complete


def test_the_signature_is_gpt_oss_own() -> None:
    template = '{{- "functions." + tool_call.name + "<|channel|>commentary " }}{{- "json<|message|>" }}'
    assert FORMAT.signature.matches(template)
    assert not FORMAT.signature.matches("<|channel>thought\n<channel|> <|tool_call>call: <|message|>")


HOSTILE = (
    *("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|channel|>analysis<|message|>x", "to= ", " ", "json "),
    *(" to=functions.f", " to=functions.f<|channel|>commentary", "<|channel|>commentary to=functions.f<|message|>{"),
    '<|channel|>commentary to=functions.f<|message|>{"a": "',
    "<|channel|>commentary to=functions.f<|message|>{} ",
    "<|start|>assistant<|channel|>commentary to=functions.f<|message|>{}<|call|>",
)


@pytest.mark.parametrize("piece", HOSTILE)
@pytest.mark.parametrize("begun", ["", "<|channel|>commentary to=functions.f<|message|>", THOUGHT])
def test_hostile_text_takes_linear_time(begun: str, piece: str) -> None:
    text = begun + piece * (250_000 // len(piece)) + "<|message|>x"
    started = time.process_time()
    FORMAT.parse(text, TOOLS)
    assert time.process_time() - started < 5
