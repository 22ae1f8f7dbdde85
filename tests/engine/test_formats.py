"""The hermes format and the JSON envelope: literal tables, their own grammar and noise, the watcher and the parser."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ConstraintError
from engine.formats import ENVELOPE, FORMATS, NATIVE, UnknownFormat, envelope, get
from engine.formats.protocol import CannotCarry, ToolFormat
from engine.types import Call, Parsed, Tool
from grammars.nodes import AnyJsonObject, Choice, Json, Literal, Marker, Node, Repeat, Seq
from tests.engine.formats.prefixes import is_thinking

HERMES = get("hermes")
BOTH = (HERMES, ENVELOPE)
ADD = Tool("add", "Add.", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
SAY = Tool('say "hi"', "Say.", {"type": "object", "properties": {}})
TOOLS = (ADD, SAY)


def block(name: str, arguments: Any) -> str:
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>"


ONE = block("add", {"a": 1})


# Reading hermes


@pytest.mark.parametrize(
    ("text", "calls", "content"),
    [
        (ONE, [Call("add", {"a": 1})], ""),
        (ONE + "\n" + block("f", {}), [Call("add", {"a": 1}), Call("f", {})], ""),
        (ONE + ONE, [Call("add", {"a": 1})] * 2, ""),
        ("Let me see.\n" + ONE + "\n\nDone?", [Call("add", {"a": 1})], "Let me see.\n\n\nDone?"),
        ('<tool_call>{"arguments": {}, "name": "f"}</tool_call>', [Call("f", {})], ""),
        (block("no such tool", {"x": None}), [Call("no such tool", {"x": None})], ""),
        (block("f", {"x": "a </tool_call> b <tool_call> c"}), [Call("f", {"x": "a </tool_call> b <tool_call> c"})], ""),
        (block("f", {"x": "<think>"}), [Call("f", {"x": "<think>"})], ""),
        ("Just words.", [], "Just words."),
        ("", [], ""),
        ('Use {"a": 1} for that', [], 'Use {"a": 1} for that'),
    ],
)
def test_hermes_reads_calls_and_prose(text: str, calls: list[Call], content: str) -> None:
    assert HERMES.parse(text, TOOLS) == Parsed(tuple(calls), content=content)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('\n{"name": "f"}\n', '"arguments" is missing'),
        ('\n{"arguments": {}}\n', '"name" is missing'),
        ('\n{"name": "f", "arguments": "{}"}\n', '"arguments" is not an object'),
        ('\n{"name": "f", "arguments": [1]}\n', '"arguments" is not an object'),
        ('\n{"name": null, "arguments": {}}\n', '"name" is not a string'),
        ('\n{"name": "f", "arguments": {}, "id": 1}\n', 'unexpected key "id"'),
        ('\n{"name": "f", "name": "g", "arguments": {}}\n', 'the key "name" is there twice'),
        ('\n{"name": "f", "arguments": {"a": 1, "a": 2}}\n', 'the key "a" is there twice'),
        ('\n[{"name": "f", "arguments": {}}]\n', "not a JSON object"),
        ('\n{"name": "f", "arguments": {}}}\n', "</tool_call> is missing after the JSON object"),
        ('\n{"name": "f", "arguments": {}} ok\n', "</tool_call> is missing after the JSON object"),
        ("\n{'name': 'f', 'arguments': {}}\n", "not JSON: expecting property name"),
        ("\n", "not JSON: expecting value"),
        ("\n{“name”: “f”}\n", "not JSON: expecting property name"),
        ("\n<function=f>\n</function>\n", "not JSON: expecting value"),
    ],
)
def test_hermes_reports_a_closed_block_that_is_no_call(body: str, reason: str) -> None:
    text = f"<tool_call>{body}</tool_call>"
    parsed = HERMES.parse(f"Hm. {text} So.\n{ONE}", TOOLS)
    assert parsed.calls == (Call("add", {"a": 1}),)
    assert [(fragment.text, fragment.position) for fragment in parsed.fragments] == [(text, 4)]
    assert parsed.fragments[0].reason.startswith(reason)
    assert parsed.content == "Hm.  So."
    assert not parsed.open_block


@pytest.mark.parametrize("cut", range(len("<tool_call>"), len(ONE)))
def test_hermes_reports_a_cut_block_as_open(cut: int) -> None:
    parsed = HERMES.parse(ONE + "\n" + ONE[:cut], TOOLS)
    assert parsed.calls == (Call("add", {"a": 1}),)
    assert parsed.open_block
    assert [fragment.text for fragment in parsed.fragments] == [ONE[:cut]]


def test_hermes_a_marker_inside_a_cut_string_does_not_close_the_block() -> None:
    text = '<tool_call>\n{"name": "f", "arguments": {"x": "see </tool_call> and'
    parsed = HERMES.parse(text, TOOLS)
    assert parsed.open_block
    assert [fragment.text for fragment in parsed.fragments] == [text]


def test_hermes_a_block_that_is_not_closed_before_the_next_is_not_guessed() -> None:
    parsed = HERMES.parse(ONE.removesuffix("\n</tool_call>") + "\n" + ONE, TOOLS)
    assert parsed.calls == (Call("add", {"a": 1}),)
    assert [fragment.reason for fragment in parsed.fragments] == ["</tool_call> is missing after the JSON object"]
    assert not parsed.open_block


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ('{"name": "f", "arguments": {}}', [('{"name": "f", "arguments": {}}', "a call without <tool_call>", 0)]),
        ('\n{"name": "f", "arguments": {}}\n</tool_call>',
         [('{"name": "f", "arguments": {}}', "a call without <tool_call>", 1),
          ("</tool_call>", "</tool_call> without <tool_call>", 32)]),
        (ONE + "</tool_call>", [("</tool_call>", "</tool_call> without <tool_call>", len(ONE))]),
    ],
)  # fmt: skip
def test_hermes_reports_what_looks_like_a_call(text: str, fragments: list[tuple[str, str, int]]) -> None:
    found = HERMES.parse(text, TOOLS).fragments
    assert [(fragment.text, fragment.reason, fragment.position) for fragment in found] == fragments


# Reasoning, alike in both


@pytest.mark.parametrize("fmt", BOTH, ids=lambda fmt: fmt.id)
@pytest.mark.parametrize(
    ("before", "opened", "reasoning"),
    [
        ("<think>\nI should add.\n</think>\n\n", False, "I should add."),
        ("\n <think></think>", False, ""),
        ("I should add.\n</think>\n", True, "I should add."),
        ("<think>again</think>\n", True, "again"),
        (f"<think>maybe {ONE}</think>", False, f"maybe {ONE}"),
        (f"maybe {ONE}</think>", True, f"maybe {ONE}"),
    ],
)
def test_reasoning_is_split_off(fmt: ToolFormat, before: str, opened: bool, reasoning: str) -> None:
    answer = ONE if fmt.id == "hermes" else '{"calls": [{"name": "add", "arguments": {"a": 1}}], "reply": ""}'
    parsed = fmt.parse(before + answer, TOOLS, reasoning_opened=opened)
    assert parsed == Parsed((Call("add", {"a": 1}),), reasoning=reasoning)


@pytest.mark.parametrize("fmt", BOTH, ids=lambda fmt: fmt.id)
@pytest.mark.parametrize(("text", "opened"), [(f"<think>so {ONE}", False), (f"so {ONE}", True), ("", True)])
def test_unfinished_reasoning_answers_nothing_but_a_call_at_its_end(fmt: ToolFormat, text: str, opened: bool) -> None:
    parsed = fmt.parse(text, TOOLS, reasoning_opened=opened)
    if text and fmt.id == "hermes":
        assert parsed == Parsed((Call("add", {"a": 1}),), reasoning="so")
    else:
        assert parsed == Parsed(reasoning=text.removeprefix("<think>"), open_reasoning=True)


GLM_ONE = "<tool_call>add<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>"
MISTRAL_ONE = '[TOOL_CALLS]add[ARGS]{"a": 1}'
INVOKED = (
    '<｜DSML｜invoke name="add">\n<｜DSML｜parameter name="a" string="false">1</｜DSML｜parameter>\n</｜DSML｜invoke>\n'
)
DSML_ONE = f"<｜DSML｜function_calls>\n{INVOKED}</｜DSML｜function_calls>"
GEMMA_ONE = "<|tool_call>call:add{a:1}<tool_call|>"


@pytest.mark.parametrize(
    ("format_id", "thought", "call"),
    [
        ("hermes", '<tool_call>\n{"name": "add", "argum}\n</tool_call>', f"\n{ONE}"),
        ("hermes", f"I use <tool_call>.\n{ONE}\nOr I use <tool_call>:", f"\n{ONE}\n{ONE}"),
        ("glm_xml", "I will use a <tool_call> block for it.", f"\n{GLM_ONE}"),
        ("mistral_args", "I use [TOOL_CALLS] now.", f"\n{MISTRAL_ONE}{MISTRAL_ONE}"),
        ("deepseek_dsml", "I use <｜DSML｜function_calls>\n<｜DSML｜invoke now.", f"\n\n{DSML_ONE}"),
        ("gemma4", "I use <|tool_call>call:add so.", GEMMA_ONE),
    ],
)
def test_a_mention_or_a_broken_draft_before_the_call_that_ends_reasoning_is_reasoning(
    format_id: str, thought: str, call: str
) -> None:
    fmt = get(format_id)
    calls = fmt.parse(call, TOOLS).calls
    assert calls and all(one == Call("add", {"a": 1}) for one in calls)
    assert fmt.parse(thought + call, TOOLS, reasoning_opened=True) == Parsed(calls, reasoning=thought)


def test_a_broken_call_within_the_block_that_ends_reasoning_is_part_of_the_answer() -> None:
    text = DSML_ONE.replace(INVOKED, f'<｜DSML｜invoke name="add">so\n{INVOKED}')
    parsed = get("deepseek_dsml").parse(f"Hm.\n\n{text}", TOOLS, reasoning_opened=True)
    assert (parsed.calls, len(parsed.fragments), parsed.reasoning) == ((Call("add", {"a": 1}),), 1, "Hm.")


# Reading the envelope


@pytest.mark.parametrize(
    ("text", "calls", "reply"),
    [
        ('{"calls": [], "reply": "Hello."}', [], "Hello."),
        ('{"calls": [{"name": "f", "arguments": {"a": 1}}], "reply": ""}', [Call("f", {"a": 1})], ""),
        ('\n{"reply":"x","calls":[{"arguments":{},"name":"f"},{"name":"f","arguments":{}}]} \n',
         [Call("f", {}), Call("f", {})], "x"),
        ('{"calls": [{"name": "f", "arguments": {}}]}', [Call("f", {})], ""),
        ('{"reply": "No."}', [], "No."),
    ],
)  # fmt: skip
def test_envelope_reads(text: str, calls: list[Call], reply: str) -> None:
    assert ENVELOPE.parse(text, TOOLS) == Parsed(tuple(calls), content=reply)


@pytest.mark.parametrize(
    ("text", "reason", "open_block"),
    [
        ("", "the answer is empty", False),
        ("I cannot help.", "not a JSON object", False),
        ('```json\n{"calls": []}\n```', "not a JSON object", False),
        ('{"calls": []} Done.', "text after the JSON object", False),
        ('{"calls": []}{"calls": []}', "text after the JSON object", False),
        ("{}", '"calls" and "reply" are missing', False),
        ('{"name": "f", "arguments": {}}', 'unexpected key "name"', False),
        ('{"calls": {}, "reply": ""}', '"calls" is not a list', False),
        ('{"calls": [], "reply": null}', '"reply" is not a string', False),
        ('{"calls": [], "calls": []}', 'the key "calls" is there twice', False),
        ('{"calls": [', "the JSON ends early", False),
        ('{"calls": [], "reply": "I can', "the JSON ends early", False),
        ('{"calls": [{"name": "f", "argum', "the JSON ends early", True),
        ('{"calls": [{"name": "f", "arguments": {}}, {', "the JSON ends early", True),
        ('{"calls": [{"name": "f", "arguments": {}},', "the JSON ends early", False),
    ],
)
def test_envelope_reports_an_answer_that_is_none(text: str, reason: str, open_block: bool) -> None:
    parsed = ENVELOPE.parse(text, TOOLS)
    assert parsed.calls == ()
    assert [(fragment.text, fragment.reason, fragment.position) for fragment in parsed.fragments] == [(text, reason, 0)]
    assert parsed.open_block is open_block


def test_envelope_keeps_the_good_calls_beside_a_bad_one() -> None:
    text = '{"calls": [{"name": "f", "arguments": {}}, {"name": "g", "arguments": "x"}, 3], "reply": ""}'
    parsed = ENVELOPE.parse(text, TOOLS)
    assert parsed.calls == (Call("f", {}),)
    assert [fragment.reason for fragment in parsed.fragments] == [
        'call 2: "arguments" is not an object',
        "call 3: not a JSON object",
    ]


# Noise


PIECES = [
    *("<tool_call>", "</tool_call>", "<think>", "</think>", "<tool", "_call>", "\n", " "),
    *('{"name": "add", "arguments": {"a": 1}}', '{"name": "f", "arguments": {"x": "</tool_call>"}}', ONE),
    *('{"calls": [', '{"name": "f", "arguments": {}}', '], "reply": "x"}', '"name": '),
    *("{", "}", "[", '"', "\\", ",", "NaN", "1e999", "\ud800", "é"),
]
noise = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=12).map("".join)
formats = pytest.mark.parametrize("fmt", BOTH, ids=lambda fmt: fmt.id)


@formats
@given(text=noise, opened=st.booleans())
@settings(max_examples=150)
def test_parsing_noise_never_raises_and_invents_nothing(fmt: ToolFormat, text: str, opened: bool) -> None:
    parsed = fmt.parse(text, TOOLS, reasoning_opened=opened)
    for call in parsed.calls:
        assert json.dumps(call.name)[1:-1] in text or call.name in text
        assert isinstance(call.arguments, dict)
    for fragment in parsed.fragments:
        assert fragment.reason
        if fmt.id == "hermes":
            assert text[fragment.position :].startswith(fragment.text)


@formats
@given(text=noise, cuts=st.lists(st.integers(0, 80), max_size=6), opened=st.booleans())
@settings(max_examples=150)
def test_the_watcher_agrees_with_the_parser_at_every_prefix(
    fmt: ToolFormat, text: str, cuts: list[int], opened: bool
) -> None:
    in_pieces, by_character = fmt.watcher(TOOLS, reasoning_opened=opened), fmt.watcher(TOOLS, reasoning_opened=opened)
    bounds = sorted({0, *(min(cut, len(text)) for cut in cuts), len(text)})
    for end in range(len(text) + 1):
        if end:
            by_character.feed(text[end - 1])
        if end in bounds and end:
            in_pieces.feed(text[bounds[bounds.index(end) - 1] : end])
        calls = fmt.parse(text[:end], TOOLS, reasoning_opened=opened).calls
        has_call = bool(calls) and not is_thinking(fmt, text[:end], opened=opened)
        assert by_character.call_complete is has_call
        assert by_character.name_known or not has_call
        if end in bounds:
            assert in_pieces.call_complete is has_call
            assert in_pieces.name_known <= by_character.name_known


@pytest.mark.parametrize(
    ("fmt_id", "text", "name_at", "call_at"),
    [
        ("hermes", ONE, '"add"', "</tool_call>"),
        ("hermes", "<think>\nI call " + ONE + "\n</think>\n\n" + ONE.replace("add", "sub"), '"sub"', None),
        ("hermes", '<tool_call>\n{"arguments": {"name": "x"}, "name": "f"}\n</tool_call> bye', '"f"', "</tool_call>"),
        ("hermes", '<tool_call>\n{"oops}\n</tool_call>\n' + ONE, '"add"', None),
        ("json", '{"calls": [{"name": "add", "arguments": {"a": 1}}], "reply": "ok"}', '"add"', '"ok"}'),
        ("json", '{"reply": "name", "calls": [{"arguments": {}, "name": "f"}]}', '"f"', "]}"),
    ],
)
def test_the_watcher_names_the_moments(fmt_id: str, text: str, name_at: str, call_at: str | None) -> None:
    watcher = get(fmt_id).watcher(TOOLS)
    name_end = call_end = 0
    for end, character in enumerate(text, start=1):
        watcher.feed(character)
        name_end = name_end or (end if watcher.name_known else 0)
        call_end = call_end or (end if watcher.call_complete else 0)
    assert name_end == text.index(name_at) + len(name_at)
    assert call_end == (text.index(call_at) + len(call_at) if call_at else len(text))


# What the constraint allows


def written(node: Node, choose: Callable[[Choice | Repeat], int], value: Callable[[Json], str]) -> str:
    """One text of the grammar: `choose` picks the alternative or the number of repetitions."""
    match node:
        case Literal(text) | Marker(text):
            return text
        case Seq(parts):
            return "".join(written(part, choose, value) for part in parts)
        case Choice(options):
            return written(options[choose(node) % len(options)], choose, value)
        case Repeat(item, separator, minimum, _):
            n = minimum + choose(node) % 3
            items = [written(item, choose, value) for _ in range(n)]
            return written(separator, choose, value).join(items)
        case Json():
            return value(node)
    raise AssertionError(f"no text for {node}")


@formats
@pytest.mark.parametrize("required", [False, True])
@given(data=st.data())
@settings(max_examples=50)
def test_every_text_of_the_grammar_is_read_back_whole(fmt: ToolFormat, required: bool, data: st.DataObject) -> None:
    spec = fmt.constraint(TOOLS, required=required)
    values = {"object": '{"a": 7}', "string": '"x </tool_call> y"'}
    answer = written(spec.root, lambda _: data.draw(st.integers(0, 5)), lambda node: values[node.schema["type"]])
    parsed = fmt.parse(answer, TOOLS)
    assert not parsed.fragments
    assert not parsed.open_block
    assert {call.name for call in parsed.calls} <= {tool.name for tool in TOOLS}
    assert all(call.arguments == {"a": 7} for call in parsed.calls)
    assert parsed.content == ("" if fmt.id == "hermes" else "x </tool_call> y")
    if required or fmt.id == "hermes":
        assert parsed.calls


def test_each_tool_carries_its_own_schema() -> None:
    for fmt in BOTH:
        text = repr(fmt.constraint(TOOLS, required=True))
        assert text.count(repr(ADD.parameters)) == 1
        assert text.count(repr(SAY.parameters)) == 1


def test_triggers_and_roots() -> None:
    optional = HERMES.constraint(TOOLS, required=False)
    assert (optional.triggers, optional.at_start) == (("<tool_call>",), False)
    required = HERMES.constraint(TOOLS, required=True)
    assert required.triggers == ()
    assert required.root == optional.root, "what a call looks like does not depend on whether one is required"
    assert ENVELOPE.constraint(TOOLS, required=False).triggers == ()
    assert ENVELOPE.syntax_constraint().root == AnyJsonObject()


def test_without_tools_there_is_nothing_to_constrain_to() -> None:
    with pytest.raises(ConstraintError, match="without tools"):
        HERMES.constraint((), required=False)
    with pytest.raises(ConstraintError, match="no tools"):
        ENVELOPE.constraint((), required=True)
    parsed = ENVELOPE.parse(written(ENVELOPE.constraint((), required=False).root, lambda _: 0, lambda _: '"hi"'), ())
    assert parsed == Parsed(content="hi")


# Writing

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
ARGUMENTS = st.dictionaries(st.text() | st.sampled_from(PIECES[:6]), VALUES | st.sampled_from(PIECES[:-3]), max_size=3)
CALLS = st.lists(st.builds(Call, st.text(min_size=1), ARGUMENTS), min_size=1, max_size=3)


@formats
@given(calls=CALLS)
@settings(max_examples=60)
def test_what_is_written_is_read_back(fmt: ToolFormat, calls: list[Call]) -> None:
    try:
        text = fmt.write(calls, TOOLS)
    except CannotCarry:
        assert any("\ud800" <= char <= "\udfff" for char in repr(calls))
        return
    assert fmt.parse(text, TOOLS) == Parsed(tuple(calls))


def test_calls_are_written_as_the_template_writes_them() -> None:
    calls = (Call("add", {"a": 1}), Call("now", {}))
    assert HERMES.write(calls, TOOLS) == block("add", {"a": 1}) + "\n" + block("now", {})
    envelope_text = '{"calls": [{"name": "add", "arguments": {"a": 1}}, {"name": "now", "arguments": {}}], "reply": ""}'
    assert ENVELOPE.write(calls, TOOLS) == envelope_text


def test_arguments_are_written_in_the_schemas_order() -> None:
    tool = Tool("f", "", {"type": "object", "properties": {"z": {"type": "integer"}, "a": {"type": "string"}}})
    text = HERMES.write((Call("f", {"a": "x", "z": 1}),), (tool,))
    assert '{"z": 1, "a": "x"}' in text


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 10**5000, "\ud800", {"x": object()}], ids=type)
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    for fmt in BOTH:
        with pytest.raises(CannotCarry, match="add"):
            fmt.write((Call("add", {"a": value}),), TOOLS)


def test_nesting_that_no_reader_takes_is_refused() -> None:
    for depth in (70, 100_000):
        value: Any = 1
        for _ in range(depth):
            value = [value]
        with pytest.raises(CannotCarry, match="nested too deeply"):
            HERMES.write((Call("add", {"a": value}),), TOOLS)


# The envelope in the frame of a model that writes more than its answer

CHANNELS = envelope(NATIVE["harmony"])
NEXT = "<|end|><|start|>assistant"
HEADER = "<|channel|>final<|message|>"
THOUGHT = f"<|channel|>analysis<|message|>so{NEXT}"
ANSWER = '{"calls": [{"name": "add", "arguments": {"a": 1}}], "reply": ""}'


@pytest.mark.parametrize(
    ("before", "reasoning"),
    [
        (HEADER, ""),
        ("", ""),
        (f"{THOUGHT}{HEADER}", "so"),
        (f"{THOUGHT.replace('<|start|>', chr(10) + '<|start|>')}{HEADER}\n", "so"),
        (f"<|channel|>analysis<|message|>so<|end|>{HEADER}", "so"),
        # what gpt-oss writes beside the header of its template
        (f"{THOUGHT}<|channel|>final <|constrain|>json<|message|>", "so"),
        (f"{THOUGHT}{THOUGHT}{HEADER}", "so\nso"),
        (f"{THOUGHT}<|channel|>commentary<|message|>I will check.{NEXT}{HEADER}", "so"),
        (f"{THOUGHT}<|channel|>commentary<|message|>", "so"),
    ],
)
def test_the_envelope_stands_behind_what_its_model_writes_first(before: str, reasoning: str) -> None:
    assert CHANNELS.parse(before + ANSWER, TOOLS) == Parsed((Call("add", {"a": 1}),), reasoning=reasoning)
    watcher = CHANNELS.watcher(TOOLS)
    for char in before + ANSWER:
        assert not watcher.call_complete
        watcher.feed(char)
    assert watcher.call_complete
    assert watcher.name_known
    assert watcher.call_start == len(before)


@pytest.mark.parametrize("behind", ["<|end|>", "<|end|>\n", NEXT, f"{NEXT}<|channel|>analysis<|message|>done"])
def test_what_ends_the_message_is_no_part_of_the_envelope(behind: str) -> None:
    parsed = CHANNELS.parse(f"{HEADER}{ANSWER}{behind}", TOOLS)
    assert parsed == Parsed((Call("add", {"a": 1}),), reasoning="done" if behind.endswith("done") else "")


def test_marks_in_the_strings_of_the_envelope_are_text() -> None:
    text = f"hm <|end|> <|start|>assistant {HEADER}"
    written = CHANNELS.write((Call("add", {"a": text}),), TOOLS)
    assert CHANNELS.parse(THOUGHT + written, TOOLS) == Parsed((Call("add", {"a": text}),), reasoning="so")
    cut = written[: written.index("<|start|>") + 20]
    parsed = CHANNELS.parse(cut, TOOLS)
    assert [(fragment.text, fragment.position) for fragment in parsed.fragments] == [
        (cut.removeprefix(HEADER), len(HEADER))
    ]
    assert parsed.open_block


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (f"{HEADER}{ANSWER}{NEXT}{HEADER}No.", "No."),
        (f"{HEADER}{ANSWER}{NEXT} to=functions.add<|channel|>commentary json<|message|>{{}}", " to=functions.add"),
        (f"{HEADER}{ANSWER}<|end|><|start|>user<|message|>Thanks.", "<|message|>Thanks."),
    ],
)
def test_another_message_behind_it_is_the_answer(text: str, answer: str) -> None:
    (fragment,) = CHANNELS.parse(text, TOOLS).fragments
    assert fragment.reason == "not a JSON object"
    assert fragment.text.startswith(answer)


@pytest.mark.parametrize("cut", [0, 5, 15, 18, 25, 40, 48])
def test_an_answer_that_ends_within_its_header_is_empty(cut: int) -> None:
    text = "<|channel|>analysis<|message|>so<|end|>" + f"<|start|>assistant{HEADER}"[:cut]
    parsed = CHANNELS.parse(text, TOOLS)
    assert [fragment.reason for fragment in parsed.fragments] == ["the answer is empty"]
    assert not parsed.open_block


@pytest.mark.parametrize("unit", [THOUGHT, f'{HEADER}{{"a": [{NEXT}', f'{HEADER}{{"a": "{NEXT}', '{"a": 1}', "<|end|>"])
def test_hostile_messages_take_linear_time(unit: str) -> None:
    started = time.process_time()
    CHANNELS.parse(unit * (200_000 // len(unit)), TOOLS)
    assert time.process_time() - started < 5


def test_the_frame_of_one_model_is_text_to_another() -> None:
    assert CHANNELS.parse(f"<think>so</think>{ANSWER}", TOOLS).calls == ()
    assert ENVELOPE.parse(f"{HEADER}{ANSWER}", TOOLS).calls == ()


def test_the_constraint_writes_the_header_first() -> None:
    for spec in (CHANNELS.constraint(TOOLS, required=True), CHANNELS.syntax_constraint()):
        assert isinstance(spec.root, Seq)
        assert spec.root.parts[:3] == (Marker("<|channel|>"), Literal("final"), Marker("<|message|>"))
    assert CHANNELS.write((Call("add", {"a": 1}),), TOOLS) == f"{HEADER}{ANSWER}"


def test_a_models_envelope_has_its_native_frame() -> None:
    assert envelope(None) is ENVELOPE
    for native in NATIVE.values():
        assert envelope(native).frame == replace(native.frame, calls=()), "native calls are none in an envelope"


# The registry


def test_an_unknown_format_says_which_there_are() -> None:
    with pytest.raises(UnknownFormat, match=r"there is no format 'nope'; choose one of: .*hermes.*json"):
        get("nope")
    assert set(FORMATS) == {*NATIVE, "json"}
    assert all(fmt.id == key and fmt.title for key, fmt in FORMATS.items())
