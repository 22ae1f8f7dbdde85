"""What is wrong with a schema, before anybody reads values by it: one `InvalidSchema` that names the place.

The metaschema says what a keyword may hold. What it lets pass and no reader could follow is looked for here: references
that lead nowhere or in a circle, patterns that are none, numbers that JSON cannot say. Knows no dialect and no grammar.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError

from grammars.errors import InvalidSchema
from grammars.pattern import BrokenPattern, PatternError, parse_pattern
from grammars.plain import is_plain
from grammars.pointer import UnresolvedRef, child, map_subschemas, resolve, same_value, walk

MAX_DEPTH = 64  # objects and lists within each other: whatever reads a schema goes down into it
MAX_REACH = 512  # schemas within each other, $ref followed: grammars are built and compiled by going down, too

# The library would judge a `pattern` by Python's `re`, which reads another language.
_NAMED = ("$defs", "definitions")
_NO_FORMATS = FormatChecker(formats=())


def check_values(given: Mapping[str, Any], owner: str) -> None:
    """Refuse what is too deep, and numbers that JSON cannot say; for any value, whatever is wrong with it otherwise.

    Level by level, because recursion is what a deep value makes impossible.
    """
    level: list[tuple[tuple[Any, ...], Any]] = [((), given)]
    for _ in range(MAX_DEPTH):
        inside = [((*steps, step), value) for steps, outer in level for step, value in _items(outer)]
        level = []
        for steps, value in inside:
            if isinstance(value, dict | list | tuple | Mapping):
                level.append((steps, value))
            elif isinstance(value, float) and not math.isfinite(value):
                path = child("#", *steps)
                raise InvalidSchema(f"{owner}: parameters at {path}: the number is out of range; give a finite one")
        if not level:
            return
    raise InvalidSchema(
        f"{owner}: parameters are nested too deeply, more than {MAX_DEPTH} levels; "
        "give inner parts a name under $defs and refer to them with $ref"
    )


def _items(outer: Any) -> Iterator[tuple[Any, Any]]:
    return iter(outer.items()) if isinstance(outer, Mapping) else enumerate(outer)


def check_schema(schema: dict[str, Any], owner: str) -> None:
    """Refuse a schema, in today's words, that is not valid or cannot be followed."""
    try:
        if not is_plain(schema):
            Draft202012Validator.check_schema(schema, format_checker=_NO_FORMATS)
    except SchemaError as error:
        raise InvalidSchema(f"{owner}: parameters at {child('#', *error.absolute_path)}: {error.message}") from None
    _check_parts(schema, schema, "#", owner)
    if _reach(schema) > MAX_REACH:
        raise InvalidSchema(
            f"{owner}: parameters hold each other, through $ref, in more than {MAX_REACH} levels; "
            "make the chain shorter"
        )
    parts = list(walk(schema))
    if any("unevaluatedProperties" in part for part in parts) and any("patternProperties" in part for part in parts):
        raise InvalidSchema(
            f"{owner}: parameters with both patternProperties and unevaluatedProperties are not supported; "
            "write additionalProperties instead of the latter"
        )
    done: set[int] = set()
    if any(_leads_back(part, schema, frozenset(), done) for part in parts):
        raise InvalidSchema(f"{owner}: parameters have a $ref that leads back to itself for the same value")


def _leads_back(part: Any, root: dict[str, Any], above: frozenset[int], done: set[int]) -> bool:
    """Whether reading a value by this schema would never end. `done`: schemas known not to."""
    if not isinstance(part, Mapping) or id(part) in done:
        return False
    if id(part) in above:
        return True
    if any(_leads_back(sub, root, above | {id(part)}, done) for sub in same_value(part, root)):
        return True
    done.add(id(part))
    return False


def _reach(root: dict[str, Any]) -> int:
    """How many schemas lead on from one to the next at most, with no regard to those that lead back.

    Without recursion, which is what many levels make impossible.
    """
    known: dict[int, int] = {}
    open_: list[tuple[Mapping[str, Any], Iterator[Any]]] = [(root, _next(root, root))]
    above = {id(root)}
    while open_:
        part, following = open_[-1]
        if (sub := next(following, None)) is None:
            open_.pop()
            above.discard(id(part))
            known[id(part)] = 1 + max((known.get(id(each), 0) for each in _next(part, root)), default=0)
        elif isinstance(sub, Mapping) and id(sub) not in known and id(sub) not in above:
            open_.append((sub, _next(sub, root)))
            above.add(id(sub))
    return known[id(root)]


def _next(part: Mapping[str, Any], root: dict[str, Any]) -> Iterator[Any]:
    """What a reader of this schema goes on with. What only has a name yet waits for a $ref."""
    found: list[Any] = [resolve(part["$ref"], root)] if "$ref" in part else []

    def visit(sub: Any, _path: str, key: str) -> Any:
        if key not in _NAMED:
            found.append(sub)
        return sub

    map_subschemas(part, visit)
    return iter(found)


def _check_parts(schema: Any, root: dict[str, Any], path: str, owner: str) -> None:
    if isinstance(schema, bool):
        return
    _check_ref(schema, root, path, owner)
    if "pattern" in schema:
        _check_pattern(schema["pattern"], child(path, "pattern"), owner)
    for pattern in schema.get("patternProperties", ()):
        _check_pattern(pattern, child(path, "patternProperties"), owner)

    def visit(sub: Any, sub_path: str, _key: str) -> Any:
        _check_parts(sub, root, sub_path, owner)
        return sub

    map_subschemas(schema, visit, path)


def _check_ref(schema: Mapping[str, Any], root: dict[str, Any], path: str, owner: str) -> None:
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


def _check_pattern(pattern: str, path: str, owner: str) -> None:
    """What is a pattern and only not ours to read stays: no value is held against it, and no grammar is made of it."""
    try:
        parse_pattern(pattern)
    except BrokenPattern as error:
        raise InvalidSchema(f"{owner}: parameters at {path}: {pattern!r} is no regular expression: {error}") from None
    except PatternError:
        return
