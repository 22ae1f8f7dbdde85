"""`toolgauge pull`: get a suite that is not bundled, once; the cache keeps it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench.shell import OUTPUT, Json, emit, emit_json, examples

EXAMPLES = examples("toolgauge pull bfcl", "toolgauge pull bfcl --from bfcl_eval-2026.3.23-py3-none-any.whl")


class What(StrEnum):
    BFCL = "bfcl"


def pull(
    what: Annotated[What, typer.Argument(help="What to get: the Berkeley Function Calling Leaderboard's cases.")],
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="WHEEL|FOLDER",
            help="A wheel that is on this machine, or a folder with wheels or an unpacked copy in it.",
            show_default="the package index, with pip",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Get it again even if it is there.", rich_help_panel=OUTPUT)
    ] = False,
    as_json: Json = False,
) -> None:
    """Get a suite that is not bundled into the cache, checked against pinned checksums."""
    from dataclasses import asdict

    from bench import numbers
    from bench.cli.person import Terminal
    from bench.report.document import Column, Table, Text, cell
    from bench.suites.bfcl import download
    from bench.suites.bfcl.package import MPMATH

    pulled = download.pull(source, replace=force, tell=Terminal().say)
    if as_json:
        parts = [asdict(part) for part in pulled.parts]
        emit_json({"folder": str(pulled.folder), "new": pulled.is_new, "parts": parts})
        return
    columns = (Column("package"), Column("version"), Column("licence"), Column("size", right=True))
    rows = tuple(
        tuple(map(cell, (part.name, part.version, part.licence, numbers.size(part.n_bytes)))) for part in pulled.parts
    )
    notes = ["" if pulled.is_new else "It was there already; --force gets it again."]
    if MPMATH.name not in {part.name for part in pulled.parts}:
        notes.append(f"Without {MPMATH.wheel} beside it, the cases of bfcl:multi_turn_* with a calculator cannot run.")
    notes.append("Suites: bfcl:simple_python, bfcl:live, ...; toolgauge ls suites has them all.")
    texts = (Text(note, "dim") for note in notes if note)
    emit([Table(columns, rows), Text(f"{pulled.folder}", "dim", whole=True), *texts])
