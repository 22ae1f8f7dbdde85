"""When is a value right? The small matchers that a case's author writes, and equality of JSON values.

Equality is strict: strings exactly, order of lists counts, order of keys does not, 5 equals 5.0, and true is not 1.
Anything laxer is written into the case, where everybody can read it, but for one thing: where the tool's `defaults` are
given, what stands at its default equals what was left out, in the arguments and at any depth within them. Knows no
schema and no tool.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.types import Call

if TYPE_CHECKING:
    from bench.suites.defaults import Alike, Defaults

ABSENT = object()
"""Stands for an argument that was not given; JSON's null is a value."""


@dataclass(frozen=True, slots=True)
class OneOf:
    """Equal to one of the values; written as a plain list."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Like:
    """Equal to one of the values, where texts may differ at any depth as in `Text`."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """A string equal to one of the texts, whatever its case, white space and final full stop."""

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contains:
    """A string with all of the words in it, whatever their case; of an inner tuple one is enough."""

    words: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Unordered:
    """A list with exactly these elements in any order."""

    items: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Object:
    """An object whose fields match one by one, and which has no others."""

    fields: Mapping[str, Matcher]


@dataclass(frozen=True, slots=True)
class Anything:
    """Any value, as long as there is one."""


@dataclass(frozen=True, slots=True)
class Optional:
    """May be left out; if given it has to match. Without `matcher` it must be left out."""

    matcher: Matcher | None


_LEFT_OUT = Optional(None)

Matcher = OneOf | Like | Text | Contains | Unordered | Object | Anything | Optional


def parse(raw: Any) -> Matcher:
    """Read a matcher as written in a case file; ValueError says what is wrong with it."""
    if isinstance(raw, list):
        return OneOf(_filled("a list of acceptable values", raw))
    if not isinstance(raw, dict) or len(raw) != 1:
        raise ValueError(f"write a list of acceptable values or an object with one of {', '.join(_READERS)}")
    ((kind, body),) = raw.items()
    if kind not in _READERS:
        raise ValueError(f"unknown matcher '{kind}'; known are {', '.join(_READERS)}")
    return _READERS[kind](body)


def matches(matcher: Matcher, value: Any, defaults: Defaults | None = None) -> bool:
    """Whether `value` (or `ABSENT`) is right; `defaults` are those of its fields."""
    if isinstance(matcher, Optional):
        return value is ABSENT or (matcher.matcher is not None and matches(matcher.matcher, value, defaults))
    if value is ABSENT:
        return False
    match matcher:
        case Anything():
            return True
        case OneOf(values):
            return _is_one_of(values, value, defaults, same)
        case Like(values):
            return _is_one_of(values, value, defaults, _same_folded)
        case Text(texts):
            return isinstance(value, str) and fold(value) in {fold(text) for text in texts}
        case Contains(words):
            return isinstance(value, str) and all(any(fold(w) in fold(value) for w in group) for group in words)
        case Unordered(items):
            return isinstance(value, list) and _has_items(items, value, defaults)
        case Object(fields):
            return isinstance(value, Mapping) and matches_arguments(fields, value, defaults)


def matches_arguments(
    expected: Mapping[str, Matcher], given: Mapping[str, Any], defaults: Defaults | None = None
) -> bool:
    """Whether a call's arguments, or an object's fields, are right: each of them, and no others."""
    names = [*expected, *(name for name in given if name not in expected)]
    return all(matches_argument(expected, given, defaults, name) for name in names)


def includes_arguments(expected: Mapping[str, Matcher], given: Mapping[str, Any], defaults: Defaults) -> bool:
    """The same where arguments beside the expected ones do not matter."""
    return all(matches_argument(expected, given, defaults, name) for name in expected)


def matches_argument(
    expected: Mapping[str, Matcher], given: Mapping[str, Any], defaults: Defaults | None, name: str
) -> bool:
    """The same for the argument `name`, whether it is expected, given or both."""
    matcher = expected.get(name, _LEFT_OUT)
    value = given.get(name, ABSENT)
    if matches(matcher, value):
        return True
    if defaults is None:
        return False
    part = defaults.part(name)
    if value is ABSENT:
        return name in defaults.fields and matches(matcher, defaults.fields[name], part)
    return matches(matcher, value, part) or (matches(matcher, ABSENT) and defaults.is_default(name, value, same))


def _is_one_of(values: Sequence[Any], value: Any, defaults: Defaults | None, alike: Alike) -> bool:
    """As they stand, or without what stands at its default in them."""
    if any(alike(value, right) for right in values):
        return True
    if defaults is None or not isinstance(value, Mapping | list | tuple):
        return False
    bare = defaults.stripped(value, alike)
    return any(alike(bare, defaults.stripped(right, alike)) for right in values)


def _has_items(items: Sequence[Any], value: Sequence[Any], defaults: Defaults | None) -> bool:
    if same_items(value, items):
        return True
    return defaults is not None and same_items(defaults.stripped(value, same), defaults.stripped(items, same))


def describe(matcher: Matcher) -> str:
    """What is right, in words."""
    match matcher:
        case Anything():
            return "any value"
        case OneOf(values) | Like(values) | Text(values):
            return " or ".join(describe_value(value) for value in values)
        case Contains(words):
            return f"a text with {' and '.join(' or '.join(map(describe_value, group)) for group in words)}"
        case Unordered(items):
            return f"{describe_value(list(items))} in any order"
        case Object(fields):
            return f"an object with {', '.join(f'{name}: {describe(inner)}' for name, inner in fields.items())}"
        case Optional(inner):
            return "nothing" if inner is None else f"nothing or {describe(inner)}"


def describe_value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def describe_call(call: Call) -> str:
    """As `name(argument="value", ...)`."""
    return f"{call.name}({', '.join(f'{name}={describe_value(value)}' for name, value in call.arguments.items())})"


def same(left: Any, right: Any) -> bool:
    """Equality of two JSON values."""
    if isinstance(left, bool) or isinstance(right, bool):
        return isinstance(left, bool) and isinstance(right, bool) and left == right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left == right
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    return type(left) is type(right) and bool(left == right)


def same_items(left: Sequence[Any], right: Sequence[Any]) -> bool:
    """Equality of two lists whatever their order; `same` is transitive, so taking the first match is enough."""
    rest = list(right)
    for value in left:
        index = next((i for i, other in enumerate(rest) if same(value, other)), None)
        if index is None:
            return False
        del rest[index]
    return not rest


def fold(text: str) -> str:
    """The text without differences of case, white space and a final full stop."""
    return re.sub(r"\s+", " ", text).strip().removesuffix(".").rstrip().casefold()


def _same_folded(left: Any, right: Any) -> bool:
    return same(_folded(left), _folded(right))


def _folded(value: Any) -> Any:
    """The value with every text in it folded; names of fields stay as they are."""
    if isinstance(value, str):
        return fold(value)
    if isinstance(value, list | tuple):
        return [_folded(item) for item in value]
    return {name: _folded(inner) for name, inner in value.items()} if isinstance(value, Mapping) else value


def _filled(what: str, raw: Any) -> tuple[Any, ...]:
    if not isinstance(raw, list) or not raw:
        raise ValueError(f"{what} must be a list with at least one element")
    return tuple(raw)


def _strings(what: str, raw: Any) -> tuple[str, ...]:
    values = _filled(what, raw)
    if not all(isinstance(value, str) and value for value in values):
        raise ValueError(f"{what} must hold non-empty strings")
    return values


def _read_contains(raw: Any) -> Matcher:
    groups = (group if isinstance(group, list) else [group] for group in _filled("'contains'", raw))
    words = tuple(_strings("'contains'", group) for group in groups)
    if not all(fold(word) for group in words for word in group):
        raise ValueError("'contains' must hold more than white space and a full stop, which are in every text")
    return Contains(words)


def _read_object(raw: Any) -> Matcher:
    if not isinstance(raw, dict):
        raise ValueError("'object' must be an object of matchers")
    return Object({name: parse(body) for name, body in raw.items()})


def _read_absent_or(raw: Any) -> Matcher:
    return Optional(parse(raw))


def _read_true(kind: str, matcher: Matcher, raw: Any) -> Matcher:
    if raw is not True:
        raise ValueError(f"'{kind}' takes only true")
    return matcher


_READERS: dict[str, Callable[[Any], Matcher]] = {
    "one_of": lambda raw: OneOf(_filled("'one_of'", raw)),
    "like": lambda raw: Like(_filled("'like'", raw)),
    "text": lambda raw: Text(_strings("'text'", raw)),
    "contains": _read_contains,
    "unordered": lambda raw: Unordered(_filled("'unordered'", raw)),
    "object": _read_object,
    "any": lambda raw: _read_true("any", Anything(), raw),
    "absent": lambda raw: _read_true("absent", Optional(None), raw),
    "absent_or": _read_absent_or,
}
