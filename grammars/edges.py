"""What the texts of a node begin and end with, as far as a lexer has to know it: see `grammars.lark`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from grammars.automaton import first_steps
from grammars.lower import lower
from grammars.nodes import (
    AnyJsonObject,
    AnyOrder,
    Choice,
    Json,
    Literal,
    Marker,
    Node,
    QuotedDict,
    RawString,
    RawText,
    Repeat,
    Seq,
)
from grammars.regular import ANY, NOTHING, Chars, Expr, chars, union
from grammars.shape import AnyValue, Array, Const, Document, Integer, Number, Object, Ref, Shape, String, Union

NO_CHARS = Chars(())


def open_ends(node: Node) -> Iterator[str]:
    """The ends of the raw texts that may come last in a node: someone has to write them after it."""
    match node:
        case RawText(until) | RawString(_, until):
            yield until
        case Seq(parts):
            if parts:
                yield from open_ends(parts[-1])
        case Choice(options) | AnyOrder(options):
            for option in options:
                yield from open_ends(option)
        case Repeat(item):
            yield from open_ends(item)


def choices(node: Node) -> Iterator[Node]:
    """The options of a choice, and of the choices among them; a node that is none is its only option."""
    if isinstance(node, Choice):
        for option in node.options:
            yield from choices(option)
    else:
        yield node


def first_chars(node: Node, marker_ids: Mapping[str, int], backend: str) -> Chars:
    """The characters that a node may begin with, or more; a token is none."""
    match node:
        case Literal(text):
            return chars(text[:1]) if text else ANY
        case Marker(text):
            return NO_CHARS if text in marker_ids else chars(text[:1])
        case Json(schema) | QuotedDict(schema):
            quote = '"' if isinstance(node, Json) else node.quote
            document = lower(schema, backend)
            return _value_chars(document.root, document, chars("" if quote in marker_ids else quote[:1]))
        case AnyJsonObject():
            return chars("{")
        case Seq((first, *_)):
            return first_chars(first, marker_ids, backend)
        case Choice(options):
            return union(*(first_chars(option, marker_ids, backend) for option in options))
    return ANY


def _value_chars(shape: Shape, document: Document, quote: Chars) -> Chars:
    match shape:
        case Const(text):
            return quote if text.startswith('"') else chars(text[0])
        case Integer() | Number():
            return chars("-0123456789")
        case String():
            return quote
        case Array():
            return chars("[")
        case Object():
            return chars("{")
        case Union(options):
            return union(*(_value_chars(option, document, quote) for option in options))
        case Ref(name):
            return _value_chars(document.shapes[name], document, quote)
        case AnyValue():
            return ANY


def text_chars(expr: Expr) -> Chars:
    """The characters that the texts of a regular expression may begin with."""
    return NO_CHARS if expr == NOTHING else union(*(on for on, _ in first_steps(expr)))
