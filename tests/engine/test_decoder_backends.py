"""The decoding loop under the real constraint engines: on a tiny model that would write noise without them, and on the
bundled one, which decides by itself whether it calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

import bench.nano
from engine.constraint import BACKENDS, backend
from engine.constraint.protocol import Compiled
from engine.decoder import LlamaRuntime
from engine.divergence import explain
from engine.formats.hermes import HermesFormat
from engine.llama import ContextParams, LoadParams, Model, load_model
from engine.prompt import PromptBuilder
from engine.runtime import Limits, Request
from engine.template import ChatTemplate
from engine.types import Generation, Message, Sampling, StopReason, Tool

PARAMS = ContextParams(n_ctx=512, n_batch=128, n_threads=1)
FORMAT = HermesFormat()
WEATHER = Tool(
    "get_weather",
    "The weather in a city.",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string", "enum": ["Paris", "Oslo", "Rome"]},
            "days": {"type": "integer", "minimum": 0, "maximum": 9},
            "unit": {"type": "string", "enum": ["celsius", "kelvin"]},
        },
        "required": ["city", "days"],
        "additionalProperties": False,
    },
)


def run(
    model: Model, pending: list[Request], n_slots: int = 1, *, measure_constraint: bool = False
) -> dict[object, Generation]:
    generations: dict[object, Generation] = {}
    with LlamaRuntime(model, PARAMS, n_slots, measure_constraint=measure_constraint) as runtime:
        for request in pending:
            runtime.submit(request)
        while runtime.n_pending:
            for finished in runtime.step():
                assert finished.generation and not finished.error, finished.error
                generations[finished.key] = finished.generation
    return generations


@cache
def compile_once(model: Model, name: str) -> Compiled:
    return backend(name, model).compile(FORMAT.constraint([WEATHER], required=True).root)


def requests(model: Model, name: str, **settings: object) -> list[Request]:
    spec = FORMAT.constraint([WEATHER], required=True)
    base = Request("", (), compiled=compile_once(model, name), triggers=spec.triggers, limits=Limits(answer=160))
    base = replace(base, **settings)  # type: ignore[arg-type]
    return [replace(base, key=n, prompt=tuple(model.tokenize(f"Question {n}: what?"))) for n in range(3)]


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_noise_is_made_to_call_the_tool(tiny_model: Model, name: str, temperature: float) -> None:
    pending = requests(tiny_model, name, sampling=Sampling(temperature=temperature, seed=4))
    for generation in run(tiny_model, pending, 2).values():
        parsed = FORMAT.parse(generation.text, [WEATHER])
        assert parsed.calls, generation.text
        for call in parsed.calls:
            assert call.name == "get_weather"
            assert {"city", "days"} <= call.arguments.keys() <= {"city", "days", "unit"}
            assert call.arguments["city"] in ("Paris", "Oslo", "Rome") and 0 <= call.arguments["days"] <= 9
        if generation.stop is StopReason.EOG:
            assert not parsed.fragments and not parsed.content.strip() and not parsed.open_block
        else:  # noise calls again and again
            assert generation.stop is StopReason.LENGTH


@pytest.mark.parametrize("name", BACKENDS)
def test_forced_tokens_write_the_same_with_fewer_choices(tiny_model: Model, name: str) -> None:
    forced = requests(tiny_model, name)
    unforced = [replace(request, use_forced=False) for request in forced]
    runs = [
        run(tiny_model, unforced),
        run(tiny_model, forced),
        run(tiny_model, forced, 3),
        run(tiny_model, forced, 2, measure_constraint=True),
    ]
    with tiny_model.context(PARAMS) as context:
        for other in runs[1:]:
            for request in forced:
                first, second = runs[0][request.key], other[request.key]
                parting = explain(context, request.prompt, first.tokens, second.tokens, forced=True)
                assert parting is None or parting.cause != "unexplained"
    counts = [[each.constraint for each in generations.values() if each.constraint] for generations in runs]
    assert all(stats.n_forced == 0 for stats in counts[0])
    if name != "gbnf":  # which knows no forced tokens
        assert all(stats.n_forced > 0 for stats in counts[1])
    assert all(stats.removed_mass is not None and stats.removed_mass > 0.5 for stats in counts[3])


QUESTIONS = ("What is the weather in Oslo for the next 3 days?", "Rome, 1 day, in kelvin, please.", "Thank you, bye!")


@pytest.fixture(scope="module")
def nano() -> Iterator[Model]:
    path = Path(bench.nano.__file__).with_name("nano-f16.gguf")
    with load_model(path, LoadParams(n_gpu_layers=0)) as model:
        yield model


def asked(model: Model, name: str, **settings: object) -> list[Request]:
    builder = PromptBuilder(model, ChatTemplate(str(model.chat_template())), FORMAT, "native")
    prompts = [builder.build([Message("user", question)], [WEATHER]) for question in QUESTIONS]
    spec = FORMAT.constraint([WEATHER], required=False)
    compiled = backend(name, model).compile(spec.root)
    base = Request("", (), compiled=compiled, triggers=spec.triggers, limits=Limits(answer=100))
    return [
        replace(base, key=question, prompt=prompt.tokens, **settings)  # type: ignore[arg-type]
        for question, prompt in zip(QUESTIONS, prompts, strict=True)
    ]


@pytest.mark.parametrize("name", BACKENDS)
def test_a_model_that_begins_a_call_is_constrained_from_there(nano: Model, name: str) -> None:
    chosen = run(nano, asked(nano, name, use_forced=False))
    forced = run(nano, asked(nano, name))
    for question in QUESTIONS:
        assert forced[question].text == chosen[question].text
        assert forced[question].stop is chosen[question].stop is StopReason.EOG
    calling = [generation for generation in chosen.values() if "<tool_call>" in generation.text]
    assert calling, "this test needs a model that calls"
    for generation in calling:
        parsed = FORMAT.parse(generation.text, [WEATHER])
        assert parsed.calls and not parsed.fragments and not parsed.open_block
        assert all(call.arguments["city"] in ("Paris", "Oslo", "Rome") for call in parsed.calls)
        before = nano.tokenize(generation.text.partition("<tool_call>")[0] + "<tool_call>")
        assert generation.tokens[: len(before)] == tuple(before)
        n_after = len(generation.tokens) - len(before)
        assert generation.constraint and generation.constraint.n_masked == n_after + 1, "one of them is the end"
