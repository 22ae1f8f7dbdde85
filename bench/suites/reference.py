"""The answer that a case's author had in mind: one right value for each argument, one step after the other.

For tests of suites and scorers, for scripted runtimes, and for whoever wants the tokens of a right call. Where a case
accepts several answers this is merely the first of them. Knows no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.records import ItemRecord, StepRecord
from bench.suites.bfcl.multi_turn import is_multi_turn, reference_calls
from bench.suites.case import Case
from bench.suites.listed import Listed
from bench.suites.match import (
    ABSENT,
    Anything,
    Contains,
    Like,
    Matcher,
    Object,
    OneOf,
    Optional,
    Text,
    Unordered,
    matches,
)
from bench.suites.simulate import begin
from engine.types import Call, Generation, Parsed, StopReason

ANY_TEXT = "as you like"


def reference_steps(case: Case) -> tuple[tuple[Call, ...], ...]:
    """The calls of each step of an ideal episode; the last step, without calls, is the reply.

    A call that fails for a while is repeated. A case without episode has one step.
    """
    if is_multi_turn(case):
        return tuple(step for turn in reference_calls(case) for step in ((turn, ()) if turn else ((),)))
    if case.any_call:
        return (tuple(Call(tool.name, _anything(tool.parameters, tool.parameters)) for tool in case.tools[:1]),)
    calls = {expected.id: _call(case, expected.name, expected.arguments) for expected in case.expected}
    if not case.is_episode:
        return (tuple(calls.values()),)
    steps: list[tuple[Call, ...]] = []
    done: set[str] = set()
    n_failures = case.fault.times or 0 if case.fault else 0
    while len(done) < len(calls):
        ready = [e.id for e in case.expected if e.id not in done and done.issuperset(e.after)]
        steps.append(tuple(calls[call_id] for call_id in ready))
        done.update(ready)
        if case.fault and case.fault.on in ready:
            steps.extend([(calls[case.fault.on],)] * n_failures)
    return (*steps, ())


def played(case: Case, answers: Sequence[Parsed]) -> ItemRecord:
    """The item of a model that answers so, up to where the dialogue ends; without a word of generated text."""
    dialogue = begin(case)
    steps = []
    for parsed in answers:
        if dialogue.end is not None:
            break
        dialogue.advance(parsed)
        nothing = Generation(tokens=(), text="", stop=StopReason.EOG, n_prompt=0, n_cached=0)
        steps.append(StepRecord(nothing, parsed, dialogue.results))
    if dialogue.end is None:
        raise ValueError(f"{case.id} goes on after {len(answers)} answers")
    return ItemRecord(case.id, tuple(steps), dialogue.end)


def _call(case: Case, name: str, arguments: Mapping[str, Matcher]) -> Call:
    """Arguments in the schema's order, the way a model that follows it writes them."""
    tool = next(tool for tool in case.tools if tool.name == name)
    return Call(name, _fields(arguments, tool.parameters, tool.parameters))


def _fields(matchers: Mapping[str, Matcher], schema: Any, root: Mapping[str, Any]) -> dict[str, Any]:
    """What may be left out is, unless the schema wants it."""
    holder, _ = Listed(schema, root).of_parts("object")
    schemas, required = holder.get("properties", {}), holder.get("required", ())
    values = {}
    for key in [*(key for key in schemas if key in matchers), *(key for key in matchers if key not in schemas)]:
        matcher = matchers[key]
        if isinstance(matcher, Optional) and matcher.matcher is not None and key in required:
            matcher = matcher.matcher
        values[key] = _value(matcher, schemas.get(key, {}), root)
        if values[key] is not ABSENT:
            values[key] = _listed(values[key], matcher, schemas.get(key, {}), root)
    return {key: value for key, value in values.items() if value is not ABSENT}


def _listed(value: Any, matcher: Matcher, schema: Any, root: Mapping[str, Any]) -> Any:
    """The same in the spelling of the schema's list, if it lists all values, where the matcher takes both."""
    listed = Listed(schema, root)
    if not listed.is_all or value in listed.values:
        return value
    return next((other for other in listed.values if matches(matcher, other)), value)


def _value(matcher: Matcher, schema: Any, root: Mapping[str, Any]) -> Any:
    match matcher:
        case OneOf(values) | Like(values):
            return values[0]
        case Text(texts):
            return texts[0]
        case Contains(words):
            return " ".join(group[0] for group in words)
        case Unordered(items):
            return list(items)
        case Object(fields):
            return _fields(fields, schema, root)
        case Anything():
            return _anything(schema, root)
        case Optional():
            return ABSENT


def _anything(schema: Any, root: Mapping[str, Any]) -> Any:
    """A value of the right type; `bench.authoring.check` tells an author where that is not enough."""
    schema = next(iter(Listed(schema, root).alternatives), None)
    if not isinstance(schema, Mapping):
        return ANY_TEXT
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type", "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: _anything(properties.get(name, {}), root) for name in schema.get("required", ())}
    return {"integer": 1, "number": 1, "boolean": True, "array": [], "null": None}.get(kind, ANY_TEXT)
