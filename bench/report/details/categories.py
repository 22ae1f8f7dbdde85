"""Accuracy by category, with every planned item in one place: scored, or not scored for a reason that has a name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import numbers
from bench.rates import Rate, rate
from bench.report.document import Cell, Table, cell
from bench.report.judged import Judged, is_right, is_scored
from bench.report.layout import DASH, Line, per_line, per_row, rate_in_short, tally

if TYPE_CHECKING:
    from bench.report.values import Row

NOT_ANSWERED, NOT_JUDGED, STALE = "not_answered", "not_judged", "stale"


@dataclass(frozen=True, slots=True)
class Category:
    """`n_scored` and the numbers in `not_scored` add up to `n_planned`."""

    name: str
    n_planned: int
    n_scored: int
    accuracy: Rate | None  # over the scored
    not_scored: Mapping[str, int]  # cause -> items


def measure(judged: Judged) -> tuple[Category, ...]:
    """In the order of the suite. Where the suite is not at hand, what has no answer yet belongs to no category."""
    hits: dict[str, list[tuple[str, bool]]] = {}
    left: dict[str, Counter[str]] = {name: Counter() for name in judged.planned or ()}
    stored: Counter[str] = Counter()
    for item in judged.items:
        stored[item.category] += 1
        verdict = judged.verdicts.get(item.id)
        causes = left.setdefault(item.category, Counter())
        if verdict is not None and is_scored(verdict):
            hits.setdefault(item.category, []).append((item.case_id, is_right(verdict)))
        else:
            causes[_cause(judged, item.id)] += 1
    found = []
    for name, causes in left.items():
        n_planned = (judged.planned or stored)[name]
        if n_planned > stored[name]:
            causes[NOT_ANSWERED] += n_planned - stored[name]
        scored = hits.get(name, [])
        found.append(Category(name, n_planned, len(scored), rate(scored), dict(causes)))
    return tuple(found)


def not_scored(judged: Judged, categories: Sequence[Category]) -> dict[str, int]:
    """The causes of the whole row; with the scored they add up to what was planned."""
    total: Counter[str] = Counter()
    for category in categories:
        total.update(category.not_scored)
    unanswered = judged.cell.n_items - len(judged.items)
    if unanswered > 0:
        total[NOT_ANSWERED] = unanswered
    return dict(total)


def _cause(judged: Judged, item_id: int) -> str:
    verdict = judged.verdicts.get(item_id)
    if verdict is not None:
        return verdict.outcome
    return STALE if item_id in judged.stale else NOT_JUDGED


def table(rows: Sequence[Row]) -> Table | None:
    """A column for each category; None where there is but one, which the main table has already."""
    names = list(dict.fromkeys(category.name for row in rows for category in row.categories))
    if len(names) < 2:
        return None
    usual = {name: max(found.n_scored for row in rows if (found := _of(row, name))) for name in names}
    has_gaps = any(row.not_scored for row in rows)

    def cells(row: Row) -> list[Cell]:
        found = [_cell(_of(row, name), usual[name]) for name in names]
        n_left = sum(row.not_scored.values())
        return [*found, *([tally(n_left, "warn")] if has_gaps else [])]

    headers = [f"{name}\nn {numbers.count(usual[name])}" for name in names]
    return per_row(
        rows,
        "Accuracy by category",
        [*headers, *(["not\nscored"] if has_gaps else [])],
        cells,
        notes=("over the scored cases, with its 95% interval; n is said in the cell where it is another",)
        if has_gaps
        else (),
    )


def table_of_gaps(rows: Sequence[Row]) -> Table | None:
    """Which causes took items out of which category."""
    gaps = [(row, category) for row in rows for category in row.categories if category.not_scored]
    if not gaps:
        return None
    causes = list(dict.fromkeys(cause for _, category in gaps for cause in category.not_scored))
    lines = [
        Line(
            row,
            [
                *(tally(category.not_scored.get(cause, 0), "warn") for cause in causes),
                *(cell(numbers.count(n)) for n in (category.n_scored, category.n_planned)),
            ],
            (category.name,),
        )
        for row, category in gaps
    ]
    headers = [*(cause.replace("_", "\n") for cause in causes), "scored", "planned"]
    return per_line(lines, "Not scored, by category and cause", headers, more=("category",))


def _of(row: Row, name: str) -> Category | None:
    return next((category for category in row.categories if category.name == name), None)


def _cell(category: Category | None, usual: int) -> Cell:
    if category is None or category.accuracy is None:
        return DASH
    found = rate_in_short(category.accuracy)
    text = found.text if category.n_scored == usual else f"{found.text} n {numbers.count(category.n_scored)}"
    return Cell(text, found.tone, found.bar)
