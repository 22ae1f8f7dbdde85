"""A format's tree as one regular expression, for outlines_core: it reads bytes of text and knows no tokens.

A marker that the vocabulary has as one token is written as a character of Unicode's last private plane, which stands
for that token alone: text may hold no character of that plane, and whoever gives the vocabulary to outlines_core says
that the token is that character.
"""

from __future__ import annotations

from collections.abc import Mapping

from grammars.build import build
from grammars.errors import UnsupportedSchema
from grammars.nodes import Node
from grammars.regular import (
    LAST,
    Alt,
    Cat,
    Chars,
    Expr,
    Many,
    Rule,
    Text,
    Token,
    alt,
    cat,
    excluding,
    length_bounds,
    many,
    ranges,
)
from grammars.syntax import to_regex_text

FIRST_STAND_IN = 0x100000
_STAND_INS = ranges((FIRST_STAND_IN, LAST))


def to_regex(node: Node, stand_ins: Mapping[str, str]) -> str:
    """The regular expression; `stand_ins` names the character for each marker that is one token."""
    grammar = build(node, dict.fromkeys(stand_ins, 0), "outlines", recursive=False)
    inlined: dict[str, Expr] = {}

    def inline(expr: Expr) -> Expr:
        match expr:
            case Rule(name):
                if name not in inlined:
                    inlined[name] = inline(grammar.rules[name])
                return inlined[name]
            case Token(_, text):
                return Text(stand_ins[text])
            case Chars():
                return excluding(expr, _STAND_INS)
            case Cat(parts):
                return cat(*map(inline, parts))
            case Alt(options):
                return alt(*map(inline, options))
            case Many(item, minimum, maximum):
                return many(inline(item), minimum, maximum)
        return expr

    whole = inline(grammar.rules["root"])
    if length_bounds(whole)[0] == 0:
        raise UnsupportedSchema("outlines", "empty answer", "#", "an automaton of its kind cannot end where it starts")
    # Without the `$`, outlines_core takes a state for final too early, and drops tokens that lead on from it.
    return f"(?:{to_regex_text(whole)})$"
