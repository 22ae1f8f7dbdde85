"""The `json_list` format: the answer is a JSON list of calls, without any marker (xLAM-2, Hammer 2.1).

    [{"name": "N", "arguments": {...}}, ...]

What stands elsewhere than at the answer's start is prose. `[]` is how these models say that no tool is needed; the
grammar has it unless a call is required. Hammer's prompt shows the list in a fence, each call on a line of its own, and
xLAM's makers also take bare objects, with `;` between them. All of it is read, so the grammar has all of it; none is
written. Built from the published prompts, and held against Hammer 2.1's template as BFCL's handler quotes it; xLAM-2's
was not at hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from engine.constraint.protocol import ConstraintSpec
from engine.formats.blocks import Block, check_tools, failed, parse_blocks, stray_calls, watch_blocks
from engine.formats.calls import call_from, call_nodes, write_call
from engine.formats.lists import names_first, printed_list_node, read_list, read_objects, write_list
from engine.formats.protocol import Closing, Signature
from engine.formats.reasoning import THINK
from engine.formats.strict import WHITE_SPACE, Broken, skip
from engine.formats.tags import in_a_row, one_of, optional
from engine.types import Call, Fragment, Parsed, Tool
from engine.watch import BufferWatcher
from grammars.nodes import Choice, Literal, Repeat, Seq

_FENCE = "```"
_OPENING_FENCE = re.compile(r"```(?:json)?")
_FENCED = Seq(
    (
        Literal(_FENCE),
        optional(Literal("json"), is_required=False),
        optional(one_of(map(Literal, WHITE_SPACE)), is_required=False),
    )
)
# A fence of another language is prose.
_TRIGGERS = ("[", "{", f"{_FENCE}json", *(f"{_FENCE}{following}" for following in f"[{WHITE_SPACE}"))


class JsonListFormat:
    """Implements `engine.formats.protocol.ToolFormat`."""

    id = "json_list"
    version = "4"
    title = "xLAM-2 (not checked against its makers' template), Hammer 2.1"
    markers: tuple[str, ...] = ()
    stop_texts: tuple[str, ...] = ()
    frame = THINK
    signature = Signature(
        any_of=(
            "make calls in a single JSON array",  # xLAM-2
            "please directly output an empty list",  # Hammer 2.1
        )
    )
    closing = Closing()
    max_calls: int | None = None
    limits: tuple[str, ...] = ()

    def write(self, calls: Sequence[Call], tools: Sequence[Tool]) -> str:
        return write_list([write_call(call, tools) for call in calls])

    def parse(self, text: str, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> Parsed:
        return parse_blocks(text, self.frame, _blocks, _strays, reasoning_opened=reasoning_opened)

    def constraint(self, tools: Sequence[Tool], *, required: bool, several: bool = True) -> ConstraintSpec:
        """A leading `[` begins it, so `[]` must stay possible where no call is required.

        A list in a fence ends the answer like one without: nothing behind it matters.
        """
        check_tools(tools)
        calls = call_nodes(tools)
        listed = printed_list_node(calls, several=several, minimum=1 if required else 0)
        objects = Repeat(Choice(calls), Literal("; "), maximum=None if several else 1)
        root = Choice((in_a_row(optional(_FENCED, is_required=False), listed), objects))
        return ConstraintSpec(root) if required else ConstraintSpec(root, triggers=_TRIGGERS, at_start=True)

    def watcher(self, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> BufferWatcher:
        return watch_blocks(self.frame, _blocks, closing="]}", reasoning_opened=reasoning_opened)


def _blocks(text: str, start: int) -> Iterator[Block]:
    first = skip(text, start)
    if text.startswith("{", first):
        yield from read_objects(text, first, first, call_from)
        return
    fence = _OPENING_FENCE.match(text, first)
    position = skip(text, fence.end()) if fence else first
    if not text.startswith(("[", "{"), position):
        return
    match read_list(text, position, call_from):
        case Block() as block:
            end = block.end
            if fence and text.startswith(_FENCE, closing := skip(text, end)):
                end = closing + len(_FENCE)
            yield Block(first, end, block.calls, block.fragments)
        case Broken(reason, unfinished):
            is_named = unfinished and names_first(text, position)
            yield failed(text, first, len(text), reason, is_open=unfinished, is_named=is_named)


def _strays(text: str, start: int, end: int) -> Iterable[Fragment]:
    return stray_calls(text, start, end, call_from, "a call that is not at the answer's start")
