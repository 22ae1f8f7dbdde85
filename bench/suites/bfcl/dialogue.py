"""A multi-turn conversation as it officially goes: the user's turns one after another, services that keep their state.

A turn lasts until the first answer without a readable call; more than twenty steps in a turn break the conversation
off. Results and errors are shown to the model as the services put them. Knows no verdict; the services are those of
`bench.suites.bfcl.simulators`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.records import EpisodeEnd, ItemRecord, ToolResult
from bench.suites.bfcl.multi_turn import MOST_STEPS, n_turns, scenario_of, tools_in, user_turn
from bench.suites.bfcl.simulators import CallValue, SimulatorDied, simulators
from bench.suites.case import Case
from engine.types import Call, Message, Parsed, StopReason, Tool


class MultiTurn:
    """One run through a conversation; see `bench.suites.simulate.Dialogue`."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.messages: list[Message] = list(case.messages)
        self.tools = tools_in(case, 0)
        self.results: tuple[ToolResult, ...] = ()
        self.step = 0
        self.end: EpisodeEnd | None = None
        self.fault_step: int | None = None  # no fault is ever injected
        self._turn = 0
        self._n_steps = 0  # of this turn
        self._made: list[CallValue] = []

    def advance(self, parsed: Parsed, stop: StopReason = StopReason.EOG) -> bool:
        """Take the model's answer; true if there is a next step to prompt for."""
        if self.end is not None:
            raise ValueError(f"the conversation of {self.case.id} is over")
        self.step += 1
        self.results = tuple(self._result(call) for call in parsed.calls)
        self.messages.append(Message("assistant", _words(parsed), parsed.calls, reasoning=parsed.reasoning))
        self.messages.extend(Message("tool", result.content, name=result.name) for result in self.results)
        if parsed.calls:
            self._n_steps += 1
            self.end = EpisodeEnd.STEP_LIMIT if self._n_steps > MOST_STEPS else None
        else:
            self._next_turn()
        if stop is StopReason.CONTEXT and self.end is None:
            self.end = EpisodeEnd.CUT  # no further prompt would fit
        return self.end is None

    def _next_turn(self) -> None:
        self._turn += 1
        self._n_steps = 0
        if self._turn == n_turns(self.case):
            self.end = EpisodeEnd.REPLY
            return
        self.messages.extend(user_turn(self.case, self._turn))
        self.tools = tools_in(self.case, self._turn)

    def _result(self, call: Call) -> ToolResult:
        value = call_value(call)
        try:
            text, failed = simulators().run(scenario_of(self.case), self._made, value)
        except SimulatorDied as error:  # by this very call: those before it have been answered
            return ToolResult(call.name, f"Error during execution: {error}", ok=False, error="died")
        self._made.append(value)
        return ToolResult(call.name, text, ok=not failed, error="failed" if failed else None)


def call_value(call: Call) -> CallValue:
    return call.name, (), dict(call.arguments)


def turns_of(record: ItemRecord) -> tuple[tuple[tuple[Call, ...], ...], ...]:
    """The calls of a conversation by turn and step; a turn that was broken off is there, turns never begun are not."""
    turns: list[list[tuple[Call, ...]]] = [[]]
    for step in record.steps:
        if step.parsed.calls:
            turns[-1].append(step.parsed.calls)
        else:
            turns.append([])
    if record.steps and not record.steps[-1].parsed.calls:
        turns.pop()  # nobody has spoken in it
    return tuple(map(tuple, turns))


def offered_tools(case: Case, record: ItemRecord) -> Iterator[tuple[Tool, ...]]:
    """The tools that each step of the record was answered with."""
    turn = 0
    for step in record.steps:
        yield tools_in(case, turn)
        turn += not step.parsed.calls


def _words(parsed: Parsed) -> str:
    """What the model said beside its calls; a call that cannot be read stays in the conversation as text."""
    broken: Sequence[str] = [fragment.text for fragment in parsed.fragments]
    return "\n".join(text for text in (parsed.content, *broken) if text)
