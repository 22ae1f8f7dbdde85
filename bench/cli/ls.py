"""`toolgauge ls`: the runs in the result file, the models of the registry, the suites, the tool-call formats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.shell import Database, Json, emit, emit_json, examples

if TYPE_CHECKING:
    from bench.report.document import Table, Text
    from bench.results.rows import Cell, Run

EXAMPLES = examples("toolgauge ls", "toolgauge ls models --json")


class What(StrEnum):
    RUNS = "runs"
    MODELS = "models"
    SUITES = "suites"
    FORMATS = "formats"


def ls(
    what: Annotated[What, typer.Argument(help="What to list.")] = What.RUNS,
    db: Database = None,
    as_json: Json = False,
) -> None:
    """List runs, models, suites or formats."""
    values = _runs(db) if what is What.RUNS else _LISTS[what]()
    if as_json:
        emit_json(values)
    else:
        emit([*(_suite_tables(values) if what is What.SUITES else [_table(what, values)]), *_closing(what)])


def _closing(what: What) -> list[Text]:
    from bench.report.document import Text

    return [Text(_CLOSING[what], "dim")] if what in _CLOSING else []


def _suite_tables(values: list[dict[str, Any]]) -> list[Table]:
    """BFCL's groups and categories have a table of their own: they are many, and differ in their sizes only."""
    from bench.suites.bfcl.categories import PREFIX

    values = [value | {"n_categories": len(value["categories"])} for value in values]
    bfcl = [value for value in values if value["suite"].startswith(PREFIX)]
    (title,) = {value["description"] for value in bfcl}
    own = _table(What.SUITES, [value for value in values if value not in bfcl])
    return [own, replace(_table(What.SUITES, [value | {"description": ""} for value in bfcl]), title=title)]


def _table(what: What, values: list[dict[str, Any]]) -> Table:
    """Show the columns that help to choose, in this order, where anybody has them; JSON has everything."""
    from bench.report.document import Column, Table, cell

    shown = {
        name: header for name, header in _SHOWN[what].items() if not values or any(value[name] for value in values)
    }
    columns = tuple(
        Column(header, right=name.startswith("n_") or name == "run", part=_PARTS.get((what, name), "key"))
        for name, header in shown.items()
    )
    rows = tuple(tuple(cell(_shown(name, value)) for name in shown) for value in values)
    return Table(columns, rows)


_SHOWN: dict[What, dict[str, str]] = {
    What.RUNS: {
        "run": "run",
        "started_utc": "started",
        "state": "state",
        "models": "models",
        "quants": "levels",
        "settings": "settings",
        "suites": "suites",
        "n_items": "answers",
    },
    What.MODELS: {
        "name": "name",
        "format": "format",
        "n_ctx": "context",
        "license": "licence",
        "verified": "verified",
        "repo": "repository",
        "quants": "levels",
    },
    What.SUITES: {
        "suite": "suite",
        "version": "version",
        "n_cases": "cases",
        "n_categories": "categories",
        "description": "description",
    },
    What.FORMATS: {"format": "format", "version": "version", "written_by": "written by"},
}

_CLOSING = {
    What.FORMATS: "A call of each, and which one a model writes: toolgauge formats",
    What.SUITES: "The categories of one, and its cases in words: toolgauge suite show NAME",
}

# Which columns of a list too wide for the terminal stay together; the name is repeated.
_PARTS: dict[tuple[What, str], str] = {
    **{(What.MODELS, name): "facts" for name in ("format", "n_ctx", "license", "verified")},
    **{(What.MODELS, name): "files" for name in ("repo", "quants")},
}


def _shown(name: str, value: dict[str, Any]) -> str:
    """The text of one column; what a run has planned is no answer yet."""
    text = _text(name, value[name])
    if name != "n_items":
        return text
    answered = _text(name, value["n_answered"])
    return answered if answered == text else f"{answered} of {text}"


def _text(name: str, value: object) -> str:
    from bench import numbers

    if value is None:
        return numbers.MISSING
    if name == "started_utc":
        return numbers.moment(str(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and name != "run":
        return numbers.count(value)
    separator = "; " if name == "settings" else ", "  # a setting may hold commas
    return separator.join(map(str, value)) if isinstance(value, list) else str(value)


def _runs(db: Path | None) -> list[dict[str, Any]]:
    from bench.results.store import Store

    with Store.read(db) as store:
        counted = store.query("SELECT run_id, count(*) AS n FROM item GROUP BY run_id")
        n_answers = {row["run_id"]: row["n"] for row in counted}
        return [_run(run, store.cells(run.id), n_answers.get(run.id, 0)) for run in store.runs()]


def _run(run: Run, cells: list[Cell], n_answered: int) -> dict[str, Any]:
    quants = list(dict.fromkeys(cell.model.quant for cell in cells))
    return {
        "run": run.id,
        "started_utc": run.created_utc,
        "state": "finished" if run.finished_utc else "unfinished",
        "models": list(dict.fromkeys(cell.model.name for cell in cells)),
        "quants": quants,
        "settings": list(dict.fromkeys(cell.model.setting for cell in cells if cell.model.setting)),
        "suites": list(dict.fromkeys(cell.suite for cell in cells)),
        "modes": list(dict.fromkeys(cell.mode for cell in cells)),
        "n_items": run.n_items,
        "n_answered": n_answered,
        "argv": list(run.argv),
    }


def _suites() -> list[dict[str, Any]]:
    from bench.suites import case

    bundled = [
        {
            "suite": suite.name,
            "version": suite.version,
            "n_cases": len(suite.cases),
            "categories": list(suite.categories),
            "description": suite.description,
            "sha256": suite.content_hash,
        }
        for suite in map(case.load, case.bundled())
    ]
    return bundled + _bfcl()


def _bfcl() -> list[dict[str, Any]]:
    """BFCL's groups and categories, in the numbers of the pinned version; they are read when they are run."""
    from bench.suites.bfcl import categories, package

    folder = package.folder()
    version = package.version(folder) if folder else None
    groups = {**categories.GROUPS, **{name: (category,) for name, category in categories.CATEGORIES.items()}}
    how = "Berkeley leaderboard v4" if folder else f"Berkeley leaderboard v4; get it with {package.PULL}"
    return [
        {
            "suite": f"{categories.PREFIX}{name}",
            "version": version,
            "n_cases": sum(category.n_cases for category in group),
            "categories": [category.name for category in group],
            "description": how,
            "sha256": None,
        }
        for name, group in groups.items()
    ]


def _formats() -> list[dict[str, Any]]:
    from bench.models.catalogue import entries

    return [
        {
            "format": entry.id,
            "version": entry.version,
            "written_by": entry.title,
            "constrained_by": list(entry.constrained_by),
        }
        for entry in entries()
    ]


def _models() -> list[dict[str, Any]]:
    from bench.models.registry import load

    return [model.model_dump(mode="json") for model in load().models]


_LISTS: dict[What, Callable[[], list[dict[str, Any]]]] = {
    What.MODELS: _models,
    What.SUITES: _suites,
    What.FORMATS: _formats,
}
