"""The report as a document: which tables, which columns, which words. Knows only values.

The order is the order of a person's questions: how good and how fast is each level in each mode, does constraining
help, what does a smaller level cost, and what went wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bench import numbers
from bench.modes import NO_BACKEND
from bench.report.document import Bar, Block, Cell, Code, Column, Document, Heading, Table, Text, Tone, cell
from bench.report.values import Disagreement, Paired, Rate, Report, Row, Rung, Section, Verdict
from bench.stats import Spread

CellMaker = Callable[[Row], Sequence[Cell]]

BY = ("category", "constraint")

_VERDICT_TONES: dict[Verdict, Tone] = {"not worse": "good", "cannot tell": "warn", "worse": "bad"}
_SIGNIFICANT = 0.05
_LONGEST_TEXT = 600  # characters of a prompt or a call that is shown
_DASH = cell(numbers.MISSING, "dim")


def document(report: Report, by: Sequence[str] = ()) -> Document:
    """Build the whole report; `by` asks for more tables (see `BY`)."""
    blocks: list[Block] = [Heading(_title(report)), Text(_facts(report), "dim")]
    blocks += [Text(warning, "warn") for warning in report.warnings]
    for section in report.sections:
        blocks.append(Heading(f"{section.model} on {section.suite}, {numbers.plural(section.n_cases, 'case')}", 2))
        blocks += _section(section, by)
    return [*blocks, *_disagreements(report.disagreements)]


def _disagreements(found: Sequence[Disagreement]) -> Iterable[Block]:
    """The texts behind the warnings, where there are texts to compare."""
    compared = [each for each in found if each.rendered or each.expected]
    if compared:
        yield Heading("What the self-check compared", 2)
    for each in compared:
        yield Text(f"{each.model} {', '.join(each.quants)}, {each.name}: {each.message}", "warn")
        yield from compared_texts(each.rendered, each.expected)


def compared_texts(rendered: str, expected: str) -> Iterable[Block]:
    """What a chat template writes beside what the format writes; of a long text its end, where calls stand."""
    for text, title in ((rendered, "the chat template writes"), (expected, "the format writes")):
        if text:
            cut = f"[...]{text[-_LONGEST_TEXT:]}" if len(text) > _LONGEST_TEXT else text
            yield Code(cut, title)


def _title(report: Report) -> str:
    state = "" if report.finished_utc else ", unfinished"
    return f"Run {report.run_id} of {when(report.created_utc)}{state}"


def when(utc: str) -> str:
    """Write a stored moment for people."""
    return f"{utc[:16].replace('T', ' ')} UTC"


def _facts(report: Report) -> str:
    facts = [f"{name}: {text}" for name, text in report.facts.items()]
    return "\n".join([report.command, *facts])


def _section(section: Section, by: Sequence[str]) -> Iterable[Block]:
    yield _main(section)
    if summary := in_short(section):
        yield Text(summary, "strong")
    n_escapes = sum(row.n_escapes for row in section.rows)
    if n_escapes:
        yield Text(
            f"Grammar escape: {numbers.plural(n_escapes, 'answer')} of a schema mode broke the schema."
            " That is a fault of the constraint, not of the model; please report it.",
            "bad",
        )
    if section.paired:
        yield _paired(section.paired)
    if section.ladder:
        yield _ladder(section.ladder)
    yield _outcomes(section.rows)
    if "category" in by:
        yield _categories(section.rows)
    if "constraint" in by and any(row.push for row in section.rows):
        yield _push(section.rows)


def in_short(section: Section) -> str:
    """Answer the two questions of a person who reads nothing else, from the most accurate mode of the best level."""
    judged = [row for row in section.rows if row.accuracy]
    if len(judged) < 2:
        return ""
    references = {choice.reference for choice in section.choices}
    best = max((row for row in judged if not references or row.quant in references), key=_accuracy, default=None)
    if best is None or best.accuracy is None:
        return ""
    if not best.accuracy.hits:
        return f"At {best.quant} no mode got a single case right."
    at = f"At {best.quant} the most accurate mode is {best.mode}: {numbers.share(best.accuracy.value)}."
    return " ".join([at, *_ladder_sentences(section, best), *_pair_sentences(section, best)])


def _accuracy(row: Row) -> float:
    return row.accuracy.value if row.accuracy else 0.0


def _ladder_sentences(section: Section, best: Row) -> Iterable[str]:
    rungs = [rung for rung in section.ladder if (rung.mode, rung.backend) == (best.mode, best.backend)]
    if not rungs:
        return
    by_verdict: dict[Verdict, list[str]] = {}
    for rung in rungs:
        by_verdict.setdefault(rung.verdict, []).append(rung.quant)
    words: dict[Verdict, str] = {
        "not worse": f"not worse by {rungs[0].margin * 100:g} points or more",
        "cannot tell": "cannot be told from so few cases",
        "worse": "worse",
    }
    found = (f"{', '.join(by_verdict[verdict])} {text}" for verdict, text in words.items() if verdict in by_verdict)
    yield f"Against {best.quant} there: {'; '.join(found)}."


def _pair_sentences(section: Section, best: Row) -> Iterable[str]:
    for pair in section.paired:
        if pair.quant == best.quant:
            yield (
                f"{pair.constrained} against {pair.free}: {numbers.count(pair.rescued)} rescued,"
                f" {numbers.count(pair.broken)} broken (p {numbers.p_value(pair.p)})."
            )


def _main(section: Section) -> Table:
    rows = section.rows
    keys, key_cells = _keys(rows)
    escapes = any(row.n_escapes for row in rows)
    # What was never measured is a sentence below the table, not columns of dashes.
    timed, weighed = any(map(_is_timed, rows)), any(map(_is_weighed, rows))
    columns = [
        *keys,
        _right("n", "accuracy"),
        _right("accuracy", "accuracy"),
        _right("schema\nvalid", "accuracy"),
        *([_right("grammar\nescapes", "accuracy")] if escapes else []),
        _right("truncated", "accuracy"),
        _right("not\nscored", "accuracy"),
        *(_right(name, "speed") for name in ("first\ncall", "prefill\ntok/s", "decode\ntok/s") if timed),
        *(_right(name, "speed") for name in ("peak\nVRAM", "peak\nRSS") if weighed),
    ]

    def cells(row: Row) -> Iterable[Cell]:
        yield from key_cells(row)
        yield from _accuracy_cells(row, escapes=escapes)
        if timed:
            yield from _speed_cells(row)
        if weighed:
            yield from _memory_cells(row)

    return Table(
        tuple(columns), tuple(tuple(cells(row)) for row in rows), n_group=1, notes=_main_notes(rows, timed=timed)
    )


def _is_timed(row: Row) -> bool:
    return any((row.speed.ttfc_s, row.speed.prefill_tok_per_s, row.speed.decode_tok_per_s))


def _is_weighed(row: Row) -> bool:
    return row.memory.vram_peak_bytes is not None or row.memory.rss_peak_bytes is not None


def _accuracy_cells(row: Row, *, escapes: bool) -> Iterable[Cell]:
    yield cell(numbers.count(row.n_scored))
    yield rate_with_interval(row.accuracy)
    yield _rate(row.schema_valid)
    if escapes:
        yield cell(numbers.count(row.n_escapes), "bad" if row.n_escapes else "plain")
    yield _rate(row.truncated, tone="warn" if row.truncated and row.truncated.hits else "plain")
    yield cell(numbers.count(row.n_not_scored), "warn" if row.n_not_scored else "plain")


def _speed_cells(row: Row) -> Iterable[Cell]:
    yield _median(row.speed.ttfc_s, numbers.duration)
    yield _median(row.speed.prefill_tok_per_s, numbers.rate)
    yield _median(row.speed.decode_tok_per_s, numbers.rate)


def _memory_cells(row: Row) -> Iterable[Cell]:
    yield _value(numbers.size(row.memory.vram_peak_bytes))
    yield _value(numbers.size(row.memory.rss_peak_bytes))


def _main_notes(rows: Sequence[Row], *, timed: bool) -> tuple[str, ...]:
    notes = [
        "accuracy over the scored cases, with its 95% interval; schema valid over the cases in which a call was tried"
    ]
    backends = _backends(rows)
    if len(backends) == 1:
        modes = ", ".join(dict.fromkeys(row.mode for row in rows if row.backend != NO_BACKEND))
        notes.append(f"constrained by {backends[0]}: {modes}")
    if not timed:
        notes.append("times were not measured")
    samples = {row.speed.ttfc_s.n for row in rows if row.speed.ttfc_s}
    if samples:
        n = f"{min(samples)}" if len(samples) == 1 else f"{min(samples)}-{max(samples)}"
        notes.append(f"first call: median time from the request to the first complete call, one stream, {n} samples")
    stale = sum(row.n_stale for row in rows)
    if stale:
        notes.append(
            f"{numbers.plural(stale, 'verdict')} left out as stale:"
            " a newer parser would have led the conversation elsewhere"
        )
    return tuple(notes)


def _paired(pairs: Sequence[Paired]) -> Table:
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
                _right(name, "counts")
                for name in ("n", "rescued", "broken", "same,\nright", "same,\nwrong", "points", "p")
            ),
        ),
        tuple(rows),
        title="Does constraining help? The same cases, free and constrained",
        n_group=1,
        notes=("rescued: wrong when free, right when constrained; p: exact McNemar test",),
    )


def _ladder(rungs: Sequence[Rung]) -> Table:
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
            *(_right(name, "counts") for name in ("n", "gained", "lost", "points", "p")),
            Column("verdict", part="counts"),
        ),
        rows,
        title=f"What does a smaller level cost? Each against {reference}, on the same cases",
        n_group=1,
        notes=tuple(notes),
    )


def _outcomes(rows: Sequence[Row]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row.outcomes))
    names.sort(key=lambda name: -sum(row.outcomes.get(name, 0) for row in rows))
    return _per_row(
        rows,
        "Outcomes",
        [name.lower().replace("_", "\n") for name in names],
        lambda row: [
            cell(numbers.count(row.outcomes[name])) if row.outcomes.get(name) else cell("0", "dim") for name in names
        ],
    )


def _categories(rows: Sequence[Row]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row.categories))
    return _per_row(
        rows,
        "Accuracy by category",
        names,
        lambda row: [rate_with_interval(row.categories.get(name)) for name in names],
    )


def _push(rows: Sequence[Row]) -> Table:
    def cells(row: Row) -> list[Cell]:
        push = row.push
        if push is None:
            return [_DASH] * 5
        return [
            cell(numbers.significant(push.interventions_per_answer)),
            _value(numbers.share(push.removed_mass)),
            cell(numbers.share(push.forced_share)),
            _value(numbers.duration(push.mask_s_per_token)),
            _median(row.speed.compile_s, numbers.duration),
        ]

    headers = ["interventions\nper answer", "removed\nmass", "forced\ntokens", "mask\nper token", "compile"]
    return _per_row([row for row in rows if row.push], "How hard the constraint had to push", headers, cells)


def _per_row(rows: Sequence[Row], title: str, headers: Sequence[str], cells: CellMaker) -> Table:
    keys, key_cells = _keys(rows)
    # Each column a part of its own: a narrow terminal takes as many as fit.
    columns = (*keys, *(_right(header, f"column {index}") for index, header in enumerate(headers)))
    return Table(columns, tuple((*key_cells(row), *cells(row)) for row in rows), title=title, n_group=1)


def _keys(rows: Sequence[Row]) -> tuple[list[Column], CellMaker]:
    """Name the columns that tell rows apart; the backend, where there is only one, is said below the main table."""
    columns = [Column("quant"), Column("mode")]
    if len(_backends(rows)) < 2:
        return columns, lambda row: [cell(row.quant, "strong"), cell(row.mode)]
    return [*columns, Column("backend")], lambda row: [cell(row.quant, "strong"), cell(row.mode), cell(row.backend)]


def _backends(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.backend for row in rows if row.backend != NO_BACKEND))


def rate_with_interval(rate: Rate | None) -> Cell:
    """A share with its interval as text and as a bar."""
    if rate is None:
        return _DASH
    text = f"{numbers.share(rate.value)} ({numbers.interval(rate.low, rate.high)})"
    return cell(text, bar=Bar(rate.value, rate.low, rate.high))


def _rate(rate: Rate | None, tone: Tone = "plain") -> Cell:
    return cell(numbers.share(rate.value), tone) if rate else _DASH


def _median(spread: Spread | None, write: Callable[[float], str]) -> Cell:
    return cell(write(spread.median)) if spread else _DASH


def _value(text: str) -> Cell:
    return _DASH if text == numbers.MISSING else cell(text)


def _right(header: str, part: str) -> Column:
    return Column(header, right=True, part=part)
