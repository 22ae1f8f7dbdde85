"""The report as a document: which tables, which columns, which words. Knows only values.

The order is the order of a person's questions: how good and how fast is each level in each mode, does constraining
help, what does a smaller level cost, and what went wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from bench import numbers
from bench.modes import NO_BACKEND
from bench.report import comparisons
from bench.report.details import (
    adherence,
    batched,
    bfcl,
    categories,
    changed,
    constraint,
    latency,
    memory,
    no_call,
    order,
    recovery,
    repairs,
    replies,
    truncation,
)
from bench.report.details.categories import STALE
from bench.report.document import Block, Cell, Code, Document, Fold, Heading, Table, Text, cell
from bench.report.headline import in_short
from bench.report.layout import backends, keys, median, per_row, plain_rate, rate_with_interval, right, value
from bench.report.values import Disagreement, Report, Row, Section
from bench.results.place import command
from bench.suites.case import TWIN_SUFFIX

_LONGEST_TEXT = 600  # characters of a prompt or a call that is shown


def document(report: Report, wanted: Collection[str] = ()) -> Document:
    """Build the whole report; `wanted` asks for closer looks (see `DETAILS`)."""
    blocks: list[Block] = [Heading(_title(report)), Text(_facts(report), "dim")]
    blocks += [Text(warning, "warn") for warning in report.warnings]
    shown: set[str] = set()
    more: set[str] = set()
    for section in report.sections:
        blocks.append(Heading(f"{section.model} on {section.suite}, {numbers.plural(section.n_cases, 'case')}", 2))
        blocks += _section(section)
        for name, (title, tables) in DETAILS.items():
            found = tables(section)
            if found and name in wanted:
                blocks.append(Fold(title, tuple(found)))
                shown.add(name)
            elif found:
                more.add(name)
    if averages := bfcl.table_of_groups(report.bfcl_groups):
        blocks += [Heading("BFCL", 2), averages]
    blocks += _disagreements(report.disagreements)
    blocks += _several_models(report)
    if "changed" in shown:
        shows = command(report.path, "show", str(report.run_id), "CASE")
        blocks.append(Text(f"The answers to a case that changed: `{shows}`.", "dim"))
    if more:
        names = ", ".join(name for name in DETAILS if name in more)
        has_all = command(report.path, "report", str(report.run_id), "--details")
        blocks.append(Text(f"Closer looks: {names}. `{has_all}` has all.", "dim"))
    return blocks


def _disagreements(found: Sequence[Disagreement]) -> Iterable[Block]:
    """The texts behind the warnings, where there are texts to compare."""
    compared = [each for each in found if each.rendered or each.expected]
    if compared:
        yield Heading("What the self-check compared", 2)
    for each in compared:
        yield Text(f"{each.model} {', '.join(each.quants)}, {each.name}: {each.message}", "warn")
        yield from compared_texts(each.rendered, each.expected)


def _several_models(report: Report) -> Iterable[Block]:
    """How to hold two models against each other, where they can be."""
    if report.comparable_models:
        two = command(report.path, "compare", *(f"{report.run_id}:{model}" for model in report.comparable_models))
        yield Text(f"Two models side by side, on the same cases: `{two}`.", "dim")


def compared_texts(rendered: str, expected: str) -> Iterable[Block]:
    """What a chat template writes beside what the format writes; of a long text its end, where calls stand."""
    for text, title in ((rendered, "the chat template writes"), (expected, "the format writes")):
        if text:
            cut = f"[...]{text[-_LONGEST_TEXT:]}" if len(text) > _LONGEST_TEXT else text
            yield Code(cut, title)


def _title(report: Report) -> str:
    state = "" if report.finished_utc else ", unfinished"
    return f"Run {report.run_id} of {numbers.moment(report.created_utc)}{state}"


def _facts(report: Report) -> str:
    facts = [f"{name}: {text}" for name, text in report.facts.items()]
    return "\n".join([report.command, *facts])


def _section(section: Section) -> Iterable[Block]:
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
    yield from _by_category(section.rows)
    if section.paired:
        yield comparisons.paired(section.paired, section.unpaired)
    if section.ladder:
        yield comparisons.ladder(section.ladder, section.rows)
    if section.kv_ladder:
        yield comparisons.kv_ladder(section.kv_ladder, section.rows)
    yield _outcomes(section.rows)


def _by_category(rows: Sequence[Row]) -> Iterable[Block]:
    """For BFCL's suites its verdict and ours in one table."""
    if beside := bfcl.tables(rows):
        yield from beside
    elif found := categories.table(rows):
        yield found


def _main(section: Section) -> Table:
    rows = section.rows
    names, key_cells = keys(rows)
    escapes = any(row.n_escapes for row in rows)
    # What was never measured is a sentence below the table, not columns of dashes.
    timed, weighed = any(map(_is_timed, rows)), any(map(_is_weighed, rows))
    drafted = any(row.speed.drafted_tok_per_s for row in rows)
    columns = [
        *names,
        right("n", "accuracy"),
        right("accuracy", "accuracy"),
        right("schema\nvalid", "accuracy"),
        *([right("grammar\nescapes", "accuracy")] if escapes else []),
        right("truncated", "accuracy"),
        right("not\nscored", "accuracy"),
        *(right(name, "speed") for name in ("first\ncall", "prefill\ntok/s", "decode\ntok/s") if timed),
        *(right(name, "speed") for name in ("drafted\ntok/s", "drafts\naccepted") if drafted),
        *(right(name, "speed") for name in ("peak\nVRAM", "peak\nRSS") if weighed),
    ]

    def cells(row: Row) -> Iterable[Cell]:
        yield from key_cells(row)
        yield from _accuracy_cells(row, escapes=escapes)
        if timed:
            yield from _speed_cells(row)
        if drafted:
            yield median(row.speed.drafted_tok_per_s, numbers.rate)
            yield value(numbers.share(row.speed.drafts_accepted))
        if weighed:
            yield from _memory_cells(row)

    return Table(
        tuple(columns), tuple(tuple(cells(row)) for row in rows), n_group=1, notes=_main_notes(section, timed=timed)
    )


def _is_timed(row: Row) -> bool:
    return any((row.speed.ttfc_s, row.speed.prefill_tok_per_s, row.speed.decode_tok_per_s))


def _is_weighed(row: Row) -> bool:
    return row.memory.vram_peak_bytes is not None or row.memory.rss_peak_bytes is not None


def _accuracy_cells(row: Row, *, escapes: bool) -> Iterable[Cell]:
    yield cell(numbers.count(row.n_scored))
    yield rate_with_interval(row.accuracy)
    yield plain_rate(row.schema_valid)
    if escapes:
        yield cell(numbers.count(row.n_escapes), "bad" if row.n_escapes else "plain")
    yield plain_rate(row.truncated, tone="warn" if row.truncated and row.truncated.hits else "plain")
    n_left = sum(row.not_scored.values())
    yield cell(numbers.count(n_left), "warn" if n_left else "plain")


def _speed_cells(row: Row) -> Iterable[Cell]:
    yield median(row.speed.ttfc_s, numbers.duration)
    yield median(row.speed.prefill_tok_per_s, numbers.rate)
    yield median(row.speed.decode_tok_per_s, numbers.rate)


def _memory_cells(row: Row) -> Iterable[Cell]:
    yield value(numbers.size(row.memory.vram_peak_bytes))
    yield value(numbers.size(row.memory.rss_peak_bytes))


def _main_notes(section: Section, *, timed: bool) -> tuple[str, ...]:
    rows = section.rows
    notes = [
        "accuracy over the scored cases, with its 95% interval; schema valid over the cases in which a call was tried"
    ]
    if section.n_trials > 1:
        notes.append(
            f"{section.n_trials} answers to each case: rates are over all of them, intervals as wide as with one;"
            " where rows are compared, a case is right if more than half of its answers are"
        )
    if any(category.name.endswith(TWIN_SUFFIX) for row in rows for category in row.categories):
        notes.append(
            "a case with its fault and without it is one case: intervals are as wide as with one answer to it, and"
            " where rows are compared it is right if more than half of its answers are (of two, both)"
        )
    n_repeating = sum(row.n_repeating for row in rows)
    if n_repeating:
        notes.append(
            "truncated: broken off by the token limit or the context, or repeating itself without end;"
            f" of these by repetition: {numbers.count(n_repeating)}"
        )
    used = backends(rows)
    if len(used) == 1:
        modes = ", ".join(dict.fromkeys(row.mode for row in rows if row.backend != NO_BACKEND))
        notes.append(f"constrained by {used[0]}: {modes}")
    if section.made:
        notes.append(
            f"{', '.join(section.made)}: made by toolgauge without an importance matrix;"
            " a publisher's file of that level may have been made with one, and do otherwise"
        )
    if not timed:
        notes.append("times were not measured")
    samples = {row.speed.ttfc_s.n for row in rows if row.speed.ttfc_s}
    if samples:
        n = f"{min(samples)}" if len(samples) == 1 else f"{min(samples)}-{max(samples)}"
        notes.append(f"first call: median time from the request to the first complete call, one stream, {n} samples")
    if differing := batched.note(rows):
        notes.append(differing)
    if any(row.speed.drafted_tok_per_s for row in rows):
        notes.append(
            "drafted: with what is probably copied from the prompt guessed and verified in one batch, the same texts;"
            " accepted: of the choices that were guessed"
        )
    stale = sum(row.not_scored.get(STALE, 0) for row in rows)
    if stale:
        notes.append(
            f"{numbers.plural(stale, 'verdict')} left out as stale:"
            " a newer parser would have led the conversation elsewhere"
        )
    return tuple(notes)


def _outcomes(rows: Sequence[Row]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row.outcomes))
    names.sort(key=lambda name: -sum(row.outcomes.get(name, 0) for row in rows))
    return per_row(
        rows,
        "Outcomes",
        [name.lower().replace("_", "\n") for name in names],
        lambda row: [
            cell(numbers.count(row.outcomes[name])) if row.outcomes.get(name) else cell("0", "dim") for name in names
        ],
    )


def _all(tables: Callable[[Sequence[Row]], list[Table]]) -> Callable[[Section], list[Table]]:
    """Of the section's rows."""
    return lambda section: tables(section.rows)


def _only(table: Callable[[Sequence[Row]], Table | None]) -> Callable[[Section], list[Table]]:
    """A list of one table, or of none."""
    return lambda section: [found] if (found := table(section.rows)) else []


DETAILS: Mapping[str, tuple[str, Callable[[Section], list[Table]]]] = {
    "not-scored": ("What was not scored", _only(categories.table_of_gaps)),
    "changed": ("Which cases changed", changed.tables),
    "no-call": ("Answers without a call", _all(no_call.tables)),
    "bfcl": ("Where BFCL's verdict and ours differ", _all(bfcl.tables_of_reasons)),
    "order": ("Order of calls", _only(order.table)),
    "recovery": ("Recovery from faults", _only(recovery.table)),
    "replies": ("What replies say", _only(replies.table)),
    "truncation": ("Truncation", _only(truncation.table)),
    "repairs": ("Hygiene and repairs", _all(repairs.tables)),
    "adherence": ("Schema adherence", _only(adherence.table)),
    "latency": ("Latency", _all(latency.tables)),
    "memory": ("Memory and energy", _all(memory.tables)),
    "constraint": ("The constraint's push", _only(constraint.table)),
}
"""The closer looks: name -> title and the tables that there are."""
