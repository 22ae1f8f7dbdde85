"""Named repairs of JSON that was to be a call, each for one way in which models write it wrongly.

They stand in one order, and each takes the text and the place where strict reading stops; what it cannot mend it
returns as it was. Knows no format, no answer and no verdict.
"""

from __future__ import annotations

import re
from collections.abc import Callable

SMART_QUOTES = "“”„‟‘’‚‛«»"
FENCE = "fence"
UNCLOSED = "unclosed"

Mend = Callable[[str, int], str]

OPENING = re.compile(r"\{(?=\s*[\"'“‘}])|\[(?=\s*[{\[\]])")  # a bracket that looks like the beginning of JSON
_STRING = re.compile(r'"(?:\\.|[^"\\])*+(")?', re.DOTALL)  # to the end of the text if nothing closes it
_STRING_OR_BRACKET = re.compile(rf"{_STRING.pattern}|[{{\[\]}}]", re.DOTALL)
_TRY = re.compile(  # what a JSON value that was to be a call has somewhere: arguments, or a name and nothing else
    r"[\"'“‘](?:arguments|parameters)[\"'”’]\s*:|\{\s*[\"'“‘]name[\"'”’]\s*:\s*[\"'“‘][^\"'”’]*[\"'”’]\s*\}"
)
_FENCE = re.compile(r"```[ \t]*\w*[ \t]*\n?(.*?)(?:```|\Z)", re.DOTALL)
_THINK_OPENS = re.compile(r"\s*<think(?:ing)?>")
_THINK_CLOSES = re.compile(r"</think(?:ing)?>")


def _outside_strings(text: str, mend: Callable[[str], str]) -> str:
    """Apply `mend` to everything but the JSON strings."""
    pieces, position = [], 0
    for match in _STRING.finditer(text):
        pieces += [mend(text[position : match.start()]), match.group()]
        position = match.end()
    return "".join([*pieces, mend(text[position:])])


def without_thinking(text: str, stop: int) -> str:
    """What follows the reasoning; nothing if that never ends, for a draft is no call.

    Where it begins without a mark, its end is only taken for one outside of what may be a value.
    """
    opens = _THINK_OPENS.match(text)
    start = None if opens else OPENING.search(text)
    values = [match.span() for match in _STRING.finditer(text, start.start())] if start else []
    for closes in _THINK_CLOSES.finditer(text):
        if not any(begin < closes.start() < end for begin, end in values):
            return text[closes.end() :].lstrip()
    return "" if opens else text


def _without_fence(text: str, stop: int) -> str:
    start = OPENING.search(text)
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
    begins = OPENING.search(text)
    while begins:
        start, end = begins.start(), _closing(text, begins.start())
        if not found or _TRY.search(text, start, len(text) if end is None else end):
            found.append(slice(start, end))
        begins = None if end is None else OPENING.search(text, end)
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
    ("think_block", without_thinking),
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
