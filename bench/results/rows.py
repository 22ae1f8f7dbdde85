"""What the result file gives back: one frozen dataclass for each table. Plain values; knows no SQL.

Times are seconds, sizes bytes; `None` means "not known", never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.records import EpisodeEnd, ItemError
from engine.types import Finding


@dataclass(frozen=True, slots=True)
class Run:
    """One command's work. `finished_utc` None: it can be resumed."""

    id: int
    plan_key: str
    config: Mapping[str, Any]
    argv: tuple[str, ...]
    versions: Mapping[str, str]
    host: Mapping[str, Any]
    llama_build: str | None
    seed: int
    n_items: int  # planned
    n_samples: int  # planned latency samples
    created_utc: str
    finished_utc: str | None
    findings: tuple[Finding, ...] = ()  # known before it began, of cases and constraints; see `bench.audit`


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One GGUF with its context settings within a run.

    `findings` is where template, vocabulary and format disagree, as `engine.selfcheck` found when the model was loaded;
    empty too if it never was.
    """

    id: int
    position: int
    name: str
    quant: str
    path: str
    gguf_sha256: str
    gguf_bytes: int
    template_sha256: str
    architecture: str
    format: str  # the native format that was used; "": none is known
    context: Mapping[str, Any]
    findings: tuple[Finding, ...] = ()
    setting: str = ""  # what tells it from the same file at the run's other context settings


@dataclass(frozen=True, slots=True)
class Cell:
    """model x quant x mode x backend x context settings x suite."""

    id: int
    run_id: int
    position: int
    model: ModelRow
    mode: str
    backend: str
    backend_version: str
    suite: str
    suite_sha256: str
    n_items: int  # planned


@dataclass(frozen=True, slots=True)
class Item:
    """One case in one cell, one trial, accuracy pass. Its steps are `Store.steps(item.id)`."""

    id: int
    cell_id: int
    key: str
    case_id: str
    category: str
    trial: int
    end: EpisodeEnd
    error: ItemError | None
    format_id: str
    format_version: str
    attempt: int  # 2: tried again after a crash
    n_slots: int
    total_s: float
    extra: Mapping[str, Any]
    created_utc: str


@dataclass(frozen=True, slots=True)
class Score:
    """A verdict. Of an item's the newest counts, and if that is stale, none (`Store.verdicts`)."""

    item_id: int
    scorer: str
    scorer_version: str
    outcome: str
    stale: bool
    details: Mapping[str, Any]
    created_utc: str


@dataclass(frozen=True, slots=True)
class LatencySample:
    """One answer of the latency pass: single stream, first step of a case, after warm-up."""

    cell_id: int
    key: str
    case_id: str
    repetition: int
    drafted: bool  # asked with --draft, beside the same sample without
    warm: bool  # what it shares with others of its tools was decoded beforehand, beside the same sample without
    error: str | None
    text: str
    stop: str
    n_prompt: int
    n_cached: int
    n_tokens: int
    n_first: int | None  # of these, as in `engine.types.Generation`; None too in older files, where tokens were forced
    n_forced: int
    n_masked: int | None  # chosen under a mask; None: there is no answer, or it is of an older version
    n_drafted: int  # as in `engine.types.Generation`
    n_accepted: int
    prefill_s: float
    ttft_s: float | None
    ttfn_s: float | None
    ttfc_s: float | None
    reasoning_s: float | None  # this and the next four as in `engine.types.FirstCall`; None too in older files
    prose_s: float | None
    call_s: float | None
    mask_wait_s: float | None
    overhead_s: float | None
    decode_s: float
    mask_s: float
    host_s: float
    compile_s: float
    total_s: float
    energy_j: float | None
    created_utc: str


@dataclass(frozen=True, slots=True)
class Load:
    """One start of a worker for a model; several when a worker died."""

    id: int
    model_id: int
    load_s: float | None
    n_ctx: int | None
    n_slots: int | None
    llama_build: str | None
    error: str | None
    created_utc: str


@dataclass(frozen=True, slots=True)
class MemoryReading:
    """Bytes at a moment.

    `before` loading; `loaded`; `peak` with one answer at a time (in a run without latency pass: of everything);
    `parallel`: the peak with the accuracy pass's several answers at a time.
    `source`: `rss` or `vram` of the whole process, or one of llama.cpp's buffers on a `device`: model, kv, rs, compute,
    output. The `device` of `vram` is its scope: `process`, or all of the `device` where the driver names no process.
    `card`: the part of `vram` on one card; `device` is its number here and its name.
    """

    load_id: int
    moment: str
    source: str
    device: str
    n_bytes: int | None


@dataclass(frozen=True, slots=True)
class EnergyReading:
    """What a pass with several answers at a time drew, of all cards (`device` "") or of one, idling included."""

    load_id: int
    moment: str  # as of a memory reading
    device: str
    joules: float
    n_answers: int  # generations that were finished meanwhile, and their tokens
    n_tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Stored:
    """What the file already has of a run, by key: attempts at items, those that ended by a crash, latency samples."""

    attempts: Mapping[str, int]
    crashed: frozenset[str]
    samples: frozenset[str]
