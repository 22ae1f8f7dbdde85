"""What the report's tables share: cells for shares and medians, a line for each quant and mode. Knows no result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import numbers
from bench.modes import NO_BACKEND
from bench.rates import Rate
from bench.report.document import Bar, Cell, Column, Table, Tone, cell
from bench.stats import CONFIDENCE, Middle, Spread

if TYPE_CHECKING:
    from bench.report.values import Row

CellMaker = Callable[["Row"], Sequence[Cell]]
DASH = cell(numbers.MISSING, "dim")
_WIDE = 0.1  # an interval wider than this makes decimals of what is inside meaningless


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table: what it is about, and its cells. `more`: what tells it from others of the same row."""

    row: Row
    cells: Sequence[Cell]
    more: tuple[str, ...] = ()


def per_row(
    rows: Sequence[Row], title: str, headers: Sequence[str], cells: CellMaker, *, notes: tuple[str, ...] = ()
) -> Table:
    return per_line([Line(row, cells(row)) for row in rows], title, headers, notes=notes)


def per_line(
    lines: Sequence[Line],
    title: str,
    headers: Sequence[str],
    *,
    more: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
) -> Table:
    """`more` are the headers of what the lines' own `more` says."""
    names, key_cells = keys([line.row for line in lines])
    columns = (
        *names,
        *map(Column, more),
        # Each column a part of its own: a narrow terminal takes as many as fit.
        *(right(header, f"column {index}") for index, header in enumerate(headers)),
    )
    rows = tuple((*key_cells(line.row), *map(cell, line.more), *line.cells) for line in lines)
    return Table(columns, rows, title=title, n_group=len(names) if more else 1, notes=notes)


def keys(rows: Sequence[Row]) -> tuple[list[Column], CellMaker]:
    """Name the columns that tell rows apart; the backend, where there is only one, is said below the main table."""
    has_settings = any(row.setting for row in rows)
    has_backends = len(backends(rows)) > 1
    names = ["quant", *(["setting"] if has_settings else []), "mode", *(["backend"] if has_backends else [])]

    def cells(row: Row) -> list[Cell]:
        settings = [cell(row.setting)] if has_settings else []
        own = [cell(row.backend)] if has_backends else []
        return [cell(row.quant, "strong"), *settings, cell(row.mode), *own]

    return [Column(name) for name in names], cells


def backends(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.backend for row in rows if row.backend != NO_BACKEND))


def right(header: str, part: str) -> Column:
    return Column(header, right=True, part=part)


def rate_with_interval(rate: Rate | None) -> Cell:
    """A share with its interval as text and as a bar."""
    if rate is None:
        return DASH
    text = f"{numbers.share(rate.value)} ({numbers.interval(rate.low, rate.high)})"
    return cell(text, bar=Bar(rate.value, rate.low, rate.high))


def rate_of(rate: Rate | None, tone: Tone = "plain") -> Cell:
    """A share with its interval, and of how many."""
    if rate is None:
        return DASH
    found = rate_with_interval(rate)
    return Cell(f"{found.text} of {numbers.count(rate.n)}", tone, found.bar)


def rate_in_short(rate: Rate | None) -> Cell:
    """A share with its interval, without decimals where they would say nothing."""
    if rate is None:
        return DASH
    found = rate_with_interval(rate)
    rounded = round(rate.value * 100)
    if rate.high - rate.low < _WIDE or (rounded in (0, 100) and rate.hits not in (0, rate.n)):
        return found
    return Cell(f"{rounded}% ({numbers.interval(rate.low, rate.high)})", bar=found.bar)


def hits_of(rate: Rate | None, tone: Tone = "plain") -> Cell:
    """Counts alone, where there are too few for a share."""
    return cell(f"{numbers.count(rate.hits)} of {numbers.count(rate.n)}", tone) if rate else DASH


def plain_rate(rate: Rate | None, tone: Tone = "plain") -> Cell:
    return cell(numbers.share(rate.value), tone) if rate else DASH


def median(spread: Spread | None, write: Callable[[float], str]) -> Cell:
    return cell(write(spread.median)) if spread else DASH


def times(found: Middle | None) -> Cell:
    """How many times as long, with an interval where there can be one; certain where it leaves 1 out."""
    if found is None:
        return DASH
    text = f"{found.median:.2f}x"
    if found.confidence < CONFIDENCE:
        return cell(text)
    is_certain = not found.low <= 1 <= found.high
    return cell(f"{text} ({numbers.ratio_interval(found.low, found.high)})", "certain" if is_certain else "plain")


def value(text: str) -> Cell:
    return DASH if text == numbers.MISSING else cell(text)


def tally(number: int, tone: Tone = "plain") -> Cell:
    """A count, in its tone where there is something to count."""
    return cell(numbers.count(number), tone) if number else cell("0", "dim")
