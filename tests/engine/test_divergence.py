from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

import engine.divergence as divergence_module
from engine.divergence import explain
from engine.llama import Context, ContextParams, Model
from engine.sampler import Logits

PROMPT = tuple(range(40, 80))


@pytest.fixture(scope="module")
def context(tiny_model: Model) -> Iterator[Context]:
    with tiny_model.context(ContextParams(n_ctx=256, n_batch=32, n_threads=1)) as context:
        yield context


def ranked(context: Context, tokens: tuple[int, ...]) -> list[int]:
    """All tokens, the likeliest first."""
    context.clear()
    batch = context.batch()
    for start in range(0, len(tokens), context.n_batch):
        batch.clear()
        row = batch.add(tokens[start : start + context.n_batch], position=start, sequence=0, n_outputs=1)
        context.decode(batch)
    return [int(token) for token in np.argsort(-context.logits(row), kind="stable")]


def test_equal_runs_need_no_explanation(context: Context) -> None:
    assert explain(context, PROMPT, (1, 2, 3), (1, 2, 3)) is None


def test_a_clear_preference_that_was_not_followed_is_unexplained(context: Context) -> None:
    best, *_, worst = ranked(context, PROMPT)
    divergence = explain(context, PROMPT, (best, 1), (worst, 1))
    assert divergence and (divergence.position, divergence.cause) == (0, "unexplained")
    assert divergence.margin > 1 > divergence.noise


@pytest.mark.parametrize("n_prompt", [31, 64, 65, 150])
def test_a_prompt_of_several_batches_is_explained_too(context: Context, n_prompt: int) -> None:
    prompt = tuple(range(n_prompt))
    best, *_, worst = ranked(context, prompt)
    divergence = explain(context, prompt, (best,), (worst,))
    assert divergence and divergence.cause == "unexplained"


def test_a_margin_within_the_noise_of_the_kernels_is_noise(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, *_ = ranked(context, (*PROMPT, 5, 6))
    divergence = explain(context, PROMPT, (5, 6, first), (5, 6, second))
    assert divergence and divergence.cause == "unexplained"
    exact = divergence_module._logits

    def noisy(context: Context, tokens: Sequence[int], n_first: int = 0, n_single: int = 0) -> Logits:
        logits = exact(context, tokens, n_first, n_single)
        return logits + np.float32(divergence.margin / 2 if n_single else 0)

    monkeypatch.setattr(divergence_module, "_logits", noisy)
    divergence = explain(context, PROMPT, (5, 6, first), (5, 6, second))
    assert divergence and (divergence.position, divergence.cause) == (2, "noise")


def test_another_cut_of_the_same_text_is_segmentation_where_tokens_were_forced(context: Context) -> None:
    model = context.model
    whole = model.tokenize("city")
    assert len(whole) == 1, "this test needs a token of several letters"
    letters = [model.tokenize(letter)[0] for letter in "city"]
    divergence = explain(context, PROMPT, whole, letters, forced=True)
    assert divergence and divergence.cause == "segmentation"
    divergence = explain(context, PROMPT, whole, letters)
    assert divergence and divergence.cause == "unexplained"


def test_ending_earlier_is_a_difference_too(context: Context) -> None:
    best = ranked(context, (*PROMPT, 5))[0]
    divergence = explain(context, PROMPT, (5,), (5, best))
    assert divergence and (divergence.position, divergence.cause) == (1, "unexplained")
