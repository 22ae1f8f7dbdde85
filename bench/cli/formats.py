"""`toolgauge formats`: the tool-call formats that toolgauge reads and constrains; which one a model writes, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.shell import Exit, Json, emit, emit_json, examples

if TYPE_CHECKING:
    from bench.doctor.checkup import Look, Tokens
    from bench.models.catalogue import Entry
    from bench.report.document import Block, Cell, Document
    from engine.formats.detect import Detection

EXAMPLES = examples("toolgauge formats", "toolgauge formats --json", "toolgauge formats detect model-Q4_K_M.gguf")
DETECT_EXAMPLES = examples(
    "toolgauge formats detect model-Q4_K_M.gguf",
    "toolgauge formats detect chat_template.jinja --json",
)

app = typer.Typer(invoke_without_command=True, rich_markup_mode="rich")


@app.callback(epilog=EXAMPLES)
def formats(context: typer.Context, as_json: Json = False) -> None:
    """List the tool-call formats, with a call in each; or say which one a model writes."""
    if context.invoked_subcommand is not None:
        return
    from bench.models.catalogue import entries

    found = entries()
    if as_json:
        emit_json([asdict(entry) for entry in found])
    else:
        emit(document(found))


def document(entries: tuple[Entry, ...]) -> Document:
    """Build the list: what helps to choose in a table, then one call of each as it is written."""
    from bench import numbers
    from bench.report.document import Code, Column, Heading, Table, Text, cell, code
    from engine.formats import ENVELOPE

    columns = (
        Column("format"),
        Column("written by", part="models"),
        Column("reasoning", part="marks"),
        Column("constrained by", part="marks"),
    )
    rows = tuple(
        (
            cell(entry.id, "strong"),
            cell(entry.title),
            cell("the model's own") if entry.id == ENVELOPE.id else code(_marks(entry)),
            cell(", ".join(entry.constrained_by) or numbers.MISSING),
        )
        for entry in entries
    )
    blocks: list[Block] = [Table(columns, rows), Heading("One call", 2)]
    blocks += [Code(entry.one_call.strip("\n"), entry.id) for entry in entries]
    return [*blocks, Text("Which one does a model write, and why? toolgauge formats detect MODEL", "dim")]


def _marks(entry: Entry) -> str:
    return f"{entry.reasoning_open.strip()} ... {entry.reasoning_close.strip()}"


@app.command("detect", epilog=DETECT_EXAMPLES)
def detect(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL_OR_TEMPLATE",
            help="A GGUF file, a name of models.toml or org/repo:QUANT that is downloaded already, or a .jinja file.",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Say which format a model writes, and why: exit code 0 if one was recognised, 1 if none was."""
    from bench.doctor.checkup import examine, is_template, look_at, look_at_template

    look = look_at_template(Path(model)) if is_template(model) else look_at(model)
    tokens = examine(look).tokens if look.file else None
    if as_json:
        emit_json(_values(look, tokens))
    else:
        emit(detection_document(look, tokens))
    if look.format_id is None:
        raise typer.Exit(Exit.ERRORED_ITEMS)


def detection_document(look: Look, tokens: Tokens | None) -> Document:
    """Build the page: the decision, its evidence, what else came near, and what to do where nothing did."""
    from bench.doctor.checkup import NO_FORMAT
    from bench.report.document import Column, Heading, Table, Text

    detection = look.evidence(tokens)
    title = f"{look.name} writes {look.format_id}" if look.format_id else f"{look.name}: no format recognised"
    blocks: list[Block] = [Heading(title), Text("\n".join(_facts(look)), "dim")]
    if detection and (rows := tuple(_evidence(look, detection, tokens))):
        blocks.append(Table((Column("evidence"), Column("text"), Column("found")), rows, n_group=1))
    if disagreement := look.disagreement:
        blocks.append(Text(disagreement, "warn"))
    if look.format_id is None:
        blocks.append(Text(f"What to do: {NO_FORMAT}. The json modes need no native format.", "warn"))
    return blocks


def _facts(look: Look) -> Iterator[str]:
    from engine.formats import FORMATS

    if look.format_id:
        agrees = ", and its chat template agrees" if look.decided_by == "models.toml" and not look.disagreement else ""
        yield f"{look.format_id}: {FORMATS[look.format_id].title}"
        yield f"decided by: {look.decided_by}{agrees}"
    if look.template is None:
        yield "chat template: none"
    else:
        yield f"chat template: {look.template_from}, sha256 {look.template_sha256}"


def _evidence(look: Look, detection: Detection, tokens: Tokens | None) -> Iterator[tuple[Cell, ...]]:
    from bench.report.document import cell, code

    for text in detection.texts:
        yield cell("in the template"), code(text), cell(f"line {look.line_of(text)}")
    for marker in detection.markers:
        found = f"one {marker.kind} token" if marker.kind else "no token of its own, written as text"
        known = cell(found, "plain" if marker.kind else "warn")
        known = known if tokens else cell("not known without a vocabulary", "dim")
        yield cell("marker"), code(marker.text), known
    for other in detection.others:
        for text in other.missing:
            yield cell(f"not {other.format.id}"), code(text), cell("not in the template")
        for text in other.against:
            yield cell(f"not {other.format.id}"), code(text), cell(f"line {look.line_of(text)}")
        if other.matches:
            yield cell(f"not {other.format.id}"), code(", ".join(other.found)), cell("fits too, and is asked later")


def _values(look: Look, tokens: Tokens | None) -> dict[str, Any]:
    detection = look.evidence(tokens)
    markers = detection.markers if detection else ()
    return {
        "name": look.name,
        "path": str(look.file.path) if look.file else None,
        "format": look.format_id,
        "decided_by": look.decided_by or None,
        "detected": detection.format.id if detection and detection.format else None,
        "template": {"from": look.template_from, "sha256": look.template_sha256},
        "texts": list(detection.texts) if detection else [],
        "markers": [asdict(marker) for marker in markers] if tokens else None,
        "others": [
            {"format": other.format.id, "found": other.found, "missing": other.missing, "against": other.against}
            for other in (detection.others if detection else ())
        ],
        "disagreement": look.disagreement or None,
    }
