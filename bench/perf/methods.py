"""The ways of decoding that are timed against each other, each behind the same two questions: prepare a case, run it.

A rate counts what a person waits for between the first token and the last. Tokens that were there together with the
first one (the forced beginning of a call) are left out of it, so that forcing is not credited with them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from bench.perf.native import Like, llama_bench
from bench.perf.native_tools import NativeTool, missing
from bench.perf.workload import Budget, Case
from engine.constraint.protocol import Backend, Compiled
from engine.decoder import CANNOT_DRAFT, LlamaRuntime
from engine.errors import ToolgaugeError
from engine.llama.reference import ReferenceLoop
from engine.runtime import Limits, Request
from engine.types import Generation, StopReason
from grammars.nodes import Node

FREE = "free"
FORCED = "llguidance"
UNFORCED = "llguidance, nothing forced"
DRAFTED = "llguidance, drafted"
GBNF = "gbnf"
OUTLINES = "outlines"
BINDING_FREE = "binding, free"
BINDING_GRAMMAR = "binding, its own grammar"
LLAMA_BENCH = "llama-bench"
# By the number of answers that are decoded at a time.
BATCHED_FREE: Final = {4: "free, 4 at a time", 16: "free, 16 at a time"}
BATCHED_NATIVE: Final = {4: "llama-batched-bench, 4", 16: "llama-batched-bench, 16"}
BATCHED_UNIFIED: Final = {16: "llama-batched-bench, 16, unified cache"}
BATCHED_SHARED: Final = {16: "free, 16 at a time, shared prompt"}
BATCHED_NATIVE_SHARED: Final = {16: "llama-batched-bench, 16, shared prompt"}
BATCHED_FORCED: Final = {16: "llguidance, 16 at a time"}


@dataclass(frozen=True, slots=True)
class Run:
    """One answer, or a batch of them. What is None by default is not known of other loops than ours.

    `says`: what one of llama.cpp's tools prints of itself and its run.
    """

    tokens: tuple[int, ...]
    n_tokens: int
    n_timed: int  # tokens that came after the first moment in which there were any
    seconds: float  # from that moment to the last token
    stop: StopReason | None = None
    n_forced: int | None = None
    mask_s: float | None = None
    host_s: float | None = None
    n_drafted: int = 0
    n_accepted: int = 0
    says: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tok_per_s(self) -> float:
        return self.n_timed / self.seconds

    @property
    def mask_s_per_token(self) -> float | None:
        """Of the tokens that had a mask: those that were not forced, for these answers are calls from the beginning."""
        n_masked = self.n_tokens - (self.n_forced or 0)
        return None if self.mask_s is None or not n_masked else self.mask_s / n_masked

    @property
    def is_cut(self) -> bool:
        """More might have followed."""
        return self.stop != StopReason.EOG


class Constrainable(Protocol):
    """A case, as far as our loop looks at it."""

    @property
    def id(self) -> str: ...

    @property
    def root(self) -> Node: ...


@dataclass(frozen=True, slots=True)
class Prompted:
    """A case with its prompt in tokens."""

    case: Constrainable
    tokens: tuple[int, ...]


class Timed(Protocol):
    name: str

    def run(self, prompted: Prompted, n_tokens: int) -> Run:
        """Raises `ToolgaugeError` when there is no answer."""


class Method(Timed, Protocol):
    budget: Budget

    def prepare(self, case: Case) -> float | None:
        """Build the constraint for a case, if there is one; returns the seconds it took."""


class Ours:
    """Our loop, one answer at a time, free or under a constraint."""

    def __init__(
        self,
        name: str,
        budget: Budget,
        runtime: LlamaRuntime,
        backend: Callable[[], Backend] | None = None,
        *,
        forced: bool = True,
        drafted: bool = False,
    ) -> None:
        self.name, self.budget = name, budget
        self._runtime, self._backend, self._forced, self._drafted = runtime, backend, forced, drafted
        self._compiled: dict[str, Compiled] = {}

    def prepare(self, case: Constrainable) -> float | None:
        if self._drafted and not self._runtime.drafts:
            raise ToolgaugeError(CANNOT_DRAFT)
        if self._backend is None:
            return None
        backend = self._backend()
        started = time.perf_counter()
        compiled = backend.compile(case.root)
        seconds = time.perf_counter() - started
        self._compiled[case.id] = compiled
        return seconds

    def run(self, prompted: Prompted, n_tokens: int) -> Run:
        compiled = self._compiled[prompted.case.id] if self._backend else None
        generation = _answer(
            self._runtime,
            Request(
                key=self.name,
                prompt=prompted.tokens,
                compiled=compiled,
                limits=Limits(answer=n_tokens),
                use_forced=self._forced,
                draft=self._drafted,
            ),
        )
        timings = generation.timings
        return Run(
            tokens=generation.tokens,
            n_tokens=len(generation.tokens),
            n_timed=generation.n_after_first or 0,
            seconds=timings.decode_s,
            stop=generation.stop,
            n_forced=generation.constraint.n_forced if generation.constraint else 0,
            mask_s=timings.mask_s if compiled else None,
            host_s=timings.host_s,
            n_drafted=generation.n_drafted,
            n_accepted=generation.n_accepted,
        )


class Binding:
    """The binding's high-level loop, free or under the grammar that its own converter makes."""

    def __init__(self, name: str, loop: ReferenceLoop, *, constrained: bool) -> None:
        self.name = name
        self.budget: Budget = "scanning" if constrained else "free"
        self._loop, self._constrained = loop, constrained
        self._grammars: dict[str, Any] = {}

    def prepare(self, case: Case) -> float | None:
        if not self._constrained:
            return None
        started = time.perf_counter()
        self._grammars[case.id] = self._loop.grammar(case.schema)
        return time.perf_counter() - started

    def run(self, prompted: Prompted, n_tokens: int) -> Run:
        grammar = self._grammars[prompted.case.id] if self._constrained else None
        run = self._loop.run(prompted.tokens, n_tokens, grammar)
        return Run(run.tokens, run.n_tokens, run.n_tokens - run.n_first, run.last_s - run.first_s)


class LlamaBench:
    """llama.cpp's own tool, started anew for each answer; it decodes random tokens behind as many as the prompt has."""

    name = LLAMA_BENCH
    budget: Budget = "free"

    def __init__(self, tool: NativeTool | None, like: Like) -> None:
        self._tool, self._like = tool, like

    def prepare(self, case: Constrainable) -> float | None:
        if self._tool is None:
            raise ToolgaugeError(missing("llama-bench"))
        return None

    def run(self, prompted: Prompted, n_tokens: int) -> Run:
        assert self._tool is not None, "prepared"
        # the first token of an answer of ours comes with the prompt
        run = llama_bench(self._tool, self._like, depth=len(prompted.tokens), n_tokens=n_tokens - 1)
        return Run((), run.n_tokens, run.n_tokens, run.seconds, says=run.says)


def all_methods(
    runtime: LlamaRuntime, loop: ReferenceLoop, backends: Mapping[str, Callable[[], Backend]], native: Method
) -> list[Method]:
    """One answer at a time, in the order of the tables; our free loop first, which the others are compared with."""
    return [
        Ours(FREE, "free", runtime),
        native,
        Binding(BINDING_FREE, loop, constrained=False),
        Ours(FORCED, "answer", runtime, backends["llguidance"]),
        Ours(DRAFTED, "answer", runtime, backends["llguidance"], drafted=True),
        Ours(UNFORCED, "answer", runtime, backends["llguidance"], forced=False),
        Ours(GBNF, "scanning", runtime, backends["gbnf"]),
        Ours(OUTLINES, "answer", runtime, backends["outlines"]),
        Binding(BINDING_GRAMMAR, loop, constrained=True),
    ]


def _answer(runtime: LlamaRuntime, request: Request) -> Generation:
    runtime.submit(request)
    while True:
        for finished in runtime.step():
            if finished.generation is None or finished.error:
                raise ToolgaugeError(finished.error or "no answer came")
            return finished.generation
