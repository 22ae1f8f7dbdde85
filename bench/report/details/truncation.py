"""Where answers broke off, and why: by position and by cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.rates import Rate, rate
from bench.report.document import Cell, Table
from bench.report.judged import Judged
from bench.report.layout import Line, per_line, rate_of, tally
from bench.score.outcome import CutAt
from bench.score.truncation import TruncationCause

if TYPE_CHECKING:
    from bench.report.values import Row

_POSITIONS = tuple(position.value for position in CutAt)
_CAUSES = tuple(cause.value for cause in TruncationCause)


@dataclass(frozen=True, slots=True)
class BrokenOff:
    """Scored answers that broke off here and for this reason."""

    position: str
    cause: str
    n: int


@dataclass(frozen=True, slots=True)
class Truncation:
    """`broken_off`: an answer that the model ended within a call or its reasoning is among these, though uncut."""

    rate: Rate | None
    broken_off: tuple[BrokenOff, ...]

    def n_at(self, position: str) -> int:
        return sum(each.n for each in self.broken_off if each.position == position)

    def n_by(self, cause: str) -> int:
        return sum(each.n for each in self.broken_off if each.cause == cause)


def measure(judged: Judged) -> Truncation | None:
    """None where nothing was scored."""
    explained = judged.explained
    if not explained:
        return None
    found: Counter[tuple[str, str]] = Counter()
    for _, verdict in explained:
        cause = verdict.details["truncated_by"]
        if cause is not None:
            found[_position(verdict.details), cause] += 1
    kinds = sorted(found.items(), key=lambda each: (_POSITIONS.index(each[0][0]), _CAUSES.index(each[0][1])))
    broken_off = tuple(BrokenOff(position, cause, n) for (position, cause), n in kinds)
    hits = ((item.case_id, verdict.details["truncated_by"] is not None) for item, verdict in explained)
    return Truncation(rate(hits), broken_off)


def _position(details: Mapping[str, Any]) -> str:
    """Older verdicts hold that of a cut alone, and first it was an end within a call alone that was called early."""
    return str(details.get("truncated_at") or details["cut_at"] or CutAt.IN_CALL.value)


def table(rows: Sequence[Row]) -> Table | None:
    """None where nothing broke off."""
    found = [(row, row.truncation) for row in rows if row.truncation]
    if not any(truncation.broken_off for _, truncation in found):
        return None
    positions = [name for name in _POSITIONS if any(truncation.n_at(name) for _, truncation in found)]
    causes = [name for name in _CAUSES if any(truncation.n_by(name) for _, truncation in found)]

    def cells(truncation: Truncation) -> list[Cell]:
        counts = [*map(truncation.n_at, positions), *map(truncation.n_by, causes)]
        return [rate_of(truncation.rate), *(tally(n, "warn") for n in counts)]

    headers = [
        f"{kind}:\n{name.replace('_', ' ')}" for kind, names in (("at", positions), ("by", causes)) for name in names
    ]
    return per_line(
        [Line(row, cells(truncation)) for row, truncation in found],
        "Where answers broke off, and why",
        ["broken off", *headers],
        notes=(
            "early end: the model ended its answer within a call or its reasoning; no cut, with a verdict of its own",
        )
        if "early_end" in causes
        else (),
    )
