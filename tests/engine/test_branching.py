"""Several answers at a time against one at a time, on every kind of cache: recurrent, hybrid, sliding, latent.

A recurrent state cannot be taken back, so a prompt must branch off exactly where its prefix ends. Greedy answers may
part only where two logits are closer than kernels are exact (`engine.divergence`); how many do is counted, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from engine.decoder import N_PREFIXES, LlamaRuntime
from engine.divergence import explain
from engine.llama import ContextParams, LoadParams, Model, load_model
from engine.runtime import Limits, Request
from engine.shapes.tokens import made_up_tokens
from engine.shapes.writer import write
from engine.types import Generation
from tests.engine.options import Options
from tests.engine.shapes.every import N_TOKENS, TINY
from tests.engine.tiny_hybrid import write_tiny_hybrid

# In single precision: where experts are chosen, rounding to half now and then takes another one, after which everything
# is different. That is noise as well, but could not be told from a bug.
PARAMS = ContextParams(n_ctx=512, n_batch=96, n_threads=1, type_k="f32", type_v="f32", flash_attn="off")
ARCHITECTURES = ("jamba", "qwen35", "qwen35moe", "nemotron_h", "nemotron_h_moe", "gpt-oss", "deepseek2")
LETTERS = ("QQXZ", "QXQXQXQX", "QZQZQZZZZZ", "XXQ", "ZQXXXXXX", "ZXZXZXZXZX")
MOST_APART = 3  # of 21 answers; random weights have near-equal logits here and there


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    path = tmp_path_factory.mktemp("branching") / f"{request.param}.gguf"
    if request.param == "jamba":
        write_tiny_hybrid(path, seed=3)
    else:
        write(path, TINY[request.param], "F16", made_up_tokens(N_TOKENS))
    with load_model(path, LoadParams(n_gpu_layers=0)) as model:
        yield model


def requests(model: Model) -> list[Request]:
    """Seven for each of three beginnings, which take turns: more than are kept, so they are evicted and come again.

    The first of each is nothing but the beginning, the second one token more. Answers end at different times, and every
    third is constrained, with forced tokens.
    """
    beginnings = [
        tuple(model.tokenize(f"System message {name}: each line describes a tool. " * 3))[:90] for name in "ABC"
    ]
    assert len(beginnings) > N_PREFIXES
    options = Options(model.vocabulary(), model.tokenize, LETTERS)
    found = []
    for number in range(7):
        for place, beginning in enumerate(beginnings):
            rest = tuple(model.tokenize(f"Question {number}: " + "why? " * number))
            prompt = beginning + (rest[:number] if number < 2 else rest)
            limits = Limits(answer=3 + 5 * ((number + place) % 4))
            compiled = options if (number + place) % 3 == 0 else None
            key = f"{'ABC'[place]}{number}"
            found.append(Request(key, prompt, n_shared=len(beginning), limits=limits, compiled=compiled))
    return found


def play(model: Model, pending: Sequence[Request], n_slots: int, params: ContextParams = PARAMS) -> list[Generation]:
    finished = {}
    with LlamaRuntime(model, params, n_slots) as runtime:
        for request in pending:
            runtime.submit(request)
        while runtime.n_pending:
            finished |= {each.key: each for each in runtime.step()}
    found = [finished[request.key] for request in pending]
    assert not [each.error for each in found if each.error]
    return [each.generation for each in found if each.generation]


def causes(
    model: Model, pending: Sequence[Request], ours: Sequence[Generation], theirs: Sequence[Generation]
) -> Counter[str]:
    """Why answers differ, and how many do not."""
    counted: Counter[str] = Counter()
    with model.context(PARAMS) as context:
        for request, first, second in zip(pending, ours, theirs, strict=True):
            forced = request.compiled is not None
            parting = explain(context, request.prompt, first.tokens, second.tokens, forced=forced)
            counted[parting.cause if parting else "same"] += 1
    return counted


@pytest.fixture(scope="module")
def alone(model: Model) -> list[Generation]:
    return play(model, requests(model), 1)


@pytest.mark.parametrize("n_cells", [0, 768], ids=["room for all", "little room"])
def test_four_at_a_time_write_what_one_at_a_time_writes(model: Model, alone: list[Generation], n_cells: int) -> None:
    pending = requests(model)
    beside = play(model, pending, 4, replace(PARAMS, n_cells=n_cells))
    counted = causes(model, pending, alone, beside)
    assert counted["unexplained"] == 0, counted
    assert counted["same"] >= len(pending) - MOST_APART, counted
    branched = [each.n_cached for each in beside]
    assert {n for n in branched if n} <= {request.n_shared for request in pending} | {pending[0].n_shared - 1}
    assert sum(n > 0 for n in branched) >= len(pending) / 4, "prefixes were shared"
    assert len({each.tokens for each in alone}) > len(pending) / 3, "this test needs prompts that matter"


def test_the_next_step_of_an_episode_goes_on_where_the_last_ended(model: Model) -> None:
    """Each answer is gone on from once; the same prompts are then answered one at a time, from their beginnings."""
    asked, answered = [], []
    more = tuple(model.tokenize(" And what then?"))
    with LlamaRuntime(model, PARAMS, 4) as runtime:
        waiting, pending = requests(model)[:9], {}
        while waiting or runtime.n_pending:
            while waiting and runtime.n_pending < runtime.n_slots:
                request = waiting.pop(0)
                pending[request.key] = request
                runtime.submit(request)
            for finished in runtime.step():
                assert finished.generation, finished.error
                request = pending[finished.key]
                asked.append(replace(request, key=len(asked)))
                answered.append(finished.generation)
                if not request.goes_on:
                    prompt = (*request.prompt, *finished.generation.tokens, *more)
                    pending[request.key] = replace(request, prompt=prompt, goes_on=True)
                    runtime.submit(pending[request.key])
    counted = causes(model, asked, play(model, asked, 1), answered)
    assert counted["unexplained"] == 0, counted
    assert counted["same"] >= len(asked) - MOST_APART, counted
    second = [each for request, each in zip(asked, answered, strict=True) if request.goes_on]
    assert len(second) == 9
    assert all(each.n_cached >= 90 for each in second)
    assert sum(each.n_cached > 90 for each in second) > 5, "from behind the beginning that is shared"
