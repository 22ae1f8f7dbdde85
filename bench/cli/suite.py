"""`toolgauge suite`: write a suite of your own, find what is wrong with it, and read what is in one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli import options
from bench.cli.files import written
from bench.shell import OUTPUT, WHAT, Exit, Json, emit, emit_json, emit_text, examples, say
from grammars.errors import ToolgaugeError

if TYPE_CHECKING:
    from bench.authoring.examine import Examined
    from bench.suites.read import Trouble

EXAMPLES = examples("toolgauge suite new my_suite.jsonl", "toolgauge suite check my_suite.jsonl")
_CHECK = examples("toolgauge suite check my_suite.jsonl", "toolgauge suite check my_folder --json")
_SHOW = examples(
    "toolgauge suite show core",
    "toolgauge suite show core --cases",
    "toolgauge suite show my_suite.jsonl my_suite/weather-1",
)
_NEW = examples(
    "toolgauge suite new my_suite.jsonl",
    "toolgauge suite new my_suite.jsonl --tools my_app.tools:book_table,cancel_table",
)
_IMPORT = examples(
    "toolgauge suite import requests.jsonl -o my_suite.jsonl",
    "toolgauge suite import chats.jsonl --tools my_tools.json --turns last -o my_suite.jsonl",
)
_TOOLS = examples(
    "toolgauge suite tools my_app.tools: > my_tools.json",
    "toolgauge suite tools my_app/tools.py:book_table",
)

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Write, check and read suites of cases.")

SuiteName = Annotated[str, typer.Argument(metavar="NAME|FILE|FOLDER", show_default=False, help="The suite.")]


@app.callback(epilog=EXAMPLES)
def _suite() -> None: ...


@app.command(epilog=_CHECK)
def check(suite: SuiteName, tools: options.SuiteTools = None, as_json: Json = False) -> None:
    """Say everything that is wrong with a suite, line by line.

    Every ideal answer and near miss is played. Exit code 0: nothing is wrong;
    2: something is. Warnings do not count.
    """
    from bench.authoring.examine import examine
    from bench.suites.case import is_bfcl, path_of

    if is_bfcl(suite):
        raise ToolgaugeError("BFCL's suites are not files to mend; what is known to be wrong there: docs/bfcl.md")
    found = examine(path_of(suite), tools_for((suite,), tools))
    if as_json:
        emit_json(found.to_json())
    else:
        emit_text(_lines(found))
    if found.problems:
        raise typer.Exit(Exit.USAGE)


def _lines(found: Examined) -> str:
    """One line for each, as compilers write them, so that editors lead there."""
    from bench import numbers

    lines = [_line(each) for each in found.problems] + [_line(each, "warning: ") for each in found.warnings]
    n_problems, n_warnings = (numbers.plural(len(each), what) for each, what in _counts(found))
    total = f"{found.name or found.path}: {numbers.plural(found.n_cases, 'case')} read, {n_problems}, {n_warnings}"
    return "\n".join([*lines, total]) + "\n"


def _counts(found: Examined) -> tuple[tuple[tuple[Trouble, ...], str], ...]:
    return (found.problems, "problem"), (found.warnings, "warning")


def _line(trouble: Trouble, kind: str = "") -> str:
    from bench.report.document import visible

    where = f"{trouble.path}:{trouble.line}" if trouble.line else str(trouble.path)
    return visible(f"{where}: {kind}{trouble.place}: {trouble.problem}".replace("\n", " "))


@app.command(epilog=_SHOW)
def show(
    suite: SuiteName,
    case_id: Annotated[
        str | None, typer.Argument(metavar="CASE", show_default=False, help="A case's id, or a part that only it has.")
    ] = None,
    cases: Annotated[
        bool, typer.Option("--cases", help="Every case in a line: id, category, request.", rich_help_panel=OUTPUT)
    ] = False,
    tools: options.SuiteTools = None,
    as_json: Json = False,
) -> None:
    """Show a suite's categories, a list of its cases, or one case in words."""
    from bench.cli import suite_pages as pages
    from bench.suites.case import load

    if cases and case_id is not None:
        raise ToolgaugeError(f"--cases lists all cases; leave it out to see {case_id}, or leave the case out")
    found = load(suite, tools_for((suite,), tools))
    if cases:
        if as_json:
            emit_json(pages.listing_values(found))
        else:
            emit(pages.listing(found))
        return
    if case_id is None:
        if as_json:
            emit_json(pages.overview_values(found))
        else:
            emit(pages.overview(found, suite))
        return
    case = pages.find(found, case_id, suite)
    if as_json:
        emit_json(pages.case_values(case))
    else:
        emit(pages.case_page(case))


@app.command(epilog=_NEW)
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The suite to write.")] = Path("my_suite.jsonl"),
    tools: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|MODULE:NAMES",
            help="Your tools, each of which gets a case to fill in; their definitions are written beside it.",
            show_default="three of an example",
            rich_help_panel=WHAT,
        ),
    ] = None,
) -> None:
    """Write a commented example, or a suite to fill in for your own tools."""
    from bench.authoring.starter import example, skeleton
    from bench.suites.sources.tools import definitions_from, tools_from

    _check_named(file)
    file = file if file.suffix else file.with_suffix(".jsonl")
    if tools is None:
        _write({file: example(file.stem)})
        say(f"Wrote {file}. It runs as it is: toolgauge run --suite {quote(str(file))}", "green")
        return
    definitions = file.with_suffix(".tools.json")
    text = skeleton(file.stem, tools_from(tools), definitions.name)
    _write({definitions: _as_text(definitions_from(tools)), file: text})
    check_it = f"toolgauge suite check {quote(str(file))}"
    say(f"Wrote {file}, and the tools in {definitions}. What is to be filled in: {check_it}", "green")


@app.command("import", epilog=_IMPORT)
def import_(
    log: Annotated[Path, typer.Argument(metavar="LOG", help="A chat log: a JSON object on each line.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FILE", help="The suite to write.", rich_help_panel=OUTPUT)
    ],
    tools: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|MODULE:NAMES", help="The tools, where the log does not say them.", rich_help_panel=WHAT
        ),
    ] = None,
    turns: Annotated[
        str,
        typer.Option(
            metavar="first|last|all", help="Which of a conversation's turns become cases.", rich_help_panel=WHAT
        ),
    ] = "all",
    as_json: Json = False,
) -> None:
    """Make cases from a log of chats with tools.

    A turn of the assistant is a case, and what it did is taken to be right. A log
    is not the truth: look at each case, above all at those that are listed.
    """
    from bench.authoring.import_log import Turns, cases_from
    from bench.cli.suite_pages import imported_page
    from bench.suites.sources.tools import definitions_from

    if turns not in tuple(Turns):
        raise ToolgaugeError(f"--turns {turns} is not known; choose first, last or all")
    _check_named(out)
    of_tools = out.with_suffix(".tools.json")
    _check_free(out)
    _check_free(of_tools)
    own = definitions_from(tools) if tools else ()
    found = cases_from(log, suite=out.stem, tools=own, turns=Turns(turns), tools_file=of_tools.name)
    if not found.cases:
        first = found.left_out[0]
        raise ToolgaugeError(f"{log}: nothing in it can be made a case; line {first.line}: {first.reason}")
    _write({out: found.text, of_tools: _as_text(found.tools)})
    if as_json:
        emit_json(found.to_json())
    else:
        emit(imported_page(found, log, out))


@app.command("tools", epilog=_TOOLS)
def tools_(
    source: Annotated[str, typer.Argument(metavar="FILE|MODULE:NAMES", help="A JSON file, or typed Python functions.")],
) -> None:
    """Print tools as JSON, for a suite's header or for a look at what is offered."""
    from bench.suites.sources.tools import definitions_from

    emit_text(_as_text(definitions_from(source)))


def known_anywhere(suite: str) -> str:
    """A path as it is found from any folder, since a run is also scored and reported from others."""
    from bench.suites.case import is_own

    return str(Path(suite).resolve()) if is_own(suite) and Path(suite).exists() else suite


def tools_for(suites: Sequence[str], source: str | None) -> tuple[Mapping[str, Any], ...]:
    """The tools that stand in place of the suites' own; each has to be named by a suite."""
    if source is None:
        return ()
    from bench.suites.build import offer_of
    from bench.suites.case import is_own
    from bench.suites.read import look_through
    from bench.suites.sources.tools import definitions_from

    own = [suite for suite in suites if is_own(suite)]
    if not own:
        raise ToolgaugeError("--tools is for suites of your own, which are named by their path")
    definitions = definitions_from(source)
    readings = [look_through(Path(suite), definitions) for suite in own]
    offered = {name for reading in readings for found in reading.found for name in found.named_tools}
    unused = [name for name in (offer_of(raw).tool.name for raw in definitions) if name not in offered]
    if unused and not any(reading.troubles for reading in readings):
        say(f"warning: of --tools no case of {', '.join(own)} names: {', '.join(unused)}", "yellow")
    return definitions


def _as_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def _write(texts: dict[Path, str]) -> None:
    """All of the files, each of them whole, or none: what is there is in the way of another try."""
    for path in texts:
        _check_free(path)
    with ExitStack() as stack:
        for path, text in texts.items():
            stack.enter_context(written(path)).write_text(text, encoding="utf-8")


def _check_named(path: Path) -> None:
    if path.name in ("", ".."):
        raise ToolgaugeError(f"{path} is a folder; name the file to write, e.g. {path / 'my_suite.jsonl'}")


def _check_free(path: Path) -> None:
    if path.exists():
        raise ToolgaugeError(f"{path} exists already; give another name, or move it away")
