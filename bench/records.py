"""What one item left behind: the steps of an episode as plain values.

The worker makes records, the store keeps them, scoring reads them. A record holds everything that a verdict needs, so
that re-scoring never loads a model. Knows no case, no score and no file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from engine.types import Generation, Parsed


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
