r"""The small algebra in which a tool-call format says what an answer may look like.

A format builds one tree from literals, markers and JSON Schemas; `gbnf`, `lark` and `regex` each render the same tree
for their engine, so that the backends are compared on the same language. Knows no model; a marker is just a text
that a vocabulary may hold as one token, and the renderers are told its id.

    Seq(Literal('{"name": "add", "arguments": '), Json(schema), Literal("}\n"), Marker("</tool_call>"))
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Literal:
    """Exactly this text."""

    text: str


@dataclass(frozen=True, slots=True)
class Marker:
    """A structural text of the format, e.g. `<tool_call>`; rendered as one token where the vocabulary has it."""

    text: str


@dataclass(frozen=True, slots=True)
class Json:
    """A JSON value valid under `schema`, in the canonical serialisation; `tool`: whose it is, for messages only."""

    schema: Mapping[str, Any]
    tool: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class RawString:
    """The bare text, without quotes and escapes, of a string valid under `schema`; it does not contain `until`.

    Like in `RawText`, `until` itself is not consumed. What `schema` says of other types than strings is ignored.
    `tag`, with which `until` ends, is what its readers look for: if given, the text does not contain that either, nor
    any text of `without`.
    """

    schema: Mapping[str, Any]
    until: str
    tool: str = field(default="", compare=False)
    tag: str = ""
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class QuotedDict:
    """A value valid under `schema` in Gemma's notation: keys bare, strings raw between two `quote` markers.

    `{city:<|"|>Paris<|"|>,days:2}`; no white space, properties in schema order.
    """

    schema: Mapping[str, Any]
    quote: str
    tool: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class AnyJsonObject:
    """Any well-formed JSON object, white space bounded: 'JSON mode' as servers offer it."""


@dataclass(frozen=True, slots=True)
class RawText:
    """Any text that does not contain `until`; `until` itself is not consumed."""

    until: str


@dataclass(frozen=True, slots=True)
class Seq:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`item`, `minimum` to `maximum` times (`None`: unbounded), with `separator` between."""

    item: Node
    separator: Node
    minimum: int = 1
    maximum: int | None = None


@dataclass(frozen=True, slots=True)
class AnyOrder:
    """Those of the `items` that are required and any of the others, each at most once, in any order.

    An engine that can hold only so many that way takes them in groups of so many, in the order that is given.
    """

    items: tuple[Node, ...]
    is_required: tuple[bool, ...]


def with_markers(text: str, *markers: str) -> Node:
    """A literal in which each of the markers stands as such."""
    parts = re.split("(" + "|".join(map(re.escape, markers)) + ")", text)
    found = [Marker(part) if part in markers else Literal(part) for part in parts if part]
    return found[0] if len(found) == 1 else Seq(tuple(found))


Node = Literal | Marker | Json | RawString | QuotedDict | AnyJsonObject | RawText | Seq | Choice | Repeat | AnyOrder
