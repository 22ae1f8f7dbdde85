"""What a format writes, its parser reads back to the same calls and its grammar accepts; or it says what it cannot."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from engine.constraint import backend
from engine.constraint.walk import walk
from engine.formats import FORMATS
from engine.formats.protocol import CannotCarry, ToolFormat
from engine.llama import LoadParams, load_model
from engine.types import Call, Tool
from grammars.errors import UnsupportedSchema
from grammars.merge import same
from grammars.schema import normalise_parameters
from grammars.validation import validator
from tests.engine.formats.drawing import PLAIN_TEXT, Conversation, hostile, plain, wild
from tests.engine.formats.walking import BUNDLED

formats = pytest.mark.parametrize("fmt", FORMATS.values(), ids=lambda fmt: fmt.id)
N_EXAMPLES = int(os.environ.get("TOOLGAUGE_EXAMPLES", "50"))  # many more, now and then, find more
MANY = settings(max_examples=N_EXAMPLES, suppress_health_check=list(HealthCheck))
FEW = settings(max_examples=max(1, N_EXAMPLES // 3), suppress_health_check=list(HealthCheck))

ADD = Tool(
    "add",
    "Add.",
    normalise_parameters(
        {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "required": ["a"]}
    ),
)


def written(fmt: ToolFormat, calls: Sequence[Call], tools: Sequence[Tool]) -> str | None:
    """The text, read back; None where the format cannot carry the calls and says so."""
    try:
        text = fmt.write(calls, tools)
    except CannotCarry as error:
        assert len(str(error)) > 10
        return None
    parsed = fmt.parse(text, tools)
    assert same_calls(parsed.calls, calls), f"{fmt.id} reads {parsed} in {text!r}"
    assert (parsed.fragments, parsed.content, parsed.reasoning, parsed.open_block) == ((), "", "", False), fmt.id
    return text


def same_calls(read: Sequence[Call], calls: Sequence[Call]) -> bool:
    return len(read) == len(calls) and all(
        ours.name == theirs.name and same(dict(ours.arguments), dict(theirs.arguments))
        for ours, theirs in zip(read, calls, strict=True)
    )


# Drawing takes longer than reading, so each example is for all formats.


@pytest.fixture(scope="module")
def refusals() -> Iterator[dict[str, Counter[str]]]:
    """How often each format could not carry an example of each kind."""
    yield {fmt.id: Counter() for fmt in FORMATS.values()}


@MANY
@given(drawn=plain())
def test_plain_calls_are_read_back(refusals: dict[str, Counter[str]], drawn: Conversation) -> None:
    tools, calls = drawn
    for fmt in FORMATS.values():
        text = written(fmt, calls[: fmt.max_calls], tools)
        refusals[fmt.id]["plain"] += text is None
        refusals[fmt.id]["of plain"] += 1


@MANY
@given(drawn=hostile())
def test_calls_full_of_markers_are_read_back_or_refused(refusals: dict[str, Counter[str]], drawn: Conversation) -> None:
    tools, calls = drawn
    for fmt in FORMATS.values():
        text = written(fmt, calls[: fmt.max_calls], tools)
        refusals[fmt.id]["hostile"] += text is None
        refusals[fmt.id]["of hostile"] += 1


def test_being_refused_is_not_the_common_case(refusals: dict[str, Counter[str]]) -> None:
    if not all(counts["of plain"] and counts["of hostile"] for counts in refusals.values()):
        pytest.skip("counts what the two tests above have found; run them too")
    for format_id, counts in refusals.items():
        assert counts["plain"] <= counts["of plain"] / 20, (format_id, counts)
        assert counts["hostile"] <= counts["of hostile"] / 3, (format_id, counts)


@FEW
@given(drawn=wild())
def test_calls_under_any_schema_are_read_back_or_refused(drawn: Conversation) -> None:
    tools, calls = drawn
    for fmt in FORMATS.values():
        written(fmt, calls, tools)


@formats
def test_more_calls_than_a_format_has_are_refused(fmt: ToolFormat) -> None:
    calls = [Call("add", {"a": number}) for number in range((fmt.max_calls or 5) + 1)]
    text = written(fmt, calls, [ADD])
    assert (text is None) == (fmt.max_calls is not None)
    assert written(fmt, calls[: fmt.max_calls], [ADD]) is not None


@formats
@pytest.mark.parametrize(
    "arguments",
    [
        {"a": 1},
        {"a": 1, "b": ""},
        {"a": -(10**30), "b": "2"},
        {"a": 0, "b": "null"},
        {"a": 0, "b": 'say "hi"\\ \\n'},
        {"a": 0, "b": "two\nlines\n\n  indented\t"},
        {"a": 0, "b": "  "},
        {"a": 0, "b": "naïve 日本語 😀 e\u0301 \u2028 \x7f"},
        {"a": 0, "b": "<b> & </b> {{ x }} {% y %}"},
    ],
    ids=str,
)
def test_what_every_format_has_to_carry(fmt: ToolFormat, arguments: dict[str, Any]) -> None:
    assert written(fmt, [Call("add", arguments)], [ADD]) is not None


@formats
def test_a_call_without_arguments_is_read_back(fmt: ToolFormat) -> None:
    tool = Tool("ping", "Ping.", normalise_parameters({"type": "object", "properties": {}}))
    assert written(fmt, [Call("ping", {})], [tool]) is not None


@FEW
@given(drawn=plain(), thought=PLAIN_TEXT, opened=st.booleans())
def test_reasoning_before_the_calls_changes_nothing(drawn: Conversation, thought: str, opened: bool) -> None:
    tools, drawn_calls = drawn
    for fmt in FORMATS.values():
        calls, frame = drawn_calls[: fmt.max_calls], fmt.frame
        answer = written(fmt, calls, tools)
        if answer is None:
            continue
        text = f"{'' if opened else frame.open}{thought}{frame.close}{frame.resume}{answer}"
        parsed = fmt.parse(text, tools, reasoning_opened=opened)
        assert same_calls(parsed.calls, calls), f"{fmt.id} reads {parsed} in {text!r}"
        assert parsed.reasoning == thought.strip(), fmt.id
        assert (parsed.fragments, parsed.content, parsed.open_block) == ((), "", False), fmt.id


# What the grammar says of these texts


@pytest.fixture(scope="module", params=["llguidance", "gbnf"])
def engine(request: pytest.FixtureRequest) -> Iterator[Any]:
    with load_model(BUNDLED, LoadParams(vocab_only=True)) as model:
        yield backend(request.param, model)


@FEW
@given(drawn=plain() | hostile() | wild())
def test_the_grammar_accepts_what_is_written_exactly_if_it_is_valid(engine: Any, drawn: Conversation) -> None:
    tools, drawn_calls = drawn
    schemas = {tool.name: tool.parameters for tool in tools}
    for fmt in FORMATS.values():
        calls = drawn_calls[: fmt.max_calls]
        text = written(fmt, calls, tools)
        if text is None:
            continue
        try:
            compiled = engine.compile(fmt.constraint(tools, required=True).root)
        except UnsupportedSchema as error:
            event(f"{fmt.id} refuses {error.keyword}")
            continue
        answer = from_trigger(fmt, text, tools)
        valid = all(validator(schemas[call.name]).is_valid(dict(call.arguments)) for call in calls)
        event(f"valid: {valid}")
        end = walk(compiled.start(), engine.kinds, answer)
        accepted = end.complete and end.n_bytes == len(answer.encode())
        assert accepted == valid, f"{fmt.id}: {answer!r}\n{end} under\n{compiled.text}"


def from_trigger(fmt: ToolFormat, text: str, tools: Sequence[Tool]) -> str:
    """The part that the grammar is for."""
    triggers = fmt.constraint(tools, required=False).triggers
    begun = min((text.find(trigger) for trigger in triggers if trigger in text), default=0)
    assert not text[:begun].strip(), f"{fmt.id} does not begin with a trigger: {text!r}"
    return text[begun:]
