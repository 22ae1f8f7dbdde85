"""`toolgauge doctor`: one screen that says whether this machine is ready, and how to mend what is not."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from bench.cli.shell import Database, Exit, Json, emit, emit_json, examples

if TYPE_CHECKING:
    from bench.doctor import Check, State
    from bench.report.document import Block, Document, Tone

EXAMPLES = examples("toolgauge doctor", "toolgauge doctor --json")


def doctor(db: Database = None, as_json: Json = False) -> None:
    """Check llama.cpp, GPU, memory, constraint backends, caches; say whether this machine is ready."""
    from bench.doctor import examine, usable
    from bench.store import database_path

    checks = examine(database_path(db))
    ready = usable(checks)
    if as_json:
        emit_json({"ready": ready, "checks": [asdict(check) for check in checks]})
    else:
        emit(document(checks, ready=ready))
    if not ready:
        raise typer.Exit(Exit.USAGE)


def document(checks: list[Check], *, ready: bool) -> Document:
    """Build the screen."""
    from bench.report.document import Column, Table, Text, cell

    tones: dict[State, Tone] = {"ok": "good", "note": "warn", "fail": "bad"}
    rows = tuple(
        (cell(check.state, tones[check.state]), cell(check.name, "strong"), cell(check.detail)) for check in checks
    )
    blocks: list[Block] = [Table((Column(""), Column("check"), Column("what was found")), rows)]
    for check in checks:
        if check.fix:
            blocks += [Text(f"To mend {check.name}:", tones[check.state]), Text(check.fix, "strong", whole=True)]
    if ready:
        return [*blocks, Text("Ready: toolgauge run", "good")]
    return [*blocks, Text("Not ready: mend what failed, then run `toolgauge doctor` again", "bad")]
