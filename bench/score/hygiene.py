"""What is untidy about an answer, and whether tidying would have made it right.

Reading is strict first; where that fails, a fixed and ordered ledger of named repairs is tried, each on top of the one
before, until the text can be read. The result is reported beside the verdict and never changes it, so that a lenient
reader cannot move a ranking unseen. Of formats it knows the markers only: it looks for JSON in the shape of a call, and
leaves calls of other shapes to `bench.score.closing`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bench.records import ItemRecord
from bench.suites.case import Case
from engine import formats
from engine.formats.strict import Value, read
from engine.types import Call, Parsed

SMART_QUOTES = "“”„‟‘’‚‛«»"
ENVELOPE = "envelope"
"""The name of a repair for which reading the call was enough: only what stood around it was wrong."""
FENCE = "fence"
UNCLOSED = "unclosed"

Mend = Callable[[str, int], str]

_OPENING = re.compile(r"\{(?=\s*[\"'“‘}])|\[(?=\s*[{\[\]])")  # a bracket that looks like the beginning of JSON
_STRING = re.compile(r'"(?:\\.|[^"\\])*+(")?', re.DOTALL)  # to the end of the text if nothing closes it
_STRING_OR_BRACKET = re.compile(rf"{_STRING.pattern}|[{{\[\]}}]", re.DOTALL)
_TRY = re.compile(  # what a JSON value that was to be a call has somewhere: arguments, or a name and nothing else
    r"[\"'“‘](?:arguments|parameters)[\"'”’]\s*:|\{\s*[\"'“‘]name[\"'”’]\s*:\s*[\"'“‘][^\"'”’]*[\"'”’]\s*\}"
)
_CALL_BEGINS = re.compile(rf"{_OPENING.pattern}|<")
_FENCE = re.compile(r"```[ \t]*\w*[ \t]*\n?(.*?)(?:```|\Z)", re.DOTALL)
_THINK_OPENS = re.compile(r"\s*<think(?:ing)?>")
_THINK_CLOSES = re.compile(r"</think(?:ing)?>")
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
        text = _without_thinking(_MARKERS_AROUND.sub("", fragment.text), 0)
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


def _outside_strings(text: str, mend: Callable[[str], str]) -> str:
    """Apply `mend` to everything but the JSON strings."""
    pieces, position = [], 0
    for match in _STRING.finditer(text):
        pieces += [mend(text[position : match.start()]), match.group()]
        position = match.end()
    return "".join([*pieces, mend(text[position:])])


def _without_thinking(text: str, stop: int) -> str:
    """What follows the reasoning; nothing if that never ends, for a draft is no call.

    Where it begins without a mark, its end is only taken for one outside of what may be a value.
    """
    opens = _THINK_OPENS.match(text)
    start = None if opens else _OPENING.search(text)
    values = [match.span() for match in _STRING.finditer(text, start.start())] if start else []
    for closes in _THINK_CLOSES.finditer(text):
        if not any(begin < closes.start() < end for begin, end in values):
            return text[closes.end() :].lstrip()
    return "" if opens else text


def _without_fence(text: str, stop: int) -> str:
    start = _OPENING.search(text)
    match = _FENCE.search(text)
    # a fence behind the first bracket belongs to a value
    return match.group(1).strip() if start and match and match.start() < start.start() < match.end() else text


def _without_prose(text: str, stop: int) -> str:
    """From the first bracket to the one that closes it, or the last call behind it; or to the end."""
    values = _values(text)
    return text[values[0].start : values[-1].stop] if values else text


def _as_list(text: str, stop: int) -> str:
    """Several calls, whatever stands between them, as one list, which is no more closed than the last of them."""
    values = _values(text)
    if len(values) < 2:
        return text
    end = values[-1].stop
    return "[" + ",".join(text[each] for each in values) + ("" if end is None else f"]{text[end:]}")


def _values(text: str) -> list[slice]:
    """The first JSON, up to the bracket that closes it, and all JSON behind it that was to be a call."""
    found: list[slice] = []
    begins = _OPENING.search(text)
    while begins:
        start, end = begins.start(), _closing(text, begins.start())
        if not found or _TRY.search(text, start, len(text) if end is None else end):
            found.append(slice(start, end))
        begins = None if end is None else _OPENING.search(text, end)
    return found


def _closing(text: str, start: int) -> int | None:
    """The place behind the bracket that closes the one at `start`; None: nothing does."""
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text, start):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(match.group(), 0)
        if depth == 0:
            return match.end()
    return None


def _straight(quotes: str) -> Mend:
    """These quotes made straight where a JSON string begins or ends, if it is one of them that cannot be read."""
    opening = re.compile(rf"(?<=[{{\[,:])(\s*)[{quotes}]")
    closing = re.compile(rf"[{quotes}](?=\s*[}}\],:])")

    def mend(text: str, stop: int) -> str:
        if text[stop : stop + 1] not in tuple(quotes):
            return text
        return closing.sub('"', opening.sub(r'\1"', text))

    return mend


def _without_python(text: str, stop: int) -> str:
    words = {"True": "true", "False": "false", "None": "null"}
    return _outside_strings(text, lambda part: re.sub(r"\b(True|False|None)\b", lambda m: words[m.group()], part))


def _without_trailing_comma(text: str, stop: int) -> str:
    # a comma and its bracket may be parted by white space only, so never by a string
    return _outside_strings(text, lambda part: re.sub(r",(\s*[}\]])", r"\1", part))


def _closed(text: str, stop: int) -> str:
    """With the string and the brackets closed that were still open at the end."""
    is_open = any(match[1] is None for match in _STRING.finditer(text))
    quote = '"' if is_open else ""
    if is_open:
        n_backslashes = len(text) - len(text.rstrip("\\"))
        text = text[: len(text) - n_backslashes % 2]
    stack: list[str] = []
    for bracket in re.findall(r"[{\[\]}]", _STRING.sub("", text)):
        if bracket in "{[":
            stack.append("}" if bracket == "{" else "]")
        elif stack and stack[-1] == bracket:
            stack.pop()
    return text + quote + "".join(reversed(stack)) if quote or stack else text


LEDGER: tuple[tuple[str, Mend], ...] = (
    ("think_block", _without_thinking),
    (FENCE, _without_fence),
    ("prose", _without_prose),
    ("several", _as_list),
    ("smart_quotes", _straight(SMART_QUOTES)),
    ("single_quotes", _straight("'")),
    ("python_literals", _without_python),
    ("trailing_comma", _without_trailing_comma),
    (UNCLOSED, _closed),
)
"""In this order. Each takes the text and the place where strict reading stops."""
