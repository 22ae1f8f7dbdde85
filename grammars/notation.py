"""How a value is spelled: as JSON, or as the dictionaries that Gemma writes. All else in a grammar is common to both.

A notation knows the punctuation, what a key looks like and what stands around a string; it knows no schema.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from grammars.raw import bare
from grammars.regular import (
    TEXT,
    Expr,
    Text,
    cat,
    chars,
    excluding,
    other_than,
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
    """Implements `Notation`: bare keys, and raw strings between two of the same mark."""

    name, comma, colon = "dict-", ",", ":"

    def __init__(self, text: str, quote: Expr) -> None:
        """`text` is what `quote`, perhaps a token, looks like."""
        self.text, self.quote = text, quote

    def key(self, name: str) -> str | None:
        return name if name and all(char in KEY_CHAR for char in name) and self.text not in name else None

    def other_keys(self, names: Iterable[str]) -> Expr:
        return bare(other_than(["", *names], KEY_CHAR), self.text)

    def within(self, content: Expr) -> Expr:
        return bare(content, self.text)

    def spelled(self, content: Expr) -> Expr:
        return content


JSON = JsonNotation()
KEY_CHAR = excluding(TEXT, chars(":,{}"))
