"""What a worker process and its parent say to each other through their pipe. Plain picklable values.

Errors travel as text: an exception of a library may not survive pickling, and its message is all that is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.records import ItemRecord
from bench.suites.case import Case
from engine.llama.params import ContextParams, LoadParams
from engine.runtime import Limits
from engine.types import Finding, Sampling

if TYPE_CHECKING:
    from bench.run.loading import LoadedModel


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """All that a worker needs to load a model and play every mode on it."""

    path: str
    load: LoadParams
    context: ContextParams
    template: str | None  # source of the chat template
    format_id: str | None
    thinking: bool | None
    reasoning_effort: str | None
    limits: Limits
    sampling: Sampling
    forced_tokens: bool
    draft: bool
    n_slots: int  # answers at a time in the accuracy pass
    has_latency_pass: bool
    log_path: Path
    opener: Callable[[ModelSpec, Work], LoadedModel]  # of a module: it is looked up by name in the new process


@dataclass(frozen=True, slots=True)
class ItemJob:
    key: str
    case: Case
    mode: str
    backend: str
    trial: int
    alone: bool = False  # it was in flight when a worker died, so nothing else is put at risk beside it


@dataclass(frozen=True, slots=True)
class SampleJob:
    key: str
    case: Case
    mode: str
    backend: str
    repetition: int
    drafted: bool = False
    warm: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """Sent once; samples are taken in this order, then items are played in this order."""

    items: tuple[ItemJob, ...]
    samples: tuple[SampleJob, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """As `bench.results.rows.MemoryReading`, before it belongs to a load."""

    moment: str
    source: str
    device: str
    n_bytes: int | None


@dataclass(frozen=True, slots=True)
class Energy:
    """As `bench.results.rows.EnergyReading`, before it belongs to a load."""

    moment: str
    device: str
    joules: float
    n_answers: int
    n_tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Loaded:
    """Weights and a first context are there."""

    load_s: float
    n_ctx: int
    n_slots: int
    llama_build: str


@dataclass(frozen=True, slots=True)
class Measured:
    """Memory at a moment, and the energy of what was done until then."""

    readings: tuple[Reading, ...]
    energy: tuple[Energy, ...] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """Template, vocabulary and format were held against each other."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """The model cannot be loaded, and trying again would not help."""

    message: str


@dataclass(frozen=True, slots=True)
class Began:
    """Work on this item or sample starts; if the process dies before its end, this is what it died of.

    Samples are taken one at a time. One that an unrecorded answer warms up for begins twice.
    """

    key: str


@dataclass(frozen=True, slots=True)
class ItemFinished:
    key: str
    record: ItemRecord
    n_slots: int
    total_s: float


@dataclass(frozen=True, slots=True)
class SampleFinished:
    """`values`: the columns of `bench.results.rows.LatencySample` beside cell, key and time."""

    key: str
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Done:
    """All work is done."""


Message = Loaded | LoadFailed | Measured | Checked | Began | ItemFinished | SampleFinished | Done
