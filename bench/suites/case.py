"""What a suite and a case are: frozen values, and the way to get them by name or path.

How files are read is in `bench.suites.read`, how a written case becomes one of these in `bench.suites.build`. Knows no
model, no run and no verdict. The format: docs/suites.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from bench.suites.match import Matcher
from bench.suites.reply_pattern import ReplyPattern
from engine.types import Call, Message, Tool, ToolChoice
from grammars.errors import ToolgaugeError

FOLDER = Path(__file__).parent
HEADER_FILE = "suite.json"
"""Makes a folder a suite."""

SINGLE_STEP = 1
TWIN_SUFFIX = "~no-fault"


class SuiteError(ToolgaugeError):
    """A suite cannot be read; the message names file, line and place."""


class FaultKind(StrEnum):
    VALIDATION = "validation"
    NOT_FOUND = "not_found"
    TRANSIENT = "transient"
    TIMEOUT = "timeout"
    PERMISSION = "permission"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class ExpectedCall:
    """One call of an ideal episode. `after`: the calls whose results it needs; `threads`: argument -> producers."""

    id: str
    name: str
    arguments: Mapping[str, Matcher]
    after: tuple[str, ...] = ()
    threads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """An error injected into the expected call `on`; `times` None is for good."""

    on: str
    kind: FaultKind
    content: str
    times: int | None = None
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """What a simulated tool answers to calls whose arguments include these."""

    name: str
    arguments: Mapping[str, Matcher]
    content: str


@dataclass(frozen=True, slots=True)
class NearMiss:
    """An answer that is almost right, and the outcome that it has to get: prose, or the calls of each step."""

    outcome: str
    steps: tuple[tuple[Call, ...], ...] = ()
    reply: str = ""


@dataclass(frozen=True, slots=True)
class WorldUse:
    """A simulated world (`bench.suites.worlds`) as a case begins in it: path -> value lays over what the seed gives."""

    name: str
    seed: int
    state: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Official:
    """What another benchmark's checker needs to judge the case, as JSON values."""

    checker: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """One conversation with tools, and what counts as right."""

    id: str
    category: str
    tools: tuple[Tool, ...]
    messages: tuple[Message, ...]
    tool_choice: ToolChoice
    expected: tuple[ExpectedCall, ...]
    reply: Mapping[str, tuple[ReplyPattern, ...]]  # proxy -> patterns
    fault: Fault | None
    results: tuple[Rule, ...]
    max_steps: int
    content_hash: str
    parallel_tool_calls: bool = True  # whether one answer may make several calls
    any_call: bool = False  # any well-formed call is right; nothing is expected then
    world: WorldUse | None = None
    end_state: Mapping[str, Matcher] = field(default_factory=dict)  # path into the world -> what has to be there
    twin_of: str | None = None  # the case with a fault that this one is without its fault
    official: Official | None = None
    why: str = ""  # one sentence for people: what is right
    near_misses: tuple[NearMiss, ...] = ()

    @property
    def is_episode(self) -> bool:
        """Whether tools answer and the model goes on."""
        return self.max_steps > SINGLE_STEP or bool(self.results) or self.fault is not None or self.world is not None


@dataclass(frozen=True, slots=True)
class Suite:
    """A named, versioned set of cases."""

    name: str
    version: str
    description: str
    cases: tuple[Case, ...]
    content_hash: str
    path: Path

    @property
    def categories(self) -> tuple[str, ...]:
        """In the order of their first case."""
        return tuple(dict.fromkeys(case.category for case in self.cases))

    def case(self, case_id: str) -> Case:
        for case in self.cases:
            if case.id == case_id:
                return case
        raise SuiteError(f"suite {self.name} has no case '{case_id}'")


def bundled() -> tuple[str, ...]:
    """The names of the suites that come with toolgauge, files and folders."""
    files = (path.stem for path in FOLDER.glob("*.jsonl"))
    folders = (path.parent.name for path in FOLDER.glob(f"*/{HEADER_FILE}"))
    return tuple(sorted([*files, *folders]))


def load(name_or_path: str | Path, tools: Sequence[Mapping[str, Any]] = ()) -> Suite:
    """Read a suite: a bundled one by name, one of BFCL's as `bfcl:NAME`, any other by path.

    `tools` stand in place of the header's tools of the same names, in suites by path.
    """
    if is_bfcl(name_or_path):
        from bench.suites.bfcl.suite import load as load_bfcl

        return load_bfcl(str(name_or_path))
    from bench.suites.read import read_suite  # pydantic is loaded with it

    return read_suite(path_of(name_or_path), tools if is_own(name_or_path) else ())


def is_bfcl(name_or_path: str | Path) -> bool:
    return str(name_or_path).startswith("bfcl:")


def is_own(name_or_path: str | Path) -> bool:
    """Whether it is a person's own suite, given by path."""
    return not is_bfcl(name_or_path) and str(name_or_path) not in bundled()


def path_of(name_or_path: str | Path) -> Path:
    """Where a suite's file or folder is, whether it is there or not."""
    if str(name_or_path) not in bundled():
        return Path(name_or_path)
    file = FOLDER / f"{name_or_path}.jsonl"
    return file if file.exists() else FOLDER / name_or_path


def takes_others(tool: Tool) -> bool:
    """Whether the tool's schema may allow arguments that it does not list."""
    return tool.parameters.get("additionalProperties", True) is not False or "patternProperties" in tool.parameters


def content_text(value: Any) -> str:
    """The JSON text that a model is shown as a tool's result."""
    return json.dumps(value, ensure_ascii=False)
