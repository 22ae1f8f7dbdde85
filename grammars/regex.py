"""A format's tree as one regular expression, for outlines_core: it reads bytes of text and knows no tokens.

Characters of Unicode's last private plane stand for what is not text, and so no text may hold them: one for each
marker that the vocabulary has as one token, and `START`. Whoever gives the vocabulary to outlines_core says which token
is which character, and begins by feeding it `START`. Without such a beginning that occurs nowhere else, outlines_core
also builds the automaton that looks for the expression anywhere, which grows exponentially with counted repetitions.
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
    many,
    ranges,
)
from grammars.restricted import Grammar
from grammars.syntax import to_regex_text

MAX_PARTS = 100_000
"""What is written or counted more than once repeats all that is in it; a larger expression would take minutes."""
MOST_IN_ANY_ORDER = 3
"""Every order is written out; fewer may change places where that would have too many parts."""
FIRST_STAND_IN = 0x100000
START = chr(LAST)
_STAND_INS = ranges((FIRST_STAND_IN, LAST))


def to_regex(node: Node, stand_ins: Mapping[str, str]) -> str:
    """The regular expression; `stand_ins` names the character for each marker that is one token."""
    for most in range(MOST_IN_ANY_ORDER, 0, -1):
        grammar = build(node, dict.fromkeys(stand_ins, 0), "outlines", recursive=False, most_in_any_order=most)
        if _n_parts(grammar) <= MAX_PARTS:
            break
    else:
        reason = f"its parts repeat each other, and one regular expression would have more than {MAX_PARTS:,}"
        raise UnsupportedSchema("outlines", "type", "#", reason)
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
    # Without the `$`, outlines_core takes a state for final too early, and drops tokens that lead on from it.
    return f"{START}(?:{to_regex_text(whole)})$"


def _n_parts(grammar: Grammar) -> int:
    """Of the whole, with every rule written out wherever it is used, and what is counted as often as it may stand."""
    known: dict[str, int] = {}

    def counted(expr: Expr) -> int:
        match expr:
            case Rule(name):
                if name not in known:
                    known[name] = counted(grammar.rules[name])
                return known[name]
            case Cat(parts) | Alt(parts):
                return sum(map(counted, parts))
            case Many(item, minimum, maximum):
                return counted(item) * max(minimum, maximum or 1)
        return 1

    return counted(Rule("root"))
