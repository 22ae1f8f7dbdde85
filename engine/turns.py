"""A conversation as chat templates take it: calls with ids, results that name their call, reasoning as each reads it.

As transformers' `apply_chat_template` takes it, with what real templates demand on top: Mistral's raise without ids of
nine letters and digits, gpt-oss and Llama 3.1 take one call a turn. Past reasoning stands under `reasoning_content`
until `with_reasoning` has put it where a template looks for it. Renders nothing; see `engine.prompt`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any, Final

from engine.formats.calls import call_id
from engine.types import Message

Turn = dict[str, Any]

# A template that looks for these words in the system message says so by containing them: (sign, on, off).
_NEMOTRON_V2 = ("/no_think", "/think", "/no_think")
_LLAMA_NEMOTRON = ("detailed thinking", "detailed thinking on", "detailed thinking off")

# How templates read what the model thought in a turn: gpt-oss's, Mistral's, and those of nearly all others.
_THINKING: Final = re.compile(r"""\bmessage(?:\.|\[["']|\.get\(["'])thinking\b""")
_CHUNK: Final = re.compile(r"""\btype\b["'\])]*\s*==\s*["']thinking["']""")
_REASONING: Final = "reasoning_content"


def native_messages(messages: Sequence[Message], *, max_calls: int | None = None) -> Iterator[Turn]:
    """Arguments stay objects, which templates iterate; a turn with more than `max_calls` calls becomes several."""
    n_calls = 0
    waiting: list[tuple[str, str]] = []  # the calls of the last turn that have no result yet: name, id
    for message in divided(messages, max_calls):
        turn = spoken(message, message.content)
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


def spoken(message: Message, content: str) -> Turn:
    """A turn with its words, and with its reasoning where it has some."""
    return {"role": message.role, "content": content} | ({_REASONING: message.reasoning} if message.reasoning else {})


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
            yield replace(message, calls=calls, content="", reasoning="") if first else replace(message, calls=calls)
            for call in calls:
                result = next((turn for turn in results if turn.name == call.name), None)
                if result is not None:
                    results.remove(result)
                    yield result
        yield from results


def with_system_beside_user(turns: Sequence[Turn]) -> list[Turn]:
    """The conversation with its system message in front of the user's last words, where Mistral's library puts it."""
    system, *rest = turns
    place = max((place for place, turn in enumerate(rest) if turn["role"] == "user"), default=None)
    if place is None:
        return list(turns)
    rest[place] = rest[place] | {"content": f"{system['content']}\n\n{rest[place]['content']}"}
    return rest


def with_joined_results(turns: Sequence[Turn]) -> list[Turn]:
    """The conversation with results, and what the model said behind them, in the turn that made the calls.

    `tool_responses`, as Gemma 4's first template reads them.
    """
    joined: list[Turn] = []
    for turn in turns:
        calling = joined[-1] if joined and joined[-1].get("tool_calls") else None
        results = calling.get("tool_responses", []) if calling else []
        if calling and turn["role"] == "tool":
            joined[-1] = calling | {"tool_responses": [*results, {"name": turn["name"], "response": turn["content"]}]}
        elif calling and results and not calling["content"] and _only_says(turn):
            joined[-1] = calling | {"content": turn["content"]}
        else:
            joined.append(turn)
    return joined


def _only_says(turn: Turn) -> bool:
    return turn["role"] == "assistant" and bool(turn["content"]) and not turn.get("tool_calls")


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


def with_reasoning(turns: Sequence[Turn], template: str) -> list[Turn]:
    """The conversation with past reasoning where the template looks for it, and without where it looks nowhere.

    Whether it is then shown is the template's own affair: most do so up to the next message of the user only.
    """
    return [_reasoned(turn, template) if _REASONING in turn else turn for turn in turns]


def _reasoned(turn: Turn, template: str) -> Turn:
    bare, reasoning = {key: value for key, value in turn.items() if key != _REASONING}, turn[_REASONING]
    if _THINKING.search(template):
        if not (turn.get("tool_calls") and turn["content"]):
            return bare | {"thinking": reasoning}
        # gpt-oss's shows either of them before a call, as one message of reasoning, and refuses a turn with both
        return bare | {"content": "", "thinking": f"{reasoning}\n\n{turn['content']}"}
    if _REASONING in template:
        return turn
    if _CHUNK.search(template):
        words = [{"type": "text", "text": turn["content"]}] if turn["content"].strip() else []
        return bare | {"content": [{"type": "thinking", "thinking": reasoning}, *words]}
    return bare
