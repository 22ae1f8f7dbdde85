"""`toolgauge export RUN`: stored answers for other programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.files import STDOUT, check_targets, written
from bench.shell import OUTPUT, WHAT, Database, Json, comma_list, emit, emit_json, emit_text, examples, say

if TYPE_CHECKING:
    from bench.export import BfclFolder, Wanted
    from bench.report.document import Block
    from bench.results.rows import Run
    from bench.results.store import Store

EXAMPLES = examples(
    "toolgauge export last --jsonl answers.jsonl",
    "toolgauge export 3 --csv answers.csv --quant Q4_K_M",
    "toolgauge export last --bfcl official --mode native.free",
)


def export(
    run: Annotated[str, typer.Argument(help="The run's number, or `last`.")] = "last",
    jsonl: Annotated[
        Path | None,
        typer.Option(
            "--jsonl",
            metavar="FILE",
            help="Every answer with its steps and verdict; - prints them.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="A line for each answer; - prints them.", rich_help_panel=OUTPUT),
    ] = None,
    parquet: Annotated[
        Path | None,
        typer.Option("--parquet", metavar="FILE", help="The same lines; needs pyarrow.", rich_help_panel=OUTPUT),
    ] = None,
    bfcl: Annotated[
        Path | None,
        typer.Option(
            "--bfcl",
            metavar="FOLDER",
            help="Official result files of bfcl suites, for `bfcl evaluate --partial-eval`.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    name: Annotated[
        str,
        typer.Option(
            "--as",
            metavar="NAME",
            help="With --bfcl: the registered model whose handler is to read the answers; it says nothing about yours.",
            rich_help_panel=OUTPUT,
        ),
    ] = "Qwen/Qwen3-8B-FC",
    mode: Annotated[str, typer.Option(metavar="LIST", help="Only these modes.", rich_help_panel=WHAT)] = "",
    quant: Annotated[str, typer.Option(metavar="LIST", help="Only these levels.", rich_help_panel=WHAT)] = "",
    db: Database = None,
    as_json: Json = False,
) -> None:
    """Write a run's answers for other programs: JSON Lines, CSV, Parquet, BFCL result files."""
    from bench.export import Wanted
    from bench.results.store import Store
    from grammars.errors import ToolgaugeError

    targets = {kind: path for kind, path in (("jsonl", jsonl), ("csv", csv), ("parquet", parquet)) if path}
    if not (targets or bfcl):
        raise ToolgaugeError("say what to write: --jsonl FILE, --csv FILE, --parquet FILE or --bfcl FOLDER")
    if parquet == STDOUT:
        raise ToolgaugeError("--parquet writes a file, which cannot be printed; name one")
    says = [option for option, wanted in (("--json", as_json), ("--bfcl", bfcl)) if wanted]
    check_targets({f"--{kind}": path for kind, path in targets.items()}, says[:1])
    wanted = Wanted(comma_list(mode), comma_list(quant))
    with Store.read(db) as store:
        found = store.run(run)
        files = [_write(store, found, wanted, kind, path) for kind, path in targets.items()]
        folders = _bfcl(store, found, wanted, bfcl, name) if bfcl else []
    if as_json:
        values = [_values(folder, name) for folder in folders]
        emit_json({"run": found.id, "files": [str(path) for path in files], "bfcl": values})
    elif STDOUT in files:
        for path in files:
            if path != STDOUT:
                say(f"Wrote {path}", "dim")
    else:
        emit([*map(_file, files), *(block for folder in folders for block in _folder(folder, name))])


def _write(store: Store, run: Run, wanted: Wanted, kind: str, path: Path) -> Path:
    from bench import export

    if path == STDOUT:
        emit_text("".join(_lines(store, run, wanted, kind)))
        return path
    with written(path) as place:
        if kind == "parquet":
            export.write_parquet(export.rows(store, run, wanted), place)
        else:
            with place.open("w", encoding="utf-8") as stream:
                stream.writelines(_lines(store, run, wanted, kind))
    return path


def _lines(store: Store, run: Run, wanted: Wanted, kind: str) -> Iterator[str]:
    from bench import export

    if kind == "csv":
        yield export.as_csv(export.rows(store, run, wanted))
    else:
        yield from export.as_jsonl(export.documents(store, run, wanted))


def _bfcl(store: Store, run: Run, wanted: Wanted, folder: Path, name: str) -> list[BfclFolder]:
    from bench.export import write_bfcl

    return write_bfcl(store, run, wanted, folder, name)


def _values(folder: BfclFolder, name: str) -> dict[str, Any]:
    return {
        "results": str(folder.results),
        "model": name,
        "n_written": folder.n_written,
        "unwritable": list(folder.unwritable),
    }


def _file(path: Path) -> Block:
    from bench.report.document import Text

    return Text(f"Wrote {path}")


def _folder(folder: BfclFolder, name: str) -> list[Block]:
    from bench import numbers
    from bench.report.document import Text

    command = f"bfcl evaluate --model {name} --partial-eval --result-dir {folder.results.absolute()}"
    said = [
        Text(f"Wrote {numbers.plural(folder.n_written, 'result')}. To have them judged officially:"),
        Text(command, whole=True),
    ]
    if folder.unwritable:
        left = f"Left out because {name} cannot be told: {numbers.plural(len(folder.unwritable), 'answer')}"
        said.append(Text(f"{left}; without --as there are none.", "warn"))
    return list(said)
