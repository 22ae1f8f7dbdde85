"""A document as plain values: headings, paragraphs, tables, preformatted text. Knows neither results nor renderers.

Every command that prints for people builds one of these; `terminal`, `markdown` and `html` render the same values, so
that what a person sees and what is pasted into an issue cannot differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Tone = Literal["plain", "strong", "certain", "dim", "good", "warn", "bad"]
"""strong: the name or the figure to look for first; certain: a difference that is no chance, bold in Markdown, too."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A value with its interval, all between 0 and 1; drawn where there is room for a drawing."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Cell:
    """`is_code`: text as it was, e.g. a marker, which renderers set off from prose where they can."""

    text: str
    tone: Tone = "plain"
    bar: Bar | None = None
    is_code: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """`part` names the columns that stay together when a table is too wide; "key" ones are repeated with every part."""

    header: str
    right: bool = False
    part: str = "key"


@dataclass(frozen=True, slots=True)
class Table:
    """`n_group` leading columns name a group: where they repeat the row above, a terminal leaves them blank."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""
    n_group: int = 0
    notes: tuple[str, ...] = ()

    def starts_group(self, index: int) -> bool:
        """Whether the row differs from the one above in a grouping column."""
        if index == 0 or self.n_group == 0:
            return True
        here, above = self.rows[index], self.rows[index - 1]
        return [cell.text for cell in here[: self.n_group]] != [cell.text for cell in above[: self.n_group]]


@dataclass(frozen=True, slots=True)
class Heading:
    text: str
    level: int = 1


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph. `whole`: to be copied, so a terminal may wrap it but a renderer must not."""

    text: str
    tone: Tone = "plain"
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Code:
    """Text as it was, e.g. a model's output: hostile until a renderer has made it harmless."""

    text: str
    title: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Fold:
    """Tables for a second look: closed at first on a page, where `title` opens them; elsewhere just there."""

    title: str
    tables: tuple[Table, ...]


Block = Heading | Text | Table | Code | Fold
Document = Sequence[Block]


def cell(text: str, tone: Tone = "plain", bar: Bar | None = None) -> Cell:
    return Cell(text, tone, bar)


def code(text: str) -> Cell:
    return Cell(text, is_code=True)


def visible(text: str) -> str:
    """Make control characters harmless and visible; escape sequences must not reach a terminal."""
    return "".join(_picture(character) for character in text)


def _picture(character: str) -> str:
    code = ord(character)
    if character in "\n\t":
        return character
    if code < 0x20:
        return chr(0x2400 + code)  # the Unicode pictures of C0 controls
    if code == 0x7F:
        return "\u2421"
    bidirectional = 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069
    if 0x80 <= code < 0xA0 or 0xD800 <= code <= 0xDFFF or bidirectional:
        return f"\\u{code:04x}"
    return character
