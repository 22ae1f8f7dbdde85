"""The `mistral_args` format: for each call a marker, the name, a marker, the arguments (Ministral 3, Devstral).

    [TOOL_CALLS]N[ARGS]{...}[TOOL_CALLS]N[ARGS]{...}

A call ends with its arguments. An id behind the name, as in `mistral_args_id`, is read and dropped, and never written.
The reasoning variants think between `[THINK]` and `[/THINK]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.constraint.protocol import ConstraintSpec
from engine.formats.blocks import check_tools, parse_blocks, watch_blocks
from engine.formats.mistral_args_id import ARGS, CALL_ID, OPEN
from engine.formats.named import NAME_LIMIT, NamedCall
from engine.formats.protocol import Closing, Signature
from engine.formats.reasoning import Frame
from engine.types import Call, Parsed, Tool
from engine.watch import BufferWatcher
from grammars.nodes import Literal, Repeat

_CALL: Final = NamedCall(OPEN, ARGS, identity=CALL_ID)


class MistralArgsFormat:
    """Implements `engine.formats.protocol.ToolFormat`."""

    id = "mistral_args"
    version = "3"
    title = "Ministral 3, Devstral Small 1.1"
    markers: tuple[str, ...] = (OPEN, ARGS)
    stop_texts: tuple[str, ...] = ()
    frame = Frame(open="[THINK]", close="[/THINK]", calls=(OPEN,))
    signature = Signature(all_of=(OPEN, ARGS), none_of=(CALL_ID,))
    closing = Closing()
    max_calls: int | None = None
    limits: tuple[str, ...] = (NAME_LIMIT,)

    def write(self, calls: Sequence[Call], tools: Sequence[Tool]) -> str:
        return "".join(_CALL.write(call, tools) for call in calls)

    def parse(self, text: str, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> Parsed:
        return parse_blocks(text, self.frame, _CALL.blocks, _CALL.strays, reasoning_opened=reasoning_opened)

    def constraint(self, tools: Sequence[Tool], *, required: bool, several: bool = True) -> ConstraintSpec:
        check_tools(tools)
        root = Repeat(_CALL.node(tools), separator=Literal(""), maximum=None if several else 1)
        return ConstraintSpec(root, triggers=() if required else (OPEN,))

    def watcher(self, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> BufferWatcher:
        return watch_blocks(self.frame, _CALL.blocks, closing="}", naming="]", reasoning_opened=reasoning_opened)
