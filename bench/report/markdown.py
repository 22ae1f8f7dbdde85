"""A document as GitHub-flavoured Markdown, for pipes and issues. Every cell is written out; nothing is coloured."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bench.report.document import Block, Cell, Code, Document, Fold, Heading, Table, Text, visible

_TAG = re.compile(r"<(?=[A-Za-z/!?])")  # what could begin HTML; "<0.001" stays readable
_MARK = re.compile(r"[*`]")
_LINK = re.compile(r"\]([(\[:])")  # brackets are text unless one of these follows them
_BACKSLASH = re.compile(r"\\(?=[!-/:-@\[-`{-~]|$)")  # elsewhere a backslash is itself
_QUOTE = re.compile(r"^(\s*)>", re.MULTILINE)
_COMMAND = re.compile(r"(`toolgauge [\w ./:=@%+,~'-]+`)")  # a hint of ours; nothing in it could be markup


def render(document: Document) -> str:
    """Return the whole document, ending with one newline."""
    return "\n\n".join(_block(block) for block in document) + "\n"


def _block(block: Block) -> str:
    if isinstance(block, Heading):
        return f"{'#' * (block.level + 1)} {_one_line(block.text)}"
    if isinstance(block, Text):
        if block.tone in ("warn", "bad"):
            return f"> **{_one_line(block.text)}**"
        return _inline(block.text).replace("\n", "  \n")  # two spaces keep the line break
    if isinstance(block, Code):
        fenced = _fenced(visible(block.text))
        return f"**{_one_line(block.title)}**\n\n{fenced}" if block.title else fenced
    if isinstance(block, Fold):
        return "\n\n".join(map(_table, block.tables))
    return _table(block)


def _table(table: Table) -> str:
    cells = [[_table_cell(column.header) for column in table.columns]]
    cells += [[_cell(cell) for cell in row] for row in table.rows]
    widths = [max(3, *(len(row[index]) for row in cells)) for index in range(len(table.columns))]
    rule = [
        "-" * (width - 1) + ":" if column.right else "-" * width
        for column, width in zip(table.columns, widths, strict=True)
    ]
    aligned = [_line(cells[0], widths, table), f"| {' | '.join(rule)} |"]
    aligned += [_line(row, widths, table) for row in cells[1:]]
    parts = [f"**{_one_line(table.title)}**"] if table.title else []
    parts.append("\n".join(aligned))
    if table.notes:
        parts.append("\n".join(f"- {_one_line(note)}" for note in table.notes))
    return "\n\n".join(parts)


def _line(cells: Sequence[str], widths: Sequence[int], table: Table) -> str:
    padded = (
        text.rjust(width) if column.right else text.ljust(width)
        for text, width, column in zip(cells, widths, table.columns, strict=True)
    )
    return f"| {' | '.join(padded)} |"


def _cell(cell: Cell) -> str:
    if cell.is_code:
        return _code_span(cell.text)
    text = _table_cell(cell.text)
    return f"**{text}**" if cell.tone == "certain" else text


def _table_cell(text: str) -> str:
    return _one_line(text).replace("|", "\\|")


def _code_span(text: str) -> str:
    """Nothing in a code span is markup, save the bars of the table around it; line breaks show as their sign."""
    shown = visible(text).replace("\n", "↵").replace("|", "\\|")
    fence = "`" * (max(map(len, re.findall("`+", shown)), default=0) + 1)
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{space}{shown}{space}{fence}" if shown else ""


def _one_line(text: str) -> str:
    """For a place that a line break would end, such as a heading: names and a template's words may have some."""
    return _inline(text).replace("\n", " ")


def _inline(text: str) -> str:
    """Escape what would become markup or HTML, and nothing else: names, markers, JSON and commands stay readable."""
    parts = _COMMAND.split(visible(text))
    return "".join(part if place % 2 else _escaped(part) for place, part in enumerate(parts))


def _escaped(text: str) -> str:
    escaped = _BACKSLASH.sub(r"\\\\", text)
    escaped = _LINK.sub(r"]\\\1", _MARK.sub(r"\\\g<0>", escaped))
    return _QUOTE.sub(r"\1\\>", _TAG.sub("&lt;", escaped))


def _fenced(text: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}"
