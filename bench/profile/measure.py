"""The measuring itself, in a process that does nothing else: load, read a prompt, write answers in several ways.

The prompts and tools of single answers are those of the pinned workload of `bench.perf`; prompts whose content does not
matter are random tokens. Every figure is repeated after a warm-up; a way of decoding that fails leaves its reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from itertools import product
from math import inf
from pathlib import Path
from statistics import median

import numpy as np

from bench.perf.methods import FORCED, FREE, UNFORCED, Ours, Prompted, Run
from bench.perf.workload import load_workload
from bench.profile.values import FORCED_BATCHED, FREE_BATCHED, Buffer, Job, Memory, Profiled, Rate
from engine.constraint import backend
from engine.constraint.protocol import Backend, Compiled
from engine.decoder import LlamaRuntime
from engine.errors import ToolgaugeError
from engine.llama import BufferSize, Context, ContextParams, Model, build_info, load_model
from engine.llama.params import default_threads
from engine.meter import Meter, make_meter
from engine.runtime import Limits, Request

Progress = Callable[[float], None]

_N_CASES = 2  # of the workload
_BATCH_PROMPT = 32  # short, so that all answers are soon written side by side
_SPARE = 8  # tokens of room that nothing needs


def profile(job: Job, progress: Progress = lambda fraction: None) -> Profiled:
    """Raises `ToolgaugeError` when the model cannot be loaded or a single answer does not fit."""
    meter = make_meter()
    meter.start()
    try:
        with load_model(Path(job.path), job.load, lambda fraction: progress(0.3 * fraction)) as model:
            profiler = _Profiler(model, job, meter, progress)
            profiler.run()
            return Profiled(
                load_s=model.load_s,
                description=model.description,
                build=build_info(),
                flash_attention=profiler.flash_attention,
                n_threads=job.context.n_threads or default_threads(),
                workload={"version": load_workload().version, "sha256": load_workload().sha256},
                rates=tuple(profiler.rates),
                memory=tuple(profiler.memory),
            )
    finally:
        meter.stop()


class _Profiler:
    def __init__(self, model: Model, job: Job, meter: Meter, progress: Progress) -> None:
        self.model, self.job, self.meter, self.progress = model, job, meter, progress
        self.random = np.random.default_rng(0)
        self.rates: list[Rate] = []
        self.memory: list[Memory] = []
        self.flash_attention = False

    def run(self) -> None:
        with self._runtime(self.job.context.n_ctx, 1) as runtime:
            self.flash_attention = runtime.context.flash_attention
            self.rates.append(self._prefill(runtime.context))
            self.progress(0.45)
            self.rates += self._streams(runtime)
            self._note_memory(runtime.context)
        for done, n_slots in enumerate(self.job.batches):
            self.progress(0.65 + 0.35 * done / len(self.job.batches))
            self.rates += (self._batched(n_slots, constrained=way) for way in (False, True))

    @cached_property
    def _backend(self) -> Backend:
        return backend("llguidance", self.model)

    @contextmanager
    def _runtime(self, n_ctx: int, n_slots: int) -> Iterator[LlamaRuntime]:
        params = replace(self.job.context, n_ctx=n_ctx, n_cells=0)
        with LlamaRuntime(self.model, params, n_slots, share_prefixes=False) as runtime:
            yield runtime

    def _random_prompt(self, n_tokens: int) -> tuple[int, ...]:
        """Ordinary tokens: the special ones stand at the ends of a vocabulary, or have holes behind them."""
        silent = self.model.vocabulary().eog
        drawn = self.random.integers(self.model.n_vocab // 8, self.model.n_vocab // 2, n_tokens)
        return tuple(token if token not in silent else token + 1 for token in drawn.tolist())

    # Speed

    def _prefill(self, context: Context) -> Rate:
        prompt = self._random_prompt(self.job.n_prompt)
        _read(context, prompt)
        before = self.meter.read().joules
        seconds = [_read(context, prompt) for _ in range(self.job.repetitions)]
        spent = _between(before, self.meter.read().joules)
        joules = _per_token([spent], len(prompt) * self.job.repetitions)
        context.clear()
        return Rate("prompt", 1, tuple(len(prompt) / each for each in seconds), joules=joules)

    def _streams(self, runtime: LlamaRuntime) -> Iterator[Rate]:
        """One answer at a time, the ways of decoding taking turns, so that what else changes meets them all."""
        cases = load_workload().cases[:_N_CASES]
        methods = [
            Ours(FREE, "free", runtime),
            Ours(FORCED, "answer", runtime, lambda: self._backend),
            Ours(UNFORCED, "answer", runtime, lambda: self._backend, forced=False),
        ]
        prompts = [Prompted(case, tuple(self.model.tokenize(case.plain(case.messages)))) for case in cases]
        problems: dict[str, str] = {}
        turns = [turn for turn in product(prompts, methods) if _prepare(*turn, problems)]
        runs: dict[str, list[Run]] = {method.name: [] for method in methods}
        spent: dict[str, list[float | None]] = {method.name: [] for method in methods}
        for repetition in range(self.job.repetitions + 1):
            for prompted, method in turns:
                before = self.meter.read().joules
                try:
                    run = method.run(prompted, self.job.n_tokens)
                except ToolgaugeError as error:
                    problems[method.name] = str(error)
                    continue
                if repetition and run.n_timed > 0:
                    runs[method.name].append(run)
                    spent[method.name].append(_between(before, self.meter.read().joules))
        for method in methods:
            yield _stream(method.name, runs[method.name], spent[method.name], problems.get(method.name, ""))

    def _batched(self, n_slots: int, *, constrained: bool) -> Rate:
        what = FORCED_BATCHED if constrained else FREE_BATCHED
        n_ctx = _BATCH_PROMPT + self.job.n_tokens + _SPARE
        try:
            compiled = self._backend.compile(load_workload().cases[0].root) if constrained else None
            with self._runtime(n_ctx, n_slots) as runtime:
                self._answers(runtime, compiled)
                before = self.meter.read().joules
                timed = [self._answers(runtime, compiled) for _ in range(self.job.repetitions)]
                spent = _between(before, self.meter.read().joules)
                if not constrained:
                    self._note_memory(runtime.context)
        except ToolgaugeError as error:
            return Rate(what, n_slots, (), problem=str(error))
        joules = _per_token([spent], sum(n_written for n_written, _ in timed))
        return Rate(what, n_slots, tuple(rate for _, rate in timed), joules=joules)

    def _answers(self, runtime: LlamaRuntime, compiled: Compiled | None = None) -> tuple[int, float]:
        """Tokens written, and those per second of all together, from the first one's first to the last one's last.

        What it takes until all have begun is in the time, and what comes together with first tokens is not counted.
        """
        limits = Limits(answer=self.job.n_tokens)
        for number in range(runtime.n_slots):
            prompt = self._random_prompt(_BATCH_PROMPT)
            runtime.submit(Request(number, prompt, compiled=compiled, limits=limits))
        n_written, n_timed, begun, ended = 0, 0, inf, 0.0  # seconds since all were submitted
        while runtime.n_pending:
            for finished in runtime.step():
                answer = finished.generation
                if answer is None or (first := answer.timings.ttft_s) is None:
                    raise ToolgaugeError(finished.error or "no answer came")
                n_written += len(answer.tokens)
                n_timed += answer.n_after_first or 0
                begun, ended = min(begun, first), max(ended, first + answer.timings.decode_s)
        if not n_timed:
            raise ToolgaugeError("each answer was there as soon as it began; ask for more of it with --tokens")
        return n_written, n_timed / (ended - begun)

    # Memory

    def _note_memory(self, context: Context) -> None:
        reading = self.meter.read()
        params: ContextParams = context.params
        self.memory.append(
            Memory(
                n_slots=params.n_seq_max,
                n_ctx=params.n_ctx,
                buffers=tuple(map(_buffer, (*self.model.buffers, *context.buffers))),
                rss_bytes=reading.rss_bytes,
                vram_bytes=reading.vram_bytes,
                vram_scope=reading.vram_scope,
            )
        )


def _read(context: Context, prompt: Sequence[int]) -> float:
    """Seconds for a prompt, up to the logits behind its last token."""
    context.clear()
    batch = context.batch()
    started = time.perf_counter()
    for start in range(0, len(prompt), context.n_batch):
        part = prompt[start : start + context.n_batch]
        batch.clear()
        batch.add(part, position=start, sequence=0, n_outputs=int(start + len(part) == len(prompt)))
        context.decode(batch)
    context.synchronize()
    return time.perf_counter() - started


def _prepare(prompted: Prompted, method: Ours, problems: dict[str, str]) -> bool:
    """Whether the method can answer: one whose constraint cannot be built must not go on without it."""
    try:
        method.prepare(prompted.case)
    except ToolgaugeError as error:
        problems[method.name] = str(error)
        return False
    return True


def _stream(name: str, runs: Sequence[Run], spent: Sequence[float | None], problem: str) -> Rate:
    if not runs:
        return Rate(name, 1, (), problem=problem or "no answer was long enough to time")
    n_tokens = sum(run.n_tokens for run in runs)
    masks = [each for run in runs if (each := run.mask_s_per_token) is not None]
    hosts = [run.host_s / run.seconds for run in runs if run.host_s is not None and run.seconds]
    return Rate(
        name,
        1,
        tuple(run.tok_per_s for run in runs),
        mask_s=median(masks) if masks else None,
        host_share=median(hosts) if hosts else None,
        joules=_per_token(spent, n_tokens),
        problem=problem,
    )


def _between(before: float | None, after: float | None) -> float | None:
    """Joules; a counter moves some ten times a second, so those of a short answer may be none."""
    return None if before is None or after is None else after - before


def _per_token(spent: Sequence[float | None], n_tokens: int) -> float | None:
    """Joules of one token; None where a card has not told all of them, or its counter has never moved."""
    known = [joules for joules in spent if joules is not None]
    if len(known) < len(spent) or sum(known) <= 0:
        return None
    return sum(known) / n_tokens


def _buffer(size: BufferSize) -> Buffer:
    return Buffer(size.device, size.kind, size.n_bytes)
