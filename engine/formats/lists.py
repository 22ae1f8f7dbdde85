"""A JSON list of calls, `[{"name": ..., "arguments": {...}}, ...]`, shared by the formats that write one; bare objects.

A list counts when it is closed; then each of its elements is a call, or a fragment of its own. An empty list is no
call, and nothing is wrong with it: some models answer so where no tool is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from engine.formats.blocks import Block, CallOf, failed
from engine.formats.calls import writes_name
from engine.formats.protocol import CannotCarry
from engine.formats.strict import Broken, Value, members, read, skip
from engine.types import Call, Fragment
from grammars.nodes import Choice, Literal, Node, Repeat, Seq

_MOST_FRAGMENTS: Final = 100  # of one list; nobody reads more
_INDENT: Final = Repeat(Choice((Literal(" "), Literal("\t"))), Literal(""), 0, 20)  # no more, or a model may not stop
_SPACE: Final = Repeat(Choice((Literal(" "), Seq((Literal("\n"), _INDENT)))), Literal(""), 0, 1)


def read_list(text: str, start: int, call_of: CallOf) -> Block | Broken:
    """The list at `start`, white space allowed before it, as a block of its own."""
    start = skip(text, start)
    if start < len(text) and text[start] != "[":
        return Broken("not a JSON list")
    match read(text, start):
        case Broken() as broken:
            return broken
        case Value(list(items), end):
            found = [call_of(item) for item in items]
            calls = tuple(call for call in found if isinstance(call, Call))
            fragments = tuple(_no_calls(text, start, found)) if len(calls) < len(found) else ()
            return Block(start, end, calls, fragments)
    return Broken("not a JSON list")


def _no_calls(text: str, start: int, found: Sequence[Call | str]) -> Iterator[Fragment]:
    """The first elements of the list at `start` that are no calls, as they are written."""
    n_left = _MOST_FRAGMENTS
    for number, (element, call) in enumerate(zip(members(text, start), found, strict=False), start=1):
        if isinstance(call, str) and isinstance(element.value, Value):
            yield Fragment(text[element.start : element.value.end], f"call {number}: {call}", element.start)
            n_left -= 1
            if not n_left:
                return


def names_first(text: str, start: int) -> bool:
    """Whether the list at `start`, as far as it is written, includes the complete name of its first call."""
    first = next(members(text, start), None)
    return first is not None and writes_name(members(text, first.start))


def read_objects(text: str, start: int, position: int, call_of: CallOf) -> Iterator[Block]:
    """The objects from `position` on, with `;`, `,` or white space between them, each as a block.

    A block begins behind the one before it, the first at `start`.
    """
    while text.startswith("{", position):
        match read(text, position):
            case Broken(reason, unfinished):
                is_named = unfinished and writes_name(members(text, position))
                yield failed(text, start, len(text), reason, is_open=unfinished, is_named=is_named)
                return
            case Value(value, end):
                call = call_of(value)
                yield Block(start, end, (call,)) if isinstance(call, Call) else failed(text, start, end, call)
                start, position = end, skip(text, end)
                if text.startswith((";", ","), position):
                    position = skip(text, position + 1)


def write_list(calls: Sequence[str]) -> str:
    """The list of calls that are written already; raises `CannotCarry` where the list is nested too deeply to read."""
    text = "[" + ", ".join(calls) + "]"
    match read(text, 0):
        case Broken(reason):
            raise CannotCarry(f"a list of calls: {reason}")
    return text


def printed_list_node(calls: tuple[Node, ...], *, several: bool, minimum: int = 1) -> Node:
    """The list with white space around its elements, as where each is printed on a line of its own."""
    elements = Repeat(
        Seq((Choice(calls), _SPACE)), Seq((Literal(","), _SPACE)), minimum, maximum=None if several else 1
    )
    return Seq((Literal("["), _SPACE, elements, Literal("]")))


def list_node(calls: tuple[Node, ...], *, several: bool, minimum: int = 1) -> Node:
    """The list as the grammar has it, each element one of `calls`."""
    elements = Repeat(Choice(calls), Literal(", "), minimum, maximum=None if several else 1)
    return Seq((Literal("["), elements, Literal("]")))
