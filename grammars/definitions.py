"""Every schema that a `$ref` points to, as a definition: a copy of what its author wrote there.

Normalisation rewrites schemas and the keywords that they stand under, so that a path through them may lead elsewhere
afterwards, or nowhere; and under keywords that it does not know (OpenAPI's `components`) it reads nothing. A
definition keeps its place and is read as everything else is. Knows where schemas are, and not what they mean.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import unquote

from grammars.pointer import UnresolvedRef, map_subschemas, resolve

_KEEPS_ITS_PLACE = re.compile(r"#|#/(\$defs|definitions)/[^/%]*")


def with_definitions(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema whose references all point to it or to one of its definitions, but for those that point to no schema."""
    definitions = schema.get("$defs", {})
    if not isinstance(definitions, Mapping):
        return schema
    names: dict[str, str] = {}
    pending: list[str] = []

    def renamed(part: Any, _path: str = "#", _key: str = "") -> Any:
        if not isinstance(part, Mapping):
            return part
        part = map_subschemas(part, renamed)
        ref = part.get("$ref")
        if isinstance(ref, str) and not _KEEPS_ITS_PLACE.fullmatch(ref) and _points_to_a_schema(ref, schema):
            if ref not in names:
                names[ref] = free_name(unquote(ref), {*definitions, *names.values()})
                pending.append(ref)
            part["$ref"] = f"#/$defs/{names[ref]}"
        return part

    whole: dict[str, Any] = renamed(schema)
    copies = {names[ref]: renamed(resolve(ref, schema)) for ref in pending}  # which grows
    return {**whole, "$defs": {**whole.get("$defs", {}), **copies}} if copies else schema


def free_name(text: str, taken: Collection[str]) -> str:
    """A name for a definition made from a text, with a number behind it where it is taken."""
    name = re.sub(r"\W+", "_", text).strip("_") or "part"
    return next(one for one in (name, *(f"{name}_{number}" for number in range(2, len(taken) + 3))) if one not in taken)


def _points_to_a_schema(ref: str, root: Mapping[str, Any]) -> bool:
    try:
        return isinstance(resolve(ref, root), Mapping | bool)
    except UnresolvedRef:
        return False
