r"""The `gemma4` format: a name and a value in Gemma's own notation between `<|tool_call>` markers (Gemma 4).

    <|tool_call>call:NAME{city:<|"|>Paris<|"|>,days:2}<tool_call|>

Several calls follow each other without anything between them. The makers' template sorts the keys, in the tools that it
shows as well as in the calls of the past, so that is the order in which these models write; the grammar follows it.
Knows no tokens; the markers are texts here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from engine.constraint.protocol import ConstraintSpec
from engine.errors import ConstraintError
from engine.formats import gemma_dict
from engine.formats.blocks import (
    Block,
    check_tools,
    each_block,
    ends_inside,
    failed,
    failed_to_the_end,
    failed_until,
    parse_blocks,
    stray_markers,
    watch_blocks,
)
from engine.formats.calls import tool_of
from engine.formats.gemma_dict import QUOTE
from engine.formats.protocol import CannotCarry, Closing, Signature
from engine.formats.reasoning import Frame, PlainAnswer
from engine.formats.strict import WHITE_SPACE, Broken, Value, skip
from engine.types import Call, Fragment, Parsed, Tool
from engine.watch import BufferWatcher
from grammars.canonical import arranged
from grammars.nodes import Choice, Literal, Marker, QuotedDict, Repeat, Seq
from grammars.pointer import map_subschemas

OPEN, CLOSE = "<|tool_call>", "<tool_call|>"
PREFIX = "call:"
CHANNEL, END_CHANNEL = "<|channel>", "<channel|>"

_NAME = r"[^\s{}<>\ud800-\udfff](?:[^{}<>\x00-\x1f\ud800-\udfff]*[^\s{}<>\ud800-\udfff])?"
_HEAD = re.compile(rf"{PREFIX}(?P<name>{_NAME})(?={{)")
_HEAD_BEGUN = re.compile(r"(?:c(?:a(?:l(?:l(?::(?:[^\s{}<>][^{}<>\x00-\x1f]*)?)?)?)?)?)?")
_MARKER = re.compile("|".join(map(re.escape, (OPEN, CLOSE))))
_CHANNEL_MARKS = (f"{CHANNEL}thought", CHANNEL, END_CHANNEL)


class _Channels(Frame):
    """These models also write channel marks with nothing between them, before an answer or behind it."""

    __slots__ = ()

    def plain_answer(self, text: str, start: int) -> PlainAnswer:
        begin, end = _without_marks(text, start)
        return PlainAnswer(begin, end)


class Gemma4Format:
    """Implements `engine.formats.protocol.ToolFormat`."""

    id = "gemma4"
    version = "2"
    title = "Gemma 4"
    markers: tuple[str, ...] = (OPEN, CLOSE, QUOTE, CHANNEL, END_CHANNEL)
    stop_texts: tuple[str, ...] = ("<|tool_response>", "<turn|>")
    frame: Frame = _Channels(
        open=f"{CHANNEL}thought",
        close=END_CHANNEL,
        others=(f"{CHANNEL}{CHANNEL}thought",),
        calls=(OPEN + PREFIX,),
    )
    signature = Signature(all_of=(OPEN + PREFIX,))
    closing = Closing(ends=(CLOSE,), inner=("}", QUOTE + "}"))
    max_calls: int | None = None
    limits: tuple[str, ...] = (
        f"A string cannot contain {QUOTE} or NUL.",
        'A key cannot be empty, begin or end with white space, or contain a control character or : , { } [ ] < > ".',
        "A tool's name cannot be empty, begin or end with white space, or contain a control character or { } < >.",
    )

    def write(self, calls: Sequence[Call], tools: Sequence[Tool]) -> str:
        """As the template does, except that null is `null` and numbers have no exponent."""
        return "".join(f"{OPEN}{PREFIX}{_named(call.name)}{_arguments(call, tools)}{CLOSE}" for call in calls)

    def parse(self, text: str, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> Parsed:
        parsed = parse_blocks(text, self.frame, _blocks, _strays, reasoning_opened=reasoning_opened)
        begin, end = _without_marks(parsed.content, 0)
        return replace(parsed, content=parsed.content[begin:end])

    def constraint(self, tools: Sequence[Tool], *, required: bool, several: bool = True) -> ConstraintSpec:
        """Free until `<|tool_call>`, or from the first token if a call is required."""
        check_tools(tools)
        call = Choice(tuple(_call_node(tool) for tool in tools))
        body = Seq((call, Marker(CLOSE)))
        root = Seq((Marker(OPEN), Repeat(body, separator=Marker(OPEN), maximum=None if several else 1)))
        return ConstraintSpec(root, triggers=() if required else (OPEN,))

    def watcher(self, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> BufferWatcher:
        return watch_blocks(self.frame, _blocks, closing=">", naming="{", reasoning_opened=reasoning_opened)


# Writing and constraining


def _named(name: str) -> str:
    if not re.fullmatch(_NAME, name):
        raise CannotCarry(f"the tool's name {name!r} cannot be told from what stands around it")
    return name


def _arguments(call: Call, tools: Sequence[Tool]) -> str:
    tool = tool_of(call, tools)
    arguments = gemma_dict.in_order(call.arguments)
    try:
        written = gemma_dict.write(arguments if tool is None else arranged(arguments, _in_order(tool.parameters)))
    except gemma_dict.Unwritable as error:
        raise CannotCarry(f"{call.name}: {error}") from error
    match gemma_dict.read(written, 0):
        case Broken(reason):  # too deep, or half a character
            raise CannotCarry(f"{call.name}: {reason}")
    return written


def _call_node(tool: Tool) -> Seq:
    if not re.fullmatch(_NAME, tool.name):
        raise ConstraintError(f"gemma4 cannot write the tool name {tool.name!r}; rename the tool")
    return Seq((Literal(PREFIX + tool.name), QuotedDict(_in_order(tool.parameters), QUOTE, tool.name)))


def _in_order(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same schema with its properties, and the values that it names, in the order of the makers' template."""

    def ordered(sub: Any, _path: str, _key: str) -> Any:
        return _in_order(sub) if isinstance(sub, Mapping) else sub

    result = map_subschemas(schema, ordered)
    properties = result.get("properties")
    if isinstance(properties, Mapping):
        result["properties"] = {name: properties[name] for name in gemma_dict.sorted_keys(properties)}
    if isinstance(result.get("required"), list):
        result["required"] = sorted(result["required"], key=str.lower)
    for keyword in ("enum", "const"):
        if keyword in result:
            result[keyword] = gemma_dict.in_order(result[keyword])
    return result


# Reading


def _without_marks(text: str, start: int) -> tuple[int, int]:
    """Where the text from `start` on begins and ends without the channel marks around it that hold nothing."""
    begin, end = skip(text, start), len(text)
    while mark := next((mark for mark in _CHANNEL_MARKS if text.startswith(mark, begin)), ""):
        begin = skip(text, begin + len(mark))
    last = end
    while True:
        while last > begin and text[last - 1] in WHITE_SPACE:
            last -= 1
        mark = next((mark for mark in _CHANNEL_MARKS if text.endswith(mark, begin, last)), "")
        if not mark:
            return begin, end
        end = last = last - len(mark)


def _blocks(text: str, start: int) -> Iterator[Block]:
    return each_block(text, start, OPEN, _block)


def _block(text: str, start: int) -> Block:
    head = _HEAD.match(text, start + len(OPEN))
    if head is None:
        problem = f"{PREFIX}NAME{{ is missing after {OPEN}"
        is_cut = _HEAD_BEGUN.fullmatch(text, start + len(OPEN)) is not None
        return failed(text, start, len(text), problem, is_open=True) if is_cut else _broken(text, start, problem)
    match gemma_dict.read(text, head.end()):
        case Broken(reason, unfinished=True):
            return failed_to_the_end(text, start, reason, CLOSE, is_named=True)
        case Broken(reason):
            return _broken(text, start, reason, is_named=True)
        case Value(arguments, end):
            after = skip(text, end)
            if text.startswith(CLOSE, after):
                return Block(start, after + len(CLOSE), (Call(head["name"], arguments),))
            if ends_inside(text, after, CLOSE):
                return failed(text, start, len(text), f"{CLOSE} is missing", is_open=True, is_named=True)
            return failed_until(
                text, start, start + len(OPEN), f"{CLOSE} is missing after the arguments", _MARKER, CLOSE, is_named=True
            )


def _broken(text: str, start: int, reason: str, *, is_named: bool = False) -> Block:
    return failed_until(text, start, start + len(OPEN), reason, _MARKER, CLOSE, is_named=is_named)


def _strays(text: str, start: int, end: int) -> Iterator[Fragment]:
    """What looks like a call in the prose between blocks: a call without its markers, and markers without a call."""
    prose = text[start:end]
    first = skip(prose, 0)
    head = _HEAD.match(prose, first)
    if head is not None:
        match gemma_dict.read(prose, head.end()):
            case Value(_, stop):
                yield Fragment(prose[first:stop], f"a call without {OPEN}", start + first)
    yield from stray_markers(text, start, end, _MARKER, OPEN)
