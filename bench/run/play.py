"""Plays items on a loaded model: prompt, generation, parse, simulated results, next prompt; several items in flight.

Whatever a model or its template does is recorded on the item and never stops the others. Knows neither the process it
runs in nor the result file; finished items go to `send`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from bench.modes import MODES, Mode
from bench.records import EpisodeEnd, ErrorKind, ItemError, ItemRecord, StepRecord
from bench.run.loading import LoadedModel
from bench.run.messages import Began, ItemFinished, ItemJob, Message, ModelSpec, SampleJob
from bench.suites.case import Case
from bench.suites.simulate import Dialogue, begin
from engine.constraint.protocol import Compiled, ConstraintSpec
from engine.errors import ConstraintError, TemplateError
from engine.formats.envelope import EnvelopeFormat
from engine.formats.protocol import ToolFormat
from engine.prompt import Prompt
from engine.runtime import Finished, Request, Runtime
from engine.types import Message as Turn
from engine.types import Sampling, StopReason, Tool
from grammars.errors import UnsupportedSchema

_N_CONSTRAINTS_KEPT = 64


@dataclass(frozen=True, slots=True)
class Constrained:
    """A compiled constraint, when it begins, and what building it took."""

    compiled: Compiled
    triggers: tuple[str, ...]
    at_start: bool
    compile_s: float


@dataclass(slots=True)
class _Flight:
    """An item between its first prompt and its last parse."""

    job: ItemJob
    format: ToolFormat
    dialogue: Dialogue
    started_s: float
    prompt: Prompt | None = None
    steps: list[StepRecord] = field(default_factory=list)


class NotScored(Exception):
    """Carries an item's error from where it is found to where the item is closed."""

    def __init__(self, error: ItemError) -> None:
        self.error = error


class Player:
    def __init__(self, model: LoadedModel, spec: ModelSpec, send: Callable[[Message], None]) -> None:
        self.model, self.spec, self.send = model, spec, send
        self._constraints: OrderedDict[tuple[str, ...], Constrained | ItemError | None] = OrderedDict()
        self._flying: dict[str, _Flight] = {}

    def play(self, runtime: Runtime, jobs: Iterable[ItemJob]) -> None:
        """Play all of them, as many at a time as the runtime has slots; a job marked `alone` is alone."""
        waiting = deque(jobs)
        while waiting or self._flying:
            while waiting and self._may_start(runtime, waiting[0]):
                self._start(runtime, waiting.popleft())
            for finished in runtime.step():
                self._land(runtime, finished)

    def _may_start(self, runtime: Runtime, job: ItemJob) -> bool:
        if job.alone or any(flight.job.alone for flight in self._flying.values()):
            return not self._flying
        return len(self._flying) < runtime.n_slots

    def _start(self, runtime: Runtime, job: ItemJob) -> None:
        self.send(Began(job.key))
        flight = _Flight(job, self.format_of(job), begin(job.case), time.monotonic())
        self._flying[job.key] = flight
        self._submit(runtime, flight)

    def _submit(self, runtime: Runtime, flight: _Flight) -> None:
        job, step = flight.job, len(flight.steps)
        try:
            request, flight.prompt = self.request(
                job,
                flight.dialogue.messages,
                flight.dialogue.tools,
                # An application that requires a call gets one; after its result the model may answer.
                required=job.case.tool_choice == "required" and step == 0,
                seed_of=("item", job.trial, step),
            )
        except NotScored as reason:
            self._close(runtime, flight, EpisodeEnd.ERROR, reason.error)
            return
        runtime.submit(replace(request, goes_on=step > 0))

    def _land(self, runtime: Runtime, finished: Finished) -> None:
        flight = self._flying[str(finished.key)]
        generation = finished.generation
        if generation is None:
            error = ItemError(_kind(finished), finished.error or "the runtime gave no answer and no reason")
            self._close(runtime, flight, EpisodeEnd.ERROR, error)
            return
        assert flight.prompt is not None
        parsed = flight.format.parse(generation.text, flight.dialogue.tools, reasoning_opened=opened(flight.prompt))
        goes_on = flight.dialogue.advance(parsed, generation.stop)
        flight.steps.append(StepRecord(generation, parsed, flight.dialogue.results, flight.prompt.text))
        if finished.error or generation.stop is StopReason.CONSTRAINT:
            reason = finished.error or f"the constraint allowed no token after {generation.text[-80:]!r}"
            error = ItemError(ErrorKind.CONSTRAINT, reason)
            self._close(runtime, flight, EpisodeEnd.ERROR, error)
        elif goes_on:
            self._submit(runtime, flight)
        else:
            assert flight.dialogue.end is not None
            self._close(runtime, flight, flight.dialogue.end, None)

    def _close(self, runtime: Runtime, flight: _Flight, end: EpisodeEnd, error: ItemError | None) -> None:
        del self._flying[flight.job.key]
        record = ItemRecord(
            case_id=flight.job.case.id,
            steps=tuple(flight.steps),
            end=end,
            error=error,
            format_id=flight.format.id,
            format_version=flight.format.version,
        )
        n_slots = 1 if flight.job.alone else runtime.n_slots
        self.send(ItemFinished(flight.job.key, record, n_slots, time.monotonic() - flight.started_s))

    def format_of(self, job: ItemJob | SampleJob) -> ToolFormat:
        """The format in which the job's answers are written."""
        return self.model.format_of(MODES[job.mode].style)

    def request(
        self,
        job: ItemJob | SampleJob,
        messages: Sequence[Turn],
        tools: Sequence[Tool],
        *,
        required: bool,
        seed_of: tuple[object, ...],
        watched: bool = False,
    ) -> tuple[Request, Prompt]:
        """The request for one step; raises `NotScored` when there is no prompt or no constraint."""
        case, mode = job.case, MODES[job.mode]
        fmt = self.format_of(job)
        try:
            prompt = self.model.prompt(messages, tools, mode.style)
        except TemplateError as error:
            raise NotScored(ItemError(ErrorKind.TEMPLATE, str(error))) from error
        several = case.parallel_tool_calls
        constrained = self._constraint(mode, job.backend, fmt, tools, required=required, several=several)
        request = Request(
            key=job.key,
            prompt=prompt.tokens,
            n_shared=prompt.n_shared,
            compiled=constrained.compiled if constrained else None,
            triggers=constrained.triggers if constrained else (),
            trigger_at_start=constrained.at_start if constrained else False,
            limits=self.spec.limits,
            sampling=_sampling(self.spec.sampling, case, seed_of),
            stop_tokens=self.model.stop_tokens(fmt),
            reasoning=prompt.reasoning,
            watcher=fmt.watcher(tools, reasoning_opened=opened(prompt)) if watched else None,
            use_forced=self.spec.forced_tokens,
            draft=job.drafted if isinstance(job, SampleJob) else self.model.drafts,
            compile_s=constrained.compile_s if constrained else 0.0,
        )
        return request, prompt

    def _constraint(
        self, mode: Mode, backend: str, fmt: ToolFormat, tools: Sequence[Tool], *, required: bool, several: bool
    ) -> Constrained | None:
        """Compiled, or refused, once for each tool set; the time it took then stays with every item that uses it."""
        if not mode.constrained:
            return None
        key = (mode.id, backend, f"{required} {several}", repr(tuple(tools)))
        if key not in self._constraints:
            self._constraints[key] = self._built(mode, backend, fmt, tools, required=required, several=several)
            if len(self._constraints) > _N_CONSTRAINTS_KEPT:
                self._constraints.popitem(last=False)
        self._constraints.move_to_end(key)
        found = self._constraints[key]
        if isinstance(found, ItemError):
            raise NotScored(found)
        return found

    def _built(
        self, mode: Mode, backend: str, fmt: ToolFormat, tools: Sequence[Tool], *, required: bool, several: bool
    ) -> Constrained | ItemError | None:
        try:
            spec = spec_of(mode, fmt, tools, required=required, several=several)
            if spec is None:
                return None
            engine = self.model.backend(backend)  # reads the vocabulary, once a model: no part of compiling
            started_s = time.perf_counter()
            compiled = engine.compile(spec.root)
            compile_s = time.perf_counter() - started_s
            return Constrained(compiled, spec.triggers, spec.at_start, compile_s)
        except (UnsupportedSchema, ConstraintError) as error:
            return ItemError(ErrorKind.CONSTRAINT, str(error))


def _kind(finished: Finished) -> ErrorKind:
    if finished.constraint_failed:
        return ErrorKind.CONSTRAINT
    return ErrorKind.CONTEXT if finished.context_exceeded else ErrorKind.RUNTIME


def opened(prompt: Prompt) -> bool:
    """Whether the prompt ends inside reasoning."""
    return prompt.reasoning is not None and prompt.reasoning.opened


def spec_of(
    mode: Mode, fmt: ToolFormat, tools: Sequence[Tool], *, required: bool, several: bool
) -> ConstraintSpec | None:
    """What a constrained mode asks for with these tools.

    A native constraint begins with a call. Without tools, and where none is required, it would hold nothing: None, and
    the step is stored as one without a constraint.
    """
    if mode.style == "native" and not tools and not required:
        return None
    if mode.constraint == "syntax":
        assert isinstance(fmt, EnvelopeFormat), "only a json.* mode asks for syntax alone"
        return fmt.syntax_constraint()
    return fmt.constraint(tools, required=required, several=several)


def _sampling(sampling: Sampling, case: Case, seed_of: tuple[object, ...]) -> Sampling:
    """A seed of its own for each case, trial and step, the same in every mode and quant, whatever the order of work."""
    text = json.dumps([sampling.seed, case.content_hash, *seed_of])
    return replace(sampling, seed=int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little"))
