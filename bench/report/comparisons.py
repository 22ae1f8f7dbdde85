"""The tables in which rows are held against each other: free against constrained, a level against the best one."""

from __future__ import annotations

from collections.abc import Sequence

from bench import numbers
from bench.report.document import Column, Table, Tone, cell
from bench.report.layout import right
from bench.report.values import Paired, Rung, Verdict

_VERDICT_TONES: dict[Verdict, Tone] = {"not worse": "good", "cannot tell": "warn", "worse": "bad"}
_SIGNIFICANT = 0.05


def paired(pairs: Sequence[Paired]) -> Table:
    backends = {pair.backend for pair in pairs}
    rows = []
    for pair in pairs:
        label = f"{pair.free} -> {pair.constrained.partition('.')[2]}"
        if len(backends) > 1:
            label += f" ({pair.backend})"
        rows.append(
            (
                cell(pair.quant),
                cell(label),
                cell(numbers.count(pair.n)),
                cell(numbers.count(pair.rescued), "good" if pair.rescued else "dim"),
                cell(numbers.count(pair.broken), "bad" if pair.broken else "dim"),
                cell(numbers.count(pair.same_right)),
                cell(numbers.count(pair.same_wrong)),
                cell(numbers.points(pair.difference), "strong" if pair.p < _SIGNIFICANT else "plain"),
                cell(numbers.p_value(pair.p)),
            )
        )
    return Table(
        (
            Column("quant"),
            Column("free -> constrained"),
            *(
                right(name, "counts")
                for name in ("n", "rescued", "broken", "same,\nright", "same,\nwrong", "points", "p")
            ),
        ),
        tuple(rows),
        title="Does constraining help? The same cases, free and constrained",
        n_group=1,
        notes=("rescued: wrong when free, right when constrained; p: exact McNemar test",),
    )


def ladder(rungs: Sequence[Rung]) -> Table:
    rows = tuple(
        (
            cell(rung.mode),
            cell(rung.quant),
            cell(numbers.count(rung.n)),
            cell(numbers.count(rung.gained)),
            cell(numbers.count(rung.lost)),
            cell(f"{numbers.points(rung.difference)} ({numbers.points_interval(rung.low, rung.high)})"),
            cell(numbers.p_value(rung.p)),
            cell(rung.verdict, _VERDICT_TONES[rung.verdict]),
        )
        for rung in rungs
    )
    reference, margin = rungs[0].reference, rungs[0].margin
    notes = [
        f"gained: wrong at {reference}, right here; verdict: worse by more than"
        f" {margin * 100:g} points or not; p: exact McNemar test, Holm-adjusted over the ladder"
    ]
    needed = [rung.n_to_settle for rung in rungs if rung.n_to_settle]
    if needed:
        notes.append(f"about {numbers.count(max(needed))} cases would settle what cannot be told here")
    return Table(
        (
            Column("mode"),
            Column("quant"),
            *(right(name, "counts") for name in ("n", "gained", "lost", "points", "p")),
            Column("verdict", part="counts"),
        ),
        rows,
        title=f"What does a smaller level cost? Each against {reference}, on the same cases",
        n_group=1,
        notes=tuple(notes),
    )
