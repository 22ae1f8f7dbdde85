"""The JSON object that is one call, `{"name": ..., "arguments": {...}}`, shared by the formats that write it so.

`key` is what a format calls the arguments; Llama 3.1 says "parameters".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.formats.protocol import CannotCarry
from engine.formats.strict import Broken, Member, Value, read
from engine.types import Call, Tool
from grammars.canonical import dumps
from grammars.nodes import Json, Literal, Node, Seq

ARGUMENTS = "arguments"


def call_from(value: Any, key: str = ARGUMENTS) -> Call | str:
    """The call that a JSON value is, or the reason why it is none. An unknown name is still a call."""
    if not isinstance(value, dict):
        return "not a JSON object"
    match value.get("name"):
        case str(name):
            pass
        case None if "name" not in value:
            return '"name" is missing'
        case _:
            return '"name" is not a string'
    if key not in value:
        return f'"{key}" is missing'
    arguments = value[key]
    if not isinstance(arguments, dict):
        return f'"{key}" is not an object'
    rest = [other for other in value if other not in ("name", key)]
    return f"unexpected key {json.dumps(rest[0])}" if rest else Call(name, arguments)


def call_nodes(tools: Sequence[Tool], key: str = ARGUMENTS) -> tuple[Node, ...]:
    """One alternative for each tool, each enforcing that tool's own schema."""
    return tuple(
        Seq(
            (
                Literal(f'{{"name": {dumps(tool.name)}, "{key}": '),
                Json(tool.parameters, tool.name),
                Literal("}"),
            )
        )
        for tool in tools
    )


def write_call(call: Call, tools: Sequence[Tool], key: str = ARGUMENTS) -> str:
    """The object as a model is expected to write it; raises `CannotCarry` for what a strict reader would refuse."""
    return f'{{"name": {write_json(call.name, call)}, "{key}": {write_arguments(call, tools)}}}'


def tool_of(call: Call, tools: Sequence[Tool]) -> Tool | None:
    """The tool that a call is to; None: one that nobody offered."""
    return next((tool for tool in tools if tool.name == call.name), None)


def write_arguments(call: Call, tools: Sequence[Tool]) -> str:
    """The arguments as one JSON object, in the order of the tool's schema, which is the one that grammars allow."""
    tool = tool_of(call, tools)
    return write_json(call.arguments, call, None if tool is None else tool.parameters)


def write_json(value: Any, call: Call, schema: Mapping[str, Any] | None = None) -> str:
    """The canonical text of a value of `call`; raises `CannotCarry`."""
    try:
        text = dumps(value, schema)
    except RecursionError:
        raise CannotCarry(f"{call.name}: a value nested too deeply") from None
    except ValueError as error:  # no JSON value at all, or an integer of thousands of digits
        raise CannotCarry(f"{call.name}: {error}") from error
    match read(text, 0):
        case Broken(reason):
            raise CannotCarry(f"{call.name}: {reason}")
        case _:
            return text


def call_id(position: int) -> str:
    """The id of a conversation's nth call where nobody gave it one: nine letters and digits, as Mistral's ids are."""
    return hashlib.sha256(str(position).encode()).hexdigest()[:9]


def writes_name(members: Iterable[Member]) -> bool:
    """Whether the members of a call object, as far as they are written, include its complete name."""
    return any(
        member.key == "name" and isinstance(member.value, Value) and isinstance(member.value.value, str)
        for member in members
    )
