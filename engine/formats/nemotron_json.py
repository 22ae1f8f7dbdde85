"""The `nemotron_json` format: a JSON list of calls between two markers (Nemotron Nano v2, Llama-3.1-Nemotron).

    <TOOLCALL>[{"name": "N", "arguments": {...}}, ...]</TOOLCALL>

A list counts when its closing marker is written. The markers are plain text in most vocabularies.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from engine.constraint.protocol import ConstraintSpec
from engine.formats.blocks import (
    Block,
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
from engine.formats.calls import call_from, call_nodes, write_call
from engine.formats.lists import list_node, names_first, read_list, write_list
from engine.formats.protocol import Closing, Signature
from engine.formats.reasoning import Frame
from engine.formats.strict import Broken, skip
from engine.types import Call, Fragment, Parsed, Tool
from engine.watch import BufferWatcher
from grammars.nodes import Marker, Seq

OPEN: Final = "<TOOLCALL>"
CLOSE: Final = "</TOOLCALL>"
_CLOSE = re.compile(re.escape(CLOSE))
_EITHER = re.compile("|".join(map(re.escape, (OPEN, CLOSE))))


class NemotronJsonFormat:
    """Implements `engine.formats.protocol.ToolFormat`."""

    id = "nemotron_json"
    version = "3"
    title = "Nemotron Nano v2, Llama-3.1-Nemotron (the latter not checked)"
    markers: tuple[str, ...] = (OPEN, CLOSE)
    stop_texts: tuple[str, ...] = ("<SPECIAL_12>",)  # ends a turn of Nemotron Nano v2
    frame = Frame(calls=(f"{OPEN}[",))
    signature = Signature(all_of=(OPEN,))
    closing = Closing()
    max_calls: int | None = None
    limits: tuple[str, ...] = ()

    def write(self, calls: Sequence[Call], tools: Sequence[Tool]) -> str:
        return OPEN + write_list([write_call(call, tools) for call in calls]) + CLOSE if calls else ""

    def parse(self, text: str, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> Parsed:
        return parse_blocks(text, self.frame, _blocks, _strays, reasoning_opened=reasoning_opened)

    def constraint(self, tools: Sequence[Tool], *, required: bool, several: bool = True) -> ConstraintSpec:
        check_tools(tools)
        root = Seq((Marker(OPEN), list_node(call_nodes(tools), several=several), Marker(CLOSE)))
        return ConstraintSpec(root, triggers=() if required else (OPEN,))

    def watcher(self, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> BufferWatcher:
        return watch_blocks(self.frame, _blocks, closing=">", reasoning_opened=reasoning_opened)


def _blocks(text: str, start: int) -> Iterator[Block]:
    return each_block(text, start, OPEN, _block)


def _block(text: str, start: int) -> Block:
    body = start + len(OPEN)
    match read_list(text, body, call_from):
        case Broken(reason, unfinished=True):
            return failed(text, start, len(text), reason, is_open=True, is_named=names_first(text, body))
        case Broken(reason):
            return failed_until(text, start, body, reason, _EITHER, CLOSE)
        case Block() as block:
            after = skip(text, block.end)
            if text.startswith(CLOSE, after):
                return Block(start, after + len(CLOSE), block.calls, block.fragments)
            if ends_inside(text, after, CLOSE):
                return failed(text, start, len(text), f"{CLOSE} is missing", is_open=True, is_named=bool(block.calls))
            return failed_until(text, start, block.end, f"{CLOSE} is missing after the list", _EITHER, CLOSE)


def _strays(text: str, start: int, end: int) -> Iterable[Fragment]:
    yield from stray_calls(text, start, end, call_from, f"a call without {OPEN}")
    yield from stray_markers(text, start, end, _CLOSE, OPEN)
