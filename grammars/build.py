"""From a format's tree and its schemas to the rules of a grammar over characters, for GBNF and regular expressions.

Knows no engine's syntax. A rule that reaches itself is what a regular expression cannot have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from grammars import nodes
from grammars.errors import UnsupportedSchema
from grammars.lower import lower
from grammars.ranges import FRACTION, NATURAL, NUMBER, decimals, integers
from grammars.regular import ANY as ANY_CHAR
from grammars.regular import (
    EMPTY,
    Expr,
    Foreign,
    Rule,
    Text,
    Token,
    alt,
    avoiding,
    cat,
    chars,
    excluding,
    length_bounds,
    many,
    optional,
    other_than,
    ranges,
    separated,
)
from grammars.shape import (
    AnyValue,
    Array,
    Const,
    Document,
    Integer,
    Number,
    Object,
    Property,
    Ref,
    Shape,
    String,
    Union,
)
from grammars.strings import CHAR, quoted, spelled

COMMA, QUOTE = Text(", "), Text('"')


@dataclass(slots=True)
class Grammar:
    """Rules by name; the first is the start."""

    rules: dict[str, Expr] = field(default_factory=dict)


def build(root: nodes.Node, marker_ids: Mapping[str, int], backend: str, *, recursive: bool = True) -> Grammar:
    """Raises `UnsupportedSchema` for what no grammar over characters, or not `recursive` one, can say."""
    builder = _Builder(marker_ids, backend, recursive)
    builder.grammar.rules["root"] = EMPTY  # the first place is taken before its parts take theirs
    builder.grammar.rules["root"] = builder.node(root)
    return builder.grammar


def build_values(
    document: Document, backend: str, foreign: Callable[[Shape], str | None], mark: Callable[[str], Expr]
) -> Grammar:
    """The same for the values of one schema.

    `foreign` may take over any shape with a text of its own; `mark` makes what is between values: braces, commas, keys.
    """
    builder = _Builder({}, backend, recursive=True, foreign=foreign, mark=mark)
    builder.grammar.rules["root"] = EMPTY
    builder.grammar.rules["root"] = builder.document(document)
    return builder.grammar


class _Builder:
    def __init__(
        self,
        marker_ids: Mapping[str, int],
        backend: str,
        recursive: bool,
        foreign: Callable[[Shape], str | None] = lambda _shape: None,
        mark: Callable[[str], Expr] = Text,
    ) -> None:
        self.marker_ids, self.backend, self.recursive = marker_ids, backend, recursive
        self.foreign, self.mark, self.comma = foreign, mark, mark(", ")
        self.grammar = Grammar()
        self.names: dict[str, str] = {}  # of the shapes that the present schema refers to

    def define(self, name: str, expr: Expr) -> Rule:
        """A rule of this name, or of a numbered one where it is taken by something else."""
        free = name
        number = 1
        while self.grammar.rules.get(free, expr) != expr:
            number += 1
            free = f"{name}-{number}"
        self.grammar.rules[free] = expr
        return Rule(free)

    def need_recursion(self, keyword: str, path: str) -> None:
        if not self.recursive:
            raise UnsupportedSchema(
                self.backend, keyword, path, "JSON values nest without limit, regular expressions do not"
            )

    def node(self, node: nodes.Node) -> Expr:
        match node:
            case nodes.Literal(text):
                return Text(text)
            case nodes.Marker(text):
                return Token(self.marker_ids[text], text) if text in self.marker_ids else Text(text)
            case nodes.Json(schema, tool):
                with UnsupportedSchema.named(tool):
                    return self.document(lower(schema, self.backend))
            case nodes.AnyJsonObject():
                self.need_recursion("AnyJsonObject", "#")
                self.grammar.rules.update(_FREE_JSON)
                return Rule("json-object")
            case nodes.RawText(until):
                if not until:
                    raise UnsupportedSchema(self.backend, "RawText", "#", "its end must not be empty")
                return avoiding(until)
            case nodes.Seq(parts):
                return cat(*map(self.node, parts))
            case nodes.Choice(options):
                return alt(*map(self.node, options))
            case nodes.Repeat(item, separator, minimum, maximum):
                return separated(self.define("item", self.node(item)), self.node(separator), minimum, maximum)

    def document(self, document: Document) -> Expr:
        self.names = {}
        for name, shape in document.shapes.items():
            if name in document.reachable(shape):
                self.need_recursion("$ref", name)
            last = "".join(char if char.isascii() and char.isalnum() else "-" for char in name.rpartition("/")[2])
            taken = self.grammar.rules.keys() | set(self.names.values())
            free = (f"ref-{last}-{number}" for number in range(1, len(taken) + 2))
            self.names[name] = next(one for one in free if one not in taken)
        for name, shape in document.shapes.items():
            if self.foreign(Ref(name)) is None:
                self.grammar.rules[self.names[name]] = self.shape(shape)
        return self.shape(document.root)

    def shape(self, shape: Shape) -> Expr:
        taken = self.foreign(shape)
        if taken is not None:
            return Foreign(taken)
        match shape:
            case AnyValue(path):
                self.need_recursion("type", path)
                self.grammar.rules.update(_ANY_VALUE)
                return Rule("value")
            case Const(text):
                return Text(text)
            case Integer():
                return self.integer(shape)
            case Number(None, None):
                return self.define("number", NUMBER)
            case Number(low, high):
                return decimals(low, high)
            case String():
                return self.string(shape)
            case Array():
                return self.array(shape)
            case Object():
                return self.object(shape)
            case Union(options):
                return alt(*map(self.shape, options))
            case Ref(name):
                return Rule(self.names[name])

    def integer(self, shape: Integer) -> Expr:
        if shape.multiple_of is not None:
            raise UnsupportedSchema(self.backend, "multipleOf", shape.path, "without bounds close to each other")
        if shape.minimum is None and shape.maximum is None:
            return self.define("integer", cat(optional(Text("-")), NATURAL))
        return integers(shape.minimum, shape.maximum)

    def string(self, shape: String) -> Expr:
        if shape.content is None:
            if shape.minimum == 0 and shape.maximum is None:
                return self.define("string", _STRING)
            return cat(QUOTE, many(self.define("char", CHAR), shape.minimum, shape.maximum), QUOTE)
        low, high = length_bounds(shape.content)
        if low < shape.minimum or (shape.maximum is not None and (high is None or high > shape.maximum)):
            keyword = "minLength" if low < shape.minimum else "maxLength"
            raise UnsupportedSchema(self.backend, keyword, shape.path, "together with a pattern that does not imply it")
        return cat(QUOTE, spelled(shape.content), QUOTE)

    def array(self, shape: Array) -> Expr:
        prefix = shape.prefix if shape.maximum is None else shape.prefix[: shape.maximum]
        item = None if shape.rest is None else self.shape(shape.rest)
        if not prefix:
            inside = EMPTY if item is None else separated(item, self.comma, shape.minimum, shape.maximum)
            return cat(self.mark("["), inside, self.mark("]"))
        n_prefix = len(prefix)
        most = None if shape.maximum is None else shape.maximum - n_prefix
        tail = EMPTY if item is None else many(cat(self.comma, item), max(shape.minimum - n_prefix, 0), most)
        for index in reversed(range(n_prefix)):
            tail = cat(self.comma if index else EMPTY, self.shape(prefix[index]), tail)
            tail = tail if index < shape.minimum else optional(tail)
        return cat(self.mark("["), tail, self.mark("]"))

    def object(self, shape: Object) -> Expr:
        pairs = [self.pair(one) for one in shape.properties]
        last_needed = max((index for index, one in enumerate(shape.properties) if one.required), default=-1)
        others: Expr = EMPTY
        if shape.rest is not None:
            key = cat(QUOTE, spelled(other_than(one.name for one in shape.properties)), QUOTE)
            others = cat(self.define("key", key), self.mark(": "), self.shape(shape.rest))
        if last_needed < 0:
            inside = self.all_optional(pairs, others)
        else:
            first = next(index for index, one in enumerate(shape.properties) if one.required)
            before = [optional(cat(pair, self.comma)) for pair in pairs[:first]]
            after = [
                cat(self.comma, pair) if one.required else optional(cat(self.comma, pair))
                for pair, one in zip(pairs[first + 1 :], shape.properties[first + 1 :], strict=True)
            ]
            inside = cat(*before, pairs[first], *after, self.more(others))
        return cat(self.mark("{"), inside, self.mark("}"))

    def pair(self, one: Property) -> Expr:
        return cat(self.mark(f"{quoted(one.name)}: "), self.shape(one.shape))

    def all_optional(self, pairs: list[Expr], others: Expr) -> Expr:
        """Any of the pairs, in their order, none of which has to be there."""
        rest = self.more(others)  # what may follow once something has been written
        options = [] if others == EMPTY else [cat(others, rest)]
        for index, pair in reversed(list(enumerate(pairs))):
            named = self.define("pair", pair) if len(pairs) > 1 else pair
            options.append(cat(named, rest))
            if index > 0:
                rest = self.define("more", cat(optional(cat(self.comma, named)), rest))
        return optional(alt(*reversed(options))) if options else EMPTY

    def more(self, others: Expr) -> Expr:
        return EMPTY if others == EMPTY else many(cat(self.comma, others))


def _any_value(strings: Expr) -> Iterable[tuple[str, Expr]]:
    words = (Text("true"), Text("false"), Text("null"))
    pair = cat(Rule("string"), Text(": "), Rule("value"))
    yield "value", alt(Rule("object"), Rule("array"), Rule("string"), Rule("number"), *words)
    yield "object", cat(Text("{"), separated(pair, COMMA, 0, None), Text("}"))
    yield "array", cat(Text("["), separated(Rule("value"), COMMA, 0, None), Text("]"))
    yield "string", strings
    yield "number", NUMBER


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
_STRING = cat(QUOTE, many(CHAR), QUOTE)
_ANY_VALUE = dict(_any_value(_STRING))
_FREE_JSON = dict(_free_json())
