"""What a person asked for: the settings of one run, as given on the command line and kept with its results.

Plain values with defaults; nothing is looked up here, so a RunConfig can be made, printed and compared without a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from bench.modes import DEFAULT_MODES
from engine.runtime import Limits
from engine.types import Sampling
from grammars.errors import ToolgaugeError

FlashAttention = Literal["auto", "on", "off"]


@dataclass(frozen=True, slots=True)
class ContextSettings:
    """How llama.cpp loads a model. The first group can change an answer and is part of every item's identity."""

    n_ctx: int | None = None  # None: as much as the model was trained for, at most `DEFAULT_N_CTX`
    type_k: str = "f16"
    type_v: str = "f16"
    flash_attn: FlashAttention = "auto"
    n_gpu_layers: int = -1  # -1: all of them where the build can

    n_batch: int = 2048
    n_ubatch: int = 512
    n_threads: int | None = None  # None: the physical cores

    def identity(self) -> dict[str, Any]:
        """The settings that can change an answer."""
        return {name: getattr(self, name) for name in ("n_ctx", "type_k", "type_v", "flash_attn", "n_gpu_layers")}


DEFAULT_N_CTX = 8192


@dataclass(frozen=True, slots=True)
class LatencySettings:
    """The latency pass: a stratified sample of cases, single stream, repeated."""

    enabled: bool = True
    n_cases: int = 10  # for each suite, spread evenly over its categories
    repetitions: int = 3


@dataclass(frozen=True, slots=True)
class RunConfig:
    """One `toolgauge run`."""

    models: tuple[str, ...] = ()  # registry names, paths, org/repo:QUANT; empty: the bundled model
    quants: tuple[str, ...] = ()  # empty: what the models themselves say
    suites: tuple[str, ...] = ("quick",)
    modes: tuple[str, ...] = DEFAULT_MODES
    backend: str = "llguidance"
    context: ContextSettings = field(default_factory=ContextSettings)
    limits: Limits = field(default_factory=Limits)
    sampling: Sampling = field(default_factory=Sampling)  # its seed is the run's seed
    thinking: bool | None = None  # None: as the model's template has it
    trials: int = 1
    limit: int | None = None  # only the first so many cases of each suite, spread over its categories
    parallel: int = 4
    forced_tokens: bool = True
    latency: LatencySettings = field(default_factory=LatencySettings)

    def __post_init__(self) -> None:
        for name, value in (
            ("trials", self.trials),
            ("parallel", self.parallel),
            ("limit", 1 if self.limit is None else self.limit),
            ("latency cases", self.latency.n_cases),
            ("latency repetitions", self.latency.repetitions),
            ("answer tokens", self.limits.answer),
        ):
            if value < 1:
                raise ToolgaugeError(f"{name} must be 1 or more, not {value}")
        if self.trials > 1 and self.sampling.temperature == 0:
            raise ToolgaugeError("several trials of a greedy answer are all the same; give a temperature, or one trial")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> RunConfig:
        """The config that `to_json` wrote; unknown settings of another version are an error, never dropped."""
        unknown = set(raw) - {f.name for f in fields(cls)}
        if unknown:
            raise ToolgaugeError(f"this run has settings that this version does not know: {', '.join(sorted(unknown))}")
        values = dict(raw)
        for name in ("models", "quants", "suites", "modes"):
            values[name] = tuple(raw[name])
        values["context"] = ContextSettings(**raw["context"])
        values["limits"] = Limits(**raw["limits"])
        values["sampling"] = Sampling(**raw["sampling"])
        values["latency"] = LatencySettings(**raw["latency"])
        return cls(**values)
