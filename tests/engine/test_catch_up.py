"""A constraint takes over text that a model has written by itself, in whatever tokens that was."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import bench.nano
from engine.constraint import BACKENDS, backend
from engine.decoding.catch_up import catch_up
from engine.decoding.spelling import Spell, Spelling
from engine.decoding.stops import MarkerFinder
from engine.formats import FORMATS
from engine.formats.protocol import ToolFormat
from engine.llama import LoadParams, Model, load_model
from engine.types import Tool
from grammars.errors import UnsupportedSchema
from grammars.nodes import Choice, Json, Literal, Marker, Node, Repeat, Seq

NANO = Path(bench.nano.__file__).with_name("nano-f16.gguf")
NAMES, CITIES = ("get_weather", "get_time"), ("Oslo", "Osaka")


def call(name: str) -> Node:
    return Seq((Literal(f'{{"name": "{name}", "city": '), Json({"enum": list(CITIES)}), Literal("}")))


CALL = Choice(tuple(call(name) for name in NAMES))
CALLS = Seq((Literal("["), Repeat(CALL, Literal(", "), maximum=2), Literal("]")))
BLOCK = Seq((Marker("<tool_call>"), Literal("\n"), CALL, Literal("\n"), Marker("</tool_call>")))
TEXTS = tuple(f'{{"name": "{name}", "city": "{city}"}}' for name in NAMES for city in CITIES)
LISTS = tuple(f"[{text}" for text in TEXTS)  # as far as it matters here
BLOCKS = tuple(f"<tool_call>\n{text}\n</tool_call>" for text in TEXTS)


@pytest.fixture(scope="module")
def nano() -> Iterator[Model]:
    with load_model(NANO, LoadParams(vocab_only=True)) as model:
        yield model


@pytest.fixture(scope="module", params=BACKENDS)
def engine(request: pytest.FixtureRequest, nano: Model) -> Any:
    return backend(request.param, nano)


@cache
def spell(model: Model) -> Spell:
    return Spelling(model.vocabulary(), model.tokenize).tokens


def check_all_tokens_with(model: Model, engine: Any, trigger: str, root: Node, texts: tuple[str, ...]) -> int:
    """Every token that writes the trigger, and perhaps more: taken over if it can be the beginning of an answer."""
    pieces = model.vocabulary().pieces
    compiled, n_taken = engine.compile(root), 0
    for piece in pieces:
        if trigger.encode() not in piece or not (found := MarkerFinder([trigger], at_start=True).feed(piece)):
            continue
        written = found.marker + found.rest
        constraint = compiled.start()
        beyond = catch_up(constraint, written, spell(model), pieces)
        possible = [text for text in texts if text.encode().startswith(written)]
        assert (beyond is not None) == bool(possible), piece
        if beyond is not None:
            n_taken += 1
            assert all(text.encode().startswith(written + beyond) for text in possible), "it invents nothing"
            assert constraint.mask().any(), "it goes on from there"
    return n_taken


@pytest.mark.parametrize(("trigger", "root", "texts"), [("{", CALL, TEXTS), ("[", CALLS, LISTS)])
def test_every_token_that_writes_a_trigger(
    nano: Model, engine: Any, trigger: str, root: Node, texts: tuple[str, ...]
) -> None:
    assert check_all_tokens_with(nano, engine, trigger, root, texts)


@pytest.mark.real
@pytest.mark.parametrize("label", ["qwen2", "llama-bpe", "gemma-4"])
@pytest.mark.parametrize("name", ["llguidance", "gbnf"])
def test_every_token_of_a_real_vocabulary_that_writes_a_trigger(real_data: Path, label: str, name: str) -> None:
    with load_model(real_data / "vocab" / f"ggml-vocab-{label}.gguf", LoadParams(vocab_only=True)) as model:
        real: Any = backend(name, model)
        assert check_all_tokens_with(model, real, "{", CALL, TEXTS) >= 3
        assert check_all_tokens_with(model, real, "[", CALLS, LISTS) >= 3


def test_any_part_of_an_answer_may_have_been_written(nano: Model, engine: Any) -> None:
    """Except for a part of a marker at its end, which is not a marker yet."""
    compiled, pieces = engine.compile(BLOCK), nano.vocabulary().pieces
    for text in BLOCKS[:2]:
        data = text.encode()
        for end in (*range(len("<tool_call>"), data.index(b"\n</") + 2), len(data)):
            constraint = compiled.start()
            beyond = catch_up(constraint, data[:end], spell(nano), pieces)
            assert beyond is not None and data.startswith(data[:end] + beyond)
            assert constraint.complete == (end + len(beyond) == len(data))


@pytest.mark.parametrize("text", ["<tool_call>x", '<tool_call>\n{"name": "get_weather", "city": "Rome"', "\n", "\xff"])
def test_what_is_no_beginning_of_an_answer_is_refused(nano: Model, engine: Any, text: str) -> None:
    constraint = engine.compile(BLOCK).start()
    assert catch_up(constraint, text.encode("latin-1"), spell(nano), nano.vocabulary().pieces) is None


PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": list(CITIES)}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = [Tool(name, "", PARAMETERS) for name in NAMES]


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("n_tools", [1, 2])
def test_every_format_begins_with_each_of_its_triggers(nano: Model, engine: Any, fmt: ToolFormat, n_tools: int) -> None:
    spec = fmt.constraint(TOOLS[:n_tools], required=False)
    try:
        compiled = engine.compile(spec.root)
    except UnsupportedSchema as error:
        pytest.skip(str(error))
    for trigger in spec.triggers:
        assert catch_up(compiled.start(), trigger.encode(), spell(nano), nano.vocabulary().pieces) is not None


def test_a_marker_that_the_vocabulary_lacks_is_text(nano: Model, engine: Any) -> None:
    root = Seq((Marker("<TOOLCALL>"), CALLS))
    constraint = engine.compile(root).start()
    beyond = catch_up(constraint, b"<TOOLCALL>", spell(nano), nano.vocabulary().pieces)
    assert beyond is not None and b'[{"name": "get_'.startswith(beyond)


def test_a_text_that_the_grammar_spells_is_not_taken_as_the_marker_it_looks_like(nano: Model, engine: Any) -> None:
    """A literal is text, also where a special token of the vocabulary has that text."""
    constraint = engine.compile(Seq((Literal("<tool_call>go"), CALL))).start()
    assert catch_up(constraint, b"<tool_call>", spell(nano), nano.vocabulary().pieces) is not None
