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
from grammars.nodes import Json, Literal, Marker, RawText, Seq
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
