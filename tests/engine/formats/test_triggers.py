"""What a parser reads as a call has begun the constraint, or it would be a call that no constraint has seen.

Hammer puts its list in a fence, Llama 3 at times writes a list: both were read, and neither was a trigger. So each text
that the formats' own tests read as a call is put through the decoder's finder.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from itertools import chain
from typing import Any

import pytest

from engine.constraint import backend
from engine.decoding.stops import MarkerFinder
from engine.formats import NATIVE
from engine.formats.protocol import ToolFormat
from engine.formats.reasoning import split_reasoning
from engine.llama import Model
from engine.runtime import Request
from tests.engine.formats.prefixes import TOOLS
from tests.engine.test_answer import Desk

HERMES = "tests.engine.test_formats"


def texts(format_id: str) -> Iterator[tuple[ToolFormat, Any, str]]:
    """Every text in the tables of a format's own tests, with the tools that they offer."""
    module = import_module(HERMES if format_id == "hermes" else f"tests.engine.formats.test_{format_id}")
    for test in vars(module).values():
        marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
        for row in chain.from_iterable(mark.args[1] for mark in marks):
            for text in row if isinstance(row, tuple) else (row,):
                if isinstance(text, str):
                    yield NATIVE[format_id], module.TOOLS, text


@pytest.mark.parametrize("format_id", NATIVE)
def test_what_is_read_as_a_call_begins_the_constraint(format_id: str) -> None:
    n_calls = 0
    for fmt, tools, text in texts(format_id):
        parsed = fmt.parse(text, tools)
        if not parsed.calls:
            continue
        n_calls += 1
        spec = fmt.constraint(tools, required=False)
        split = split_reasoning(text, opened=False, frame=fmt.frame)
        answer = text[split.begin if split.inside else split.start :].encode()
        finder = MarkerFinder(spec.triggers, at_start=spec.at_start)
        if split.inside:
            finder = MarkerFinder(fmt.frame.calls)
        assert any(finder.feed(bytes((byte,))) for byte in answer), f"{fmt.id} is not constrained in {text!r}"
    assert n_calls > 2


@pytest.mark.parametrize(
    ("format_id", "wish", "begun"),
    [
        (
            "json_list",
            '```json\n[{"name": "add", "arguments": {"town": 3}}]\n```',
            '```json\n[{"name": "add", "arguments"',
        ),
        ("json_list", '{"name": "add", "arguments": {"town": 3}}', '{"name": "add", "arguments"'),
        ("llama3_json", '[{"name": "add", "parameters": {"town": 3}}]', '[{"name": "add", "parameters"'),
    ],
)
def test_the_decoder_constrains_these_spellings(format_id: str, wish: str, begun: str, tiny_model: Model) -> None:
    spec = NATIVE[format_id].constraint(TOOLS, required=False)
    compiled = backend("llguidance", tiny_model).compile(spec.root)
    pending = Request("key", (1, 2, 3), compiled=compiled, triggers=spec.triggers, trigger_at_start=spec.at_start)
    generation = Desk(tiny_model).run(pending, wish)
    assert generation.text.startswith(f'{begun}: {{"b": '), "the schema's first argument, not the model's"
