"""The `mistral_json` format: one marker, then a JSON list of calls (Mistral Nemo, Mistral 7B v0.3).

    [TOOL_CALLS][{"name": "N", "arguments": {...}, "id": "abcdef123"}, ...]

The template gives each call an id of nine letters and digits, which only pairs it with its result. Models often leave
it out: the grammar allows both, the parser reads both and drops the id, and `write` numbers the calls itself
(`calls.call_id`), as prompts do where a conversation has no ids. Mistral 7B v0.3 puts a space before the list, which is
read and constrained too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from engine.constraint.protocol import ConstraintSpec
from engine.formats.blocks import Block, check_tools, each_block, failed, parse_blocks, stray_calls, watch_blocks
from engine.formats.calls import ARGUMENTS, call_from, call_id, write_arguments, write_json
from engine.formats.lists import list_node, names_first, read_list, write_list
from engine.formats.protocol import Closing, Signature
from engine.formats.reasoning import Frame
from engine.formats.strict import Broken
from engine.formats.tags import optional
from engine.types import Call, Fragment, Parsed, Tool
from engine.watch import BufferWatcher
from grammars.canonical import dumps
from grammars.nodes import Choice, Json, Literal, Marker, Node, Seq

OPEN: Final = "[TOOL_CALLS]"
CALL_ID_SCHEMA: Final = {"type": "string", "pattern": "^[a-zA-Z0-9]{9}$"}


class MistralJsonFormat:
    """Implements `engine.formats.protocol.ToolFormat`."""

    id = "mistral_json"
    version = "4"
    title = "Mistral Nemo"
    markers: tuple[str, ...] = (OPEN,)
    stop_texts: tuple[str, ...] = ()
    frame = Frame(calls=(f"{OPEN}[", f"{OPEN} ["))
    signature = Signature(all_of=(OPEN,), none_of=("[ARGS]",))
    closing = Closing()
    max_calls: int | None = None
    limits: tuple[str, ...] = ()

    def write(self, calls: Sequence[Call], tools: Sequence[Tool]) -> str:
        written = (
            f'{{"name": {write_json(call.name, call)}, "{ARGUMENTS}": {write_arguments(call, tools)}, '
            f'"id": "{call_id(place)}"}}'
            for place, call in enumerate(calls)
        )
        return OPEN + write_list(list(written)) if calls else ""

    def parse(self, text: str, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> Parsed:
        return parse_blocks(text, self.frame, _blocks, _strays, reasoning_opened=reasoning_opened)

    def constraint(self, tools: Sequence[Tool], *, required: bool, several: bool = True) -> ConstraintSpec:
        check_tools(tools)
        calls = list_node(tuple(map(_call_node, tools)), several=several)
        root = Seq((Marker(OPEN), optional(Literal(" "), is_required=False), calls))
        return ConstraintSpec(root, triggers=() if required else (OPEN,))

    def watcher(self, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> BufferWatcher:
        return watch_blocks(self.frame, _blocks, closing="]", reasoning_opened=reasoning_opened)


def _call_node(tool: Tool) -> Node:
    with_id = Seq((Literal(', "id": '), Json(CALL_ID_SCHEMA), Literal("}")))
    return Seq(
        (
            Literal(f'{{"name": {dumps(tool.name)}, "{ARGUMENTS}": '),
            Json(tool.parameters, tool.name),
            Choice((Literal("}"), with_id)),
        )
    )


def _call_of(value: Any) -> Call | str:
    if isinstance(value, dict) and isinstance(value.get("id"), str):
        value = {key: item for key, item in value.items() if key != "id"}
    return call_from(value)


def _blocks(text: str, start: int) -> Iterator[Block]:
    return each_block(text, start, OPEN, _block)


def _block(text: str, start: int) -> Block:
    body = start + len(OPEN)
    match read_list(text, body, _call_of):
        case Block() as block:
            return Block(start, block.end, block.calls, block.fragments)
        case Broken(reason, unfinished=True):
            return failed(text, start, len(text), reason, is_open=True, is_named=names_first(text, body))
        case Broken(reason):  # markers inside its strings can no longer be told apart
            again = text.find(OPEN, body)
            return failed(text, start, again if again >= 0 else len(text), reason)


def _strays(text: str, start: int, end: int) -> Iterable[Fragment]:
    return stray_calls(text, start, end, _call_of, f"a call without {OPEN}")
