"""One JSON Schema that means what two mean together (`allOf`), where that can be written down.

Knows no tool and no backend. What it cannot merge it refuses with the keyword, and never approximates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from jsonschema import Draft202012Validator

from grammars.formats import FORMATS, OTHER_STANDARD_FORMATS
from grammars.pointer import Schema, resolve

MAX_DEPTH = 32  # of parts in parts; two recursive schemas have no finite merged form
MAX_BRANCHES = 64  # of the product of two anyOf

# What a value can break; any other keyword says nothing of values, whoever made it up.
ASSERTIONS = Draft202012Validator.VALIDATORS.keys() | {"then", "else", "minContains", "maxContains", "dependencies"}
_OBJECT_KEYS = ("properties", "patternProperties", "additionalProperties")
_ARRAY_KEYS = ("prefixItems", "items")


class Unmergeable(Exception):
    """No single schema is written for the two; `keyword` is what stands in the way."""

    def __init__(self, keyword: str, reason: str = "it cannot be merged with what stands beside it") -> None:
        self.keyword, self.reason = keyword, reason
        super().__init__(f"{keyword}: {reason}")


def same(a: Any, b: Any) -> bool:
    """Whether two JSON values are equal as JSON Schema compares them: 1 is 1.0, true is not 1."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


_Pairs = tuple[tuple[Schema, Schema], ...]  # what is being merged, from the whole down to a part


def merge(a: Schema, b: Schema, root: Any, above: _Pairs = ()) -> Schema:
    """A schema that accepts exactly what both accept; `root` is the document that `$ref`s point into."""
    if len(above) > MAX_DEPTH or (a, b) in above:
        raise Unmergeable("$ref")
    if a is False or b is False:
        return False
    if a is True or a == {}:
        return b
    if b is True or b == {} or a == b:
        return a
    assert isinstance(a, dict) and isinstance(b, dict)
    above = (*above, (a, b))
    a, b = inline(a, root, above), inline(b, root, above)
    if isinstance(a, bool) or isinstance(b, bool):
        return merge(a, b, root, above)
    return _merge_mappings(a, b, root, above)


def inline(schema: Schema, root: Any, above: _Pairs = ()) -> Schema:
    """`schema` with what its own `$ref` points to written in its place."""
    if isinstance(schema, bool) or "$ref" not in schema:
        return schema
    rest = {key: value for key, value in schema.items() if key != "$ref"}
    return merge(rest, resolve(schema["$ref"], root), root, above)


def _merge_mappings(a: dict[str, Any], b: dict[str, Any], root: Any, above: _Pairs) -> Schema:
    def both(x: Schema, y: Schema) -> Schema:
        try:
            return merge(x, y, root, above)
        except Unmergeable:
            return {"allOf": [x, y]}  # a part that stays apart; whoever needs it merged says so there

    if any("pattern" in other and _holds_format(one) for one, other in ((a, b), (b, a))):
        raise Unmergeable("pattern", "together with a format that stands in another schema")
    result: dict[str, Any] = {}
    for key in [*a, *(key for key in b if key not in a)]:
        if key in _OBJECT_KEYS or key in _ARRAY_KEYS or key in ("enum", "const"):
            continue
        if key in a and key in b:
            value = _merge_keyword(key, a[key], b[key], both)
            if value is None:
                return False
            result[key] = value
        else:
            result[key] = a[key] if key in a else b[key]
    if any(key in schema for schema in (a, b) for key in ("enum", "const")):
        values = _common_values(a, b)
        if not values:
            return False
        result["enum"] = values
    result.update(_merge_objects(a, b, both))
    result.update(_merge_arrays(a, b, both))
    return result


def _merge_keyword(key: str, a: Any, b: Any, both: Callable[[Schema, Schema], Schema]) -> Any:
    """The value of one keyword for both; None where nothing can satisfy both."""
    if key not in ASSERTIONS:
        return {**b, **a} if key in ("$defs", "definitions") else a
    if same(a, b):
        return a
    match key:
        case "type":
            return _common_types(a, b)
        case "required":
            return [*a, *(name for name in b if name not in a)]
        case "minimum" | "exclusiveMinimum" | "minLength" | "minItems" | "minProperties":
            return max(a, b)
        case "maximum" | "exclusiveMaximum" | "maxLength" | "maxItems" | "maxProperties":
            return min(a, b)
        case "uniqueItems":
            return True
        case "multipleOf" if isinstance(a, int) and isinstance(b, int):
            return math.lcm(a, b)
        case "allOf":
            return [*a, *b]
        case "anyOf" if len(a) * len(b) <= MAX_BRANCHES:
            return [both(x, y) for x in a for y in b]
    raise Unmergeable(key)


def _holds_format(schema: dict[str, Any]) -> bool:
    """Whether a format is held: a pattern in the same schema is its author's exact words for it."""
    return "pattern" not in schema and schema.get("format") in FORMATS.keys() | OTHER_STANDARD_FORMATS


def _common_types(a: Any, b: Any) -> Any:
    left, right = ([kind] if isinstance(kind, str) else kind for kind in (a, b))
    common = [kind for kind in left if kind in right or (kind == "integer" and "number" in right)]
    common += [kind for kind in right if kind == "integer" and "number" in left and kind not in common]
    if not common:
        return None
    return common[0] if len(common) == 1 else common


def _common_values(a: dict[str, Any], b: dict[str, Any]) -> list[Any]:
    sets = [[schema["const"]] for schema in (a, b) if "const" in schema]
    sets += [schema["enum"] for schema in (a, b) if "enum" in schema]
    return [value for value in sets[0] if all(any(same(value, other) for other in rest) for rest in sets[1:])]


def _merge_objects(a: dict[str, Any], b: dict[str, Any], both: Callable[[Schema, Schema], Schema]) -> dict[str, Any]:
    sides = [side for side in (a, b) if any(key in side for key in _OBJECT_KEYS)]
    if len(sides) < 2:
        return {key: side[key] for side in sides for key in _OBJECT_KEYS if key in side}
    if any("patternProperties" in side for side in sides):
        raise Unmergeable("patternProperties")

    def view(side: dict[str, Any], name: str) -> Schema:
        properties: dict[str, Schema] = side.get("properties", {})
        rest: Schema = side.get("additionalProperties", True)
        return properties.get(name, rest)

    names = list(dict.fromkeys([*a.get("properties", {}), *b.get("properties", {})]))
    result: dict[str, Any] = {"properties": {name: both(view(a, name), view(b, name)) for name in names}}
    rest = both(a.get("additionalProperties", True), b.get("additionalProperties", True))
    if rest is not True:
        result["additionalProperties"] = rest
    return result


def _merge_arrays(a: dict[str, Any], b: dict[str, Any], both: Callable[[Schema, Schema], Schema]) -> dict[str, Any]:
    sides = [side for side in (a, b) if any(key in side for key in _ARRAY_KEYS)]
    if len(sides) < 2:
        return {key: side[key] for side in sides for key in _ARRAY_KEYS if key in side}

    def view(side: dict[str, Any], index: int) -> Schema:
        prefix: list[Schema] = side.get("prefixItems", [])
        rest: Schema = side.get("items", True)
        return prefix[index] if index < len(prefix) else rest

    n_prefix = max(len(side.get("prefixItems", [])) for side in sides)
    result: dict[str, Any] = {}
    if n_prefix:
        result["prefixItems"] = [both(view(a, index), view(b, index)) for index in range(n_prefix)]
    rest = both(a.get("items", True), b.get("items", True))
    if rest is not True:
        result["items"] = rest
    return result
