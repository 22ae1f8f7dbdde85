"""How many answers a run decodes at a time, and how large a cache they share: chosen once, before anything is loaded.

    choice = choose(plan)               # of the free memory, the models' headers and the lengths of the cases
    plan = with_slots(plan, choice.slots)

One number for the whole run: levels of a model that are compared with each other should not be decoded in batches of
different shapes. It is kept with the run, so that a resumed one goes on as it began. Loads no weights.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import psutil

from bench import numbers
from bench.fit.predict import Budget, budget_here, settings_of
from bench.fit.predict import with_slots as settings_with_slots
from bench.run.config import AUTO, RunConfig, Slots
from bench.run.plan import Plan, PlannedCell, PlannedModel
from bench.suites.case import Case
from engine import formats
from engine.decoder import n_more_rows
from engine.fake import PREFIX
from engine.gguf_file import read_gguf
from engine.llama import supports_gpu
from engine.llama.params import ContextParams, LoadParams, default_threads
from engine.memory import CannotPredict, Estimate, Predictor, Settings, largest, largest_of_any
from engine.memory.cache import CELL_STEP, padded
from engine.prompt import native_tools
from grammars.errors import ToolgaugeError

LADDER: Final = (1, 2, 4, 8, 16, 32)  # so that a little more or less free memory makes no difference
FEWEST_TO_GAIN: Final = 4  # several answers share the reading of the weights, however few cores compute
MOST_ON_CPU: Final = 16
UNKNOWN: Final = 4  # where the memory cannot be predicted
_RESERVE_BYTES: Final = 1 << 30  # for the driver, for libraries, and for what the estimate of the scratch is off by
_RESERVE_SHARE: Final = 0.1  # of what is free, where that is less
# An estimate of a prompt, for there is no tokenizer yet: generous, and an answer that needs more waits for its cells.
_CHARS_PER_TOKEN: Final = 3
_TEMPLATE_TOKENS: Final = 256
_STEP_TOKENS: Final = 160  # a call and its result
_FAULT_STEPS: Final = 3
_MOST_NEED_LESS: Final = 0.9  # of all answers need no more cells than are counted for each


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to hold a model. `cards` is None where llama.cpp uses none, or was told to use none."""

    cards: Budget | None
    ram_bytes: int
    n_cores: int

    @property
    def free(self) -> str:
        """For people; completes `... free`."""
        if self.cards:
            sizes = " + ".join(numbers.size(n_bytes) for n_bytes in self.cards.cards)
            return f"{sizes} of video memory are"
        return f"{numbers.size(self.ram_bytes)} of memory are"

    def holds(self, estimate: Estimate) -> bool:
        memory = Budget((), self.ram_bytes, _reserve(self.ram_bytes), "")
        return memory.holds(estimate) and (self.cards is None or self.cards.holds(estimate))


@dataclass(frozen=True, slots=True)
class Choice:
    slots: Slots
    warnings: tuple[str, ...] = ()  # of models that will probably not fit


@dataclass(frozen=True, slots=True)
class _Way:
    """One way in which the run loads one model, and what it would take."""

    model: PlannedModel
    context: ContextParams
    predictor: Predictor
    settings: Settings

    def estimate(self, n_slots: int, n_each: int) -> Estimate:
        settings = settings_with_slots(self.settings, n_slots)
        n_rows = settings.n_sequences + self.settings.n_rows
        cells = n_cells(self.context.n_ctx, n_slots, n_each)
        return self.predictor.estimate(replace(settings, n_cells=cells, n_rows=n_rows))


def n_cells(n_ctx: int, n_slots: int, n_each: int) -> int:
    """Of the cache: as many as most answers need at a time, and at least those that one may need."""
    return max(padded(n_ctx), n_slots * padded(min(n_ctx, n_each)))


def with_slots(plan: Plan, slots: Slots) -> Plan:
    """The plan with its choice made; items keep their keys."""

    def chosen(context: ContextParams) -> ContextParams:
        return replace(context, n_cells=n_cells(context.n_ctx, slots.n_slots, slots.n_each))

    cells = tuple(replace(cell, context=chosen(cell.context)) for cell in plan.cells)
    return replace(plan, config=replace(plan.config, slots=slots), cells=cells)


def choose(plan: Plan, machine: Callable[[LoadParams], Machine] | None = None) -> Choice:
    """Raises `ToolgaugeError` where the number is to be found and no model of the plan fits with a single slot."""
    n_each = _cells_of_an_answer(plan)
    if plan.config.parallel != AUTO:
        return Choice(Slots(plan.config.parallel, n_each, "as asked"))
    here = (machine or machine_here)(plan.config.load)
    ways, unknown = _ways(plan, here)
    most, why = _most(plan, here, unknown)
    fitting = [way for way in ways if here.holds(way.estimate(1, n_each))]
    sentences = tuple(_does_not_fit(way, here) for way in ways if way not in fitting)
    if sentences and not fitting and not unknown:
        raise ToolgaugeError("; ".join(sentences))
    n_slots = most
    for way in fitting:
        holding = [count for count in LADDER if count <= n_slots and here.holds(way.estimate(count, n_each))]
        if holding[-1] < n_slots:
            n_slots = holding[-1]
            why = f"more answers of {way.model.label} would not fit: {here.free} free"
    return Choice(Slots(n_slots, n_each, why), sentences)


def _most(plan: Plan, here: Machine, unknown: list[str]) -> tuple[int, str]:
    """As many as can gain anything, whatever fits."""
    n_answers = max(sum(len(cell.items) for cell in plan.cells_of(model)) for model in plan.models)
    if here.cards and plan.config.load.n_gpu_layers < 0:
        limits = [(LADDER[-1], "more would gain little")]
    else:
        n_useful = min(MOST_ON_CPU, max(FEWEST_TO_GAIN, here.n_cores))
        limits = [(n_useful, f"more would gain little on {numbers.plural(here.n_cores, 'core')}")]
    limits.append((max(1, n_answers), "there are no more answers to decode"))
    if unknown:
        limits.append((UNKNOWN, f"how many would fit cannot be predicted: {unknown[0]}"))
    most, why = min(limits, key=lambda limit: limit[0])
    return max(count for count in LADDER if count <= most), why


def _ways(plan: Plan, here: Machine) -> tuple[list[_Way], list[str]]:
    """Every model with every context; and why some cannot be predicted."""
    found: list[_Way] = []
    unknown: list[str] = []
    contexts: dict[tuple[str, ContextParams], PlannedCell] = {}
    for cell in plan.cells:
        contexts.setdefault((cell.model.path, cell.context), cell)
    for (path, context), cell in contexts.items():
        if path.startswith(PREFIX):
            continue
        try:
            predictor = _predictor(path)
            way = _Way(cell.model, context, predictor, _settings(plan.config, context, here, predictor))
            way.estimate(1, 0)
        except CannotPredict as error:
            unknown.append(f"{cell.model.label}: {error}")
        else:
            found.append(way)
    return found, unknown


@cache
def _predictor(path: str) -> Predictor:
    file = read_gguf(path)
    return Predictor.of(file.metadata, file.tensors)


def _settings(config: RunConfig, context: ContextParams, here: Machine, predictor: Predictor) -> Settings:
    """`n_rows`: beside one for each sequence."""
    return replace(
        settings_of(context),
        n_rows=n_more_rows(LADDER[-1], measure_constraint=True, drafts=config.draft),
        n_gpu_layers=config.load.n_gpu_layers,
        devices=_shares(config.load, here.cards),
    )


def _shares(load: LoadParams, cards: Budget | None) -> tuple[float, ...]:
    if cards is None:
        return ()
    given = (*load.tensor_split, *(0.0 for _ in cards.cards))[: len(cards.cards)]
    return given if any(given) else cards.shares


def _does_not_fit(way: _Way, here: Machine) -> str:
    """What is missing, and what would help."""
    estimate, n_ctx = way.estimate(1, 0), way.context.n_ctx
    place = estimate.on_devices if here.cards else estimate.host
    helps = " or ".join(_helps(way, here)) or "only a smaller level or another model"
    return (
        f"{way.model.label} needs about {numbers.size(place.total_bytes)} for one answer at a time with a context of"
        f" {n_ctx:,} tokens, and {here.free} free; what would fit: {helps}. --parallel 1 tries it all the same"
    )


def _helps(way: _Way, here: Machine) -> Iterator[str]:
    """Single changes with which one answer at a time would fit."""

    def fits(context: ContextParams = way.context, **changes: Any) -> bool:
        try:
            changed = replace(way, context=context, settings=replace(way.settings, n_ctx=context.n_ctx, **changes))
            return here.holds(changed.estimate(1, 0))
        except CannotPredict:
            return False

    def fits_steps(n_steps: int) -> bool:
        return fits(replace(way.context, n_ctx=n_steps * CELL_STEP))

    if n_steps := largest(fits_steps, way.context.n_ctx // CELL_STEP):
        yield f"-c {n_steps * CELL_STEP}"
    if way.context.type_k == way.context.type_v == "f16" and fits(type_k="q8_0", type_v="q8_0"):
        yield "--kv-type q8_0"
    if here.cards:
        # With few layers there the rest may be too much for the computer's memory.
        n_layers = largest_of_any(lambda count: fits(n_gpu_layers=count), way.predictor.layout.n_blocks + 1)
        if n_layers is not None:
            yield f"-ngl {n_layers}"


# Lengths


def _cells_of_an_answer(plan: Plan) -> int:
    """What most answers of the longest-winded model need, prompt and budget; 0 where there is nothing to answer."""
    prompts: dict[str, int] = {}

    def needs(model: PlannedModel) -> Iterator[int]:
        for cell in plan.cells_of(model):
            budget = _budget(plan.config, cell)
            for item in cell.items:
                if item.case.content_hash not in prompts:
                    prompts[item.case.content_hash] = prompt_tokens(item.case)
                yield min(cell.context.n_ctx, prompts[item.case.content_hash] + budget)

    return max((_quantile(sorted(needs(model))) for model in plan.models), default=0)


def _quantile(ordered: list[int]) -> int:
    return padded(ordered[math.ceil(_MOST_NEED_LESS * len(ordered)) - 1]) if ordered else 0


def prompt_tokens(case: Case) -> int:
    """About how long the last prompt of a case is."""
    texts = [json.dumps(native_tools(case.tools), ensure_ascii=False)]
    for message in case.messages:
        texts += [message.content, *(json.dumps(call.arguments, ensure_ascii=False) for call in message.calls)]
    n_steps = len(case.expected) + _FAULT_STEPS * (case.fault is not None) if case.is_episode else 0
    return _TEMPLATE_TOKENS + sum(map(len, texts)) // _CHARS_PER_TOKEN + _STEP_TOKENS * n_steps


def _budget(config: RunConfig, cell: PlannedCell) -> int:
    """Tokens of an answer, and of the reasoning before it where the model's template knows any."""
    frame = formats.of_style(cell.mode.style, cell.model.format_id).frame
    template = cell.model.template or ""
    reasons = config.thinking is not False and any(mark.strip() in template for mark in (frame.open, frame.close))
    return config.limits.answer + config.limits.reasoning * reasons


# The machine


def machine_here(load: LoadParams) -> Machine:
    """What is free now. The cards only where llama.cpp will put layers there."""
    cards = None
    if load.n_gpu_layers and supports_gpu():
        here = budget_here((), 0)
        free = here.cards[load.main_gpu : load.main_gpu + 1] if load.split_mode == "none" else here.cards
        if free:
            cards = replace(here, cards=free, reserve_bytes=_reserve(min(free)))
    return Machine(cards, int(psutil.virtual_memory().available), default_threads())


def _reserve(n_bytes: int) -> int:
    return min(_RESERVE_BYTES, int(n_bytes * _RESERVE_SHARE))
