"""The scripted runtime keeps the promises of a real one: budgets, order, watched moments, errors as values."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.errors import ToolgaugeError
from engine.fake import STEP_S, TEMPLATE, VOCABULARY, FakeModel, FakeRuntime, fake_model
from engine.formats import ENVELOPE, FORMATS
from engine.prompt import PromptBuilder
from engine.runtime import Finished, Limits, Reasoning, Request
from engine.types import Generation, Message, PromptStyle, StopReason, Tool

HERMES = FORMATS["hermes"]
TOOLS = (Tool("add", "Add.", {"type": "object", "properties": {}}),)
CALL = '<tool_call>\n{"name": "add", "arguments": {}}\n</tool_call>'


def answers(text: str) -> FakeModel:
    return FakeModel("fake:test", lambda request, prompt: text)


def run(runtime: FakeRuntime, *requests: Request) -> list[Finished]:
    for request in requests:
        runtime.submit(request)
    finished: list[Finished] = []
    while runtime.n_pending:
        finished += runtime.step()
    return finished


def generate(text: str, request: Request | None = None, n_ctx: int = 1000) -> Generation:
    (finished,) = run(FakeRuntime(answers(text), n_ctx=n_ctx), request or Request(key=0, prompt=(1, 2, 3)))
    assert finished.generation is not None
    return finished.generation


def test_it_says_what_the_script_says() -> None:
    generation = generate(CALL + " é")
    assert generation.text == CALL + " é"
    assert generation.stop is StopReason.EOG
    assert VOCABULARY.text(generation.tokens) == generation.text
    assert generation.n_prompt == 3
    assert generate("").tokens == ()


def test_the_script_sees_request_and_prompt() -> None:
    model = FakeModel("fake:test", lambda request, prompt: f"{request.key}: {prompt}")
    finished = run(FakeRuntime(model), Request(key="k", prompt=tuple(model.tokenize("hi <think>"))))
    assert finished[0].generation is not None
    assert finished[0].generation.text == "k: hi <think>"


@pytest.mark.parametrize(
    ("text", "limits", "opened", "kept", "stop", "n_reasoning"),
    [
        ("abcdef", Limits(answer=7), False, "abcdef", StopReason.EOG, 0),
        ("abcdef", Limits(answer=6), False, "abcdef", StopReason.LENGTH, 0),  # no room to say that it is the end
        ("abcdef", Limits(answer=5), False, "abcde", StopReason.LENGTH, 0),
        ("<think>ab</think>cd", Limits(answer=3, reasoning=4), False, "<think>ab</think>cd", StopReason.EOG, 4),
        ("<think>ab</think>cd", Limits(answer=1, reasoning=4), False, "<think>ab</think>c", StopReason.LENGTH, 4),
        ("<think>ab</think>cd", Limits(reasoning=3), False, "<think>ab", StopReason.REASONING_LENGTH, 3),
        ("abc</think>d", Limits(reasoning=2), True, "ab", StopReason.REASONING_LENGTH, 2),
        ("abc</think>d", Limits(reasoning=9), False, "abc</think>d", StopReason.EOG, 0),
    ],
)
def test_budgets(text: str, limits: Limits, opened: bool, kept: str, stop: StopReason, n_reasoning: int) -> None:
    reasoning = Reasoning("<think>", "</think>", opened)
    generation = generate(text, Request(key=0, prompt=(1,), limits=limits, reasoning=reasoning))
    assert (generation.text, generation.stop, generation.n_reasoning) == (kept, stop, n_reasoning)


def test_the_context_ends_answers_and_refuses_prompts() -> None:
    generation = generate("abcdef", Request(key=0, prompt=(1,) * 6), n_ctx=10)
    assert (generation.text, generation.stop) == ("abcd", StopReason.CONTEXT)
    (refused,) = run(FakeRuntime(answers("x"), n_ctx=10), Request(key=7, prompt=(1,) * 10))
    assert refused == Finished(7, None, "the prompt has 10 tokens and the context holds 10", context_exceeded=True)


def test_slots_are_filled_as_they_come_free() -> None:
    runtime = FakeRuntime(FakeModel("fake:test", lambda request, _: "x" * int(str(request.key))), n_slots=2)
    finished = run(runtime, *(Request(key=length, prompt=(1,)) for length in (5, 1, 2, 1)))
    assert [each.key for each in finished] == [1, 2, 1, 5]
    assert list(runtime.step()) == []


def test_timings_are_the_clocks_and_the_same_every_time() -> None:
    def once() -> Generation:
        return generate(CALL, Request(key=0, prompt=(1,) * 100, watcher=HERMES.watcher(TOOLS), compile_s=0.5))

    timings = once().timings
    assert timings == once().timings
    assert timings.ttft_s is not None
    assert timings.ttfn_s is not None
    assert timings.ttfc_s is not None
    n_tokens = len(answers("").tokenize(CALL))
    assert timings.prefill_s == pytest.approx(0.001)
    assert timings.ttft_s == pytest.approx(timings.prefill_s + STEP_S)
    assert timings.ttfc_s == pytest.approx(timings.prefill_s + n_tokens * STEP_S)
    assert timings.ttft_s < timings.ttfn_s < timings.ttfc_s == timings.total_s
    assert timings.compile_s == 0.5
    assert generate("words").timings.ttfc_s is None


def test_a_prefix_that_was_seen_is_cached() -> None:
    runtime = FakeRuntime(answers("x"))
    first, second = run(
        runtime, Request(key=1, prompt=(1, 2, 3), n_shared=2), Request(key=2, prompt=(1, 2, 9), n_shared=2)
    )
    assert first.generation is not None
    assert second.generation is not None
    assert (first.generation.n_cached, second.generation.n_cached) == (0, 2)
    assert second.generation.timings.prefill_s < first.generation.timings.prefill_s


# The named ones


def ask(model: FakeModel, style: PromptStyle) -> Generation:
    builder = PromptBuilder(model, TEMPLATE, ENVELOPE if style == "json" else HERMES, style)
    prompt = builder.build((Message("user", "Add."),), TOOLS)
    (finished,) = run(FakeRuntime(model), Request(key=0, prompt=prompt.tokens))
    assert finished.generation is not None
    return finished.generation


@pytest.mark.parametrize("style", ["native", "json"])
def test_the_named_models_answer_in_both_styles(style: PromptStyle) -> None:
    fmt = ENVELOPE if style == "json" else HERMES
    assert ask(fake_model("fake:silent", perfect=None), style).text == ""
    assert ask(fake_model("fake:perfect", perfect=lambda request, prompt: "ideal"), style).text == "ideal"
    broken = fmt.parse(ask(fake_model("fake:broken-json", perfect=None), style).text, TOOLS)
    assert broken.open_block
    assert broken.calls == ()
    rude = fmt.parse(ask(fake_model("fake:rude", perfect=None), style).text, TOOLS)
    assert "<script>" in rude.calls[0].name
    assert "<script>" in rude.content
    assert not rude.fragments


def test_the_slow_one_takes_its_time() -> None:
    model = fake_model("fake:slow", perfect=lambda request, prompt: "xxxxxxxx")
    started = time.monotonic()
    assert ask(model, "native").timings.decode_s == pytest.approx(8 * model.step_s)
    assert time.monotonic() - started >= 8 * model.step_s


@pytest.mark.parametrize(("name", "n_done"), [("fake:crash:2", 1), ("fake:crash", 2)])
def test_the_crashing_one_kills_its_process(name: str, n_done: int) -> None:
    script = f"""
from engine.fake import FakeRuntime, fake_model
from engine.runtime import Request
runtime = FakeRuntime(fake_model({name!r}, perfect=lambda request, prompt: "x"))
for key in range(5):
    runtime.submit(Request(key=key, prompt=(1,)))
    print(runtime.step()[0].key, flush=True)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == [str(key) for key in range(n_done)]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fake:nope", "there is no model 'fake:nope'; choose one of: fake:perfect, fake:silent"),
        ("fake:perfect", "needs a suite"),
        ("fake:crash", "needs a suite"),
    ],
)
def test_an_unknown_or_unscripted_name_says_what_to_do(name: str, message: str) -> None:
    with pytest.raises(ToolgaugeError, match=message):
        fake_model(name, perfect=None)


@pytest.mark.parametrize("name", ["fake:crash:x", "fake:crash:0", "fake:crash:-1"])
def test_a_crash_happens_at_a_number(name: str) -> None:
    with pytest.raises(ToolgaugeError, match="counts requests"):
        fake_model(name, perfect=lambda request, prompt: "")


def test_the_tokenizer_is_lossless() -> None:
    model = answers("")
    for text in ("é<tool_call>\n</tool_call><|im_end|>x", "<tool_cal", "", "<think><think>"):
        assert VOCABULARY.text(model.tokenize(text)) == text
    assert model.tokenize("<think>", parse_special=False) == list(b"<think>")


def keys(finished: Sequence[Finished]) -> list[object]:
    return [each.key for each in finished]


def test_an_answer_of_nothing_finishes_with_the_first_step() -> None:
    runtime = FakeRuntime(answers(""))
    runtime.submit(Request(key=1, prompt=(1,)))
    assert keys(runtime.step()) == [1]
    assert runtime.n_pending == 0
