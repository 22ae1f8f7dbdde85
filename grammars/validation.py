"""Whether a value satisfies a tool's schema: the jsonschema library, with `pattern` and `format` read as grammars do.

The library searches patterns with Python's `re` and ignores formats. One reading for both sides is what lets a test
say that a grammar allows exactly what is valid.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.validators import extend

from grammars.formats import FORMATS
from grammars.pattern import PatternError, parse_pattern
from grammars.regular import Expr
from grammars.syntax import to_regex_text


def validator(schema: Mapping[str, Any] | bool) -> Draft202012Validator:
    """A validator of JSON Schema 2020-12 for a normalised schema."""
    made: Draft202012Validator = _Validator(schema, format_checker=_CHECKER)
    return made


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _found(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _found(pattern: str, text: str) -> bool:
    try:
        expr = parse_pattern(pattern)
    except PatternError:  # no grammar can have it either; the library's own reading has to do
        return re.search(pattern, text) is not None
    return _compiled(expr).fullmatch(text) is not None


@lru_cache(maxsize=1024)
def _compiled(expr: Expr) -> re.Pattern[str]:
    return re.compile(to_regex_text(expr))


def _checker() -> FormatChecker:
    checker = FormatChecker(formats=())
    for name, expr in FORMATS.items():

        def check(value: object, expr: Expr = expr) -> bool:
            return not isinstance(value, str) or _compiled(expr).fullmatch(value) is not None

        checker.checks(name)(check)
    return checker


_CHECKER = _checker()
_Validator: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {"pattern": _pattern}
)
