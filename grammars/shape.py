"""What a JSON Schema leaves to write: a small algebra of values, in which every assertion is said or refused.

`grammars.lower` makes it from a schema. Knows no keyword and no engine's syntax. A `path`
says where in the schema a shape comes from, for messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from grammars.ranges import Bound
from grammars.regular import Expr


@dataclass(frozen=True, slots=True)
class AnyValue:
    """Any JSON value."""

    path: str = field(default="#", compare=False)


@dataclass(frozen=True, slots=True)
class Const:
    """One value, as it is written."""

    text: str


@dataclass(frozen=True, slots=True)
class Integer:
    minimum: int | None = None
    maximum: int | None = None
    multiple_of: int | None = None
    path: str = field(default="#", compare=False)


@dataclass(frozen=True, slots=True)
class Number:
    minimum: Bound | None = None
    maximum: Bound | None = None


@dataclass(frozen=True, slots=True)
class String:
    """`content`: the regular expression of a `pattern` or `format`; the lengths are not yet part of it."""

    minimum: int = 0
    maximum: int | None = None
    content: Expr | None = None
    path: str = field(default="#", compare=False)


@dataclass(frozen=True, slots=True)
class Array:
    """First the values of `prefix`, then any number of `rest` (None: no more), `minimum` to `maximum` in all."""

    prefix: tuple[Shape, ...] = ()
    rest: Shape | None = None
    minimum: int = 0
    maximum: int | None = None
    path: str = field(default="#", compare=False)


@dataclass(frozen=True, slots=True)
class Property:
    name: str
    shape: Shape
    required: bool


@dataclass(frozen=True, slots=True)
class Object:
    """The properties in this order; after them any others with values of `rest` (None: no others)."""

    properties: tuple[Property, ...] = ()
    rest: Shape | None = None
    path: str = field(default="#", compare=False)


@dataclass(frozen=True, slots=True)
class Union:
    """Any of the options; of none, no value at all."""

    options: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Ref:
    """The shape called `name` in the document."""

    name: str


Shape = AnyValue | Const | Integer | Number | String | Array | Object | Union | Ref
NEVER = Union(())


@dataclass(frozen=True, slots=True)
class Document:
    """A shape, and the shapes that it refers to."""

    root: Shape
    shapes: Mapping[str, Shape]

    def reachable(self, shape: Shape) -> set[str]:
        """The names of the shapes that this one holds, directly or through others."""
        found: set[str] = set()
        open_shapes = [shape]
        while open_shapes:
            for part in parts(open_shapes.pop()):
                if isinstance(part, Ref) and part.name not in found:
                    found.add(part.name)
                    open_shapes.append(self.shapes[part.name])
        return found


def parts(shape: Shape) -> Iterator[Shape]:
    """The shape and all that stands within it; a reference, not what it refers to."""
    inside = [shape]
    while inside:
        part = inside.pop()
        yield part
        match part:
            case Union(options):
                inside += options
            case Array(prefix, rest):
                inside += [*prefix, *([] if rest is None else [rest])]
            case Object(properties, rest):
                inside += [*(one.shape for one in properties), *([] if rest is None else [rest])]
