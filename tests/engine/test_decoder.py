"""Properties of the decoding loop, on tiny models with random weights: one with attention only, one hybrid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from engine.decoder import LlamaRuntime
from engine.divergence import explain
from engine.errors import ConstraintError, ToolgaugeError
from engine.llama import ContextParams, LoadParams, Model, load_model
from engine.llama.context import DecodeError
from engine.runtime import Finished, Limits, Reasoning, Request
from engine.types import Generation, Sampling, StopReason
from tests.engine.options import CheckedOptions, Options
from tests.engine.tiny_hybrid import write_tiny_hybrid

PARAMS = ContextParams(n_ctx=512, n_batch=128, n_threads=1)
SHARED = "You can call tools. Each line describes one. " * 4


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    path = write_tiny_hybrid(tmp_path_factory.mktemp("hybrid") / "hybrid.gguf", seed=3)
    with load_model(path, LoadParams(n_gpu_layers=0)) as model:
        assert model.is_hybrid
        yield model


@pytest.fixture(params=["attention", "hybrid"])
def model(request: pytest.FixtureRequest, tiny_model: Model, hybrid: Model) -> Model:
    return tiny_model if request.param == "attention" else hybrid


def requests(model: Model, n_requests: int, n_answer: int = 24, **settings: object) -> list[Request]:
    shared = tuple(model.tokenize(SHARED))
    base = Request("", (), n_shared=len(shared), limits=Limits(answer=n_answer))
    prompts = [
        shared + tuple(model.tokenize(f"Question {number}: " + "why? " * number)) for number in range(n_requests)
    ]
    return [replace(base, key=number, prompt=prompt, **settings) for number, prompt in enumerate(prompts)]  # type: ignore[arg-type]


def finish(runtime: LlamaRuntime, pending: Sequence[Request]) -> dict[object, Finished]:
    for request in pending:
        runtime.submit(request)
    finished: dict[object, Finished] = {}
    for _ in range(5000):
        if not runtime.n_pending:
            return finished
        finished |= {each.key: each for each in runtime.step()}
    raise AssertionError("the runtime does not come to an end")


def run(
    model: Model, pending: Sequence[Request], n_slots: int = 1, params: ContextParams = PARAMS, **settings: bool
) -> dict[object, Generation]:
    with LlamaRuntime(model, params, n_slots, **settings) as runtime:
        finished = finish(runtime, pending)
    assert not [each.error for each in finished.values() if each.error]
    return {key: each.generation for key, each in finished.items() if each.generation}


def unexplained(
    model: Model,
    pending: Sequence[Request],
    ours: dict[object, Generation],
    theirs: dict[object, Generation],
    *,
    forced: bool = False,
) -> list[object]:
    """Requests that the two runs answered differently, for no reason that is allowed."""
    assert ours.keys() == theirs.keys()
    found = []
    with model.context(PARAMS) as context:
        for request in pending:
            first, second = ours[request.key].tokens, theirs[request.key].tokens
            divergence = explain(context, request.prompt, first, second, forced=forced)
            if divergence and divergence.cause == "unexplained":
                found.append((request.key, divergence))
    return found


# The same, however it is computed


def test_one_slot_is_reproducible_to_the_token_whatever_came_before(model: Model) -> None:
    pending = requests(model, 6)
    whole = run(model, pending)
    backwards = run(model, pending[::-1])
    assert {key: each.tokens for key, each in whole.items()} == {key: each.tokens for key, each in backwards.items()}
    assert all(each.n_cached == 0 for each in whole.values())
    assert len({each.tokens for each in whole.values()}) > 1, "this test needs prompts that matter"


@pytest.mark.parametrize("n_slots", [2, 4, 9])
def test_more_slots_write_the_same(model: Model, n_slots: int) -> None:
    pending = requests(model, 7)
    assert not unexplained(model, pending, run(model, pending), run(model, pending, n_slots))


def test_a_shared_prefix_changes_nothing_and_is_decoded_once(model: Model) -> None:
    pending = requests(model, 7)
    shared = run(model, pending, 3)
    assert not unexplained(model, pending, run(model, pending, 3, share_prefixes=False), shared)
    assert sorted(each.n_cached for each in shared.values()) == [0] + [pending[0].n_shared] * 6


def test_the_last_prefixes_are_kept_and_older_ones_forgotten(model: Model) -> None:
    first = requests(model, 3)
    prompts = [tuple(model.tokenize(f"Another system message, number {number}. ")) for number in range(3)]
    others = [
        Request(("other", number), (*prompt, 5, 6, 7), n_shared=len(prompt), limits=Limits(answer=3))
        for number, prompt in enumerate(prompts)
    ]

    def cached(each: Finished) -> int:
        assert each.generation
        return each.generation.n_cached

    with LlamaRuntime(model, PARAMS, 2) as runtime:
        assert cached(finish(runtime, first[:1])[0]) == 0
        assert cached(finish(runtime, others[:1])["other", 0]) == 0
        assert cached(finish(runtime, first[1:2])[1]) == first[0].n_shared
        assert cached(finish(runtime, others[1:2])["other", 1]) == 0  # takes the place of ("other", 0)
        assert cached(finish(runtime, first[2:])[2]) == first[0].n_shared
        assert cached(finish(runtime, [replace(others[0], key="again")])["again"]) == 0


def test_a_prompt_that_is_nothing_but_the_prefix_still_gets_an_answer(model: Model) -> None:
    shared = tuple(model.tokenize(SHARED))
    pending = [Request(key, shared, n_shared=len(shared), limits=Limits(answer=8)) for key in "abc"]
    assert not unexplained(model, pending, run(model, pending), run(model, pending, 2))


@pytest.mark.parametrize("n_batch", [64, 2048])
def test_a_long_prompt_is_decoded_in_pieces(tiny_model: Model, n_batch: int) -> None:
    prompt = tuple((np.arange(2000) * 7 % 250).tolist())
    pending = [Request(key, prompt[: 2000 - 9 * key], limits=Limits(answer=12)) for key in range(3)]
    params = ContextParams(n_ctx=2048, n_batch=n_batch, n_threads=1)
    whole = run(tiny_model, pending[:1], params=replace(params, n_batch=2048, n_ubatch=2048))
    pieces = run(tiny_model, pending, 2, params)
    assert pieces[0].n_prompt == 2000
    with tiny_model.context(replace(params, n_batch=2048)) as context:
        divergence = explain(context, prompt, whole[0].tokens, pieces[0].tokens)
    assert divergence is None or divergence.cause == "noise"


def test_a_batch_smaller_than_the_slots_starves_nobody(tiny_model: Model) -> None:
    pending = requests(tiny_model, 6, n_answer=10)
    few = run(tiny_model, pending, 4, replace(PARAMS, n_batch=2))
    assert not unexplained(tiny_model, pending, run(tiny_model, pending), few)


def test_a_cache_too_small_for_all_slots_makes_them_wait(model: Model) -> None:
    pending = requests(model, 7)
    assert not unexplained(model, pending, run(model, pending), run(model, pending, 4, replace(PARAMS, n_cells=512)))


def test_prefixes_make_way_for_answers(tiny_model: Model) -> None:
    """A prompt that needs the whole cache is answered, though prefixes are kept."""
    long = Request("long", tuple(range(200)) * 2 + tuple(range(100)), limits=Limits(answer=12))
    with LlamaRuntime(tiny_model, replace(PARAMS, n_cells=512), 2) as runtime:
        finish(runtime, requests(tiny_model, 2))
        finished = finish(runtime, [long])["long"]
    assert finished.generation and finished.generation.stop is StopReason.LENGTH


def test_seeded_sampling_does_not_depend_on_other_requests(model: Model) -> None:
    warm = [
        replace(request, sampling=Sampling(temperature=1.0, top_p=0.9, top_k=50, seed=request.key))  # type: ignore[arg-type]
        for request in requests(model, 6, n_answer=16)
    ]
    alone = run(model, warm)
    backwards = run(model, warm[::-1])
    assert all(alone[key].tokens == backwards[key].tokens for key in alone)
    beside = run(model, warm, 3)
    # noise in the logits moves the borders between tokens a little, so one draw in hundreds may cross one
    assert sum(alone[key].tokens == beside[key].tokens for key in alone) >= 4
    reseeded = run(model, [replace(each, sampling=replace(each.sampling, seed=99)) for each in warm])
    assert [each.tokens for each in alone.values()] != [each.tokens for each in reseeded.values()]


def test_a_request_that_joins_late_is_answered_the_same(model: Model) -> None:
    pending = requests(model, 4)
    with LlamaRuntime(model, PARAMS, 2) as runtime:
        finished: dict[object, Finished] = {}
        for request in pending:
            runtime.submit(request)
            for _ in range(5):
                finished |= {each.key: each for each in runtime.step()}
        finished |= finish(runtime, [])
    late = {key: each.generation for key, each in finished.items() if each.generation}
    assert not unexplained(model, pending, run(model, pending), late)


# Constraints

LETTERS = ("QQXZ", "QXQXQXQX", "QZQZQZZZZZ", "XXQ", "ZQXXXXXX", "ZQXXQQQ", "ZXZXZXZXZX")  # no merges: one segmentation


def constrained(model: Model, kind: type[Options] = Options, **settings: object) -> tuple[Options, list[Request]]:
    options = kind(model.vocabulary(), model.tokenize, LETTERS)
    return options, requests(model, 6, compiled=options, **settings)


@pytest.mark.parametrize("n_slots", [1, 3])
@pytest.mark.parametrize("measure", [False, True])
@pytest.mark.parametrize("kind", [Options, CheckedOptions])
def test_forced_tokens_change_the_work_and_not_the_text(
    model: Model, n_slots: int, measure: bool, kind: type[Options]
) -> None:
    _, unforced = constrained(model, kind, use_forced=False)
    options, forced = constrained(model, kind)
    without = run(model, unforced, n_slots, measure_constraint=measure)
    with_forced = run(model, forced, n_slots, measure_constraint=measure)
    assert not unexplained(model, forced, without, with_forced, forced=True)
    for generation in with_forced.values():
        assert generation.text in LETTERS
        assert generation.stop is StopReason.EOG
        assert generation.constraint and generation.constraint.n_forced > 0
        assert (generation.constraint.removed_mass is not None) == measure
    # every token was accepted, in order, by the state of its own answer
    assert sorted(tuple(state.accepted) for state in options.started) == sorted(
        generation.tokens for generation in with_forced.values()
    )


def test_interventions_are_the_same_with_and_without_forced_tokens_if_measured(model: Model) -> None:
    _, unforced = constrained(model, use_forced=False)
    _, forced = constrained(model)
    without = run(model, unforced, measure_constraint=True)
    with_forced = run(model, forced, measure_constraint=True)
    for key, generation in with_forced.items():
        ours, theirs = generation.constraint, without[key].constraint
        assert ours and theirs and generation.text == without[key].text
        assert ours.n_interventions == theirs.n_interventions
        assert ours.n_masked + ours.n_forced == theirs.n_masked


def test_long_forced_runs_are_measured_in_pieces(tiny_model: Model) -> None:
    text = "".join(np.random.default_rng(0).choice(list("QXZ"), 180))  # more rows of logits than one batch has
    options = Options(tiny_model.vocabulary(), tiny_model.tokenize, (text,))
    pending = requests(tiny_model, 3, n_answer=400, compiled=options)
    measured = run(tiny_model, pending, 2, measure_constraint=True)
    plain = run(tiny_model, pending, 2)
    unforced = run(tiny_model, [replace(each, use_forced=False) for each in pending], 2, measure_constraint=True)
    for key, generation in measured.items():
        assert generation.text == plain[key].text == text
        assert generation.constraint and generation.constraint.n_forced == 180
        assert generation.constraint.n_interventions == unforced[key].constraint.n_interventions  # type: ignore[union-attr]


def test_a_constraint_that_breaks_costs_its_own_answer_only(tiny_model: Model) -> None:
    class Broken(Options):
        def start(self):  # type: ignore[no-untyped-def]
            state = super().start()
            accept = state.accept

            def break_down(token: int) -> None:
                if state.accepted:
                    raise ConstraintError("the grammar engine is in an error state")
                accept(token)

            state.accept = break_down  # type: ignore[method-assign]
            return state

    options, pending = constrained(tiny_model, use_forced=False)
    broken = Broken(options.vocabulary, options.tokenize, LETTERS)
    with LlamaRuntime(tiny_model, PARAMS, 3) as runtime:
        finished = finish(runtime, [*pending, replace(pending[0], key="broken", compiled=broken)])
    error = finished.pop("broken")
    assert error.error == "the grammar engine is in an error state"
    assert error.constraint_failed
    assert error.generation and len(error.generation.tokens) == 1
    assert all(each.generation and each.generation.text in LETTERS for each in finished.values())


@pytest.mark.parametrize("place", [0, 3, 70, 178])
def test_logits_that_are_no_numbers_cost_their_own_answer_only(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """Where forced tokens are measured, NaN in the middle of an answer ended the process and all that it had begun."""
    text = "QX" * 90  # more rows of logits than one batch has, so that some are not followed by a choice
    forced = Options(tiny_model.vocabulary(), tiny_model.tokenize, (text,))
    broken, *others = requests(tiny_model, 3, n_answer=400, compiled=forced)
    with LlamaRuntime(tiny_model, PARAMS, 2, measure_constraint=True) as runtime:
        logits = runtime.context.logits

        def some_broken(row: int) -> np.ndarray:
            slot = next(each for each in runtime._active if row in each.rows)
            found = logits(row)
            n_before = slot.n_past - slot.n_batched - len(broken.prompt)
            if slot.answer.request.key == broken.key and slot.writing and n_before + row - slot.rows[0] == place:
                found[:] = np.nan
            return found

        monkeypatch.setattr(runtime.context, "logits", some_broken)
        finished = finish(runtime, [broken, *others])
    assert "logits are not numbers" in str(finished.pop(broken.key).error)
    assert [each.generation and each.generation.text for each in finished.values()] == [text, text]


def test_a_constraint_that_cannot_start_is_reported(tiny_model: Model) -> None:
    class Unusable(Options):
        def start(self):  # type: ignore[no-untyped-def]
            raise ConstraintError("no such state")

    unusable = Unusable(tiny_model.vocabulary(), tiny_model.tokenize, LETTERS)
    with LlamaRuntime(tiny_model, PARAMS) as runtime:
        finished = finish(runtime, [Request("key", (1, 2), compiled=unusable), Request("next", (1,), limits=Limits(3))])
    assert (finished["key"].error, finished["key"].generation) == ("no such state", None)
    assert (finished["key"].constraint_failed, finished["next"].constraint_failed) == (True, False)
    assert finished["next"].generation


# Budgets, contexts, failures


def test_budgets_are_kept(model: Model) -> None:
    for n_answer in (1, 5):
        for generation in run(model, requests(model, 4, n_answer=n_answer), 2).values():
            assert len(generation.tokens) <= n_answer
            assert generation.stop in (StopReason.LENGTH, StopReason.EOG)
    opened = Reasoning("<think>", "</think>", opened=True)
    limits = Limits(answer=4, reasoning=6)
    for generation in run(
        model, [replace(each, limits=limits, reasoning=opened) for each in requests(model, 4)], 2
    ).values():
        assert generation.n_reasoning <= 6 and len(generation.tokens) <= 10


@pytest.mark.parametrize("n_slots", [1, 2])
def test_a_prompt_that_does_not_fit_is_an_outcome_and_not_an_error(tiny_model: Model, n_slots: int) -> None:
    with LlamaRuntime(tiny_model, replace(PARAMS, n_ctx=64), n_slots) as runtime:
        finished = finish(runtime, [Request(n, (1,) * n, limits=Limits(answer=5)) for n in (62, 63, 64, 500)])
    assert {key: each.context_exceeded for key, each in finished.items()} == {62: False, 63: False, 64: True, 500: True}
    assert finished[64].generation is None and "64 tokens leave no room" in str(finished[64].error)
    assert finished[63].generation and len(finished[63].generation.tokens) == 1
    assert finished[62].generation and len(finished[62].generation.tokens) == 2
    assert finished[62].generation.stop is StopReason.CONTEXT


def test_an_empty_prompt_is_reported(tiny_model: Model) -> None:
    with LlamaRuntime(tiny_model, PARAMS) as runtime:
        finished = finish(runtime, [Request("key", ())])["key"]
    assert finished.error == "the prompt is empty"
    assert not finished.context_exceeded


def test_a_failed_decode_loses_what_is_in_flight_and_nothing_else(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending = requests(tiny_model, 6)
    expected = run(tiny_model, pending, 2)
    with LlamaRuntime(tiny_model, PARAMS, 2) as runtime:
        decode, n_calls = runtime.context.decode, 0

        def fail_once(batch: object) -> None:
            nonlocal n_calls
            n_calls += 1
            if n_calls == 5:
                raise DecodeError("llama.cpp could not decode a batch (code -3)")
            decode(batch)  # type: ignore[arg-type]

        monkeypatch.setattr(runtime.context, "decode", fail_once)
        finished = finish(runtime, pending)
    lost = {key for key, each in finished.items() if each.error}
    assert lost == {0, 1}
    kept = {key: each.generation for key, each in finished.items() if each.generation}
    others = [each for each in pending if each.key not in lost]
    assert not unexplained(tiny_model, others, {key: expected[key] for key in kept}, kept)


def test_a_cancelled_request_is_forgotten_and_disturbs_nobody(model: Model) -> None:
    pending = requests(model, 4)
    with LlamaRuntime(model, PARAMS, 2) as runtime:
        for request in pending:
            runtime.submit(request)
        runtime.step()
        assert runtime.cancel(0) and runtime.cancel(3)  # one in a slot, one in the queue
        assert not runtime.cancel(0) and not runtime.cancel("nobody")
        assert runtime.n_pending == 2
        finished = finish(runtime, [])
    kept = {key: each.generation for key, each in finished.items() if each.generation}
    whole = run(model, pending)
    assert not unexplained(model, pending[1:3], {1: whole[1], 2: whole[2]}, kept)


def test_closing_drops_what_is_pending(tiny_model: Model) -> None:
    runtime = LlamaRuntime(tiny_model, PARAMS, 2)
    for request in requests(tiny_model, 4):
        runtime.submit(request)
    runtime.step()
    runtime.close()
    assert runtime.n_pending == 0
    assert runtime.step() == []


def test_an_idle_step_does_nothing(tiny_model: Model) -> None:
    with LlamaRuntime(tiny_model, PARAMS, 2) as runtime:
        assert runtime.step() == []


def test_settings_that_cannot_work_are_refused(tiny_model: Model) -> None:
    with pytest.raises(ToolgaugeError, match="--parallel 1"):
        LlamaRuntime(tiny_model, PARAMS, 0)
    with pytest.raises(ToolgaugeError, match="cannot hold one context"):
        LlamaRuntime(tiny_model, replace(PARAMS, n_cells=256), 2)


# Times


class Watcher:
    text = ""

    def feed(self, text: str) -> None:
        self.text += text

    @property
    def name_known(self) -> bool:
        return len(self.text) >= 3

    @property
    def call_complete(self) -> bool:
        return len(self.text) >= 8

    @property
    def call_start(self) -> int | None:
        return 2 if self.call_complete else None


@pytest.mark.parametrize("n_slots", [1, 2])
def test_times_are_in_order_and_add_up(tiny_model: Model, n_slots: int) -> None:
    options = Options(tiny_model.vocabulary(), tiny_model.tokenize, ("QXQXQXQXQX",))
    pending = [
        replace(each, compiled=options, use_forced=False, watcher=Watcher(), compile_s=0.25)
        for each in requests(tiny_model, 4)
    ]
    for generation in run(tiny_model, pending, n_slots).values():
        times = generation.timings
        assert times.ttft_s and times.ttfn_s and times.ttfc_s
        assert 0 < times.prefill_s <= times.ttft_s < times.ttfn_s < times.ttfc_s < times.total_s
        assert 0 < times.host_s < times.decode_s < times.total_s
        assert times.mask_s > 0
        assert times.compile_s == 0.25


def test_waiting_for_a_slot_is_part_of_the_time_to_the_first_token(tiny_model: Model) -> None:
    first, second, third = run(tiny_model, requests(tiny_model, 3), 1).values()
    assert first.timings.ttft_s and second.timings.ttft_s and third.timings.ttft_s
    assert first.timings.total_s < second.timings.ttft_s < second.timings.total_s < third.timings.ttft_s
    # what was waited for is not counted as the third's own work
    assert third.timings.prefill_s < third.timings.ttft_s - first.timings.decode_s - second.timings.decode_s
