"""A conversation as chat templates take it: calls with ids, results that name their call, reasoning switched by words.

As transformers' `apply_chat_template` takes it, with what real templates demand on top: Mistral's raise without ids of
nine letters and digits, gpt-oss and Llama 3.1 take one call a turn. Knows no template; `engine.prompt` renders.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

from engine.formats.calls import call_id
from engine.types import Message

Turn = dict[str, Any]

# A template that looks for these words in the system message says so by containing them: (sign, on, off).
_NEMOTRON_V2 = ("/no_think", "/think", "/no_think")
_LLAMA_NEMOTRON = ("detailed thinking", "detailed thinking on", "detailed thinking off")


def native_messages(messages: Sequence[Message], *, max_calls: int | None = None) -> Iterator[Turn]:
    """Arguments stay objects, which templates iterate; a turn with more than `max_calls` calls becomes several."""
    n_calls = 0
    waiting: list[tuple[str, str]] = []  # the calls of the last turn that have no result yet: name, id
    for message in divided(messages, max_calls):
        turn: Turn = {"role": message.role, "content": message.content}
        if message.calls:
            waiting = [(call.name, call_id(n_calls + place)) for place, call in enumerate(message.calls)]
            n_calls += len(waiting)
            turn["tool_calls"] = [
                {"id": id_, "type": "function", "function": {"name": call.name, "arguments": dict(call.arguments)}}
                for call, (_, id_) in zip(message.calls, waiting, strict=True)
            ]
        if message.role == "tool":
            if not waiting:  # a result of nothing; the template may refuse it
                waiting, n_calls = [(message.name or "", call_id(n_calls))], n_calls + 1
            answered = next((call for call in waiting if call[0] == message.name), waiting[0])
            waiting.remove(answered)
            turn |= {"name": message.name, "tool_call_id": answered[1]}
        yield turn


def divided(messages: Sequence[Message], max_calls: int | None) -> Iterator[Message]:
    """The same conversation with at most `max_calls` calls in a turn, each followed by its results."""
    place = 0
    while place < len(messages):
        message = messages[place]
        place += 1
        if max_calls is None or len(message.calls) <= max_calls:
            yield message
            continue
        results = list(takewhile(lambda turn: turn.role == "tool", messages[place:]))
        place += len(results)
        for first in range(0, len(message.calls), max_calls):
            calls = message.calls[first : first + max_calls]
            yield replace(message, calls=calls, content="" if first else message.content)
            for call in calls:
                result = next((turn for turn in results if turn.name == call.name), None)
                if result is not None:
                    results.remove(result)
                    yield result
        yield from results


def with_thinking_words(turns: Sequence[Turn], template: str, thinking: bool | None) -> list[Turn]:
    """The conversation with reasoning switched in the system message, for templates that look for it there."""
    found = next((words for words in (_NEMOTRON_V2, _LLAMA_NEMOTRON) if words[0] in template), None)
    if thinking is None or found is None:
        return list(turns)
    word = found[1] if thinking else found[2]
    has_system = bool(turns) and turns[0]["role"] == "system"
    system = str(turns[0]["content"]) if has_system else ""
    content = f"{system}\n\n{word}" if system else word
    return [{"role": "system", "content": content}, *turns[1 if has_system else 0 :]]
