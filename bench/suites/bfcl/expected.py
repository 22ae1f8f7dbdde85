"""What BFCL's reference accepts, as the matchers of a case: for our own verdict beside the official one.

    expected_call("call-1", "get_weather", {"city": ["Oslo"], "unit": ["celsius", ""]}, document, Language.PYTHON)

An empty string among the alternatives says that the argument may be left out; it is no value here, as it is officially,
unless it is the only one for an argument that has to be there.
Texts are compared apart from case, white space and a final full stop: the reference is written for a comparison which
drops those and much punctuation. All else is strict, and the schema, its lists of values and its defaults are looked
at, by the scorer. An alternative of a type that the schema forbids stays in, though no valid call can have it; such
cases are told apart elsewhere. Knows no verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product
from typing import Any, Final

from bench.suites.bfcl.categories import Language
from bench.suites.bfcl.spelling import spellings
from bench.suites.case import ExpectedCall, SuiteError
from bench.suites.match import Like, Matcher, Object, OneOf, Optional

LEFT_OUT: Final = ""
_MOST_VALUES: Final = 1024
"""That one alternative may stand for; the data have 128."""


def expected_call(
    call_id: str,
    name: str,
    arguments: Mapping[str, Sequence[Any]],
    document: Mapping[str, Any],
    language: Language,
) -> ExpectedCall:
    """One call of the reference; `name` as it is offered, `document` the function's with BFCL's own types."""
    properties, required = document["parameters"]["properties"], document["parameters"].get("required", [])
    matchers = {key: matcher(values, properties.get(key, {}), language) for key, values in arguments.items()}
    empty = {key: OneOf((LEFT_OUT,)) for key, values in arguments.items() if key in required and values == [LEFT_OUT]}
    return ExpectedCall(call_id, name, matchers | empty)


def matcher(alternatives: Sequence[Any], schema: Mapping[str, Any], language: Language) -> Matcher:
    """One argument's matcher. Without any alternative the argument has to be left out."""
    given = [alternative for alternative in alternatives if alternative != LEFT_OUT]
    if not given:
        return Optional(None)
    found = _of_values(given) if language is Language.PYTHON else _of_sources(given, schema, language)
    return Optional(found) if LEFT_OUT in alternatives else found


def _of_values(alternatives: Sequence[Any]) -> Matcher:
    if len(alternatives) == 1 and isinstance(alternatives[0], dict):
        return Object({key: _field(values) for key, values in alternatives[0].items()})
    return _one_of([value for alternative in alternatives for value in values_of(alternative)])


def _field(values: Any) -> Matcher:
    """A field of an object: its values stand as they are, with no alternatives inside them."""
    if not isinstance(values, list):
        return _one_of([values])
    given = [value for value in values if value != LEFT_OUT]
    if not given:
        return Optional(None)
    return Optional(_one_of(given)) if LEFT_OUT in values else _one_of(given)


def _of_sources(alternatives: Sequence[Any], schema: Mapping[str, Any], language: Language) -> Matcher:
    texts = [text for a in alternatives for value in values_of(a) for text in spellings(value, schema, language)]
    return Like(tuple(dict.fromkeys(texts)))


def _one_of(values: Sequence[Any]) -> Matcher:
    return Like(tuple(values)) if any(map(_has_text, values)) else OneOf(tuple(values))


def values_of(alternative: Any) -> list[Any]:
    """The values that one alternative stands for: several where it holds objects, whose fields have alternatives."""
    found = list(islice(_values_of(alternative), _MOST_VALUES + 1))
    if len(found) > _MOST_VALUES:
        raise SuiteError(f"an alternative stands for more than {_MOST_VALUES} values: {str(alternative)[:80]}")
    return found


def _values_of(alternative: Any) -> Iterator[Any]:
    if isinstance(alternative, dict):
        fields = [_fields_of(key, values) for key, values in alternative.items()]
        for chosen in product(*fields):
            yield {key: value for field in chosen for key, value in field}
    elif isinstance(alternative, list) and any(isinstance(item, dict) for item in alternative):
        for items in product(*(values_of(item) for item in alternative)):
            yield list(items)
    else:
        yield alternative


def _fields_of(key: str, values: Any) -> list[tuple[tuple[str, Any], ...]]:
    """The field with each of its values, or nothing where it may be left out."""
    if not isinstance(values, list):
        return [((key, values),)]
    return [() if value == LEFT_OUT else ((key, value),) for value in values]


def _has_text(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_text, value.values()))
    return any(map(_has_text, value)) if isinstance(value, list) else isinstance(value, str)
