"""From settings to cells to items, before anything is loaded: what a run will do, and the name of each piece of it.

An item's key is a hash of everything that determines its answer, so that a run can be resumed by running the same
command. How fast it is computed (slots, threads, host) is an attribute and no part of the key. Knows no store and no
process.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib import metadata
from typing import Any

from bench.modes import NO_BACKEND, Mode, check_backend, select
from bench.run.axes import BATCH, MICRO_BATCH, axes, beyond_training, label
from bench.run.config import DEFAULT_N_CTX, RunConfig
from bench.suites import simulate
from bench.suites.case import Case, Suite
from bench.version import NAME, own_version
from engine import formats
from engine.llama.params import ContextParams
from engine.types import Finding
from grammars.errors import ToolgaugeError


@dataclass(frozen=True, slots=True)
class PlannedModel:
    """A GGUF and what its header says, at one of the run's context settings: what one worker process loads."""

    name: str
    quant: str
    path: str  # `fake:NAME` for the scripted runtime
    gguf_sha256: str
    gguf_bytes: int
    template: str | None  # source; None: it has none
    architecture: str
    format_id: str | None  # None: no native format was recognised
    n_ctx_train: int
    setting: str = ""  # what tells it from the same file at the run's other context settings
    doubt: str = ""  # how it differs from the first file of its ladder, which does not make it another model

    @property
    def template_sha256(self) -> str:
        return hashlib.sha256((self.template or "").encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def label(self) -> str:
        named = f"{self.name} {self.quant}".strip()
        return f"{named} ({self.setting})" if self.setting else named


@dataclass(frozen=True, slots=True)
class PlannedItem:
    """One case of the accuracy pass, one trial."""

    key: str
    case: Case
    position: int  # in the suite
    trial: int


@dataclass(frozen=True, slots=True)
class PlannedSample:
    """One repetition of one case of the latency pass.

    Beside the plain ones there may be some with drafts, and some that find their prompt's prefix in the cache.
    """

    key: str
    case: Case
    repetition: int
    drafted: bool = False
    warm: bool = False


@dataclass(frozen=True, slots=True)
class PlannedCell:
    model: PlannedModel
    context: ContextParams  # with `n_ctx` decided
    mode: Mode
    backend: str
    backend_version: str
    suite: Suite
    items: tuple[PlannedItem, ...]
    samples: tuple[PlannedSample, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that one run does, in the order in which it is shown."""

    config: RunConfig
    models: tuple[PlannedModel, ...]
    cells: tuple[PlannedCell, ...]

    @property
    def key(self) -> str:
        keys = [item.key for cell in self.cells for item in cell.items]
        keys += [sample.key for cell in self.cells for sample in cell.samples]
        return _hash(sorted(keys))

    @property
    def n_items(self) -> int:
        return sum(len(cell.items) for cell in self.cells)

    @property
    def n_samples(self) -> int:
        return sum(len(cell.samples) for cell in self.cells)

    @property
    def n_files(self) -> int:
        return len({model.gguf_sha256 for model in self.models})

    @property
    def settings(self) -> tuple[str, ...]:
        """What tells the context settings apart; empty where each file has one."""
        return tuple(dict.fromkeys(model.setting for model in self.models if model.setting))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Which files are taken for one model though they differ, and what is asked of one that it was not made for."""
        contexts = ((model, self.cells_of(model)[0].context.n_ctx) for model in self.models)
        beyond = ((model.name, n_ctx, model.n_ctx_train) for model, n_ctx in contexts if 0 < model.n_ctx_train < n_ctx)
        sentences = (f"{name} {beyond_training(n_ctx, learned)}" for name, n_ctx, learned in beyond)
        return (
            *(Finding("taken-for-one-model", text) for text in doubts(self.models)),
            *(Finding("context-beyond-training", text) for text in dict.fromkeys(sentences)),
        )

    def context_of(self, model: PlannedModel) -> dict[str, Any]:
        """How it is loaded, as it is stored with the model."""
        return {"load": asdict(self.config.load), "context": asdict(self.cells_of(model)[0].context)}

    def cells_of(self, model: PlannedModel) -> tuple[PlannedCell, ...]:
        return tuple(cell for cell in self.cells if cell.model is model)


def doubts(models: Sequence[PlannedModel]) -> Iterator[str]:
    """A sentence for all levels of a model that differ from its first file alike."""
    alike: dict[tuple[str, str], dict[str, None]] = {}
    for model in models:
        if model.doubt:
            alike.setdefault((model.name, model.doubt), {})[model.quant] = None
    for (name, doubt), quants in alike.items():
        differ = "it differs" if len(quants) == 1 else "they differ"
        yield f"{name} {', '.join(quants)}: taken for one model with the others of that name, though {differ} {doubt}"


def make_plan(config: RunConfig, models: Sequence[PlannedModel], suites: Sequence[Suite]) -> Plan:
    """Every file x context settings x suite x mode, with the cases that `limit` leaves.

    An impossible combination is an error here.
    """
    suites = distinct(suites)
    modes = select(config.modes)
    check_backend(config.backend)
    _check_distinct(models)
    for model in models:
        _check_format(model, modes)
    contexts = [_contexts(config, model) for model in models]
    varying = axes(contexts)
    settled = [
        (_at(model, label(context, varying)), context)
        for model, own in zip(models, contexts, strict=True)
        for context in own
    ]
    if len({(model.gguf_sha256, model.setting) for model, _ in settled}) < len(settled):
        raise ToolgaugeError("the context settings of one run can differ in KV types, context and batch sizes only")
    cells = tuple(
        _cell(config, model, context, varying, suite, mode)
        for model, context in settled
        for suite in suites
        for mode in modes
    )
    return Plan(config, tuple(model for model, _ in settled), cells)


def spread(cases: Sequence[Case], n: int | None) -> tuple[Case, ...]:
    """The first `n` cases, taken from the categories in turn, in the order of the suite."""
    if n is None or n >= len(cases):
        return tuple(cases)
    by_category: dict[str, list[Case]] = {}
    for case in cases:
        by_category.setdefault(case.category, []).append(case)
    rounds = [
        (place, order, case) for order, group in enumerate(by_category.values()) for place, case in enumerate(group)
    ]
    taken = {case.id for _, _, case in sorted(rounds, key=lambda entry: entry[:2])[:n]}
    return tuple(case for case in cases if case.id in taken)


def distinct(suites: Sequence[Suite]) -> tuple[Suite, ...]:
    """Each suite once. Two of one name are an error: results are kept under the name."""
    found: dict[str, Suite] = {}
    for suite in suites:
        first = found.setdefault(suite.name, suite)
        if first.content_hash != suite.content_hash:
            raise ToolgaugeError(
                f"{first.path} and {suite.path} are different suites with one name, '{suite.name}'; "
                "give one of them another name in its header, or measure them one after the other"
            )
    return tuple(found.values())


def _check_distinct(models: Sequence[PlannedModel]) -> None:
    seen: dict[str, PlannedModel] = {}
    for model in models:
        twin = seen.setdefault(model.gguf_sha256, model)
        if twin is not model:
            raise ToolgaugeError(
                f"{twin.path} and {model.path} are the same; to compare a file with itself, run it again with --new"
            )


def _check_format(model: PlannedModel, modes: Sequence[Mode]) -> None:
    if model.format_id in formats.NATIVE or all(mode.style == "json" for mode in modes):
        return
    raise ToolgaugeError(
        f"{model.label} writes tool calls in a format that toolgauge does not recognise; name it with --format ID "
        "(`toolgauge formats` lists them), or measure with --modes json.free,json.schema"
    )


def _cell(
    config: RunConfig, model: PlannedModel, context: ContextParams, varying: Sequence[str], suite: Suite, mode: Mode
) -> PlannedCell:
    backend = config.backend if mode.constrained else NO_BACKEND
    version = backend_version(backend)
    cases = spread(suite.cases, config.limit)
    identity = _identity(config, model, context, mode) | {"backend": [backend, version]}
    if {BATCH, MICRO_BATCH} & set(varying):  # else how fast it is computed is no part of what an answer is
        identity["batch"] = [context.n_batch, context.n_ubatch]

    def key(case: Case, pass_: str, repetition: int) -> str:
        place = {"case": [suite.name, case.id, case.content_hash], "pass": pass_, "trial": repetition}
        return _hash(identity | place)

    def sample(case: Case, repetition: int, *, drafted: bool = False, warm: bool = False) -> PlannedSample:
        pass_ = "latency" + ", drafted" * drafted + ", warm" * warm
        return PlannedSample(key(case, pass_, repetition), case, repetition, drafted, warm)

    def samples_of(case: Case, repetition: int) -> Iterator[PlannedSample]:
        yield sample(case, repetition)
        if config.draft:
            yield sample(case, repetition, drafted=True)
        # the last ones, when all that is built at its first use is there
        if config.latency.repetitions - repetition <= config.latency.warm_repetitions:
            yield sample(case, repetition, warm=True)

    positions = {case.id: position for position, case in enumerate(suite.cases)}
    items = (
        PlannedItem(key(case, "accuracy", trial), case, positions[case.id], trial)
        for trial in range(config.trials)
        for case in cases
    )
    measured = spread(cases, config.latency.n_cases) if config.latency.enabled else ()
    samples = (
        sample
        for repetition in range(config.latency.repetitions)
        for case in measured
        for sample in samples_of(case, repetition)
    )
    return PlannedCell(model, context, mode, backend, version, suite, tuple(items), tuple(samples))


def _contexts(config: RunConfig, model: PlannedModel) -> tuple[ContextParams, ...]:
    """With `n_ctx` decided; what is the same then is measured once."""
    n_ctx = min(model.n_ctx_train or DEFAULT_N_CTX, DEFAULT_N_CTX)
    return tuple(dict.fromkeys(replace(context, n_ctx=context.n_ctx or n_ctx) for context in config.contexts))


def _at(model: PlannedModel, setting: str) -> PlannedModel:
    return replace(model, setting=setting) if setting else model


def _identity(config: RunConfig, model: PlannedModel, context: ContextParams, mode: Mode) -> dict[str, Any]:
    """All that determines an answer, apart from the case, the trial and the backend."""
    fmt = formats.of_style(mode.style, model.format_id)
    return {
        "toolgauge": version_of("toolgauge"),
        "llama.cpp": version_of("llama-cpp-python"),
        "gguf": model.gguf_sha256,
        "template": model.template_sha256,
        "mode": mode.id,
        "format": [fmt.id, fmt.version],
        "frame": asdict(fmt.frame),
        "simulator": simulate.VERSION,
        "context": {name: getattr(context, name) for name in ("n_ctx", "type_k", "type_v", "flash_attn", "swa_full")},
        "n_gpu_layers": config.load.n_gpu_layers,
        "sampling": asdict(config.sampling),
        "limits": asdict(config.limits),
        "thinking": config.thinking,
        "reasoning_effort": config.reasoning_effort,
        "forced_tokens": config.forced_tokens and mode.constrained,
    }


_BACKEND_LIBRARIES = {"llguidance": "llguidance", "gbnf": "llama-cpp-python", "outlines": "outlines_core"}


def backend_version(backend: str) -> str:
    return "" if backend == NO_BACKEND else version_of(_BACKEND_LIBRARIES[backend])


@cache
def version_of(distribution: str) -> str:
    """The installed version, or `missing`."""
    if distribution == NAME:
        return own_version()
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "missing"


def versions() -> Mapping[str, str]:
    """Of everything whose version can move a result."""
    import platform

    names = ("toolgauge", "llama-cpp-python", "llguidance", "outlines_core", "jinja2", "numpy")
    return {name: version_of(name) for name in names} | {"python": platform.python_version()}


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:32]
