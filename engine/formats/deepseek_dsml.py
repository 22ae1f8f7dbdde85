r"""The `deepseek_dsml` format: a block of invocations with typed parameters (DeepSeek V3.2).

    <｜DSML｜function_calls>
    <｜DSML｜invoke name="NAME">
    <｜DSML｜parameter name="KEY" string="true">text</｜DSML｜parameter>
    <｜DSML｜parameter name="KEY" string="false">JSON</｜DSML｜parameter>
    </｜DSML｜invoke>
    </｜DSML｜function_calls>

One block holds all calls, and stands two line breaks after what comes before it. V4 calls the block `tool_calls`, which
is read too. The attribute says what is text and what is JSON, so no schema is needed to read a value. Each call is
complete with its own closing tag.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from engine.constraint.protocol import ConstraintSpec
from engine.formats.blocks import Block, check_tools, failed, parse_blocks, stray_markers, watch_blocks
from engine.formats.calls import tool_of, write_json
from engine.formats.protocol import CannotCarry, Closing, Signature
from engine.formats.reasoning import Frame
from engine.formats.tags import Stop, TagReader, broken, collect, in_a_row, offered, one_of, optional, writable
from engine.formats.typed import kinds_of, ordered_arguments, read_json, read_text, unwritable
from engine.formats.typed_nodes import Parameter, arguments_node, json_node, parameter_lists, string_node
from engine.types import Call, Fragment, Parsed, Tool
from engine.watch import BufferWatcher
from grammars.nodes import Literal, Node, Repeat, Seq, with_markers

DSML = "｜DSML｜"
BLOCKS = ("function_calls", "tool_calls")
OPENINGS = tuple(f"<{DSML}{name}>" for name in BLOCKS)
CLOSINGS = tuple(f"</{DSML}{name}>" for name in BLOCKS)
INVOKE, END_INVOKE = f'<{DSML}invoke name="', f"</{DSML}invoke>"
PARAMETER, END_PARAMETER = f'<{DSML}parameter name="', f"</{DSML}parameter>"
_LEAD = "\n\n"  # before the block
AS_TEXT, AS_JSON = 'string="true">', 'string="false">'

_NAME = re.compile(r'[^<>"\s](?:[^<>"\n]*[^<>"\s])?')
_OPENING = re.compile("|".join(OPENINGS))
_EDGE = re.compile("|".join((*OPENINGS, *CLOSINGS, INVOKE)))
_STRAY = re.compile(f"</?{DSML}\\w[^<>\n]*>")


class DeepseekDsmlFormat:
    """Implements `engine.formats.protocol.ToolFormat`."""

    id = "deepseek_dsml"
    version = "3"
    title = "DeepSeek V3.2"
    markers: tuple[str, ...] = (DSML,)
    stop_texts: tuple[str, ...] = ()
    frame = Frame(calls=tuple(f"{opening}\n{INVOKE}" for opening in OPENINGS))
    signature = Signature(all_of=(DSML, "invoke name="))
    closing = Closing(ends=CLOSINGS, inner=(END_INVOKE, END_PARAMETER + END_INVOKE))
    max_calls: int | None = None
    limits: tuple[str, ...] = (
        f"A string cannot contain {END_PARAMETER}, {PARAMETER.strip()} or NUL; where ｜DSML｜ is a token, the grammar "
        "leaves out </｜DSML｜ and <｜DSML｜ too.",
        "A name cannot contain <, >, a quote or a line break, nor begin or end with white space.",
        "A parameter that the schema allows without listing it is read, but not written and not in the grammar.",
    )

    def write(self, calls: Sequence[Call], tools: Sequence[Tool]) -> str:
        invokes = "".join(_write(call, tools) for call in calls)
        return f"{_LEAD}{OPENINGS[0]}\n{invokes}{CLOSINGS[0]}" if calls else ""

    def parse(self, text: str, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> Parsed:
        return parse_blocks(text, self.frame, _blocks, _strays, reasoning_opened=reasoning_opened)

    def constraint(self, tools: Sequence[Tool], *, required: bool, several: bool = True) -> ConstraintSpec:
        check_tools(tools)
        invoke = one_of(map(_invoke_node, tools))
        invokes = Repeat(invoke, separator=Literal(""), maximum=None if several else 1)
        blocks = (
            in_a_row(with_markers(f"{opening}\n", DSML), invokes, with_markers(closing, DSML))
            for opening, closing in zip(OPENINGS, CLOSINGS, strict=True)
        )
        root = one_of(blocks)
        if not required:
            return ConstraintSpec(root, triggers=OPENINGS)
        return ConstraintSpec(Seq((optional(Literal(_LEAD), is_required=False), root)))

    def watcher(self, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> BufferWatcher:
        return watch_blocks(self.frame, _blocks, closing=">", naming=">", reasoning_opened=reasoning_opened)


def _blocks(text: str, start: int) -> Iterator[Block]:
    """One for each call, the first together with the tag before it, and one for what ends them."""
    while match := _OPENING.search(text, start):
        close = CLOSINGS[OPENINGS.index(match[0])]
        start, reader = match.start(), TagReader(text, match.end())
        goes_on = True
        while goes_on:
            block, goes_on = _next_block(reader, start, close)
            yield block
            start = reader.at = block.end


def _next_block(reader: TagReader, start: int, close: str) -> tuple[Block, bool]:
    """One call, or the end of all; and whether more calls may follow before the closing tag."""
    name = ""
    try:
        if reader.take(INVOKE, close) == close:
            return Block(start, reader.at), False
        name = reader.name(_NAME, '">')
        arguments, problem = collect(_pairs(reader))
    except Stop as stop:
        block = broken(reader.text, start, stop, _EDGE, close, is_named=bool(name))
        return block, reader.text.startswith(INVOKE, block.end)
    if problem:
        return failed(reader.text, start, reader.at, problem), True
    return Block(start, reader.at, (Call(name, arguments),)), True


def _pairs(reader: TagReader) -> Iterator[tuple[str, Any]]:
    while reader.take(PARAMETER, END_INVOKE) == PARAMETER:
        key = reader.name(_NAME, '"')
        is_text = reader.take(AS_TEXT, AS_JSON) == AS_TEXT
        read = partial(read_text, opening=PARAMETER) if is_text else read_json
        yield key, reader.value(read(reader.text, reader.at, END_PARAMETER))


def _strays(text: str, start: int, end: int) -> Iterator[Fragment]:
    return stray_markers(text, start, end, _STRAY, OPENINGS[0])


def _write(call: Call, tools: Sequence[Tool]) -> str:
    tool = tool_of(call, tools)
    parts = [f'{INVOKE}{writable(call.name, _NAME)}">\n']
    for key, value in ordered_arguments(call, tool).items():
        written = AS_TEXT + _text(call, value) if isinstance(value, str) else AS_JSON + write_json(value, call)
        parts.append(f'{PARAMETER}{writable(key, _NAME)}" {written}{END_PARAMETER}\n')
    return "".join((*parts, f"{END_INVOKE}\n"))


def _text(call: Call, value: str) -> str:
    problem = next((tag for tag in (END_PARAMETER, PARAMETER) if tag in value), unwritable(value))
    if problem:
        raise CannotCarry(f"{call.name}: a string contains {problem}")
    return value


def _invoke_node(tool: Tool) -> Node:
    lists = (
        arguments_node(parameters, _parameter_node)
        for parameters in parameter_lists(tool, _NAME, DeepseekDsmlFormat.id)
    )
    opening = with_markers(f'{INVOKE}{offered(tool, _NAME)}">\n', DSML)
    return in_a_row(opening, one_of(lists), with_markers(f"{END_INVOKE}\n", DSML))


def _parameter_node(parameter: Parameter) -> Node:
    kinds = kinds_of(parameter.schema, parameter.root)
    written: list[Node] = []
    if "string" in kinds:
        written.append(in_a_row(_opening(parameter, AS_TEXT), string_node(parameter, END_PARAMETER, "", PARAMETER)))
    if kinds != {"string"}:
        written.append(in_a_row(_opening(parameter, AS_JSON), json_node(parameter)))
    return in_a_row(one_of(written), with_markers(f"{END_PARAMETER}\n", DSML))


def _opening(parameter: Parameter, written_as: str) -> Node:
    """Up to the value: where lists of parameters are alternatives, no opening is the beginning of another one."""
    return with_markers(f'{PARAMETER}{parameter.name}" {written_as}', DSML)
