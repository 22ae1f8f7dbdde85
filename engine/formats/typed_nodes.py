"""What the arguments of a tool look like as bare text: the grammar's side of `engine.formats.typed`.

    for parameters in parameter_lists(tool, names, "qwen_xml"):
        for parameter in parameters:
            value_node(parameter, notation)

A text is valid here exactly where `typed` reads a valid value from it. Knows no tags but the text that ends a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.errors import ConstraintError, UnsupportedSchema
from engine.formats.tags import can_write, one_of
from engine.formats.typed import Notation, flat_kinds, flat_schemas, kinds_of
from engine.types import Tool
from grammars.any_order import any_order
from grammars.merge import Unmergeable
from grammars.nodes import Json, Literal, Node, RawString
from grammars.pointer import Schema, map_subschemas
from grammars.validation import validator

_OF_STRINGS = frozenset({"minLength", "maxLength", "pattern", "format", "enum", "const", "not", "if"})
_REFUSED = (
    *("enum", "const", "not", "if", "patternProperties", "propertyNames", "unevaluatedProperties"),
    *("dependentRequired", "dependentSchemas", "dependencies"),
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a tool; `root` is the document that the schema's references point into."""

    name: str
    schema: Schema
    is_required: bool
    tool: str
    root: Mapping[str, Any]


def parameter_lists(tool: Tool, names: re.Pattern[str], format_id: str) -> list[list[Parameter]]:
    """The parameters in the schema's order, once for each alternative of the whole; raises `UnsupportedSchema`.

    One whose name is not of the pattern `names` cannot be written, and is left out.
    """
    with UnsupportedSchema.named(tool.name):
        try:
            branches = list(flat_schemas(dict(tool.parameters), tool.parameters, exactly=True))
        except Unmergeable as error:
            raise UnsupportedSchema(format_id, error.keyword, "#", error.reason) from None
        lists = [_parameters(branch, tool, names, format_id) for branch in branches if isinstance(branch, dict)]
    found = [one for one in lists if one is not None]
    if not found:
        raise ConstraintError(f"no arguments of the tool '{tool.name}' can satisfy its schema")
    return found


def _parameters(branch: dict[str, Any], tool: Tool, names: re.Pattern[str], format_id: str) -> list[Parameter] | None:
    """None: nothing satisfies this alternative."""
    required = branch.get("required", [])
    others = branch.get("additionalProperties", True)
    schemas: dict[str, Schema] = dict(branch.get("properties", {}))
    for name in required:
        schemas.setdefault(name, others)
    for key in _REFUSED:
        if branch.get(key, True) not in (True, {}):
            raise UnsupportedSchema(format_id, key, "#", "of the arguments as a whole")
    if branch.get("minProperties", 0) > len(required):
        raise UnsupportedSchema(format_id, "minProperties", "#", "of the arguments as a whole")
    if branch.get("maxProperties", len(schemas)) < len(schemas):
        raise UnsupportedSchema(format_id, "maxProperties", "#", "of the arguments as a whole")
    found = []
    for name, schema in schemas.items():
        if can_write(name, names) and kinds_of(schema, tool.parameters):
            found.append(Parameter(name, schema, name in required, tool.name, tool.parameters))
        elif name in required and kinds_of(schema, tool.parameters):
            raise UnsupportedSchema(format_id, "required", "#", f"the name {name!r} cannot stand between tags")
        elif name in required:
            return None
    return found


def arguments_node(parameters: Sequence[Parameter], node_of: Callable[[Parameter], Node]) -> Node:
    """What `node_of` makes of each parameter, in any order: models have one of their own (docs/decisions/0019)."""
    return any_order(tuple(map(node_of, parameters)), tuple(one.is_required for one in parameters))


def value_node(parameter: Parameter, notation: Notation) -> Node:
    """The texts of the parameter's valid values, to be followed by what ends a value."""
    kinds = kinds_of(parameter.schema, parameter.root)
    tag = notation.tag if notation.lead else ""  # without a lead it is all of the close
    if kinds == {"string"}:
        return string_node(parameter, notation.close, tag, notation.opening)
    if _takes_any_string(parameter):  # every text is one, or a valid value of another type
        return RawString({"type": "string"}, notation.close, _owner(parameter), tag, (notation.opening,))
    check = validator(parameter.root).evolve(schema=parameter.schema)
    words = (Literal(word) for word, value in notation.words.items() if check.is_valid(value))
    strings = (string_node(parameter, notation.close, tag, notation.opening),) if "string" in kinds else ()
    return one_of((*strings, json_node(parameter), *words))


def _takes_any_string(parameter: Parameter) -> bool:
    try:
        flats = list(flat_schemas(parameter.schema, parameter.root, exactly=True))
    except Unmergeable:
        return False
    return any(
        isinstance(flat, bool) or not _OF_STRINGS & flat.keys() for flat in flats if "string" in flat_kinds(flat)
    )


def string_node(parameter: Parameter, until: str, tag: str, opening: str) -> RawString:
    """The strings among the values, bare; `opening` begins another value, and is in none."""
    return RawString(_standalone(parameter.schema, parameter.root), until, _owner(parameter), tag, (opening,))


def json_node(parameter: Parameter) -> Json:
    """The values that are no strings, as JSON."""
    kinds = kinds_of(parameter.schema, parameter.root)
    schema = parameter.schema
    if "string" in kinds:
        schema = {"allOf": [schema, {"type": sorted(kinds - {"string"})}]}
    return Json(_standalone(schema, parameter.root), _owner(parameter))


def _owner(parameter: Parameter) -> str:
    return f"{parameter.tool}.{parameter.name}"


def _standalone(schema: Schema, root: Mapping[str, Any]) -> dict[str, Any]:
    """A schema that accepts something, with the document that its references point into within it."""
    whole = dict(schema) if isinstance(schema, dict) else {}
    if not _refers(whole):
        return whole
    return {**_moved(whole), "$defs": {"tool": _moved(dict(root))}}


def _refers(schema: Any) -> bool:
    found = False

    def visit(sub: Any, _path: str, _key: str) -> Any:
        nonlocal found
        found = found or _refers(sub)
        return sub

    if isinstance(schema, Mapping):
        map_subschemas(schema, visit)
        found = found or "$ref" in schema
    return found


def _moved(schema: Any, _path: str = "", _key: str = "") -> Any:
    """With references into a document that now stands below `$defs`."""
    if not isinstance(schema, Mapping):
        return schema
    moved = map_subschemas(schema, _moved)
    if "$ref" in moved:
        moved["$ref"] = "#/$defs/tool" + moved["$ref"].removeprefix("#")
    return moved
