"""The tool-call formats as values for people to choose from: what a call looks like, who writes it, who constrains it.

Everything is asked of the formats themselves. Knows no model file and no table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bench.registry import Model, load
from engine import formats
from engine.formats.protocol import CannotCarry, ToolFormat
from engine.types import Call, Tool
from grammars.errors import UnsupportedSchema
from grammars.nodes import Node

WEATHER: Final = Tool(
    "get_weather",
    "The weather of the next days.",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
        "additionalProperties": False,
    },
)
ADD: Final = Tool(
    "add",
    "The sum of two numbers.",
    {
        "type": "object",
        "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
)
TOOLS: Final = (WEATHER, ADD)
CALLS: Final = (Call("get_weather", {"city": "Paris", "days": 2}), Call("add", {"a": 1, "b": 2.5}))


@dataclass(frozen=True, slots=True)
class Entry:
    """One format."""

    id: str
    version: str
    title: str
    models: tuple[str, ...]  # of models.toml
    one_call: str
    two_calls: str | None  # None: it has no way of writing two
    reasoning_open: str
    reasoning_close: str
    markers: tuple[str, ...]
    constrained_by: tuple[str, ...]
    limits: tuple[str, ...]


def entries() -> tuple[Entry, ...]:
    """Every format that toolgauge reads and constrains, the JSON envelope of the json.* modes last."""
    models = load().models
    native = [fmt for fmt in formats.FORMATS.values() if fmt is not formats.ENVELOPE]
    return tuple(_entry(fmt, models) for fmt in (*native, formats.ENVELOPE))


def _entry(fmt: ToolFormat, models: Sequence[Model]) -> Entry:
    return Entry(
        id=fmt.id,
        version=fmt.version,
        title=fmt.title,
        models=tuple(model.name for model in models if model.format == fmt.id),
        one_call=fmt.write(CALLS[:1], TOOLS),
        two_calls=_two_calls(fmt),
        reasoning_open=fmt.frame.open,
        reasoning_close=fmt.frame.close,
        markers=fmt.markers,
        constrained_by=constrained_by(fmt),
        limits=fmt.limits,
    )


def _two_calls(fmt: ToolFormat) -> str | None:
    try:
        return fmt.write(CALLS, TOOLS)
    except CannotCarry:
        return None


def constrained_by(fmt: ToolFormat) -> tuple[str, ...]:
    """The backends in whose language the format's grammar for plain tools can be said."""
    from grammars.gbnf import to_gbnf
    from grammars.lark import to_lark
    from grammars.regex import to_regex

    languages: dict[str, Callable[[Node], str]] = {
        "llguidance": lambda root: to_lark(root, {}),
        "gbnf": lambda root: to_gbnf(root, {}),
        "outlines": lambda root: to_regex(root, {}),
    }
    root = fmt.constraint(TOOLS, required=True).root
    return tuple(name for name, write in languages.items() if _can_be_said(write, root))


def _can_be_said(write: Callable[[Node], str], root: Node) -> bool:
    try:
        write(root)
    except UnsupportedSchema:
        return False
    return True
