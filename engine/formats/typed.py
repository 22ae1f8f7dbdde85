"""Bare text and typed values: what the formats need that write arguments without quotes, told apart by the schema.

    <parameter=days>2</parameter>

is the number 2 where the tool's schema says integer and the text "2" where it says string. The rules, in this order:

- A schema that takes strings only, and a parameter that the tool does not have: the text itself.
- A schema that takes no strings: the JSON value that the text is. A text that is none stays a string, so that the call
  is there and the schema's verdict names the wrong type.
- A schema that takes both, or says nothing of types: the JSON value, unless it is a string, if the schema accepts it;
  otherwise the text itself.

A text ends with its closing tag. Where another value is opened first, at the beginning of a line if the notation has
lines, that tag was forgotten, and the value is none: it would swallow all up to the closing tag of the other one.

Knows no tags but those that open and end a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.formats.blocks import ends_inside
from engine.formats.protocol import CannotCarry
from engine.formats.strict import WHITE_SPACE, Broken, Value, read, skip
from engine.types import Call, Tool
from grammars.alternatives import TYPES, alternatives, is_reference
from grammars.canonical import arranged, dumps
from grammars.merge import Unmergeable, same
from grammars.pointer import Schema, resolve
from grammars.validation import validator

MAX_REFERENCES = 256  # that one value may be an instance of
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_NAMES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "number", float: "number"}


@dataclass(frozen=True, slots=True)
class Notation:
    """How a family writes a value between its tags: `lead`, the text, `close`, which is `lead` again and a tag.

    `opening` is what begins another value, or its name. `words` are spellings beside JSON's own: Jinja's `string`
    filter writes Python's. `onward`: what follows a value; a tag that stands before one of these ends a text although
    it stands in the text's own line.
    """

    close: str
    opening: str
    lead: str = ""
    words: Mapping[str, bool | None] = field(default_factory=dict)
    onward: tuple[str, ...] = ()

    @property
    def tag(self) -> str:
        return self.close.removeprefix(self.lead)

    def word(self, value: bool | None) -> str:
        """How `true`, `false` or `null` is written."""
        return next((text for text, meaning in self.words.items() if meaning is value), dumps(value))


class TypedArguments:
    """The arguments of one tool as texts; `tool` None: one that nobody offered, all of whose arguments are strings."""

    def __init__(self, tool: Tool | None, notation: Notation) -> None:
        self._root: Mapping[str, Any] = {"additionalProperties": False} if tool is None else tool.parameters
        self._notation = notation
        self._known: dict[str, tuple[Schema | None, frozenset[str]]] = {}

    def read(self, name: str, text: str, start: int) -> Value | Broken:
        """The value of the parameter `name` whose text begins at `start`, and where its closing text ends.

        Broken only where the text ends before the value does, or another value begins. A JSON value may contain tags in
        its strings, and needs no lead before the closing one; any other text ends with the first tag that is its own.
        """
        tag, lead = self._notation.tag, self._notation.lead
        in_one_line = not text.startswith(lead, start)
        begin = start if in_one_line else start + len(lead)
        kinds = self._schema(name)[1]
        only_json = bool(kinds) and "string" not in kinds
        if only_json:
            match read_json(text, begin, tag):
                case Value() as value:
                    return value
                case Broken(unfinished=True) as broken:
                    return broken
        place = text.find(tag, start) if in_one_line or only_json else self._tag_of_text(text, start)
        opening = self._notation.opening if in_one_line else lead + self._notation.opening
        is_forgotten = text.find(opening, start, place if place >= 0 else len(text)) >= 0
        if place < 0 or is_forgotten:
            return Broken(f"{tag} is missing", unfinished=not is_forgotten)
        end = place - len(lead) if text.endswith(lead, start, place) else place
        return Value(self.value_of(name, text[begin:end]), place + len(tag))

    def _tag_of_text(self, text: str, start: int) -> int:
        """Where the tag stands that ends a text; -1: nowhere yet.

        People and models forget the lead before it, and texts may speak of tags: what follows tells the two apart.
        """
        notation, place = self._notation, start
        while (place := text.find(notation.tag, place)) >= 0:
            after = place + len(notation.tag)
            if text.endswith(notation.lead, start, place) or text.startswith(notation.onward, after):
                return place
            if any(ends_inside(text, after, onward) for onward in notation.onward):
                return -1
            place = after
        return -1

    def value_of(self, name: str, text: str) -> Any:
        """What the whole text of an argument means."""
        schema, kinds = self._schema(name)
        if kinds <= {"string"}:
            return text
        value = self._reading(text)
        if "string" not in kinds:
            return text if isinstance(value, Broken) else value.value
        if isinstance(value, Broken) or isinstance(value.value, str) or text != text.strip(WHITE_SPACE):
            return text
        return value.value if schema is not None and _accepts(schema, self._root, value.value) else text

    def text_of(self, name: str, value: Any) -> str:
        """The text that `read` takes for `value`; raises `CannotCarry`."""
        if isinstance(value, str):
            text = value
        elif value is None or isinstance(value, bool):
            text = self._notation.word(value)
        else:
            try:
                text = dumps(value)
            except (ValueError, RecursionError) as error:
                raise CannotCarry(f"the argument '{name}': {error}") from error
        self._check(name, value, text)
        return text

    def _check(self, name: str, value: Any, text: str) -> None:
        notation = self._notation
        if problem := unwritable(text):
            raise CannotCarry(f"the argument '{name}' contains {problem}")
        written = f"{notation.lead}{text}{notation.close}"
        for tag in (notation.tag, notation.opening):
            if tag in text and isinstance(value, str):
                raise CannotCarry(f"the argument '{name}' contains {tag}, which ends it")
        again = self.read(name, written, 0)
        if isinstance(again, Broken) or again.end < len(written) or not same(again.value, value):
            kind = _NAMES.get(type(value), "null")
            raise CannotCarry(f"the argument '{name}': as bare text, this {kind} would be read as something else")

    def _reading(self, text: str) -> Value | Broken:
        """The whole text as one JSON value, or one of the notation's words."""
        word = text.strip(WHITE_SPACE)
        if word in self._notation.words:
            return Value(self._notation.words[word], len(text))
        value = read(text, 0)
        if isinstance(value, Value) and skip(text, value.end) < len(text):
            return Broken("text after the JSON value")
        return value

    def _schema(self, name: str) -> tuple[Schema | None, frozenset[str]]:
        """What the tool says of a parameter, and the types that it may have."""
        if name not in self._known:
            schema = parameter_schema(self._root, name)
            self._known[name] = (schema, frozenset() if schema is None else kinds_of(schema, self._root))
        return self._known[name]


def read_json(text: str, start: int, close: str) -> Value | Broken:
    """The JSON value at `start` that `close` follows, and where that ends."""
    found = read(text, start)
    if isinstance(found, Broken):
        return found
    at, tag = skip(text, found.end), close.lstrip(WHITE_SPACE)
    closing = at - (len(close) - len(tag))  # white space may belong to it
    if closing >= found.end and text.startswith(close, closing):
        return Value(found.value, closing + len(close))
    return Broken("text after the JSON value", unfinished=ends_inside(text, at, tag))


def read_text(text: str, start: int, close: str, opening: str) -> Value | Broken:
    """The text up to the first `close`, and where that ends; `opening` begins another, and is not in it."""
    end = text.find(close, start)
    is_forgotten = text.find(opening, start, end if end >= 0 else len(text)) >= 0
    if end < 0 or is_forgotten:
        return Broken(f"{close} is missing", unfinished=not is_forgotten)
    return Value(text[start:end], end + len(close))


def unwritable(text: str) -> str:
    """What no bare text can hold: UTF-8 has no half of a surrogate pair, and llama.cpp's texts no NUL."""
    return "NUL" if "\0" in text else "half of a surrogate pair" if _SURROGATE.search(text) else ""


def ordered_arguments(call: Call, tool: Tool | None) -> Mapping[str, Any]:
    """The arguments in the order of the tool's schema, which is the one that grammars allow.

    Raises `CannotCarry` for a parameter that the schema allows without listing it: a grammar needs its name.
    """
    if tool is None:
        return call.arguments
    for name in call.arguments:
        if parameter_schema(tool.parameters, name) is not None and not is_listed(tool.parameters, name):
            raise CannotCarry(f"{call.name}: the schema does not list the parameter '{name}', which it allows")
    found: Mapping[str, Any] = arranged(dict(call.arguments), tool.parameters)
    return found


def parameter_schema(root: Mapping[str, Any], name: str) -> Schema | None:
    """What a tool's parameters say of the one called `name`; None: there is no such parameter."""
    branches = _branches(root)
    named = [branch["properties"][name] for branch in branches if name in branch.get("properties", {})]
    others = [branch.get("additionalProperties", True) for branch in branches]
    found: list[Schema] = named or [schema for schema in others if schema is not False]
    different = [schema for index, schema in enumerate(found) if schema not in found[:index]]
    if not different:
        return None
    return different[0] if len(different) == 1 else {"anyOf": different}


def is_listed(root: Mapping[str, Any], name: str) -> bool:
    """Whether a tool's parameters name this one, rather than allow any name."""
    return any(name in branch.get(key, ()) for branch in _branches(root) for key in ("properties", "required"))


def _branches(root: Mapping[str, Any]) -> list[dict[str, Any]]:
    try:
        flats = list(flat_schemas(dict(root), root, exactly=False))
    except Unmergeable:
        flats = [dict(root)]
    return [flat for flat in flats if isinstance(flat, dict)]


def kinds_of(schema: Schema, root: Mapping[str, Any]) -> frozenset[str]:
    """The types of JSON values that a schema may accept; all of them where that is hard to say."""
    try:
        return frozenset(kind for flat in flat_schemas(schema, root, exactly=False) for kind in flat_kinds(flat))
    except Unmergeable:
        return frozenset(TYPES)


def flat_kinds(flat: Schema) -> set[str]:
    """The same for a schema without references and alternatives."""
    if isinstance(flat, bool):
        return set(TYPES) if flat else set()
    given = flat.get("type", TYPES)
    types = {given} if isinstance(given, str) else set(given)
    members = members_of(flat)
    if members is None:
        return types
    names = {_NAMES.get(type(member), "null") for member in members}
    names |= {"integer"} if "number" in names else set()
    return names & types


def members_of(flat: Mapping[str, Any]) -> list[Any] | None:
    """The values that an `enum` or a `const` lists."""
    found: list[Any] | None = flat.get("enum", [flat["const"]] if "const" in flat else None)
    return found


def flat_schemas(schema: Schema, root: Mapping[str, Any], *, exactly: bool) -> Iterator[Schema]:
    """The alternatives of a schema, without references; raises `Unmergeable`."""
    return _followed(schema, root, exactly, set())


def _followed(schema: Schema, root: Mapping[str, Any], exactly: bool, seen: set[str]) -> Iterator[Schema]:
    """`seen`: references whose alternatives have been found already."""
    if len(seen) > MAX_REFERENCES:
        raise Unmergeable("$ref", f"more than {MAX_REFERENCES} of them")
    for flat, _ in alternatives(schema, root, exactly=exactly):
        if not is_reference(flat):
            yield flat
            continue
        assert isinstance(flat, dict)
        name = flat["$ref"]
        if name not in seen:
            seen.add(name)
            yield from _followed(resolve(name, root), root, exactly, seen)


def _accepts(schema: Schema, root: Mapping[str, Any], value: Any) -> bool:
    return bool(validator(root).evolve(schema=schema).is_valid(value))
