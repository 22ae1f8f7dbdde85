"""An item's calls in the order in which they were made, and which of them the expectations are held against.

In an episode with an injected fault some failed calls are part of the story. Knows no verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.records import ItemRecord, ToolResult
from bench.score.arguments import Pairing, is_right, pair
from bench.suites.case import Case, Fault
from engine.types import Call, Tool

TOLERATED_FAILURES = 2
"""Calls that may fail between the fault and the recovery: with the one that succeeds they are the three of 'recovered
within three'."""


@dataclass(frozen=True, slots=True)
class Made:
    """One call a model made, and what the tool answered (None after the last step of an item)."""

    step: int
    call: Call
    result: ToolResult | None

    @property
    def failed(self) -> bool:
        return self.result is not None and not self.result.ok

    @property
    def is_faulted(self) -> bool:
        return self.result is not None and self.result.fault is not None


@dataclass(frozen=True, slots=True)
class Trace:
    """`judged` are the calls that have to fulfil the expectations; `pairing` points into it."""

    made: tuple[Made, ...]
    judged: tuple[Made, ...]
    pairing: Pairing
    faulted: Made | None  # the first call that the injected fault hit

    def paired(self, call_id: str) -> Made | None:
        index = self.pairing.pairs.get(call_id)
        return None if index is None else self.judged[index]

    def fulfilled(self, made: Made) -> str | None:
        """The expected call that this one stands for; the same call made twice stands for it once."""
        return next((call_id for call_id, index in self.pairing.pairs.items() if self.judged[index] is made), None)


def trace(case: Case, record: ItemRecord) -> Trace:
    made = tuple(
        Made(number, call, step.results[index] if index < len(step.results) else None)
        for number, step in enumerate(record.steps)
        for index, call in enumerate(step.parsed.calls)
    )
    faulted = next((m for m in made if m.is_faulted), None)
    tools = {tool.name: tool for tool in case.tools}
    judged = made if case.fault is None or faulted is None else _judged(case, case.fault, made, faulted, tools)
    pairing = pair(case.expected, [m.call for m in judged], tools, [m.step for m in judged])
    return Trace(made, judged, pairing, faulted)


def recovery_targets(case: Case) -> tuple[str, ...]:
    """The expected calls that have to succeed after the fault; none where stopping is right."""
    if case.fault is None:
        return ()
    if case.fault.times is not None:
        return (case.fault.on,)
    return tuple(call.id for call in case.expected if case.fault.on in call.after)


def _judged(
    case: Case, fault: Fault, made: Sequence[Made], faulted: Made, tools: Mapping[str, Tool]
) -> tuple[Made, ...]:
    """Without the failure itself if the call is to succeed in the end, and without the first few on the way there.

    Where no recovery is possible every call after the failure is one too many; so is every one that fails later.
    """
    recovered = _recovered_in(case, made, faulted, tools)
    n_tolerated = TOLERATED_FAILURES if recovery_targets(case) else 0
    judged = []
    for m in made:
        if m is faulted:
            if fault.times is None:
                judged.append(m)
        elif m.failed and n_tolerated and m.step > faulted.step and (recovered is None or m.step <= recovered):
            n_tolerated -= 1
        else:
            judged.append(m)
    return tuple(judged)


def _recovered_in(case: Case, made: Sequence[Made], faulted: Made, tools: Mapping[str, Tool]) -> int | None:
    """The step by which every target has succeeded; None: never."""
    last = faulted.step
    for target in (e for e in case.expected if e.id in recovery_targets(case)):
        worked = (m for m in made if not m.failed and m.step >= faulted.step and is_right(target, m.call, tools))
        first = next(worked, None)
        if first is None:
            return None
        last = max(last, first.step)
    return last
