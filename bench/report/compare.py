"""What is found by holding two rows of a run side by side: free against constrained, a level against the best one.

Both compare the same cases, so only those that were scored in both rows count.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence

from bench import stats
from bench.modes import MODES
from bench.report.decide import Decision, Level, decide
from bench.report.decide import Verdict as Decided
from bench.report.judged import Judged
from bench.report.values import Paired, Rung, Verdict

Right = Mapping[Hashable, bool]  # whether a case and trial is correct


def paired(group: Sequence[Judged]) -> Iterator[Paired]:
    """Every constrained row against the free one of its quant and prompt style."""
    free = {
        (row.cell.model.id, MODES[row.cell.mode].style): row for row in group if not MODES[row.cell.mode].constrained
    }
    for row in group:
        mode = MODES[row.cell.mode]
        base = free.get((row.cell.model.id, mode.style))
        if not mode.constrained or base is None:
            continue
        old, new = _shared(base.right, row.right)
        if not old:
            continue
        pairs = stats.count_pairs(old, new)
        n_right_before = sum(old)
        yield Paired(
            quant=row.level,
            free=base.cell.mode,
            constrained=row.cell.mode,
            backend=row.cell.backend,
            n=pairs.n,
            rescued=pairs.rescued,
            broken=pairs.broken,
            same_right=n_right_before - pairs.broken,
            same_wrong=pairs.n - n_right_before - pairs.rescued,
            difference=pairs.difference,
            p=stats.mcnemar(pairs),
        )


def _shared(old: Right, new: Right) -> tuple[list[bool], list[bool]]:
    """The verdicts on what was scored on both sides, in the same order."""
    keys = [key for key in old if key in new]
    return [old[key] for key in keys], [new[key] for key in keys]


def decisions(group: Sequence[Judged]) -> Iterator[tuple[Judged, Decision]]:
    """One decision for each mode and backend with more than one level; the row is the most precise level's."""
    ladders: dict[tuple[str, str], list[Judged]] = {}
    for row in group:
        ladders.setdefault((row.cell.mode, row.cell.backend), []).append(row)
    for rows in ladders.values():
        levels = sorted(rows, key=lambda row: -row.cell.model.gguf_bytes)
        if len(levels) > 1 and any(levels[0].right):
            yield levels[0], decide([Level(row.level, row.cell.model.gguf_bytes, row.right) for row in levels])


def ladder(row: Judged, decision: Decision) -> Iterator[Rung]:
    """Every level below the most precise one."""
    for found in decision.comparisons:
        yield Rung(
            quant=found.level,
            reference=decision.reference,
            mode=row.cell.mode,
            backend=row.cell.backend,
            n=found.pairs.n,
            gained=found.pairs.rescued,
            lost=found.pairs.broken,
            difference=found.difference,
            low=found.interval.low,
            high=found.interval.high,
            p=found.p_value,
            margin=decision.margin,
            verdict=_VERDICTS[found.verdict],
            n_to_settle=found.n_to_settle,
        )


_VERDICTS: Mapping[Decided, Verdict] = {
    Decided.NOT_WORSE: "not worse",
    Decided.WORSE: "worse",
    Decided.CANNOT_TELL: "cannot tell",
}
