"""What is in each batch: who is decoded beside whom, how often a prompt's beginning is, and which logits are asked for.

On a context that keeps the tokens of each sequence and refuses what llama.cpp would, with made-up logits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import engine.decoder
from engine.decoder import N_PREFIXES, LlamaRuntime
from engine.llama import ContextParams, Model
from engine.llama.context import Batch
from engine.runtime import Finished, Limits, Request
from tests.engine.options import Options, OptionsState
from tests.engine.scripted_context import ScriptedContext, scripted

PARAMS = ContextParams(n_ctx=512, n_batch=64, n_threads=1)
# Two choices each, with what is certain behind them. No merges: a token for each letter.
TEXTS = ("QXXXXXQZZZ", "QXXXXXZQQQ", "ZQQQQQXZZZ", "ZQQQQQZXXX")


@dataclass(frozen=True)
class Part:
    """The tokens of one sequence in one batch."""

    sequence: int
    first: int  # position
    n_tokens: int
    rows: tuple[int, ...]  # of those tokens, that logits were asked for behind


class Recorder(ScriptedContext):
    """Keeps what was decoded, and the rows that were looked at."""

    def decode(self, batch: Batch) -> None:
        places: dict[int, list[int]] = {}
        for place in range(batch.n_tokens):
            places.setdefault(int(batch._sequences[place]), []).append(place)
        BATCHES.append(
            [
                Part(
                    sequence,
                    int(batch._positions[own[0]]),
                    len(own),
                    tuple(n for n, place in enumerate(own) if batch._outputs[place]),
                )
                for sequence, own in places.items()
            ]
        )
        assert batch.n_outputs == int(batch._outputs[: batch.n_tokens].sum())
        ASKED.append({place for place in range(batch.n_tokens) if batch._outputs[place]})
        LOOKED_AT.append(set())
        super().decode(batch)

    def logits(self, row: int):  # type: ignore[no-untyped-def]
        LOOKED_AT[-1].add(row)
        return super().logits(row)


BATCHES: list[list[Part]] = []
ASKED: list[set[int]] = []
LOOKED_AT: list[set[int]] = []


@pytest.fixture(autouse=True)
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    def recorder(*arguments: object) -> Recorder:
        made = scripted(*arguments)  # type: ignore[arg-type]
        made.__class__ = Recorder
        return made  # type: ignore[return-value]

    monkeypatch.setattr(engine.decoder, "_context", recorder)


def play(
    model: Model, pending: Sequence[Request], n_slots: int, params: ContextParams = PARAMS, **options: bool
) -> list[list[Finished]]:
    """What each step finished; `BATCHES` has what each step decoded."""
    for each in (BATCHES, ASKED, LOOKED_AT):
        each.clear()
    steps = []
    with LlamaRuntime(model, params, n_slots, **options) as runtime:
        for request in pending:
            runtime.submit(request)
        while runtime.n_pending:
            steps.append(runtime.step())
            assert len(steps) < 5000
    assert not [each.error for step in steps for each in step if each.error]
    return steps


def asked(n_prompt: int, n_answer: int, key: object = 0, n_shared: int = 0) -> Request:
    return Request(key, tuple(range(1, n_prompt + 1)), n_shared=n_shared, limits=Limits(answer=n_answer))


class Certain(Options):
    """Forces what all texts that are still possible go on with."""

    def start(self) -> CertainState:
        return CertainState(self)


class CertainState(OptionsState):
    def forced(self) -> list[int]:
        alike = takewhile(lambda letters: len({*letters}) == 1, zip(*self._rests, strict=False))
        return self._options.tokenize(bytes(letters[0] for letters in alike).decode())


def forced(model: Model, n_requests: int) -> list[Request]:
    options = Certain(model.vocabulary(), model.tokenize, TEXTS)
    return [replace(asked(5 + number, 40, number), compiled=options) for number in range(n_requests)]


# Slots


@pytest.mark.parametrize("n_slots", [2, 4])
def test_a_slot_that_is_free_is_taken_in_the_very_next_batch(tiny_model: Model, n_slots: int) -> None:
    pending = [asked(7, 2 + 3 * (number % 5), number) for number in range(17)]
    steps = play(tiny_model, pending, n_slots)
    assert len(steps) == len(BATCHES)
    waiting = len(pending) - n_slots
    for finished, batch, after in zip(steps, BATCHES, BATCHES[1:], strict=False):
        assert len(batch) == n_slots
        beginning = [part.sequence for part in after if part.first == 0]
        assert len(beginning) == min(len(finished), waiting)
        waiting -= len(beginning)
        if not waiting:
            break
    assert waiting == 0


def test_a_prompt_is_read_beside_the_answers_and_never_holds_them_up(tiny_model: Model) -> None:
    """A long prompt that comes while others write takes the room that is left in each batch."""
    pending = [asked(4, 30, 0), asked(5, 30, 1), asked(400, 3, 2)]
    play(tiny_model, pending, 3)
    reading = [batch for batch in BATCHES[1:] if any(part.sequence == 2 and part.n_tokens > 1 for part in batch)]
    assert len(reading) > 400 // PARAMS.n_batch - 1
    for batch in reading:
        assert [part.n_tokens for part in batch[:2]] == [1, 1]
        assert sum(part.n_tokens for part in batch) <= PARAMS.n_batch


# Prefixes


def test_a_shared_beginning_is_decoded_once_for_all(tiny_model: Model) -> None:
    pending = [asked(40 + number, 5, number, n_shared=40) for number in range(6)]
    steps = play(tiny_model, pending, 3)
    n_answers = sum(len(each.generation.tokens) for step in steps for each in step if each.generation)
    n_last = len(pending)  # the last token of an answer is not decoded
    # the prompt that is nothing but the prefix keeps a token of its own to be asked behind
    n_rests = sum(len(each.prompt) - min(each.n_shared, len(each.prompt) - 1) for each in pending)
    n_prefixes = 39 + 40
    assert sum(part.n_tokens for batch in BATCHES for part in batch) == n_prefixes + n_rests + n_answers - n_last


def test_nothing_is_shared_and_nothing_kept_with_one_slot(tiny_model: Model) -> None:
    play(tiny_model, [asked(40, 5, number, n_shared=30) for number in range(3)], 1)
    assert [part for batch in BATCHES for part in batch if part.first == 0] == [Part(0, 0, 40, (39,))] * 3


# Episodes


def episodes(
    model: Model, sizes: Sequence[tuple[int, int, int]], n_slots: int, params: ContextParams, **options: bool
) -> tuple[dict[object, list[tuple[int, ...]]], list[int]]:
    """Each of some prompts (its length, what it shares) answered in so many steps; the texts, and what was cached.

    A step's prompt is all that was, and a few tokens more; every third answer is read anew with another end.
    """
    for each in (BATCHES, ASKED, LOOKED_AT):
        each.clear()
    texts: dict[object, list[tuple[int, ...]]] = {key: [] for key in range(len(sizes))}
    prompts = {key: tuple(range(1, n_prompt + 1)) for key, (n_prompt, _, _) in enumerate(sizes)}
    waiting, cached = deque(texts), []
    with LlamaRuntime(model, params, n_slots, **options) as runtime:

        def submit(key: object) -> None:
            number = len(texts[key])
            n_shared = sizes[key][1]  # type: ignore[call-overload]
            limits = Limits(answer=2 + (number + int(str(key))) % 5)
            runtime.submit(Request(key, prompts[key], goes_on=number > 0, n_shared=n_shared, limits=limits))  # type: ignore[index]

        while waiting or runtime.n_pending:
            while waiting and runtime.n_pending < n_slots:
                submit(waiting.popleft())
            for finished in runtime.step():
                assert finished.generation, finished.error
                key, tokens = finished.key, finished.generation.tokens
                texts[key].append(tokens)
                cached.append(finished.generation.n_cached)
                if len(texts[key]) < sizes[key][2]:  # type: ignore[call-overload]
                    kept = tokens[:-1] if len(texts[key]) % 3 == 2 else tokens
                    prompts[key] = (*prompts[key], *kept, 7, 8, 9)  # type: ignore[index]
                    submit(key)
    return texts, cached


@pytest.mark.parametrize("can_rewind", [True, False])
def test_the_next_step_of_an_episode_goes_on_from_the_last(
    can_rewind: bool, tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScriptedContext, "can_rewind", can_rewind)
    texts, cached = episodes(tiny_model, [(60, 50, 2)] * 5, 2, PARAMS)
    assert texts == episodes(tiny_model, [(60, 50, 2)] * 5, 1, PARAMS)[0]
    # the last token of an answer was written and never read
    whole = [60 + len(first) - 1 for first, _ in texts.values()]
    assert sorted(cached)[5:] == sorted(whole)
    episodes(tiny_model, [(60, 50, 2)] * 5, 2, PARAMS)
    n_tokens = sum(part.n_tokens for batch in BATCHES for part in batch)
    n_answers = sum(len(text) for own in texts.values() for text in own)
    assert n_tokens == 50 + 5 * 10 + n_answers + 5 * 3 - 5


def test_what_nobody_goes_on_from_is_forgotten(tiny_model: Model) -> None:
    with LlamaRuntime(tiny_model, PARAMS, 2) as runtime:
        for n_idle_steps, goes_on, n_cached in ((0, False, 0), (0, True, 39), (1, True, 0), (0, False, 0)):
            for _ in range(n_idle_steps):
                runtime.step()
            runtime.submit(replace(asked(40, 5), goes_on=goes_on))
            while not (finished := runtime.step()):
                pass
            assert finished[0].generation
            assert finished[0].generation.n_cached == n_cached


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 60), st.integers(1, 4)), min_size=1, max_size=8),
    st.integers(2, 4),
    st.sampled_from([0, 256]),
    st.booleans(),
)
def test_episodes_are_the_same_as_one_at_a_time(
    tiny_model: Model, sizes: list[tuple[int, int, int]], n_slots: int, n_cells: int, can_rewind: bool
) -> None:
    params = replace(PARAMS, n_ctx=256, n_batch=32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptedContext, "can_rewind", can_rewind)
        alone, _ = episodes(tiny_model, sizes, 1, params)
        assert episodes(tiny_model, sizes, n_slots, replace(params, n_cells=n_cells))[0] == alone


# Logits


def test_logits_are_asked_for_where_a_token_is_chosen_and_nowhere_else(tiny_model: Model) -> None:
    play(tiny_model, [asked(100 + number, 6, number, n_shared=90) for number in range(5)], 3)
    ends = {number: 100 + number for number in range(5)}
    for batch in BATCHES:
        for part in batch:
            is_end = part.first + part.n_tokens in ends.values() or part.n_tokens == 1
            assert part.rows == ((part.n_tokens - 1,) if part.sequence < 3 and is_end else ())
    assert ASKED == LOOKED_AT


@pytest.mark.parametrize("measure", [False, True])
def test_forced_tokens_of_several_answers_are_one_batch(tiny_model: Model, measure: bool) -> None:
    steps = play(tiny_model, forced(tiny_model, 4), 4, measure_constraint=measure)
    n_tokens = sum(len(each.generation.tokens) for step in steps for each in step if each.generation)
    runs = [[part for part in batch if part.first > 0 and part.n_tokens > 1] for batch in BATCHES]
    assert max(map(len, runs)) == 4, "those of all answers beside each other"
    assert len(BATCHES) < n_tokens / 4
    for part in (part for batch in runs for part in batch):
        # what the model would have written in their place is looked at only to be counted
        assert part.rows == (tuple(range(part.n_tokens)) if measure else (part.n_tokens - 1,))
    assert ASKED == LOOKED_AT


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 9), st.integers(0, 60)), min_size=1, max_size=12),
    st.integers(1, 5),
    st.integers(8, 64),
    st.sampled_from([0, 512, 600]),
)
def test_whatever_comes_the_work_is_the_same_as_one_at_a_time(
    tiny_model: Model, sizes: list[tuple[int, int, int]], n_slots: int, n_batch: int, n_cells: int
) -> None:
    pending = [
        asked(n_prompt, n_answer, number, n_shared) for number, (n_prompt, n_answer, n_shared) in enumerate(sizes)
    ]
    alone = play(tiny_model, pending, 1)
    beside = play(tiny_model, pending, n_slots, replace(PARAMS, n_batch=n_batch, n_cells=n_cells))
    texts = [
        {each.key: each.generation.tokens for step in steps for each in step if each.generation}
        for steps in (alone, beside)
    ]
    assert texts[0] == texts[1]
    assert ASKED == LOOKED_AT
    assert all(part.sequence < n_slots + N_PREFIXES for batch in BATCHES for part in batch)
