"""Lark, in llguidance's dialect: the format's envelope as rules, each schema in it as llguidance's own `%json`.

The schema that `%json` gets is written anew from shapes, so that nothing llguidance would read otherwise, or not at
all, ever reaches it. A value of which a part cannot be said that way is written in rules down to that part.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from grammars.build import build_values
from grammars.errors import UnsupportedSchema
from grammars.llguidance_schema import is_exact, to_llguidance_schema
from grammars.lower import lower
from grammars.nodes import AnyJsonObject, Choice, Json, Literal, Marker, Node, RawText, Repeat, Seq
from grammars.regular import Alt, Cat, Expr, Foreign, Many, Rule, Text, avoiding
from grammars.shape import Document, Shape
from grammars.syntax import to_regex_text

BACKEND = "llguidance"


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
        self.schemas: dict[str, str] = {}  # the rules that are a `%json`, by its schema
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
            case Json(schema, tool):
                with UnsupportedSchema.named(tool):
                    return self.values(lower(schema, BACKEND))
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

    def values(self, document: Document) -> str:
        """The values of a schema: all of it as `%json`, or rules with `%json` for the parts that can be."""

        def as_json(shape: Shape) -> str | None:
            if not is_exact(shape, document):
                return None
            schema = json.dumps(to_llguidance_schema(shape, document), ensure_ascii=False)
            if schema not in self.schemas:
                self.schemas[schema] = self.named("json", f"%json {schema}")
            return self.schemas[schema]

        # Each brace, comma and key is a lexeme of its own: a lexeme is lost where a longer one begins like it.
        grammar = build_values(document, BACKEND, as_json, mark=lambda text: Foreign(_literal(text)))
        prefix = f"v{len(self.rules)}_"
        names = {name: (prefix + name).replace("-", "_") for name in grammar.rules}
        for name, expr in grammar.rules.items():
            if name != "root":
                self.rules[names[name]] = _rule(expr, names)
        return _rule(grammar.rules["root"], names)

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
        count = _count(max(minimum - 1, 0), None if maximum is None else maximum - 1)
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


def _rule(expr: Expr, names: Mapping[str, str]) -> str:
    """An expression over values; what is regular and not a plain text becomes one lexeme."""
    if not isinstance(expr, Text) and _is_regular(expr):
        return _regex(to_regex_text(expr))
    match expr:
        case Text(text):
            return _literal(text)
        case Rule(name):
            return names[name]
        case Foreign(text):
            return text
        case Cat(parts):
            return " ".join(_rule(part, names) for part in parts)
        case Alt(options):
            return "(" + " | ".join(_rule(option, names) for option in options) + ")"
        case Many(item, minimum, maximum):
            return f"({_rule(item, names)}){_count(minimum, maximum)}"
    raise TypeError(f"{expr} is not Lark")


def _is_regular(expr: Expr) -> bool:
    match expr:
        case Rule() | Foreign():
            return False
        case Cat(parts) | Alt(parts):
            return all(map(_is_regular, parts))
        case Many(item):
            return _is_regular(item)
    return True


def _count(minimum: int, maximum: int | None) -> str:
    signs = {(0, None): "*", (1, None): "+", (0, 1): "?"}
    return signs.get((minimum, maximum), f"{{{minimum},{'' if maximum is None else maximum}}}")
