"""GBNF, the grammar language of llama.cpp.

Its engine has limits that it does not report (more than 2,000 repetitions mean any number) or that stop it (nested
ones multiply). So what is repeated becomes a rule, and large counts are put together from small ones.
"""

from __future__ import annotations

from collections.abc import Mapping

from grammars.build import build
from grammars.errors import UnsupportedSchema
from grammars.nodes import Node
from grammars.regular import Alt, Cat, Chars, Expr, Many, Rule, Text, Token, alt, cat, many
from grammars.restricted import Grammar

_BLOCK = 1000  # half of what llama.cpp counts to


def to_gbnf(node: Node, marker_ids: Mapping[str, int]) -> str:
    """The grammar, its start rule called `root`. Markers in `marker_ids` are single tokens, others plain text."""
    grammar = build(node, marker_ids, "gbnf")
    printer = _Printer(grammar)
    return "".join(f"{line}\n" for line in printer.lines())


class _Printer:
    def __init__(self, grammar: Grammar) -> None:
        self.rules = dict(grammar.rules)
        self.names: dict[Expr, str] = {expr: name for name, expr in grammar.rules.items()}

    def lines(self) -> list[str]:
        """Rules that are made while others are printed come after them."""
        printed: dict[str, str] = {}
        while len(printed) < len(self.rules):
            for name in [name for name in self.rules if name not in printed]:
                printed[name] = f"{name} ::= {self.text(self.rules[name])}"
        return list(printed.values())

    def named(self, expr: Expr) -> Rule:
        if isinstance(expr, Rule):
            return expr
        if expr not in self.names:
            self.names[expr] = f"part-{len(self.rules)}"
            self.rules[self.names[expr]] = expr
        return Rule(self.names[expr])

    def text(self, expr: Expr) -> str:
        match expr:
            case Text(text):
                return f'"{"".join(_escaped(char, in_class=False) for char in text)}"'
            case Chars(((low, high),)) if low == high:
                return self.text(Text(chr(low)))
            case Chars():
                return _char_class(expr)
            case Rule(name):
                return name
            case Token(token):
                return f"<[{token}]>"
            case Cat(parts):
                return " ".join(f"({self.text(part)})" if isinstance(part, Alt) else self.text(part) for part in parts)
            case Alt(()):
                raise UnsupportedSchema("gbnf", "Choice", "#", "there is nothing to choose from")
            case Alt(options):
                return " | ".join(map(self.text, options))
            case Many(item, minimum, maximum):
                return self.repeated(item, minimum, maximum)
        raise TypeError(f"{expr} is not GBNF")

    def repeated(self, item: Expr, minimum: int, maximum: int | None) -> str:
        if max(minimum, maximum or 0) > _BLOCK:
            blocks = self.in_blocks(item, minimum, maximum)
            return f"({self.text(blocks)})" if isinstance(blocks, Alt) else self.text(blocks)
        signs = {(0, None): "*", (1, None): "+", (0, 1): "?"}
        counts = f"{{{minimum}}}" if minimum == maximum else f"{{{minimum},{'' if maximum is None else maximum}}}"
        sign = signs.get((minimum, maximum), counts)
        if isinstance(item, Chars | Rule | Token) or (isinstance(item, Text) and len(item.text) == 1):
            return self.text(item) + sign
        if sign != counts and _is_small(item):
            return f"({self.text(item)}){sign}"
        return self.text(self.named(item)) + sign

    def in_blocks(self, item: Expr, minimum: int, maximum: int | None) -> Expr:
        """The same counts out of blocks of a thousand, of which few are open at any time."""
        item = self.named(item)
        block = self.named(Many(item, _BLOCK, _BLOCK))
        n_blocks, n_rest = divmod(minimum, _BLOCK)
        start = cat(many(block, n_blocks, n_blocks), many(item, n_rest, n_rest))
        if maximum is None:
            return cat(start, many(item))
        n_blocks, n_rest = divmod(maximum - minimum, _BLOCK)
        if n_blocks == 0:
            return cat(start, many(item, 0, n_rest))
        below = cat(many(block, 0, n_blocks - 1), many(item, 0, _BLOCK - 1))
        return cat(start, alt(below, cat(many(block, n_blocks, n_blocks), many(item, 0, n_rest))))


def _is_small(expr: Expr) -> bool:
    """Whether it reads well in parentheses, and llama.cpp makes few rules of it."""
    match expr:
        case Cat(parts) | Alt(parts):
            return len(parts) <= 4 and all(map(_is_small, parts))
        case Many(item, minimum, maximum):
            return max(minimum, maximum or 0) <= 1 and isinstance(item, Chars | Rule | Token)
    return True


def _char_class(given: Chars) -> str:
    """Never as what it is not: llama.cpp then refuses the first bytes of any character that shares them with one."""
    spans = (
        _escaped(chr(low), in_class=True)
        if low == high
        else f"{_escaped(chr(low), in_class=True)}-{_escaped(chr(high), in_class=True)}"
        for low, high in given.ranges
    )
    return f"[{''.join(spans)}]"


def _escaped(char: str, *, in_class: bool) -> str:
    named = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    if char in named and not (in_class and char == '"'):
        return named[char]
    code = ord(char)
    if code < 0x20 or code == 0x7F or (in_class and char in "[]^-"):
        return f"\\x{code:02X}"
    if char.isprintable():
        return char
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"
