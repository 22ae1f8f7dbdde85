"""Is a case what its author meant? Plays its ideal answer and its near misses, and says what comes out otherwise.

    for problem in problems(case): ...   # sentences for people; none: it is sound

What the reader of files can see in one line is not looked for again. Knows no file, no model and no run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.records import ItemRecord
from bench.score import Outcome, score
from bench.suites.carried import single_values, stands_in
from bench.suites.case import Case, ExpectedCall, NearMiss
from bench.suites.match import (
    Contains,
    Like,
    Matcher,
    Object,
    OneOf,
    Optional,
    Text,
    Unordered,
    describe_call,
    describe_value,
)
from bench.suites.reference import played, reference_steps
from engine.types import Call, Parsed
from grammars.validation import validator

_REPLY = Parsed(content="Done.")


def problems(case: Case) -> list[str]:
    """What is wrong with the case, in the order in which it is worth mending."""
    found = [*_impossible_values(case)]
    if not case.any_call and case.official is None:
        found += _in_ideal(case)
    for number, miss in enumerate(case.near_misses, start=1):
        found += _in_near_miss(case, number, miss)
    return found


def _in_ideal(case: Case) -> Iterator[str]:
    steps = reference_steps(case)
    if case.is_episode and len(steps) > case.max_steps:
        yield f"the ideal answer takes {len(steps)} steps, and max_steps is {case.max_steps}; allow more"
        return
    record = _played(case, steps)
    failures = list(_failures(case, record))
    yield from failures
    result = score(case, record)
    if result.outcome is not Outcome.CORRECT:
        yield (
            f"the ideal answer is judged {result.outcome}: {result.explanation};"
            " change what is expected, or the schema of the tool"
        )
        return
    if case.fault is not None and result.recovery is None:
        yield f"the fault on '{case.fault.on}' does not fire in the ideal answer; put it on a call that is made"
    if not failures:
        yield from _missing_values(case, record)
        yield from _order_matters(case, steps)


def _played(case: Case, steps: Sequence[Sequence[Call]]) -> ItemRecord:
    answers = [Parsed(calls=tuple(step)) if step else _REPLY for step in steps]
    return played(case, [*answers, *[_REPLY] * case.is_episode])


def _failures(case: Case, record: ItemRecord) -> Iterator[str]:
    """Ideal calls that get an error which neither the fault explains nor a call that is meant to react to it."""
    reacted = {producer for e in case.expected for producer in e.after}
    awaited = {e.name for e in case.expected if e.id in reacted}
    for step in record.steps:
        for call, result in zip(step.parsed.calls, step.results, strict=False):
            by_world = result.error not in ("unknown_tool", "no_result") and call.name in awaited and case.world
            if not result.ok and not result.fault and not by_world:
                failed = f"the ideal call {describe_call(call)} fails: {result.content}"
                yield f"{failed}; write its result, or change the call"


def _missing_values(case: Case, record: ItemRecord) -> Iterator[str]:
    """Texts that are to be carried over and are in no result that the model has seen by then.

    Numbers are not looked for: they may have been worked out from the results.
    """
    contents: dict[str, list[str]] = {}
    for step in record.steps:
        for result in step.results:
            contents.setdefault(result.name, []).append(result.content)
    names = {e.id: e.name for e in case.expected}
    for e in case.expected:
        for argument, producers in e.threads.items():
            texts = [text for producer in producers for text in contents.get(names[producer], [])]
            values = [value for value in _leaves(e.arguments[argument]) if isinstance(value, str)]
            if values and not any(stands_in(value, text, any_case=True) for value in values for text in texts):
                yield (
                    f"'{argument}' of '{e.id}' is to be carried over from {' and '.join(producers)},"
                    f" and its value is not in the result: {'; '.join(texts)}; put it there, or take 'threads' away"
                )


def _leaves(matcher: Matcher) -> Iterator[Any]:
    """The single values that are right."""
    match matcher:
        case Optional(inner):
            yield from _leaves(inner) if inner else ()
        case Contains(words):
            yield from (word for group in words for word in group)
        case Object(fields):
            yield from (leaf for inner in fields.values() for leaf in _leaves(inner))
        case OneOf(values) | Like(values) | Text(values) | Unordered(values):
            yield from single_values(values)


def _order_matters(case: Case, steps: Sequence[Sequence[Call]]) -> Iterator[str]:
    backwards = [tuple(reversed(step)) for step in steps]
    result = score(case, _played(case, backwards))
    if result.outcome is not Outcome.CORRECT:
        yield (
            f"with the calls of each step the other way round it is judged {result.outcome}: {result.explanation};"
            " say in 'after' which call needs which"
        )


def _in_near_miss(case: Case, number: int, miss: NearMiss) -> Iterator[str]:
    steps = [Parsed(calls=step) if step else _REPLY for step in miss.steps] or [Parsed(content=miss.reply)]
    rest = [_REPLY] * (case.is_episode and bool(miss.steps))
    record = played(case, [*steps, *rest])
    if len(record.steps) < len(steps):
        yield (
            f"near miss {number} goes on after its end: step {len(record.steps)} is the last one ({record.end});"
            " leave out what comes after it"
        )
        return
    result = score(case, record)
    if result.outcome != miss.outcome:
        why = f" ({result.explanation})" if result.explanation else ""
        yield f"near miss {number} is judged {result.outcome}, not {miss.outcome}{why}; change the one or the other"


def _impossible_values(case: Case) -> Iterator[str]:
    """Values that count as right and that the tool's own schema refuses."""
    tools = {tool.name: tool for tool in case.tools}
    for e in case.expected:
        for argument, value in _literal_values(e):
            refusal = _refusal(tools[e.name].parameters, argument, value)
            if refusal is not None:
                yield (
                    f"'{argument}' of '{e.id}' cannot be {describe_value(value)}: {refusal};"
                    " take it out, or allow it in the schema"
                )


def _literal_values(expected: ExpectedCall) -> Iterator[tuple[str, Any]]:
    for argument, matcher in expected.arguments.items():
        inner = matcher.matcher if isinstance(matcher, Optional) else matcher
        for value in inner.values if isinstance(inner, OneOf | Like) else ():
            yield argument, value


def _refusal(parameters: Mapping[str, Any], argument: str, value: Any) -> str | None:
    """Why the schema allows the argument no such value. What it says of several arguments, whole calls are held to."""
    errors = validator(parameters).descend(value, parameters.get("properties", {}).get(argument, {}))
    return min((error.message for error in errors), default=None)
