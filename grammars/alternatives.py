"""A schema as a choice of flat ones: references, `allOf`, `anyOf` and `oneOf` worked into each alternative.

Knows no backend; `Unmergeable` says which keyword stands in the way.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from grammars.merge import ASSERTIONS, Unmergeable, inline, merge, same
from grammars.pointer import IN_PLACE_LIST, Schema, child

MAX_ALTERNATIVES = 256
MAX_DEPTH = 64

_COMBINING = frozenset(IN_PLACE_LIST)
TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")


def is_reference(schema: Schema) -> bool:
    """Whether a schema is a `$ref` and asserts nothing more."""
    return isinstance(schema, dict) and schema.keys() & ASSERTIONS == {"$ref"}


def alternatives(
    schema: Schema, root: Any, path: str = "#", *, exactly: bool = True, depth: int = 0
) -> Iterator[tuple[Schema, str]]:
    """Flat schemas, or plain references, of which a valid value satisfies at least one; each with its path.

    `exactly`: and what satisfies one of them is valid. A `oneOf` whose branches may overlap is then refused.
    """
    if depth > MAX_DEPTH:
        raise Unmergeable("$ref", f"more than {MAX_DEPTH} levels deep")
    if isinstance(schema, bool) or is_reference(schema):
        yield schema, path
        return
    schema = inline(schema, root)
    key = next((key for key in ("allOf", "oneOf", "anyOf") if isinstance(schema, dict) and key in schema), None)
    if isinstance(schema, bool) or key is None:
        yield schema, path
        return
    rest: Schema = {name: value for name, value in schema.items() if name != key and name in ASSERTIONS}
    if key == "allOf":
        for member in schema[key]:
            rest = merge(rest, member, root)
        yield from alternatives(rest, root, path, exactly=exactly, depth=depth + 1)
        return
    if len(schema[key]) > MAX_ALTERNATIVES:
        raise Unmergeable(key, f"more than {MAX_ALTERNATIVES} alternatives")
    branches = [merge(rest, member, root) for member in schema[key]]
    if key == "oneOf" and exactly:
        _check_apart(branches, root)
    for index, branch in enumerate(branches):
        yield from alternatives(branch, root, child(path, key, index), exactly=exactly, depth=depth + 1)


def _check_apart(branches: list[Schema], root: Any) -> None:
    apart = _Apart(root)
    for index, branch in enumerate(branches):
        if not all(apart.are(branch, other) for other in branches[index + 1 :]):
            raise Unmergeable("oneOf", "two of its branches may accept the same value; write anyOf")


class _Apart:
    """Of which schemas it is plain that no value satisfies both: other types, constants, or a property that tells.

    Many pairs may lead to the same one, and a pair to itself. So each is looked into once in a round, and taken not to
    be apart while that goes on; with what a round has proved, the next one may prove more.
    """

    def __init__(self, root: Any) -> None:
        self.root = root
        self.proved: set[tuple[str, str]] = set()
        self.asked: dict[tuple[str, str], int] = {}  # in this round, and how deep in a value

    def are(self, a: Schema, b: Schema) -> bool:
        n_proved = -1
        while n_proved < len(self.proved):
            n_proved = len(self.proved)
            self.asked = {}
            if self.ask(a, b, 0):
                return True
        return False

    def ask(self, a: Schema, b: Schema, depth: int) -> bool:
        pair = json.dumps(a), json.dumps(b)
        if pair in self.proved:
            return True
        if depth >= self.asked.get(pair, MAX_DEPTH):
            return False
        self.asked[pair] = depth
        flat = [[inline(one, self.root) for one, _ in self.alternatives(schema)] for schema in (a, b)]
        if all(self.ask_flat(one, other, depth) for one in flat[0] for other in flat[1]):
            self.proved.add(pair)
        return pair in self.proved

    def alternatives(self, schema: Schema) -> Iterator[tuple[Schema, str]]:
        return alternatives(schema, self.root, exactly=False)

    def ask_flat(self, a: Schema, b: Schema, depth: int) -> bool:
        if a is False or b is False:
            return True
        if a is True or b is True:
            return False
        if not _COMBINING.isdisjoint((*a, *b)):  # what a reference led to
            return self.ask(a, b, depth)
        shared = _kinds(a) & _kinds(b)
        if not shared:
            return True
        values, others = _values(a), _values(b)
        if values is not None and others is not None:
            return not any(same(x, y) for x in values for y in others)
        if shared != {"object"}:
            return False
        mine, theirs = a.get("properties", {}), b.get("properties", {})
        needed = [name for name in a.get("required", []) if name in b.get("required", [])]
        told = (name for name in needed if name in mine and name in theirs)
        return (
            _has_no_place_for(a.get("required", []), b)
            or _has_no_place_for(b.get("required", []), a)
            or any(self.ask(mine[name], theirs[name], depth + 1) for name in told)
        )


def _has_no_place_for(names: Iterable[str], schema: dict[str, Any]) -> bool:
    """Whether one of the names is none that an object of this schema may have."""
    is_closed = schema.get("additionalProperties") is False and "patternProperties" not in schema
    return is_closed and any(name not in schema.get("properties", {}) for name in names)


def _kinds(schema: dict[str, Any]) -> set[str]:
    values = _values(schema)
    if values is not None:
        return {_kind(value) for value in values}
    given = schema.get("type", TYPES)
    kinds = {given} if isinstance(given, str) else set(given)
    return kinds | {"integer"} if "number" in kinds else kinds


def _values(schema: dict[str, Any]) -> list[Any] | None:
    return schema.get("enum", [schema["const"]] if "const" in schema else None)


def _kind(value: Any) -> str:
    if isinstance(value, float):
        return "integer" if value.is_integer() else "number"
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", type(None): "null"}
    return names[type(value)]
