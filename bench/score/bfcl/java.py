"""Java source text to a value, as far as the official checker reads it; what it cannot read stays a string.

It recognises a few spellings of literals and collections by pattern, and so does this module, by the same ones: a real
parser would give other verdicts. Nothing here backtracks, since the text is a model's. Knows no parameter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bench.score.bfcl.scan import number, on_one_line, parts, skip_space, whole_number
from bench.score.bfcl.verdict import Undefined

TYPES: Mapping[str, type] = {
    **dict.fromkeys(("byte", "short", "integer", "long"), int),
    **dict.fromkeys(("float", "double"), float),
    "boolean": bool,
    **dict.fromkeys(("char", "String", "any"), str),
    **dict.fromkeys(("Array", "ArrayList", "Queue", "Stack"), list),
    **dict.fromkeys(("HashMap", "Hashtable"), dict),
    "Set": set,
}

# one line feed may end the text: the official patterns end in `$`
_INTEGER = re.compile(r"-?\d+\n?")
_LONG = re.compile(r"(-?\d+)[lL]\n?")
_DECIMAL = r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
_DOUBLE = re.compile(rf"{_DECIMAL}\n?")
_FLOAT = re.compile(rf"({_DECIMAL})[fF]\n?")

_NEW_LIST = re.compile(r"new\s+ArrayList<\w*>\(\)")
_LIST_OF = re.compile(r"new\s+ArrayList<\w*>\(Arrays\.asList\(")
_LIST_BLOCK = re.compile(r"new\s+ArrayList<\w*>\(\)\s*\{\{")
_ARRAY = re.compile(r"new\s+\w+\[\]\s*\{")
_NEW_MAP = re.compile(r"new\s+HashMap<")
_MAP_BLOCK = re.compile(r">\s*\(\)\s*\{")
_EMPTY_MAP = re.compile(r">\s*\(\)")


def read(source: str, kind: str, item_kind: str | None = None) -> Any:
    """The value of `source` as the BFCL type `kind`; `item_kind` is the type of a list's elements."""
    match kind:
        case "byte" | "short" | "integer":
            return whole_number(source) if _INTEGER.fullmatch(source) else source
        case "long":
            found = _LONG.fullmatch(source)
            return whole_number(found[1]) if found else source
        case "double":
            return float(source) if _DOUBLE.fullmatch(source) else source
        case "float":
            found = _FLOAT.fullmatch(source)
            return float(found[1]) if found else source
        case "boolean":
            return {"true": True, "false": False}.get(source, source)
        case "ArrayList":
            return _array_list(source, item_kind)
        case "Array":
            return _array(source, item_kind)
        case "HashMap":
            return _hash_map(source)
        case "char" | "String" | "any":
            return source
    raise Undefined(f"the official checker reads no {kind}")


def literal(source: str) -> Any:
    """The value of a literal of unknown type."""
    if source in ("true", "false"):
        return source == "true"
    if source.startswith('"') and source.endswith('"'):
        return source[1:-1]
    if found := _LONG.fullmatch(source):
        return whole_number(found[1])
    if found := _FLOAT.fullmatch(source):
        return float(found[1])
    return number(source)


def _array_list(source: str, item_kind: str | None) -> Any:
    for opening in _LIST_OF.finditer(source):
        start = opening.end()
        end = source.find("))", start + 1)
        if end != -1 and on_one_line(source, start, end):
            return [_list_item(text.strip(), item_kind) for text in source[start:end].split(",")]
    for opening in _LIST_BLOCK.finditer(source):
        block = _block(source, opening.end())
        if block is not None:
            added = parts(block, "add(", ")", at_least=1)
            return [_list_item(text.strip(), item_kind) for text in added]
    return [] if _NEW_LIST.search(source) else source


def _block(source: str, start: int) -> str | None:
    """What stands before the closing braces, which is at least one character."""
    first = skip_space(source, start)
    end = source.find("}}", first + 1)
    if end != -1:
        return source[first:end]
    return "" if first > start and source.startswith("}}", first) else None


def _list_item(source: str, kind: str | None) -> Any:
    if kind in ("char", "String"):
        return source[1:-1]  # whatever the quotes are
    return read(source, kind) if kind else literal(source)


def _array(source: str, item_kind: str | None) -> Any:
    for opening in _ARRAY.finditer(source):
        start = opening.end()
        end = source.find("}", start)
        if end != -1 and on_one_line(source, start, end):
            texts = [text.strip() for text in source[start:end].split(",")]
            return [read(text, item_kind) if item_kind else literal(text) for text in texts if text]
    return source


def _hash_map(source: str) -> Any:
    new = _NEW_MAP.search(source)
    opening = _MAP_BLOCK.search(source, new.end()) if new else None
    if opening:
        start = skip_space(source, opening.end())
        if source.startswith("{", start):
            start = skip_space(source, start + 1)
        end = source.find("}", start)
        if end != -1:
            return _entries(source[start:end])
    for new in _NEW_MAP.finditer(source):
        closing = _EMPTY_MAP.search(source, new.end())
        if closing and on_one_line(source, new.end(), closing.start()):
            return {}
    return source


def _entries(block: str) -> dict[str, Any]:
    """The keys and values of each `put("key", value)`."""
    found: dict[str, Any] = {}
    position = 0
    while (start := block.find('put("', position)) != -1:
        position = start + 1
        key_start = start + len('put("')
        key_end = block.find('",', key_start)
        while key_end != -1 and on_one_line(block, key_start, key_end):
            value_start = skip_space(block, key_end + 2)
            value_end = block.find(")", value_start)
            if value_end != -1 and on_one_line(block, value_start, value_end):
                found[block[key_start:key_end]] = literal(block[value_start:value_end].strip())
                position = value_end + 1
                break
            key_end = block.find('",', key_end + 1)
    return found
