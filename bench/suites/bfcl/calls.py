"""Python-syntax calls, the way the official files write them: read without evaluating, and written safely.

    read_call("cd(folder='x')")    # ReadCall("cd", (), {"folder": "x"})
    write_calls([Call("cd", {"folder": "x"})])    # "[cd(folder='x')]"

Knows no case.
"""

from __future__ import annotations

import ast
import keyword
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.types import Call
from grammars.errors import ToolgaugeError


class NotACall(ToolgaugeError):
    """The text is no call with literal arguments."""


@dataclass(frozen=True, slots=True)
class ReadCall:
    name: str
    positional: tuple[Any, ...]
    named: Mapping[str, Any]


def read_call(text: str) -> ReadCall:
    """A call of a name with literals; anything else is `NotACall`."""
    try:
        node = ast.parse(text, mode="eval").body
        if not isinstance(node, ast.Call):
            raise NotACall(f"{text[:200]!r} is not a call")
        name = ast.unparse(node.func)
        if any(argument.arg is None for argument in node.keywords) or not name.replace(".", "_").isidentifier():
            raise NotACall(f"{text[:200]!r} is not a call with plain arguments")
        positional = tuple(ast.literal_eval(argument) for argument in node.args)
        named = {str(argument.arg): ast.literal_eval(argument.value) for argument in node.keywords}
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NotACall(f"{text[:200]!r} is not a call with literal arguments") from error
    return ReadCall(name, positional, named)


def write_calls(calls: Iterable[Call]) -> str:
    """As a Python list of calls, which official decoders read; raises `NotACall` for names that Python has not."""
    return f"[{', '.join(map(write_call, calls))}]"


def write_call(call: Call) -> str:
    """One call; every value is a literal."""
    if not all(_is_name(part) for part in call.name.split(".")) or not all(map(_is_name, call.arguments)):
        raise NotACall(f"a call of {call.name!r} with {', '.join(call.arguments) or 'nothing'} cannot be written")
    return f"{call.name}({', '.join(f'{name}={value!r}' for name, value in call.arguments.items())})"


def _is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text)
