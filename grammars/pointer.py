"""Where the sub-schemas of a JSON Schema are, and what a `$ref` within the same document points to.

Knows which keyword of a schema holds schemas, and nothing about what any keyword means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

Schema = dict[str, Any] | bool

# In-place keywords look at the same value as the schema they stand in; the others at a part of it.
IN_PLACE_SINGLE = ("not", "if", "then", "else")
IN_PLACE_LIST = ("allOf", "anyOf", "oneOf")
SINGLE = (
    *IN_PLACE_SINGLE,
    "additionalItems",
    "additionalProperties",
    "contains",
    "items",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
)
LISTS = (*IN_PLACE_LIST, "prefixItems")
MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")


class UnresolvedRef(LookupError):
    """A `$ref` leaves the document or points to nothing."""


def child(path: str, *steps: str | int) -> str:
    """The JSON pointer `path` extended by `steps`, e.g. `#/properties/city`."""
    return "/".join([path, *(str(step).replace("~", "~0").replace("/", "~1") for step in steps)])


def map_subschemas(
    schema: Mapping[str, Any], change: Callable[[Any, str, str], Any], path: str = "#"
) -> dict[str, Any]:
    """A copy of `schema` with every direct sub-schema replaced by `change(subschema, path, keyword)`.

    Tolerates a schema that is not valid: what is not where a schema should be is copied as it is.
    """
    result: dict[str, Any] = {}
    for key, value in schema.items():
        if key in SINGLE and isinstance(value, Mapping | bool):
            result[key] = change(value, child(path, key), key)
        elif (key in LISTS or key == "items") and isinstance(value, list):
            result[key] = [change(item, child(path, key, index), key) for index, item in enumerate(value)]
        elif key in MAPS and isinstance(value, Mapping):
            result[key] = {name: change(item, child(path, key, name), key) for name, item in value.items()}
        else:
            result[key] = value
    return result


def walk(schema: Any) -> Iterator[Mapping[str, Any]]:
    """The schema and every sub-schema in it, but for those that are `true` or `false`."""
    if isinstance(schema, Mapping):
        found: list[Any] = []
        map_subschemas(schema, lambda sub, _path, _key: found.append(sub))
        yield schema
        for sub in found:
            yield from walk(sub)


def resolve(ref: str, root: Any) -> Any:
    """The schema that `ref` points to; only `#` and `#/...` within the same document, percent-encoded or as it is."""
    if ref != "#" and not ref.startswith("#/"):
        raise UnresolvedRef(f"'{ref}' is not a pointer into the same document")
    target = root
    for step in ref.split("/")[1:]:
        found = [*_at(step, target), *_at(unquote(step), target)]
        if not found:
            raise UnresolvedRef(f"'{ref}' points to nothing")
        target = found[0]
    return target


def _at(step: str, target: Any) -> list[Any]:
    """What one step leads to, if it leads anywhere."""
    step = step.replace("~1", "/").replace("~0", "~")
    if isinstance(target, Mapping) and step in target:
        return [target[step]]
    if isinstance(target, list) and step.isdecimal() and int(step) < len(target):
        return [target[int(step)]]
    return []


def same_value(schema: Mapping[str, Any], root: Any) -> Iterator[Any]:
    """The sub-schemas that look at the same value as `schema` does, what its `$ref` points to among them."""
    if "$ref" in schema:
        yield resolve(schema["$ref"], root)
    for key in IN_PLACE_LIST:
        yield from schema.get(key, ())
    yield from (schema[key] for key in IN_PLACE_SINGLE if key in schema)
    yield from schema.get("dependentSchemas", {}).values()
