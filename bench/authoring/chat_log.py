"""Conversations out of logs of chat requests, in the shapes that OpenAI's chat completions have.

    conversation_in({"model": "m", "messages": [...], "tools": [...]})     # a request, or a line of fine-tuning data
    conversation_in({"request": {...}, "response": {"choices": [...]}})    # a request and its answer

Anything else is a `ValueError` with one sentence. Knows no suite and no case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.suites.json_text import parse
from engine.types import Call

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_RESULT_ROLES = ("tool", "function")


@dataclass(frozen=True, slots=True)
class LogCall:
    """`id` as the log has it; empty in the older shape, where results name the function instead."""

    id: str
    call: Call


@dataclass(frozen=True, slots=True)
class LogMessage:
    """`name` and `answers` are a result's: the tool, and the id of the call."""

    role: str
    content: str
    calls: tuple[LogCall, ...] = ()
    name: str = ""
    answers: str = ""


@dataclass(frozen=True, slots=True)
class Conversation:
    messages: tuple[LogMessage, ...]
    tools: tuple[Mapping[str, Any], ...]  # as the log has them
    must_call: bool
    one_call: bool


def conversation_in(entry: Any) -> Conversation:
    """One line of a log, already read as JSON."""
    if not isinstance(entry, Mapping):
        raise ValueError("it is no JSON object")
    body = next((entry[key] for key in ("request", "body") if isinstance(entry.get(key), Mapping)), entry)
    written = body.get("messages")
    if not isinstance(written, list) or not written:
        if "input" in body:
            raise ValueError('it has no "messages" but "input", as the Responses API writes it; that is not read')
        raise ValueError('it has no "messages"; a line is a request {"messages": [...], "tools": [...]}')
    messages: list[LogMessage] = []
    for number, raw in enumerate([*written, *_answer(entry, body)]):
        try:
            messages.append(_message(raw, messages))
        except ValueError as error:
            raise ValueError(f"messages.{number}: {error}") from error
    choice = body.get("tool_choice", body.get("function_call", "auto"))
    if choice == "none":
        raise ValueError('"tool_choice" is "none", so the model could not call')
    if isinstance(choice, Mapping):
        raise ValueError('"tool_choice" names the tool, so the model had no choice')
    one_call = body.get("parallel_tool_calls") is False
    return Conversation(tuple(messages), _tools(body), choice == "required", one_call)


def _answer(entry: Mapping[str, Any], body: Mapping[str, Any]) -> Sequence[Any]:
    """The answer's message, where it is logged beside the request."""
    response = entry.get("response", entry)
    if isinstance(response, Mapping) and isinstance(response.get("body"), Mapping) and response is not entry:
        response = response["body"]
    choices = response.get("choices", body.get("choices")) if isinstance(response, Mapping) else None
    if not choices:
        return ()
    if not isinstance(choices, list) or not isinstance(choices[0], Mapping) or "message" not in choices[0]:
        raise ValueError('the answer\'s "choices" hold no "message"')
    return (choices[0]["message"],)


def _tools(body: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    written = body.get("tools") or body.get("functions") or []
    if not isinstance(written, list) or not all(isinstance(tool, Mapping) for tool in written):
        raise ValueError('its "tools" are no list of objects')
    return tuple(written)


def _message(raw: Any, before: Sequence[LogMessage]) -> LogMessage:
    if not isinstance(raw, Mapping):
        raise ValueError("it is no JSON object")
    role = raw.get("role")
    if role in _RESULT_ROLES:
        return _result(raw, before)
    if not isinstance(role, str) or role not in _ROLES:
        raise ValueError(f"the role {role!r} is not known; known are {', '.join((*_ROLES, *_RESULT_ROLES))}")
    content = _text(raw.get("content")) or _text(raw.get("refusal"))
    written = raw.get("tool_calls") or ([{"function": raw["function_call"]}] if raw.get("function_call") else [])
    if not isinstance(written, list):
        raise ValueError('its "tool_calls" are no list')
    if written and role != "assistant":
        raise ValueError("only the assistant calls tools")
    return LogMessage(_ROLES[role], content, tuple(map(_call, written)))


def _result(raw: Mapping[str, Any], before: Sequence[LogMessage]) -> LogMessage:
    wanted = raw.get("tool_call_id")
    calls = [call for message in before for call in message.calls]
    if wanted is not None:
        found = next((call for call in reversed(calls) if call.id == wanted), None)
        if found is None:
            raise ValueError(f"it answers the call {wanted!r}, which is not there")
        return LogMessage("tool", _text(raw.get("content")), name=found.call.name, answers=str(wanted))
    name = raw.get("name")
    if not isinstance(name, str) or name not in {call.call.name for call in calls}:
        raise ValueError('a result has to say in "tool_call_id" which call it answers')
    return LogMessage("tool", _text(raw.get("content")), name=name)


def _call(raw: Any) -> LogCall:
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
    return LogCall(str(raw.get("id") or ""), Call(name, dict(arguments)))


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
