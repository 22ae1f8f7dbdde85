"""Objects that list their properties, closed: `additionalProperties: false` where they do not say otherwise.

What several schemas say of one value is merged first. Where that cannot be, each of them is left open, because each
would forbid what another one lists; a definition that such a schema refers to has a second version for it. Knows no
dialect and no grammar.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from grammars.alternatives import is_reference
from grammars.definitions import free_name
from grammars.errors import InvalidSchema
from grammars.merge import ASSERTIONS, Unmergeable, inline, merge
from grammars.pointer import IN_PLACE_LIST, IN_PLACE_SINGLE, Schema, map_subschemas, resolve, same_value, walk

_DESCRIBING = ("$ref", *IN_PLACE_LIST)
_IN_PLACE = (*_DESCRIBING, *IN_PLACE_SINGLE, "dependentSchemas")


def closed(schema: dict[str, Any], owner: str) -> Schema:
    """A checked schema with `allOf` merged, `required` in order and its objects closed; `owner` begins the messages."""
    return _Closing(schema, owner).document()


class _Closing:
    def __init__(self, root: dict[str, Any], owner: str) -> None:
        self.root, self.owner = root, owner
        self.open_names: dict[str, str] = {}  # of the versions that are left open, by the reference to the closed one
        self.pending: list[str] = []

    def document(self) -> Schema:
        whole: Schema = self.close(self.root, "#", part=False, top=True)
        while isinstance(whole, dict) and self.pending:
            ref = self.pending.pop()
            target = resolve(ref, self.root)
            target = {key: value for key, value in target.items() if key not in ("$defs", "definitions")}
            whole["$defs"] = {**whole.get("$defs", {}), self.open_names[ref]: self.close(target, ref, part=True)}
        return whole

    def close(
        self, schema: Any, path: str, *, part: bool, top: bool = False, above: tuple[tuple[Any, str], ...] = ()
    ) -> Any:
        """`part`: another schema describes the same value too. `above`: what was merged to get here, and where."""
        if isinstance(schema, bool):
            return schema
        schema = schema if part else _without_wrapping(schema, self.root)
        if _has_to_be_merged(schema):
            self.refuse_endless(schema, above)
            above = (*above, (schema, path))
            schema = _merged(schema, self.root)
            if isinstance(schema, bool):
                return schema
        lists = bool(schema.get("properties"))
        elsewhere = self.lists_properties(same_value(schema, self.root))
        parts = [key for key in _IN_PLACE if key in schema and (part or lists or self.is_part(key, schema))]

        def visit(sub: Any, sub_path: str, key: str) -> Any:
            return self.close(sub, sub_path, part=key in parts, above=above)

        schema = map_subschemas(schema, visit, path)
        if "$ref" in schema and (part or not is_reference(schema)):
            schema["$ref"] = self.left_open(schema["$ref"])
        if "anyOf" in schema:
            schema["anyOf"] = _without_repeated_references(schema["anyOf"])
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

    def is_part(self, key: str, schema: dict[str, Any]) -> bool:
        """Whether what stands under an in-place keyword is never the whole description of a value.

        An alternative is, unless something beside it lists properties too.
        """
        if key not in ("anyOf", "oneOf"):
            return True
        beside = {other: schema[other] for other in _DESCRIBING if other in schema and other != key}
        return self.lists_properties(same_value(beside, self.root))

    def lists_properties(self, schemas: Iterable[Any]) -> bool:
        """Whether one of the schemas, or one that looks at the same value as it does, lists properties."""
        seen: set[int] = set()
        left = list(schemas)
        while left:
            schema = left.pop()
            if isinstance(schema, Mapping) and id(schema) not in seen:
                if "properties" in schema:
                    return True
                seen.add(id(schema))
                left += same_value(schema, self.root)
        return False

    def left_open(self, ref: str) -> str:
        """A reference to the same definition as a part, closed by nobody; the same reference where that is the same."""
        if not self.lists_properties([resolve(ref, self.root)]):
            return ref
        if ref not in self.open_names:
            taken = {*self.root.get("$defs", {}), *self.open_names.values()}
            self.open_names[ref] = free_name(f"{ref.rpartition('/')[2]}_open", taken)
            self.pending.append(ref)
        return f"#/$defs/{self.open_names[ref]}"

    def refuse_endless(self, schema: dict[str, Any], above: tuple[tuple[Any, str], ...]) -> None:
        for merged, path in above:
            if merged == schema:
                raise InvalidSchema(
                    f"{self.owner}: parameters at {path}: an allOf, or a $ref beside other keywords, leads back to "
                    "itself and cannot be merged; write the $ref alone"
                )


def _without_repeated_references(branches: list[Schema]) -> list[Schema]:
    """In a chain of schemas that name the next one twice, every reading would double with each of them."""
    seen: set[str] = set()
    found = []
    for branch in branches:
        name = branch["$ref"] if isinstance(branch, dict) and is_reference(branch) else None
        if name is None or name not in seen:
            found.append(branch)
        seen |= {name} if name else set()
    return found


def _without_wrapping(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """A `$ref` on its own in an `allOf`, as older tools write it to describe it, as that `$ref` if it holds itself.

    Merged, it would have no end.
    """
    members = schema.get("allOf", ())
    if len(members) != 1 or not is_reference(members[0]) or schema.keys() & ASSERTIONS != {"allOf"}:
        return schema
    if not _holds_itself(members[0]["$ref"], root):
        return schema
    return {**members[0], **{key: value for key, value in schema.items() if key != "allOf"}}


def _holds_itself(name: str, root: dict[str, Any]) -> bool:
    """Whether the schema that a reference points to holds the same reference, at any depth."""
    seen, names = {name}, [name]
    while names:
        for part in walk(resolve(names.pop(), root)):
            other = part.get("$ref")
            if other == name:
                return True
            if other is not None and other not in seen:
                seen.add(other)
                names.append(other)
    return False


def _has_to_be_merged(schema: dict[str, Any]) -> bool:
    return "allOf" in schema or ("$ref" in schema and not is_reference(schema))


def _merged(schema: dict[str, Any], root: dict[str, Any]) -> Schema:
    """`allOf`, and a `$ref` with neighbours, as one schema; left as they are where no single schema says the same."""
    try:
        whole = inline({key: value for key, value in schema.items() if key != "allOf"}, root)
        for member in schema.get("allOf", []):
            whole = inline(merge(whole, member, root), root)
    except Unmergeable:
        return schema
    return _merged(whole, root) if isinstance(whole, dict) and "allOf" in whole else whole
