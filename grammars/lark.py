"""Lark, in llguidance's dialect: the format's envelope as rules, each schema in it as llguidance's own `%json`.

The schema that `%json` gets is written anew from its shapes, out of keywords that llguidance was seen to enforce
exactly. So nothing that it would read otherwise, or not at all, ever reaches it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from grammars.errors import UnsupportedSchema
from grammars.lower import lower
from grammars.nodes import AnyJsonObject, Choice, Json, Literal, Marker, Node, RawText, Repeat, Seq
from grammars.regular import avoiding, other_than
from grammars.shape import AnyValue, Array, Const, Document, Integer, Number, Object, Ref, Shape, String, Union
from grammars.syntax import to_regex_text

BACKEND = "llguidance"
SEPARATORS = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_EXACT = 2**53  # llguidance reads the bounds of integers as doubles


def to_lark(node: Node, marker_ids: Mapping[str, int]) -> str:
    """The grammar, its start rule called `start`. Markers in `marker_ids` are single tokens, others plain text."""
    printer = _Printer(marker_ids)
    printer.rules["start"] = ""  # the first place
    printer.rules["start"] = printer.text(node)
    lines = [f"{name}: {text}\n" for name, text in printer.rules.items()]
    return "".join(lines) + (f"\n{_any_object()}" if printer.any_object else "")


@cache
def _any_object() -> str:
    return files("grammars").joinpath("any_object.lark").read_text(encoding="utf-8")


class _Printer:
    def __init__(self, marker_ids: Mapping[str, int]) -> None:
        self.marker_ids = marker_ids
        self.rules: dict[str, str] = {}
        self.any_object = False

    def named(self, kind: str, text: str) -> str:
        name = f"{kind}{len(self.rules)}"
        self.rules[name] = text
        return name

    def text(self, node: Node) -> str:
        match node:
            case Literal(text):
                return _literal(text)
            case Marker(text):
                return f"<[{self.marker_ids[text]}]>" if text in self.marker_ids else _literal(text)
            case Json(schema):
                shown = json.dumps(to_llguidance_schema(lower(schema, BACKEND)), ensure_ascii=False)
                return self.named("json", f"%json {shown}")
            case AnyJsonObject():
                self.any_object = True
                return "json_object"
            case RawText(until):
                return self.named("RAW", _regex(f"(?:{to_regex_text(avoiding(until))})"))
            case Seq(parts):
                return self.sequence(parts)
            case Choice(options):
                return "(" + " | ".join(self.text(option) for option in options) + ")"
            case Repeat(item, separator, minimum, maximum):
                return self.repeated(item, separator, minimum, maximum)

    def sequence(self, parts: tuple[Node, ...]) -> str:
        texts: list[str] = []
        rest = list(_joined(parts))
        while rest:
            node = rest.pop(0)
            following = rest[0] if rest else None
            if isinstance(node, RawText) and following is not None:
                texts.append(self.raw_text(node, following))
                if isinstance(following, Literal):
                    rest[0] = Literal(following.text.removeprefix(node.until))
            else:
                texts.append(self.text(node))
        return " ".join(texts) or '""'

    def raw_text(self, node: RawText, following: Node) -> str:
        """Text is one lexeme here, and a lexeme takes all it can: it has to know where it ends."""
        if isinstance(following, Literal) and following.text.startswith(node.until):
            name = f"raw{len(self.rules)}"
            self.rules[f"{name}[suffix={json.dumps(node.until)}]"] = "/(?s:.*)/"
            return name
        if isinstance(following, Marker) and following.text in self.marker_ids:
            return self.text(node)
        raise UnsupportedSchema(BACKEND, "RawText", "#", "it must be followed by the text or the token that ends it")

    def repeated(self, item: Node, separator: Node, minimum: int, maximum: int | None) -> str:
        if maximum == 0:
            return '""'
        first = self.text(item)
        if not isinstance(item, Json | AnyJsonObject | Choice):
            first = self.named("item", first)
        more = first if separator == Literal("") else f"{self.text(separator)} {first}"
        least = max(minimum - 1, 0)
        count = f"{{{least},{'' if maximum is None else maximum - 1}}}"
        count = {"{0,}": "*", "{1,}": "+"}.get(count, count)
        whole = first if maximum == 1 else f"{first} ({more}){count}"
        return whole if minimum > 0 else f"({whole})?"


def _joined(parts: tuple[Node, ...]) -> list[Node]:
    """Neighbouring literals as one: a lexeme cannot be a part of another one that begins like it."""
    joined: list[Node] = []
    for part in parts:
        for one in _joined(part.parts) if isinstance(part, Seq) else [part]:
            if isinstance(one, Literal) and joined and isinstance(joined[-1], Literal):
                joined[-1] = Literal(joined[-1].text + one.text)
            elif one != Literal(""):
                joined.append(one)
    return joined


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _regex(pattern: str) -> str:
    return "/" + pattern.replace("/", "\\/").replace("\n", "\\n") + "/"


def to_llguidance_schema(document: Document) -> dict[str, Any]:
    """A schema that llguidance enforces exactly as the document says."""
    names = {name: f"s{number}" for number, name in enumerate(document.shapes)}
    writer = _SchemaWriter(names)
    schema = {"x-guidance": SEPARATORS, **writer.schema(document.root)}
    if names:
        schema["$defs"] = {names[name]: writer.schema(shape) for name, shape in document.shapes.items()}
    return schema


class _SchemaWriter:
    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names

    def schema(self, shape: Shape) -> dict[str, Any]:
        match shape:
            case AnyValue():
                return {}
            case Const(text):
                return {"enum": [_constant(text)]}
            case Integer():
                return _integer(shape)
            case Number(low, high):
                ends = (("minimum", "exclusiveMinimum", low), ("maximum", "exclusiveMaximum", high))
                bounds = {(excluding if one.excluded else key): float(one.value) for key, excluding, one in ends if one}
                return {"type": "number", **bounds}
            case String():
                return _string(shape)
            case Array():
                return self.array(shape)
            case Object():
                return self.object(shape)
            case Union(options):
                constants = [_constant(option.text) for option in options if isinstance(option, Const)]
                others = [self.schema(option) for option in options if not isinstance(option, Const)]
                branches = [{"enum": constants}, *others] if constants else others
                return branches[0] if len(branches) == 1 else {"anyOf": branches}
            case Ref(name):
                return {"$ref": f"#/$defs/{self.names[name]}"}

    def array(self, shape: Array) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "array"}
        if shape.prefix:
            schema["prefixItems"] = [self.schema(item) for item in shape.prefix]
        schema["items"] = False if shape.rest is None else self.schema(shape.rest)
        if shape.minimum:
            schema["minItems"] = shape.minimum
        if shape.maximum is not None:
            schema["maxItems"] = shape.maximum
        return schema

    def object(self, shape: Object) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "object"}
        if shape.properties:
            schema["properties"] = {one.name: self.schema(one.shape) for one in shape.properties}
            schema["required"] = [one.name for one in shape.properties if one.required]
        if shape.rest is None:
            schema["additionalProperties"] = False
        elif (
            shape.properties
        ):  # llguidance takes an escaped spelling of a listed name for another name; a pattern does not
            others = to_regex_text(other_than(one.name for one in shape.properties))
            schema["patternProperties"] = {f"^(?:{others})$": self.schema(shape.rest)}
            schema["additionalProperties"] = False
        else:
            schema["additionalProperties"] = self.schema(shape.rest)
        return schema


def _constant(text: str) -> Any:
    value = json.loads(text)
    if json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") != text:
        raise UnsupportedSchema(BACKEND, "enum", "#", f"llguidance would write {text} in another way")
    return value


def _integer(shape: Integer) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for key, bound in (("minimum", shape.minimum), ("maximum", shape.maximum)):
        if bound is not None:
            if abs(bound) > _EXACT:
                raise UnsupportedSchema(BACKEND, key, shape.path, "beyond 2^53 in size")
            schema[key] = bound
    if shape.multiple_of is not None:
        schema["multipleOf"] = shape.multiple_of
    return schema


def _string(shape: String) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if shape.minimum:
        schema["minLength"] = shape.minimum
    if shape.maximum is not None:
        schema["maxLength"] = shape.maximum
    if shape.content is not None:
        schema["pattern"] = f"^(?:{to_regex_text(shape.content)})$"
    return schema
