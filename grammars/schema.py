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

from grammars.check import check_readings, check_schema, check_values
from grammars.closing import closed
from grammars.definitions import with_definitions
from grammars.errors import InvalidSchema
from grammars.merge import ASSERTIONS, Unmergeable, inline
from grammars.plainer import plainer
from grammars.pointer import map_subschemas
from grammars.tags import require_tags

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


SPELLINGS = ("parameters", "inputSchema", "input_schema")  # of the key that describes the arguments
_NO_ARGUMENTS = ("annotations", "outputSchema", "output_schema", "_meta", "execution", "response", "returns")
_NOTES = ("cache_control", "metadata")  # of those who send the tool
_SAYS_WHAT_IT_HOLDS = frozenset(
    ("properties", "$ref", "allOf", "anyOf", "oneOf", "if", "not", "dependentSchemas", "unevaluatedProperties")
)
_KEYWORDS = ASSERTIONS | {
    *("$comment", "$defs", "$id", "$schema", "contentEncoding", "contentMediaType", "contentSchema", "default"),
    *("definitions", "deprecated", "description", "example", "examples", "readOnly", "title", "writeOnly"),
    *("components", "discriminator", "externalDocs", "xml"),
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
    given = [inner[key] for key in SPELLINGS if inner.get(key) is not None]
    if not given:
        _refuse_elsewhere(inner, f"tool '{name}'")
    written = given[0] if given else {}
    return ToolSchema(name, description, normalise_parameters(written, f"tool '{name}'"), written)


def _refuse_elsewhere(tool: Mapping[str, Any], owner: str) -> None:
    """Arguments under a key of another library would otherwise be a tool without any."""
    for key, value in tool.items():
        is_known = key in _NO_ARGUMENTS or key in _NOTES or key.startswith("x-")
        if isinstance(value, Mapping) and not is_known and _describes_values(value):
            raise InvalidSchema(
                f"{owner}: its arguments stand under '{key}'; write their JSON Schema under 'parameters'"
            )


def _describes_values(given: Mapping[str, Any]) -> bool:
    """Whether it looks like a schema, or like schemas or names of types under the names of arguments."""
    return bool(given.keys() & _SAYS_WHAT_IT_HOLDS) or any(
        bool(value.keys() & _KEYWORDS) if isinstance(value, Mapping) else isinstance(value, str) and value in _DIALECT
        for value in given.values()
    )


def _refuse_flat(parameters: Mapping[str, Any], owner: str) -> None:
    """Names of arguments where keywords belong would otherwise be read as annotations."""
    if parameters.keys() & _SAYS_WHAT_IT_HOLDS:
        return
    for key, value in parameters.items():
        if isinstance(value, Mapping) and key not in _KEYWORDS and not key.startswith("x-"):
            raise InvalidSchema(
                f"{owner}: parameters hold '{key}', which is no keyword of JSON Schema; write "
                '{"type": "object", "properties": {...}} around the arguments'
            )


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
    check_values(given, owner)
    _refuse_flat(given, owner)
    modern = _modernise(with_definitions(copy.deepcopy(dict(given))))
    modern.pop("$schema", None)
    modern = _without_ids(modern)
    check_schema(modern, owner)
    require_tags(modern)
    whole = _resolve_top(modern, owner)
    kind = whole.setdefault("type", "object")
    if kind != "object":
        raise InvalidSchema(f"{owner}: parameters at # must be of type object, not {kind!r}")
    whole.setdefault("properties", {})
    result = plainer(closed(whole, owner))
    if isinstance(result, bool):
        raise InvalidSchema(f"{owner}: parameters at # contradict themselves; no arguments can satisfy them")
    result.setdefault("required", [])
    check_readings(result, owner)
    return dict(result)


def modernise(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The same schema in today's words, neither checked nor closed: for prompts that show it."""
    modern: dict[str, Any] = _modernise(copy.deepcopy(dict(parameters)))
    return modern


def _without_ids(schema: Any, _path: str = "#", _key: str = "") -> Any:
    """Every `$ref` is read from the root: a part with an `$id` of its own would be a document of its own."""
    if not isinstance(schema, dict):
        return schema
    return {key: value for key, value in map_subschemas(schema, _without_ids).items() if key != "$id"}


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
        notes = {key: schema.pop(key) for key in [*schema] if key not in ASSERTIONS}
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
