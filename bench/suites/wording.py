"""What pydantic finds wrong with a line, in words for somebody who writes one: a path, and what to write there.

Knows the models of lines by their fields alone.
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

_EXPECTED = {
    "string_type": "a text",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "list_type": "a list",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "too_short": "a list with at least one element",
    "string_too_short": "a text that is not empty",
}
_HAS_TO_BE = "has to be "
_TAG = re.compile(r"^(?:\w+\[.*|\[key\]|str|int|bool|function-.*)$")
"""Parts of pydantic's paths that name one of several types and not a place."""


def told(error: ValidationError, model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Place and problem of each thing that is wrong; what does not fit any of several types is one thing."""
    found: dict[str, list[str]] = {}
    for each in error.errors(include_url=False):
        place, inside = _place(each["loc"], model)
        found.setdefault(place or "line", []).append(_problem(each, inside))
    for place, problems in found.items():
        distinct = list(dict.fromkeys(problems))
        may_be_other = any(other.startswith(f"{place}.") for other in found)
        if all(problem.startswith(_HAS_TO_BE) for problem in distinct) and may_be_other:
            continue  # it is of another of several types, and what is wrong is further down
        if all(problem.startswith(_HAS_TO_BE) for problem in distinct):
            yield place, _HAS_TO_BE + " or ".join(problem.removeprefix(_HAS_TO_BE) for problem in distinct)
        else:
            for problem in distinct:
                yield place, problem


def meant(name: str, known: Iterable[str]) -> str:
    """The end of a sentence: what the name resembles, if anything."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _problem(error: ErrorDetails, known: Sequence[str]) -> str:
    kind = error["type"]
    if kind in _EXPECTED:
        return _HAS_TO_BE + _EXPECTED[kind]
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        name = str(error["loc"][-1])
        return "there is no such field" + (meant(name, known) or f"; known are {', '.join(known)}")
    if kind == "literal_error":
        wanted = str(error.get("ctx", {}).get("expected", ""))
        return f"{_HAS_TO_BE}{wanted}"
    return error["msg"].removeprefix("Value error, ").replace("Input should be", _HAS_TO_BE.strip())


def _place(parts: Sequence[int | str], model: type[BaseModel]) -> tuple[str, list[str]]:
    """The path without pydantic's own parts, and the fields that are known where it ends."""
    shown: list[str] = []
    here, inside = [model], [*model.model_fields]
    for part in parts:
        inside = [name for kind in here for name in _fields(kind)]
        next_ = [inner for kind in here for inner in _step(kind, part)]
        if (not next_ and part is not parts[-1]) or (isinstance(part, str) and _is_tag(part, here)):
            continue
        shown.append(str(part))
        here = next_
    return ".".join(shown), inside


def _is_tag(part: str, here: Sequence[Any]) -> bool:
    return bool(_TAG.match(part)) and not any(part in _fields(kind) for kind in here)


def _fields(kind: Any) -> list[str]:
    return [*kind.model_fields] if isinstance(kind, type) and issubclass(kind, BaseModel) else []


def _step(kind: Any, part: int | str) -> list[Any]:
    """The types that may stand one step further down."""
    if isinstance(part, int):
        return _alternatives(get_args(kind)[0]) if get_origin(kind) is list else []
    if part in _fields(kind):
        return _alternatives(kind.model_fields[part].annotation)
    return _alternatives(get_args(kind)[1]) if get_origin(kind) is dict else []


def _alternatives(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [inner for each in get_args(annotation) for inner in _alternatives(each)]
    return [annotation]
