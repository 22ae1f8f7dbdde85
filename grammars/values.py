"""From the shapes of a schema to the rules of a grammar over characters, in one notation or another.

Knows no engine's syntax and no format's tree.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from grammars.canonical import dumps
from grammars.errors import UnsupportedSchema
from grammars.notation import Notation
from grammars.ranges import NATURAL, NUMBER, decimals, integers
from grammars.raw import content
from grammars.regular import (
    EMPTY,
    NOTHING,
    Alt,
    Cat,
    Expr,
    Foreign,
    Many,
    Rule,
    Text,
    alt,
    cat,
    many,
    optional,
    separated,
)
from grammars.restricted import Grammar, Settle, settled
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

MAX_OPTIONAL = 100  # items of a list that may be missing: in a regular expression each stands within the one before it
_IN_EACH_OTHER = 50  # of them, where a grammar has rules


class Values:
    """The values of one schema.

    `foreign` may take over any shape with a text of its own; `mark` makes what is between values: braces, commas, keys.
    """

    def __init__(
        self,
        grammar: Grammar,
        document: Document,
        notation: Notation,
        backend: str,
        settle: Settle,
        *,
        recursive: bool = True,
        foreign: Callable[[Shape], str | None] = lambda _shape: None,
        mark: Callable[[str], Expr] = Text,
    ) -> None:
        self.grammar, self.document, self.notation = grammar, document, notation
        self.backend, self.settle, self.recursive = backend, settle, recursive
        self.foreign, self.mark, self.comma = foreign, mark, mark(notation.comma)
        self.names: dict[str, str] = {}  # of the shapes that the schema refers to

    def define(self, name: str, expr: Expr) -> Rule:
        return self.grammar.define(self.notation.name + name, expr)

    def need_recursion(self, keyword: str, path: str) -> None:
        if not self.recursive:
            raise UnsupportedSchema(
                self.backend, keyword, path, "JSON values nest without limit, regular expressions do not"
            )

    def root(self) -> Expr:
        document = self.document
        for name, shape in document.shapes.items():
            if name in document.reachable(shape):
                self.need_recursion("$ref", name)
            # In small letters, for Lark takes a name with a capital for a terminal's.
            last = name.rpartition("/")[2].lower()
            last = "".join(char if char.isascii() and char.isalnum() else "-" for char in last)
            taken = self.grammar.rules.keys() | set(self.names.values())
            free = (f"ref-{last}-{number}" for number in range(1, len(taken) + 2))
            self.names[name] = next(one for one in free if one not in taken)
        for name, shape in document.shapes.items():
            if self.foreign(Ref(name)) is None:
                self.grammar.rules[self.names[name]] = self.shape(shape)
        found = self.shape(document.root)
        if found == NOTHING:
            raise UnsupportedSchema(self.backend, "enum", "#", "its values cannot be written in this notation")
        return found

    def shape(self, shape: Shape) -> Expr:
        taken = self.foreign(shape)
        if taken is not None:
            return Foreign(taken)
        match shape:
            case AnyValue(path):
                return self.any_value(path)
            case Const(text):
                return self.written(json.loads(text))
            case Integer():
                return self.integer(shape)
            case Number(None, None):
                return self.grammar.define("number", NUMBER)
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
            return self.grammar.define("integer", cat(optional(Text("-")), NATURAL))
        return integers(shape.minimum, shape.maximum)

    def string(self, shape: String) -> Expr:
        if shape.content is None and shape.minimum == 0 and shape.maximum is None:
            return self.define("string", self.quoted(shape))
        return self.quoted(shape)

    def quoted(self, shape: String | Const) -> Expr:
        """A string with what stands around it."""
        quote, text = self.notation.quote, self.notation.within(content(shape))
        return cat(quote, settled(self.settle, text, self.notation.spelled, shape, self.backend), quote)

    def written(self, value: Any) -> Expr:
        """One value; nothing where the notation cannot write it."""
        match value:
            case str():
                return self.quoted(Const(dumps(value)))
            case list():
                items = [self.written(item) for item in value]
                return cat(self.mark("["), *self.with_commas(items), self.mark("]"))
            case dict():
                keys = [self.notation.key(name) for name in value]
                if None in keys:
                    return NOTHING
                pairs = [
                    cat(self.mark(f"{key}{self.notation.colon}"), self.written(item))
                    for key, item in zip(keys, value.values(), strict=True)
                ]
                return cat(self.mark("{"), *self.with_commas(pairs), self.mark("}"))
        return Text(dumps(value))

    def with_commas(self, items: list[Expr]) -> list[Expr]:
        return [one for index, item in enumerate(items) for one in ((self.comma, item) if index else (item,))]

    def array(self, shape: Array) -> Expr:
        prefix = shape.prefix if shape.maximum is None else shape.prefix[: shape.maximum]
        item = None if shape.rest is None else self.item(shape.rest)
        if not prefix:
            inside = EMPTY if item is None else separated(item, self.comma, shape.minimum, shape.maximum)
            return cat(self.mark("["), inside, self.mark("]"))
        n_prefix = len(prefix)
        most = None if shape.maximum is None else shape.maximum - n_prefix
        tail = EMPTY if item is None else many(cat(self.comma, item), max(shape.minimum - n_prefix, 0), most)
        if not self.recursive and n_prefix - shape.minimum > MAX_OPTIONAL:
            reason = f"more than {MAX_OPTIONAL} items that may be missing; write minItems, or fewer"
            raise UnsupportedSchema(self.backend, "prefixItems", shape.path, reason)
        for index in reversed(range(n_prefix)):
            tail = cat(self.comma if index else EMPTY, self.shape(prefix[index]), tail)
            tail = tail if index < shape.minimum else optional(tail)
            if self.recursive and index >= shape.minimum and index % _IN_EACH_OTHER == _IN_EACH_OTHER - 1:
                tail = self.define("more", tail)
        return cat(self.mark("["), tail, self.mark("]"))

    def item(self, shape: Shape) -> Expr:
        """Under a name of its own, as it is written twice: what is in it would double at each level."""
        found = self.shape(shape)
        return self.define("item", found) if found != NOTHING and isinstance(found, Cat | Alt | Many) else found

    def object(self, shape: Object) -> Expr:
        given = [(self.pair(one, shape.path), one.required) for one in shape.properties]
        written = [(pair, required) for pair, required in given if required or pair != NOTHING]
        pairs, required = [pair for pair, _ in written], [needed for _, needed in written]
        others: Expr = EMPTY
        if shape.rest is not None:
            key = self.key(one.name for one in shape.properties)
            others = cat(key, self.item(shape.rest))
        if True not in required:
            inside = self.all_optional(pairs, others)
        else:
            first = required.index(True)
            before = [optional(cat(pair, self.comma)) for pair in pairs[:first]]
            after = [
                cat(self.comma, pair) if needed else optional(cat(self.comma, pair))
                for pair, needed in written[first + 1 :]
            ]
            inside = cat(*before, pairs[first], *after, self.more(others))
        return cat(self.mark("{"), inside, self.mark("}"))

    def pair(self, one: Property, path: str) -> Expr:
        key = self.notation.key(one.name)
        if key is None:
            reason = f"the name {dumps(one.name)} cannot be written without quotes"
            raise UnsupportedSchema(self.backend, "properties", path, reason)
        return cat(self.mark(f"{key}{self.notation.colon}"), self.shape(one.shape))

    def key(self, taken: Iterable[str]) -> Rule:
        """Any key but these, and its colon: one lexeme, as a listed key and its colon are one that begins like it."""
        keys = settled(self.settle, self.notation.other_keys(taken), lambda expr: expr, String(), self.backend)
        return self.define("key", cat(keys, Text(self.notation.colon)))

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

    def any_value(self, path: str) -> Rule:
        self.need_recursion("type", path)
        name = f"{self.notation.name}value"
        if name not in self.grammar.rules:
            self.grammar.rules[name] = EMPTY  # it is taken, and known by its name to what is in it
            value = Rule(name)
            pair = cat(self.key(()), value)
            words = (Text("true"), Text("false"), Text("null"))
            items = (
                self.define("object", cat(self.mark("{"), separated(pair, self.comma, 0, None), self.mark("}"))),
                self.define("array", cat(self.mark("["), separated(value, self.comma, 0, None), self.mark("]"))),
                self.string(String()),
                self.grammar.define("number", NUMBER),
            )
            self.grammar.rules[name] = alt(*items, *words)
        return Rule(name)
