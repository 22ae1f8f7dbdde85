"""Turns of a logged conversation, and each as a case is written: what was asked, what was done, what tools answered.

A turn is all that the assistant did between two messages of the user. Which call needed which result is no part of a
log; it is taken from values: what stands in a result and nowhere before, and then in a call, was carried over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    """In order; what the assistant says before anybody asked is none."""
    found = []
    start: int | None = None
    for number, message in enumerate(messages):
        is_answer = message.role in ("assistant", "tool")
        if start is None and message.role == "assistant" and number and messages[number - 1].role == "user":
            start = number
        if start is not None and not is_answer:
            found.append(Turn(tuple(messages[:start]), tuple(messages[start:number])))
            start = None
    if start is not None:
        found.append(Turn(tuple(messages[:start]), tuple(messages[start:])))
    return found


def written(turn: Turn, conversation: Conversation) -> tuple[dict[str, Any], list[str]]:
    """The case without id and tools, and what a person should look at; `ValueError`: why it cannot be one."""
    made = _calls(turn.messages)
    _check(made)
    case: dict[str, Any] = {"category": _category(made), "messages": [_message(each) for each in turn.before]}
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
    return case, list(_remarks(made, expected))


def _calls(messages: Sequence[LogMessage]) -> list[_Made]:
    made: list[_Made] = []
    step = 0
    for number, message in enumerate(messages):
        if not message.calls:
            continue
        step += 1
        results = []
        for later in messages[number + 1 :]:
            if later.role != "tool":
                break
            results.append(later)
        for call in message.calls:
            answer = next((each for each in results if _answers(each, call)), None)
            if answer is not None:
                results.remove(answer)
            made.append(_Made(f"call-{len(made) + 1}", step, call, answer.content if answer else None))
    return made


def _answers(result: LogMessage, call: LogCall) -> bool:
    return result.answers == call.id if result.answers else result.name == call.call.name


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


def _remarks(made: Sequence[_Made], expected: Sequence[Mapping[str, Any]]) -> Iterator[str]:
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


def _is_error(content: str) -> bool:
    start = content.lstrip().casefold()
    return start.startswith(("error", "traceback", "exception")) or '"error"' in start[:200]
