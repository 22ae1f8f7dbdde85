"""The `mistral_args_id` format: marker, name, marker, id, marker, arguments (Mistral Small 3.2).

    [TOOL_CALLS]N[CALL_ID]abcdef123[ARGS]{...}[TOOL_CALLS]N[CALL_ID]abcdef124[ARGS]{...}

A call ends with its arguments. The id only pairs it with its result, and models often leave it out, marker and all: the
grammar allows both, the parser reads both and drops the id, and `write` numbers the calls itself (`calls.call_id`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.constraint.protocol import ConstraintSpec
from engine.formats.blocks import check_tools, parse_blocks, watch_blocks
from engine.formats.calls import call_id
from engine.formats.named import NAME_LIMIT, NamedCall
from engine.formats.protocol import Closing, Signature
from engine.formats.reasoning import Frame
from engine.types import Call, Parsed, Tool
from engine.watch import BufferWatcher
from grammars.nodes import Literal, RawString, Repeat

OPEN: Final = "[TOOL_CALLS]"
CALL_ID: Final = "[CALL_ID]"
ARGS: Final = "[ARGS]"
_CALL: Final = NamedCall(OPEN, ARGS, identity=CALL_ID)
_ID: Final = RawString({"type": "string", "pattern": "^[a-zA-Z0-9]{9}$"}, until=ARGS)


class MistralArgsIdFormat:
    """Implements `engine.formats.protocol.ToolFormat`."""

    id = "mistral_args_id"
    version = "3"
    title = "Mistral Small 3.2"
    markers: tuple[str, ...] = (OPEN, CALL_ID, ARGS)
    stop_texts: tuple[str, ...] = ()
    frame = Frame(calls=(OPEN,))
    signature = Signature(all_of=(OPEN, CALL_ID, ARGS))
    closing = Closing()
    max_calls: int | None = None
    limits: tuple[str, ...] = (NAME_LIMIT,)

    def write(self, calls: Sequence[Call], tools: Sequence[Tool]) -> str:
        return "".join(_CALL.write(call, tools, call_id(place)) for place, call in enumerate(calls))

    def parse(self, text: str, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> Parsed:
        return parse_blocks(text, self.frame, _CALL.blocks, _CALL.strays, reasoning_opened=reasoning_opened)

    def constraint(self, tools: Sequence[Tool], *, required: bool, several: bool = True) -> ConstraintSpec:
        check_tools(tools)
        root = Repeat(_CALL.node(tools, _ID), separator=Literal(""), maximum=None if several else 1)
        return ConstraintSpec(root, triggers=() if required else (OPEN,))

    def watcher(self, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> BufferWatcher:
        return watch_blocks(self.frame, _CALL.blocks, closing="}", naming="]", reasoning_opened=reasoning_opened)
