"""`toolgauge doctor`: one screen that says whether this machine, or a model, is ready, and how to mend what is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli import options
from bench.shell import Database, Exit, Json, emit, emit_json, examples
from grammars.errors import ToolgaugeError

if TYPE_CHECKING:
    from bench.doctor.checkup import Examined, Look
    from bench.doctor.machine import Check, State
    from bench.report.document import Block, Document, Tone
    from engine.types import Finding

EXAMPLES = examples(
    "toolgauge doctor",
    "toolgauge doctor model-Q4_K_M.gguf",
    "toolgauge doctor model.gguf --chat-template mine.jinja --json",
)


def doctor(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            show_default=False,
            help="A GGUF file, a name of models.toml, or org/repo:QUANT that is downloaded already."
            " Without one: the machine.",
        ),
    ] = None,
    format_id: options.FormatId = None,
    chat_template: options.ChatTemplate = None,
    db: Database = None,
    as_json: Json = False,
) -> None:
    """Check this machine, or whether a model's template, format and vocabulary fit.

    The machine: exit code 0 if it is ready, 2 if it is not.

    A model: 0 if everything agrees, 1 if something does not, 2 if it cannot be
    read. Its weights are not loaded.
    """
    if model is not None:
        _model(model, format_id, chat_template, as_json=as_json)
        return
    if format_id or chat_template:
        raise ToolgaugeError("--format and --chat-template are a model's; name one: toolgauge doctor MODEL")
    from bench.doctor.machine import examine, usable
    from bench.results.place import database_path

    path = database_path(db)
    checks = examine(path)
    ready = usable(checks)
    if as_json:
        emit_json({"ready": ready, "checks": [asdict(check) for check in checks]})
    else:
        emit(document(checks, path, ready=ready))
    if not ready:
        raise typer.Exit(Exit.USAGE)


def _model(argument: str, format_id: str | None, chat_template: Path | None, *, as_json: bool) -> None:
    from bench.doctor.checkup import examine, look_at
    from bench.doctor.diagnosis import diagnose
    from bench.doctor.machine import usable

    look = look_at(argument, format_id=format_id, chat_template=chat_template)
    examined = examine(look)
    checks = diagnose(look, examined)
    if as_json:
        emit_json({"agrees": usable(checks), "checks": [asdict(check) for check in checks], **_values(look, examined)})
    else:
        emit(model_document(look.name, checks, examined.findings))
    if not usable(checks):
        raise typer.Exit(Exit.ERRORED_ITEMS)


def _values(look: Look, examined: Examined) -> dict[str, Any]:
    file = look.file
    assert file is not None
    return {
        "name": look.name,
        "file": {
            "path": str(file.path),
            "architecture": file.arch,
            "quant": file.quant,
            "n_params": file.n_params,
            "n_bytes": file.n_bytes,
            "n_ctx_train": file.n_ctx_train,
            "templates": sorted(file.templates),
        },
        "template": {"from": look.template_from, "sha256": look.template_sha256},
        "format": {"id": look.format_id, "decided_by": look.decided_by or None},
        "tokens": asdict(examined.tokens),
        "reasoning": [asdict(reasons) for reasons in examined.reasons],
        "findings": [asdict(finding) for finding in examined.findings],
    }


def model_document(name: str, checks: list[Check], findings: tuple[Finding, ...]) -> Document:
    """Build the page about a model; the texts that disagree stand beside each other below the table."""
    from bench.doctor.machine import usable
    from bench.report.document import Heading, Text
    from bench.report.tables import compared_texts

    blocks: list[Block] = [Heading(name), *_checks(checks)]
    shown = set()
    for finding in findings:
        texts = finding.rendered, finding.expected
        if any(texts) and texts not in shown:
            shown.add(texts)
            blocks += [Heading(finding.name, 2), Text(finding.message), *compared_texts(*texts)]
    if usable(checks):
        return [*blocks, Text("Its calls are read as it writes them.", "good")]
    return [
        *blocks,
        Text("Something does not fit together: what is measured may be the plumbing, not the model", "bad"),
    ]


def document(checks: list[Check], path: Path, *, ready: bool) -> Document:
    """Build the screen; `path` of the result file."""
    from bench.report.document import Text
    from bench.results.place import command

    blocks = [*_checks(checks)]
    if ready:
        return [*blocks, Text(f"Ready: {command(path, 'run')}", "good")]
    return [*blocks, Text("Not ready: mend what failed, then run toolgauge doctor again", "bad")]


def _checks(checks: list[Check]) -> Iterator[Block]:
    from bench.report.document import Column, Table, Text, cell

    tones: dict[State, Tone] = {"ok": "good", "note": "warn", "fail": "bad"}
    rows = tuple(
        (cell(check.state, tones[check.state]), cell(check.name, "strong"), cell(check.detail)) for check in checks
    )
    yield Table((Column(""), Column("check"), Column("what was found")), rows)
    for check in checks:
        if check.fix:
            yield Text(f"To mend {check.name}:", tones[check.state])
            yield Text(check.fix, "strong", whole=True)
