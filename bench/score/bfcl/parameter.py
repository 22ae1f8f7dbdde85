"""One parameter of a call: the right type, then one of the right values.

The type is the schema's, or that of the reference's own values where they are of another: a variable's name where a
list is asked for. Such a value is compared as it stands. Knows no function and no call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.score.bfcl import java, javascript
from bench.score.bfcl.values import LEFT_OUT, Exact, Lists, ListsOfObjects, Objects, Strings, Values
from bench.score.bfcl.verdict import (
    ITEM_TYPE,
    JAVA_SOURCE,
    JAVASCRIPT_SOURCE,
    TYPE,
    BadReference,
    Problem,
    Undefined,
)
from bench.suites.bfcl.categories import Language

_PYTHON_TYPES: Mapping[str, type] = {
    "string": str,
    "integer": int,
    "float": float,
    "boolean": bool,
    "array": list,
    "tuple": list,
    "dict": dict,
    "any": str,
}
_TYPES = {Language.PYTHON: _PYTHON_TYPES, Language.JAVA: java.TYPES, Language.JAVASCRIPT: javascript.TYPES}
_WITH_ITEMS = {
    Language.PYTHON: {"array", "tuple"},
    Language.JAVA: {"Array", "ArrayList"},
    Language.JAVASCRIPT: {"array"},
}
# the types are compared exactly: JSON's true is no number, and 5.0 no integer


class Parameter:
    """A parameter of the schema with its acceptable values."""

    def __init__(self, name: str, schema: Mapping[str, Any], alternatives: Sequence[Any], language: Language) -> None:
        self._name = name
        self._alternatives = alternatives
        self._convert = _converter(name, schema, language)
        self._type = _type_of(schema, language)
        has_items = schema["type"] in _WITH_ITEMS[language]
        self._item_type = _type_of(schema.get("items", {}), language) if has_items else None
        self._reference_type = _first_type(alternatives)
        # which list's elements may be of which type; None: one of the alternatives is no list, and any element will do
        self._item_types = _item_types(alternatives, self._item_type)
        self._as_written = Exact(alternatives)
        is_of_schema = self._reference_type in (None, self._type)
        self._values = self._compared() if is_of_schema else self._as_written

    def problem(self, given: Any) -> Problem | None:
        """What is wrong with the value a call gives; None if nothing is."""
        if self._convert is not None:
            given = self._convert(given)
            if isinstance(given, Problem):
                return given
        if type(given) is self._type:
            return self._item_problem(given) or self._values.problem(given)
        if self._reference_type is not None and type(given) is self._reference_type:
            return self._as_written.problem(given)
        return self._type_problem(given)

    def _compared(self) -> Values:
        if self._type is dict:
            return Objects(self._alternatives)
        if self._type is list:
            return ListsOfObjects(self._alternatives) if self._item_type is dict else Lists(self._alternatives)
        return Strings(self._alternatives) if self._type is str else self._as_written

    def _item_problem(self, given: Any) -> Problem | None:
        """The elements' types are looked at one level deep, and may be those of any one alternative."""
        if self._item_type is None or self._item_types is None:
            return None
        for types in self._item_types:
            if all(type(item) in types for item in given):
                return None
        if self._reference_type is self._type:
            return Problem(ITEM_TYPE, f"{self._name}: an element of {given!r} is of the wrong type")
        return self._type_problem(given)

    def _type_problem(self, given: Any) -> Problem:
        return Problem(TYPE, f"{self._name}: {given!r} is not of type {self._type.__name__}")


def _type_of(schema: Mapping[str, Any], language: Language) -> type:
    known = _TYPES[language]
    if schema.get("type") not in known:
        raise BadReference(f"unknown {language} type {schema.get('type')!r}")
    return known[schema["type"]]


def _first_type(alternatives: Sequence[Any]) -> type | None:
    return next((type(a) for a in alternatives if a != LEFT_OUT), None)


def _item_types(alternatives: Sequence[Any], item_type: type | None) -> list[frozenset[type]] | None:
    if item_type is None or not all(isinstance(a, list) for a in alternatives):
        return None
    return [frozenset({item_type, _first_type(a) or item_type}) for a in alternatives]


def _converter(name: str, schema: Mapping[str, Any], language: Language) -> Callable[[Any], Any] | None:
    """What is done to a value before it is looked at; it may find a Problem already."""
    if language is Language.PYTHON:
        return _to_float if schema["type"] == "float" else None
    read = java.read if language is Language.JAVA else javascript.read
    error_type = JAVA_SOURCE if language is Language.JAVA else JAVASCRIPT_SOURCE
    kind = schema["type"]
    item_kind = schema.get("items", {}).get("type") if kind in _WITH_ITEMS[language] else None

    def convert(given: Any) -> Any:
        if not isinstance(given, str):
            return Problem(error_type, f"{name}: {given!r} is no {language} source code")
        return read(given, kind, item_kind)

    return convert


def _to_float(given: Any) -> Any:
    if type(given) is not int:
        return given
    try:
        return float(given)
    except OverflowError as error:
        raise Undefined("an integer is too large for a float") from error
