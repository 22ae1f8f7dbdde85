"""BFCL's own verdict beside ours on the same answers, by category, and the averages that BFCL makes of its own.

The official verdict is that of our implementation of BFCL's rules, held equal to the official checker by tests. There
is never one figure over everything: much of what BFCL counts is not run here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import numbers
from bench.rates import Rate, rate
from bench.report.document import Cell, Column, Table, cell
from bench.report.judged import Judged, Scored, is_right, is_scored
from bench.report.layout import DASH, Line, per_line, rate_of, rate_with_interval, right, tally
from bench.score.bfcl.groups import Group, Tally, groups
from bench.score.bfcl.known import contradictory, impossible
from bench.suites.bfcl.categories import CATEGORIES, PREFIX
from bench.suites.case import Suite

if TYPE_CHECKING:
    from bench.report.values import Row

Known = Mapping[str, str]  # case id -> impossible or contradictory


@dataclass(frozen=True, slots=True)
class Bfcl:
    """One category. `official` counts every answer as BFCL does, even one that ended in an error; ours the scored."""

    category: str
    official: Rate | None
    strict: Rate | None
    official_only: Mapping[str, int]  # right by BFCL's rules and not by ours: our verdict -> answers
    strict_only: Mapping[str, int]  # right by ours and not by BFCL's: its reason -> answers
    n_known: int | None  # answers to cases whose reference is impossible or contradicts itself; None: not looked up
    official_without_known: Rate | None
    strict_without_known: Rate | None


@dataclass(frozen=True, slots=True)
class BfclGroups:
    """BFCL's averages for one quant in one mode, over all its suites in the run."""

    model: str
    quant: str
    mode: str
    backend: str
    groups: tuple[Group, ...]
    setting: str = ""


def known_of(suite: Suite) -> Known:
    """The cases to be told apart; empty for a suite that is not BFCL's."""
    if not suite.name.startswith(PREFIX):
        return {}
    found = {}
    for case in suite.cases:
        if impossible(case):
            found[case.id] = "impossible"
        elif contradictory(case):
            found[case.id] = "contradictory"
    return found


def measure(judged: Judged, known: Known) -> tuple[Bfcl, ...]:
    """Empty where the suite is not BFCL's."""
    by_category: dict[str, list[Scored]] = {}
    for item, verdict in judged.detailed:
        if verdict.details["official"] is not None:
            by_category.setdefault(item.category, []).append((item, verdict))
    has_cases = judged.cases is not None
    return tuple(_category(name, pairs, known if has_cases else None) for name, pairs in by_category.items())


def _category(name: str, pairs: Sequence[Scored], known: Known | None) -> Bfcl:
    apart = [pair for pair in pairs if known and pair[0].case_id in known]
    others = [pair for pair in pairs if not known or pair[0].case_id not in known]
    differing = [
        verdict
        for _, verdict in pairs
        if is_scored(verdict) and is_right(verdict) != verdict.details["official"]["valid"]
    ]
    return Bfcl(
        name,
        _official(pairs),
        _strict(pairs),
        official_only=dict(Counter(verdict.outcome for verdict in differing if not is_right(verdict))),
        strict_only=dict(Counter(v.details["official"]["error_type"] for v in differing if is_right(v))),
        n_known=None if known is None else len(apart),
        official_without_known=_official(others) if known is not None else None,
        strict_without_known=_strict(others) if known is not None else None,
    )


def _official(pairs: Iterable[Scored]) -> Rate | None:
    return rate((item.case_id, verdict.details["official"]["valid"]) for item, verdict in pairs)


def _strict(pairs: Iterable[Scored]) -> Rate | None:
    return rate((item.case_id, is_right(verdict)) for item, verdict in pairs if is_scored(verdict))


def averages(cells: Sequence[tuple[Judged, Sequence[Bfcl]]], n_trials: int) -> tuple[BfclGroups, ...]:
    """One entry for each quant, setting and mode that has answers to BFCL's cases."""
    tallies: dict[tuple[str, str, str, str, str], dict[str, Tally]] = {}
    for judged, categories in cells:
        model = judged.cell.model
        key = (model.name, judged.level, model.setting, judged.cell.mode, judged.cell.backend)
        for found in categories:
            if found.category in CATEGORIES and found.official is not None:
                n_expected = CATEGORIES[found.category].n_cases * n_trials
                tally = Tally(found.official.n, found.official.hits, n_expected)
                tallies.setdefault(key, {})[found.category] = tally
    return tuple(
        BfclGroups(model, quant, mode, backend, groups(found), setting)
        for (model, quant, setting, mode, backend), found in tallies.items()
    )


def tables(rows: Sequence[Row]) -> list[Table]:
    """The two verdicts side by side."""
    lines = [Line(row, _cells(found), (found.category,)) for row in rows for found in row.bfcl]
    if not lines:
        return []
    has_known = any(found.n_known for row in rows for found in row.bfcl)
    if not has_known:
        lines = [Line(line.row, line.cells[:4], line.more) for line in lines]
    without = ["known\napart", "official\nwithout", "strict\nwithout"]
    notes = ["official: BFCL's rules; strict: ours, which hold each value against the tool's own schema"]
    if any(_has_errors(found) for row in rows for found in row.bfcl):
        notes.append("BFCL's rules judge answers that ended in an error, too; ours leave them out, as not scored")
    if has_known:
        notes.append("known apart: cases that nobody can pass, or only against the tool's schema; then without them")
    table = per_line(
        lines,
        "BFCL's verdict and ours",
        ["official", "strict", "official\nonly", "strict\nonly", *(without if has_known else [])],
        more=("category",),
        notes=tuple(notes),
    )
    return [table]


def _cells(found: Bfcl) -> list[Cell]:
    without = (found.official_without_known, found.strict_without_known) if found.n_known else (None, None)
    return [
        rate_of(found.official),
        rate_with_interval(found.strict),
        tally(sum(found.official_only.values())),
        tally(sum(found.strict_only.values())),
        DASH if found.n_known is None else tally(found.n_known),
        *map(rate_with_interval, without),
    ]


def _has_errors(found: Bfcl) -> bool:
    return found.official is not None and (found.strict is None or found.strict.n < found.official.n)


def tables_of_reasons(rows: Sequence[Row]) -> list[Table]:
    """What the verdict that says no gives as its reason, where the other says yes."""
    lines = [
        Line(row, [cell(numbers.count(n))], (found.category, direction, reason))
        for row in rows
        for found in row.bfcl
        for direction, reasons in (("official only", found.official_only), ("strict only", found.strict_only))
        for reason, n in reasons.items()
    ]
    if not lines:
        return []
    title = "Where BFCL's verdict and ours differ: the reason of the one that says no"
    return [per_line(lines, title, ["answers"], more=("category", "right by", "reason"))]


def table_of_groups(found: Sequence[BfclGroups]) -> Table | None:
    """None where no group is complete."""
    names = list(dict.fromkeys(group.name for each in found for group in each.groups if group.accuracy is not None))
    if not names:
        return None
    rules = {group.name: group.rule for each in found for group in each.groups}
    setting = ["setting"] if any(each.setting for each in found) else []
    rows = tuple(
        (
            *(cell(getattr(each, name)) for name in ("model", "quant", *setting, "mode", "backend")),
            *(_average(each.groups, name) for name in names),
        )
        for each in found
    )
    return Table(
        (*map(Column, ("model", "quant", *setting, "mode", "backend")), *(right(name, name) for name in names)),
        rows,
        title="BFCL's own averages, by its rules",
        n_group=2,
        notes=(
            *(f"{name}: {rules[name]}" for name in names),
            "there is no figure over all of them: much of what BFCL averages is not run here",
        ),
    )


def _average(found: Sequence[Group], name: str) -> Cell:
    group = next((group for group in found if group.name == name), None)
    return DASH if group is None or group.accuracy is None else cell(numbers.share(group.accuracy))
