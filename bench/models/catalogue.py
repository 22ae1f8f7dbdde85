"""The tool-call formats as values for people to choose from: what a call looks like, who writes it, who constrains it.

Everything is asked of the formats themselves. Knows no model file and no table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bench.models.registry import Model, load
from engine import formats, selfcheck
from engine.formats.protocol import CannotCarry, ToolFormat
from grammars.errors import UnsupportedSchema
from grammars.nodes import Node
from grammars.schema import normalise_parameters

TOOLS: Final = tuple(replace(tool, parameters=normalise_parameters(tool.parameters)) for tool in selfcheck.TOOLS)


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
        one_call=fmt.write(selfcheck.CALLS[:1], TOOLS),
        two_calls=_two_calls(fmt),
        reasoning_open=fmt.frame.open,
        reasoning_close=fmt.frame.close,
        markers=fmt.markers,
        constrained_by=constrained_by(fmt),
        limits=fmt.limits,
    )


def _two_calls(fmt: ToolFormat) -> str | None:
    try:
        return fmt.write(selfcheck.CALLS, TOOLS)
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
