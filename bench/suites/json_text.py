"""JSON as people's files hold it, read strictly: nothing that a reader would drop in silence.

A byte order mark is fine. A key that stands twice in an object is not, nor are NaN and what no model could be given and
no file could hold: half of a surrogate pair, numbers beyond all floats, hundreds of lists within each other. Knows no
suite and no tool.
"""

from __future__ import annotations

import json
from collections import Counter
from math import isinf
from pathlib import Path
from typing import Any

from engine.json_limits import MAX_DEPTH, has_lone_surrogate, is_too_deep

MOST_BYTES = 256 * 2**20
"""More is no suite, log or list of tools that a person wrote."""


def parse(text: str) -> Any:
    """The value; `ValueError` says what is wrong with the text."""
    too_deep = f"it is nested too deeply, more than {MAX_DEPTH} levels"
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError as error:
        raise ValueError(too_deep) from error
    if is_too_deep(value):
        raise ValueError(too_deep)
    if has_lone_surrogate(text):
        raise ValueError("it has half of a surrogate pair (\\ud800 to \\udfff on its own), which is no character")
    return value


def read_text(path: Path) -> str:
    """A file's text, with plain line ends; `OSError`, or `ValueError` for what is no text or far too long."""
    with path.open("rb") as file:
        found = file.read(MOST_BYTES + 1)  # a device or a pipe tells no size, and may never end
    if len(found) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES:,} bytes, and no more are read")
    try:
        text = found.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text (byte {error.start})") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, n in counts.items() if n > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return value


def _finite(digits: str) -> float:
    value = float(digits)
    if isinf(value):
        raise ValueError(f"the number {digits[:20]} is out of range")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")
