r"""Strings as bare text: what may stand between two marks of a format, without quotes and escapes.

A text goes on until its `end` is written, so it must not hold that, nor end such that the end is found too early: with
the end `\n</p>\n`, the text `\n</p>` would be cut off at once. NUL, which llama.cpp cannot read, has no place in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from grammars.automaton import alphabet, matches
from grammars.regular import (
    ANY,
    NOTHING,
    TEXT,
    Alt,
    Both,
    Cat,
    Chars,
    Expr,
    Many,
    Text,
    UpTo,
    alt,
    cat,
    chars,
    excluding,
    length_bounds,
    many,
)
from grammars.shape import AnyValue, Const, Document, Ref, Shape, String, Union

ANYTHING = many(TEXT)
NUL = chars("\0")


def string_shapes(shape: Shape, document: Document) -> Iterator[String | Const]:
    """What the strings among the values of a shape look like."""
    match shape:
        case String():
            yield shape
        case Const(text) if text.startswith('"'):
            yield shape
        case AnyValue(path):
            yield String(path=path)
        case Union(options):
            for option in options:
                yield from string_shapes(option, document)
        case Ref(name):
            yield from string_shapes(document.shapes[name], document)


def content(shape: String | Const) -> Expr:
    """The characters of the string itself."""
    if isinstance(shape, Const):
        return Text(json.loads(shape.text))
    lengths = many(ANY, shape.minimum, shape.maximum)
    if shape.content is None:
        return lengths
    low, high = length_bounds(shape.content)
    implied = low >= shape.minimum and (shape.maximum is None or (high is not None and high <= shape.maximum))
    return shape.content if implied else Both(shape.content, lengths)


def up_to_a_token(until: str, tokens: Iterable[str]) -> str:
    """The end of a text; only as far as the first of the tokens in it, if there are any.

    Not every engine could tell the token from a text that merely looks like it, and goes on.
    """
    return until[: min((until.find(text) + len(text) for text in tokens if text in until), default=len(until))]


def bare(content: Expr, end: str) -> Expr:
    """Those texts of `content` that may stand before `end`."""
    match content:
        case Alt(options):
            return alt(*(bare(option, end) for option in options))
        case Text(text):
            return content if "\0" not in text and matches(UpTo(end), text) else NOTHING
    content = _without_nul(content)
    if content == ANYTHING:
        return UpTo(end)
    return content if _never_holds(content, end) else Both(content, UpTo(end))


def is_free(text: Expr) -> bool:
    """Whether it is any text but for what must not stand in it."""
    match text:
        case Both(left, right):
            return is_free(left) and is_free(right)
    return isinstance(text, UpTo)


def _never_holds(content: Expr, end: str) -> bool:
    """Whether it is plain that no such text holds `end`, or could be taken for its beginning."""
    period = next(size for size in range(1, len(end) + 1) if end.startswith(end[size:]))
    written, known = end[:period], alphabet(content)  # what any such text would have to hold
    longest = length_bounds(content)[1]
    return not all(char in known for char in written) or (longest is not None and longest < len(written))


def _without_nul(expr: Expr) -> Expr:
    match expr:
        case Text(text):
            return NOTHING if "\0" in text else expr
        case Chars():
            left = excluding(expr, NUL)
            return left if left.ranges else NOTHING
        case Cat(parts):
            return cat(*map(_without_nul, parts))
        case Alt(options):
            return alt(*map(_without_nul, options))
        case Many(item, minimum, maximum):
            return many(_without_nul(item), minimum, maximum)
        case Both(left, right):
            return Both(_without_nul(left), _without_nul(right))
    return expr
