r"""The `qwen_xml` format: a block of bare texts for each call (Qwen3-Coder, Qwen3.5, Qwen3.6, Nemotron 3).

    <tool_call>
    <function=NAME>
    <parameter=KEY>
    VALUE
    </parameter>
    </function>
    </tool_call>

Several calls are joined by a line break, and Nemotron 3 writes one behind the last call, too. A value is everything
between the line breaks next to its tags; its type is the schema's (`engine.formats.typed`). The makers' templates write
`True`, `False` and `None`, models also write JSON's words: both are read. Qwen3-Coder may leave out the opening
`<tool_call>`, as its makers' parser knows. That parser also ends every value at the first `</parameter>`, with or
without a line break before it. So does this one, but for text in lines of its own, where a `</parameter>` that neither
begins a line nor stands before another parameter or the call's end is part of it: models write such text, and the
grammar does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Any

from engine.constraint.protocol import ConstraintSpec
from engine.formats.blocks import Block, blocks_node, check_tools, failed, parse_blocks, stray_markers, watch_blocks
from engine.formats.calls import tool_of
from engine.formats.protocol import Closing, Signature
from engine.formats.reasoning import Frame
from engine.formats.strict import skip
from engine.formats.tags import Stop, TagReader, broken, collect, in_a_row, offered, one_of, optional, writable
from engine.formats.typed import Notation, TypedArguments, ordered_arguments
from engine.formats.typed_nodes import Parameter, arguments_node, parameter_lists, value_node
from engine.types import Call, Fragment, Parsed, Tool
from engine.watch import BufferWatcher
from grammars.nodes import Literal, Marker, Node, Seq

OPEN, CLOSE = "<tool_call>", "</tool_call>"
FUNCTION, END_FUNCTION = "<function=", "</function>"
PARAMETER, END_PARAMETER = "<parameter=", "</parameter>"
NOTATION = Notation(
    close=f"\n{END_PARAMETER}",
    opening=PARAMETER,
    lead="\n",
    words=MappingProxyType({"True": True, "False": False, "None": None}),
    onward=(f"\n{PARAMETER}", f"\n{END_FUNCTION}"),
)

_NAME = re.compile(r"[^<>\s](?:[^<>\n]*[^<>\s])?")
_BLOCK = re.compile(f"{OPEN}|{re.escape(FUNCTION)}")
_EDGE = re.compile(f"{OPEN}|{CLOSE}|{re.escape(FUNCTION)}")
_STRAY = re.compile(f"{CLOSE}|{END_FUNCTION}|{END_PARAMETER}|{re.escape(PARAMETER)}")


class QwenXmlFormat:
    """Implements `engine.formats.protocol.ToolFormat`."""

    id = "qwen_xml"
    version = "4"
    title = "Qwen3-Coder, Qwen3.5, Qwen3.6, Nemotron 3"
    markers: tuple[str, ...] = (OPEN, CLOSE)
    stop_texts: tuple[str, ...] = ()
    frame = Frame(calls=(f"{OPEN}\n{FUNCTION}",))
    signature = Signature(all_of=(OPEN, FUNCTION, PARAMETER))
    closing = Closing(ends=(f"\n{CLOSE}",), inner=(f"\n{END_FUNCTION}", f"\n{END_PARAMETER}\n{END_FUNCTION}"))
    max_calls: int | None = None
    limits: tuple[str, ...] = (
        "A string cannot contain </parameter>, <parameter= or NUL.",
        "A value of another type than its parameter's, or a string that reads as a valid value of another type that "
        "the schema allows, has no text of its own.",
        "A name cannot contain <, > or a line break, nor begin or end with white space.",
        "A parameter that the schema allows without listing it is read, but not written and not in the grammar.",
    )

    def write(self, calls: Sequence[Call], tools: Sequence[Tool]) -> str:
        return "\n".join(f"{OPEN}\n{_write(call, tools)}\n{CLOSE}" for call in calls)

    def parse(self, text: str, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> Parsed:
        reading = _Reading(tools)
        return parse_blocks(text, self.frame, reading.blocks, _strays, reasoning_opened=reasoning_opened)

    def constraint(self, tools: Sequence[Tool], *, required: bool, several: bool = True) -> ConstraintSpec:
        check_tools(tools)
        opening = Seq((Marker(OPEN), Literal("\n")))
        call = Seq((one_of(map(_call_node, tools)), Literal("\n"), Marker(CLOSE)))
        calls = blocks_node(call, in_a_row(Literal("\n"), opening), several=several)
        root = in_a_row(optional(opening, is_required=False), calls)
        return ConstraintSpec(root, triggers=() if required else (OPEN, FUNCTION))

    def watcher(self, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> BufferWatcher:
        reading = _Reading(tools)
        return watch_blocks(self.frame, reading.blocks, closing=">", naming=">", reasoning_opened=reasoning_opened)


class _Reading:
    """The calls of an answer to a question with these tools."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = {tool.name: tool for tool in reversed(tools)}

    def blocks(self, text: str, start: int) -> Iterator[Block]:
        while match := _BLOCK.search(text, start):
            block = self._block(text, match.start())
            yield block
            start = block.end

    def _block(self, text: str, start: int) -> Block:
        reader = TagReader(text, start)
        name = ""
        try:
            is_bare = reader.take(OPEN, FUNCTION) == FUNCTION
            if not is_bare:
                reader.take(FUNCTION)
            name = reader.name(_NAME, ">")
            arguments, problem = collect(_pairs(reader, TypedArguments(self._tools.get(name), NOTATION)))
            if not is_bare:
                reader.take(CLOSE)
            elif text.startswith(CLOSE, after := skip(text, reader.at)):
                reader.at = after + len(CLOSE)
        except Stop as stop:
            return broken(text, start, stop, _EDGE, CLOSE, is_named=bool(name))
        if problem:
            return failed(text, start, reader.at, problem)
        return Block(start, reader.at, (Call(name, arguments),))


def _pairs(reader: TagReader, typed: TypedArguments) -> Iterator[tuple[str, Any]]:
    while reader.take(PARAMETER, END_FUNCTION) == PARAMETER:
        key = reader.name(_NAME, ">")
        yield key, reader.value(typed.read(key, reader.text, reader.at))


def _strays(text: str, start: int, end: int) -> Iterator[Fragment]:
    return stray_markers(text, start, end, _STRAY, FUNCTION)


def _write(call: Call, tools: Sequence[Tool]) -> str:
    tool = tool_of(call, tools)
    typed = TypedArguments(tool, NOTATION)
    parts = [f"{FUNCTION}{writable(call.name, _NAME)}>\n"]
    for key, value in ordered_arguments(call, tool).items():
        parts.append(f"{PARAMETER}{writable(key, _NAME)}>\n{typed.text_of(key, value)}\n{END_PARAMETER}\n")
    return "".join((*parts, END_FUNCTION))


def _call_node(tool: Tool) -> Node:
    opening = Literal(f"{FUNCTION}{offered(tool, _NAME)}>\n")
    lists = (
        arguments_node(parameters, _parameter_node) for parameters in parameter_lists(tool, _NAME, QwenXmlFormat.id)
    )
    return in_a_row(opening, one_of(lists), Literal(END_FUNCTION))


def _parameter_node(parameter: Parameter) -> Node:
    opening = Literal(f"{PARAMETER}{parameter.name}>\n")
    closing = Literal(f"\n{END_PARAMETER}\n")
    return Seq((opening, value_node(parameter, NOTATION), closing))
