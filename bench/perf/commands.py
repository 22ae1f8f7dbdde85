"""Programs that build other programs: run with a time limit, and asked for the line that says why they failed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from engine.errors import ToolgaugeError


class BuildError(ToolgaugeError):
    """The tools cannot be built; the message says what is missing."""


def run(command: Sequence[str], limit_s: float, what: str) -> subprocess.CompletedProcess[str]:
    """Whatever the exit code. Messages come in the language in which `first_error` looks for them."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=limit_s, check=False, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{what} took longer than {limit_s / 60:.0f} minutes") from error
    except OSError as error:
        raise BuildError(f"{command[0]} cannot be run: {(error.strerror or str(error)).lower()}") from error


def first_error(text: str, mark: str) -> str:
    """What follows the first mark in its line, or in the next one if the line only says where; else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "it did not say why"
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if mark in line:
            rest = line.partition(mark)[2].strip()
            return after if rest.endswith(":") and after else rest or line
    return lines[-1]
