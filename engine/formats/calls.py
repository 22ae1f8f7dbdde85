"""The JSON object that is one call, `{"name": ..., "arguments": {...}}`, shared by the formats that write it so."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from engine.formats.strict import Member, Value
from engine.types import Call, Tool
from grammars.canonical import dumps
from grammars.nodes import Json, Literal, Node, Seq


def call_from(value: Any) -> Call | str:
    """The call that a JSON value is, or the reason why it is none. An unknown name is still a call."""
    match value:
        case {"name": str(name), "arguments": dict(arguments), **rest} if not rest:
            return Call(name, arguments)
        case {"name": str(), "arguments": dict(), **rest}:
            return f"unexpected key {json.dumps(next(iter(rest)))}"
        case {"name": str(), "arguments": _}:
            return '"arguments" is not an object'
        case {"name": str()}:
            return '"arguments" is missing'
        case {"name": _}:
            return '"name" is not a string'
        case dict():
            return '"name" is missing'
    return "not a JSON object"


def call_nodes(tools: Sequence[Tool]) -> tuple[Node, ...]:
    """One alternative for each tool, each enforcing that tool's own schema."""
    return tuple(
        Seq(
            (
                Literal(f'{{"name": {dumps(tool.name)}, "arguments": '),
                Json(tool.parameters, tool.name),
                Literal("}"),
            )
        )
        for tool in tools
    )


def writes_name(members: Iterable[Member]) -> bool:
    """Whether the members of a call object, as far as they are written, include its complete name."""
    return any(
        member.key == "name" and isinstance(member.value, Value) and isinstance(member.value.value, str)
        for member in members
    )
