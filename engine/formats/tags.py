"""Tags and names in an answer, for the formats that look like XML and are not: how they are read, and offered.

A reader stops at the first thing that may not stand where it is, and tells an answer that is wrong from one that ends
too early. White space between tags means nothing. Knows no format.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from engine.errors import ConstraintError
from engine.formats.blocks import Block, ends_inside, failed_to_the_end, failed_until
from engine.formats.protocol import CannotCarry
from engine.formats.strict import Broken, Value, skip
from engine.formats.typed import unwritable
from engine.types import Tool
from grammars.nodes import Choice, Literal, Node, Repeat, Seq


class Stop(Exception):
    """Nothing that may stand at `position` stands there; `is_cut`: the text ends, and more of it could be right."""

    def __init__(self, reason: str, position: int, *, is_cut: bool) -> None:
        self.reason, self.position, self.is_cut = reason, position, is_cut
        super().__init__(reason)


@dataclass(slots=True)
class TagReader:
    text: str
    at: int

    def take(self, *tags: str) -> str:
        """Whichever of the tags comes next."""
        start = skip(self.text, self.at)
        for tag in tags:
            if self.text.startswith(tag, start):
                self.at = start + len(tag)
                return tag
        is_cut = any(ends_inside(self.text, start, tag) for tag in tags)
        raise Stop(f"{' or '.join(tags)} is missing", start, is_cut=is_cut)

    def name(self, pattern: re.Pattern[str], end: str) -> str:
        """A name, which ends with the text `end`."""
        match = pattern.match(self.text, self.at)
        stop = match.end() if match else self.at
        if match and self.text.startswith(end, stop):
            self.at = stop + len(end)
            return match[0]
        raise Stop(f"no name that {end} ends", stop, is_cut=ends_inside(self.text, stop, end))

    def word(self, pattern: re.Pattern[str]) -> str:
        """A name, which ends where something else begins."""
        start = skip(self.text, self.at)
        match = pattern.match(self.text, start)
        if match and match.end() < len(self.text):
            self.at = match.end()
            return match[0]
        raise Stop("no name", match.end() if match else start, is_cut=match is not None or start == len(self.text))

    def value(self, found: Value | Broken) -> Any:
        """What was found where the reader stands; goes on behind it."""
        if isinstance(found, Broken):
            raise Stop(found.reason, self.at, is_cut=found.unfinished)
        self.at = found.end
        return found.value


def collect(pairs: Iterable[tuple[str, Any]]) -> tuple[dict[str, Any], str]:
    """The arguments, and what is wrong with them although their block can be read."""
    arguments: dict[str, Any] = {}
    problem = ""
    for key, value in pairs:
        if key in arguments:
            problem = problem or f"the parameter {key} is there twice"
        arguments[key] = value
    return arguments, problem


def broken(text: str, start: int, stop: Stop, edges: re.Pattern[str], close: str, *, is_named: bool) -> Block:
    """A block that cannot be read ends with its closing tag, or where the next one begins: at the first of `edges`."""
    if stop.is_cut:
        return failed_to_the_end(text, start, stop.reason, close, is_named=is_named)
    return failed_until(text, start, stop.position, stop.reason, edges, close, is_named=is_named)


def can_write(name: str, pattern: re.Pattern[str]) -> bool:
    """Whether a name could be read back."""
    return pattern.fullmatch(name) is not None and not unwritable(name)


def writable(name: str, pattern: re.Pattern[str]) -> str:
    """A name as it is; raises `CannotCarry`."""
    if can_write(name, pattern):
        return name
    raise CannotCarry(f"the name {name!r} cannot stand between tags")


def offered(tool: Tool, pattern: re.Pattern[str]) -> str:
    """The name of a tool in a grammar; raises `ConstraintError`."""
    if can_write(tool.name, pattern):
        return tool.name
    raise ConstraintError(f"the name of the tool {tool.name!r} cannot stand between tags; rename it")


def one_of(options: Iterable[Node]) -> Node:
    """Any of them; a sequence can then be read through by what joins its neighbours."""
    found = tuple(options)
    return found[0] if len(found) == 1 else Choice(found)


def optional(node: Node, *, is_required: bool) -> Node:
    return node if is_required else Repeat(node, separator=Literal(""), minimum=0, maximum=1)


def in_a_row(*parts: Node) -> Seq:
    """One after the other, without sequences in sequences."""
    return Seq(tuple(inner for part in parts for inner in (part.parts if isinstance(part, Seq) else (part,))))
