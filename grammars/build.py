"""From a format's tree and its schemas to the rules of a grammar over characters, for GBNF and regular expressions.

Knows no engine's syntax. A rule that reaches itself is what a regular expression cannot have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any

from grammars import nodes
from grammars.any_order import in_groups, order_rules
from grammars.errors import UnsupportedSchema
from grammars.lower import lower
from grammars.notation import JSON, DictNotation, Notation
from grammars.ranges import FRACTION, NATURAL
from grammars.raw import bare, content, string_shapes, up_to_a_token
from grammars.regular import ANY as ANY_CHAR
from grammars.regular import (
    EMPTY,
    NOTHING,
    Expr,
    Rule,
    Text,
    Token,
    UpTo,
    alt,
    cat,
    chars,
    excluding,
    many,
    optional,
    ranges,
    separated,
)
from grammars.restricted import AsRules, Grammar, Settle, settled, solved
from grammars.shape import Document, String
from grammars.values import Values

QUOTE = Text('"')
MAX_TIMES = 10_000
"""A regular expression has each time of a repetition for itself: so many characters of a JSON string take outlines_core
1.4 GB and ten seconds for the bundled model's small vocabulary."""
MOST_IN_ANY_ORDER = 6


def build(
    root: nodes.Node,
    marker_ids: Mapping[str, int],
    backend: str,
    *,
    recursive: bool = True,
    most_in_any_order: int = MOST_IN_ANY_ORDER,
) -> Grammar:
    """Raises `UnsupportedSchema` for what no grammar over characters, or not `recursive` one, can say."""
    builder = _Builder(marker_ids, backend, recursive, most_in_any_order)
    builder.grammar.rules["root"] = EMPTY  # the first place is taken before its parts take theirs
    builder.grammar.rules["root"] = builder.node(root)
    return builder.grammar


def raw_text(until: str, backend: str) -> UpTo:
    """Any text as it may stand before `until`."""
    if not until:
        raise UnsupportedSchema(backend, "RawText", "#", "its end must not be empty")
    return UpTo(until)


def raw_string(
    document: Document, until: str, settle: Settle, backend: str, tag: str = "", without: Iterable[str] = ()
) -> Expr:
    """The bare texts of the strings among the values of a schema, as they may stand before `until`."""
    raw_text(until, backend)
    if not until.endswith(tag) or any(until.startswith(tag[size:]) for size in range(1, len(tag))):
        reason = "its end must end with the tag, and not begin within it"
        raise UnsupportedSchema(backend, "RawString", "#", reason)
    words = (tag or until, *without)
    shapes = list(string_shapes(document.root, document))
    if not shapes:
        raise UnsupportedSchema(backend, "type", "#", "no string can satisfy the schema")
    found = alt(*(settled(settle, reduce(bare, words, content(one)), as_it_is, one, backend) for one in shapes))
    if found == NOTHING:
        keyword, path = ("pattern", shapes[0].path) if isinstance(shapes[0], String) else ("enum", "#")
        refused = " or ".join(map(repr, words))
        raise UnsupportedSchema(backend, keyword, path, f"every value holds {refused}, with which the text ends")
    return found


def as_it_is(text: Expr) -> Expr:
    """Bare text is written with its own characters."""
    return text


class _Builder:
    def __init__(self, marker_ids: Mapping[str, int], backend: str, recursive: bool, most_in_any_order: int) -> None:
        self.marker_ids, self.backend, self.recursive = marker_ids, backend, recursive
        self.most_in_any_order = most_in_any_order
        self.grammar = Grammar()
        self.settle: Settle = AsRules(self.grammar) if recursive else solved

    def node(self, node: nodes.Node) -> Expr:
        match node:
            case nodes.Literal(text):
                return Text(text)
            case nodes.Marker(text):
                return Token(self.marker_ids[text], text) if text in self.marker_ids else Text(text)
            case nodes.Json(schema, tool):
                return self.values(schema, JSON, tool)
            case nodes.QuotedDict(schema, quote, tool):
                return self.values(schema, DictNotation(quote, self.node(nodes.Marker(quote))), tool)
            case nodes.RawString(schema, until, tool, tag, without):
                end, *others = (up_to_a_token(text, self.marker_ids) for text in (until, *without))
                with UnsupportedSchema.named(tool):
                    return raw_string(self.lowered(schema), end, self.settle, self.backend, tag, others)
            case nodes.AnyJsonObject():
                return self.any_json_object()
            case nodes.RawText(until):
                return self.settle(raw_text(up_to_a_token(until, self.marker_ids), self.backend), as_it_is)
            case nodes.Seq(parts):
                return cat(*map(self.node, parts))
            case nodes.Choice(options):
                return alt(*map(self.node, options))
            case nodes.Repeat(item, separator, minimum, maximum):
                repeated = self.grammar.define("item", self.node(item))
                return separated(repeated, self.node(separator), minimum, maximum)
            case nodes.AnyOrder():
                return self.any_order(node)

    def any_order(self, node: nodes.AnyOrder) -> Expr:
        if len(node.items) > self.most_in_any_order:
            return self.node(in_groups(node, self.most_in_any_order))
        return order_rules([*map(self.node, node.items)], node.is_required, self.grammar)

    def lowered(self, schema: Mapping[str, Any]) -> Document:
        return lower(schema, self.backend, most_times=None if self.recursive else MAX_TIMES)

    def any_json_object(self) -> Rule:
        if not self.recursive:
            raise UnsupportedSchema(self.backend, "AnyJsonObject", "#", "it nests without limit")
        self.grammar.rules.update(_FREE_JSON)
        return Rule("json-object")

    def values(self, schema: Mapping[str, Any], notation: Notation, tool: str) -> Expr:
        with UnsupportedSchema.named(tool):
            document = self.lowered(schema)
            return Values(self.grammar, document, notation, self.backend, self.settle, recursive=self.recursive).root()


def _free_json() -> Iterable[tuple[str, Expr]]:
    """Any JSON object in any spelling, with bounded white space."""
    words = (Text("true"), Text("false"), Text("null"))
    space, string, value = Rule("space"), Rule("json-string"), Rule("json-value")
    digit = chars("0123456789abcdefABCDEF")
    high, low = cat(chars("dD"), chars("89abAB")), cat(chars("dD"), chars("cdefCDEF"))
    no_half = alt(cat(excluding(digit, chars("dD")), digit), cat(chars("dD"), chars("01234567")))
    code = cat(Text("u"), no_half, digit, digit)
    pair_of_halves = cat(Text("u"), high, digit, digit, Text("\\u"), low, digit, digit)
    plain = excluding(ANY_CHAR, ranges((0, 0x1F)), chars('"\\'))
    char = alt(plain, cat(Text("\\"), alt(chars('"\\/bfnrt'), code, pair_of_halves)))
    number = cat(
        optional(Text("-")), NATURAL, FRACTION, optional(cat(chars("eE"), optional(chars("+-")), _SOME_DIGITS))
    )

    def listed(item: Expr) -> Expr:
        return optional(cat(item, space, many(cat(Text(","), space, item, space))))

    yield "space", optional(alt(Text(" "), cat(Text("\n"), many(chars(" \t"), 0, 20))))
    yield "json-object", cat(Text("{"), space, listed(cat(string, space, Text(":"), space, value)), Text("}"))
    yield "json-array", cat(Text("["), space, listed(value), Text("]"))
    yield "json-string", cat(QUOTE, many(char), QUOTE)
    yield "json-value", alt(Rule("json-object"), Rule("json-array"), string, number, *words)


_SOME_DIGITS = many(chars("0123456789"), 1)
_FREE_JSON = dict(_free_json())
