"""A document on a terminal, through rich. Knows widths and colours; measures nothing.

A table that is too wide for the terminal is cut into parts at its columns' `part`, the key columns repeated, rather
than squeezed until its numbers wrap; a part that is too wide itself is cut within.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Literal

from rich import box
from rich.align import Align
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text as RichText

from bench.report.document import Block, Code, Document, Fold, Heading, Table, Text, Tone, visible

STYLES: dict[Tone, str] = {
    "plain": "",
    "strong": "bold",
    "certain": "bold",
    "dim": "dim",
    "good": "green",
    "warn": "yellow",
    "bad": "bold red",
}
_GAP = 2  # white space between two columns of a table, one of it the box's own
_INDENT = 2
_LEAST_WIDTH = 12  # of a column of text beside others


def render(document: Document, console: Console) -> None:
    """Print the document; one empty line between blocks."""
    for index, block in enumerate(document):
        if index:
            console.print()
        console.print(_block(block, console.width), soft_wrap=isinstance(block, Text) and block.whole)


def _block(block: Block, width: int) -> RenderableType:
    if isinstance(block, Heading):
        return RichText(visible(block.text), style="bold cyan" if block.level == 1 else "bold")
    if isinstance(block, Text):
        return RichText(visible(block.text), style=STYLES[block.tone])
    if isinstance(block, Code):
        body = Padding(RichText(visible(block.text), style=STYLES[block.tone]), (0, 0, 0, _INDENT), expand=False)
        return Group(RichText(visible(block.title), style="bold"), body) if block.title else body
    if isinstance(block, Fold):
        return Group(*_apart([_table(table, width) for table in block.tables]))
    return _table(block, width)


def _apart(pieces: Sequence[RenderableType]) -> Iterable[RenderableType]:
    """With an empty line between two."""
    for index, piece in enumerate(pieces):
        if index:
            yield RichText()
        yield piece


def _table(table: Table, width: int) -> RenderableType:
    parts = [_grid(table, columns, width) for columns in split(table, width)]
    pieces: list[RenderableType] = [RichText(visible(table.title), style="bold")] if table.title else []
    pieces += _apart(parts)
    if table.notes:
        pieces.append(RichText())
    pieces.extend(
        Padding(RichText(visible(note), style="dim"), (0, 0, 0, _INDENT), expand=False) for note in table.notes
    )
    return Group(*pieces)


def split(table: Table, width: int) -> list[list[int]]:
    """Column indexes of each part: one if everything fits, else as few as the columns' `part` and widths allow."""
    everything = list(range(len(table.columns)))
    if _natural_width(table, everything) <= width:
        return [everything]
    keys = [index for index in everything if table.columns[index].part == "key"]
    names = list(dict.fromkeys(column.part for column in table.columns if column.part != "key"))
    parts: list[list[int]] = []
    for name in names:
        named = [index for index in everything if table.columns[index].part == name]
        for columns in _pieces(table, keys, named, width):
            if parts and _natural_width(table, sorted({*parts[-1], *columns})) <= width:
                parts[-1] = sorted({*parts[-1], *columns})
            else:
                parts.append(sorted([*keys, *columns]))
    return parts or [everything]


def _pieces(table: Table, keys: Sequence[int], columns: Sequence[int], width: int) -> Iterator[list[int]]:
    """All columns of a part, if they fit beside the keys with their texts wrapped; else as many at a time as do."""
    if _least_width(table, [*keys, *columns]) <= width:
        yield list(columns)
        return
    piece: list[int] = []
    for index in columns:
        if piece and _natural_width(table, [*keys, *piece, index]) > width:
            yield piece
            piece = []
        piece.append(index)
    yield piece


def _natural_width(table: Table, columns: Sequence[int]) -> int:
    return _whole_width([_column_width(table, index) for index in columns])


def _least_width(table: Table, columns: Sequence[int]) -> int:
    """With columns of text wrapped."""
    names = _names(table, columns)
    widths = {index: _column_width(table, index) for index in columns}
    return _whole_width([widths[index] if index in names else min(widths[index], _LEAST_WIDTH) for index in columns])


def _whole_width(widths: Collection[int]) -> int:
    return _INDENT + sum(widths) + _GAP * (len(widths) - 1)


def _column_width(table: Table, index: int) -> int:
    texts: Iterable[str] = (row[index].text for row in table.rows)
    lines = (line for text in (table.columns[index].header, *texts) for line in visible(text).split("\n"))
    return max((cell_len(line) for line in lines), default=0)


def _names(table: Table, columns: Sequence[int]) -> list[int]:
    """Columns of names and numbers, which are of no use in pieces."""
    return [index for index in columns if not any(" " in row[index].text for row in table.rows)]


def _unbroken(table: Table, columns: Sequence[int], width: int) -> set[int]:
    """Columns of names and numbers, as far as the others can make room for them."""
    widths = {index: min(_column_width(table, index), _LEAST_WIDTH) for index in columns}
    kept: set[int] = set()
    for index in sorted(_names(table, columns), key=lambda name: _column_width(table, name)):
        widths[index] = _column_width(table, index)
        if _whole_width(widths.values()) > width:
            break
        kept.add(index)
    return kept


def _grid(table: Table, columns: Sequence[int], width: int) -> RenderableType:
    unbroken = _unbroken(table, columns, width)
    grid = RichTable(
        box=box.SIMPLE_HEAD, padding=(0, _GAP - 1, 0, 0), pad_edge=False, show_edge=False, header_style="dim"
    )
    for index in columns:
        column = table.columns[index]
        header = Align(RichText(visible(column.header)), "right" if column.right else "left", vertical="bottom")
        justify: Literal["left", "right"] = "right" if column.right else "left"
        grid.add_column(header, justify=justify, overflow="fold", no_wrap=index in unbroken)
    starts = [table.starts_group(index) for index in range(len(table.rows))]
    spaced = table.n_group > 0 and not all(starts)  # groups of one line each need no space between them
    for row_index, row in enumerate(table.rows):
        first = starts[row_index]
        if row_index and first and spaced:
            grid.add_section()
        grid.add_row(
            *(
                RichText(
                    "" if index < table.n_group and not first else visible(row[index].text), STYLES[row[index].tone]
                )
                for index in columns
            )
        )
    return Padding(grid, (0, 0, 0, _INDENT), expand=False)
