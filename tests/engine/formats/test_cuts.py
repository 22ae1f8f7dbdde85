"""Whole answers cut at every byte: what is read of the beginning, by the parser and by the watcher.

The answers are walks through each format's own grammar, so that they are as odd as the grammar allows.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

from engine.constraint import backend
from engine.formats import FORMATS
from engine.formats.protocol import ToolFormat
from engine.llama import LoadParams, load_model
from engine.types import Call, Parsed
from grammars.canonical import dumps
from grammars.merge import same
from tests.engine.formats.walking import BEYOND_GRAMMARS, BUNDLED, TOOLS, Walker

Answers = Callable[[ToolFormat], list[str]]
N_TEXTS = 50 if "TOOLGAUGE_WALKS" in os.environ else 10
formats = pytest.mark.parametrize("fmt", FORMATS.values(), ids=lambda fmt: fmt.id)


@pytest.fixture(scope="module")
def answers() -> Iterator[Answers]:
    """Whole answers in a format, walked once for all tests."""
    with load_model(BUNDLED, LoadParams(vocab_only=True)) as model:
        engine = backend("llguidance", model)
        yield cache(lambda fmt: walked(engine, fmt))


def walked(engine: Any, fmt: ToolFormat) -> list[str]:
    """Short answers are preferred: each is read hundreds of times."""
    walker = Walker(engine, fmt.constraint(TOOLS, required=True).root)
    walks = [walker.walk(random.Random(f"{fmt.id} {number}")) for number in range(3 * N_TEXTS)]
    by_size = sorted((walk for walk in walks if walk and is_within_grammars(fmt, walk)), key=len)
    found = by_size[len(by_size) // 4 :][:N_TEXTS]  # neither the trivial ones nor the longest
    assert len(found) == N_TEXTS
    return found


def is_within_grammars(fmt: ToolFormat, text: str) -> bool:
    return not any(BEYOND_GRAMMARS.search(fragment.reason) for fragment in fmt.parse(text, TOOLS).fragments)


def cuts(text: str) -> Iterator[str]:
    """Every prefix in bytes; half a character at the end is left out."""
    data = text.encode()
    for end in range(len(data)):
        yield data[:end].decode(errors="ignore")


def is_prefix(read: tuple[Call, ...], calls: tuple[Call, ...]) -> bool:
    return len(read) <= len(calls) and all(
        ours.name == theirs.name and same(dict(ours.arguments), dict(theirs.arguments))
        for ours, theirs in zip(read, calls, strict=False)
    )


@formats
def test_a_cut_answer_has_no_call_that_is_not_whole(answers: Answers, fmt: ToolFormat) -> None:
    for text in answers(fmt):
        whole = fmt.parse(text, TOOLS)
        assert whole.calls and not whole.fragments
        n_calls = 0
        for cut in cuts(text):
            parsed = fmt.parse(cut, TOOLS)
            assert is_prefix(parsed.calls, whole.calls), (cut, text)
            assert len(parsed.calls) >= n_calls, f"a call is taken back: {cut!r}"
            n_calls = len(parsed.calls)


@formats
def test_an_unclosed_call_is_always_reported_as_open(answers: Answers, fmt: ToolFormat) -> None:
    for text in answers(fmt):
        spans = list(open_spans(fmt, text))
        assert spans
        for cut in cuts(text):
            if any(start <= len(cut) < end for start, end in spans):
                parsed = fmt.parse(cut, TOOLS)
                assert parsed.open_block, f"not open: {cut!r}"
                assert parsed.fragments, f"not named: {cut!r}"


@formats
def test_what_is_open_is_named_where_it_begins(answers: Answers, fmt: ToolFormat) -> None:
    for text in answers(fmt)[:3]:
        for cut in cuts("So: " + text if can_follow_prose(fmt) else text):
            parsed = fmt.parse(cut, TOOLS)
            for fragment in parsed.fragments:
                assert cut[fragment.position :].startswith(fragment.text)
            if parsed.open_block:
                assert cut.rstrip().endswith(parsed.fragments[-1].text.rstrip())


@formats
def test_a_cut_in_reasoning_is_no_call_but_behind_a_whole_one(answers: Answers, fmt: ToolFormat) -> None:
    text = answers(fmt)[0]
    for opened in (True, False):
        before = ("" if opened else fmt.frame.open) + "I call " + text
        for cut in cuts(before):
            parsed = fmt.parse(cut, TOOLS, reasoning_opened=opened)
            if fmt.frame.close not in cut and (opened or cut.startswith(fmt.frame.open)):
                assert parsed.open_reasoning is not bool(parsed.calls) and not parsed.open_block, cut
                assert not parsed.calls or is_prefix(parsed.calls, fmt.parse(text, TOOLS).calls), cut
        whole = before + fmt.frame.close + fmt.frame.resume + text
        if fmt.frame.close not in text:
            assert fmt.parse(whole, TOOLS, reasoning_opened=opened).calls == fmt.parse(text, TOOLS).calls


@formats
def test_the_watcher_agrees_with_the_parser_at_every_cut(answers: Answers, fmt: ToolFormat) -> None:
    for number, answer in enumerate(answers(fmt)):
        chance = random.Random(f"pieces {number}")
        opened = chance.random() < 0.3
        text = (f"hm{fmt.frame.close}{fmt.frame.resume}" if opened else "") + answer + chance.choice(["", "\n", " bye"])
        by_character = fmt.watcher(TOOLS, reasoning_opened=opened)
        in_pieces, fed = fmt.watcher(TOOLS, reasoning_opened=opened), 0
        for end in range(1, len(text) + 1):
            parsed = fmt.parse(text[:end], TOOLS, reasoning_opened=opened)
            by_character.feed(text[end - 1])
            agrees(by_character, parsed, text[:end])
            if chance.random() < 0.1 or end == len(text):
                in_pieces.feed(text[fed:end])
                fed = end
                agrees(in_pieces, parsed, text[:end])


def agrees(watcher: Any, parsed: Parsed, text: str) -> None:
    assert watcher.call_complete is bool(parsed.calls), text
    assert watcher.name_known or not parsed.calls, text


# Where a call begins and ends in an answer


def can_follow_prose(fmt: ToolFormat) -> bool:
    spec = fmt.constraint(TOOLS, required=False)
    return bool(spec.triggers) and not spec.at_start


def open_spans(fmt: ToolFormat, text: str) -> Iterator[tuple[int, int]]:
    """Where something is open for certain: from the end of what begins a call to the last character of its end.

    Between two calls, what begins the second is not looked for: nothing is certain until as much text has come as the
    longest beginning has, behind a closing tag that may still belong to the first (Qwen's, where its opening is left
    out).
    """
    if fmt.id == "json":
        yield from _envelope_spans(fmt, text)
        return
    triggers = fmt.constraint(TOOLS, required=False).triggers
    # White space before a block says nothing yet, nor does a fence: the list in it does.
    lead = text.index("[") if text.startswith("```") else len(text) - len(text.lstrip())
    lead = 0 if text.startswith(triggers) and not text.startswith("```") else lead
    begun = lead + next(len(trigger) for trigger in triggers if text.startswith(trigger, lead))
    ends, n_calls = [], 0
    for end in range(1, len(text) + 1):
        n_read = len(fmt.parse(text[:end], TOOLS).calls)
        if n_read > n_calls:
            ends.append(end)
            n_calls = n_read
    margin = len("\n</tool_call>\n") + max(map(len, triggers))
    for number, end in enumerate(ends):
        yield (ends[number - 1] + margin if number else begun), end


def _envelope_spans(fmt: ToolFormat, text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for call in json.loads(text)["calls"]:
        tool = next(tool for tool in TOOLS if tool.name == call["name"])
        element = f'{{"name": {dumps(call["name"])}, "arguments": {dumps(call["arguments"], tool.parameters)}}}'
        start = text.index(element, start)
        yield start + 1, start + len(element)
