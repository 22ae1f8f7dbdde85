r"""The `hermes` format: a JSON object between `<tool_call>` markers (Qwen2.5, Qwen3, Hermes, the bundled model).

    <tool_call>
    {"name": "N", "arguments": {...}}
    </tool_call>

Several calls are joined by a line break. Read strictly: a block counts as a call only if it is closed and holds exactly
one object with a name and an object of arguments. Knows no tokens; the markers are texts here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.constraint.protocol import ConstraintSpec
from engine.errors import ConstraintError
from engine.formats.calls import call_from, call_nodes, write_call, writes_name
from engine.formats.protocol import Signature
from engine.formats.reasoning import THINK, split_reasoning
from engine.formats.strict import Broken, Value, members, read, skip
from engine.types import Call, Fragment, Parsed, Tool
from engine.watch import BufferWatcher
from grammars.nodes import Choice, Literal, Marker, Repeat, Seq

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_MARKER = re.compile(f"{OPEN}|{CLOSE}")


@dataclass(frozen=True, slots=True)
class _Block:
    """What lies between an opening marker and where its block ends."""

    start: int
    end: int
    call: Call | None = None
    problem: str = ""
    is_open: bool = False  # the text ends inside it


class HermesFormat:
    """Implements `engine.formats.protocol.ToolFormat`."""

    id = "hermes"
    version = "1"
    title = "Qwen2.5, Qwen3, Hermes, the bundled model"
    markers: tuple[str, ...] = (OPEN, CLOSE)
    stop_texts: tuple[str, ...] = ()
    frame = THINK
    signature = Signature(all_of=(OPEN, "arguments"), none_of=("<function=", "<arg_key>"))
    max_calls: int | None = None
    limits: tuple[str, ...] = ()

    def write(self, calls: Sequence[Call], tools: Sequence[Tool]) -> str:
        return "\n".join(f"{OPEN}\n{write_call(call, tools)}\n{CLOSE}" for call in calls)

    def parse(self, text: str, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> Parsed:
        split = split_reasoning(text, opened=reasoning_opened, frame=self.frame)
        calls: list[Call] = []
        fragments: list[Fragment] = []
        prose: list[str] = []
        position, is_open = split.start, False
        for block in _blocks(text, split.start):
            prose.append(text[position : block.start])
            fragments += _stray(text, position, block.start)
            if block.call:
                calls.append(block.call)
            else:
                fragments.append(Fragment(text[block.start : block.end], block.problem, block.start))
            position, is_open = block.end, block.is_open
        prose.append(text[position:])
        fragments += _stray(text, position, len(text))
        return Parsed(tuple(calls), tuple(fragments), split.reasoning, "".join(prose).strip(), is_open)

    def constraint(self, tools: Sequence[Tool], *, required: bool, several: bool = True) -> ConstraintSpec:
        """Free until `<tool_call>`, or from the first token if a call is required."""
        if not tools:
            raise ConstraintError("a native call cannot be constrained without tools; give the case at least one")
        block = Seq((Marker(OPEN), Literal("\n"), Choice(call_nodes(tools)), Literal("\n"), Marker(CLOSE)))
        root = Repeat(block, separator=Literal("\n"), maximum=None if several else 1)
        return ConstraintSpec(root, triggers=() if required else (OPEN,))

    def watcher(self, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> BufferWatcher:
        return BufferWatcher(
            name_written=_name_written,
            call_written=lambda text, start: any(block.call for block in _blocks(text, start)),
            closing=">",
            reasoning_opened=reasoning_opened,
            frame=self.frame,
        )


def _blocks(text: str, start: int) -> Iterator[_Block]:
    """Every block from `start` on, in order. What was read as a call stays one, however the text goes on."""
    while (start := text.find(OPEN, start)) >= 0:
        block = _block(text, start)
        yield block
        start = block.end


def _block(text: str, start: int) -> _Block:
    body = start + len(OPEN)
    match read(text, body):
        case Broken(reason, unfinished=True):
            return _Block(start, len(text), problem=reason, is_open=True)
        case Broken(reason):
            return _recover(text, start, reason)
        case Value(value, end):
            after = skip(text, end)
            if not text.startswith(CLOSE, after):
                if CLOSE.startswith(text[after : after + len(CLOSE)]):
                    return _Block(start, len(text), problem=f"{CLOSE} is missing", is_open=True)
                return _recover(text, start, f"{CLOSE} is missing after the JSON object")
            call = call_from(value)
            end = after + len(CLOSE)
            return _Block(start, end, call) if isinstance(call, Call) else _Block(start, end, problem=call)


def _recover(text: str, start: int, reason: str) -> _Block:
    """A block whose JSON is broken ends at the next marker; markers inside its strings can no longer be told apart."""
    marker = _MARKER.search(text, start + len(OPEN))
    if marker is None:
        return _Block(start, len(text), problem=reason, is_open=True)
    return _Block(start, marker.end() if marker[0] == CLOSE else marker.start(), problem=reason)


def _stray(text: str, start: int, end: int) -> Iterator[Fragment]:
    """What looks like a call in the prose between blocks: a closing marker alone, or the object without markers."""
    first = skip(text, start)
    if text.startswith("{", first):
        match read(text[first:end], 0):
            case Value({"name": _, "arguments": _}, size):
                yield Fragment(text[first : first + size], f"a call without {OPEN}", first)
    while (start := text.find(CLOSE, start, end)) >= 0:
        yield Fragment(CLOSE, f"{CLOSE} without {OPEN}", start)
        start += len(CLOSE)


def _name_written(text: str, start: int) -> bool:
    """Whether the first block that is a call, or can still become one, has its name."""
    for block in _blocks(text, start):
        if block.call:
            return True
        if block.is_open:
            return writes_name(members(text, block.start + len(OPEN)))
    return False
