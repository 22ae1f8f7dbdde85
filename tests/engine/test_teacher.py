"""Teacher forcing: the logits are those of decoding the same tokens plainly, whatever else was asked before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine import teacher as module
from engine.errors import ToolgaugeError
from engine.llama import ContextParams, LoadParams, Model, load_model
from engine.prompt import Prompt
from engine.runtime import Reasoning
from engine.teacher import Forced, Forcing, Teacher
from tests.engine.tiny_hybrid import write_tiny_hybrid

PARAMS = ContextParams(n_batch=64, n_threads=1)
PROMPT = tuple(range(40, 90))
ANSWER = (7, 9, 11, 60, 61, 62, 5)


@pytest.fixture(scope="module", params=["transformer", "hybrid"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    if request.param == "transformer":
        yield request.getfixturevalue("tiny_model")
        return
    path = write_tiny_hybrid(tmp_path_factory.mktemp("hybrid") / "hybrid.gguf")
    with load_model(path, LoadParams(n_gpu_layers=0)) as loaded:
        yield loaded


def rows(teacher: Teacher, forced: Forced) -> np.ndarray:
    return np.array([row.copy() for chunk in teacher.rows(forced) for row in chunk])


def plainly(model: Model, tokens: tuple[int, ...], n_answer: int) -> np.ndarray:
    """Token by token."""
    found = []
    with model.context(ContextParams(n_ctx=256, n_threads=1)) as context:
        batch = context.batch()
        for position, token in enumerate(tokens[:-1]):
            batch.clear()
            row = batch.add([token], position=position, sequence=0, n_outputs=1)
            context.decode(batch)
            found.append(context.logits(row).copy())
    return np.array(found[-n_answer:])


def forced(n_shared: int, answer: tuple[int, ...] = ANSWER, prompt: tuple[int, ...] = PROMPT) -> Forced:
    return Forced(prompt, n_shared, answer, is_joined=True)


@pytest.mark.parametrize("n_shared", [0, 1, 30, len(PROMPT) - 1])
def test_the_rows_are_those_before_each_token_of_the_answer(model: Model, n_shared: int) -> None:
    with Teacher(model, PARAMS, 256) as teacher:
        found = rows(teacher, forced(n_shared))
    assert found.shape == (len(ANSWER), model.n_vocab)
    np.testing.assert_allclose(found, plainly(model, PROMPT + ANSWER, len(ANSWER)), atol=0.02)


def test_an_answer_s_rows_are_the_same_bits_whatever_was_asked_before(model: Model) -> None:
    other = forced(30, answer=(8, 8, 8), prompt=(*PROMPT[:30], 3, 4, 5))
    strange = forced(10, answer=(1, 2), prompt=tuple(range(100, 150)))
    with Teacher(model, PARAMS, 256) as teacher:
        alone = rows(teacher, forced(30))
    with Teacher(model, PARAMS, 256) as teacher:
        for before in (other, strange, other):
            rows(teacher, before)
        assert np.array_equal(rows(teacher, forced(30)), alone)
        rows(teacher, strange)
        assert np.array_equal(rows(teacher, forced(30)), alone)


def test_long_prompts_and_answers_are_cut_into_batches(tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt, answer = tuple(range(20, 170)), tuple(range(30, 60))
    whole = plainly(tiny_model, prompt + answer, len(answer))
    for n_rows in (1, 7, 128):
        monkeypatch.setattr(module, "N_ROWS", n_rows)
        with Teacher(tiny_model, PARAMS, len(prompt) + len(answer)) as teacher:
            found = rows(teacher, forced(100, answer, prompt))
        np.testing.assert_allclose(found, whole, atol=0.02)


# What stands in the prompt and what in the answer


def prompt_of(model: Model, text: str, reasoning: Reasoning | None = None) -> Prompt:
    tokens = tuple(model.tokenize(text))
    return Prompt(text, tokens, len(tokens) - 2, reasoning)


def written(model: Model, tokens: tuple[int, ...]) -> str:
    return model.vocabulary().text(tokens)


def test_an_answer_is_cut_as_the_whole_text_is(tiny_model: Model) -> None:
    prompt = prompt_of(tiny_model, "<|im_start|>user\nWeather?<|im_end|>\n<|im_start|>assistant\n")
    answer = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'
    found = Forcing(tiny_model).forced(prompt, answer)
    assert found.is_joined
    assert list(found.prompt + found.answer) == tiny_model.tokenize(prompt.text + answer)
    assert (found.prompt, found.n_shared) == (prompt.tokens, prompt.n_shared)


def test_a_token_across_the_end_of_the_prompt_is_not_measured_and_said(tiny_model: Model) -> None:
    assert len(tiny_model.tokenize("city")) == 1, "this test needs a token of several letters"
    prompt = prompt_of(tiny_model, "<|im_start|>assistant\nci")
    found = Forcing(tiny_model).forced(prompt, "ty of Paris")
    assert not found.is_joined
    assert found.prompt == prompt.tokens, "a run's prompt ends with these tokens, so that is what is measured"
    assert written(tiny_model, found.answer) == "ty of Paris"


def test_reasoning_that_the_prompt_opens_is_closed_before_the_answer(tiny_model: Model) -> None:
    reasoning = Reasoning("<think>", "</think>", opened=True, resume="\n")
    prompt = prompt_of(tiny_model, "<|im_start|>assistant\n<think>", reasoning)
    found = Forcing(tiny_model).forced(prompt, "<tool_call>")
    assert written(tiny_model, found.prompt) == "<|im_start|>assistant\n<think></think>\n"
    assert written(tiny_model, found.answer) == "<tool_call>"


def test_reasoning_that_was_only_possible_is_left_out(tiny_model: Model) -> None:
    prompt = prompt_of(tiny_model, "<|im_start|>assistant\n", Reasoning("<think>", "</think>"))
    assert Forcing(tiny_model).forced(prompt, "<tool_call>").prompt == prompt.tokens


def test_an_answer_without_tokens_of_its_own_is_an_error(tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    forcing = Forcing(tiny_model)
    monkeypatch.setattr(forcing._spelling, "tokens", lambda data: [5])
    prompt = prompt_of(tiny_model, "<|im_start|>assistant\nci")
    with pytest.raises(ToolgaugeError, match="no tokens for the answer"):
        forcing.forced(prompt, "ty of Paris")


def test_the_bundled_model_s_answers_are_joined() -> None:
    bundled = Path(__file__).resolve().parents[2] / "bench/nano/nano-f16.gguf"
    with load_model(bundled, LoadParams(n_gpu_layers=0, vocab_only=True)) as model:
        prompt = prompt_of(model, "<|im_start|>assistant\n")
        assert Forcing(model).forced(prompt, '<tool_call>\n{"name": "x"').is_joined
