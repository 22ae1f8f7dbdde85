r"""The `glm_xml` format: pairs of keys and bare texts after the name of a call (GLM-4.5 and later).

    <tool_call>NAME<arg_key>KEY</arg_key><arg_value>VALUE</arg_value></tool_call>

Several calls follow each other without anything between. GLM-4.5 and 4.6 put a line break before every tag but those
that close a key or a value; this is read too, and the grammar has both spellings. A value is everything between its
tags; its type is the schema's (`engine.formats.typed`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from engine.constraint.protocol import ConstraintSpec
from engine.formats.blocks import (
    Block,
    blocks_node,
    check_tools,
    each_block,
    failed,
    parse_blocks,
    stray_markers,
    watch_blocks,
)
from engine.formats.calls import tool_of
from engine.formats.protocol import Closing, Signature
from engine.formats.reasoning import Frame
from engine.formats.tags import Stop, TagReader, broken, collect, in_a_row, offered, one_of, optional, writable
from engine.formats.typed import Notation, TypedArguments, ordered_arguments
from engine.formats.typed_nodes import Parameter, arguments_node, parameter_lists, value_node
from engine.types import Call, Fragment, Parsed, Tool
from engine.watch import BufferWatcher
from grammars.nodes import Literal, Marker, Node, Seq

OPEN, CLOSE = "<tool_call>", "</tool_call>"
KEY, END_KEY = "<arg_key>", "</arg_key>"
VALUE, END_VALUE = "<arg_value>", "</arg_value>"
NOTATION = Notation(close=END_VALUE, opening=VALUE)
_LINE_BREAK = optional(Literal("\n"), is_required=False)

_FUNCTION = re.compile(r"[^\s<>{}\[\]\"']+")  # a sentence or an object after <tool_call> is no name
_PARAMETER = re.compile(r"[^<>\s](?:[^<>\n]*[^<>\s])?")
_EDGE = re.compile(f"{OPEN}|{CLOSE}")
_STRAY = re.compile(f"{CLOSE}|</?arg_(?:key|value)>")


class GlmXmlFormat:
    """Implements `engine.formats.protocol.ToolFormat`."""

    id = "glm_xml"
    version = "3"
    title = "GLM-4.5, GLM-4.6, GLM-4.7"
    markers: tuple[str, ...] = (OPEN, CLOSE, KEY, END_KEY, VALUE, END_VALUE)
    stop_texts: tuple[str, ...] = ("<|user|>", "<|observation|>")
    frame = Frame(calls=(OPEN,))
    signature = Signature(all_of=(OPEN, KEY, VALUE))
    closing = Closing(ends=(CLOSE,), inner=(END_VALUE,), is_ambiguous=True)
    max_calls: int | None = None
    limits: tuple[str, ...] = (
        "A string cannot contain </arg_value>, <arg_value> or NUL.",
        "A value of another type than its parameter's, or a string that reads as a valid value of another type that "
        "the schema allows, has no text of its own.",
        "A tool's name cannot contain white space, brackets or quotes, a parameter's neither <, > nor a line break.",
        "A parameter that the schema allows without listing it is read, but not written and not in the grammar.",
    )

    def write(self, calls: Sequence[Call], tools: Sequence[Tool]) -> str:
        return "".join(_write(call, tools) for call in calls)

    def parse(self, text: str, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> Parsed:
        reading = _Reading(tools)
        return parse_blocks(text, self.frame, reading.blocks, _strays, reasoning_opened=reasoning_opened)

    def constraint(self, tools: Sequence[Tool], *, required: bool, several: bool = True) -> ConstraintSpec:
        """A call's first line break, or its absence, settles how the rest of that call is spelled."""
        check_tools(tools)
        block = Seq((Marker(OPEN), one_of(map(_call_node, tools)), Marker(CLOSE)))
        root = blocks_node(block, _LINE_BREAK, several=several)
        return ConstraintSpec(in_a_row(_LINE_BREAK, root)) if required else ConstraintSpec(root, triggers=(OPEN,))

    def watcher(self, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> BufferWatcher:
        reading = _Reading(tools)
        return watch_blocks(self.frame, reading.blocks, closing=">", naming="<\n ", reasoning_opened=reasoning_opened)


class _Reading:
    """The calls of an answer to a question with these tools."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = {tool.name: tool for tool in reversed(tools)}

    def blocks(self, text: str, start: int) -> Iterator[Block]:
        return each_block(text, start, OPEN, self._block)

    def _block(self, text: str, start: int) -> Block:
        reader = TagReader(text, start)
        name = ""
        try:
            reader.take(OPEN)
            name = reader.word(_FUNCTION)
            arguments, problem = collect(_pairs(reader, TypedArguments(self._tools.get(name), NOTATION)))
        except Stop as stop:
            return broken(text, start, stop, _EDGE, CLOSE, is_named=bool(name))
        if problem:
            return failed(text, start, reader.at, problem)
        return Block(start, reader.at, (Call(name, arguments),))


def _pairs(reader: TagReader, typed: TypedArguments) -> Iterator[tuple[str, Any]]:
    while reader.take(KEY, CLOSE) == KEY:
        key = reader.name(_PARAMETER, END_KEY)
        reader.take(VALUE)
        yield key, reader.value(typed.read(key, reader.text, reader.at))


def _strays(text: str, start: int, end: int) -> Iterator[Fragment]:
    return stray_markers(text, start, end, _STRAY, OPEN)


def _write(call: Call, tools: Sequence[Tool]) -> str:
    tool = tool_of(call, tools)
    typed = TypedArguments(tool, NOTATION)
    pairs = (
        f"{KEY}{writable(key, _PARAMETER)}{END_KEY}{VALUE}{typed.text_of(key, value)}{END_VALUE}"
        for key, value in ordered_arguments(call, tool).items()
    )
    return "".join((OPEN, writable(call.name, _FUNCTION), *pairs, CLOSE))


def _call_node(tool: Tool) -> Node:
    lists = [*parameter_lists(tool, _PARAMETER, GlmXmlFormat.id)]
    spelled = (
        in_a_row(*gap, arguments_node(parameters, partial(_parameter_node, gap=gap)))
        for gap in ((), (Literal("\n"),))
        for parameters in lists
    )
    return in_a_row(Literal(offered(tool, _FUNCTION)), one_of(spelled))


def _parameter_node(parameter: Parameter, gap: tuple[Literal, ...]) -> Node:
    """A pair of tags, with what stands between tags before the second and behind it."""
    key: tuple[Node, ...] = (Marker(KEY), Literal(parameter.name), Marker(END_KEY), *gap)
    return Seq((*key, Marker(VALUE), value_node(parameter, NOTATION), Marker(END_VALUE), *gap))
