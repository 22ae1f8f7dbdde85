"""What is untidy about an answer, and whether tidying would have made it right.

Reading is strict first; where that fails, a fixed and ordered ledger of named repairs is tried, each on top of the one
before, until the text can be read. The result is reported beside the verdict and never changes it, so that a lenient
reader cannot move a ranking unseen. Of formats it knows the markers only: it looks for JSON in the shape of a call, and
leaves calls of other shapes to `bench.score.closing`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.records import ItemRecord
from bench.score.ledger import FENCE, LEDGER, OPENING, SMART_QUOTES, without_thinking
from bench.suites.case import Case
from engine import formats
from engine.formats.strict import Value, read
from engine.types import Call, Parsed

ENVELOPE = "envelope"
"""The name of a repair for which reading the call was enough: only what stood around it was wrong."""

_CALL_BEGINS = re.compile(rf"{OPENING.pattern}|<")
_KNOWN_MARKERS = sorted({marker for fmt in formats.FORMATS.values() for marker in fmt.markers}, key=len, reverse=True)
_MARKER = "|".join((*map(re.escape, _KNOWN_MARKERS), r"</?(?!think)[a-z_]{3,}>|<\|[a-z_]+\|>|\[/?[A-Z_]{4,}\]"))
_MARKERS_AROUND = re.compile(rf"\A(?:\s*(?:{_MARKER}))+|(?:(?:{_MARKER})\s*)+\Z")


@dataclass(frozen=True, slots=True)
class Repair:
    """The calls that came out of unreadable text, and what had to be done to it."""

    names: tuple[str, ...]
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Hygiene:
    """`flags` name what was untidy, `repairs` what made it readable (None: nothing to repair, or nothing did)."""

    flags: tuple[str, ...] = ()
    repairs: tuple[str, ...] | None = None
    correct_after_repair: bool | None = None  # None for episodes: after a repair they would have gone on differently


def flags(case: Case, record: ItemRecord) -> tuple[str, ...]:
    """What was untidy in steps with a call or an attempt at one."""
    found: dict[str, None] = {}  # an ordered set
    own_words = "".join(
        [*(message.content for message in case.messages), *(r.content for s in record.steps for r in s.results)]
    )
    asks_for_words = record.format_id == formats.ENVELOPE.id  # its `reply` stands beside the calls
    for step in record.steps:
        parsed = step.parsed
        if not (parsed.calls or parsed.fragments or parsed.open_block):
            continue
        if _is_fenced(parsed, is_worded=not asks_for_words):
            found[FENCE] = None
        if parsed.calls and parsed.content and not asks_for_words:
            found["prose_with_call"] = None
        values = "".join(text for call in parsed.calls for text in _texts(call.arguments))
        if any(quote in values and quote not in own_words for quote in SMART_QUOTES):
            found["smart_quotes_in_value"] = None
        for fragment in parsed.fragments:
            names = _attempt(fragment.text)[0]
            found.update(dict.fromkeys(name for name in names if name != FENCE))  # which may be a value's
    return tuple(found)


def _is_fenced(parsed: Parsed, *, is_worded: bool) -> bool:
    """Whether a fence stands around a call or beside it; what was thought before it, and its values, may hold any."""
    words = [parsed.content] if is_worded else []
    for fragment in parsed.fragments:
        text = without_thinking(_MARKERS_AROUND.sub("", fragment.text), 0)
        begins = _CALL_BEGINS.search(text)
        words.append(text[: begins.start()] if begins else text)
    return any("```" in text for text in words)


def repair(parsed: Parsed) -> Repair | None:
    """Read the fragments of an answer with the ledger's help; None if there are none, or one stays unreadable.

    Markers beside a call are left out. Markers alone say neither what was to be called nor that nothing was.
    """
    if not parsed.fragments or not (parsed.calls or any(_within_markers(each.text) for each in parsed.fragments)):
        return None
    names: dict[str, None] = {}
    calls: list[Call] = list(parsed.calls)
    for fragment in parsed.fragments:
        applied, found = _attempt(fragment.text)
        if found is None:
            return None
        names.update(dict.fromkeys(applied or (ENVELOPE,)))
        calls += found
    return Repair(tuple(names), tuple(calls))


def _attempt(text: str) -> tuple[tuple[str, ...], tuple[Call, ...] | None]:
    """The repairs that were applied, and the calls if they made the text readable.

    The ledger is gone through again as long as it helps, because one fault hides the next. A repair is kept unless
    strict reading then stops earlier than before: it has mended something that was not broken.
    """
    text = _within_markers(text)
    if not text:
        return (), ()
    applied: set[str] = set()
    for _ in LEDGER:
        before = text
        for name, mend in LEDGER:
            stop = _stops_at(text)
            if stop is None:
                break
            mended = mend(text, stop)
            if mended != text and _n_unread(mended) <= _n_unread(text):
                applied.add(name)
                text = mended
        if text == before:
            break
    names = tuple(name for name, _ in LEDGER if name in applied)
    match read(text, 0):
        case Value(value, end) if end == len(text.rstrip()):
            return names, _calls(value)
    return names, None


def _within_markers(text: str) -> str:
    return _MARKERS_AROUND.sub("", text).strip()


def _stops_at(text: str) -> int | None:
    """Where strict reading stops; None if it reads everything."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.pos
    except (ValueError, RecursionError):  # thousands of digits, thousands of brackets
        return 0
    return None


def _n_unread(text: str) -> int:
    stop = _stops_at(text)
    return 0 if stop is None else 1 + len(text) - stop


def _calls(value: Any) -> tuple[Call, ...] | None:
    """The calls in a JSON value of one of the usual shapes; None if it has none of them."""
    if isinstance(value, dict):
        for key in ("calls", "tool_calls"):
            if isinstance(value.get(key), list):
                return _calls(value[key])
        if isinstance(value.get("function"), dict):
            return _calls(value["function"])
        arguments = value.get("arguments", value.get("parameters"))
        if isinstance(arguments, str):
            arguments = _object(arguments)
        if isinstance(value.get("name"), str) and isinstance(arguments, dict):
            return (Call(value["name"], arguments),)
        return None
    if isinstance(value, list):
        each = [_calls(item) for item in value]
        return None if None in each else tuple(call for calls in each if calls for call in calls)
    return None


def _object(text: str) -> Any:
    match read(text, 0):
        case Value(value, end) if end == len(text.rstrip()):
            return value
    return None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
