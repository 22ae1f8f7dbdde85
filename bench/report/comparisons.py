"""The tables of rows beside each other: free against constrained, a level or KV type against the best one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bench import numbers
from bench.report.document import Cell, Column, Table, Tone, cell
from bench.report.layout import right
from bench.report.values import KvRung, Paired, Rung, Verdict

_VERDICT_TONES: dict[Verdict, Tone] = {"not worse": "good", "cannot tell": "warn", "worse": "bad"}
_SIGNIFICANT = 0.05


def paired(pairs: Sequence[Paired]) -> Table:
    backends = {pair.backend for pair in pairs}
    settings = _settings(pairs)
    rows = []
    for pair in pairs:
        label = f"{pair.free} -> {pair.constrained.partition('.')[2]}"
        if len(backends) > 1:
            label += f" ({pair.backend})"
        rows.append(
            (
                cell(pair.quant),
                *(cell(pair.setting) for _ in settings),
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
            *settings,
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
    settings = _settings(rungs)
    rows = tuple(
        (
            cell(rung.mode),
            *(cell(rung.setting) for _ in settings),
            cell(rung.quant),
            *_rung_cells(rung),
        )
        for rung in rungs
    )
    return Table(
        (Column("mode"), *settings, Column("quant"), *_RUNG_COLUMNS),
        rows,
        title=f"What does a smaller level cost? Each against {rungs[0].reference}, on the same cases",
        n_group=1,
        notes=_rung_notes(rungs),
    )


def kv_ladder(found: Sequence[KvRung]) -> Table:
    """With what each type buys: of what was never measured there are no columns."""
    rungs = [each.rung for each in found]
    bought = [
        (header, name, write)
        for header, name, write in _COSTS
        if any(getattr(each.cost, name) is not None for each in found)
    ]

    def cells(each: KvRung) -> Iterator[Cell]:
        yield from (cell(each.rung.quant, "strong"), cell(each.rung.setting), cell(each.rung.mode))
        yield from _rung_cells(each.rung)
        for _, name, write in bought:
            yield _change(getattr(each.reference_cost, name), getattr(each.cost, name), write)

    reference = rungs[0].reference
    return Table(
        (
            *(Column(name) for name in ("quant", "setting", "mode")),
            *_RUNG_COLUMNS,
            *(right(header, "cost") for header, _, _ in bought),
        ),
        tuple(tuple(cells(each)) for each in found),
        title=f"What does a smaller KV cache cost, and what does it buy? Each against {reference}, on the same cases",
        n_group=1,
        notes=(*_rung_notes(rungs), f"->: with {reference} and with the smaller type"),
    )


_Write = Callable[[float], str]
_COSTS: tuple[tuple[str, str, _Write], ...] = (
    ("KV cache", "kv_bytes", lambda n_bytes: numbers.size(int(n_bytes))),
    ("peak\nVRAM", "vram_peak_bytes", lambda n_bytes: numbers.size(int(n_bytes))),
    ("peak\nRSS", "rss_peak_bytes", lambda n_bytes: numbers.size(int(n_bytes))),
    ("first\ncall", "ttfc_s", numbers.duration),
    ("decode\ntok/s", "decode_tok_per_s", numbers.rate),
)


def _change(before: float | None, after: float | None, write: _Write) -> Cell:
    return cell(" -> ".join(numbers.MISSING if value is None else write(value) for value in (before, after)))


def _settings(found: Sequence[Paired] | Sequence[Rung]) -> list[Column]:
    """A column where there is more than one setting."""
    return [Column("setting")] if any(each.setting for each in found) else []


_RUNG_COLUMNS = (
    *(right(name, "counts") for name in ("n", "gained", "lost", "points", "p")),
    Column("verdict", part="counts"),
)


def _rung_cells(rung: Rung) -> list[Cell]:
    return [
        cell(numbers.count(rung.n)),
        cell(numbers.count(rung.gained)),
        cell(numbers.count(rung.lost)),
        cell(f"{numbers.points(rung.difference)} ({numbers.points_interval(rung.low, rung.high)})"),
        cell(numbers.p_value(rung.p)),
        cell(rung.verdict, _VERDICT_TONES[rung.verdict]),
    ]


def _rung_notes(rungs: Sequence[Rung]) -> tuple[str, ...]:
    reference, margin = rungs[0].reference, rungs[0].margin
    notes = [
        f"gained: wrong at {reference}, right here; verdict: worse by more than"
        f" {margin * 100:g} points or not; p: exact McNemar test, Holm-adjusted over the ladder"
    ]
    needed = [rung.n_to_settle for rung in rungs if rung.n_to_settle]
    if needed:
        notes.append(f"about {numbers.count(max(needed))} cases would settle what cannot be told here")
    return tuple(notes)
