"""`toolgauge report`: what a run found, on the terminal and in files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.files import STDOUT, check_targets, written
from bench.shell import OUTPUT, Database, Json, Margin, comma_list, emit, emit_json, emit_text, examples, say

if TYPE_CHECKING:
    from bench.report.values import Report

EXAMPLES = examples(
    "toolgauge report",
    "toolgauge report 3 --margin 2",
    "toolgauge report 3 --section order,recovery",
    "toolgauge report --details --html report.html",
)


def report(
    run: Annotated[str, typer.Argument(help="The run's number, or `last`.")] = "last",
    section: Annotated[
        str,
        typer.Option(
            "--section",
            metavar="LIST",
            help="Closer looks: no-call, order, recovery, ... (the report names those that it has).",
            rich_help_panel=OUTPUT,
        ),
    ] = "",
    details: Annotated[bool, typer.Option("--details", help="All closer looks.", rich_help_panel=OUTPUT)] = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write one HTML page.", rich_help_panel=OUTPUT)
    ] = None,
    md: Annotated[
        Path | None, typer.Option("--md", metavar="FILE", help="Write Markdown; - prints it.", rich_help_panel=OUTPUT)
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Write the rows as CSV; - prints it.", rich_help_panel=OUTPUT),
    ] = None,
    margin: Margin = 5.0,
    db: Database = None,
    as_json: Json = False,
) -> None:
    """Print what a run found: accuracy, constraint, speed and memory for each level and mode."""
    wanted = _wanted(section, details)
    targets = {kind: path for kind, path in (("html", html), ("md", md), ("csv", csv)) if path}
    check_targets({f"--{kind}": path for kind, path in targets.items()}, ("--json",) if as_json else ())
    values = _values(run, db, margin / 100, with_failures=html is not None)
    for kind, path in targets.items():
        _write(path, _render(kind, values, wanted))
    if as_json:
        emit_json(values.to_json())
    elif STDOUT not in targets.values():
        print_report(values, wanted)


def print_report(values: Report, wanted: Sequence[str] = ()) -> None:
    """Print the report for a person; `toolgauge run` ends with it, too."""
    from bench.report import tables

    emit(tables.document(values, wanted))


def _wanted(section: str, details: bool) -> tuple[str, ...]:
    from bench.report.tables import DETAILS
    from grammars.errors import ToolgaugeError

    named = comma_list(section)
    for name in named:
        if name not in DETAILS:
            raise ToolgaugeError(f"--section knows {', '.join(DETAILS)}; not {name!r}")
    return tuple(DETAILS) if details else named


def _values(run: str, db: Path | None, margin: float, *, with_failures: bool) -> Report:
    from bench.report.build import build
    from bench.results.store import Store

    with Store.read(db) as store:
        return build(store, store.run(run), with_failures=with_failures, margin=margin)


def _render(kind: str, values: Report, wanted: Sequence[str]) -> str:
    from bench.report import csv, html, markdown, tables
    from bench.results.place import command

    if kind == "csv":
        return csv.render(values)
    if kind == "md":
        return markdown.render(tables.document(values, wanted))
    return html.render(
        f"toolgauge run {values.run_id}",
        tables.document(values, tuple(tables.DETAILS)),
        values.failures,
        elsewhere=command(values.path, "export", str(values.run_id), "--csv", "-"),
    )


def _write(path: Path, text: str) -> None:
    if path == STDOUT:
        emit_text(text)
        return
    with written(path) as place:
        place.write_text(text, encoding="utf-8")
    say(f"Wrote {path}", "dim")
