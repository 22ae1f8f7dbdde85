"""The person at the terminal: told things, shown bars, asked before a download; all of it on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from bench.report.document import visible
from bench.shell import say, stderr_console

_SHOW_AFTER_S = 0.5  # what is quicker than this needs no bar


class Terminal:
    """Implements `bench.run.prepare.Person`."""

    def __init__(self, *, ask: bool = True, may_download: bool = True) -> None:
        self._ask = ask and sys.stdin.isatty() and sys.stderr.isatty()
        self._may_download = may_download

    def say(self, text: str) -> None:
        say(text)

    def may_download(self, what: str) -> bool:
        """Ask where somebody is there to answer; a script gets what it named."""
        if not self._may_download:
            return False
        if self._ask:
            try:
                return typer.confirm(f"Download {visible(what)}?", default=True, err=True)
            except typer.Abort:  # how typer reports Ctrl-C at a question
                raise KeyboardInterrupt from None
        say(f"Downloading {what}")
        return True

    @contextmanager
    def progress(self, label: str) -> Iterator[Callable[[float], None]]:
        """Show a bar on a terminal, once it takes a while; elsewhere a line when it begins."""
        console = stderr_console()
        began_s = time.monotonic()
        if not console.is_terminal:
            is_said = False

            def tell(fraction: float) -> None:
                nonlocal is_said
                if not is_said and time.monotonic() - began_s > _SHOW_AFTER_S:
                    is_said = True
                    say(f"{label}; this takes a while")

            yield tell
            return
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
        bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
        task = bar.add_task(visible(label), total=1.0)

        def show(fraction: float) -> None:
            if time.monotonic() - began_s > _SHOW_AFTER_S:
                bar.start()
            bar.update(task, completed=fraction)

        try:
            yield show
        finally:
            bar.stop()
