"""What a suite and a case are, and how they are read from a file.

Inside, everything is a frozen value; pydantic checks the bytes at the edge, in `bench.suites.schema`. Whatever is wrong
is one sentence with file, line and place. Knows no model, no run and no verdict. The format: docs/suites.md.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.suites.match import Matcher, parse
from engine.types import Call, Message, Tool, ToolChoice
from grammars.errors import ToolgaugeError

if TYPE_CHECKING:
    from bench.suites.schema import CaseLine, FaultLine

FOLDER = Path(__file__).parent
SINGLE_STEP = 1
EPISODE_STEPS = 6


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
class Case:
    """One conversation with tools, and what counts as right."""

    id: str
    category: str
    tools: tuple[Tool, ...]
    messages: tuple[Message, ...]
    tool_choice: ToolChoice
    expected: tuple[ExpectedCall, ...]
    reply: Mapping[str, tuple[re.Pattern[str], ...]]  # proxy -> patterns
    fault: Fault | None
    results: tuple[Rule, ...]
    max_steps: int
    content_hash: str
    parallel_tool_calls: bool = True  # whether one answer may make several calls

    @property
    def is_episode(self) -> bool:
        return bool(self.results) or self.fault is not None


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
    """The names of the suites that come with toolgauge."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.jsonl")))


def load(name_or_path: str | Path) -> Suite:
    """Read a suite: a bundled one by name, any other by path."""
    path = FOLDER / f"{name_or_path}.jsonl" if str(name_or_path) in bundled() else Path(name_or_path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SuiteError(f"{path} is not a UTF-8 text file; a suite is a JSON Lines file") from error
    except OSError as error:
        known = ", ".join(bundled())
        raise SuiteError(
            f"cannot read suite '{name_or_path}' ({error.strerror}); give a path or one of: {known}"
        ) from error
    # not str.splitlines: JSON strings may hold U+2028 and its like
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines:
        raise SuiteError(f"{path} is empty; its first line has to be the suite's header")
    return _Reader(path).suite(lines)


def defaults(tool: Tool) -> dict[str, Any]:
    """The parameters that have a default in the tool's schema."""
    properties = tool.parameters.get("properties", {})
    return {n: s["default"] for n, s in properties.items() if isinstance(s, Mapping) and "default" in s}


def content_text(value: Any) -> str:
    """The JSON text that a model is shown as a tool's result."""
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class _Offer:
    """A tool as written, which is what the hash is made of, and as read."""

    raw: Mapping[str, Any]
    tool: Tool


class _Reader:
    """Reads one file; every error is told with the line it is on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.line = 1

    def suite(self, lines: Sequence[tuple[int, str]]) -> Suite:
        from bench.suites.schema import CaseLine, HeaderLine

        self.line = lines[0][0]
        header = self.checked(HeaderLine, self.json(lines[0][1]))
        shared = self.shared_tools(header.tools)
        cases: dict[str, Case] = {}
        for self.line, text in lines[1:]:
            case = self.case(self.checked(CaseLine, self.json(text)), shared)
            if case.id in cases:
                raise self.wrong("id", f"'{case.id}' is used twice")
            cases[case.id] = case
        if not cases:
            raise self.wrong("suite", "there is no case after the header")
        whole = _hash([header.suite, header.version, *(case.content_hash for case in cases.values())])
        return Suite(header.suite, header.version, header.description, tuple(cases.values()), whole, self.path)

    def wrong(self, place: str, problem: str) -> SuiteError:
        return SuiteError(f"{self.path}:{self.line}: {place}: {problem}")

    def json(self, text: str) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self.wrong("line", f"not a JSON document ({error})") from error

    def checked(self, model: Any, raw: Any) -> Any:
        from pydantic import ValidationError

        try:
            return model.model_validate(raw)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "line"
            raise self.wrong(place, first["msg"].removeprefix("Value error, ")) from error

    def shared_tools(self, source: str | list[dict[str, Any]] | None) -> Mapping[str, _Offer]:
        raw: Any = source or []
        if isinstance(source, str):
            path = self.path.parent / source
            try:
                raw = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise self.wrong("tools", f"cannot read {path} ({error})") from error
        if not isinstance(raw, list) or not all(isinstance(tool, dict) for tool in raw):
            raise self.wrong("tools", "has to be a list of tools")
        offers = [_Offer(tool, self.tool(f"tools.{position}", tool)) for position, tool in enumerate(raw)]
        return {offer.tool.name: offer for offer in offers}

    def offer(self, place: str, raw: str | dict[str, Any], shared: Mapping[str, _Offer]) -> _Offer:
        if not isinstance(raw, str):
            return _Offer(raw, self.tool(place, raw))
        if raw not in shared:
            raise self.wrong(place, f"the header names no tool '{raw}'")
        return shared[raw]

    def tool(self, place: str, raw: Mapping[str, Any]) -> Tool:
        from grammars.errors import InvalidSchema
        from grammars.schema import normalise_tool

        try:
            tool = normalise_tool(raw)
        except InvalidSchema as error:
            raise self.wrong(place, str(error)) from error
        return Tool(tool.name, tool.description, tool.parameters, tool.written)

    def case(self, line: CaseLine, shared: Mapping[str, _Offer]) -> Case:
        offers = [self.offer(f"tools.{position}", raw, shared) for position, raw in enumerate(line.tools)]
        tools = tuple(offer.tool for offer in offers)
        if len({tool.name for tool in tools}) < len(tools):
            raise self.wrong("tools", "two tools have the same name")
        expected = self.expected(line, {tool.name: tool for tool in tools})
        is_episode = bool(line.results) or line.fault is not None
        return Case(
            id=line.id,
            category=line.category,
            tools=tools,
            messages=tuple(
                Message(m.role, m.content, tuple(Call(c.name, c.arguments) for c in m.calls), m.name)
                for m in line.messages
            ),
            tool_choice=line.tool_choice,
            expected=expected,
            reply={kind: self.patterns(f"expected.reply.{kind}", texts) for kind, texts in line.expected.reply.items()},
            fault=self.fault(line.fault, expected) if line.fault else None,
            results=tuple(
                Rule(r.name, self.matchers(f"results.{i}.arguments", r.arguments), r.shown())
                for i, r in enumerate(line.results)
            ),
            max_steps=line.max_steps or (EPISODE_STEPS if is_episode else SINGLE_STEP),
            content_hash=_hash(_as_written(line) | {"tools": [offer.raw for offer in offers]}),
            parallel_tool_calls=line.parallel_tool_calls,
        )

    def expected(self, line: CaseLine, tools: Mapping[str, Tool]) -> tuple[ExpectedCall, ...]:
        ids = [call.id or f"call-{position}" for position, call in enumerate(line.expected.calls, start=1)]
        if len(set(ids)) < len(ids):
            raise self.wrong("expected.calls", "two calls have the same id")
        calls = []
        for call_id, (position, call) in zip(ids, enumerate(line.expected.calls), strict=True):
            place = f"expected.calls.{position}"
            if call.name not in tools:
                raise self.wrong(f"{place}.name", f"the case offers no tool '{call.name}'")
            unknown = call.arguments.keys() - tools[call.name].parameters.get("properties", {}).keys()
            if unknown:
                raise self.wrong(f"{place}.arguments", f"{call.name} has no parameter '{min(unknown)}'")
            threads = {name: (ids_,) if isinstance(ids_, str) else tuple(ids_) for name, ids_ in call.threads.items()}
            self.known(f"{place}.after", call.after, ids)
            for name, producers in threads.items():
                if name not in call.arguments:
                    raise self.wrong(f"{place}.threads", f"'{name}' is not among the call's arguments")
                self.known(f"{place}.threads.{name}", producers, call.after)
            matchers = self.matchers(f"{place}.arguments", call.arguments)
            calls.append(ExpectedCall(call_id, call.name, matchers, tuple(call.after), threads))
        if not _has_order(calls):
            raise self.wrong("expected.calls", "the calls wait for each other in a circle")
        return tuple(calls)

    def fault(self, line: FaultLine, expected: Sequence[ExpectedCall]) -> Fault:
        self.known("fault.on", [line.on], [call.id for call in expected])
        return Fault(line.on, FaultKind(line.kind), line.shown(), line.times, line.field)

    def known(self, place: str, ids: Iterable[str], known: Iterable[str]) -> None:
        missing = set(ids) - set(known)
        if missing:
            raise self.wrong(place, f"'{min(missing)}' is not the id of a call that comes before")

    def matchers(self, place: str, raw: Mapping[str, Any]) -> Mapping[str, Matcher]:
        matchers = {}
        for name, body in raw.items():
            try:
                matchers[name] = parse(body)
            except ValueError as error:
                raise self.wrong(f"{place}.{name}", str(error)) from error
        return matchers

    def patterns(self, place: str, texts: Sequence[str]) -> tuple[re.Pattern[str], ...]:
        try:
            return tuple(re.compile(text, re.IGNORECASE) for text in texts)
        except re.error as error:
            raise self.wrong(place, f"not a regular expression ({error})") from error


def _has_order(calls: Sequence[ExpectedCall]) -> bool:
    done: set[str] = set()
    while len(done) < len(calls):
        ready = {call.id for call in calls if call.id not in done and done.issuperset(call.after)}
        if not ready:
            return False
        done |= ready
    return True


def _as_written(line: CaseLine) -> dict[str, Any]:
    """Without what was added to the format later and is not used, so that a case keeps its hash."""
    unused = {"parallel_tool_calls"} if line.parallel_tool_calls else set()
    return line.model_dump(mode="json", exclude=unused)


def _hash(value: Any) -> str:
    """Of the value, not of its spelling: white space in the file does not matter, the order of properties does."""
    return hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()
