"""What every command shares: where output goes, what an exit code means, and the options that all of them have.

Results go to standard output; progress, warnings and errors go to standard error. Knows no suite and no model; the
libraries that draw are imported when something is drawn, so that `toolgauge --help` stays quick.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from bench.report.document import Document
    from engine.types import Call


class Exit(IntEnum):
    OK = 0
    ERRORED_ITEMS = 1  # the run finished, and some items could not be scored
    USAGE = 2  # a person's mistake, or something missing on this machine
    REGRESSION = 3  # what `compare --fail-if` was to find
    INTERRUPTED = 130


# Help panels, in the order in which a person asks.
MEASURE = "Measure"
READ = "Read results"
FORMATS = "Models and formats"
MACHINE = "This machine"
WHAT = "What to measure"
HOW = "How the model runs"
MEASURING = "How it is measured"
OUTPUT = "Output"

Database = Annotated[
    Path | None,
    typer.Option(
        "--db",
        help="The result file.",
        show_default="toolgauge.db, or TOOLGAUGE_DB",
        metavar="FILE",
        rich_help_panel=OUTPUT,
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document and nothing else on standard output.", rich_help_panel=OUTPUT),
]

Margin = Annotated[
    float,
    typer.Option(
        "--margin",
        metavar="POINTS",
        min=0.1,
        max=99,
        help="A loss of so many percentage points matters.",
        rich_help_panel=WHAT,
    ),
]


def examples(*lines: str) -> str:
    """The closing part of a command's help."""
    return "[bold]Examples[/]\n\n" + "\n\n".join(f"[cyan]$[/] {line}" for line in lines)


def comma_list(text: str | None) -> tuple[str, ...]:
    """`Q4_K_M, Q8_0` as a tuple; empty parts are dropped."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def call_line(call: Call) -> str:
    """A call as a model made it: its name, and its arguments as JSON."""
    return f"{call.name}({json.dumps(dict(call.arguments), ensure_ascii=False)})"


def typed(context: typer.Context, *, but: Collection[str]) -> str:
    """What of a command was typed, as it is written there, beside the parameters of these names; "" if nothing was."""
    names = []
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in but or source is None or source.name != "COMMANDLINE":
            continue
        off = parameter.secondary_opts if context.params.get(parameter.name or "") is False else ()
        is_option = parameter.param_type_name == "option"
        names.append(max(off or parameter.opts, key=len) if is_option else parameter.metavar or "")
    return ", ".join(names)


def stdout_console() -> Console:
    """Build the console for results; rich itself honours NO_COLOR, FORCE_COLOR and the terminal's width."""
    return _console(sys.stdout)


def stderr_console() -> Console:
    return _console(sys.stderr)


def _console(stream: Any) -> Console:
    from rich.console import Console

    return Console(file=stream, highlight=False, markup=False, emoji=False)


def emit(document: Document) -> None:
    """Print for a person: tables on a terminal, Markdown into a pipe."""
    console = stdout_console()
    if console.is_terminal:
        from bench.report import terminal

        terminal.render(document, console)
    else:
        from bench.report import markdown

        emit_text(markdown.render(document))


def emit_json(value: object) -> None:
    """Print one JSON document; ASCII only, because a model's output may hold what UTF-8 cannot."""
    emit_text(json.dumps(value, indent=2, allow_nan=False) + "\n")


def emit_text(text: str) -> None:
    """Write to standard output, whatever its encoding can carry."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, errors="replace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (`head`, a pager) has seen enough; without this, closing the stream would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(Exit.OK) from None


def say(text: str, style: str = "") -> None:
    """Tell the person something beside the results, on standard error."""
    from rich.text import Text

    from bench.report.document import visible

    stderr_console().print(Text(visible(text), style=style), soft_wrap=True)
