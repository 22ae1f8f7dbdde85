"""The command line's front door: the application, and the one place where an error becomes a sentence and a code.

    toolgauge run model-Q8_0.gguf model-Q4_K_M.gguf
    toolgauge report

Nothing heavy is imported here: a verb is imported when it is typed, and imports what it needs when it runs.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from bench.cli.asked_to_end import like_ctrl_c
from bench.cli.verbs import Verbs
from bench.shell import Exit, examples, say
from grammars.errors import ToolgaugeError

DEBUG_ENVIRONMENT = "TOOLGAUGE_DEBUG"
SAFE_PATH_ENVIRONMENT = "PYTHONSAFEPATH"  # Python's own

app = typer.Typer(
    name="toolgauge",
    cls=Verbs,
    help="Measure how reliably a local GGUF model calls tools:"
    " accuracy, constraint, speed and memory per quantization level.",
    epilog=examples("toolgauge run", "toolgauge run model-Q8_0.gguf model-Q4_K_M.gguf --suite quick"),
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from bench.version import own_version

        typer.echo(f"toolgauge {own_version()}")
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar=DEBUG_ENVIRONMENT, help="Show the traceback behind an error.")
    ] = False,
) -> None:
    del version, debug  # the first has its callback, the second is read by `main`


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; a person's mistake is one sentence, not a traceback."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug, arguments = _debug_wanted(arguments)
    # A new Python process would import from the current folder, where a download may lie that calls itself psutil.py.
    os.environ.setdefault(SAFE_PATH_ENVIRONMENT, "1")
    try:
        with like_ctrl_c():
            app(arguments, prog_name="toolgauge")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else Exit.OK
    except KeyboardInterrupt:
        say("interrupted", "yellow")
        return Exit.INTERRUPTED
    except ToolgaugeError as error:
        return _explain(str(error), debug)
    except OSError as error:
        if error.errno not in _PERSONS_OS_ERRORS:
            raise
        return _explain(_os_sentence(error), debug)
    return Exit.OK


_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota is used up", errno.EFBIG: "the file gets too large"}
_PERSONS_OS_ERRORS = {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR}
_PERSONS_OS_ERRORS |= {errno.ENAMETOOLONG, *_FULL}
_MOST_OF_A_NAME = 60  # what is too long for a file's name may be the text of a whole file


def _os_sentence(error: OSError) -> str:
    reason = (error.strerror or str(error)).lower()
    if error.errno == errno.ENAMETOOLONG:
        return f"'{str(error.filename)[:_MOST_OF_A_NAME]}...' is too long for the name of a file; give a file's path"
    if error.errno in _FULL:
        reason = f"{_FULL[error.errno]}; make room, then run the same command again"
    return f"{error.filename}: {reason}" if error.filename else reason


def _debug_wanted(arguments: Sequence[str]) -> tuple[bool, list[str]]:
    """Find `--debug` wherever a person typed it: one adds it to the end of a command that has just failed."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    rest = [argument for argument in arguments[:end] if argument != "--debug"] + list(arguments[end:])
    wanted = len(rest) < len(arguments) or os.environ.get(DEBUG_ENVIRONMENT, "0") not in ("", "0")
    return wanted, rest


def _explain(sentence: str, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    say(f"error: {sentence}", "bold red" if not debug else "")
    return Exit.USAGE


if __name__ == "__main__":
    sys.exit(main())
