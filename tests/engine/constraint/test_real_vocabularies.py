"""The backends on vocabularies of real models: large, with thousands of ragged tokens, and with their own markers."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from engine.constraint import BACKENDS, backend
from engine.constraint.walk import accepts
from engine.llama import LoadParams, load_model
from grammars.canonical import dumps
from grammars.nodes import Choice, Json, Literal, Marker, QuotedDict, RawString, RawText, Seq
from grammars.schema import normalise_parameters
from grammars.validation import validator
from tests.engine.constraint.test_language import random_walk

pytestmark = pytest.mark.real

SCHEMA = normalise_parameters(
    {
        "type": "object",
        "properties": {
            "city": {"type": "string", "maxLength": 6},
            "days": {"type": "integer", "minimum": 1, "maximum": 16},
            "unit": {"enum": ["celsius", "fahrenheit", "°F"]},
            "at": {"type": "number", "minimum": -0.25, "maximum": 2},
        },
        "required": ["city", "unit"],
    }
)
MARKERS = {"qwen2": None, "gemma-4": "<|tool_call>", "llama-bpe": "<|start_header_id|>"}


@pytest.fixture(scope="module", params=MARKERS)
def model(request: pytest.FixtureRequest, real_data: Path) -> Any:
    with load_model(real_data / "vocab" / f"ggml-vocab-{request.param}.gguf", LoadParams(vocab_only=True)) as loaded:
        yield request.param, loaded


@pytest.mark.parametrize("name", BACKENDS)
def test_a_call_is_constrained_on_a_real_vocabulary(model: Any, name: str) -> None:
    label, loaded = model
    engine: Any = backend(name, loaded)
    compiled = engine.compile(Seq((Literal('{"name": "get_weather", "arguments": '), Json(SCHEMA), Literal("}"))))
    for value in ({"city": "Zürich", "unit": "°F"}, {"city": 'a"\n😀', "days": 16, "unit": "celsius", "at": 0.125}):
        text = '{"name": "get_weather", "arguments": ' + dumps(value, SCHEMA) + "}"
        assert accepts(compiled.start(), engine.kinds, text)
        constraint = compiled.start()
        for token in loaded.tokenize(text, parse_special=False):
            assert constraint.allows(token)
            constraint.accept(token)
        assert constraint.complete and constraint.finished
    assert not accepts(compiled.start(), engine.kinds, text.replace("16", "17"))
    for seed in range(3 if name == "gbnf" else 8):
        walked = random_walk(compiled.start(), engine.kinds, random.Random(f"{label} {seed}"))
        if walked is not None:
            assert validator(SCHEMA).is_valid(json.loads(walked)["arguments"])


@pytest.mark.parametrize("name", BACKENDS)
def test_markers_are_tokens_on_a_real_vocabulary(model: Any, name: str) -> None:
    label, loaded = model
    marker = MARKERS[label]
    if marker is None:
        pytest.skip("this vocabulary file has no such tokens")
    engine: Any = backend(name, loaded)
    constraint = engine.compile(Seq((Marker(marker), RawText(marker), Marker(marker)))).start()
    token = loaded.vocabulary().token_of(marker)
    assert not constraint.allows(engine.kinds.by_piece[b"<"])
    constraint.accept(token)
    for part in engine.kinds.spelled("é <|tool".encode()):
        constraint.accept(part)
    constraint.accept(token)
    assert constraint.finished


@pytest.mark.parametrize("name", BACKENDS)
def test_a_certain_text_that_the_tokenizer_would_change_is_spelled(model: Any, name: str) -> None:
    """Gemma's tokenizer writes a space for U+2581; and what looks like a marker becomes one."""
    label, loaded = model
    engine: Any = backend(name, loaded)
    inside = ["▁", "x▁y", MARKERS[label] or "<|im_end|>"]
    compiled = engine.compile(Json({"enum": [first + text for first in "ab" for text in inside]}))
    for text in inside:
        assert accepts(compiled.start(), engine.kinds, f'"a{text}"')


@pytest.mark.parametrize("name", BACKENDS)
def test_bare_strings_are_constrained_on_a_real_vocabulary(model: Any, name: str) -> None:
    _, loaded = model
    engine: Any = backend(name, loaded)
    end = "\n</parameter>\n"
    city = RawString({"type": "string", "pattern": "^[^\\s]"}, end)
    unit = Choice((RawString({"enum": ["celsius", "°F"]}, end), Json({"type": ["null", "integer"]})))
    node = Seq((Literal("<parameter=city>\n"), city, Literal(f"{end}<parameter=unit>\n"), unit, Literal(end)))
    compiled = engine.compile(node)
    for values in (("Zürich\n</parameter", "°F"), ("a\t<tool_call>", "-12"), ('"', "null")):
        text = "<parameter=city>\n{}\n</parameter>\n<parameter=unit>\n{}\n</parameter>\n".format(*values)
        assert accepts(compiled.start(), engine.kinds, text)
        _follow(compiled.start(), loaded, text)
    assert not accepts(compiled.start(), engine.kinds, text.replace("null", "Kelvin"))
    assert not accepts(compiled.start(), engine.kinds, text.replace('"', " "))


@pytest.mark.parametrize("name", BACKENDS)
def test_a_dictionary_is_constrained_on_a_real_vocabulary(model: Any, name: str) -> None:
    label, loaded = model
    engine: Any = backend(name, loaded)
    quote = '<|"|>'
    compiled = engine.compile(Seq((Literal("call:get_weather"), QuotedDict(SCHEMA, quote), Literal("\n"))))
    text = f"call:get_weather{{city:{quote}Zü,r}}{quote},days:16,unit:{quote}°F{quote},at:0.125}}\n"
    assert accepts(compiled.start(), engine.kinds, text)
    _follow(compiled.start(), loaded, text)
    assert (loaded.vocabulary().token_of(quote) in loaded.tokenize(text)) == (label == "gemma-4")
    for wrong in (
        text.replace("16", "17"),
        text.replace("°F", "°C"),
        text.replace("Zü", "Zürich"),
        text.replace(quote, '"'),
    ):
        assert not accepts(compiled.start(), engine.kinds, wrong)


def _follow(constraint: Any, loaded: Any, text: str) -> None:
    """Along the tokens in which llama.cpp itself writes the text."""
    for token in loaded.tokenize(text):
        assert constraint.allows(token), loaded.vocabulary().pieces[token]
        constraint.accept(token)
    assert constraint.complete and constraint.finished
