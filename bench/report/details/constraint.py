"""How hard the constraint had to push, as a table of the rows that have one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench import numbers
from bench.report.document import Cell, Table, cell
from bench.report.layout import DASH, median, per_row, value

if TYPE_CHECKING:
    from bench.report.values import Row


def table(rows: Sequence[Row]) -> Table | None:
    def cells(row: Row) -> list[Cell]:
        push = row.push
        if push is None:
            return [DASH] * 5
        return [
            cell(numbers.significant(push.interventions_per_answer)),
            value(numbers.share(push.removed_mass)),
            cell(numbers.share(push.forced_share)),
            value(numbers.duration(push.mask_s_per_token)),
            median(row.speed.compile_s, numbers.duration),
        ]

    headers = ["interventions\nper answer", "removed\nmass", "forced\ntokens", "mask\nper token", "compile"]
    pushed = [row for row in rows if row.push]
    return per_row(pushed, "How hard the constraint had to push", headers, cells) if pushed else None
