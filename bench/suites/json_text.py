"""JSON as people's files hold it, read strictly: nothing that a reader would drop in silence.

A byte order mark is fine; a key that stands twice in an object and NaN are not. Knows no suite and no tool.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MOST_BYTES = 256 * 2**20
"""More is no suite, log or list of tools that a person wrote."""


def parse(text: str) -> Any:
    """The value; `ValueError` says what is wrong with the text."""
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_text(path: Path) -> str:
    """A file's text, with plain line ends; `OSError`, or `ValueError` for what is no text or far too long."""
    n_bytes = path.stat().st_size
    if n_bytes > MOST_BYTES:
        raise ValueError(f"it has {n_bytes:,} bytes, and at most {MOST_BYTES:,} are read")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text (byte {error.start})") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key '{twice}' stands twice in one object")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")
