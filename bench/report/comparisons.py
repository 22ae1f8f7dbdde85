"""The tables of rows beside each other: free against constrained, a level or KV type against the best one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bench import numbers
from bench.report.document import Cell, Column, Table, Tone, cell
from bench.report.layout import right, tally, times
from bench.report.values import KvRung, Paired, Row, Rung, Unpaired, Verdict
from bench.stats import Middle

_VERDICT_TONES: dict[Verdict, Tone] = {"not worse": "good", "cannot tell": "warn", "worse": "bad"}
_SIGNIFICANT = 0.05
_FEW = 6  # values of which no two cover their median with 95%


def paired(pairs: Sequence[Paired], unpaired: Sequence[Unpaired] = ()) -> Table:
    """`unpaired`: those that could not be compared."""
    backends = {pair.backend for pair in pairs}
    settings = _settings(pairs)
    timed = any(pair.first_call for pair in pairs)
    gaps = _gaps(pairs)
    rows = []
    for pair in pairs:
        label = _arrow(pair)
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
                cell(numbers.points(pair.difference), "certain" if pair.p < _SIGNIFICANT else "plain"),
                cell(numbers.p_value(pair.p)),
                *(tally(pair.n_without_verdict, "bad") for _ in gaps),
                *([times(pair.first_call)] if timed else []),
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
            *gaps,
            *([right("first call", "time")] if timed else []),
        ),
        tuple(rows),
        title="Does constraining help? The same cases, free and constrained",
        n_group=1,
        notes=(
            "rescued: wrong when free, right when constrained; p: exact McNemar test",
            *("no verdict: cases that have one when free and none when constrained; not in n" for _ in gaps),
            *([times_note("it takes, constrained", "both ways", [pair.first_call for pair in pairs])] if timed else []),
            *_not_paired(unpaired),
        ),
    )


def _arrow(pair: Paired | Unpaired) -> str:
    return f"{pair.free} -> {pair.constrained.partition('.')[2]}"


def _not_paired(found: Sequence[Unpaired]) -> Iterator[str]:
    """So that nobody looks for them in vain."""
    arrows: dict[str, list[str]] = {}
    for each in found:
        arrows.setdefault(_place(each), []).append(_arrow(each))
    if arrows:
        named = "; ".join(f"{place} in {', '.join(dict.fromkeys(its))}" for place, its in arrows.items())
        yield f"without a case that has a verdict in both, and so not compared: {named}"


def _place(found: Row | Unpaired) -> str:
    return f"{found.quant} ({found.setting})" if found.setting else found.quant


def times_note(than: str, both: str, found: Sequence[Middle | None]) -> str:
    """What ratios of times are of; in words `than`, what they are held against, and `both`, where a call has to be."""
    counts = [each.n for each in found if each]
    cases = numbers.plurals(counts, "case")
    few = "" if min(counts) >= _FEW else f"; of fewer than {_FEW} there is no interval"
    return f"first call: how many times as long {than}; median over {cases} with a call {both}{few}"


def ladder(rungs: Sequence[Rung], rows: Sequence[Row]) -> Table:
    """`rows`: all of the section, for what could not be compared."""
    settings, references, gaps = _settings(rungs), _references(rungs), _gaps(rungs)
    places = {(rung.mode, rung.backend, rung.setting) for rung in rungs}
    alike = [row for row in rows if (row.mode, row.backend, row.setting) in places]
    return Table(
        (Column("mode"), *settings, Column("quant"), *references, *RUNG_COLUMNS, *gaps),
        tuple(
            (
                cell(rung.mode),
                *(cell(rung.setting) for _ in settings),
                cell(rung.quant),
                *(cell(rung.reference) for _ in references),
                *rung_cells(rung),
                *(tally(rung.n_without_verdict, "bad") for _ in gaps),
            )
            for rung in rungs
        ),
        title=f"What does a smaller level cost? Each against {_against(rungs, 'level')}, on the same cases",
        n_group=1,
        notes=(*_ladder_notes(rungs), *_not_compared(alike)),
    )


def kv_ladder(found: Sequence[KvRung], rows: Sequence[Row]) -> Table:
    """With what each type buys: of what was never measured there are no columns. `rows` as for `ladder`."""
    rungs = [each.rung for each in found]
    references, gaps = _references(rungs), _gaps(rungs)
    places = {(rung.quant, rung.mode, rung.backend) for rung in rungs}
    alike = [row for row in rows if (row.quant, row.mode, row.backend) in places]
    bought = [
        (header, name, write)
        for header, name, write in _COSTS
        if any(getattr(each.cost, name) is not None for each in found)
    ]

    def cells(each: KvRung) -> Iterator[Cell]:
        yield from (cell(each.rung.quant, "strong"), cell(each.rung.setting), cell(each.rung.mode))
        yield from (cell(each.rung.reference) for _ in references)
        yield from rung_cells(each.rung)
        yield from (tally(each.rung.n_without_verdict, "bad") for _ in gaps)
        for _, name, write in bought:
            yield _change(getattr(each.reference_cost, name), getattr(each.cost, name), write)

    return Table(
        (
            *(Column(name) for name in ("quant", "setting", "mode")),
            *references,
            *RUNG_COLUMNS,
            *gaps,
            *(right(header, "cost") for header, _, _ in bought),
        ),
        tuple(tuple(cells(each)) for each in found),
        title="What does a smaller KV cache cost, and what does it buy?"
        f" Each against {_against(rungs, 'type')}, on the same cases",
        n_group=1,
        notes=(*_ladder_notes(rungs), f"->: with {_reference(rungs)} and with the smaller type", *_not_compared(alike)),
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


def _gaps(found: Sequence[Paired] | Sequence[Rung]) -> list[Column]:
    """A column where cases that the other side has a verdict on have none."""
    return [right("no\nverdict", "counts")] if any(each.n_without_verdict for each in found) else []


def _references(rungs: Sequence[Rung]) -> list[Column]:
    """A column where not all are held against the same one: the most precise one may have no verdicts in places."""
    return [Column("reference")] if len({rung.reference for rung in rungs}) > 1 else []


def _reference(rungs: Sequence[Rung]) -> str:
    return "the reference" if _references(rungs) else rungs[0].reference


def _against(rungs: Sequence[Rung], what: str) -> str:
    return f"the most precise {what} with verdicts" if _references(rungs) else rungs[0].reference


def _not_compared(rows: Sequence[Row]) -> Iterator[str]:
    """Those of the rows that have no verdicts, so that nobody looks for them in vain."""
    modes: dict[str, list[str]] = {}
    for row in rows:
        if not row.n_scored:
            modes.setdefault(_place(row), []).append(row.mode)
    if modes:
        named = "; ".join(f"{name} in {', '.join(dict.fromkeys(found))}" for name, found in modes.items())
        yield f"without a verdict, and so not compared: {named}"


RUNG_COLUMNS = (
    *(right(name, "counts") for name in ("n", "gained", "lost", "points", "p")),
    Column("verdict", part="counts"),
)


def rung_cells(rung: Rung) -> list[Cell]:
    """Under `RUNG_COLUMNS`."""
    interval = numbers.points_interval(rung.low, rung.high, rung.margin)
    return [
        cell(numbers.count(rung.n)),
        cell(numbers.count(rung.gained)),
        cell(numbers.count(rung.lost)),
        cell(f"{numbers.points(rung.difference)} ({interval})"),
        cell(numbers.p_value(rung.p)),
        cell(rung.verdict, _VERDICT_TONES[rung.verdict]),
    ]


def _ladder_notes(rungs: Sequence[Rung]) -> tuple[str, ...]:
    notes = rung_notes(rungs, f"wrong at {_reference(rungs)}, right here", "the ladder")
    gaps = f"no verdict: cases that have one at {_reference(rungs)} and none here; of them nothing is ruled out"
    return (*notes, *(gaps for _ in _gaps(rungs)))


def rung_notes(rungs: Sequence[Rung], gained: str, among: str) -> tuple[str, ...]:
    """What the columns mean; `gained` in words, and `among` what the p-values are adjusted over."""
    points = f"{rungs[0].margin * 100:g} points or more"
    notes = [
        f"gained: {gained}; not worse: a loss of {points} is ruled out; worse: a loss is certain, and may be of"
        f" {points}; p: exact McNemar test, Holm-adjusted over {among}, rows with fewer than six changed cases left"
        " out"
    ]
    needed = [rung.n_to_settle for rung in rungs if rung.n_to_settle]
    if needed:
        notes.append(
            f"about {numbers.count(max(needed))} cases would settle what cannot be told here,"
            " if cases go on changing as rarely"
        )
    return tuple(notes)
