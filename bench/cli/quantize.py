"""`toolgauge quantize`: a ladder of levels from one F16, BF16 or F32 file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated

import typer

from bench.shell import OUTPUT, Json, comma_list, emit, emit_json, examples

EXAMPLES = examples(
    "toolgauge quantize model-F16.gguf Q8_0,Q4_K_M,Q2_K", "toolgauge quantize model-BF16.gguf Q2_K-pure --out ."
)


def quantize(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="An F16, BF16 or F32 GGUF file, a name of models.toml, or org/repo:F16 that is downloaded already.",
        ),
    ],
    levels: Annotated[
        str, typer.Argument(metavar="LEVELS", help="Comma-separated; LEVEL-pure mixes no better types in.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FOLDER",
            help="Put the files there, too.",
            show_default="the cache",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a ladder of quantization levels; those in the cache are not made again.

    They are made without an importance matrix. A publisher's file of the same level may have been made with one: to
    know how good that file is, download it and name it to `toolgauge run`.
    """
    from bench import numbers
    from bench.cli.person import Terminal
    from bench.models.resolve import at_hand
    from bench.report.document import Column, Table, Text, cell
    from bench.run.ladders import stem_of
    from engine.quantize import SOURCES, find_level
    from engine.quantize import quantize as make
    from grammars.errors import ToolgaugeError

    wanted = [find_level(level).name for level in comma_list(levels)]
    if not wanted:
        raise ToolgaugeError("name at least one level, such as Q4_K_M")
    if out and not out.is_dir():
        raise ToolgaugeError(f"there is no folder {out}; make it first")
    source = at_hand(model, levels=SOURCES).path
    person = Terminal()
    made: list[dict[str, str | int]] = []
    for level in wanted:
        with person.progress(f"Making {level}") as progress:
            path = make(source, level, progress=progress)
        if out:
            path = _copied(path, out / f"{stem_of(source)}-{level}.gguf")
        made.append({"level": level, "bytes": path.stat().st_size, "path": str(path)})
    if as_json:
        emit_json(made)
        return
    columns = (Column("level"), Column("size", right=True), Column("file"))
    paths = [Path(str(one["path"])) for one in made]
    rows = tuple(
        (cell(str(one["level"])), cell(numbers.size(int(one["bytes"]))), cell(path.name))
        for one, path in zip(made, paths, strict=True)
    )
    folders = dict.fromkeys(path.absolute().parent for path in paths)
    emit([Table(columns, rows), *(Text(f"{folder}{os.sep}", "dim", whole=True) for folder in folders)])


def _copied(made: Path, target: Path) -> Path:
    """Give the file a second name where the disk can, else a copy; a file of that name is replaced only when whole."""
    if target.exists() and target.samefile(made):
        return target
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        os.link(made, part)
    except OSError:
        shutil.copyfile(made, part)
    part.replace(target)
    return target
