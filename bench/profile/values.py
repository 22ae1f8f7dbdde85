"""What is asked of the measuring process, and what it answers: plain values that travel as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from engine.llama.params import ContextParams, LoadParams

FREE_BATCHED: Final = "free, batched"
FORCED_BATCHED: Final = "llguidance, batched"


@dataclass(frozen=True, slots=True)
class Job:
    """`n_tokens` of an answer, `n_prompt` of the prompt whose reading is timed; `batches`: answers at a time."""

    path: str
    load: LoadParams
    context: ContextParams
    batches: tuple[int, ...]
    n_prompt: int
    n_tokens: int
    repetitions: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Job:
        load, context = dict(data["load"]), dict(data["context"])
        load["tensor_split"] = tuple(load["tensor_split"])
        rest = {name: value for name, value in data.items() if name not in ("load", "context", "batches")}
        return cls(load=LoadParams(**load), context=ContextParams(**context), batches=tuple(data["batches"]), **rest)


@dataclass(frozen=True, slots=True)
class Rate:
    """Tokens per second of something repeated, and what one token of it cost; None: not known of this."""

    what: str
    n_slots: int
    tok_per_s: tuple[float, ...]
    mask_s: float | None = None  # of a token
    host_share: float | None = None  # of the time, outside llama.cpp
    joules: float | None = None  # of a token
    problem: str = ""  # why there are no samples

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Rate:
        return cls(**(dict(data) | {"tok_per_s": tuple(data["tok_per_s"])}))


@dataclass(frozen=True, slots=True)
class Buffer:
    """As llama.cpp reports it."""

    device: str
    kind: str
    n_bytes: int


@dataclass(frozen=True, slots=True)
class Memory:
    """What is allocated while a context for so many answers of so many tokens is open, at its peak."""

    n_slots: int
    n_ctx: int
    buffers: tuple[Buffer, ...]
    rss_bytes: int | None
    vram_bytes: int | None
    vram_scope: str | None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Memory:
        return cls(**(dict(data) | {"buffers": tuple(Buffer(**buffer) for buffer in data["buffers"])}))


@dataclass(frozen=True, slots=True)
class Profiled:
    load_s: float
    description: str  # of the model, in llama.cpp's words
    build: str
    flash_attention: bool
    n_threads: int
    workload: Mapping[str, Any]
    rates: tuple[Rate, ...] = ()
    memory: tuple[Memory, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Profiled:
        parts = {
            "rates": tuple(map(Rate.from_json, data["rates"])),
            "memory": tuple(map(Memory.from_json, data["memory"])),
        }
        return cls(**(dict(data) | parts))
