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
from math import prod
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
    fold,
    matches,
    same,
)
from engine.types import Call, Tool

_MOST_TRIED = 256  # combinations of arguments held against the schema
_MOST_KEPT = 16
_MOST_ORDERS = 24
_SPELLING = {"pattern", "format", "minLength", "maxLength"}
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

    name: str
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
    tried = islice(_combinations(options), _MOST_TRIED)
    valid = (Call(expected.name, given) for given in tried if validator.is_valid(given))
    calls = tuple(islice(valid, _MOST_KEPT))
    if calls:
        return RightCalls(expected.name, calls, exhausted=False)
    violation = _first_violation(validator, next(_combinations(options)))
    return RightCalls(expected.name, (), _is_impossible(options, tool, validator), violation)


def _is_impossible(options: Mapping[str, _Values], tool: Tool, validator: Any) -> bool:
    """Whether no acceptable call is valid, given that none was found: all were tried, or one argument is enough."""
    properties: Mapping[str, Any] = tool.parameters.get("properties", {})
    required: Sequence[str] = tool.parameters.get("required", ())
    if any(name not in options for name in required):
        return True
    for name, found in options.items():
        refused = (_is_refused(value, properties.get(name, {}), validator, name in required) for value in found.values)
        if found.exhausted and all(refused):
            return True
    n_combinations = prod(len(found.values) for found in options.values())
    return n_combinations <= _MOST_TRIED and all(found.exhausted for found in options.values())


def reference_call(call: Call, tool: Tool) -> RightCalls:
    """The same for a call of which nobody says what else would be right."""
    from jsonschema import Draft202012Validator

    violation = _first_violation(Draft202012Validator(dict(tool.parameters)), call.arguments)
    return RightCalls(call.name, () if violation else (call,), exhausted=False, violation=violation)


def _arguments(expected: ExpectedCall, tool: Tool, validator: Any) -> dict[str, _Values]:
    """What may stand for each argument, in the schema's order."""
    properties: Mapping[str, Any] = tool.parameters.get("properties", {})
    required: Sequence[str] = tool.parameters.get("required", ())
    options, known = {}, defaults(tool)
    for name in [*properties, *(name for name in expected.arguments if name not in properties)]:
        schema = properties.get(name, {})
        # An argument at its default and one that is left out are the same.
        at_default = known.get(name, ABSENT)
        if name in expected.arguments:
            found = _values(expected.arguments[name], schema)
            if at_default is not ABSENT and matches(expected.arguments[name], at_default):
                found = _Values((*found.values, ABSENT), found.exhausted)
            options[name] = _sorted(found, schema, validator, name in required)
        elif name in required and at_default is not ABSENT:
            options[name] = _Values((at_default,), True)
    return options


def _sorted(found: _Values, schema: Any, validator: Any, required: bool) -> _Values:
    """What the argument's own schema allows comes first; the author's order otherwise."""
    in_order = sorted(found.values, key=lambda value: _is_refused(value, schema, validator, required))
    return _Values(tuple(in_order), found.exhausted)


def _is_refused(value: Any, schema: Any, validator: Any, required: bool) -> bool:
    return required if value is ABSENT else any(True for _ in validator.descend(value, schema))


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
        case Text(texts):
            spellings = (s for text in texts for s in (text, text.lower(), text.upper(), text.capitalize()))
            return _Values(tuple(dict.fromkeys((*texts, *spellings))), not _restricts_texts(schema))
        case Like(values):
            fitted = (_fitted(value, schema) for value in values)
            return _Values((*values, *fitted), not _restricts_texts(schema))
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


def _fitted(value: Any, schema: Any) -> Any:
    """The value with its texts spelled as the schema lists them, at any depth."""
    known: Mapping[str, Any] = schema if isinstance(schema, Mapping) else {}
    if isinstance(value, str):
        listed = (text for text in known.get("enum", ()) if isinstance(text, str) and fold(text) == fold(value))
        return next(listed, value)
    if isinstance(value, list | tuple):
        return [_fitted(item, known.get("items")) for item in value]
    if isinstance(value, Mapping):
        properties = known.get("properties", {})
        return {name: _fitted(inner, properties.get(name)) for name, inner in value.items()}
    return value


def _restricts_texts(schema: Any) -> bool:
    """Whether it matters to the schema how a text is spelled, other than by its lists."""
    if isinstance(schema, Mapping):
        return bool(schema.keys() & _SPELLING) or any(map(_restricts_texts, schema.values()))
    return isinstance(schema, list) and any(map(_restricts_texts, schema))


def _allows_text(schema: Mapping[str, Any]) -> bool:
    """Whether a string may stand there, as far as `type` says; where not, no text is ever right."""
    kinds = schema.get("type", "string")
    return kinds == "string" or (isinstance(kinds, list) and "string" in kinds)


def _equal(left: Any, right: Any) -> bool:
    return left is not ABSENT and right is not ABSENT and same(left, right)


def _first_violation(validator: Any, arguments: Mapping[str, Any]) -> Violation | None:
    errors = sorted(validator.iter_errors(arguments), key=lambda error: (list(map(str, error.path)), error.message))
    for error in errors:
        place = list(error.absolute_schema_path)[:-1]  # the last part is the keyword
        return Violation(str(error.validator), "/".join(("#", *map(str, place))), error.message)
    return None
