"""Which cases a constraint rescued or broke, and which a level gained or lost: the names behind the counts.

A few of each; the report's JSON has all. A case and its twin stand under one id, as they are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bench import numbers
from bench.report.document import Cell, Column, Table, Tone, cell

if TYPE_CHECKING:
    from bench.report.values import Paired, Rung, Section

_MOST = 10  # of one kind in one comparison


def tables(section: Section) -> list[Table]:
    """One table, or none where no case changed."""
    rows = [*_paired(section.paired), *_against(section.ladder)]
    for each in section.kv_ladder:
        rows += _lines_of(each.rung, f"{each.rung.reference} -> {each.kv_type}, {_mode(each.rung)}")
    if not rows:
        return []
    columns = tuple(Column(name) for name in ("quant", "compared", "change", "case"))
    notes = ("rescued, gained: wrong in the first, right in the second; broken, lost: the other way round",)
    return [Table(columns, tuple(rows), title="Cases that are right on one side only", n_group=3, notes=notes)]


def _paired(pairs: Sequence[Paired]) -> Iterator[tuple[Cell, ...]]:
    several = len({pair.backend for pair in pairs}) > 1
    for pair in pairs:
        names = (f"{pair.free} -> {pair.constrained}", pair.backend if several else "", pair.setting)
        compared = ", ".join(filter(None, names))
        yield from _lines(pair.quant, compared, "rescued", pair.rescued_cases)
        yield from _lines(pair.quant, compared, "broken", pair.broken_cases)


def _against(rungs: Sequence[Rung]) -> Iterator[tuple[Cell, ...]]:
    for rung in rungs:
        yield from _lines_of(rung, f"{rung.reference} -> {rung.quant}, {_mode(rung)}")


def _lines_of(rung: Rung, compared: str) -> Iterator[tuple[Cell, ...]]:
    yield from _lines(rung.quant, compared, "gained", rung.gained_cases)
    yield from _lines(rung.quant, compared, "lost", rung.lost_cases)


def _mode(rung: Rung) -> str:
    return ", ".join(filter(None, (rung.mode, rung.setting)))


def _lines(quant: str, compared: str, change: str, cases: Sequence[str]) -> Iterator[tuple[Cell, ...]]:
    tone: Tone = "good" if change in ("rescued", "gained") else "bad"
    for case in cases[:_MOST]:
        yield cell(quant), cell(compared), cell(change, tone), cell(case)
    if len(cases) > _MOST:
        more = f"and {numbers.count(len(cases) - _MOST)} more"
        yield cell(quant), cell(compared), cell(change, tone), cell(more, "dim")
