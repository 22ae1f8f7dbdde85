"""The assistant's answer, where a log has it beside the request.

    answer_beside({"request": {...}, "response": {"choices": [{"message": {...}}]}}, body)   # [{"role": ...}]

Without its answer a conversation is a shorter one that looks whole. So an answer that is not known, was cut off or is
an error is a `ValueError` with one sentence. Knows nothing of what stands in a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.suites.json_text import parse

_KEYS = ("response", "output")
_KNOWN = '{"choices": [{"message": ...}]}, {"message": ...} or a message'
_ENDS = ("finish_reason", "stop_reason", "done_reason")
_CUT = ("length", "max_tokens", "content_filter")


def answer_beside(entry: Mapping[str, Any], body: Mapping[str, Any]) -> list[Any]:
    """The answer's message as the log has it; empty where the line is a request alone. `body`: the request."""
    if entry.get("error"):
        raise ValueError('it has an "error" in place of an answer')
    key = next((key for key in _KEYS if entry.get(key) is not None), None)
    if key is None:
        return next((found for found in map(_messages_in, (entry, body)) if found), [])
    response = _unpacked(entry[key], key)
    if isinstance(response, Mapping) and response.get("error"):
        raise ValueError(f'its "{key}" is an error')
    found = _messages_in(response) if isinstance(response, Mapping) else []
    if not found and isinstance(response, Mapping) and "role" in response:
        _check_whole(response)
        return [response]
    if not found:
        raise ValueError(f'its "{key}" is no answer that is known; known are {_KNOWN}')
    return found


def _unpacked(response: Any, key: str) -> Any:
    """Out of the text that a database made of it, and out of what a batch says of the answer."""
    if isinstance(response, str):
        try:
            response = parse(response)
        except ValueError as error:
            raise ValueError(f'its "{key}" is a text and not JSON ({error})') from error
    if isinstance(response, Mapping) and isinstance(response.get("body"), Mapping):
        return response["body"]
    return response


def _messages_in(response: Mapping[str, Any]) -> list[Any]:
    choices = response.get("choices")
    if not choices:
        if not isinstance(response.get("message"), Mapping):
            return []
        _check_whole(response)
        return [response["message"]]
    if not isinstance(choices, list) or not isinstance(choices[0], Mapping) or "message" not in choices[0]:
        raise ValueError('the answer\'s "choices" hold no "message"')
    _check_whole(choices[0])
    return [choices[0]["message"]]


def _check_whole(answer: Mapping[str, Any]) -> None:
    if answer.get("done") is False:
        raise ValueError('its answer is one piece of a stream: its "done" is false')
    for name in _ENDS:
        if answer.get(name) in _CUT:
            raise ValueError(f'its answer was cut off: its "{name}" is "{answer[name]}"')
