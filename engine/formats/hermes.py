r"""The `hermes` format: a JSON object between `<tool_call>` markers (Qwen2.5, Qwen3, Hermes, the bundled model).

    <tool_call>
    {"name": "N", "arguments": {...}}
    </tool_call>

Several calls are joined by a line break, and one may end the answer. Read strictly: a block counts as a call only if it
is closed and holds exactly one object with a name and an object of arguments. Knows no tokens; the markers are texts
here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from engine.constraint.protocol import ConstraintSpec
from engine.formats.blocks import (
    Block,
    blocks_node,
    check_tools,
    each_block,
    ends_inside,
    failed,
    failed_until,
    parse_blocks,
    stray_calls,
    stray_markers,
    watch_blocks,
)
from engine.formats.calls import call_from, call_nodes, write_call, writes_name
from engine.formats.protocol import Closing, Signature
from engine.formats.reasoning import Frame
from engine.formats.strict import Broken, Value, members, read, skip
from engine.types import Call, Fragment, Parsed, Tool
from engine.watch import BufferWatcher
from grammars.nodes import Choice, Literal, Marker, Seq

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_CLOSE = re.compile(CLOSE)
_EITHER = re.compile(f"{OPEN}|{CLOSE}")


class HermesFormat:
    """Implements `engine.formats.protocol.ToolFormat`."""

    id = "hermes"
    version = "5"
    title = "Qwen2.5, Qwen3, Hermes, the bundled model"
    markers: tuple[str, ...] = (OPEN, CLOSE)
    stop_texts: tuple[str, ...] = ()
    frame = Frame(calls=(f'{OPEN}\n{{"name": ',))
    signature = Signature(all_of=(OPEN, "arguments"), none_of=("<function=", "<arg_key>", "<tool_calls>", "<invoke "))
    closing = Closing()
    max_calls: int | None = None
    limits: tuple[str, ...] = ()

    def write(self, calls: Sequence[Call], tools: Sequence[Tool]) -> str:
        return "\n".join(f"{OPEN}\n{write_call(call, tools)}\n{CLOSE}" for call in calls)

    def parse(self, text: str, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> Parsed:
        return parse_blocks(text, self.frame, _blocks, _strays, reasoning_opened=reasoning_opened)

    def constraint(self, tools: Sequence[Tool], *, required: bool, several: bool = True) -> ConstraintSpec:
        """Free until `<tool_call>`, or from the first token if a call is required."""
        check_tools(tools)
        block = Seq((Marker(OPEN), Literal("\n"), Choice(call_nodes(tools)), Literal("\n"), Marker(CLOSE)))
        root = blocks_node(block, Literal("\n"), several=several)
        return ConstraintSpec(root, triggers=() if required else (OPEN,))

    def watcher(self, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> BufferWatcher:
        return watch_blocks(self.frame, _blocks, closing=">", reasoning_opened=reasoning_opened)


def _blocks(text: str, start: int) -> Iterator[Block]:
    return each_block(text, start, OPEN, _block)


def _block(text: str, start: int) -> Block:
    body = start + len(OPEN)
    match read(text, body):
        case Broken(reason, unfinished=True):
            is_named = writes_name(members(text, body))
            return failed(text, start, len(text), reason, is_open=True, is_named=is_named)
        case Broken(reason):
            return _recovered(text, start, reason)
        case Value(value, end):
            after = skip(text, end)
            if ends_inside(text, after, CLOSE):
                is_named = writes_name(members(text, body))
                return failed(text, start, len(text), f"{CLOSE} is missing", is_open=True, is_named=is_named)
            if not text.startswith(CLOSE, after):
                return _recovered(text, start, f"{CLOSE} is missing after the JSON object")
            call = call_from(value)
            end = after + len(CLOSE)
            return Block(start, end, (call,)) if isinstance(call, Call) else failed(text, start, end, call)


def _recovered(text: str, start: int, reason: str) -> Block:
    body = start + len(OPEN)
    block = failed_until(text, start, body, reason, _EITHER, CLOSE)
    return replace(block, is_named=writes_name(members(text, body))) if block.is_open else block


def _strays(text: str, start: int, end: int) -> Iterator[Fragment]:
    yield from stray_calls(text, start, end, call_from, f"a call without {OPEN}")
    yield from stray_markers(text, start, end, _CLOSE, OPEN)
