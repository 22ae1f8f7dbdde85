"""Tokens that a grammar forces are appended without asking the model: the text must be the one it would have written.

Two runs may part where the tokenizer cuts forced text otherwise than the model would have, or where two tokens are
closer than the kernels' noise; anything else is a bug (`engine.divergence`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from gguf import TokenType

from engine.constraint import backend
from engine.constraint.protocol import Backend
from engine.decoder import LlamaRuntime
from engine.divergence import explain
from engine.formats import FORMATS
from engine.llama import ContextParams, LoadParams, Model, load_model
from engine.runtime import Limits, Request
from engine.types import Generation, Tool
from tests.engine.formats.drawing import marker_texts
from tests.engine.formats.walking import BUNDLED
from tests.tiny_gguf import write_tiny_model

PARAMS = ContextParams(n_ctx=512, n_batch=128, n_threads=1)
QUESTIONS = ("The weather in Oslo for 3 days, please.", "Is it warm in Rome?")
TOOLS = (
    Tool(
        "get_weather",
        "The weather.",
        {
            "type": "object",
            "properties": {
                "city": {"type": "string", "maxLength": 16},
                "days": {"type": "integer", "minimum": 0, "maximum": 9},
                "unit": {"enum": ["celsius", "kelvin"]},
            },
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    ),
    Tool("ping", "Nothing.", {"type": "object", "properties": {}, "additionalProperties": False}),
)
# A trained model that has no token for most markers, and one of random weights that has one for each.
PAIRS = (("trained", "llguidance"), ("trained", "outlines"), ("random", "llguidance"))


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Model, Backend]]:
    weights, engine = request.param
    path = BUNDLED
    if weights == "random":
        path = write_with_marker_tokens(tmp_path_factory.mktemp("markers") / "model.gguf")
    with load_model(path, LoadParams(n_gpu_layers=0)) as model:
        yield model, backend(engine, model)


def write_with_marker_tokens(path: Path) -> Path:
    known = ("<tool_call>", "</tool_call>", "[TOOL_CALLS]")
    return write_tiny_model(path, seed=3, more=dict.fromkeys(set(marker_texts()) - set(known), TokenType.USER_DEFINED))


def run(model: Model, pending: list[Request]) -> dict[object, Generation]:
    generations: dict[object, Generation] = {}
    with LlamaRuntime(model, PARAMS, 1) as runtime:
        for request in pending:
            runtime.submit(request)
        while runtime.n_pending:
            for finished in runtime.step():
                assert finished.generation and not finished.error, finished.error
                generations[finished.key] = finished.generation
    return generations


def causes(model: Model, engine: Backend, format_id: str) -> Iterator[str]:
    """Why the text of each question parts from the one that was written without forced tokens; "none": it does not."""
    compiled = engine.compile(FORMATS[format_id].constraint(TOOLS, required=True, several=False).root)
    base = Request("", (), compiled=compiled, limits=Limits(answer=150))
    forced = [replace(base, key=question, prompt=tuple(model.tokenize(question))) for question in QUESTIONS]
    with_forced, without = run(model, forced), run(model, [replace(each, use_forced=False) for each in forced])
    with model.context(PARAMS) as context:
        for request in forced:
            ours, theirs = with_forced[request.key], without[request.key]
            stats = ours.constraint
            assert stats is not None and stats.n_forced > 0
            if ours.text == theirs.text:
                yield "none"
                continue
            parting = explain(context, request.prompt, ours.tokens, theirs.tokens, forced=True)
            assert parting is not None and parting.cause != "unexplained", (ours.text, theirs.text, parting)
            yield parting.cause


@pytest.fixture(scope="module")
def causes_of(pair: tuple[Model, Backend]) -> Callable[[str], list[str]]:
    """By format; found once for all tests."""
    return cache(lambda format_id: list(causes(*pair, format_id)))


@pytest.mark.parametrize("format_id", FORMATS)
def test_forced_tokens_change_no_text(causes_of: Callable[[str], list[str]], format_id: str) -> None:
    assert "unexplained" not in causes_of(format_id)


def test_texts_rarely_differ(causes_of: Callable[[str], list[str]]) -> None:
    found = Counter(cause for format_id in FORMATS for cause in causes_of(format_id))
    print(f"\nforced and unforced texts: {dict(found)}")
    assert found["none"] >= 0.9 * found.total()
