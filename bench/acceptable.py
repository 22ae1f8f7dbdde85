"""The calls that a case accepts and their tool's schema allows, the author's first choice first.

    found = right_calls(case.expected[0], tool)
    found.calls        # up to a few, valid under the schema
    found.violation    # why there is none, where even the author's first choice breaks the schema

For whoever asks whether a right answer can be written at all. A matcher may accept without limit ("any text with these
words"), so what is tried is a sample; `exhausted` says whether it was everything. Knows no format and no grammar.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, permutations, product
from typing import Any

from bench.suites.case import ExpectedCall, defaults
from bench.suites.match import (
    ABSENT,
    Anything,
    Contains,
    Like,
    Matcher,
    Object,
    OneOf,
    Optional,
    Text,
    Unordered,
    matches,
    same,
)
from engine.types import Call, Tool

_MOST_TRIED = 256  # combinations of arguments held against the schema
_MOST_KEPT = 16
_MOST_ORDERS = 24
_SAMPLES: tuple[Any, ...] = ("as you like", 1, 1.5, True, None, [], {})  # one value of each JSON type


@dataclass(frozen=True, slots=True)
class Violation:
    """What of the schema a value breaks; `path` is a place within the schema."""

    keyword: str
    path: str
    message: str


@dataclass(frozen=True, slots=True)
class RightCalls:
    """`exhausted`: nothing else is acceptable, so that without `calls` no right call is valid."""

    calls: tuple[Call, ...]
    exhausted: bool
    violation: Violation | None = None  # of the author's first choice, where `calls` is empty


@dataclass(frozen=True, slots=True)
class _Values:
    values: tuple[Any, ...]
    exhausted: bool


def right_calls(expected: ExpectedCall, tool: Tool) -> RightCalls:
    """Acceptable calls that the schema allows; what it says of the first choice where there is none."""
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(dict(tool.parameters))
    options = _arguments(expected, tool, validator)
    n_combinations = 1
    for found in options.values():
        n_combinations *= len(found.values)
    tried = islice(_combinations(options), _MOST_TRIED)
    valid = (Call(expected.name, given) for given in tried if validator.is_valid(given))
    calls = tuple(islice(valid, _MOST_KEPT))
    if calls:
        return RightCalls(calls, exhausted=False)
    exhausted = n_combinations <= _MOST_TRIED and all(found.exhausted for found in options.values())
    return RightCalls((), exhausted, _first_violation(validator, next(_combinations(options))))


def _arguments(expected: ExpectedCall, tool: Tool, validator: Any) -> dict[str, _Values]:
    """What may stand for each argument, in the schema's order."""
    properties: Mapping[str, Any] = tool.parameters.get("properties", {})
    required: Sequence[str] = tool.parameters.get("required", ())
    options = {}
    for name in [*properties, *(name for name in expected.arguments if name not in properties)]:
        schema = properties.get(name, {})
        if name in expected.arguments:
            options[name] = _sorted(_values(expected.arguments[name], schema), schema, validator, name in required)
        elif name in required and name in defaults(tool):  # given at its default is the same as left out
            options[name] = _Values((defaults(tool)[name],), True)
    return options


def _sorted(found: _Values, schema: Any, validator: Any, required: bool) -> _Values:
    """What the argument's own schema allows comes first; the author's order otherwise."""

    def is_refused(value: Any) -> bool:
        return required if value is ABSENT else any(validator.descend(value, schema))

    return _Values(tuple(sorted(found.values, key=is_refused)), found.exhausted)


def _combinations(options: Mapping[str, _Values]) -> Iterator[dict[str, Any]]:
    for values in product(*(found.values for found in options.values())):
        yield {name: value for name, value in zip(options, values, strict=True) if value is not ABSENT}


def _values(matcher: Matcher, schema: Any) -> _Values:
    """Values that the matcher accepts; those of the schema's own list among them."""
    own = _values_of(matcher, schema if isinstance(schema, Mapping) else {})
    if not isinstance(schema, Mapping):
        return own
    listed = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else [])]
    accepted = [value for value in listed if matches(matcher, value)]
    more = tuple(value for value in accepted if not any(_equal(value, known) for known in own.values))
    return _Values((*own.values, *more), own.exhausted or bool(listed))


def _values_of(matcher: Matcher, schema: Mapping[str, Any]) -> _Values:
    match matcher:
        case OneOf(values):
            return _Values(values, True)
        case Like(values):
            return _Values(values, False)  # other spellings are right too
        case Text(texts):
            spellings = (s for text in texts for s in (text, text.lower(), text.upper(), text.capitalize()))
            return _Values(tuple(dict.fromkeys((*texts, *spellings))), not _allows_text(schema))
        case Contains(words):
            return _Values((" ".join(group[0] for group in words),), not _allows_text(schema))
        case Unordered(items):
            orders = [list(order) for order in islice(permutations(items), _MOST_ORDERS + 1)]
            return _Values(tuple(orders[:_MOST_ORDERS]), len(orders) <= _MOST_ORDERS)
        case Object(fields):
            return _objects(fields, schema)
        case Anything():
            return _Values(_SAMPLES, False)
        case Optional(inner):
            found = _Values((), True) if inner is None else _values(inner, schema)
            return _Values((ABSENT, *found.values), found.exhausted)


def _objects(fields: Mapping[str, Matcher], schema: Mapping[str, Any]) -> _Values:
    properties = schema.get("properties", {})
    options = {name: _values(inner, properties.get(name, {})) for name, inner in fields.items()}
    found = list(islice(_combinations(options), _MOST_TRIED + 1))
    all_there = len(found) <= _MOST_TRIED and all(each.exhausted for each in options.values())
    return _Values(tuple(found[:_MOST_TRIED]), all_there)


def _allows_text(schema: Mapping[str, Any]) -> bool:
    """Whether a string may stand there, as far as `type` says; where not, no text is ever right."""
    kinds = schema.get("type", "string")
    return kinds == "string" or (isinstance(kinds, list) and "string" in kinds)


def _equal(left: Any, right: Any) -> bool:
    return left is not ABSENT and right is not ABSENT and same(left, right)


def _first_violation(validator: Any, arguments: Mapping[str, Any]) -> Violation | None:
    errors = sorted(validator.iter_errors(arguments), key=lambda error: (list(map(str, error.path)), error.message))
    for error in errors:
        place = "/".join(map(str, error.absolute_schema_path))
        return Violation(str(error.validator), f"#/{place}", error.message)
    return None
