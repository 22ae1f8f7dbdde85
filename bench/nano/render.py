"""Conversations to training text, cut where the loss begins and ends, in the two prompt styles of `engine.prompt`.

A test holds this against the real template and the real prompt builder; it exists because training renders hundreds
of thousands of conversations. Knows no tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.nano.conversation import Conversation, Turn
from engine.prompt import ENVELOPE_RULES, TOOLS_HEADING


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text; `learned` if the model is to write it."""

    text: str
    learned: bool


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def native(conversation: Conversation) -> Iterator[Piece]:
    """The conversation as the bundled model's chat template writes it."""
    tools = "".join(f"{_dumps(tool)}\n" for tool in conversation.tools)
    block = f"<tools>\n{tools}</tools>" if tools else ""
    yield from _chat(conversation.turns, block, _native_answer, _native_results)


def enveloped(conversation: Conversation) -> Iterator[Piece]:
    """The conversation in the JSON style: tools in the system message, answers in one JSON object."""
    tools = "\n".join(_dumps(tool) for tool in conversation.tools)
    yield from _chat(conversation.turns, f"{TOOLS_HEADING}{tools}{ENVELOPE_RULES}", _json_answer, _json_results)


def _native_answer(turn: Turn) -> str:
    calls = (
        f'<tool_call>\n{{"name": "{name}", "arguments": {_dumps(arguments)}}}\n</tool_call>'
        for name, arguments in turn.calls
    )
    return "\n".join(part for part in (turn.content, *calls) if part)


def _json_answer(turn: Turn) -> str:
    calls = [{"name": name, "arguments": arguments} for name, arguments in turn.calls]
    return _dumps({"calls": calls, "reply": turn.content})


def _native_results(results: Sequence[Turn]) -> str:
    return "".join(f"\n<tool_response>\n{turn.content}\n</tool_response>" for turn in results)


def _json_results(results: Sequence[Turn]) -> str:
    return "\n" + "\n".join(f"Result of {turn.name}:\n{turn.content}" for turn in results)


def _chat(turns: Sequence[Turn], tools: str, answer: Any, results: Any) -> Iterator[Piece]:
    system = turns[0].content if turns[0].role == "system" else ""
    said = "\n\n".join(part for part in (system, tools) if part)
    if said:
        yield Piece(f"<|im_start|>system\n{said}<|im_end|>\n", False)
    pending: list[Turn] = []
    for turn in turns[1:] if turns[0].role == "system" else turns:
        if turn.role == "tool":
            pending.append(turn)
            continue
        if pending:
            yield Piece(f"<|im_start|>user{results(pending)}<|im_end|>\n", False)
            pending = []
        if turn.role == "assistant":
            yield Piece("<|im_start|>assistant\n", False)
            yield Piece(answer(turn) + "<|im_end|>", turn.learned)
            yield Piece("\n", False)
        else:
            yield Piece(f"<|im_start|>{turn.role}\n{turn.content}<|im_end|>\n", False)
    if pending:
        yield Piece(f"<|im_start|>user{results(pending)}<|im_end|>\n", False)
