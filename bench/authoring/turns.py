"""Turns of a logged conversation, and each as a case is written: what was asked, what was done, what tools answered.

A turn is all that the assistant did between two messages of the user. Which call needed which result is no part of a
log; it is taken from values: what stands in a result and nowhere before, and then in a call, was carried over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile
from typing import Any

from bench.authoring.chat_log import Conversation, LogCall, LogMessage
from bench.suites.carried import single_values, stands_in

_LEAST_CARRIED = 3  # characters of a value that is looked for in results; a shorter one is in them by chance
_FREE_TEXT = 40  # characters from which on a text is hardly the only right one
_MOST_TEXTS = 3  # arguments named in one remark


@dataclass(frozen=True, slots=True)
class Turn:
    """`before`: the conversation up to it, the user's message last; `messages`: calls, results and the reply."""

    before: tuple[LogMessage, ...]
    messages: tuple[LogMessage, ...]


@dataclass(frozen=True, slots=True)
class _Made:
    """One call of the turn; `result` None: the log has none."""

    id: str
    step: int
    call: LogCall
    result: str | None


def turns_of(messages: Sequence[LogMessage]) -> list[Turn]:
    """In order, with every call; what the assistant only says before anybody asked is none."""
    found = []
    end = 0
    for _, run in groupby(messages, key=lambda message: message.role == "user"):
        said, start = list(run), end
        end += len(said)
        while said and said[-1].role == "system":  # belongs to the next request
            said.pop()
        has_calls = any(message.calls for message in said)
        if has_calls or (start and any(message.role == "assistant" for message in said)):
            found.append(Turn(tuple(messages[:start]), tuple(said)))
    return found


def written(turn: Turn, conversation: Conversation) -> tuple[dict[str, Any], list[str]]:
    """The case without id and tools, and what a person should look at; `ValueError`: why it cannot be one."""
    _check_asked(turn)
    before, messages = _in_order(turn.before), _in_order(turn.messages)
    made = _calls(messages)
    _check(made)
    case: dict[str, Any] = {"category": _category(made), "messages": [_message(each) for each in before]}
    if conversation.must_call:
        case["tool_choice"] = "required"
    if conversation.one_call:
        case["parallel_tool_calls"] = False
    has_results = any(each.result is not None for each in made)
    expected = [_expected(each, made, turn.before) if has_results else _expected(each, (), ()) for each in made]
    case["expected"] = {"calls": expected}
    if has_results:
        # The most particular first: a tool's entry without an argument answers calls that have it, too.
        in_order = sorted(made, key=lambda each: -len(each.call.call.arguments))
        case["results"] = [
            {"name": e.call.call.name, "arguments": _exactly(e.call.call.arguments), "content": e.result}
            for e in in_order
        ]
    return case, list(_remarks(made, expected, ends_in_result=messages[-1].role == "tool"))


def _check_asked(turn: Turn) -> None:
    if not turn.before or turn.before[-1].role != "user":
        raise ValueError("the assistant calls a tool before the user has asked for anything")
    if any(message.role == "system" for message in turn.messages):
        raise ValueError("a system message stands between request and answer, which a case cannot say")


def _in_order(messages: Sequence[LogMessage]) -> list[LogMessage]:
    """Results in the order of their calls: a case pairs them by the tool's name and by their place."""
    found: list[LogMessage] = []
    for are_results, run in groupby(messages, key=lambda message: message.role == "tool"):
        if not are_results:
            found += run
            continue
        waiting = list(found[-1].calls) if found else []
        for result in sorted(run, key=lambda each: each.answers or 0):
            if result.answers not in {call.number for call in waiting}:
                raise ValueError(f"a result of {result.name} does not stand below its call")
            first = next(call for call in waiting if call.call.name == result.name)
            if first.number != result.answers:
                missing = f"the log has no result of an earlier call of {result.name}"
                raise ValueError(f"{missing}, and a case could not say which of them was answered")
            waiting.remove(first)
            found.append(result)
    return found


def _calls(messages: Sequence[LogMessage]) -> list[_Made]:
    made: list[_Made] = []
    step = 0
    for number, message in enumerate(messages):
        if not message.calls:
            continue
        step += 1
        below = takewhile(lambda later: later.role == "tool", messages[number + 1 :])
        results = {each.answers: each.content for each in below}
        made += [
            _Made(f"call-{place}", step, call, results.get(call.number))
            for place, call in enumerate(message.calls, start=len(made) + 1)
        ]
    return made


def _check(made: Sequence[_Made]) -> None:
    missing = [each for each in made if each.result is None]
    if missing and (len(missing) < len(made) or made[-1].step > 1):
        raise ValueError(
            f"the log has no result of {missing[0].call.call.name}, so the tools cannot answer as they did"
        )
    seen: set[str] = set()
    for each in made:
        call = each.call.call
        key = json.dumps([call.name, call.arguments], sort_keys=True)
        if key in seen:
            raise ValueError(f"{call.name} was called twice with the same arguments; a case cannot ask for that")
        seen.add(key)


def _category(made: Sequence[_Made]) -> str:
    if not made:
        return "no call"
    if made[-1].step > 1:
        return "several steps"
    return "one call" if len(made) == 1 else "several calls"


def _message(message: LogMessage) -> dict[str, Any]:
    raw: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.calls:
        raw["calls"] = [{"name": each.call.name, "arguments": each.call.arguments} for each in message.calls]
    if message.role == "tool":
        raw["name"] = message.name
    return raw


def _exactly(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: [value] for name, value in arguments.items()}


def _expected(made: _Made, all_made: Sequence[_Made], before: Sequence[LogMessage]) -> dict[str, Any]:
    call = made.call.call
    raw: dict[str, Any] = {"id": made.id, "name": call.name, "arguments": _exactly(call.arguments)}
    earlier = [each for each in all_made if each.step < made.step]
    known = [text for message in before for text in (message.content, *map(_call_text, message.calls))]
    threads = {}
    for name, value in call.arguments.items():
        new = [part for part in _carriable(value) if not any(stands_in(part, text) for text in known)]
        # the last result that has it: what was passed on several times came from there
        sources = {next((e.id for e in reversed(earlier) if stands_in(part, e.result or "")), "") for part in new}
        sources -= {""}
        if sources:
            threads[name] = sorted(sources)
    if threads:
        raw["after"] = sorted({source for sources in threads.values() for source in sources})
        raw["threads"] = threads
    return raw


def _call_text(call: LogCall) -> str:
    return json.dumps(call.call.arguments, ensure_ascii=False)


def _carriable(value: Any) -> Iterator[str | int | float]:
    """Texts and numbers at any depth that are no chance find in a result."""
    for each in single_values(value):
        if isinstance(each, str | int | float) and not isinstance(each, bool) and len(str(each)) >= _LEAST_CARRIED:
            yield each


def _remarks(made: Sequence[_Made], expected: Sequence[Mapping[str, Any]], *, ends_in_result: bool) -> Iterator[str]:
    if not made:
        yield "no tool was called; is that right, or should one have been?"
    long = [
        f"{name} of {each.call.call.name}"
        for each in made
        for name, value in each.call.call.arguments.items()
        if isinstance(value, str) and len(value) >= _FREE_TEXT
    ]
    if long:
        more = f" and {len(long) - _MOST_TEXTS} more" if len(long) > _MOST_TEXTS else ""
        named = ", ".join(long[:_MOST_TEXTS]) + more
        yield f'{named}: only this very text is right; {{"contains": [...]}} would allow others'
    for each in made:
        if each.result is not None and _is_error(each.result):
            yield f"{each.call.call.name} answered with an error; should it have been called so?"
    for each, raw in zip(made, expected, strict=True):
        if each.step > 1 and "after" not in raw:
            yield (
                f"{each.call.call.name} came after results and has no value from them, so it may also come at once;"
                ' if it needs one, say so in "after"'
            )
    if ends_in_result:
        yield "the turn ends with a tool's answer; what the assistant did next is not in the log"


def _is_error(content: str) -> bool:
    start = content.lstrip().casefold()
    return start.startswith(("error", "traceback", "exception")) or '"error"' in start[:200]
