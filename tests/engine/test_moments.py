"""What the time to the first call went to, on a clock that only the parts themselves move."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import engine.decoder
from engine.decoder import LlamaRuntime
from engine.decoding.answer import Answer
from engine.decoding.moments import Moments
from engine.decoding.spelling import Spelling
from engine.formats import FORMATS, get
from engine.llama import ContextParams, Model
from engine.runtime import Limits, Reasoning, Request
from engine.sampler import Workspace
from engine.types import Call, Generation, Tool
from tests.engine.options import Options, OptionsState
from tests.engine.scripted_context import ScriptedContext

DECODE_S, MASK_S, WATCH_S = 1.0, 0.01, 0.0001
N_BATCH = 16
ADD = Tool("add", "Add.", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
THOUGHT, PROSE = "<think>\nHm.\n</think>", "\n\nI look."
CALL = '\n<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
BEHIND = " That is all."


class Clock:
    """Stands still until somebody is said to have spent time."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    return clock


class Watching:
    """The format's own watcher, which takes its time."""

    def __init__(self, clock: Clock) -> None:
        self._inner = get("hermes").watcher([ADD])
        self._clock = clock

    def feed(self, text: str) -> None:
        self._clock.now_s += WATCH_S
        self._inner.feed(text)

    @property
    def name_known(self) -> bool:
        return self._inner.name_known

    @property
    def call_complete(self) -> bool:
        return self._inner.call_complete

    @property
    def call_start(self) -> int | None:
        return self._inner.call_start


class Asking(Options):
    """A constraint that takes its time for every token that it is asked about, none for whole masks."""

    def __init__(self, model: Model, clock: Clock, *texts: str) -> None:
        super().__init__(model.vocabulary(), model.tokenize, texts)
        self.clock = clock
        self.n_asked = 0

    def start(self) -> OptionsState:
        compiled = self

        class State(OptionsState):
            def allows(self, token: int) -> bool:
                compiled.n_asked += 1
                compiled.clock.now_s += MASK_S
                return super().allows(token)

        return State(self)


def telling(model: Model, clock: Clock, script: list[int], n_prompt: int) -> Callable[..., ScriptedContext]:
    """In place of `engine.decoder._context`: a model that says the script, a second for each decode."""

    class Context(ScriptedContext):
        def decode(self, batch: Any) -> None:
            super().decode(batch)
            clock.now_s += DECODE_S

        def _logits(self, tokens: list[int]) -> NDArray[np.float32]:
            row = np.zeros(self._n_vocab, dtype=np.float32)
            place = len(tokens) - n_prompt
            row[script[place] if place < len(script) else min(model.vocabulary().eog)] = 20
            return row

    return lambda model, params, n_ctx, n_slots, *_: Context(
        model, replace(params, n_ctx=n_ctx, n_seq_max=n_slots, n_cells=n_ctx * n_slots)
    )


def answered(monkeypatch: pytest.MonkeyPatch, model: Model, clock: Clock, text: str, **asked: Any) -> Generation:
    script, prompt = model.tokenize(text), tuple(model.tokenize("What is there to add? " * 6))
    monkeypatch.setattr(engine.decoder, "_context", telling(model, clock, script, len(prompt)))
    with LlamaRuntime(model, ContextParams(n_ctx=512, n_batch=N_BATCH, n_threads=1)) as runtime:
        runtime.submit(Request("key", prompt, limits=Limits(200, 200), watcher=Watching(clock), **asked))
        while not (finished := runtime.step()):
            pass
    generation = finished[0].generation
    assert generation and not finished[0].error
    assert generation.text == text
    return generation


def n_prefills(generation: Generation) -> int:
    return -(-generation.n_prompt // N_BATCH)


def adds_up(generation: Generation) -> bool:
    parts, times = generation.first_call, generation.timings
    assert parts
    spent = parts.reasoning_s + parts.prose_s + parts.call_s + parts.mask_wait_s + parts.overhead_s
    return times.prefill_s + spent == pytest.approx(times.ttfc_s)


@pytest.mark.parametrize("thought", [THOUGHT, ""])
@pytest.mark.parametrize("prose", [PROSE, ""])
def test_each_decode_counts_for_the_part_that_it_was_made_for(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Model, clock: Clock, thought: str, prose: str
) -> None:
    text = thought + prose + CALL.lstrip() + BEHIND
    reasoning = Reasoning("<think>", "</think>") if thought else None
    found = answered(monkeypatch, tiny_model, clock, text, reasoning=reasoning)
    first = found.first_call
    assert first
    pieces = tiny_model.vocabulary().pieces
    ends = np.cumsum([len(pieces[token]) for token in found.tokens])
    n_before, n_until = (int(np.searchsorted(ends, len(part), "left")) for part in (thought, text[: -len(BEHIND)]))
    n_thought = n_before + bool(thought)
    n_prose = int(np.searchsorted(ends, len(thought + prose), "right")) - n_thought
    n_call = n_until + 1 - n_prose - n_thought
    decodes = [n_thought, n_prose, n_call]
    decodes[next(place for place, n in enumerate(decodes) if n)] -= 1  # the prompt's last decode brought the first one
    assert [first.reasoning_s, first.prose_s, first.call_s] == decodes
    assert found.timings.prefill_s == n_prefills(found) > 2
    assert first.mask_wait_s == 0
    assert first.overhead_s == pytest.approx(WATCH_S * (n_until + 1))
    assert adds_up(found)
    assert found.timings.decode_s == pytest.approx(len(found.tokens) - 1, rel=0.01)
    assert found.timings.host_s == pytest.approx(found.timings.decode_s - (len(found.tokens) - 1))
    assert found.timings.host_s > 0, "the decode behind the last token is no part of it"


@pytest.mark.parametrize("use_forced", [True, False])
def test_asking_the_constraint_counts_until_the_call_is_there(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Model, clock: Clock, use_forced: bool
) -> None:
    other = CALL.lstrip().replace("1", "2")
    options = Asking(tiny_model, clock, CALL.lstrip(), other)
    found = answered(monkeypatch, tiny_model, clock, CALL.lstrip(), compiled=options, use_forced=use_forced)
    first = found.first_call
    assert first and found.constraint
    assert (found.constraint.n_forced > 0) is use_forced
    assert first.mask_wait_s == pytest.approx(MASK_S * options.n_asked)
    assert first.mask_wait_s == pytest.approx(found.timings.mask_s)
    n_decodes = len(found.tokens) - 1 - (found.constraint.n_forced if use_forced else 0)
    assert first.call_s >= n_decodes - 1
    assert (first.reasoning_s, first.prose_s) == (0, 0)
    assert adds_up(found)


def test_what_is_there_with_the_first_token_is_not_counted_as_decoded(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Model, clock: Clock
) -> None:
    """An answer that was forced as a whole had a decode rate of tens of thousands of tokens a second."""
    forced = Options(tiny_model.vocabulary(), tiny_model.tokenize, ("QXQXZZZ",))
    found = answered(monkeypatch, tiny_model, clock, "QXQXZZZ", compiled=forced)
    assert found.n_first == len(found.tokens) == 7

    class Headed(Options):
        def start(self) -> OptionsState:
            class State(OptionsState):
                def forced(self) -> list[int]:
                    return [] if self.written else tiny_model.tokenize("QXQX")

            return State(self)

    headed = Headed(tiny_model.vocabulary(), tiny_model.tokenize, ("QXQXZZZ", "QXQXQ"))
    found = answered(monkeypatch, tiny_model, clock, "QXQXZZZ", compiled=headed)
    assert found.n_first == 4
    assert (len(found.tokens) - found.n_first) / found.timings.decode_s == pytest.approx(1 / DECODE_S, rel=0.01)
    assert answered(monkeypatch, tiny_model, clock, "QXQXZZZ").n_first == 1
    assert answered(monkeypatch, tiny_model, clock, "").n_first == 0


def test_a_call_after_trigger_and_prose_is_split_alike_under_a_constraint(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Model, clock: Clock
) -> None:
    text = "I look.\n" + CALL.lstrip()
    free = answered(monkeypatch, tiny_model, clock, text).first_call
    options = Asking(tiny_model, clock, CALL.lstrip())
    asked = {"compiled": options, "triggers": ("<tool_call>",), "use_forced": False}
    held = answered(monkeypatch, tiny_model, clock, text, **asked).first_call
    assert free and held
    assert (free.prose_s, free.call_s) == (held.prose_s, held.call_s)
    assert free.prose_s > 0 < held.mask_wait_s


@pytest.mark.parametrize("text", ["No tool is needed.", CALL[:-3], ""])
def test_without_a_complete_call_there_is_nothing_to_split(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Model, clock: Clock, text: str
) -> None:
    assert answered(monkeypatch, tiny_model, clock, text).first_call is None


def test_a_mask_that_was_computed_meanwhile_is_not_waited_for(tiny_model: Model, clock: Clock) -> None:
    vocabulary = tiny_model.vocabulary()
    options = Asking(tiny_model, clock, CALL.lstrip(), "no")
    spell = Spelling(vocabulary, tiny_model.tokenize).tokens
    request = Request("key", (1, 2, 3), compiled=options, watcher=Watching(clock), use_forced=False)
    answer = Answer(request, vocabulary, Workspace(vocabulary), spell, n_ctx=512)
    script = tiny_model.tokenize(CALL.lstrip())
    n_meanwhile, mask = 0, None
    for token in script:
        row = np.zeros(vocabulary.n_tokens, dtype=np.float32)
        row[token] = 20
        answer.advance(row, mask)
        mask = None
        if not answer.done:
            n_asked = options.n_asked
            mask = answer.mask()
            n_meanwhile += options.n_asked - n_asked
            answer.waited(0.5)
    found = answer.generation(submitted_s=1000.0, prefill_s=0.0, decodes=(), n_cached=0)
    assert found.first_call
    assert n_meanwhile > 0
    assert found.timings.mask_s == pytest.approx(MASK_S * options.n_asked)
    n_masks = len(script) - 1
    assert found.first_call.mask_wait_s == pytest.approx(MASK_S * (options.n_asked - n_meanwhile) + 0.5 * n_masks)


# Any pieces, any decodes


class Marked:
    """A call from `(` to `)`."""

    def __init__(self) -> None:
        self.text = ""

    def feed(self, text: str) -> None:
        self.text += text

    @property
    def name_known(self) -> bool:
        return "(" in self.text

    @property
    def call_complete(self) -> bool:
        return self.call_start is not None

    @property
    def call_start(self) -> int | None:
        start = self.text.find("(")
        return start if start >= 0 and ")" in self.text[start:] else None


pieces = st.lists(st.text("ab()ü", max_size=4).map(str.encode), max_size=12)
spent = st.floats(0, 5, allow_nan=False)


@settings(max_examples=60)
@given(pieces, st.lists(st.tuples(spent, spent), min_size=13, max_size=13), st.integers(0, 13), spent, spent)
def test_the_parts_add_up_whatever_is_written(
    written: list[bytes], costs: list[tuple[float, float]], n_reasoning: int, prefill_s: float, wait_s: float
) -> None:
    clock = Clock()
    moments = Moments(Marked(), clock)
    decodes = []
    clock.now_s += prefill_s
    for number, (piece, (decode_s, host_s)) in enumerate(zip(written, costs, strict=False)):
        if number:
            decodes.append((number, decode_s))
            clock.now_s += decode_s
        clock.now_s += host_s + wait_s
        moments.token(piece)
    n_asked = len(moments._ends)
    found = moments.first_call(1000.0, prefill_s, decodes, wait_s * n_asked, n_reasoning=min(n_reasoning, len(written)))
    text = b"".join(written).decode()
    assert (found is not None) is (")" in text[text.find("(") :] and "(" in text)
    if found and moments.call_s is not None:
        parts = (found.reasoning_s, found.prose_s, found.call_s, found.mask_wait_s, found.overhead_s)
        assert min(parts) >= 0
        assert prefill_s + sum(parts) == pytest.approx(moments.call_s - 1000.0)
        assert found.overhead_s == pytest.approx(sum(host_s for _, host_s in costs[:n_asked]))


# Where a call begins


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("prose", ["", "Let me see.\n", "\n\n"])
def test_every_format_knows_where_the_call_began(fmt: Any, prose: str) -> None:
    call = fmt.write([Call("add", {"a": 1})], [ADD])
    for text in (prose + call, prose + call + call):
        watcher = fmt.watcher([ADD])
        watcher.feed(text)
        if not fmt.parse(text, [ADD]).calls:
            assert watcher.call_start is None
            continue
        before = text[: watcher.call_start]
        assert before.strip() in ("", prose.strip(), fmt.frame.header), text
        assert fmt.parse(text[len(before) :], [ADD]).calls or fmt.frame.header


def test_a_broken_attempt_is_no_part_of_the_call() -> None:
    watcher = get("hermes").watcher([ADD])
    broken = '<tool_call>\n{"oops}\n</tool_call>\n'
    watcher.feed(broken + CALL.lstrip())
    assert watcher.call_start == len(broken)
