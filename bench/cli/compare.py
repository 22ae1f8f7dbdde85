"""`toolgauge compare`: two runs side by side, and an exit code for scripts that guard against a loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from bench.shell import OUTPUT, Database, Exit, Json, Margin, emit, emit_json, examples, say

if TYPE_CHECKING:
    from bench.report.between import Between, Change
    from bench.report.document import Block, Cell, Document, Table

EXAMPLES = examples(
    "toolgauge compare 3 5",
    "toolgauge compare 3 last --fail-if worse",
    "toolgauge compare 3 last --margin 2 --fail-if not-shown --json",
    "toolgauge compare 3:Qwen3-8B 3:xLAM-2-8b",
)

_RATIOS = (("first call", "first_call"), ("prefill", "prefill"), ("decode", "decode"))  # header, field of a change


class FailIf(StrEnum):
    WORSE = "worse"
    NOT_SHOWN = "not-shown"


def compare(
    before: Annotated[
        str, typer.Argument(metavar="BEFORE", help="The earlier run's number, or `last`; 3:NAME for one of its models.")
    ],
    after: Annotated[
        str, typer.Argument(metavar="AFTER", help="The later run's number, or `last`; or with a model.")
    ] = "last",
    margin: Margin = 5.0,
    fail_if: Annotated[
        FailIf | None,
        typer.Option(
            "--fail-if",
            help="Exit with code 3 if a row is worse: a loss is certain, and may be of --margin points or more; or"
            " (not-shown) if it is not shown to be not worse, or lacks verdicts that it had.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    db: Database = None,
    as_json: Json = False,
) -> None:
    """Say what changed between two runs, on the same cases, and whether it can be told.

    Rows of the same suite and mode are held against each other: those of the
    same model and level, else of the same level, else the only ones there are.
    Two models that were measured in one run are compared by RUN:MODEL.
    """
    from bench.report.between import between
    from bench.results.store import Store

    (first, _, old), (second, _, new) = before.partition(":"), after.partition(":")
    with Store.read(db) as store:
        found = between(store, store.run(first), store.run(second), margin / 100, (old, new))
    if as_json:
        emit_json(found.to_json())
    else:
        emit(document(found))
    failing = list(_failing(found, fail_if)) if fail_if else []
    if failing:
        what = "worse" if fail_if is FailIf.WORSE else "not shown to be not worse"
        say(f"{what}: {', '.join(failing)}", "red")
        raise typer.Exit(Exit.REGRESSION)


def _failing(found: Between, fail_if: FailIf) -> Iterator[str]:
    """The rows that a script is to be told of, in words."""
    from bench import numbers

    for change in found.worse if fail_if is FailIf.WORSE else found.not_shown:
        n = change.n_without_verdict
        lost = f" ({numbers.plural(n, 'case')} without a verdict now)" if n else ""
        yield f"{change.rung.quant} in {change.rung.mode}{lost}"
    if fail_if is FailIf.NOT_SHOWN:
        yield from (f"{row.quant or row.model} in {row.mode} (not compared)" for row in found.missing)


def document(found: Between) -> Document:
    """Build the page: what differs between the runs, then a table for each suite."""
    from bench.report.between import called
    from bench.report.document import Heading, Text

    names = (called(found.before, found.before_model), called(found.after, found.after_model))
    blocks: list[Block] = [Heading(f"Run {names[0]} -> run {names[1]}")]
    blocks += [Text(warning, "warn") for warning in found.warnings]
    blocks += _settings(found, names)
    for suite in dict.fromkeys(change.suite for change in found.changes):
        blocks.append(_table(suite, [change for change in found.changes if change.suite == suite]))
    differing = sum(change.rung.gained + change.rung.lost + change.n_without_verdict for change in found.changes)
    if not differing and not found.missing:
        blocks.append(Text("No case changed.", "strong"))
    blocks += [Text(f"Not compared: {sentence}.", "warn") for sentence in found.left_out]
    return blocks


def _settings(found: Between, names: tuple[str, str]) -> Iterator[Block]:
    from bench.report.document import Column, Table, Text, cell

    if not found.settings:
        yield Text("Settings given, software and machine are the same.", "dim")
        return
    yield Table(
        (Column("what differs"), *(Column(f"run {name}") for name in names)),
        tuple((cell(name), cell(old), cell(new)) for name, (old, new) in found.settings.items()),
    )


def _table(suite: str, changes: Sequence[Change]) -> Table:
    from bench import numbers
    from bench.report.comparisons import RUNG_COLUMNS, rung_cells, rung_notes
    from bench.report.document import Column, Table, cell
    from bench.report.layout import right, tally, times

    models = dict.fromkeys(_arrow(change.before.model, change.after.model) for change in changes)
    with_quant = any(change.before.quant or change.after.quant for change in changes)
    with_setting = any(change.before.setting or change.after.setting for change in changes)
    ratios = [(header, name) for header, name in _RATIOS if any(getattr(change, name) for change in changes)]
    differing = any(change.differs for change in changes)
    with_gaps = any(change.n_without_verdict for change in changes)

    def cells(change: Change) -> Iterator[Cell]:
        if len(models) > 1:
            yield cell(_arrow(change.before.model, change.after.model))
        if with_quant:
            yield cell(_arrow(change.before.quant or "-", change.after.quant or "-"), "strong")
        if with_setting:
            yield cell(_arrow(change.before.setting or "-", change.after.setting or "-"))
        yield cell(change.rung.mode)
        yield from (cell(numbers.share(side.n_right / change.rung.n)) for side in (change.before, change.after))
        yield from rung_cells(change.rung)
        if with_gaps:
            yield tally(change.n_without_verdict, "bad")
        yield from (times(getattr(change, name)) for _, name in ratios)
        if differing:
            yield cell(", ".join(change.differs))

    columns = (
        *([Column("model")] if len(models) > 1 else []),
        *([Column("quant")] if with_quant else []),
        *([Column("setting")] if with_setting else []),
        Column("mode"),
        *(right(name, "counts") for name in ("before", "after")),
        *RUNG_COLUMNS,
        *([right("no verdict\nnow", "counts")] if with_gaps else []),
        *(right(header, "time") for header, _ in ratios),
        *([Column("differs in", part="time")] if differing else []),
    )
    title = f"{suite}: {next(iter(models))}" if len(models) == 1 else suite
    notes = list(rung_notes([change.rung for change in changes], "wrong before, right now", "all rows"))
    if with_gaps:
        notes.append("no verdict now: cases that had a verdict before; what became of them the later run's report says")
    notes += _ratio_notes(changes)
    return Table(columns, tuple(tuple(cells(change)) for change in changes), title, 1, tuple(notes))


def _ratio_notes(changes: Sequence[Change]) -> Iterator[str]:
    from bench.report.comparisons import times_note

    first_calls = [change.first_call for change in changes if change.first_call]
    is_rated = any(change.prefill or change.decode for change in changes)
    if first_calls:
        yield times_note("as before", "both times", first_calls)
    if is_rated:
        yield "prefill, decode: how many times as many tokens a second as before; median over the timed cases"
    if first_calls or is_rated:
        yield "two runs are not interleaved, so what else the machine did is in these ratios"


def _arrow(before: str, after: str) -> str:
    return after if before == after else f"{before} -> {after}"
