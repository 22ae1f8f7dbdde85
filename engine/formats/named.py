"""A call as a marker, the bare name, a marker, and the arguments as a JSON object; shared by the formats that do so.

    [TOOL_CALLS]name[ARGS]{...}
    <｜tool▁call▁begin｜>name<｜tool▁sep｜>{...}<｜tool▁call▁end｜>

The name is everything up to the next marker, taken as it is. What begins like JSON is no name: it is another format's
call, and worth a reason of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from engine.errors import ConstraintError
from engine.formats.blocks import Block, each_block, ends_inside, failed, stray_calls, stray_markers
from engine.formats.calls import call_from, write_arguments
from engine.formats.protocol import CannotCarry
from engine.formats.strict import WHITE_SPACE, Broken, Value, read, skip
from engine.types import Call, Fragment, Tool
from grammars.nodes import Choice, Json, Literal, Marker, Node, Seq

NAME_LIMIT: Final = "A tool's name can neither be empty, nor begin like JSON, nor contain a marker of the format."


@dataclass(frozen=True, slots=True)
class NamedCall:
    """The markers of one call; `others` stand around all calls of an answer; a broken call ends there too."""

    open: str
    arguments: str  # between the name and the arguments
    identity: str = ""  # between the name and an id that may follow it, which is read and dropped
    close: str = ""  # "": the call ends with its arguments
    others: tuple[str, ...] = ()
    any_marker: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        texts = filter(None, (self.open, self.arguments, self.identity, self.close, *self.others))
        object.__setattr__(self, "any_marker", re.compile("|".join(map(re.escape, texts))))

    def carries(self, name: str) -> bool:
        """Whether a call to a tool of this name can be read back."""
        return bool(name) and not _begins_like_json(name) and not self.any_marker.search(name)

    def write(self, call: Call, tools: Sequence[Tool], identity: str = "") -> str:
        """Raises `CannotCarry`."""
        if not self.carries(call.name):
            raise CannotCarry(f"{call.name!r}: {NAME_LIMIT}")
        name = call.name + (self.identity + identity if identity else "")
        return f"{self.open}{name}{self.arguments}{write_arguments(call, tools)}{self.close}"

    def node(self, tools: Sequence[Tool], identity: Node | None = None) -> Node:
        """The grammar of one call; `identity` is what may stand behind its marker."""
        for tool in tools:
            if not self.carries(tool.name):
                raise ConstraintError(f"{tool.name!r}: {NAME_LIMIT}")
        separator: Node = Marker(self.arguments)
        if identity is not None:
            separator = Choice((separator, Seq((Marker(self.identity), identity, separator))))
        named = tuple(Seq((Literal(tool.name), separator, Json(tool.parameters, tool.name))) for tool in tools)
        return Seq((Marker(self.open), Choice(named), *((Marker(self.close),) if self.close else ())))

    def blocks(self, text: str, start: int) -> Iterator[Block]:
        """Every call from `start` on, in order."""
        return each_block(text, start, self.open, self.read)

    def strays(self, text: str, start: int, end: int) -> Iterator[Fragment]:
        """What looks like a call in the prose between the blocks."""
        opening = self.others[0] if self.others else self.open
        yield from stray_calls(text, start, end, call_from, f"a call without {opening}")
        yield from stray_markers(text, start, end, self.any_marker, opening)

    def read(self, text: str, start: int) -> Block:
        """The call that begins with the marker at `start`."""
        body = start + len(self.open)
        marker = self.any_marker.search(text, body)
        name = text[body : marker.start() if marker else len(text)]
        if _begins_like_json(name) and (marker or not self._is_cut_marker(name)):
            return self._recovered(text, start, body, "JSON where a tool's name belongs")
        is_named = marker is not None and bool(name)
        if marker and marker[0] == self.identity:
            marker = self.any_marker.search(text, marker.end())
        if marker is None:
            return failed(text, start, len(text), f"{self.arguments} is missing", is_open=True, is_named=is_named)
        if marker[0] != self.arguments:
            return self._recovered(text, start, marker.start(), f"{self.arguments} is missing")
        if not name:
            return self._recovered(text, start, marker.end(), "the tool's name is missing")
        return self._read_arguments(text, start, marker.end(), name)

    def _read_arguments(self, text: str, start: int, position: int, name: str) -> Block:
        match read(text, position):
            case Broken(reason, unfinished=True):
                return failed(text, start, len(text), reason, is_open=True, is_named=True)
            case Broken(reason):
                return self._recovered(text, start, position, reason)
            case Value(arguments, end):
                after = skip(text, end) if self.close else end
                if not text.startswith(self.close, after):
                    if ends_inside(text, after, self.close):
                        return failed(text, start, len(text), f"{self.close} is missing", is_open=True, is_named=True)
                    return self._recovered(text, start, end, f"{self.close} is missing after the arguments")
                end = after + len(self.close)
                if not isinstance(arguments, dict):
                    return failed(text, start, end, "the arguments are not an object")
                return Block(start, end, (Call(name, arguments),))

    def _recovered(self, text: str, start: int, position: int, reason: str) -> Block:
        """A broken call ends with its closing marker, or where a marker begins that cannot stand in a call."""
        inner = (self.arguments, self.identity)
        marker = next((found for found in self.any_marker.finditer(text, position) if found[0] not in inner), None)
        if marker is None:  # a format without a closing marker cannot tell broken from cut but by its JSON
            return failed(text, start, len(text), reason, is_open=bool(self.close))
        return failed(text, start, marker.end() if marker[0] == self.close else marker.start(), reason)

    def _is_cut_marker(self, text: str) -> bool:
        return any(marker.startswith(text) for marker in (self.open, self.arguments, self.identity, self.close) if text)


def _begins_like_json(name: str) -> bool:
    return name.lstrip(WHITE_SPACE)[:1] in ("{", "[")
