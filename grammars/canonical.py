"""The one way in which toolgauge writes a JSON value: what prompts show, what grammars allow, what tests compare.

As `json.dumps(value, ensure_ascii=False)` writes it, with three exceptions: numbers have no exponent and zero has no
sign, so that a bounded number has a grammar; and U+007F is escaped. With a schema, properties come in its order, and
a value that JSON Schema takes for an integer or for a member of an enum is written as one (`1.0` as `1`).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from grammars.alternatives import alternatives, is_reference
from grammars.merge import Unmergeable, same
from grammars.pointer import Schema, resolve
from grammars.strings import quoted


def dumps(value: Any, schema: Mapping[str, Any] | None = None) -> str:
    """The canonical text of a JSON value; raises `ValueError` for what JSON cannot say."""
    return _written(value if schema is None else arranged(value, schema))


def arranged(value: Any, schema: Mapping[str, Any]) -> Any:
    """An equal value whose properties are in the schema's order; unchanged where the schema does not accept it."""
    return _arranged(value, dict(schema), dict(schema))


def plain(value: Any) -> Any:
    """An equal value in which whole numbers have no fraction."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def _written(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return quoted(value)
        case int():
            return str(value)
        case float():
            return _decimal(value)
        case Mapping():
            return "{" + ", ".join(f"{quoted(key)}: {_written(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(_written, value)) + "]"
    raise ValueError(f"{value!r} is not a JSON value")


def _decimal(value: float) -> str:
    if value == 0:
        return "0.0"
    number = Decimal(repr(value))
    if not number.is_finite():
        raise ValueError(f"{value!r} is not a JSON value")
    text = format(number, "f")
    return text if "." in text else f"{text}.0"


def _arranged(value: Any, schema: Schema, root: Any) -> Any:
    if isinstance(schema, bool):
        return value
    if is_reference(schema):
        return _arranged(value, resolve(schema["$ref"], root), root)
    flat = _first_valid(value, schema, root)
    if isinstance(flat, bool):
        return value
    if is_reference(flat):
        return _arranged(value, flat, root)
    for member in flat.get("enum", [flat["const"]] if "const" in flat else []):
        if same(member, value):
            return plain(member)
    if isinstance(value, dict):
        return _arranged_object(value, flat, root)
    if isinstance(value, list):
        prefix, rest = flat.get("prefixItems", []), flat.get("items", True)
        return [_arranged(item, prefix[i] if i < len(prefix) else rest, root) for i, item in enumerate(value)]
    if isinstance(value, float) and value.is_integer():
        kinds = flat.get("type", "number")
        if "integer" in kinds and "number" not in kinds:
            return int(value)
    if isinstance(value, int | float) and value == flat.get("minimum") == flat.get("maximum"):
        return plain(flat["minimum"])
    return value


def _arranged_object(value: dict[str, Any], schema: dict[str, Any], root: Any) -> dict[str, Any]:
    properties = schema.get("properties", {})
    rest = schema.get("additionalProperties", True)
    names = [name for name in properties if name in value]
    names += [name for name in schema.get("required", []) if name in value and name not in names]
    names += [name for name in value if name not in names]
    return {name: _arranged(value[name], properties.get(name, rest), root) for name in names}


def _first_valid(value: Any, schema: Schema, root: Any) -> Schema:
    """The first alternative that accepts the value; `False` where none does."""
    try:
        flat = [one for one, _ in alternatives(schema, root, exactly=False)]
    except Unmergeable:
        return False
    if len(flat) == 1:
        return flat[0]
    from grammars.validation import validator  # heavy, and only a union needs it

    check = validator(root)
    return next((one for one in flat if check.evolve(schema=one).is_valid(value)), False)
