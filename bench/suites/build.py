"""From a case as it is written, already checked line by line, to the case itself and its twin without the fault.

Checks what one line says about another: ids, tools, arguments, worlds. Knows no file; what is wrong is a `Misfit` with
the place within the case.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from bench.suites import worlds
from bench.suites.case import (
    SINGLE_STEP,
    TWIN_SUFFIX,
    Case,
    ExpectedCall,
    Fault,
    FaultKind,
    NearMiss,
    Rule,
    WorldUse,
)
from bench.suites.faults import wording
from bench.suites.match import Matcher, parse
from bench.suites.schema import CallLine, CaseLine, ExpectedLine, FaultLine, WorldLine
from engine.types import Call, Message, Tool
from grammars.errors import InvalidSchema
from grammars.schema import normalise_tool

LEAST_EPISODE_STEPS = 6
STEPS_TO_SPARE = 2


class Misfit(Exception):
    """Something in a case does not fit; `place` is the path to it."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.place, self.problem = place, problem


@dataclass(frozen=True, slots=True)
class Offer:
    """A tool as written, which is what the hash is made of, and as read."""

    raw: Mapping[str, Any]
    tool: Tool


def offer_of(place: str, raw: Mapping[str, Any]) -> Offer:
    try:
        tool = normalise_tool(raw)
    except InvalidSchema as error:
        raise Misfit(place, str(error)) from error
    return Offer(raw, Tool(tool.name, tool.description, tool.parameters, tool.written))


def cases_of(line: CaseLine, shared: Mapping[str, Offer]) -> tuple[Case, ...]:
    """The case, and behind it its twin if it asks for one. `shared`: tools that it can name."""
    case = _case(line, shared)
    if line.without_fault is None:
        return (case,)
    expected = line.expected if line.without_fault is True else line.without_fault.expected
    changes: dict[str, Any] = {"id": line.id + TWIN_SUFFIX, "expected": expected, "fault": None}
    changes |= {"without_fault": None, "near_misses": []}
    twin = _case(line.model_copy(update=changes), shared)
    return case, replace(twin, twin_of=case.id, max_steps=line.max_steps or max(twin.max_steps, case.max_steps))


def default_steps(expected: Sequence[ExpectedCall], fault: Fault | None) -> int:
    """Room for one call a step, each failure, the reply, and two steps that lead nowhere."""
    n_repeated = fault.times or 0 if fault else 0
    return max(LEAST_EPISODE_STEPS, len(expected) + n_repeated + 1 + STEPS_TO_SPARE)


def _case(line: CaseLine, shared: Mapping[str, Offer]) -> Case:
    world = _world(line.world) if line.world else None
    offers = _offers(line, shared, world)
    tools = {offer.tool.name: offer.tool for offer in offers}
    if len(tools) < len(offers):
        raise Misfit("tools", "two tools have the same name")
    expected = _expected(line.expected, tools)
    fault = _fault(line.fault, expected) if line.fault else None
    return Case(
        id=line.id,
        category=line.category,
        tools=tuple(tools.values()),
        messages=tuple(Message(m.role, m.content, _calls(m.calls), m.name) for m in line.messages),
        tool_choice=line.tool_choice,
        expected=expected,
        reply={kind: _patterns(f"expected.reply.{kind}", texts) for kind, texts in line.expected.reply.items()},
        fault=fault,
        results=tuple(
            Rule(r.name, _matchers(f"results.{i}.arguments", r.arguments), r.shown())
            for i, r in enumerate(line.results)
        ),
        max_steps=line.max_steps or (default_steps(expected, fault) if line.is_episode else SINGLE_STEP),
        content_hash=_hash(_as_written(line, offers, fault, world)),
        parallel_tool_calls=line.parallel_tool_calls,
        any_call=line.any_call,
        world=WorldUse(line.world.name, line.world.seed, line.world.state) if line.world else None,
        end_state=_matchers("expected.state", line.expected.state),
        why=line.why,
        near_misses=tuple(
            NearMiss(m.outcome, tuple(map(_calls, m.steps or ([m.calls] if m.calls else []))), m.reply)
            for m in line.near_misses
        ),
    )


def _world(line: WorldLine) -> worlds.World:
    try:
        world = worlds.get(line.name)
    except LookupError as error:
        raise Misfit("world.name", str(error)) from error
    try:
        world.begin(line.seed, line.state)
    except ValueError as error:
        raise Misfit("world.state", str(error)) from error
    return world


@cache
def _world_offers(name: str) -> Mapping[str, Offer]:
    """Read once: many cases play in one world."""
    return {tool: offer_of("world", found.definition) for tool, found in worlds.get(name).tools.items()}


def _offers(line: CaseLine, shared: Mapping[str, Offer], world: worlds.World | None) -> list[Offer]:
    own = _world_offers(world.name) if world else {}
    if line.tools is None:
        return list(own.values())
    known = {**shared, **own}  # in a world its own function answers, so that its definition counts
    offers = []
    for position, raw in enumerate(line.tools):
        place = f"tools.{position}"
        if isinstance(raw, str) and raw not in known:
            raise Misfit(place, f"the header names no tool '{raw}'" + (", nor has the world one" if world else ""))
        offers.append(known[raw] if isinstance(raw, str) else offer_of(place, raw))
    return offers


def _calls(lines: Iterable[CallLine]) -> tuple[Call, ...]:
    return tuple(Call(line.name, line.arguments) for line in lines)


def _expected(line: ExpectedLine, tools: Mapping[str, Tool]) -> tuple[ExpectedCall, ...]:
    ids = [call.id or f"call-{position}" for position, call in enumerate(line.calls, start=1)]
    if len(set(ids)) < len(ids):
        raise Misfit("expected.calls", "two calls have the same id")
    calls = []
    for call_id, (position, call) in zip(ids, enumerate(line.calls), strict=True):
        place = f"expected.calls.{position}"
        if call.name not in tools:
            raise Misfit(f"{place}.name", f"the case offers no tool '{call.name}'")
        unknown = call.arguments.keys() - tools[call.name].parameters.get("properties", {}).keys()
        if unknown:
            raise Misfit(f"{place}.arguments", f"{call.name} has no parameter '{min(unknown)}'")
        threads = {name: (ids_,) if isinstance(ids_, str) else tuple(ids_) for name, ids_ in call.threads.items()}
        _check_known(f"{place}.after", call.after, ids)
        for name, producers in threads.items():
            if name not in call.arguments:
                raise Misfit(f"{place}.threads", f"'{name}' is not among the call's arguments")
            _check_known(f"{place}.threads.{name}", producers, call.after)
        matchers = _matchers(f"{place}.arguments", call.arguments)
        calls.append(ExpectedCall(call_id, call.name, matchers, tuple(call.after), threads))
    if not _has_order(calls):
        raise Misfit("expected.calls", "the calls wait for each other in a circle")
    return tuple(calls)


def _fault(line: FaultLine, expected: Sequence[ExpectedCall]) -> Fault:
    _check_known("fault.on", [line.on], [call.id for call in expected])
    kind = FaultKind(line.kind)
    tool = next(call.name for call in expected if call.id == line.on)
    content = line.shown() if line.seed is None else wording(kind, line.seed, tool=tool, field=line.field)
    return Fault(line.on, kind, content, line.times, line.field)


def _check_known(place: str, ids: Iterable[str], known: Iterable[str]) -> None:
    missing = set(ids) - set(known)
    if missing:
        raise Misfit(place, f"'{min(missing)}' is not the id of a call that comes before")


def _matchers(place: str, raw: Mapping[str, Any]) -> Mapping[str, Matcher]:
    matchers = {}
    for name, body in raw.items():
        try:
            matchers[name] = parse(body)
        except ValueError as error:
            raise Misfit(f"{place}.{name}", str(error)) from error
    return matchers


def _patterns(place: str, texts: Sequence[str]) -> tuple[re.Pattern[str], ...]:
    try:
        return tuple(re.compile(text, re.IGNORECASE) for text in texts)
    except re.error as error:
        raise Misfit(place, f"not a regular expression ({error})") from error


def _has_order(calls: Sequence[ExpectedCall]) -> bool:
    done: set[str] = set()
    while len(done) < len(calls):
        ready = {call.id for call in calls if call.id not in done and done.issuperset(call.after)}
        if not ready:
            return False
        done |= ready
    return True


def _as_written(
    line: CaseLine, offers: Sequence[Offer], fault: Fault | None, world: worlds.World | None
) -> dict[str, Any]:
    """What determines an answer or its verdict.

    Without what only people read, and without what was added to the format later and is not used here, so that a case
    keeps its hash. What the seed of a fault draws and which version of a world answers is part of it.
    """
    unused: dict[str, Any] = dict.fromkeys(("why", "near_misses", "without_fault"), True)
    unused |= {name: True for name in ("any_call", "world") if not getattr(line, name)}
    unused |= {"parallel_tool_calls": True} if line.parallel_tool_calls else {}
    unused |= {} if line.expected.state else {"expected": {"state"}}
    unused |= {"fault": {"seed"}} if line.fault else {}
    written = line.model_dump(mode="json", exclude=unused) | {"tools": [offer.raw for offer in offers]}
    if line.fault and line.fault.seed is not None and fault:
        written["fault"]["content"] = fault.content
    if world:
        written["world"]["version"] = world.version
    return written


def _hash(value: Any) -> str:
    """Of the value, not of its spelling: white space in the file does not matter, the order of properties does."""
    return hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()
