"""From a case as it is written, already checked line by line, to the case itself and its twin without the fault.

Checks what one line says about another: ids, tools, arguments, worlds. Knows no file; everything that is wrong with a
case is told at once, each `Misfit` with the place within the case.
"""

from __future__ import annotations

import hashlib
import json
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
    takes_others,
)
from bench.suites.faults import wording
from bench.suites.match import Matcher, parse
from bench.suites.reply_pattern import ReplyPattern, reply_pattern
from bench.suites.schema import CallLine, CaseLine, ExpectedLine, FaultLine, WorldLine
from bench.suites.wording import meant
from engine.types import Call, Message, Tool
from grammars.errors import InvalidSchema
from grammars.schema import normalise_tool

LEAST_EPISODE_STEPS = 6
STEPS_TO_SPARE = 2


@dataclass(frozen=True, slots=True)
class Misfit:
    """Something in a case does not fit; `place` is the path to it."""

    place: str
    problem: str


class Misfits(Exception):
    """All that does not fit."""

    def __init__(self, found: Sequence[Misfit]) -> None:
        super().__init__("; ".join(f"{each.place}: {each.problem}" for each in found))
        self.found = tuple(found)


class _Notes(list[Misfit]):
    """What was found so far; who notes something goes on with what is left."""

    def add(self, place: str, problem: object) -> None:
        self.append(Misfit(place, str(problem)))


@dataclass(frozen=True, slots=True)
class Offer:
    """A tool as written, which is what the hash is made of, and as read."""

    raw: Mapping[str, Any]
    tool: Tool


def offer_of(raw: Mapping[str, Any]) -> Offer:
    """Raises `InvalidSchema`."""
    tool = normalise_tool(raw)
    return Offer(raw, Tool(tool.name, tool.description, tool.parameters, tool.written))


def cases_of(line: CaseLine, shared: Mapping[str, Offer]) -> tuple[Case, ...]:
    """The case, and behind it its twin if it asks for one; or `Misfits`. `shared`: tools that it can name."""
    notes = _Notes()
    case = _case(line, shared, notes)
    if line.without_fault is None or notes:
        return (_sound(case, notes),)
    expected = line.expected if line.without_fault is True else line.without_fault.expected
    changes: dict[str, Any] = {"id": line.id + TWIN_SUFFIX, "category": line.category + TWIN_SUFFIX}
    changes |= {"expected": expected, "fault": None, "without_fault": None, "near_misses": []}
    of_twin = _Notes()
    twin = _case(line.model_copy(update=changes), shared, of_twin)
    twin = _sound(twin, [Misfit(f"without_fault.{each.place}", each.problem) for each in of_twin])
    return case, replace(twin, twin_of=case.id, max_steps=line.max_steps or max(twin.max_steps, case.max_steps))


def _sound(case: Case, notes: Sequence[Misfit]) -> Case:
    if notes:
        raise Misfits(notes)
    return case


def default_steps(expected: Sequence[ExpectedCall], fault: Fault | None) -> int:
    """Room for one call a step, each failure, the reply, and two steps that lead nowhere."""
    n_repeated = fault.times or 0 if fault else 0
    return max(LEAST_EPISODE_STEPS, len(expected) + n_repeated + 1 + STEPS_TO_SPARE)


def _case(line: CaseLine, shared: Mapping[str, Offer], notes: _Notes) -> Case:
    """Only of use where nothing has been noted."""
    world = _world(line.world, notes) if line.world else None
    offers = _offers(line, shared, world, notes)
    tools = {offer.tool.name: offer.tool for offer in offers}
    is_complete = not notes  # otherwise a tool may be missing only because it is wrong itself
    names = [offer.tool.name for offer in offers]
    for name in tools:
        if names.count(name) > 1:
            notes.add("tools", f"two tools have the same name '{name}'")
    expected = _expected(line.expected, tools if is_complete else None, notes)
    fault = _fault(line.fault, expected, notes) if line.fault else None
    return Case(
        id=line.id,
        category=line.category,
        tools=tuple(tools.values()),
        messages=tuple(Message(m.role, m.content, _calls(m.calls), m.name) for m in line.messages),
        tool_choice=line.tool_choice,
        expected=expected,
        reply={kind: _patterns(f"expected.reply.{kind}", texts, notes) for kind, texts in line.expected.reply.items()},
        fault=fault,
        results=tuple(
            Rule(r.name, _matchers(f"results.{i}.arguments", r.arguments, notes), r.shown())
            for i, r in enumerate(line.results)
        ),
        max_steps=line.max_steps or (default_steps(expected, fault) if line.is_episode else SINGLE_STEP),
        content_hash="" if notes else _hash(_as_written(line, offers, fault, world)),
        parallel_tool_calls=line.parallel_tool_calls,
        any_call=line.any_call,
        world=WorldUse(line.world.name, line.world.seed, line.world.state) if line.world else None,
        end_state=_matchers("expected.state", line.expected.state, notes),
        why=line.why,
        near_misses=tuple(
            NearMiss(m.outcome, tuple(map(_calls, m.steps or ([m.calls] if m.calls else []))), m.reply)
            for m in line.near_misses
        ),
    )


def _world(line: WorldLine, notes: _Notes) -> worlds.World | None:
    try:
        world = worlds.get(line.name)
    except LookupError as error:
        notes.add("world.name", error)
        return None
    try:
        world.begin(line.seed, line.state)
    except ValueError as error:
        notes.add("world.state", error)
    return world


@cache
def _world_offers(name: str) -> Mapping[str, Offer]:
    """Read once: many cases play in one world."""
    return {tool: offer_of(found.definition) for tool, found in worlds.get(name).tools.items()}


def _offers(line: CaseLine, shared: Mapping[str, Offer], world: worlds.World | None, notes: _Notes) -> list[Offer]:
    own = _world_offers(world.name) if world else {}
    if line.tools is None:
        return list(own.values())
    known = {**shared, **own}  # in a world its own function answers, so that its definition counts
    offers = []
    for position, raw in enumerate(line.tools):
        place = f"tools.{position}"
        try:
            offers.append(known[raw] if isinstance(raw, str) else offer_of(raw))
        except KeyError:
            notes.add(place, f"the header names no tool '{raw}'" + (", nor has the world one" if world else ""))
        except InvalidSchema as error:
            notes.add(place, error)
    return offers


def _calls(lines: Iterable[CallLine]) -> tuple[Call, ...]:
    return tuple(Call(line.name, line.arguments) for line in lines)


def _expected(line: ExpectedLine, tools: Mapping[str, Tool] | None, notes: _Notes) -> tuple[ExpectedCall, ...]:
    """`tools` None: not all are known, so that nothing can be said against a call's name or arguments."""
    ids = [call.id or f"call-{position}" for position, call in enumerate(line.calls, start=1)]
    if len(set(ids)) < len(ids):
        notes.add("expected.calls", "two calls have the same id")
    calls = []
    for call_id, (position, call) in zip(ids, enumerate(line.calls), strict=True):
        place = f"expected.calls.{position}"
        if tools is not None:
            _check_call(place, call, tools, notes)
        threads = {name: (ids_,) if isinstance(ids_, str) else tuple(ids_) for name, ids_ in call.threads.items()}
        _check_known(f"{place}.after", call.after, ids, notes)
        for name, producers in threads.items():
            if name not in call.arguments:
                notes.add(f"{place}.threads", f"'{name}' is not among the call's arguments")
            _check_known(f"{place}.threads.{name}", producers, call.after, notes)
        matchers = _matchers(f"{place}.arguments", call.arguments, notes)
        calls.append(ExpectedCall(call_id, call.name, matchers, tuple(call.after), threads))
    if not notes and not _has_order(calls):
        notes.add("expected.calls", "the calls wait for each other in a circle")
    return tuple(calls)


def _check_call(place: str, call: CallLine, tools: Mapping[str, Tool], notes: _Notes) -> None:
    if call.name not in tools:
        notes.add(f"{place}.name", f"the case offers no tool '{call.name}'{meant(call.name, tools)}")
        return
    known = tools[call.name].parameters.get("properties", {})
    for name in [] if takes_others(tools[call.name]) else sorted(call.arguments.keys() - known.keys()):
        notes.add(f"{place}.arguments", f"{call.name} has no parameter '{name}'{meant(name, known)}")


def _fault(line: FaultLine, expected: Sequence[ExpectedCall], notes: _Notes) -> Fault | None:
    tool = next((call.name for call in expected if call.id == line.on), None)
    if tool is None:
        _check_known("fault.on", [line.on], [call.id for call in expected], notes)
        return None
    kind = FaultKind(line.kind)
    content = line.shown() if line.seed is None else wording(kind, line.seed, tool=tool, field=line.field)
    return Fault(line.on, kind, content, line.times, line.field)


def _check_known(place: str, ids: Iterable[str], known: Iterable[str], notes: _Notes) -> None:
    missing = set(ids) - set(known)
    if missing:
        notes.add(place, f"'{min(missing)}' is not the id of a call that comes before")


def _matchers(place: str, raw: Mapping[str, Any], notes: _Notes) -> Mapping[str, Matcher]:
    matchers = {}
    for name, body in raw.items():
        try:
            matchers[name] = parse(body)
        except ValueError as error:
            notes.add(f"{place}.{name}", error)
    return matchers


def _patterns(place: str, texts: Sequence[str], notes: _Notes) -> tuple[ReplyPattern, ...]:
    patterns = []
    for text in texts:
        try:
            patterns.append(reply_pattern(text))
        except ValueError as error:
            notes.add(place, error)
    return tuple(patterns)


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
