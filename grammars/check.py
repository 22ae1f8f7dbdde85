"""What is wrong with a schema, before anybody reads values by it: one `InvalidSchema` that names the place.

The metaschema says what a keyword may hold. What it lets pass and no reader could follow is looked for here: references
that lead nowhere or in a circle, patterns that are none, numbers that JSON cannot say. Knows no dialect and no grammar.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError

from grammars.alternatives import TYPES
from grammars.errors import InvalidSchema
from grammars.pattern import BrokenPattern, PatternError, parse_pattern
from grammars.plain import is_plain
from grammars.pointer import UnresolvedRef, child, map_subschemas, resolve, same_value, walk

MAX_DEPTH = 64  # objects and lists within each other: whatever reads a schema goes down into it
MAX_REACH = 512  # schemas within each other, $ref followed: grammars are built and compiled by going down, too
MAX_READINGS = 4096  # schemas that look at one value, each time that one is led to: all may have to be tried

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
        raise InvalidSchema(f"{owner}: parameters at {child('#', *error.absolute_path)}: {_in_words(error)}") from None
    _check_parts(schema, schema, "#", owner)
    parts = list(walk(schema))
    if any("unevaluatedProperties" in part for part in parts) and any("patternProperties" in part for part in parts):
        raise InvalidSchema(
            f"{owner}: parameters with both patternProperties and unevaluatedProperties are not supported; "
            "write additionalProperties instead of the latter"
        )
    levels = _Following(lambda part: _within(part, schema), lambda after: 1 + max(after, default=0))
    if levels.of(schema) > MAX_REACH:
        raise InvalidSchema(
            f"{owner}: parameters hold each other, through $ref, in more than {MAX_REACH} levels; "
            "make the chain shorter"
        )
    readings = _readings(schema)
    for part in parts:
        readings.of(part)
    if readings.leads_back:
        raise InvalidSchema(f"{owner}: parameters have a $ref that leads back to itself for the same value")


def _in_words(error: SchemaError) -> str:
    """What to do about the slips that people make; else the library's words."""
    keyword, value = error.absolute_path[-1] if error.absolute_path else "", error.instance
    if value is None:
        return f"'{keyword}' is null; leave it out"
    if keyword == "type" and isinstance(value, str):
        return f"'{value}' is no JSON type; write one of {', '.join(TYPES)}, and what it means in a description"
    if keyword == "required" and isinstance(value, bool):
        return "'required' is a list of names, beside 'properties', and no property's own"
    return error.message


def check_readings(schema: dict[str, Any], owner: str) -> None:
    """Refuse a normalised schema that would have to be held against one value more often than there is time for."""
    if max(map(_readings(schema).of, walk(schema))) > MAX_READINGS:
        raise InvalidSchema(
            f"{owner}: parameters have alternatives of alternatives, through $ref, more than {MAX_READINGS:,} for one "
            "value; write fewer"
        )


def _readings(schema: dict[str, Any]) -> _Following:
    return _Following(lambda part: same_value(part, schema), lambda after: 1 + sum(after))


class _Following:
    """A number for each schema, joined from the numbers of those that follow it; where they lead back, of the others.

    Without recursion, which is what many levels make impossible.
    """

    def __init__(
        self,
        following: Callable[[Mapping[str, Any]], Iterator[Any]],
        join: Callable[[Sequence[int]], int],
    ) -> None:
        self._following, self._join = following, join
        self._known: dict[int, int] = {}
        self.leads_back = False

    def of(self, start: Mapping[str, Any]) -> int:
        if id(start) not in self._known:
            self._go_down(start)
        return self._known[id(start)]

    def _go_down(self, start: Mapping[str, Any]) -> None:
        after = self._after(start)
        path = [(start, after, iter(after))]
        above = {id(start)}
        while path:
            part, after, left = path[-1]
            sub = next((each for each in left if id(each) not in self._known), None)
            if sub is None:
                path.pop()
                above.discard(id(part))
                self._known[id(part)] = self._join([self._known.get(id(each), 0) for each in after])
            elif id(sub) in above:
                self.leads_back = True
            else:
                after = self._after(sub)
                path.append((sub, after, iter(after)))
                above.add(id(sub))

    def _after(self, part: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        return [sub for sub in self._following(part) if isinstance(sub, Mapping)]


def _within(part: Mapping[str, Any], root: dict[str, Any]) -> Iterator[Any]:
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
