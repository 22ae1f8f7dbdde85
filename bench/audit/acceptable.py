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

from bench.suites.case import ExpectedCall
from bench.suites.defaults import defaults
from bench.suites.listed import Listed, fitted, part_of
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
from engine.formats.typed import parameter_schema
from engine.types import Call, Tool
from grammars.validation import validator

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
    valid_under = validator(tool.parameters)
    options = _arguments(expected, tool, valid_under)
    tried = islice(_combinations(options), _MOST_TRIED)
    valid = (Call(expected.name, given) for given in tried if valid_under.is_valid(given))
    calls = tuple(islice(valid, _MOST_KEPT))
    if calls:
        return RightCalls(expected.name, calls, exhausted=False)
    violation = _first_violation(valid_under, next(_combinations(options)))
    return RightCalls(expected.name, (), _is_impossible(options, tool, valid_under), violation)


def _is_impossible(options: Mapping[str, _Values], tool: Tool, valid_under: Any) -> bool:
    """Whether no acceptable call is valid, given that none was found: all were tried, or one argument is enough."""
    required: Sequence[str] = tool.parameters.get("required", ())
    if any(name not in options for name in required):
        return True
    for name, found in options.items():
        schema = _schema_of(name, tool)
        refused = (_is_refused(value, schema, valid_under, name in required) for value in found.values)
        if found.exhausted and all(refused):
            return True
    n_combinations = prod(len(found.values) for found in options.values())
    return n_combinations <= _MOST_TRIED and all(found.exhausted for found in options.values())


def reference_call(call: Call, tool: Tool) -> RightCalls:
    """The same for a call of which nobody says what else would be right."""
    violation = _first_violation(validator(tool.parameters), call.arguments)
    return RightCalls(call.name, () if violation else (call,), exhausted=False, violation=violation)


def _arguments(expected: ExpectedCall, tool: Tool, valid_under: Any) -> dict[str, _Values]:
    """What may stand for each argument, in the schema's order."""
    properties: Mapping[str, Any] = tool.parameters.get("properties", {})
    required: Sequence[str] = tool.parameters.get("required", ())
    options, known = {}, defaults(tool).fields
    for name in [*properties, *(name for name in expected.arguments if name not in properties)]:
        schema = _schema_of(name, tool)
        # An argument at its default and one that is left out are the same.
        at_default = known.get(name, ABSENT)
        if name in expected.arguments:
            found = _values(expected.arguments[name], schema, tool.parameters)
            if at_default is not ABSENT and matches(expected.arguments[name], at_default):
                found = _Values((*found.values, ABSENT), found.exhausted)
            options[name] = _sorted(found, schema, valid_under, name in required)
        elif name in required and at_default is not ABSENT:
            options[name] = _Values((at_default,), True)
    return options


def _schema_of(name: str, tool: Tool) -> Any:
    """What the tool says of an argument; anything may be an argument that only the parameters as a whole refuse."""
    found = parameter_schema(tool.parameters, name)
    return {} if found is None else found


def _sorted(found: _Values, schema: Any, valid_under: Any, required: bool) -> _Values:
    """What the argument's own schema allows comes first; the author's order otherwise."""
    in_order = sorted(found.values, key=lambda value: _is_refused(value, schema, valid_under, required))
    return _Values(tuple(in_order), found.exhausted)


def _is_refused(value: Any, schema: Any, valid_under: Any, required: bool) -> bool:
    return required if value is ABSENT else any(True for _ in valid_under.descend(value, schema))


def _combinations(options: Mapping[str, _Values]) -> Iterator[dict[str, Any]]:
    for values in product(*(found.values for found in options.values())):
        yield {name: value for name, value in zip(options, values, strict=True) if value is not ABSENT}


def _values(matcher: Matcher, schema: Any, root: Mapping[str, Any]) -> _Values:
    """Values that the matcher accepts; those of the schema's own lists among them."""
    listed = Listed(schema, root)
    own = _values_of(matcher, schema, listed, root)
    accepted = [value for value in listed.values if matches(matcher, value)]
    more = tuple(value for value in accepted if not any(_equal(value, known) for known in own.values))
    return _Values((*own.values, *more), own.exhausted or listed.is_all)


def _values_of(matcher: Matcher, schema: Any, listed: Listed, root: Mapping[str, Any]) -> _Values:
    match matcher:
        case OneOf(values):
            return _Values(values, True)
        case Text(texts):
            spellings = (s for text in texts for s in (text, text.lower(), text.upper(), text.capitalize()))
            return _Values(tuple(dict.fromkeys((*texts, *spellings))), listed.any_text)
        case Like(values):
            found = [fitted(value, schema, root) for value in values]
            return _Values((*values, *(value for value, _ in found)), all(is_certain for _, is_certain in found))
        case Contains(words):
            return _Values((" ".join(group[0] for group in words),), not listed.allows("string"))
        case Unordered(items):
            orders = [list(order) for order in islice(permutations(items), _MOST_ORDERS + 1)]
            return _Values(tuple(orders[:_MOST_ORDERS]), len(orders) <= _MOST_ORDERS)
        case Object(fields):
            return _objects(fields, listed, root)
        case Anything():
            return _Values(_SAMPLES, False)
        case Optional(inner):
            found_inner = _Values((), True) if inner is None else _values(inner, schema, root)
            return _Values((ABSENT, *found_inner.values), found_inner.exhausted)


def _objects(fields: Mapping[str, Matcher], listed: Listed, root: Mapping[str, Any]) -> _Values:
    holder, is_all = listed.of_parts("object")
    options = {name: _values(inner, part_of(holder, name), root) for name, inner in fields.items()}
    found = list(islice(_combinations(options), _MOST_TRIED + 1))
    all_there = is_all and len(found) <= _MOST_TRIED and all(each.exhausted for each in options.values())
    return _Values(tuple(found[:_MOST_TRIED]), all_there)


def _equal(left: Any, right: Any) -> bool:
    return left is not ABSENT and right is not ABSENT and same(left, right)


def _first_violation(valid_under: Any, arguments: Mapping[str, Any]) -> Violation | None:
    errors = sorted(valid_under.iter_errors(arguments), key=lambda error: (list(map(str, error.path)), error.message))
    for error in errors:
        place = list(error.absolute_schema_path)[:-1]  # the last part is the keyword
        return Violation(str(error.validator), "/".join(("#", *map(str, place))), error.message)
    return None
