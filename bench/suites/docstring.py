"""What a docstring says of a function and of each parameter, or of a class and its fields, in three dialects.

    docstring(book_room)    # ("Book a room.", {"room": "Which room."})

Google's has `Args:` above indented entries, NumPy's `Parameters` underlined with dashes, Sphinx's a line
`:param room: Which room.` for each. Knows no tool and no schema.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

_UNDERLINED = (
    r"(?:(?:other )?parameters|arguments|attributes|returns?|yields?|receives|raises|warns|warnings|see also|notes?"
    r"|references|examples?|methods)[ \t]*:?[ \t]*\n-{3,}[ \t]*$"
)
_FIELD = (
    r":(?:param|parameter|arg|argument|key|keyword|type|returns?|rtype|raises?|except|exception|yields?|ytype"
    r"|var|ivar|cvar|vartype|meta)\b[^:\n]*:"
)
_TITLED = r"(?:args|arguments|parameters|attributes|returns?|raises|yields?|examples?|notes?)\s*:\s*$"
_SECTION = re.compile(rf"^(?:{_UNDERLINED}|{_FIELD}|{_TITLED})", re.IGNORECASE | re.MULTILINE)

_PARAMETERS = re.compile(r"(?:other )?(?:parameters|arguments|attributes)[ \t]*:?[ \t]*\n-{3,}", re.IGNORECASE)
_NAMES = re.compile(r"^(\**\w+(?:\s*,\s*\**\w+)*)\s*(?::.*)?$")
_PARAM = re.compile(
    r":(?:param|parameter|arg|argument|key|keyword|var|ivar|cvar)\s+(?:[^:\n]*\s)?[\\*]*(\w+)\s*:(.*?)(?:\n\s*\n(?=\S)|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_ARGS = re.compile(r"(?:args|arguments|parameters|attributes)\s*:", re.IGNORECASE)
_ARGUMENT = re.compile(r"^\s*\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")


def docstring(documented: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """What stands before the first section, on one line for each paragraph, and what is said of each parameter."""
    text = inspect.getdoc(documented) or ""
    places = [match.start() for match in _SECTION.finditer(text)] + [len(text)]
    paragraphs = re.split(r"\n\s*\n", text[: places[0]].strip())
    summary = "\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    sections = [text[start:end] for start, end in pairwise(places)]
    return summary, {name: said for section in sections for name, said in _meanings(section) if said}


def _meanings(section: str) -> Iterator[tuple[str, str]]:
    """Parameter by parameter; nothing for a section about something else."""
    if _PARAMETERS.match(section):
        yield from _underlined(section)
    elif field := _PARAM.match(section):
        yield field[1], " ".join(field[2].split())
    elif _ARGS.match(section):
        yield from _titled(section)


def _underlined(section: str) -> Iterator[tuple[str, str]]:
    """Entries `NAME : type` or `NAME, NAME : type` at the margin, each above its indented text."""
    found: list[tuple[list[str], list[str]]] = []
    for line in section.splitlines()[2:]:
        if line[:1].strip():
            names = _NAMES.match(line)
            found.append((re.findall(r"\w+", names[1]) if names else [], []))
        elif found:
            found[-1][1].extend(line.split())
    for entry, words in found:
        for name in entry:
            yield name, " ".join(words)


def _titled(section: str) -> list[tuple[str, str]]:
    """The entries of a section; a line that is indented deeper goes on with the entry above it."""
    found: list[tuple[str, str]] = []
    lines = [line for line in section.splitlines()[1:] if line.strip()]
    least = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    for line in lines:
        entry = _ARGUMENT.match(line)
        if entry and len(line) - len(line.lstrip()) == least:
            found.append((entry[1], entry[2].strip()))
        elif found:
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}".strip())
    return found
