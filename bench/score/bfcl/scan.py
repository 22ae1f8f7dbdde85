"""Small readers of source text that the Java and JavaScript converters share. They do not backtrack."""

from __future__ import annotations

import re
from typing import Any

from bench.score.bfcl.verdict import Undefined

_SPACE = re.compile(r"\s*")


def skip_space(text: str, start: int) -> int:
    """The position of the first character from `start` on that is no white space."""
    found = _SPACE.match(text, start)
    return found.end() if found else start


def on_one_line(text: str, start: int, end: int) -> bool:
    return text.find("\n", start, end) == -1


def parts(text: str, opening: str, closing: str, at_least: int = 0) -> list[str]:
    """What stands between each opening and the next closing of the same line, of `at_least` so many characters."""
    found = []
    position = text.find(opening)
    while position != -1:
        start = position + len(opening)
        end = text.find(closing, start + at_least)
        position += 1
        if end != -1 and on_one_line(text, start, end):
            found.append(text[start:end])
            position = end + len(closing)
        position = text.find(opening, position)
    return found


def whole_number(digits: str) -> int:
    try:
        return int(digits)
    except ValueError as error:  # thousands of digits, for instance
        raise Undefined("the official checker cannot read the integer") from error


def number(text: str) -> Any:
    """What Python takes for an integer or a float; anything else stays text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
