"""Conversations out of logs of chat requests, in the shapes that OpenAI's chat completions have.

    conversation_in({"model": "m", "messages": [...], "tools": [...]})     # a request, or a line of fine-tuning data
    conversation_in({"request": {...}, "response": {"choices": [...]}})    # a request and its answer

Each result is given the call that it answers, which logs say by an id, by a name or by the order alone. Anything else
is a `ValueError` with one sentence. Knows no suite and no case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from bench.authoring.logged_answer import answer_beside
from bench.suites.json_text import parse
from bench.suites.sources.documents import definitions_in
from engine.types import Call

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_RESULT_ROLES = ("tool", "function")


@dataclass(frozen=True, slots=True)
class LogCall:
    """`number`: its place among the calls of the conversation; what a log has for an id may be empty or repeated."""

    number: int
    call: Call


@dataclass(frozen=True, slots=True)
class LogMessage:
    """`name` and `answers` are a result's: the tool, and the number of the call."""

    role: str
    content: str
    calls: tuple[LogCall, ...] = ()
    name: str = ""
    answers: int | None = None


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A call without its result. `one_each`: as many results follow the message as it has calls."""

    id: str  # as the log has it
    call: LogCall
    message: int
    one_each: bool


@dataclass(frozen=True, slots=True)
class Conversation:
    messages: tuple[LogMessage, ...]
    tools: tuple[Mapping[str, Any], ...]  # as the log has them
    must_call: bool
    one_call: bool


def conversation_in(entry: Any) -> Conversation:
    """One line of a log, already read as JSON."""
    if not isinstance(entry, Mapping):
        raise ValueError("it is no JSON object; a log has one JSON object on each line")
    body = next((entry[key] for key in ("request", "body") if isinstance(entry.get(key), Mapping)), entry)
    written = body.get("messages")
    if not isinstance(written, list) or not written:
        if "input" in body:
            raise ValueError('it has no "messages" but "input", as the Responses API writes it; that is not read')
        raise ValueError('it has no "messages"; a line is a request {"messages": [...], "tools": [...]}')
    if body.get("system"):
        raise ValueError('it has a "system" beside its messages, as Anthropic writes it; make it the first message')
    messages = tuple(_messages([*written, *answer_beside(entry, body)]))
    choice = body.get("tool_choice", body.get("function_call", "auto"))
    if choice == "none":
        raise ValueError('"tool_choice" is "none", so the model could not call')
    if isinstance(choice, Mapping):
        raise ValueError('"tool_choice" names the tool, so the model had no choice')
    one_call = body.get("parallel_tool_calls") is False
    return Conversation(messages, _tools(body), choice == "required", one_call)


def _messages(written: Sequence[Any]) -> Iterator[LogMessage]:
    waiting: list[_Waiting] = []
    n_calls = 0
    for number, raw in enumerate(written):
        try:
            if _is_result(raw):
                answered = _answered(raw, waiting)
                waiting.remove(answered)
                yield LogMessage("tool", _text(raw.get("content")), (), answered.call.call.name, answered.call.number)
                continue
            role, content, calls = _said(raw)
        except ValueError as error:
            raise ValueError(f"messages.{number}: {error}") from error
        numbered = [(id_, LogCall(place, call)) for place, (id_, call) in enumerate(calls, start=n_calls)]
        n_calls += len(calls)
        one_each = len(list(takewhile(_is_result, written[number + 1 :]))) == len(calls)
        waiting += [_Waiting(id_, call, number, one_each) for id_, call in numbered]
        yield LogMessage(role, content, tuple(call for _, call in numbered))


def _tools(body: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    written = body.get("tools") or body.get("functions") or []
    if not isinstance(written, list):
        raise ValueError('its "tools" are no list of objects')
    return tuple(definitions_in(written)) if written else ()


def _is_result(raw: Any) -> bool:
    return isinstance(raw, Mapping) and raw.get("role") in _RESULT_ROLES


def _said(raw: Any) -> tuple[str, str, list[tuple[str, Call]]]:
    """Role, text, and the calls with their ids."""
    if not isinstance(raw, Mapping):
        raise ValueError("it is no JSON object")
    role = raw.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise ValueError(f"the role {role!r} is not known; known are {', '.join((*_ROLES, *_RESULT_ROLES))}")
    content = _text(raw.get("content")) or _text(raw.get("refusal"))
    written = raw.get("tool_calls") or ([{"function": raw["function_call"]}] if raw.get("function_call") else [])
    if not isinstance(written, list):
        raise ValueError('its "tool_calls" are no list')
    if written and role != "assistant":
        raise ValueError("only the assistant calls tools")
    return _ROLES[role], content, list(map(_call, written))


def _answered(raw: Mapping[str, Any], waiting: Sequence[_Waiting]) -> _Waiting:
    """By the id, by the tool's name, and where several are left by the place among as many results as calls."""
    id_ = str(raw.get("tool_call_id") or "")
    name = raw.get("name") or raw.get("tool_name")
    found = [each for each in waiting if not id_ or each.id == id_]
    found = [each for each in found if each.message == found[-1].message]
    if id_ and not found:
        raise ValueError(f"it answers the call {id_!r}, which is not there or has its result already")
    named = [each for each in found if each.call.call.name == name]
    if not id_ and name:
        found = named
    left = named or found
    if not left or (not left[0].one_each and (len(left) > 1 or not (id_ or name))):
        raise ValueError('a result has to say in "tool_call_id" which call it answers')
    return left[0]


def _call(raw: Any) -> tuple[str, Call]:
    function = raw.get("function") if isinstance(raw, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise ValueError("a call has no function with a name")
    name, arguments = function["name"], function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = parse(arguments) if arguments.strip() else {}
        except ValueError as error:
            raise ValueError(f"the arguments of {name} are not JSON ({error})") from error
    if not isinstance(arguments, Mapping):
        raise ValueError(f"the arguments of {name} are no JSON object")
    return str(raw.get("id") or ""), Call(name, dict(arguments))


def _text(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise ValueError("its content is neither text nor a list of parts")
    texts = []
    for part in content:
        if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
            kind = part.get("type") if isinstance(part, Mapping) else part
            raise ValueError(f"its content has a part of type {kind!r}, and a case is text alone")
        texts.append(part["text"])
    return "\n".join(texts)
