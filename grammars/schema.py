"""Tool definitions as people write them, normalised once for everybody: prompts, grammars and scores read the result.

    normalise_tool({"type": "function", "function": {"name": "add", "parameters": {...}}})

Accepts OpenAI's wrapper, a bare tool, MCP's `inputSchema` and the Berkeley leaderboard's dialect (`dict`, `float`,
`tuple`, ...). The result is JSON Schema 2020-12: of type object, with `properties` and `required` in the same order,
and closed (`additionalProperties: false`) wherever an object lists its properties and does not say otherwise.
Knows no prompt, no model and no grammar.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from grammars.errors import InvalidSchema
from grammars.merge import ANNOTATIONS, Unmergeable, inline, merge
from grammars.plain import is_plain
from grammars.pointer import IN_PLACE_LIST, IN_PLACE_SINGLE, Schema, UnresolvedRef, child, map_subschemas, resolve

# The type names of other dialects (Python, Java, JavaScript as the Berkeley leaderboard writes them); None: any value.
_DIALECT: dict[str, str | None] = {
    **dict.fromkeys(("str", "char", "character", "text"), "string"),
    **dict.fromkeys(("int", "long", "short", "byte", "bigint"), "integer"),
    **dict.fromkeys(("float", "double", "decimal"), "number"),
    **dict.fromkeys(("bool",), "boolean"),
    **dict.fromkeys(("list", "tuple", "set", "arraylist", "queue", "stack"), "array"),
    **dict.fromkeys(("dict", "hashmap", "hashtable", "map"), "object"),
    **dict.fromkeys(("none", "nonetype"), "null"),
    **dict.fromkeys(("any", ""), None),
    **{name: name for name in ("string", "integer", "number", "boolean", "array", "object", "null")},
}


@dataclass(frozen=True, slots=True)
class ToolSchema:
    """A tool whose `parameters` every part of toolgauge reads the same way; `written` is what its author wrote."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    written: Mapping[str, Any]


def normalise_tool(tool: Mapping[str, Any]) -> ToolSchema:
    """One tool from any of the usual spellings; `InvalidSchema` names the tool and the path of what is wrong."""
    inner = tool.get("function", tool) if isinstance(tool, Mapping) else tool
    if not isinstance(inner, Mapping):
        raise InvalidSchema('a tool must be a JSON object with "name", "description" and "parameters"')
    name = inner.get("name")
    if not isinstance(name, str) or not name.strip():
        raise InvalidSchema('a tool has no name; give it a non-empty string as "name"')
    description = inner.get("description") or ""
    if not isinstance(description, str):
        raise InvalidSchema(f"tool '{name}': the description must be a string")
    spellings = ("parameters", "inputSchema", "input_schema")
    given = [inner[key] for key in spellings if inner.get(key) is not None]
    written = given[0] if given else {}
    return ToolSchema(name, description, normalise_parameters(written, f"tool '{name}'"), written)


def normalise_tools(tools: Iterable[Mapping[str, Any]]) -> tuple[ToolSchema, ...]:
    """Several tools; their names must differ."""
    result = tuple(normalise_tool(tool) for tool in tools)
    names = [tool.name for tool in result]
    for name in names:
        if names.count(name) > 1:
            raise InvalidSchema(f"two tools are named '{name}'; give each its own name")
    return result


def normalise_parameters(given: Any, owner: str = "schema") -> dict[str, Any]:
    """The parameters of a tool as a JSON Schema of type object; `owner` begins the messages."""
    if not isinstance(given, Mapping):
        raise InvalidSchema(f"{owner}: parameters must be a JSON object, a schema of type object")
    modern = _modernise(copy.deepcopy(dict(given)))
    for key in ("$schema", "$id"):
        modern.pop(key, None)
    _check(modern, owner)
    whole = _resolve_top(modern, owner)
    kind = whole.setdefault("type", "object")
    if kind != "object":
        raise InvalidSchema(f"{owner}: parameters at # must be of type object, not {kind!r}")
    whole.setdefault("properties", {})
    closed: dict[str, Any] | bool = _close(whole, whole, "#", part=False, top=True)
    if isinstance(closed, bool):
        raise InvalidSchema(f"{owner}: parameters at # contradict themselves; no arguments can satisfy them")
    closed.setdefault("required", [])
    return closed


def modernise(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The same schema in today's words, neither checked nor closed: for prompts that show it."""
    modern: dict[str, Any] = _modernise(copy.deepcopy(dict(parameters)))
    return modern


def _check(schema: dict[str, Any], owner: str) -> None:
    try:
        if not is_plain(schema):
            Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise InvalidSchema(f"{owner}: parameters at {child('#', *error.absolute_path)}: {error.message}") from None
    _check_refs(schema, schema, "#", owner)


def _check_refs(schema: Any, root: dict[str, Any], path: str, owner: str) -> None:
    if isinstance(schema, bool):
        return
    if "$dynamicRef" in schema:
        raise InvalidSchema(f"{owner}: parameters at {path}: $dynamicRef is not supported; write $ref")
    seen = set()
    target: Any = schema
    while isinstance(target, Mapping) and "$ref" in target:
        ref = target["$ref"]
        if ref in seen:
            raise InvalidSchema(f"{owner}: parameters at {path}: $ref '{ref}' only refers to itself")
        seen.add(ref)
        try:
            target = resolve(ref, root)
        except UnresolvedRef as error:
            raise InvalidSchema(f"{owner}: parameters at {path}: $ref {error}") from None
    if not isinstance(target, Mapping | bool):
        raise InvalidSchema(f"{owner}: parameters at {path}: $ref '{schema['$ref']}' points to no schema")

    def visit(sub: Any, sub_path: str, _key: str) -> Any:
        _check_refs(sub, root, sub_path, owner)
        return sub

    map_subschemas(schema, visit, path)


def _modernise(schema: Any, _path: str = "#", _key: str = "") -> Any:
    """Older and foreign spellings in today's words; what it does not know it leaves for the check."""
    if not isinstance(schema, dict):
        return schema
    schema = map_subschemas(schema, _modernise)
    _modernise_type(schema)
    if isinstance(schema.get("items"), list):  # up to draft 2019-09
        schema["prefixItems"] = schema.pop("items")
        if "additionalItems" in schema:
            schema["items"] = schema.pop("additionalItems")
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):  # draft 4, OpenAPI 3.0
        if isinstance(schema.get(exclusive), bool) and schema.pop(exclusive) and bound in schema:
            schema[exclusive] = schema.pop(bound)
    return _spell_out_nullable(schema)


def _modernise_type(schema: dict[str, Any]) -> None:
    kind = schema.get("type")
    kinds: list[Any] = kind if isinstance(kind, list) else [kind]
    if kind is not None and all(isinstance(one, str) and one.lower() in _DIALECT for one in kinds):
        mapped = [_DIALECT[one.lower()] for one in kinds]
        if None in mapped:
            del schema["type"]
        else:
            schema["type"] = list(dict.fromkeys(mapped)) if isinstance(kind, list) else mapped[0]
    elif kind is None:
        if "properties" in schema:
            schema["type"] = "object"
        elif "items" in schema or "prefixItems" in schema:
            schema["type"] = "array"


def _spell_out_nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """OpenAPI's `nullable: true` as a type."""
    if not isinstance(schema.get("nullable"), bool) or not schema.pop("nullable"):
        return schema
    kind = schema.get("type")
    if kind is None:
        notes = {key: schema.pop(key) for key in [*schema] if key in ANNOTATIONS}
        return {**notes, "anyOf": [schema, {"type": "null"}]} if schema else notes
    kinds = kind if isinstance(kind, list) else [kind]
    schema["type"] = kinds if "null" in kinds else [*kinds, "null"]
    if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]
    return schema


def _resolve_top(schema: dict[str, Any], owner: str) -> dict[str, Any]:
    """The parameters themselves must be readable without following a reference."""
    try:
        whole = inline(schema, schema)
    except Unmergeable as error:
        raise InvalidSchema(f"{owner}: parameters at #: '$ref' beside '{error.keyword}' cannot be merged") from None
    if isinstance(whole, bool):
        raise InvalidSchema(f"{owner}: parameters at # must be of type object, not {whole}")
    return dict(whole)


def _close(schema: Any, root: dict[str, Any], path: str, *, part: bool, top: bool = False) -> Any:
    """Merge `allOf`, order `required`, and close the objects. `part`: another schema describes the same value too."""
    if isinstance(schema, bool):
        return schema
    schema = _merge_all_of(schema, root)
    if isinstance(schema, bool):
        return schema
    lists = bool(schema.get("properties"))
    in_place = [key for key in (*IN_PLACE_LIST, *IN_PLACE_SINGLE, "dependentSchemas", "$ref") if key in schema]
    elsewhere = any(_lists_properties(schema[key]) for key in in_place)

    def visit(sub: Any, sub_path: str, key: str) -> Any:
        is_part = key in in_place and (part or key not in ("anyOf", "oneOf") or lists)
        return _close(sub, root, sub_path, part=is_part)

    schema = map_subschemas(schema, visit, path)
    names = schema.get("properties")
    if names is not None and "required" in schema:
        if not part:
            for name in schema["required"]:
                names.setdefault(name, {})
        schema["required"] = sorted(schema["required"], key=[*names, *schema["required"]].index)
    is_open = any(key in schema for key in ("additionalProperties", "patternProperties", "unevaluatedProperties"))
    if (lists or top) and not (is_open or part or elsewhere):
        schema["additionalProperties"] = False
    return schema


def _merge_all_of(schema: dict[str, Any], root: dict[str, Any]) -> Schema:
    """`allOf`, and a `$ref` with neighbours, as one schema; left as they are where no single schema says the same."""
    referred = "$ref" in schema and any(key not in ANNOTATIONS for key in schema if key != "$ref")
    if "allOf" not in schema and not referred:
        return schema
    try:
        whole = inline({key: value for key, value in schema.items() if key != "allOf"}, root)
        for member in schema.get("allOf", []):
            whole = inline(merge(whole, member, root), root)
    except Unmergeable:
        return schema
    return _merge_all_of(whole, root) if isinstance(whole, dict) and "allOf" in whole else whole


def _lists_properties(value: Any) -> bool:
    """Whether a schema (or one of a list or map of them) names properties of the same value."""
    if isinstance(value, list):
        return any(map(_lists_properties, value))
    if not isinstance(value, Mapping):
        return False
    return any(key in value for key in ("properties", "$ref")) or any(
        _lists_properties(value[key]) for key in IN_PLACE_LIST if key in value
    )
