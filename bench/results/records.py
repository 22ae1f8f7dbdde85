"""What one item left behind: the steps of an episode as plain values, written to and read from JSON.

The worker makes records, the store keeps them, scoring reads them. A record holds everything that a verdict needs, so
that re-scoring never loads a model. Knows no case, no score and no file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from engine.types import Call, ConstraintStats, Fragment, Generation, Parsed, StopReason, Timings


class ErrorKind(StrEnum):
    """Why an item could not be judged; each is an outcome of its own."""

    CONSTRAINT = "constraint"  # the constraint could not be built, or allowed no token
    TEMPLATE = "template"  # the chat template raised or ran out of time
    CONTEXT = "context"  # the prompt does not fit the context window
    RUNTIME = "runtime"  # llama.cpp failed or the worker died


class EpisodeEnd(StrEnum):
    """Why an item has no further step."""

    REPLY = "reply"  # the model answered without a call
    SINGLE = "single"  # the case has one step
    STEP_LIMIT = "step_limit"  # the model was still calling tools
    CUT = "cut"  # the output was cut or unreadable, so nothing could be executed
    ERROR = "error"  # see `ItemRecord.error`


@dataclass(frozen=True, slots=True)
class ItemError:
    kind: ErrorKind
    message: str
    log: tuple[str, ...] = ()  # llama.cpp's last lines, after a crash


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a simulated tool answered to one call of a step; `content` is the text the model was shown."""

    name: str
    content: str
    ok: bool
    fault: str | None = None  # the kind of the injected fault, where it fired
    error: str | None = None  # the type of the error, where `ok` is false


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One prompt and its generation. `results` belong to `parsed.calls`, one each; empty after the last step."""

    generation: Generation
    parsed: Parsed
    results: tuple[ToolResult, ...] = ()
    prompt: str = ""  # the rendered prompt, for people to read


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """One case in one cell, one trial, one pass."""

    case_id: str
    steps: tuple[StepRecord, ...]
    end: EpisodeEnd
    error: ItemError | None = None
    format_id: str = ""  # the format whose parser read the steps, and its version
    format_version: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)  # attributes of the run that no score depends on


def to_json(record: ItemRecord) -> str:
    """ASCII only: model output may hold lone surrogates, which no UTF-8 file can."""
    return json.dumps(asdict(record), separators=(",", ":"))


def from_json(text: str) -> ItemRecord:
    raw = json.loads(text)
    error = raw["error"]
    return ItemRecord(
        case_id=raw["case_id"],
        steps=tuple(_step(step) for step in raw["steps"]),
        end=EpisodeEnd(raw["end"]),
        error=ItemError(ErrorKind(error["kind"]), error["message"], tuple(error["log"])) if error else None,
        format_id=raw["format_id"],
        format_version=raw["format_version"],
        extra=raw["extra"],
    )


def _step(raw: Mapping[str, Any]) -> StepRecord:
    return StepRecord(
        generation=_generation(raw["generation"]),
        parsed=_parsed(raw["parsed"]),
        results=tuple(ToolResult(**result) for result in raw["results"]),
        prompt=raw["prompt"],
    )


def _generation(raw: Mapping[str, Any]) -> Generation:
    known = dict(raw)
    known["tokens"] = tuple(raw["tokens"])
    known["stop"] = StopReason(raw["stop"])
    known["timings"] = Timings(**raw["timings"])
    known["constraint"] = ConstraintStats(**raw["constraint"]) if raw["constraint"] else None
    return Generation(**known)


def _parsed(raw: Mapping[str, Any]) -> Parsed:
    known = dict(raw)
    known["calls"] = tuple(Call(**call) for call in raw["calls"])
    known["fragments"] = tuple(Fragment(**fragment) for fragment in raw["fragments"])
    return Parsed(**known)
