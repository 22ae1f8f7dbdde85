"""Answers without a call, in four: abstained, malformed, truncated, error. Where none was right, and where one was.

BFCL's own number takes all four as right where no call is; it stands beside the clean abstentions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import numbers
from bench.rates import Rate, rate
from bench.report.document import Cell, Table, cell
from bench.report.judged import Judged, Scored, is_scored
from bench.report.layout import Line, per_line, rate_of, tally
from bench.score.outcome import NoCall
from bench.suites.bfcl.multi_turn import is_multi_turn
from bench.suites.case import Case

if TYPE_CHECKING:
    from bench.report.values import Row

_NAMES = tuple(kind.value for kind in NoCall)


@dataclass(frozen=True, slots=True)
class NoCalls:
    """Answers of one kind of case; `called` and the four add up to `n`, with the answers that have no verdict."""

    n: int
    called: int
    abstained: int
    malformed: int
    truncated: int
    error: int
    abstention: Rate | None  # clean abstentions, of the answers with a verdict
    official: Rate | None  # what BFCL's check takes as right, on its cases


@dataclass(frozen=True, slots=True)
class Restraint:
    none_right: NoCalls | None  # where no call was right
    one_right: NoCalls | None  # where one was


def wants_no_call(case: Case) -> bool:
    return not case.expected and not case.any_call and not is_multi_turn(case)


def measure(judged: Judged) -> Restraint | None:
    """None where the cases are not at hand."""
    if judged.cases is None or not judged.detailed:
        return None
    groups: Mapping[bool, list[Scored]] = {True: [], False: []}
    for item, verdict in judged.detailed:
        case = judged.cases[item.case_id]
        groups[wants_no_call(case)].append((item, verdict))
    return Restraint(_count(groups[True]), _count(groups[False]))


def _count(answers: Sequence[Scored]) -> NoCalls | None:
    if not answers:
        return None
    found = [(item.case_id, verdict.details) for item, verdict in answers]
    kinds = Counter(details["no_call"] for _, details in found)
    official = ((case_id, details["official"]) for case_id, details in found)
    return NoCalls(
        len(found),
        kinds[None],
        kinds[NoCall.ABSTAINED],
        kinds[NoCall.MALFORMED],
        kinds[NoCall.TRUNCATED],
        kinds[NoCall.ERROR],
        abstention=rate(
            (item.case_id, verdict.details["no_call"] == NoCall.ABSTAINED)
            for item, verdict in answers
            if is_scored(verdict)
        ),
        official=rate((case_id, its["valid"]) for case_id, its in official if its is not None),
    )


def tables(rows: Sequence[Row]) -> list[Table]:
    return [table for table in (_table_of_restraint(rows), _table_of_misses(rows)) if table]


def _table_of_restraint(rows: Sequence[Row]) -> Table | None:
    found = [(row, row.no_call.none_right) for row in rows if row.no_call and row.no_call.none_right]
    has_official = any(calls.official for _, calls in found)
    lines = [
        Line(
            row,
            [
                rate_of(calls.abstention),
                tally(calls.called, "warn"),
                *_unclean(calls),
                *([rate_of(calls.official)] if has_official else []),
            ],
        )
        for row, calls in found
    ]
    headers = ["abstained", "called", *_NAMES[1:], *(["right by\nBFCL's rule"] if has_official else [])]
    notes = ("BFCL takes whatever cannot be read as a call for right",) if has_official else ()
    return per_line(lines, "Where no call was right", headers, notes=notes) if lines else None


def _table_of_misses(rows: Sequence[Row]) -> Table | None:
    found = [(row, row.no_call.one_right) for row in rows if row.no_call and row.no_call.one_right]
    lines = [
        Line(row, [cell(numbers.count(calls.n)), tally(calls.abstained, "warn"), *_unclean(calls)])
        for row, calls in found
    ]
    if all(calls.called == calls.n for _, calls in found):
        return None
    return per_line(lines, "Where a call was right, and none was made", ["n", *_NAMES])


def _unclean(calls: NoCalls) -> list[Cell]:
    return [tally(number, "warn") for number in (calls.malformed, calls.truncated, calls.error)]
