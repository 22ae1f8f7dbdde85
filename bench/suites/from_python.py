"""A tool's definition from a plain Python function: its name, its docstring and its typed parameters.

    definition(book_room)        # {"name": "book_room", "description": ..., "parameters": {...JSON Schema...}}
    model_definition(BookRoom)   # the same from a pydantic model of the arguments

The parameters' schema is pydantic's, without the titles that say a name twice; what a parameter means comes from
`Annotated[..., Field(description=...)]` or from the docstring. Parameters keep the order of the signature. Knows no
suite and never calls the function.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo

from bench.suites.docstring import docstring
from grammars.errors import ToolgaugeError
from grammars.pointer import map_subschemas


class NotATool(ToolgaugeError):
    """A function cannot be offered as a tool; the message names it and says why."""


def definition(function: Callable[..., Any], *, without: Collection[str] = ()) -> dict[str, Any]:
    """The tool as an application would offer it; parameters in `without` are not the model's to give."""
    schema = arguments_model(function, without=without).model_json_schema()
    written = _written(function, schema)
    summary, _ = docstring(function)
    return {"name": function.__name__, "description": summary, "parameters": written}


def model_definition(model: type[BaseModel]) -> dict[str, Any]:
    """The tool that a pydantic model of its arguments describes: the model's name, docstring and fields."""
    try:
        schema = model.model_json_schema()
    except PydanticUserError as error:
        raise _wrong(model, f"a field's type has no JSON Schema ({str(error).splitlines()[0]})") from error
    written = _written(model, schema)
    summary, meanings = ("", {}) if model.__doc__ == BaseModel.__doc__ else docstring(model)
    for name, field in written.get("properties", {}).items():
        if name in meanings:
            field.setdefault("description", meanings[name])
    return {"name": model.__name__, "description": summary, "parameters": written}


def arguments_model(function: Callable[..., Any], *, without: Collection[str] = ()) -> type[BaseModel]:
    """A pydantic model with one field for each parameter; it reads a call's arguments into what the function takes."""
    try:
        hints = get_type_hints(function, include_extras=True)
        parameters = inspect.signature(function).parameters
    except NameError as error:
        raise _wrong(function, f"a type hint cannot be resolved ({error})") from error
    except (TypeError, ValueError) as error:
        raise _wrong(function, f"it is not written in Python ({error})") from error
    _, meanings = docstring(function)
    fields: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if name in without:
            continue
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise _wrong(function, f"parameter '{parameter}' cannot be given by name")
        if name not in hints:
            raise _wrong(function, f"parameter '{name}' has no type hint")
        if name.startswith("_"):
            raise _wrong(function, f"parameter '{name}' begins with an underscore")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[name] = (hints[name], _field(hints[name], default, meanings.get(name)))
    try:
        model: type[BaseModel] = create_model(
            function.__name__, __config__=ConfigDict(extra="forbid", protected_namespaces=()), **fields
        )
        model.model_json_schema()
    except (PydanticUserError, NameError) as error:
        raise _wrong(function, f"a parameter's type has no JSON Schema ({str(error).splitlines()[0]})") from error
    return model


def _field(hint: Any, default: Any, meaning: str | None) -> Any:
    """What the type itself says comes before what the docstring says."""
    if isinstance(default, FieldInfo):
        return default
    said = FieldInfo.from_annotation(hint).description
    return Field(default, description=meaning) if meaning and not said else Field(default)


def _written(documented: Callable[..., Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    written = {key: value for key, value in _untitled(schema).items() if key != "description"}
    try:
        json.dumps(written, allow_nan=False)
    except ValueError as error:
        raise _wrong(
            documented, "a default or an example is infinite or NaN, which JSON cannot say; give another"
        ) from error
    return written


def _untitled(schema: Any, _path: str = "#", _key: str = "") -> Any:
    if not isinstance(schema, Mapping):
        return schema
    plain = map_subschemas(schema, _untitled)
    unsaid = {"title"}
    if _path == "#":  # every tool is closed; it need not be said
        unsaid.add("additionalProperties")
    return {key: value for key, value in plain.items() if key not in unsaid}


def _wrong(function: Callable[..., Any], problem: str) -> NotATool:
    return NotATool(f"{function.__module__}.{function.__qualname__} cannot be a tool: {problem}")
