"""When is a value one of BFCL's alternatives? One class for each way in which the official checker compares.

Equality is Python's, as in the reference: 1, 1.0 and True are equal wherever the type has not been looked at, which is
inside objects and inside lists of lists. Knows no parameter, no type and no call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bench.score.bfcl.verdict import (
    DICT_KEY,
    DICT_UNCLEAR,
    DICT_VALUE,
    DICTS_COUNT,
    DICTS_UNCLEAR,
    LIST_VALUE,
    OTHER_VALUE,
    STRING_VALUE,
    BadReference,
    Problem,
    Undefined,
)

LEFT_OUT = ""
"""Among the alternatives: the argument may be left out. It is a value too, so an empty string is right then."""

_FOLDED = str.maketrans("'", '"', " ,./-_*^")  # the space only: no other white space, no typographic quotes


def fold(text: str) -> str:
    """A string as the official checker compares it: without the usual punctuation, in lower case."""
    return text.translate(_FOLDED).lower()


class Values(Protocol):
    """The acceptable values of one parameter."""

    def problem(self, value: Any) -> Problem | None: ...


@dataclass(frozen=True, slots=True)
class Exact:
    """Equal to one of them, as it stands."""

    values: Sequence[Any]

    def problem(self, value: Any) -> Problem | None:
        return None if value in self.values else _none_of(OTHER_VALUE, value, self.values)


class Strings:
    """A string equal to one of them after folding."""

    def __init__(self, alternatives: Sequence[Any]) -> None:
        self._alternatives = alternatives
        self._folded = frozenset(fold(a) for a in alternatives if isinstance(a, str))

    def problem(self, value: str) -> Problem | None:
        return None if fold(value) in self._folded else _none_of(STRING_VALUE, value, self._alternatives)


class Lists:
    """A list equal to one of them, in its order; the strings right inside it are folded, those further in are not."""

    def __init__(self, alternatives: Sequence[Any]) -> None:
        self._alternatives = alternatives
        # what may be left out may also be empty
        self._folded = [[] if a == LEFT_OUT else _folded_items(_checked(a, list)) for a in alternatives]

    def problem(self, value: list[Any]) -> Problem | None:
        return None if _folded_items(value) in self._folded else _none_of(LIST_VALUE, value, self._alternatives)


class Fields:
    """One object: key -> the values of that field, none of which has its type looked at."""

    def __init__(self, alternative: Mapping[str, Any]) -> None:
        self._strings: dict[str, frozenset[str]] = {}
        self._others: dict[str, list[Any]] = {}
        self._required: list[str] = []
        for key, values in alternative.items():
            # text where a list should be (simple_java_64) is taken letter by letter there, and may be left out
            letters = list(values) if isinstance(values, str) else None
            known = _checked(values, list) if letters is None else letters
            self._strings[key] = frozenset(fold(v) for v in known if isinstance(v, str))
            self._others[key] = [v for v in known if not isinstance(v, str)]
            if letters is None and LEFT_OUT not in known:
                self._required.append(key)

    def problem(self, value: Mapping[str, Any]) -> Problem | None:
        for key in self._required:
            if key not in value:
                return Problem(DICT_KEY, f"the object lacks the key '{key}'")
        for key, inner in value.items():
            if key not in self._strings:
                return Problem(DICT_KEY, f"the object has an unexpected key '{key}'")
            if not (fold(inner) in self._strings[key] if isinstance(inner, str) else inner in self._others[key]):
                return Problem(DICT_VALUE, f"the object's '{key}' is not {inner!r}")
        return None


class Objects:
    """An object equal to one of them; what is wrong is told against the last."""

    def __init__(self, alternatives: Sequence[Any]) -> None:
        self._fields = [Fields(_checked(a, dict)) for a in alternatives if a != LEFT_OUT]

    def problem(self, value: Mapping[str, Any]) -> Problem | None:
        found: Problem | None = Problem(DICT_UNCLEAR, "no object is right here")
        for fields in self._fields:
            found = fields.problem(value)
            if found is None:
                return None
        return found


class ListsOfObjects:
    """A list of objects, one by one equal to those of one alternative; what is wrong is told against the last."""

    def __init__(self, alternatives: Sequence[Any]) -> None:
        self._lists = [
            [] if a == LEFT_OUT else [Fields(_checked(item, dict)) for item in _checked(a, list)] for a in alternatives
        ]

    def problem(self, value: list[Any]) -> Problem | None:
        found: Problem | None = Problem(DICTS_UNCLEAR, "no list is right here")
        for fields in self._lists:
            if len(value) != len(fields):
                found = Problem(DICTS_COUNT, f"the list has {len(value)} objects, not {len(fields)}")
                continue
            found = _first_problem(fields, value)
            if found is None:
                return None
        return found


def _first_problem(fields: Sequence[Fields], items: Sequence[Any]) -> Problem | None:
    for right, item in zip(fields, items, strict=True):
        if not isinstance(item, dict):
            raise Undefined("an element of a list of objects is no object")
        problem = right.problem(item)
        if problem is not None:
            return problem
    return None


def _folded_items(items: Sequence[Any]) -> list[Any]:
    return [fold(item) if isinstance(item, str) else item for item in items]


def _checked(alternative: Any, kind: type) -> Any:
    if type(alternative) is not kind:
        raise BadReference(f"the alternative {alternative!r} is not a {kind.__name__}")
    return alternative


def _none_of(error_type: str, value: Any, alternatives: Sequence[Any]) -> Problem:
    return Problem(error_type, f"{value!r} is none of {alternatives!r}")
