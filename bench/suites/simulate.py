"""The other side of an episode: simulated tools that answer, and fail, the same way every time.

    dialogue = begin(case)
    while dialogue.advance(parsed, stop): ...   # prompt with dialogue.messages and dialogue.tools, generate, parse

Nothing here is random or reads a clock; what a tool answers is written in the case or follows from its world and seed.
Knows no model and no verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from bench.records import EpisodeEnd, ItemRecord, ToolResult
from bench.suites import worlds
from bench.suites.bfcl.multi_turn import is_multi_turn
from bench.suites.case import Case, Fault, content_text
from bench.suites.defaults import defaults
from bench.suites.match import includes_arguments, matches_arguments
from engine.types import Call, Message, Parsed, StopReason, Tool

VERSION = "4"
"""Changes when a transcript could come out differently; part of an episode's identity."""


class Dialogue(Protocol):
    """One run through a case.

    `messages` and `tools` are what to prompt with next, and may change from step to step; `results` holds what the
    tools answered to the calls of the last step; `step` counts the answers taken so far.
    """

    @property
    def case(self) -> Case: ...

    @property
    def messages(self) -> Sequence[Message]: ...

    @property
    def tools(self) -> tuple[Tool, ...]: ...

    @property
    def results(self) -> tuple[ToolResult, ...]: ...

    @property
    def step(self) -> int: ...

    @property
    def end(self) -> EpisodeEnd | None: ...

    @property
    def fault_step(self) -> int | None: ...

    def advance(self, parsed: Parsed, stop: StopReason = StopReason.EOG) -> bool:
        """Take the model's answer; true if there is a next step to prompt for."""
        ...


def begin(case: Case) -> Dialogue:
    """A new run through the case."""
    if not is_multi_turn(case):
        return Episode(case)
    from bench.suites.bfcl.dialogue import MultiTurn

    return MultiTurn(case)


def offered(case: Case, record: ItemRecord) -> tuple[tuple[Tool, ...], ...]:
    """The tools that each step of the record was answered with."""
    if not is_multi_turn(case):
        return (case.tools,) * len(record.steps)
    from bench.suites.bfcl.dialogue import offered_tools

    return tuple(offered_tools(case, record))


def final_state(case: Case, record: ItemRecord) -> dict[str, Any] | None:
    """The case's world after the record's calls, as JSON values; None: it has no world."""
    if case.world is None:
        return None
    tools = Simulation(case)
    for step in record.steps:
        for call in step.parsed.calls[: len(step.results)]:  # the calls of a step that was cut were not run
            tools.run(call)
    return tools.state


class Episode:
    """A dialogue in which the case's own tools answer."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.messages: list[Message] = list(case.messages)
        self.results: tuple[ToolResult, ...] = ()
        self.step = 0
        self.end: EpisodeEnd | None = None
        self.fault_step: int | None = None
        self._tools = Simulation(case)

    @property
    def tools(self) -> tuple[Tool, ...]:
        return self.case.tools

    def advance(self, parsed: Parsed, stop: StopReason = StopReason.EOG) -> bool:
        """Take the model's answer; true if there is a next step to prompt for."""
        if self.end is not None:
            raise ValueError(f"the episode of {self.case.id} is over")
        self.step += 1
        self.results = ()
        self.end = self._end(parsed, stop)
        if self.end is not None:
            return False
        self.results = tuple(self._tools.run(call) for call in parsed.calls)
        if self.fault_step is None and any(result.fault for result in self.results):
            self.fault_step = self.step
        if self.step >= self.case.max_steps:
            self.end = EpisodeEnd.STEP_LIMIT
            return False
        self.messages.append(Message("assistant", parsed.content, parsed.calls, reasoning=parsed.reasoning))
        self.messages.extend(Message("tool", result.content, name=result.name) for result in self.results)
        return True

    def _end(self, parsed: Parsed, stop: StopReason) -> EpisodeEnd | None:
        if not self.case.is_episode:
            return EpisodeEnd.SINGLE
        if stop is not StopReason.EOG or not parsed.is_readable:
            return EpisodeEnd.CUT
        return None if parsed.calls else EpisodeEnd.REPLY


class Simulation:
    """The tools of one episode, with the memory of how often the fault has fired and what has become of the world."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self._n_fired = 0
        self._tools = {tool.name: tool for tool in case.tools}
        self._world = worlds.get(case.world.name) if case.world else None
        self._state = self._world.begin(case.world.seed, case.world.state) if self._world and case.world else None

    @property
    def state(self) -> dict[str, Any] | None:
        """The world as it is now, as JSON values."""
        return None if self._state is None else worlds.document_of(self._state)

    def run(self, call: Call) -> ToolResult:
        tool = self._tools.get(call.name)
        if tool is None:
            return _failed(call, "unknown_tool", f"there is no tool named {call.name}")
        violation = first_violation(tool.parameters, call.arguments)
        if violation is not None:
            field, message = violation
            return _failed(call, "validation", message, field=field)
        fault = self.case.fault
        if fault is not None and self._fires(fault, call, tool):
            self._n_fired += 1
            return ToolResult(call.name, fault.content, ok=False, fault=fault.kind, error=fault.kind)
        known = defaults(tool)
        for rule in self.case.results:
            if rule.name == call.name and includes_arguments(rule.arguments, call.arguments, known):
                return ToolResult(call.name, rule.content, ok=True)
        if self._world is not None and call.name in self._world.tools:
            return _shown(call, self._world.call(self._state, call))
        return _failed(call, "no_result", "there is no result for these arguments")

    def _fires(self, fault: Fault, call: Call, tool: Tool) -> bool:
        if fault.times is not None and self._n_fired >= fault.times:
            return False
        target = next(expected for expected in self.case.expected if expected.id == fault.on)
        return call.name == target.name and matches_arguments(target.arguments, call.arguments, defaults(tool))


def first_violation(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> tuple[str, str] | None:
    """The field and the message of the first violation, in a fixed order."""
    from grammars.validation import validator

    errors = sorted(validator(schema).iter_errors(arguments), key=lambda e: (list(map(str, e.path)), e.message))
    if not errors:
        return None
    path = ".".join(str(part) for part in errors[0].absolute_path)
    return path or "arguments", errors[0].message


def replays(case: Case, record: ItemRecord) -> bool:
    """Whether these parses would have led through this transcript; false makes a re-scored item stale."""
    dialogue = begin(case)
    for step in record.steps:
        if dialogue.end is not None:
            return False
        dialogue.advance(step.parsed, step.generation.stop)
        if dialogue.results != step.results:
            return False
    # an item that ended with an error may have been on its way to another step
    return record.error is not None or (bool(record.steps) and dialogue.end is record.end)


def _shown(call: Call, answer: worlds.Answer) -> ToolResult:
    if answer.fault is not None:
        return _failed(call, answer.fault.kind, answer.fault.message, field=answer.fault.field)
    return ToolResult(call.name, content_text(answer.result), ok=True)


def _failed(call: Call, kind: str, message: str, *, field: str | None = None) -> ToolResult:
    named = {"type": kind, "field": field, "message": message} if field else {"type": kind, "message": message}
    return ToolResult(call.name, content_text({"error": named}), ok=False, error=kind)
