"""JavaScript source text to a value, as far as the official checker reads it; what it cannot read stays a string.

It recognises a few spellings by pattern, and so does this module, by the same ones: a real parser would give other
verdicts. Nothing here backtracks, since the text is a model's. Knows no parameter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bench.score.bfcl.scan import number, on_one_line, parts, skip_space, whole_number
from bench.score.bfcl.verdict import Undefined

TYPES: Mapping[str, type] = {
    "String": str,
    "integer": int,
    "float": float,
    "Bigint": int,
    "Boolean": bool,
    "dict": dict,
    "array": list,
    "any": str,
}

# one line feed may end the text: the official patterns end in `$`
_INTEGER = re.compile(r"-?\d+\n?")
_FLOAT = re.compile(r"-?\d+(?:\.\d+)?\n?")
_BIG_INTEGER = re.compile(r"-?\d+n\n?")
_NEW_ARRAY = re.compile(r"new\s+Array\(")


def read(source: str, kind: str, item_kind: str | None = None) -> Any:
    """The value of `source` as the BFCL type `kind`; `item_kind` is the type of a list's elements."""
    match kind:
        case "String":
            return _unquoted(source) if _is_quoted(source) else source
        case "integer":
            return whole_number(source) if _INTEGER.fullmatch(source) else source
        case "Bigint":
            # with a line feed after it the official checker takes off that instead of the suffix, and fails
            return whole_number(source[:-1]) if _BIG_INTEGER.fullmatch(source) else source
        case "float":
            return float(source) if _FLOAT.fullmatch(source) else source
        case "Boolean":
            return {"true": True, "false": False}.get(source, source)
        case "array":
            return _array(source.strip(), item_kind)
        case "dict":
            return _object(source.strip())
    return source


def literal(source: str) -> Any:
    """The value of a literal of unknown type."""
    source = source.strip()
    if source in ("true", "false"):
        return source == "true"
    return _unquoted(source) if _is_quoted(source) else number(source)


def _is_quoted(source: str) -> bool:
    return any(source.startswith(quote) and source.endswith(quote) for quote in "\"'")


def _unquoted(source: str) -> str:
    return source[1:-1]


def _array(code: str, item_kind: str | None) -> Any:
    nested = _nested_end(code)
    if nested is not None:
        return [_inner_array(n, inner) for n, inner in enumerate(parts(code[:nested], "[", "]"))]
    elements = _elements(code)
    if elements is None:
        return code
    texts = elements.strip().split(",") if elements.strip() else []
    if item_kind is None:
        return [literal(text) for text in texts]
    try:
        return [read(text.strip(), item_kind) for text in texts]
    except Undefined:
        return code  # inside an array the official checker goes on where it otherwise raises


def _inner_array(number_of: int, inner: str) -> list[Any]:
    inner = inner.strip()
    if number_of == 0:
        inner = inner.removeprefix("[")  # the outer array's own bracket
    return [literal(text) for text in inner.split(",")]


def _elements(code: str) -> str | None:
    """What stands in `[...]` or `new Array(...)` at the beginning, up to the first closing bracket."""
    new = _NEW_ARRAY.match(code)
    start, closing = (new.end(), ")") if new else (1, "]")
    if not new and not code.startswith("["):
        return None
    end = code.find(closing, start)
    return code[start:end] if end != -1 and on_one_line(code, start, end) else None


def _nested_end(code: str) -> int | None:
    """Where an array of arrays ends that the text begins with; None if it does not begin with one.

    Written from the right: for each place, where the array would end if an inner one ended there or later on its line.
    """
    new = _NEW_ARRAY.match(code)
    if not new and not code.startswith("["):
        return None
    closing = ")" if new else "]"
    first = skip_space(code, new.end() if new else 1)
    if not code.startswith("[", first):
        return None
    length = len(code)
    visible = length  # the first character from here on that is no white space
    after = [length] * (length + 2)
    ends: list[int | None] = [None] * (length + 2)
    for place in range(length - 1, first, -1):
        after[place + 1] = visible
        if code[place] == "]":
            ends[place] = _end_after(code, visible, closing, after, ends)
        if ends[place] is None and code[place] != "\n":
            ends[place] = ends[place + 1]
        if not code[place].isspace():
            visible = place
    return ends[first + 1]


def _end_after(code: str, place: int, closing: str, after: list[int], ends: list[int | None]) -> int | None:
    """The array's end, given what comes after an inner array: the closing bracket, or a comma and the next array."""
    if code.startswith(closing, place):
        return place + 1
    if code.startswith(",", place):
        following = after[place + 1]
        if code.startswith("[", following):
            return ends[following + 1]
    return None


def _object(code: str) -> Any:
    if code == "{}":
        return {}
    end = code.find("}")
    if not code.startswith("{") or end == -1 or not on_one_line(code, 0, end):
        return code
    found: dict[str, Any] = {}
    for key, value in _pairs(code[1:end]):
        is_array = value.startswith("[") and value.endswith("]")
        found[key] = _array(value, None) if is_array else literal(value.strip("'\""))
    return found


def _pairs(content: str) -> Iterator[tuple[str, str]]:
    """Keys and values; a comma ends a value only if a colon comes before the next comma."""
    position = 0
    while (colon := content.find(":", position)) != -1:
        if colon == position:  # a key has at least one character
            position += 1
            continue
        start = skip_space(content, colon + 1)
        end, following = _value_end(content, start)
        yield content[position:colon].strip().strip("'\""), content[start:end].strip()
        position = following


def _value_end(content: str, start: int) -> tuple[int, int]:
    """Where the value ends, and where the next key begins."""
    comma = content.find(",", start)
    while comma != -1:
        key = skip_space(content, comma + 1)
        next_comma = content.find(",", key)
        limit = len(content) if next_comma == -1 else next_comma
        if content.find(":", key + 1, limit) != -1:
            return comma, key
        if key > comma + 1 and content.startswith(":", key):
            return comma, key - 1  # the last blank is the key
        comma = next_comma
    return len(content), len(content)
