"""A whole suite in several modes, played by us as a run plays it and by a loop over the binding's chat completion.

    with open_suite(path, "quick") as suite:
        measured = suite.measure(n_repetitions=6)

Ours is the accuracy pass of `toolgauge run`: its order of work, its answers at a time, its measuring of constraints.
Theirs asks `create_chat_completion` case after case, with the same tools, the same parsers and the same simulated
tools, so that episodes go on. In every repetition each mode is played by both, one right after the other, the first of
them in turns; and once more by ours all modes together, which is how a run does it. Loading is not part of any time,
and neither side begins with a prompt cached of what it played before; what a run works out once for a model (tables for
masks, where the prompts of a set of tools part) is there from the warm-up.

Where the binding has no constraint of the kind, it gets the nearest: for the JSON envelope what its own converter makes
of the schemas, for calls in the model's own syntax our grammar as a text. What it cannot be asked is left out on both
sides, with the reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

from bench.modes import DEFAULT_MODES, MODES, Mode
from bench.results.rows import Stored
from bench.run.config import AUTO, LatencySettings, RunConfig
from bench.run.execute import model_spec
from bench.run.loading import LoadedModel, Opened, open_model
from bench.run.messages import ItemFinished, ItemJob, Message, ModelSpec, Work
from bench.run.plan import Plan
from bench.run.play import Player, spec_of
from bench.run.prepare import Nobody, plan_for
from bench.run.slots import choose, with_slots
from bench.run.todo import todo
from bench.suites.case import Case
from bench.suites.simulate import begin
from engine.decoder import LlamaRuntime
from engine.errors import ToolgaugeError
from engine.formats.protocol import ToolFormat
from engine.llama import ContextParams, LoadParams, Model
from engine.llama.params import default_threads
from engine.llama.reference_chat import ChatLoop
from engine.prompt import json_messages, native_tools
from engine.turns import native_messages
from engine.types import StopReason, Tool
from grammars.gbnf import to_gbnf
from grammars.nodes import Choice, RawText, Seq

OURS: Final = "toolgauge"
THEIRS: Final = "binding"
TOGETHER: Final = "all modes together"
_N_WARM: Final = 2  # cases

Side = Literal["toolgauge", "binding"]
Item = tuple[str, str]  # mode, case
Progress = Callable[[int, int], None]  # shares done, shares in all


@dataclass(frozen=True, slots=True)
class Step:
    """One answer. `n_cached` of its prompt's tokens were not decoded for it."""

    prompt: str
    text: str
    n_tokens: int
    n_prompt: int
    n_cached: int
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Share:
    """What one side played without a pause: a mode's cases, or (`TOGETHER`) every mode's.

    `steps` and `failed` (a reason for each item that broke off) by mode and case.
    """

    side: Side
    mode: str
    repetition: int
    seconds: float
    steps: Mapping[Item, tuple[Step, ...]]
    failed: Mapping[Item, str]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """`case` None: the whole mode."""

    mode: str
    case: str | None
    reason: str


@dataclass(slots=True)
class Measured:
    """Everything that was seen, raw."""

    n_cases: int
    n_cases_in_suite: int
    shares: list[Share] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


class CannotAsk(ToolgaugeError):
    """The binding has no way to ask for this."""


class Theirs:
    """Cases, one after the other, through the binding's chat completion."""

    def __init__(self, model: LoadedModel, spec: ModelSpec, loop: ChatLoop) -> None:
        self._model, self._spec, self._loop = model, spec, loop
        self._grammars: dict[str, Any] = {}

    def forget(self) -> None:
        """Begin anew: no prompt and no grammar is kept."""
        self._loop.forget()
        self._grammars.clear()

    def play(self, jobs: Sequence[ItemJob]) -> tuple[dict[Item, tuple[Step, ...]], dict[Item, str]]:
        steps: dict[Item, list[Step]] = {(job.mode, job.case.id): [] for job in jobs}
        failed: dict[Item, str] = {}
        for job in jobs:
            item = job.mode, job.case.id
            try:
                for step in self._steps(job.case, MODES[job.mode]):
                    steps[item].append(step)
            except ToolgaugeError as error:
                failed[item] = str(error)
        return {item: tuple(found) for item, found in steps.items()}, failed

    def _steps(self, case: Case, mode: Mode) -> Iterator[Step]:
        fmt, dialogue = self._model.format_of(mode.style), begin(case)
        while dialogue.end is None:
            required = case.tool_choice == "required" and dialogue.step == 0
            grammar = self.grammar(case, mode, dialogue.tools, required=required)
            turns, tools = _conversation(dialogue.messages, dialogue.tools, mode, fmt)
            answer = self._loop.answer(turns, tools, self._spec.limits.answer, grammar)
            yield Step(answer.prompt, answer.text, answer.n_tokens, answer.n_prompt, answer.n_cached, answer.is_cut)
            parsed = fmt.parse(answer.text, dialogue.tools)
            dialogue.advance(parsed, StopReason.LENGTH if answer.is_cut else StopReason.EOG)

    def grammar(self, case: Case, mode: Mode, tools: Sequence[Tool], *, required: bool) -> Any:
        """Made once for each set of tools; None in a free mode. Raises `ToolgaugeError` where there is none."""
        if not mode.constrained:
            return None
        several = case.parallel_tool_calls
        key = repr((mode.id, required, several, tools))
        if key not in self._grammars:
            make = self._envelope_grammar if mode.style == "json" else self._native_grammar
            self._grammars[key] = make(mode, tools, required=required, several=several)
        return self._grammars[key]

    def _envelope_grammar(self, mode: Mode, tools: Sequence[Tool], *, required: bool, several: bool) -> Any:
        if mode.constraint == "syntax":
            return self._loop.schema_grammar({"type": "object"})
        return self._loop.schema_grammar(envelope_schema(tools, required=required, several=several))

    def _native_grammar(self, mode: Mode, tools: Sequence[Tool], *, required: bool, several: bool) -> Any:
        """The binding's grammars hold from the first token, so what may stand before a call is part of this one."""
        spec = spec_of(mode, self._model.format_of(mode.style), tools, required=required, several=several)
        if spec is None:
            return None
        if len(spec.triggers) > 1 or spec.at_start:
            raise CannotAsk("the binding cannot begin a constraint in the middle of an answer in this format")
        root = spec.root
        if spec.triggers:
            reply = RawText(spec.triggers[0])
            root = Choice((reply, Seq((reply, root))))
        return self._loop.text_grammar(to_gbnf(root, {}))

    def check(self, jobs: Sequence[ItemJob]) -> tuple[list[ItemJob], list[LeftOut]]:
        """What it can be asked, and what not."""
        asked, left_out = [], []
        for job in jobs:
            case, mode = job.case, MODES[job.mode]
            try:
                self._check(case, mode)
            except ToolgaugeError as error:
                left_out.append(LeftOut(mode.id, None if isinstance(error, CannotAsk) else case.id, str(error)))
            else:
                asked.append(job)
        return asked, list(dict.fromkeys(left_out))

    def _check(self, case: Case, mode: Mode) -> None:
        dialogue = begin(case)
        prompt = self._model.prompt(dialogue.messages, dialogue.tools, mode.style)
        if prompt.reasoning and mode.constrained:
            raise CannotAsk("the binding cannot let a model reason before a constraint begins")
        self.grammar(case, mode, dialogue.tools, required=case.tool_choice == "required")


def _conversation(
    messages: Sequence[Any], tools: Sequence[Tool], mode: Mode, fmt: ToolFormat
) -> tuple[list[dict[str, Any]], list[dict[str, Any]] | None]:
    """What our prompts are made of too; the binding renders the template itself."""
    if mode.style == "json":
        return list(json_messages(messages, tools)), None
    return list(native_messages(messages, max_calls=fmt.max_calls)), native_tools(tools) or None


def envelope_schema(tools: Sequence[Tool], *, required: bool, several: bool) -> dict[str, Any]:
    """The envelope of the json.* modes as a JSON Schema."""
    calls: dict[str, Any] = {"type": "array", "items": {"anyOf": [_call_schema(tool) for tool in tools]}}
    if not tools:
        calls = {"const": []}
    calls |= {"minItems": 1} if required else {}
    calls |= {} if several else {"maxItems": 1}
    return _closed({"calls": calls, "reply": {"type": "string"}})


def _call_schema(tool: Tool) -> dict[str, Any]:
    return _closed({"name": {"const": tool.name}, "arguments": tool.parameters})


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


class Ours:
    """Items as a run plays them: several at a time, constraints measured."""

    def __init__(self, model: LoadedModel, spec: ModelSpec) -> None:
        self._model, self._spec = model, spec

    def play(self, opened: Opened, jobs: Sequence[ItemJob]) -> tuple[dict[Item, tuple[Step, ...]], dict[Item, str]]:
        finished: list[ItemFinished] = []

        def keep(message: Message) -> None:
            if isinstance(message, ItemFinished):
                finished.append(message)

        Player(self._model, self._spec, keep).play(opened.runtime, jobs)
        items = {job.key: (job.mode, job.case.id) for job in jobs}
        steps = {
            items[each.key]: tuple(
                Step(
                    step.prompt,
                    step.generation.text,
                    len(step.generation.tokens),
                    step.generation.n_prompt,
                    step.generation.n_cached,
                    step.generation.stop is not StopReason.EOG,
                )
                for step in each.record.steps
            )
            for each in finished
        }
        return steps, {items[each.key]: each.record.error.message for each in finished if each.record.error}


class WholeSuite:
    """A loaded model, a plan of what a run would do with it, and both sides to do it."""

    def __init__(self, plan: Plan, spec: ModelSpec, model: LoadedModel, loop: ChatLoop, native: Model) -> None:
        self.plan, self.spec, self.native = plan, spec, native
        self._model, self._theirs = model, Theirs(model, spec, loop)
        self._cases = {case.id: place for place, case in enumerate(plan.cells[0].suite.cases)}

    def measure(self, n_repetitions: int, progress: Progress = lambda done, total: None) -> Measured:
        """Check what can be asked, warm up, and let both play every mode as often as wanted, interleaved."""
        jobs, left_out = self._theirs.check(_in_order(self.plan))
        if not jobs:
            reasons = "; ".join(dict.fromkeys(each.reason for each in left_out))
            raise ToolgaugeError(f"there is nothing that both sides could be asked: {reasons}")
        n_cases = len({job.case.id for job in jobs})
        measured = Measured(n_cases, len(self._cases), left_out=left_out)
        modes = [mode for mode in self.plan.config.modes if any(job.mode == mode for job in jobs)]
        for side in (OURS, THEIRS):
            self.share(side, TOGETHER, 0, _first_cases(jobs, _N_WARM))
        turns = list(_turns(modes, n_repetitions))
        for done, (side, mode, repetition) in enumerate(turns):
            chosen = jobs if mode == TOGETHER else [job for job in jobs if job.mode == mode]
            measured.shares.append(self.share(side, mode, repetition, chosen))
            progress(done + 1, len(turns))
        return measured

    def share(self, side: Side, mode: str, repetition: int, jobs: Sequence[ItemJob]) -> Share:
        """Play without a pause; opening a context, on our side, and forgetting the last share are not timed."""
        if side == THEIRS:
            self._theirs.forget()
            started = time.perf_counter()
            steps, failed = self._theirs.play(sorted(jobs, key=self._place))
            return Share(side, mode, repetition, time.perf_counter() - started, steps, failed)
        with self._model.runtime(single=False) as opened:
            ours = Ours(self._model, self.spec)
            started = time.perf_counter()
            steps, failed = ours.play(opened, jobs)
            return Share(side, mode, repetition, time.perf_counter() - started, steps, failed)

    def _place(self, job: ItemJob) -> tuple[int, int]:
        """Mode after mode, each in the order of the suite, as a loop over cases goes."""
        return self.plan.config.modes.index(job.mode), self._cases[job.case.id]


def _turns(modes: Sequence[str], n_repetitions: int) -> Iterator[tuple[Side, str, int]]:
    """Who plays what, in which order: each mode by both, beginning in turns; ours of all modes in the middle."""
    for repetition in range(n_repetitions):
        for place, mode in enumerate(modes):
            if place == len(modes) // 2:
                yield OURS, TOGETHER, repetition
            sides: tuple[Side, Side] = (OURS, THEIRS)
            for side in sides if (place + repetition) % 2 == 0 else reversed(sides):
                yield side, mode, repetition


def _in_order(plan: Plan) -> list[ItemJob]:
    """The items of the plan as a run hands them to its worker."""
    nothing = Stored({}, frozenset(), frozenset())
    return list(todo(plan, plan.models[0], nothing).work().items)


def _first_cases(jobs: Sequence[ItemJob], n_cases: int) -> list[ItemJob]:
    first = list(dict.fromkeys(job.case.id for job in jobs))[:n_cases]
    return [job for job in jobs if job.case.id in first]


@contextmanager
def open_suite(
    path: Path,
    suite: str,
    *,
    modes: tuple[str, ...] = DEFAULT_MODES,
    n_gpu_layers: int = -1,
    n_threads: int = 0,
    limit: int | None = None,
) -> Iterator[WholeSuite]:
    """Load the model for both sides; `limit`: only so many cases, spread over the categories."""
    config = RunConfig(
        models=(str(path),),
        suites=(suite,),
        modes=modes,
        load=LoadParams(n_gpu_layers=n_gpu_layers),
        context=ContextParams(n_threads=n_threads or default_threads()),
        latency=LatencySettings(enabled=False),
        limit=limit,
        parallel=AUTO,
    )
    plan = plan_for(config, Nobody())
    plan = with_slots(plan, choose(plan).slots)
    with TemporaryDirectory(prefix="toolgauge-perf-") as folder:
        spec = replace(model_spec(plan, plan.models[0], open_model), log_path=Path(folder, "llama.log"))
        model = open_model(spec, Work((), ()))
        with model.runtime(single=False) as opened:
            runtime = opened.runtime
            assert isinstance(runtime, LlamaRuntime), "a file is decoded by llama.cpp"
            native, loop = runtime.context.model, ChatLoop(runtime.context.model, runtime.context)
        with closing(loop):
            yield WholeSuite(plan, spec, model, loop, native)
