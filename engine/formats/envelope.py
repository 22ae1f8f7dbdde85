"""The `json` format: the JSON envelope that the json.* modes ask every model for, whatever its native format.

    {"calls": [{"name": "N", "arguments": {...}}, ...], "reply": "..."}

Read strictly: the whole answer, after optional reasoning, is this one object. Either key may be left out, not both.
Repairing a fence or prose around it is for the scorer, who names each repair. A model asked for the envelope still
reasons in its own marks and still writes what it writes around any plain text (gpt-oss: messages with headers), so the
format is made with the frame of the model's native one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from engine.constraint.protocol import ConstraintSpec
from engine.errors import ConstraintError
from engine.formats.calls import call_from, call_nodes, write_call, writes_name
from engine.formats.protocol import Closing, Signature
from engine.formats.reasoning import THINK, Frame, split_reasoning
from engine.formats.strict import WHITE_SPACE, Broken, Value, members, read
from engine.types import Call, Fragment, Parsed, Tool
from engine.watch import BufferWatcher
from grammars.nodes import AnyJsonObject, Choice, Json, Literal, Marker, Node, Repeat, Seq

_MARKER = re.compile(r"(<\|.*?\|>)")


class EnvelopeFormat:
    """Implements `engine.formats.protocol.ToolFormat`."""

    id = "json"
    version = "4"
    title = "every model, in the json.* modes"
    markers: tuple[str, ...] = ()
    stop_texts: tuple[str, ...] = ()
    signature = Signature()  # no model writes it natively: the prompt asks for it
    closing = Closing()
    max_calls: int | None = None
    limits: tuple[str, ...] = ()

    def __init__(self, frame: Frame = THINK) -> None:
        self.frame = replace(frame, calls=())  # native calls are none here

    def write(self, calls: Sequence[Call], tools: Sequence[Tool]) -> str:
        written = ", ".join(write_call(call, tools) for call in calls)
        return f'{self.frame.header}{{"calls": [{written}], "reply": ""}}'

    def parse(self, text: str, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> Parsed:
        split = split_reasoning(text, opened=reasoning_opened, frame=self.frame)
        if split.inside:  # nothing was answered
            return Parsed(reasoning=split.reasoning, open_reasoning=True)
        answer = self.frame.plain_answer(text, split.start)
        parsed = _read_answer(text[: answer.end], answer.start)
        reasoning = "\n".join(filter(None, (split.reasoning, answer.reasoning)))
        return Parsed(parsed.calls, parsed.fragments, reasoning, parsed.content, parsed.open_block)

    def constraint(self, tools: Sequence[Tool], *, required: bool, several: bool = True) -> ConstraintSpec:
        """The envelope with the tools' own schemas; the call list may be empty unless a call is required."""
        if required and not tools:
            raise ConstraintError("a call is required and there are no tools; give the case at least one")
        calls: tuple[Node, ...] = ()
        if tools:
            bounds = (1 if required else 0, None if several else 1)
            calls = (Repeat(Choice(call_nodes(tools)), Literal(", "), *bounds),)
        parts = (Literal('{"calls": ['), *calls, Literal('], "reply": '), Json({"type": "string"}), Literal("}"))
        return ConstraintSpec(self._headed(Seq(parts)))

    def syntax_constraint(self) -> ConstraintSpec:
        """Any JSON object, as servers offer it under the name of JSON mode."""
        return ConstraintSpec(self._headed(AnyJsonObject()))

    def watcher(self, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> BufferWatcher:
        return BufferWatcher(
            name_written=lambda text, start: _name_written(*self._answer(text, start)),
            find_call=lambda text, start: _find_call(*self._answer(text, start)),
            closing="}",
            reasoning_opened=reasoning_opened,
            frame=self.frame,
        )

    def _answer(self, text: str, start: int) -> tuple[str, int]:
        """The text up to where the answer ends, and where the answer begins."""
        answer = self.frame.plain_answer(text, start)
        return text[: answer.end], answer.start

    def _headed(self, answer: Node) -> Node:
        """What stands between reasoning and a new message is the decoder's to write, the header is the answer's."""
        return Seq((*_marked(self.frame.header), answer)) if self.frame.header else answer


def holds_call(answer: str) -> bool:
    """Whether a whole call stands among the `calls` of an answer, which may be cut: `parse` then reads none of them."""
    return any(
        isinstance(element.value, Value) and isinstance(call_from(element.value.value), Call)
        for member in members(answer, 0)
        if member.key == "calls"
        for element in members(answer, member.start)
    )


def _marked(text: str) -> tuple[Node, ...]:
    """A text of markers and words between them."""
    return tuple(Marker(part) if _MARKER.fullmatch(part) else Literal(part) for part in _MARKER.split(text) if part)


def _read_answer(text: str, start: int) -> Parsed:
    answer = text[start:].rstrip(WHITE_SPACE)
    if not answer.startswith("{"):
        return _unread(answer, "not a JSON object" if answer else "the answer is empty", start, content=answer)
    match read(text, start):
        case Broken(reason):
            return _unread(answer, reason, start, open_block=_is_in_call(text, start))
        case Value(value, end):
            if end < start + len(answer):
                return _unread(answer, "text after the JSON object", start)
            return _read_envelope(value, answer, start)


def _read_envelope(envelope: Mapping[str, Any], answer: str, start: int) -> Parsed:
    problem = _envelope_problem(envelope)
    if problem:
        return _unread(answer, problem, start)
    read_calls = [call_from(call) for call in envelope.get("calls", [])]
    calls = tuple(call for call in read_calls if isinstance(call, Call))
    fragments = tuple(
        Fragment(json.dumps(envelope["calls"][index], ensure_ascii=False), f"call {index + 1}: {call}", start)
        for index, call in enumerate(read_calls)
        if isinstance(call, str)
    )
    return Parsed(calls, fragments, content=envelope.get("reply", ""))


def _envelope_problem(envelope: Mapping[str, Any]) -> str:
    for key in envelope:
        if key not in ("calls", "reply"):
            return f"unexpected key {json.dumps(key)}"
    if not envelope:
        return '"calls" and "reply" are missing'
    if not isinstance(envelope.get("calls", []), list):
        return '"calls" is not a list'
    if not isinstance(envelope.get("reply", ""), str):
        return '"reply" is not a string'
    return ""


def _unread(answer: str, reason: str, start: int, *, content: str = "", open_block: bool = False) -> Parsed:
    return Parsed(fragments=(Fragment(answer, reason, start),), content=content, open_block=open_block)


def _is_in_call(text: str, start: int) -> bool:
    """Whether the text ends inside an element of `calls`, rather than before, between or after them."""
    for member in members(text, start):
        if member.key == "calls" and isinstance(member.value, Broken) and member.value.unfinished:
            return any(
                isinstance(element.value, Broken) and element.value.unfinished
                for element in members(text, member.start)
            )
    return False


def _find_call(text: str, start: int) -> int | None:
    return start if _read_answer(text, start).calls else None


def _name_written(text: str, start: int) -> bool:
    for member in members(text, start):
        if member.key == "calls":
            first = next(members(text, member.start), None)
            return first is not None and writes_name(members(text, first.start))
    return False
