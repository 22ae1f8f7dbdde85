"""Schemas whose soundness is seen at a glance, so that a suite with thousands of tools loads in a second.

The metaschema has the last word on every other schema; asking it takes milliseconds for each tool. What is plain here
is valid there (tests/grammars/test_plain.py). Knows no dialect and no tool.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

_TYPES: Final = frozenset(("string", "integer", "number", "boolean", "array", "object", "null"))


def is_plain(schema: Any) -> bool:
    """Whether all keywords are everyday ones with values of the right kind; false: perhaps sound all the same."""
    if isinstance(schema, bool):
        return True
    if not isinstance(schema, Mapping):
        return False
    return all(key in _SOUND and _SOUND[key](value) for key, value in schema.items())


def _is_type(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(map(_is_name_of_type, value)) and len(set(value)) == len(value)
    return _is_name_of_type(value)


def _is_name_of_type(value: Any) -> bool:
    return isinstance(value, str) and value in _TYPES


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value)) and len(set(value)) == len(value)


def _are_schemas(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(is_plain, value))


def _are_properties(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(is_plain, value.values()))


def _is_anything(_value: Any) -> bool:
    return True


_SOUND: Final[Mapping[str, Callable[[Any], bool]]] = {
    "type": _is_type,
    **dict.fromkeys(("title", "description", "format"), _is_text),
    **dict.fromkeys(("default", "const"), _is_anything),
    **dict.fromkeys(("enum", "examples"), _is_list),
    **dict.fromkeys(("minimum", "maximum"), _is_number),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _is_count),
    "uniqueItems": _is_flag,
    "required": _are_names,
    "properties": _are_properties,
    **dict.fromkeys(("items", "additionalProperties"), is_plain),
    "anyOf": _are_schemas,
}
