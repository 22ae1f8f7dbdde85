"""Which row of one side is held against which of the other: of two runs, or of two models of one run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

from bench.report.compare import comparable
from bench.report.judged import Judged


def matched(
    old: Sequence[Judged], new: Sequence[Judged], names: tuple[str, str], without: list[tuple[str, Judged]]
) -> Iterator[tuple[Judged, Judged]]:
    """Each row of the later side with its counterpart; those that have none go `without`, with the reason.

    `names`: what the two sides are called.
    """
    found: set[int] = set()  # rows of the earlier side
    for row in new:
        alike, beside = (
            [each for each in rows if (each.cell.suite, each.cell.mode) == (row.cell.suite, row.cell.mode)]
            for rows in (old, new)
        )
        first = _closest(row, alike, beside)
        if first is None:
            without.append((f"{names[1]} alone has it", row))
            continue
        found.add(first.cell.id)
        if first.cell.suite_sha256 != row.cell.suite_sha256 and not _same_but_for_tools(first, row):
            without.append((_why_unlike(first, row), row))
        elif not comparable(first, row):
            without.append(("no case has a verdict in both runs", row))
        else:
            yield first, row
    without += ((f"{names[0]} alone has it", row) for row in old if row.cell.id not in found)


def _why_unlike(first: Judged, second: Judged) -> str:
    if first.cases is None or second.cases is None:
        known = "its file or its tools' file, which would tell whether only the tools differ, is not here as it was"
        return f"{second.cell.suite} is not the same in both runs, and {known}"
    return f"the cases of {second.cell.suite} are not the same in both runs"


def _same_but_for_tools(first: Judged, second: Judged) -> bool:
    asked = _asked(first)
    return asked is not None and asked == _asked(second)


def _asked(row: Judged) -> list[str] | None:
    """What the cases ask and take to be right, as text, for 1 and True are equal; None: they are not at hand."""
    if row.cases is None:
        return None
    return [repr(replace(case, tools=(), content_hash="")) for case in row.cases.values()]


def comparable_models(rows: Sequence[Judged]) -> tuple[str, ...]:
    """The first two models of a run that have counterparts; empty where no two have."""
    models: dict[str, list[Judged]] = {}
    for row in rows:
        models.setdefault(row.cell.model.name, []).append(row)
    for one, other in combinations(models, 2):
        if any(matched(models[one], models[other], (one, other), [])):
            return one, other
    return ()


def _closest(row: Judged, alike: Sequence[Judged], beside: Sequence[Judged]) -> Judged | None:
    """The row of the same model, level and setting, else of the same level and setting, else the only one there is.

    The only one of that setting on both sides, or the only one at all. `beside`: those like `row` on its own side.
    """
    model = row.cell.model
    at_setting = [each for each in alike if each.cell.model.setting == model.setting]
    same_level = [each for each in at_setting if each.level == row.level]
    same = [each for each in same_level if each.cell.model.name == model.name]
    is_alone_there = sum(each.cell.model.setting == model.setting for each in beside) == 1
    only = at_setting if is_alone_there else [], alike if len(beside) == 1 else []
    return next((candidates[0] for candidates in (same, same_level, *only) if len(candidates) == 1), None)
