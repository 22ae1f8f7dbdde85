"""A schema without the keywords that say nothing, and with what backends know where that says the same.

Generators write some keywords always (zod: `propertyNames` of any record), and backends refuse them by name. Knows no
dialect and no tool.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from grammars.merge import ASSERTIONS
from grammars.pointer import IN_PLACE_LIST, IN_PLACE_SINGLE, Schema, map_subschemas

_IN_PLACE = frozenset(("$ref", *IN_PLACE_LIST, *IN_PLACE_SINGLE, "dependentSchemas"))


def plainer(schema: Any, _path: str = "#", _key: str = "") -> Any:
    """A checked schema in fewer and more usual words; whatever was valid is, and nothing else."""
    if not isinstance(schema, Mapping):
        return schema
    schema = map_subschemas(schema, plainer)
    if _is_text(schema.get("propertyNames", False)):
        del schema["propertyNames"]
    if "multipleOf" in schema and "type" in schema:
        _count_in_integers(schema)
    if "unevaluatedProperties" in schema and ("additionalProperties" in schema or not _IN_PLACE & schema.keys()):
        rest = schema.pop("unevaluatedProperties")
        schema.setdefault("additionalProperties", rest)
    if schema.get("not") is False:
        del schema["not"]
    return False if _is_anything(schema.get("not", False)) else schema


def _is_anything(schema: Schema) -> bool:
    return schema is True or (isinstance(schema, Mapping) and schema.keys().isdisjoint(ASSERTIONS))


def _is_text(schema: Schema) -> bool:
    """Whether it allows any string, as each name of a property is one."""
    if isinstance(schema, bool) or "type" not in schema:
        return _is_anything(schema)
    return "string" in schema["type"] and schema.keys() & ASSERTIONS == {"type"}


def _count_in_integers(schema: dict[str, Any]) -> None:
    """A multiple of a whole number is an integer, and an integer that is one of 2.5 is one of 5."""
    kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    step = Fraction(str(schema["multipleOf"]))
    if "number" in kinds and step.denominator != 1:
        return
    whole = list(dict.fromkeys("integer" if kind == "number" else kind for kind in kinds))
    schema["type"] = whole[0] if isinstance(schema["type"], str) else whole
    if step.numerator == 1:
        del schema["multipleOf"]
    else:
        schema["multipleOf"] = step.numerator
