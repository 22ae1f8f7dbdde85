"""How a value is spelled: as JSON, or as the dictionaries that Gemma writes. All else in a grammar is common to both.

A notation knows the punctuation, what a key looks like and what stands around a string; it knows no schema.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from grammars.automaton import matches
from grammars.raw import bare
from grammars.regular import (
    TEXT,
    Both,
    Expr,
    Text,
    cat,
    chars,
    excluding,
    many,
    optional,
    other_than,
    ranges,
)
from grammars.strings import quoted, spelled


class Notation(Protocol):
    name: str  # before the names of rules, so that two notations in one grammar stay apart
    comma: str
    colon: str
    quote: Expr  # what stands before and after a string

    def key(self, name: str) -> str | None:
        """A property's name as it is written, without the colon; None where it cannot be."""

    def other_keys(self, names: Iterable[str]) -> Expr:
        """Any key but these."""

    def within(self, content: Expr) -> Expr:
        """The strings that match a regular expression; `spelled` is still to come."""

    def spelled(self, content: Expr) -> Expr:
        """How the characters of a string are written."""


class JsonNotation:
    """Implements `Notation`: canonical JSON (`grammars.canonical`)."""

    name, comma, colon = "", ", ", ": "
    quote: Expr = Text('"')

    def key(self, name: str) -> str | None:
        return quoted(name)

    def other_keys(self, names: Iterable[str]) -> Expr:
        return cat(self.quote, spelled(other_than(names)), self.quote)

    def within(self, content: Expr) -> Expr:
        return content

    def spelled(self, content: Expr) -> Expr:
        return spelled(content)


class DictNotation:
    """Implements `Notation`: bare keys, and raw strings between two of the same mark.

    A key holds no control character and none of `: , { } [ ] < > "`, and no white space at its ends.
    """

    name, comma, colon = "dict-", ",", ":"

    def __init__(self, text: str, quote: Expr) -> None:
        """`text` is what `quote`, perhaps a token, looks like."""
        self.text, self.quote = text, quote

    def key(self, name: str) -> str | None:
        return name if matches(_BARE, name) and self.text not in name else None

    def other_keys(self, names: Iterable[str]) -> Expr:
        return bare(Both(other_than(names, _INNER), _BARE), self.text)

    def within(self, content: Expr) -> Expr:
        return bare(content, self.text)

    def spelled(self, content: Expr) -> Expr:
        return content


JSON = JsonNotation()
_INNER = excluding(TEXT, ranges((1, 0x1F)), chars(':,{}[]<>"'))  # of a bare key
_EDGE = excluding(_INNER, chars(" \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000"), ranges((0x2000, 0x200A)))
_BARE = cat(_EDGE, optional(cat(many(_INNER), _EDGE)))
