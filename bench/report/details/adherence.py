"""Do the calls obey the tools' schemas, and if not, how not? In a schema mode any violation is an escape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import numbers
from bench.modes import MODES
from bench.rates import Rate, share
from bench.report.document import Cell, Table, cell
from bench.report.judged import Judged
from bench.report.layout import Line, per_line, rate_of, tally

if TYPE_CHECKING:
    from bench.report.values import Row

KINDS = ("invented_tool", "invented_field", "missing_required", "wrong_type", "not_in_enum", "other")


@dataclass(frozen=True, slots=True)
class Adherence:
    """Counts of calls that could be read; one with two kinds of violation counts in both."""

    n_calls: int
    valid: Rate | None
    invented_tool: int
    invented_field: int
    missing_required: int
    wrong_type: int
    not_in_enum: int
    other: int

    @property
    def violations(self) -> tuple[int, ...]:
        """In the order of `KINDS`."""
        return tuple(getattr(self, kind) for kind in KINDS)


def measure(judged: Judged) -> Adherence | None:
    """None where no call was made."""
    total: Counter[str] = Counter()
    answers = []
    for item, verdict in judged.explained:
        total.update(verdict.details["adherence"])
        answers.append(item.case_id)
    if not total["n_calls"]:
        return None
    valid = share(total["n_schema_valid"], total["n_calls"], answers)
    return Adherence(total["n_calls"], valid, *(total[kind] for kind in KINDS))


def table(rows: Sequence[Row]) -> Table | None:
    """None where every call obeyed."""
    found = [(row, row.adherence) for row in rows if row.adherence]
    if not any(any(adherence.violations) for _, adherence in found):
        return None
    return per_line(
        [Line(row, _cells(row, adherence)) for row, adherence in found],
        "Calls and their schemas",
        ["calls", "valid", *(kind.replace("_", "\n") for kind in KINDS)],
        notes=("calls that could be read; in a schema mode every violation is a fault of the constraint",),
    )


def _cells(row: Row, adherence: Adherence) -> list[Cell]:
    is_escape = MODES[row.mode].constraint == "schema"
    return [
        cell(numbers.count(adherence.n_calls)),
        rate_of(adherence.valid),
        *(tally(n, "bad" if is_escape else "plain") for n in adherence.violations),
    ]
