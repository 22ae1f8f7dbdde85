"""Several answers decoded at a time, by our runtime and by `llama-batched-bench`: tokens per second of all together.

Both read prompts of one length, one for each sequence and shared by none; or a long one that all share, as cases with
the same tools do. What is timed begins when every prompt has been read, and lasts for as many steps as there are tokens
to write, or until the first constrained answer is complete: all slots are in use all the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Any, Final

from bench.perf.endless import EndlessAnswer
from bench.perf.methods import (
    BATCHED_FORCED,
    BATCHED_FREE,
    BATCHED_NATIVE,
    BATCHED_NATIVE_SHARED,
    BATCHED_SHARED,
    BATCHED_UNIFIED,
    Method,
    Prompted,
    Run,
)
from bench.perf.native import Like, llama_batched_bench
from bench.perf.native_tools import NativeTool, missing
from bench.perf.workload import Budget, Case
from engine.constraint.protocol import Backend, Compiled
from engine.decoder import LlamaRuntime
from engine.decoding.answer import Answer
from engine.errors import ToolgaugeError
from engine.llama import ContextParams, Model
from engine.runtime import Limits, Request

N_SLOTS: Final = tuple(BATCHED_FREE)
N_PROMPT: Final = 128  # tokens
N_SHARED: Final = 1024  # tokens of a prompt that all share: what eight tools take
_N_ANSWER: Final = 384  # tokens: the budget, and the steps in which other prompts are still being read


@dataclass(frozen=True, slots=True)
class _Opened:
    """A runtime, and the answers that it has begun since they were last looked at."""

    runtime: LlamaRuntime
    answers: list[Answer]


class Batches:
    """The runtimes by their number of slots and by whether prompts are shared, opened when they are first asked for."""

    def __init__(self, model: Model, params: ContextParams) -> None:
        self._model, self._params = model, params
        self._opened: dict[tuple[int, bool], _Opened] = {}

    def open(self, n_slots: int, *, shared: bool = False) -> _Opened:
        opened = self._opened.get((n_slots, shared))
        if opened is None:
            answers: list[Answer] = []

            def make_answer(*arguments: Any, **options: Any) -> Answer:
                answers.append(EndlessAnswer(*arguments, **options))
                return answers[-1]

            params = replace(self._params, n_ctx=(N_SHARED if shared else N_PROMPT) + _N_ANSWER)
            runtime = LlamaRuntime(self._model, params, n_slots=n_slots, share_prefixes=shared, make_answer=make_answer)
            opened = self._opened[n_slots, shared] = _Opened(runtime, answers)
        return opened

    def close(self) -> None:
        for opened in self._opened.values():
            opened.runtime.close()
        self._opened.clear()


def prompts(tokens: Sequence[int], n_sequences: int, *, shared: bool = False) -> list[tuple[int, ...]]:
    """One for each sequence, all of one length: each begins elsewhere in a prompt, and goes round it.

    If `shared` they differ in the last token only. Equal ones would be unfair where a model routes tokens to experts:
    all sequences would ask the same few.
    """
    step = max(1, len(tokens) // n_sequences)
    starts = range(0, n_sequences * step, step)
    if shared:
        return [(*_round(tokens, N_SHARED - 1), *_round(tokens, 1, start=start)) for start in starts]
    return [_round(tokens, N_PROMPT, start=start) for start in starts]


def _round(tokens: Sequence[int], n_tokens: int, *, start: int = 0) -> tuple[int, ...]:
    return tuple(islice(cycle(tokens), start, start + n_tokens))


class Batched:
    """Our runtime with all its slots in use. Implements `methods.Method`."""

    def __init__(
        self,
        name: str,
        budget: Budget,
        batches: Batches,
        n_slots: int,
        backend: Callable[[], Backend] | None = None,
        *,
        shared: bool = False,
    ) -> None:
        self.name, self.budget = name, budget
        self._batches, self._n_slots, self._backend, self._shared = batches, n_slots, backend, shared
        self._compiled: dict[str, Compiled] = {}

    def prepare(self, case: Case) -> float | None:
        self._batches.open(self._n_slots, shared=self._shared)
        if self._backend is None:
            return None
        backend = self._backend()
        started = time.perf_counter()
        self._compiled[case.id] = backend.compile(case.root)
        return time.perf_counter() - started

    def run(self, prompted: Prompted, n_tokens: int) -> Run:
        opened = self._batches.open(self._n_slots, shared=self._shared)
        compiled, runtime = self._compiled[prompted.case.id] if self._backend else None, opened.runtime
        opened.answers.clear()
        asked, n_shared = prompts(prompted.tokens, self._n_slots, shared=self._shared), self._shared * (N_SHARED - 1)
        limits = Limits(answer=_N_ANSWER)
        for number, prompt in enumerate(asked):
            runtime.submit(Request(key=number, prompt=prompt, n_shared=n_shared, compiled=compiled, limits=limits))
        try:
            return _watch(opened, n_tokens)
        finally:
            for number in range(self._n_slots):
                runtime.cancel(number)


def _watch(opened: _Opened, n_steps: int) -> Run:
    """Decode; time so many steps once every answer has begun, or those until the first is complete."""
    runtime, answers = opened.runtime, opened.answers
    n_before, n_done, began = 0, 0, None
    while runtime.n_pending:
        finished = runtime.step()
        now = time.perf_counter()
        for each in finished:
            if each.generation is None or each.error:
                raise ToolgaugeError(each.error or "no answer came")
        n_written = sum(len(answer.tokens) for answer in answers)
        if began is not None:
            n_done += 1
            if finished or n_done == n_steps:
                return Run((), n_written, n_written - n_before, now - began)
        elif len(answers) == runtime.n_slots and all(answer.tokens for answer in answers):
            began, n_before = now, n_written
        if finished:
            break
    raise ToolgaugeError("an answer was complete before the others had begun")


class LlamaBatchedBench:
    """One run of the tool for each batch. Implements `methods.Method`."""

    budget: Budget = "free"

    def __init__(
        self,
        name: str,
        tool: NativeTool | None,
        like: Like,
        n_slots: int,
        *,
        unified: bool = False,
        shared: bool = False,
    ) -> None:
        self.name = name
        self._tool, self._like, self._n_slots, self._unified, self._shared = tool, like, n_slots, unified, shared

    def prepare(self, case: Case) -> float | None:
        if self._tool is None:
            raise ToolgaugeError(missing("llama-batched-bench"))
        return None

    def run(self, prompted: Prompted, n_tokens: int) -> Run:
        assert self._tool is not None, "prepared"
        run = llama_batched_bench(
            self._tool,
            self._like,
            n_sequences=self._n_slots,
            n_prompt=N_SHARED if self._shared else N_PROMPT,
            n_tokens=n_tokens,
            unified=self._unified,
            shared=self._shared,
        )
        return Run((), run.n_tokens, run.n_tokens, run.seconds, says=run.says)


def batched_methods(
    batches: Batches, llguidance: Callable[[], Backend], tool: NativeTool | None, like: Like
) -> list[Method]:
    """In the order of the tables."""
    methods: list[Method] = []
    for n_slots in N_SLOTS:
        methods.append(Batched(BATCHED_FREE[n_slots], "free", batches, n_slots))
        methods.append(LlamaBatchedBench(BATCHED_NATIVE[n_slots], tool, like, n_slots))
    for n_slots, name in BATCHED_UNIFIED.items():
        methods.append(LlamaBatchedBench(name, tool, like, n_slots, unified=True))
    for n_slots, name in BATCHED_SHARED.items():
        methods.append(Batched(name, "free", batches, n_slots, shared=True))
    # its quickest way to share a prompt
    for n_slots, name in BATCHED_NATIVE_SHARED.items():
        methods.append(LlamaBatchedBench(name, tool, like, n_slots, unified=True, shared=True))
    for n_slots, name in BATCHED_FORCED.items():
        methods.append(Batched(name, "answer", batches, n_slots, llguidance))
    return methods
