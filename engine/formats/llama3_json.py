"""The `llama3_json` format: the answer is one JSON object, without any marker (Llama 3.1 to 3.3).

    {"name": "N", "parameters": {...}}

What stands elsewhere than at the answer's start is prose. The template takes one call a turn, so the grammar allows
one, with or without the `<|python_tag|>` that models put before it, or in a list, as some do. What they write beyond
that is read all the same: several objects, with `;`, `,` or white space between them, a longer list, `"type":
"function"` copied from the tools.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from engine.constraint.protocol import ConstraintSpec
from engine.formats.blocks import Block, check_tools, failed, parse_blocks, stray_calls, watch_blocks
from engine.formats.calls import call_from, call_nodes, write_call
from engine.formats.lists import list_node, names_first, read_list, read_objects
from engine.formats.protocol import CannotCarry, Closing, Signature
from engine.formats.reasoning import THINK
from engine.formats.strict import Broken, skip
from engine.types import Call, Fragment, Parsed, Tool
from engine.watch import BufferWatcher
from grammars.nodes import Choice, Marker, Seq

TAG: Final = "<|python_tag|>"
KEY: Final = "parameters"


class Llama3JsonFormat:
    """Implements `engine.formats.protocol.ToolFormat`."""

    id = "llama3_json"
    version = "4"
    title = "Llama 3.1, 3.2, 3.3"
    markers: tuple[str, ...] = (TAG,)
    stop_texts: tuple[str, ...] = ("<|eom_id|>",)  # instead of <|eot_id|> where the model waits for a result
    frame = THINK
    signature = Signature(all_of=('"parameters": dictionary of argument name and its value',))
    closing = Closing()
    max_calls: int | None = 1
    limits: tuple[str, ...] = ("There is one call in an answer, not several.",)

    def write(self, calls: Sequence[Call], tools: Sequence[Tool]) -> str:
        if len(calls) > 1:
            raise CannotCarry(f"{calls[1].name}: {self.limits[0]}")
        return "".join(write_call(call, tools, KEY) for call in calls)

    def parse(self, text: str, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> Parsed:
        return parse_blocks(text, self.frame, _blocks, _strays, reasoning_opened=reasoning_opened)

    def constraint(self, tools: Sequence[Tool], *, required: bool, several: bool = True) -> ConstraintSpec:
        """One call in any case. A leading `[` begins it, too, so `[]` must stay possible where no call is required."""
        check_tools(tools)
        calls = call_nodes(tools, KEY)
        call, listed = Choice(calls), list_node(calls, several=False, minimum=1 if required else 0)
        root = Choice((call, Seq((Marker(TAG), call)), listed))
        return ConstraintSpec(root) if required else ConstraintSpec(root, triggers=("{", "[", TAG), at_start=True)

    def watcher(self, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> BufferWatcher:
        return watch_blocks(self.frame, _blocks, closing="}]", reasoning_opened=reasoning_opened)


def _call_of(value: Any) -> Call | str:
    if isinstance(value, dict) and value.get("type") == "function":
        value = {key: item for key, item in value.items() if key != "type"}
    return call_from(value, KEY)


def _blocks(text: str, start: int) -> Iterator[Block]:
    first = skip(text, start)
    position = first
    if text.startswith(TAG, first):
        position = skip(text, first + len(TAG))
    if text.startswith("[", position):
        yield _list(text, first, position)
    elif text.startswith("{", position):
        yield from read_objects(text, first, position, _call_of)
    elif position > first:
        yield failed(text, first, len(text), f"no JSON after {TAG}", is_open=position == len(text))


def _list(text: str, start: int, position: int) -> Block:
    match read_list(text, position, _call_of):
        case Block() as block:
            return Block(start, block.end, block.calls, block.fragments)
        case Broken(reason, unfinished):
            is_named = unfinished and names_first(text, position)
            return failed(text, start, len(text), reason, is_open=unfinished, is_named=is_named)


def _strays(text: str, start: int, end: int) -> Iterable[Fragment]:
    return stray_calls(text, start, end, _call_of, "a call that is not at the answer's start", key=KEY)
