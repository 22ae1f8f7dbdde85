"""The `deepseek_v31` format: one block of calls, each a name and its arguments between markers (DeepSeek V3.1).

    <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>N<｜tool▁sep｜>{...}<｜tool▁call▁end｜><｜tool▁calls▁end｜>

A call counts when its own closing marker is written; the block stays open until the block's is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from engine.constraint.protocol import ConstraintSpec
from engine.formats.blocks import Block, check_tools, each_block, ends_inside, parse_blocks, watch_blocks
from engine.formats.named import NAME_LIMIT, NamedCall
from engine.formats.protocol import Closing, Signature
from engine.formats.reasoning import Frame
from engine.formats.strict import skip
from engine.types import Call, Fragment, Parsed, Tool
from engine.watch import BufferWatcher
from grammars.nodes import Literal, Marker, Repeat, Seq

OPEN: Final = "<｜tool▁calls▁begin｜>"
CLOSE: Final = "<｜tool▁calls▁end｜>"
CALL_OPEN: Final = "<｜tool▁call▁begin｜>"
SEPARATOR: Final = "<｜tool▁sep｜>"
CALL_CLOSE: Final = "<｜tool▁call▁end｜>"
_CALL: Final = NamedCall(CALL_OPEN, SEPARATOR, close=CALL_CLOSE, others=(OPEN, CLOSE))
_IN_BLOCK = re.compile("|".join(map(re.escape, (OPEN, CLOSE, CALL_OPEN))))


class DeepseekV31Format:
    """Implements `engine.formats.protocol.ToolFormat`."""

    id = "deepseek_v31"
    version = "3"
    title = "DeepSeek V3.1"
    markers: tuple[str, ...] = (OPEN, CALL_OPEN, SEPARATOR, CALL_CLOSE, CLOSE)
    stop_texts: tuple[str, ...] = ()
    frame = Frame(calls=(OPEN + CALL_OPEN,))
    # V3 and R1 write their arguments in a fence behind the same markers.
    signature = Signature(all_of=(CALL_OPEN, SEPARATOR), none_of=("```json",))
    closing = Closing(ends=(CLOSE, CALL_CLOSE + CLOSE))
    max_calls: int | None = None
    limits: tuple[str, ...] = (NAME_LIMIT,)

    def write(self, calls: Sequence[Call], tools: Sequence[Tool]) -> str:
        return OPEN + "".join(_CALL.write(call, tools) for call in calls) + CLOSE if calls else ""

    def parse(self, text: str, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> Parsed:
        return parse_blocks(text, self.frame, _blocks, _CALL.strays, reasoning_opened=reasoning_opened)

    def constraint(self, tools: Sequence[Tool], *, required: bool, several: bool = True) -> ConstraintSpec:
        check_tools(tools)
        calls = Repeat(_CALL.node(tools), separator=Literal(""), maximum=None if several else 1)
        return ConstraintSpec(Seq((Marker(OPEN), calls, Marker(CLOSE))), triggers=() if required else (OPEN,))

    def watcher(self, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> BufferWatcher:
        return watch_blocks(self.frame, _blocks, closing=">", naming=">", reasoning_opened=reasoning_opened)


def _blocks(text: str, start: int) -> Iterator[Block]:
    return each_block(text, start, OPEN, _block)


def _block(text: str, start: int) -> Block:
    calls: list[Call] = []
    fragments: list[Fragment] = []
    position = start + len(OPEN)
    while True:
        here = skip(text, position)
        if text.startswith(CALL_OPEN, here):
            block = _CALL.read(text, here)
            calls += block.calls
            fragments += block.fragments
            if block.is_open:
                return Block(start, len(text), tuple(calls), tuple(fragments), True, block.is_named)
            position = block.end
        elif text.startswith(CLOSE, here):
            return Block(start, here + len(CLOSE), tuple(calls), tuple(fragments))
        elif ends_inside(text, here, CALL_OPEN) or ends_inside(text, here, CLOSE):
            fragments.append(Fragment(text[start:], f"{CLOSE} is missing", start))
            return Block(start, len(text), tuple(calls), tuple(fragments), is_open=True)
        else:
            found = _IN_BLOCK.search(text, here)
            position = found.start() if found else len(text)
            if position > here:
                fragments.append(Fragment(text[here:position], "text between the calls", here))
            if not found or found[0] == OPEN:
                fragments.append(Fragment(text[start:position], f"{CLOSE} is missing", start))
                return Block(start, position, tuple(calls), tuple(fragments), is_open=not found)
