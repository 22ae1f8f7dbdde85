"""Reads an official file: one JSON object a line, whatever the file's ending says. Knows nothing of what is in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.suites.bfcl.package import PULL
from bench.suites.case import SuiteError


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The lines of an official file; each is a JSON object."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise SuiteError(f"{path} cannot be read ({error.strerror}); get the data again: {PULL} --force") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise SuiteError(f"{path}:{number}: not a JSON document ({error})") from error
    return rows
