"""An answer as prose with blocks of calls in it: how a format's reading of the blocks becomes the parsed answer.

A format yields its blocks in order; everything between them is prose, in which only what looks like a call is worth
a word. In reasoning that is never closed only calls with which the answer ends are blocks. Knows no format.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from engine.errors import ConstraintError
from engine.formats.calls import ARGUMENTS
from engine.formats.reasoning import Frame, split_reasoning
from engine.formats.strict import WHITE_SPACE, Broken, read
from engine.types import Call, Fragment, Parsed, Tool
from engine.watch import BufferWatcher
from grammars.nodes import Literal, Node, Repeat, Seq

CallOf = Callable[[Any], Call | str]  # the call that a JSON value is, or the reason why it is none
Blocks = Callable[[str, int], Iterator["Block"]]  # (text, where the answer starts) -> its blocks, in order
Strays = Callable[[str, int, int], Iterable[Fragment]]  # (text, start, end of a stretch of prose) -> what is no prose

_OBJECT_WITH_NAME = re.compile(r"\{\s*(?P<quote>[\"'])name(?P=quote)\s*:")


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of the answer that is, or tried to be, one or more calls."""

    start: int
    end: int
    calls: tuple[Call, ...] = ()
    fragments: tuple[Fragment, ...] = ()
    is_open: bool = False  # the text ends inside it
    is_named: bool = False  # the name of its first call is written


def failed(text: str, start: int, end: int, reason: str, *, is_open: bool = False, is_named: bool = False) -> Block:
    """A block that holds no call."""
    return Block(start, end, (), (Fragment(text[start:end], reason, start),), is_open, is_named)


def each_block(text: str, start: int, opening: str, read_block: Callable[[str, int], Block]) -> Iterator[Block]:
    """The blocks that begin with `opening`, in order. What was read as a call stays one, however the text goes on."""
    while (start := text.find(opening, start)) >= 0:
        block = read_block(text, start)
        yield block
        start = block.end


def failed_to_the_end(text: str, start: int, reason: str, close: str, *, is_named: bool) -> Block:
    """A block that more text could make right goes on to the end of the text, and is open unless it is closed there."""
    is_open = not text.rstrip(WHITE_SPACE).endswith(close)
    return failed(text, start, len(text), reason, is_open=is_open, is_named=is_named)


def failed_until(
    text: str, start: int, position: int, reason: str, edges: re.Pattern[str], close: str, *, is_named: bool = False
) -> Block:
    """A block that cannot be read on from `position` ends at the first of `edges`: behind it if that is `close`.

    Markers inside its strings can no longer be told apart.
    """
    edge = edges.search(text, position)
    if edge is None:
        return failed(text, start, len(text), reason, is_open=True, is_named=is_named)
    return failed(text, start, edge.end() if edge[0] == close else edge.start(), reason)


def parse_blocks(text: str, frame: Frame, blocks: Blocks, strays: Strays, *, reasoning_opened: bool) -> Parsed:
    """The whole answer: reasoning, the calls and fragments of its blocks, and the prose around them."""
    split = split_reasoning(text, opened=reasoning_opened, frame=frame)
    reasoning, start = split.reasoning, split.start
    if split.inside:
        found = calls_at_end(text, split.begin, frame, blocks)
        if found is None:
            return Parsed(reasoning=reasoning, open_reasoning=True)
        reasoning, start = text[split.begin : found].strip(), found
    calls: list[Call] = []
    fragments: list[Fragment] = []
    prose: list[str] = []
    position, is_open = start, False
    for block in blocks(text, start):
        prose.append(text[position : block.start])
        fragments += strays(text, position, block.start)
        calls += block.calls
        fragments += block.fragments
        position, is_open = block.end, block.is_open
    prose.append(text[position:])
    fragments += strays(text, position, len(text))
    return Parsed(tuple(calls), tuple(fragments), reasoning, "".join(prose).strip(), is_open)


def calls_at_end(text: str, begin: int, frame: Frame, blocks: Blocks) -> int | None:
    """Where the calls begin with which reasoning ends that begins at `begin` and is never closed; None: with none.

    What else follows a call makes it a draft; what is none before them is a mention of the format's marks.
    """
    start, end, n_calls, is_open = None, begin, 0, False
    for block in blocks(text, begin):
        begins = text.startswith(frame.calls, block.start)
        if text[end : block.start].strip() or (begins and (start is None or not n_calls)):
            start, n_calls = block.start if begins else None, 0
        n_calls += len(block.calls)
        end, is_open = block.end, block.is_open
    return start if n_calls and not is_open and not text[end:].strip() else None


def watch_blocks(
    frame: Frame, blocks: Blocks, *, closing: str, naming: str = '"', reasoning_opened: bool
) -> BufferWatcher:
    """A watcher that reads as `parse_blocks` does, but for calls in reasoning that is not closed."""
    return BufferWatcher(
        name_written=lambda text, start: _name_written(blocks(text, start)),
        find_call=lambda text, start: next((block.start for block in blocks(text, start) if block.calls), None),
        closing=closing,
        naming=naming,
        reasoning_opened=reasoning_opened,
        frame=frame,
    )


def ends_inside(text: str, position: int, marker: str) -> bool:
    """Whether the text ends at `position` or within a `marker` that begins there."""
    return len(text) - position < len(marker) and marker.startswith(text[position:])


def stray_markers(text: str, start: int, end: int, markers: re.Pattern[str], opening: str) -> Iterator[Fragment]:
    """A stretch of prose from its first marker to its last, none of which may stand outside of a block."""
    found = list(markers.finditer(text, start, end))
    if found:
        first, stop = found[0], found[-1].end()
        yield Fragment(text[first.start() : stop], f"{first[0]} without {opening}", first.start())


def stray_calls(
    text: str, start: int, end: int, call_of: CallOf, reason: str, *, key: str = ARGUMENTS
) -> Iterator[Fragment]:
    """Objects that would be calls, were they where calls stand; `key` is what the format calls the arguments.

    Behind the first that is broken nothing can be told apart: what begins there as a call does goes on to the end.
    """
    prose = text[start:end]
    position = 0
    while match := _OBJECT_WITH_NAME.search(prose, position):
        found = read(prose, match.start())
        if isinstance(found, Broken):
            if begun := _beginning_of_call(key).search(prose, match.start()):
                call = found if begun.start() == match.start() else read(prose, begun.start())
                why = f"a call that cannot be read: {call.reason}" if isinstance(call, Broken) else reason
                yield Fragment(prose[begun.start() :], why, start + begun.start())
            return
        if isinstance(call_of(found.value), Call):
            yield Fragment(prose[match.start() : found.end], reason, start + match.start())
        position = found.end


@cache
def _beginning_of_call(key: str) -> re.Pattern[str]:
    """A call up to its arguments, in JSON's quotes or in Python's."""
    return re.compile(rf"""{_OBJECT_WITH_NAME.pattern}\s*["'][^"']+["']\s*,\s*(?P=quote){key}(?P=quote)\s*:""")


def check_tools(tools: Sequence[Tool]) -> None:
    """A grammar of calls needs something to call."""
    if not tools:
        raise ConstraintError("a native call cannot be constrained without tools; give the case at least one")


def blocks_node(block: Node, separator: Node, *, several: bool) -> Node:
    """Blocks of calls with `separator`, which may be a line break, between them.

    Behind the last of several a line break may stand: some models end their turns with one (Nemotron 3), and it must
    not commit them to another call.
    """
    calls = Repeat(block, separator, maximum=None if several else 1)
    return Seq((calls, Repeat(Literal("\n"), Literal(""), 0, 1))) if several else calls


def _name_written(blocks: Iterable[Block]) -> bool:
    """Whether the first block that holds a call, or can still hold one, has its name."""
    for block in blocks:
        if block.calls:
            return True
        if block.is_open:
            return block.is_named
    return False
