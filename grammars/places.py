"""Which values a lexer has to read side by side: those that stand at one place in several options of a choice.

And whether their objects and lists may be written by `%json`. See `grammars.lark`. Knows no lexeme.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from grammars.edges import choices
from grammars.llguidance_schema import is_exact
from grammars.nodes import AnyOrder, Choice, Literal, Marker, Node, Repeat, Seq
from grammars.shape import AnyValue, Array, Const, Document, Object, Ref, Shape, Union, parts

_SOME_VALUE = "\0"


def shared_places(choice: Choice) -> Iterator[list[Node]]:
    """The values behind the same text in options of a choice, where they are not all the same."""
    found: dict[str, list[Node]] = {}
    for option in choices(choice):
        if _goes_on(option):
            for text, value in _values(option, ""):
                found.setdefault(text, []).append(value)
    return (values for values in found.values() if any(value != values[0] for value in values))


def _values(node: Node, text: str) -> Iterator[tuple[str, Node]]:
    """What is no fixed text in a node, with all that is written before it."""
    match node:
        case Seq(parts):
            for part in parts:
                if isinstance(part, Literal | Marker):
                    text += part.text
                else:
                    yield from _values(part, text)
                    text += _SOME_VALUE
        case AnyOrder(items):
            for item in items:
                yield from _values(item, text)
        case Repeat(item):
            yield from _values(item, text)
        case Choice() if any(map(_goes_on, choices(node))):
            for option in choices(node):
                yield from _values(option, text)
        case Literal() | Marker():
            return
        case _:
            yield text, node


def _goes_on(node: Node) -> bool:
    return isinstance(node, Seq | AnyOrder | Repeat)


def is_nested(shape: Shape) -> bool:
    """Whether it begins with a bracket, or may."""
    if isinstance(shape, Const):
        return shape.text.startswith(("[", "{"))
    return isinstance(shape, Object | Array | Ref | AnyValue)


def is_mixed(documents: Iterable[Document]) -> bool:
    """Whether objects or lists are alternatives, in one of the documents or between them, of which some need rules.

    Then all of them need some: the key and colon of a rule is a longer lexeme than the key within `%json`, which would
    be lost.
    """
    nested = [one for one in documents if any(map(is_nested, _options(one.root)))]
    if len(nested) > 1 and not all(is_exact(one.root, one) for one in nested):
        return True
    return not all(is_exact(union, one) for one in nested for union in _alternatives(one))


def _options(shape: Shape) -> tuple[Shape, ...]:
    return shape.options if isinstance(shape, Union) else (shape,)


def _alternatives(document: Document) -> Iterator[Union]:
    """Those of which several begin with a bracket, or may."""
    for shape in (document.root, *document.shapes.values()):
        for part in parts(shape):
            if isinstance(part, Union) and sum(map(is_nested, part.options)) > 1:
                yield part
