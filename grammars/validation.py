"""Whether a value satisfies a tool's schema: the jsonschema library, with some keywords read as grammars read them.

The library searches `pattern` with Python's `re`, ignores `format` and divides floats for `multipleOf`, so that 19.99
is no multiple of 0.01. One reading for both sides is what lets a test say that a grammar allows exactly what is valid.
No pattern makes a verdict take for ever, and no number makes it fail.

A schema that holds itself in several branches would have the library look at the same part of a value in each of them,
and so twice as often, or more, with every level. Here a keyword is held against a part of a value once in a call, and
what it finds is remembered until the call ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.validators import extend

from grammars.formats import FORMATS
from grammars.matcher import TooHard, matcher
from grammars.pattern import PatternError, parse_pattern
from grammars.regular import Expr

_Keyword = Callable[[Any, Any, Any, Any], Iterable[ValidationError]]


class Validator:
    """A schema to hold values against, with the library's words for it. Nothing is remembered from call to call."""

    def __init__(self, librarys: Any) -> None:
        self._librarys = librarys

    def is_valid(self, value: Any) -> bool:
        return bool(self._for_one_call().is_valid(value))

    def iter_errors(self, value: Any) -> Iterator[ValidationError]:
        """The library's errors, hardly any of them twice; in the `context` of each its last causes, side by side."""
        return map(_with_last_causes, self._for_one_call().iter_errors(value))

    def trees(self, value: Any) -> Iterator[ValidationError]:
        """The same errors with the library's trees, of which one part may stand in many places.

        In `context` are the errors of the branches; each but one of a branch `false` begins its `schema_path` with the
        number of its branch.
        """
        errors: Iterator[ValidationError] = self._for_one_call().iter_errors(value)
        return errors

    def descend(self, value: Any, schema: Mapping[str, Any] | bool) -> Iterator[ValidationError]:
        """The errors under another schema, whose references are this one's."""
        return map(_with_last_causes, self._for_one_call().descend(value, schema))

    def evolve(self, *, schema: Mapping[str, Any] | bool) -> Validator:
        """The same for another schema, whose references are this one's."""
        return Validator(self._librarys.evolve(schema=schema))

    def _for_one_call(self) -> Any:
        return self._librarys.evolve(format_checker=_Call())


def validator(schema: Mapping[str, Any] | bool) -> Validator:
    """A validator of JSON Schema 2020-12 for a normalised schema.

    A `pattern` that cannot be read (`grammars.pattern` says which) is not checked, as a `format` without a definition
    is not.
    """
    return Validator(_Validator(schema))


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str):
        try:
            if not _is_found(pattern, instance):
                yield ValidationError(f"{instance!r} does not match {pattern!r}")
        except TooHard:
            yield ValidationError(f"a text of {len(instance):,} characters is too long to be searched for {pattern!r}")


def _pattern_properties(validator: Any, given: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for pattern, schema in given.items():
            for name, value in instance.items():
                if _is_named(pattern, name):
                    yield from validator.descend(value, schema, path=name, schema_path=pattern)


def _additional_properties(validator: Any, rest: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict) and "patternProperties" in schema:
        named = {name for pattern in schema["patternProperties"] for name in instance if _is_named(pattern, name)}
        instance = {name: value for name, value in instance.items() if name not in named}
        schema = {"properties": schema.get("properties", {})}
    yield from _LIBRARYS["additionalProperties"](validator, rest, instance, schema)


def _format(validator: Any, form: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """A pattern beside it is the author's exact words for it: zod writes a `time` that needs no offset."""
    if not _can_be_read(schema.get("pattern")):
        yield from _LIBRARYS["format"](validator, form, instance, schema) or ()


def _can_be_read(pattern: str | None) -> bool:
    if pattern is None:
        return False
    try:
        parse_pattern(pattern)
    except PatternError:
        return False
    return True


def _is_found(pattern: str, text: str) -> bool:
    """Whether the pattern is found in the text, or cannot be read; raises `TooHard`."""
    try:
        expr = parse_pattern(pattern)
    except PatternError:
        return True
    return matcher(expr).matches(text)


def _is_named(pattern: str, name: str) -> bool:
    try:
        return _is_found(pattern, name)
    except TooHard:
        return False


def _multiple_of(_validator: Any, step: int | float, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, bool) or not isinstance(instance, int | float):
        return
    if instance in (math.inf, -math.inf) or (_exact(instance) / _exact(step)).denominator != 1:
        yield ValidationError(f"{instance!r} is not a multiple of {step!r}")


def _exact(number: int | float) -> Fraction:
    """In decimals, as people write numbers."""
    return Fraction(number) if isinstance(number, int) else Fraction(repr(number))


def _checker() -> FormatChecker:
    checker = FormatChecker(formats=())
    for name, expr in FORMATS.items():

        def check(value: object, expr: Expr = expr) -> bool:
            return not isinstance(value, str) or _matches(expr, value)

        checker.checks(name)(check)
    return checker


def _matches(expr: Expr, text: str) -> bool:
    try:
        return matcher(expr).matches(text)
    except TooHard:  # no format goes on for so long
        return False


_CHECKER = _checker()


class _Call(FormatChecker):
    """The formats, and what one call has found: the library hands its format checker down to every part.

    With each finding are kept the schema and the value that it is about, so that no other ones get their ids.
    """

    def __init__(self) -> None:
        super().__init__(formats=())
        self.checkers = _CHECKER.checkers
        self.found: dict[tuple[str, int, int], tuple[list[ValidationError], Any, Any]] = {}


def _once(name: str, keyword: _Keyword) -> _Keyword:
    """The keyword, held against the same value once in a call; copies, because the library adds to what it gets."""

    def held(validator: Any, given: Any, instance: Any, schema: Any) -> Iterable[ValidationError]:
        found = validator.format_checker.found
        key = name, id(schema), id(instance)
        if key not in found:
            found[key] = _distinct(list(keyword(validator, given, instance, schema))), schema, instance
        return map(ValidationError.create_from, found[key][0])

    return held


def _union(name: str) -> _Keyword:
    """`anyOf` or `oneOf`, once in a call. Not around the library's: schemas may be as deep as Python's stack allows."""

    def held(validator: Any, branches: Any, instance: Any, schema: Any) -> Iterable[ValidationError]:
        found = validator.format_checker.found
        key = name, id(schema), id(instance)
        if key not in found:
            valid: list[Any] = []
            causes: list[ValidationError] = []
            for index, branch in enumerate(branches):
                errors = list(validator.descend(instance, branch, schema_path=index))
                causes += errors
                valid += [] if errors else [branch]
                if valid and name == "anyOf":
                    break
            found[key] = list(_of_union(name, instance, valid, causes)), schema, instance
        return map(ValidationError.create_from, found[key][0])

    return held


def _of_union(name: str, value: Any, valid: list[Any], causes: list[ValidationError]) -> Iterator[ValidationError]:
    """`valid`: the branches that allow the value."""
    if not valid:
        message = f"{value!r} is not valid under any of the given schemas"
        yield ValidationError(message, context=_distinct(causes))
    elif name == "oneOf" and len(valid) > 1:
        first, *others = valid
        yield ValidationError(f"{value!r} is valid under each of {', '.join(map(repr, (*others, first)))}")


def _with_last_causes(error: ValidationError) -> ValidationError:
    """With the last causes in `context`, each once: as the library's tree there are more of them with every level."""
    causes, seen = [], set()
    inside: list[tuple[ValidationError, tuple[Any, ...], tuple[Any, ...]]]
    inside = [(inner, (), ()) for inner in error.context or ()]
    for inner, above, schema_above in inside:  # which grows
        path, schema_path = (*above, *inner.path), (*schema_above, *inner.schema_path)
        key = _told(inner, path)
        if key in seen:
            continue
        seen.add(key)
        inside += [(each, path, schema_path) for each in inner.context or ()]
        if not inner.context:
            cause = ValidationError.create_from(inner)
            cause.path.extendleft(reversed(above))
            cause.schema_path.extendleft(reversed(schema_above))
            cause.parent = error
            causes.append(cause)
    error.context = causes
    return error


def _distinct(errors: Iterable[ValidationError]) -> list[ValidationError]:
    """Several parts of a schema may lead to the same error, and each of them be led to by several others."""
    first: dict[tuple[Any, ...], ValidationError] = {}
    for error in errors:
        first.setdefault(_told(error, tuple(error.path)), error)
    return list(first.values())


def _told(error: ValidationError, path: tuple[str | int, ...]) -> tuple[Any, ...]:
    return error.validator, id(error.validator_value), path, error.message


_LIBRARYS: Mapping[str, Any] = Draft202012Validator.VALIDATORS
_READ_OTHERWISE: dict[str, _Keyword] = {
    "pattern": _pattern,
    "format": _format,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "multipleOf": _multiple_of,
}
_OF_PARTS = (  # the keywords that go down into a value, as whatever has no end must
    *("properties", "patternProperties", "additionalProperties", "unevaluatedProperties"),
    *("items", "prefixItems", "contains", "unevaluatedItems"),
)
_Validator: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {
        **_READ_OTHERWISE,
        **{name: _once(name, _READ_OTHERWISE.get(name, _LIBRARYS[name])) for name in _OF_PARTS},
        **{name: _union(name) for name in ("anyOf", "oneOf")},
    },
)
