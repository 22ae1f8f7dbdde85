"""OpenAPI's `discriminator`: the property that tells the branches of a union apart.

pydantic writes a tag with its default, and so not as required; yet it never reads a union without it. Outside of the
union the tag stays as its author wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grammars.alternatives import is_reference
from grammars.definitions import free_name
from grammars.pointer import Schema, resolve, walk

_UNIONS = ("oneOf", "anyOf")


def require_tags(root: dict[str, Any]) -> None:
    """Have every branch of a union require its tag, in a version of its own where it is a definition."""
    tags = _Tags(root)
    pending: list[Any] = [root]
    for schema in pending:  # which grows
        for part in reversed(list(walk(schema))):  # what stands in a union comes first
            tag = part["discriminator"].get("propertyName") if isinstance(part.get("discriminator"), Mapping) else None
            if isinstance(tag, str):
                assert isinstance(part, dict)
                part.update(tags.in_branches(part, tag))
        pending += tags.made
        tags.made = []


class _Tags:
    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root
        self.names: dict[tuple[str, str], str] = {}  # of the versions, by the reference to the original and the tag
        self.made: list[Any] = []

    def in_branches(self, union: Mapping[str, Any], tag: str) -> dict[str, Any]:
        return {key: [self.required(one, tag) for one in union[key]] for key in _UNIONS if key in union}

    def required(self, schema: Schema, tag: str) -> Schema:
        """The schema with its tag required, or that of each branch where it is a union itself; else as it is."""
        if isinstance(schema, bool):
            return schema
        if is_reference(schema):
            return {**schema, "$ref": self.version(schema["$ref"], tag)}
        schema = {**schema, **self.in_branches(schema, tag)}
        needed = schema.get("required", [])
        if tag in schema.get("properties", {}) and tag not in needed:
            schema["required"] = [*needed, tag]
        return schema

    def version(self, ref: str, tag: str) -> str:
        """A reference to the same definition with its tag required; the same one where it is."""
        if (ref, tag) not in self.names:
            self.names[ref, tag] = ref
            original = _by_itself(resolve(ref, self.root))
            version = self.required(original, tag)
            if version != original:
                name = free_name(f"{ref.rpartition('/')[2]}_{tag}", self.root.setdefault("$defs", {}))
                self.root["$defs"][name] = version
                self.names[ref, tag] = f"#/$defs/{name}"
                self.made.append(version)
        return self.names[ref, tag]


def _by_itself(schema: Schema) -> Schema:
    """Without the definitions beside it, which may be the root's."""
    if isinstance(schema, bool):
        return schema
    return {key: value for key, value in schema.items() if key not in ("$defs", "definitions")}
