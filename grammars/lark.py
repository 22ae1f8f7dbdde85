"""Lark, in llguidance's dialect: the format's envelope as rules, each schema in it as llguidance's own `%json`.

The schema that `%json` gets is written anew from shapes, so that nothing llguidance would read otherwise, or not at
all, ever reaches it. A value of which a part cannot be said that way is written in rules down to that part. Raw
texts are lexemes together with what ends them (`grammars.lexeme`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from itertools import groupby, permutations, takewhile

from grammars.any_order import in_groups
from grammars.build import raw_string, raw_text
from grammars.edges import choices, first_chars, open_ends, text_chars
from grammars.errors import UnsupportedSchema
from grammars.lexeme import count, has_intersection, is_regular, lexeme, literal
from grammars.llguidance_schema import is_exact, to_llguidance_schema
from grammars.lower import lower
from grammars.nodes import (
    AnyJsonObject,
    AnyOrder,
    Choice,
    Json,
    Literal,
    Marker,
    Node,
    QuotedDict,
    RawString,
    RawText,
    Repeat,
    Seq,
)
from grammars.notation import JSON, DictNotation, Notation
from grammars.places import is_mixed, is_nested, shared_places
from grammars.ranges import decimals, integers
from grammars.raw import is_free, up_to_a_token
from grammars.regular import (
    Alt,
    Cat,
    Expr,
    Foreign,
    Many,
    Rule,
    Text,
    Token,
    alt,
    cat,
    excluding,
)
from grammars.restricted import Grammar, kept
from grammars.shape import Const, Document, Integer, Number, Shape, Union, parts
from grammars.values import Values

BACKEND = "llguidance"
MOST_IN_ANY_ORDER = 64  # bits


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
        self.lexemes: dict[Expr, str] = {}  # the terminals that have a name
        self.in_rules: set[int] = set()  # the values, by id, whose objects and lists are not `%json`
        self.ends_beside: dict[int, set[str]] = {}  # of raw texts that stand in the place of a value, by its id
        self.any_object = False

    def named(self, kind: str, text: str) -> str:
        name = f"{kind}{len(self.rules)}"
        self.rules[name] = text
        return name

    def text(self, node: Node) -> str:
        match node:
            case Literal(text):
                return literal(text)
            case Marker(text):
                return f"<[{self.marker_ids[text]}]>" if text in self.marker_ids else literal(text)
            case Json(schema, tool):
                with UnsupportedSchema.named(tool):
                    return self.values(lower(schema, BACKEND), JSON, in_rules=id(node) in self.in_rules)
            case QuotedDict(schema, quote, tool):
                mark = Token(self.marker_ids[quote], quote) if quote in self.marker_ids else Text(quote)
                with UnsupportedSchema.named(tool):
                    return self.values(lower(schema, BACKEND), DictNotation(quote, mark))
            case AnyJsonObject():
                self.any_object = True
                return "json_object"
            case Seq(parts):
                return self.sequence(parts)
            case RawText() | RawString() | Choice():
                return self.before(node, "")
            case Repeat():
                return self.repeated(node, "")
            case AnyOrder():
                return self.any_order(node)

    def values(self, document: Document, notation: Notation, *, in_rules: bool = False) -> str:
        """The values of a schema: all of it as `%json`, or rules with `%json` for the parts that can be."""
        in_rules = in_rules or is_mixed([document])

        def as_json(shape: Shape) -> str | None:
            if notation is not JSON or not is_exact(shape, document):
                return None
            if in_rules and any(map(is_nested, parts(shape))):
                return None
            schema = json.dumps(to_llguidance_schema(shape, document), ensure_ascii=False)
            if schema not in self.schemas:
                self.schemas[schema] = self.named("json", f"%json {schema}")
            return self.schemas[schema]

        # Each brace, comma and key is a lexeme of its own: a lexeme is lost where a longer one begins like it.
        grammar = Grammar()
        values = Values(
            grammar, document, notation, BACKEND, kept, foreign=as_json, mark=lambda text: Foreign(literal(text))
        )
        root = values.root()
        prefix = f"v{len(self.rules)}_"
        names = {name: (prefix + name).replace("-", "_") for name in grammar.rules}
        for name in names.values():
            self.rules[name] = ""  # the place is taken
        for name, expr in grammar.rules.items():
            self.rules[names[name]] = self.rule(expr, names)
        return self.rule(root, names)

    def sequence(self, parts: tuple[Node, ...]) -> str:
        texts: list[str] = []
        rest = self.joined(parts)
        while rest:
            node = rest.pop(0)
            ends = sorted(self.ends(node), key=len)
            if not ends or not rest or isinstance(rest[0], Marker):
                texts.append(self.text(node))
                continue
            known = "".join(takewhile(bool, map(_known_text, rest)))
            after = rest.pop(0)
            if not (isinstance(after, Literal) and all(known.startswith(end) for end in ends)):
                reason = "it must be followed by the text or the token that ends it"
                raise UnsupportedSchema(BACKEND, "RawText", "#", reason)
            end = ends[-1] if len(ends[-1]) < len(after.text) else after.text  # a token may be the rest of it
            texts.append(self.before(node, end))
            left = after.text.removeprefix(end)
            texts += [literal(left)] if left else []
        return " ".join(texts) or '""'

    def joined(self, parts: tuple[Node, ...]) -> list[Node]:
        """Neighbouring literals as one: a lexeme cannot be a part of another one that begins like it."""
        joined: list[Node] = []
        for part in parts:
            for one in self.joined(part.parts) if isinstance(part, Seq) else [part]:
                if isinstance(one, Marker) and one.text not in self.marker_ids:
                    one = Literal(one.text)
                if isinstance(one, Literal) and joined and isinstance(joined[-1], Literal):
                    joined[-1] = Literal(joined[-1].text + one.text)
                elif one != Literal(""):
                    joined.append(one)
        return joined

    def before(self, node: Node, end: str) -> str:
        """The node and the text `end` after it.

        Raw text is one lexeme here, and a lexeme takes all it can: so its end is a part of it, and so are the other
        texts that may stand in its place.
        """
        match node:
            case Seq((*first, last)) if self.ends(last):
                return " ".join(filter(None, (self.sequence((*first,)) if first else "", self.before(last, end))))
            case Seq(parts):
                return self.sequence((*parts, Literal(end)))
            case Choice():
                self.read_side_by_side(node)
                return self.any_of(list(choices(node)), self.ends(node), end)
            case Json() if self.ends(node):
                return self.any_of([node], self.ends(node), end)
            case Repeat():
                return self.repeated(node, end)
            case RawText() | RawString():
                raw = self.as_text(node)
                assert raw is not None
                return self.ended(raw, end, stops=end == node.until)
        return f"{self.text(node)} {literal(end)}" if end else self.text(node)

    def ends(self, node: Node) -> set[str]:
        """The ends of the raw texts that the node may end with, or that may stand in its place."""
        return set(open_ends(node)) or self.ends_beside.get(id(node), set())

    def any_of(self, options: list[Node], ends: set[str], end: str) -> str:
        if not options:
            raise UnsupportedSchema(BACKEND, "Choice", "#", "there is nothing to choose from")
        texts = []
        if ends and not self.are_told_apart(options):
            found = [(option, self.as_text(option)) for option in options]
            raw = [text for _, text in found if text is not None]
            options = self.beside([option for option, text in found if text is None], alt(*raw))
            texts = [self.ended(alt(*raw), end, stops=ends == {end})] if raw else []
        texts += [self.before(option, end) for option in options]
        return texts[0] if len(texts) == 1 else f"({' | '.join(texts)})"

    def are_told_apart(self, options: list[Node]) -> bool:
        """Whether each option begins with a text of its own, which the lexer has read before any raw text begins."""
        texts = ["".join(takewhile(bool, map(_known_text, self.joined((option,))))) for option in options]
        return all(texts) and not any(other.startswith(text) for text, other in permutations(texts, 2))

    def read_side_by_side(self, choice: Choice) -> None:
        """Sees to it that what stands at one place in several options is told apart, or refuses it."""
        for values in shared_places(choice):
            leaves = [leaf for value in values for leaf in choices(value)]
            if is_mixed(map(_document, (leaf for leaf in leaves if isinstance(leaf, Json)))):
                self.in_rules |= set(map(id, leaves))
            ends = {end for leaf in leaves for end in open_ends(leaf)}
            if ends:
                texts = [self.as_text(leaf) for leaf in leaves]
                others = [leaf for leaf, text in zip(leaves, texts, strict=True) if text is None]
                self.refuse_alike(others, alt(*(text for text in texts if text is not None)))
                self.ends_beside |= {id(value): ends for value in values if value not in others}

    def ended(self, raw: Expr, end: str, *, stops: bool) -> str:
        """Raw text and what follows it; `stops`: that is its end.

        There the lexeme must stop by itself: llguidance panics where a special token follows one that it believes to
        go on.
        """
        whole = self.terminal(cat(raw, Text(end)))
        if not (stops and end):
            return whole
        name = f"raw{len(self.rules)}"
        self.rules[f"{name}[lazy]"] = whole
        return name

    def as_text(self, node: Node) -> Expr | None:
        """The node as a regular expression over characters, where that is easily said."""
        match node:
            case Literal(text):
                return Text(text)
            case Marker(text):
                return None if text in self.marker_ids else Text(text)
            case RawText(until):
                return raw_text(up_to_a_token(until, self.marker_ids), BACKEND)
            case RawString(schema, until, tool, tag, without):
                end, *others = (up_to_a_token(text, self.marker_ids) for text in (until, *without))
                with UnsupportedSchema.named(tool):
                    return raw_string(lower(schema, BACKEND), end, kept, BACKEND, tag, others)
            case Json():
                return _scalar(_document(node).root)
            case Seq(parts):
                texts = [self.as_text(part) for part in parts]
                known = [text for text in texts if text is not None]
                return cat(*known) if len(known) == len(texts) else None
        return None

    def beside(self, options: list[Node], raw: Expr) -> list[Node]:
        """Those options that have to be written beside a raw text; the lexer must tell them apart at once."""
        free = any(map(is_free, raw.options if isinstance(raw, Alt) else (raw,)))
        left = [option for option in options if not (free and isinstance(option, Json | AnyJsonObject))]
        self.refuse_alike(left, raw)
        return left

    def refuse_alike(self, options: list[Node], raw: Expr) -> None:
        taken = text_chars(raw)
        for option in options:
            given = first_chars(option, self.marker_ids, BACKEND)
            if excluding(given, taken) != given:
                reason = "one value may begin like another one that is a bare text"
                raise UnsupportedSchema(BACKEND, "Choice", "#", reason)

    def repeated(self, node: Repeat, end: str) -> str:
        item, separator, minimum, maximum = node.item, node.separator, node.minimum, node.maximum
        closing = f" {literal(end)}" if end else ""
        if maximum == 0:
            return literal(end)
        inner = ""
        if maximum != 1 and list(open_ends(item)):
            if isinstance(separator, Literal) and end and separator.text.startswith(end) and minimum > 0:
                inner, closing, separator = end, "", Literal(separator.text.removeprefix(end))
            elif not (isinstance(separator, Marker) and separator.text in self.marker_ids):
                reason = "repeated, it must be followed by the text or the token that ends it"
                raise UnsupportedSchema(BACKEND, "RawText", "#", reason)
        first = self.before(item, inner)
        if not isinstance(item, Json | AnyJsonObject | Choice):
            first = self.named("item", first)
        more = first if separator == Literal("") else f"{self.text(separator)} {first}"
        times = count(max(minimum - 1, 0), None if maximum is None else maximum - 1)
        whole = first if maximum == 1 else f"{first} ({more}){times}"
        return (whole if minimum > 0 else f"({whole})?") + closing

    def any_order(self, node: AnyOrder) -> str:
        """One rule, which remembers in the bits of its parameter what has been written."""
        if len(node.items) > MOST_IN_ANY_ORDER:
            return self.text(in_groups(node, MOST_IN_ANY_ORDER))
        if list(open_ends(node)):
            reason = "in any order, it must be followed by the text or the token that ends it"
            raise UnsupportedSchema(BACKEND, "RawText", "#", reason)
        name = f"order{len(self.rules)}"
        self.rules[f"{name}::_"] = ""  # the place is taken
        required_first = sorted(zip(node.items, node.is_required, strict=True), key=lambda item: not item[1])
        items = [self.named("item", self.text(item)) for item, _ in required_first]
        n_required = sum(node.is_required)
        ways = [f'"" %if is_ones([0:{n_required}])' if n_required else '""']
        ways += [f"{item} {name}::set_bit({bit}) %if bit_clear({bit})" for bit, item in enumerate(items)]
        self.rules[f"{name}::_"] = "\n    | ".join(ways)
        return f"{name}::0x0"

    def rule(self, expr: Expr, names: Mapping[str, str]) -> str:
        """An expression over values; what is regular and not a plain text becomes one lexeme."""
        if is_regular(expr):
            return self.terminal(expr)
        match expr:
            case Rule(name):
                return names[name]
            case Foreign(text):
                return text
            case Token(token):
                return f"<[{token}]>"
            case Cat(parts):
                runs = ((regular, list(run)) for regular, run in groupby(parts, is_regular))
                joined = ([cat(*run)] if regular else run for regular, run in runs)
                return " ".join(self.rule(part, names) for run in joined for part in run)
            case Alt(options):
                return "(" + " | ".join(self.rule(option, names) for option in options) + ")"
            case Many(item, minimum, maximum):
                return f"({self.rule(item, names)}){count(minimum, maximum)}"
        raise TypeError(f"{expr} is not Lark")

    def terminal(self, expr: Expr) -> str:
        """One lexeme; only under a name of its own may it be an intersection."""
        if isinstance(expr, Text) or not has_intersection(expr):
            return lexeme(expr)
        if expr not in self.lexemes:
            self.lexemes[expr] = self.named("TEXT", lexeme(expr))
        return self.lexemes[expr]


def _known_text(node: Node) -> str:
    return node.text if isinstance(node, Literal | Marker) else ""


def _document(node: Json) -> Document:
    with UnsupportedSchema.named(node.tool):
        return lower(node.schema, BACKEND)


def _scalar(shape: Shape) -> Expr | None:
    """The JSON values of a shape, where they are words and numbers."""
    match shape:
        case Const(text):
            return Text(text)
        case Integer(low, high, None):
            return integers(low, high)
        case Number(low, high):
            return decimals(low, high)
        case Union(options):
            known = [text for text in map(_scalar, options) if text is not None]
            return alt(*known) if len(known) == len(options) else None
    return None
