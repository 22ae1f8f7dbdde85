"""A child process that gets one job and says lines of JSON: for work in llama.cpp that may end the process it runs in.

    with child("engine.quantize_child", job) as (process, messages, last_words):
        for message in messages: ...

    end_with_parent()    # in a child that may be silent for long

Knows no job and no message.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.errors import ToolgaugeError

ROOT = Path(__file__).resolve().parents[1]  # so that it works without being installed
_MOST_OF_A_LINE = 200


@contextmanager
def child(
    module: str, job: Mapping[str, Any], environment: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], Iterator[dict[str, Any]], Callable[[], str]]]:
    """The process, the messages that it sends, and what it printed last; it is ended with the block.

    `environment` is what it has beside this process's own.
    """
    search = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            # -P keeps the current folder off the module path: what lies there is a stranger's, and may bear any name.
            [sys.executable, "-P", "-m", module, json.dumps(job)],
            stdin=subprocess.PIPE,  # nothing is written: it ends when this process does, however that goes
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "PYTHONPATH": search, **(environment or {})},
            start_new_session=True,  # an interrupt goes to the parent alone, which ends the child in good order
        )
        assert process.stdin is not None and process.stdout is not None

        def last_words() -> str:
            errors.seek(0)
            lines = errors.read().decode("utf-8", errors="replace").strip().splitlines()
            return "; ".join(lines[-2:]) or "it said nothing"

        try:
            yield process, (_message(module, line) for line in process.stdout), last_words
        finally:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()


def end_with_parent() -> None:
    """In the child: end when its parent is gone, however it went; nobody would read what comes after."""

    def watch() -> None:
        os.read(0, 1)  # not through `sys.stdin`, whose lock would be held when this process ends by itself
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


def _message(module: str, line: str) -> dict[str, Any]:
    try:
        message: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError:
        raise ToolgaugeError(
            f"the process {module} printed what is no message of it: {line[:_MOST_OF_A_LINE].rstrip()!r}; something "
            "else writes to its output, perhaps a module that PYTHONPATH or sitecustomize brings in"
        ) from None
    return message
