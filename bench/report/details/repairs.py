"""What could not be read strictly, which repairs would have made it readable, and what that would have changed.

The accuracy after repair stands beside the strict one and never moves it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.modes import MODES
from bench.rates import Rate, rate, share
from bench.report.document import Table
from bench.report.judged import Judged, is_right
from bench.report.layout import DASH, Line, per_line, rate_of, rate_with_interval, tally
from bench.score import Outcome
from bench.score.closing import is_mendable
from engine.formats import ENVELOPE

if TYPE_CHECKING:
    from bench.report.values import Row


@dataclass(frozen=True, slots=True)
class Repairs:
    strict: Rate | None  # answers read strictly, of those that tried to call and were not cut
    n_repairable: int | None  # of the others; None: there are no repairs for calls of this format, and so below
    needed: Mapping[str, int]  # repair -> answers that needed it
    flags: Mapping[str, int]  # what was untidy -> answers, readable ones too
    accuracy: Rate | None  # strict: the verdict
    accuracy_after: Rate | None  # with repaired answers that would be right; conversations are never counted anew


def measure(judged: Judged) -> Repairs | None:
    """None where nobody tried to call."""
    explained = judged.explained
    whole = [(item, verdict) for item, verdict in explained if verdict.outcome != Outcome.TRUNCATED]
    tried = [(item, verdict.details) for item, verdict in whole if verdict.details["adherence"]["n_attempts"]]
    if not tried:
        return None
    mended = [details for _, details in tried if details["hygiene"]["repairs"] is not None]
    answers = [item.case_id for item, _ in explained]
    n_right = sum(is_right(verdict) for _, verdict in explained)
    n_mended = sum(details["hygiene"]["correct_after_repair"] is True for details in mended)
    has_repairs = bool(mended) or is_mendable(_format_of(judged))  # or it wrote another format's calls
    return Repairs(
        strict=rate((item.case_id, _is_strict(details)) for item, details in tried),
        n_repairable=len(mended) if has_repairs else None,
        needed=_histogram(name for details in mended for name in details["hygiene"]["repairs"]),
        flags=_histogram(name for _, details in tried for name in details["hygiene"]["flags"]),
        accuracy=share(n_right, len(answers), answers),
        accuracy_after=share(n_right + n_mended, len(answers), answers) if has_repairs else None,
    )


def _format_of(judged: Judged) -> str:
    return ENVELOPE.id if MODES[judged.cell.mode].style == "json" else judged.cell.model.format


def _is_strict(details: Mapping[str, Any]) -> bool:
    return bool(details["adherence"]["n_parsed"] == details["adherence"]["n_attempts"])


def _histogram(names: Any) -> dict[str, int]:
    return dict(Counter(names).most_common())


def tables(rows: Sequence[Row]) -> list[Table]:
    found = [(row, row.repairs) for row in rows if row.repairs]
    if not found:
        return []
    unread = [_n_unread(repairs) for _, repairs in found]
    result = []
    if any(unread):
        lines = [
            Line(
                row,
                [
                    rate_of(repairs.strict),
                    tally(_n_unread(repairs), "warn"),
                    DASH if repairs.n_repairable is None else tally(repairs.n_repairable),
                    rate_with_interval(repairs.accuracy),
                    rate_with_interval(repairs.accuracy_after),
                ],
            )
            for row, repairs in found
        ]
        headers = ["read\nstrictly", "not\nreadable", "repairable", "accuracy", "accuracy\nafter repair"]
        notes = (
            "of answers that tried to call and were not cut; the verdict is the strict one, and repairs never move it",
            "most repairs are for JSON objects with a name: compare them within one format; -: none for this format",
        )
        result.append(per_line(lines, "Reading strictly, and with repairs", headers, notes=notes))
    histograms = [
        ("Repairs that were needed", [(row, repairs.needed) for row, repairs in found]),
        ("Untidy answers, readable or not", [(row, repairs.flags) for row, repairs in found]),
    ]
    return [*result, *(table for title, counts in histograms if (table := _histograms(title, counts)))]


def _n_unread(repairs: Repairs) -> int:
    return repairs.strict.n - repairs.strict.hits if repairs.strict else 0


def _histograms(title: str, counts: Sequence[tuple[Row, Mapping[str, int]]]) -> Table | None:
    names = list(dict.fromkeys(name for _, found in counts for name in found))
    if not names:
        return None
    lines = [Line(row, [tally(found.get(name, 0)) for name in names]) for row, found in counts]
    return per_line(lines, title, [name.replace("_", "\n") for name in names])
