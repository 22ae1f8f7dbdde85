"""Regular expressions in the syntax that Rust and Python share: for outlines, and to validate with.

Only what both read alike is written: literal characters, classes, groups, alternatives and repetitions.
"""

from __future__ import annotations

from grammars.regular import LAST, Alt, Cat, Chars, Expr, Many, Text

_META = frozenset("\\.+*?()|[]{}^$-&~#")
_NOTHING = "[^\\s\\S]"


def to_regex_text(expr: Expr) -> str:
    """A regular expression that matches exactly what `expr` does, when all of a text has to match."""
    match expr:
        case Text(text):
            return "".join(map(_char, text))
        case Chars():
            return _char_class(expr)
        case Cat(parts):
            return "".join(_grouped(part) if isinstance(part, Alt) else to_regex_text(part) for part in parts)
        case Alt(options):
            return "|".join(map(to_regex_text, options)) if options else _NOTHING
        case Many(item, minimum, maximum):
            return _repeated(item) + _count(minimum, maximum)
    raise TypeError(f"{expr} is not regular")


def _grouped(expr: Expr) -> str:
    return f"(?:{to_regex_text(expr)})"


def _repeated(item: Expr) -> str:
    single = isinstance(item, Chars) or (isinstance(item, Text) and len(item.text) == 1)
    return to_regex_text(item) if single else _grouped(item)


def _count(minimum: int, maximum: int | None) -> str:
    match minimum, maximum:
        case 0, None:
            return "*"
        case 1, None:
            return "+"
        case 0, 1:
            return "?"
        case _, None:
            return f"{{{minimum},}}"
    return f"{{{minimum}}}" if minimum == maximum else f"{{{minimum},{maximum}}}"


def _char(char: str) -> str:
    return f"\\{char}" if char in _META else char


def _char_class(given: Chars) -> str:
    negated = bool(given.ranges) and given.ranges[-1][1] == LAST
    pairs = _gaps(given) if negated else given.ranges
    if len(pairs) == 1 and not negated and pairs[0][0] == pairs[0][1]:
        return _char(chr(pairs[0][0]))
    if not pairs:
        return "[\\s\\S]" if negated else _NOTHING
    inside = "".join(_char(chr(low)) if low == high else f"{_char(chr(low))}-{_char(chr(high))}" for low, high in pairs)
    return f"[{'^' if negated else ''}{inside}]"


def _gaps(given: Chars) -> list[tuple[int, int]]:
    """What is missing up to the last code point; surrogates do not count, no text has them."""
    gaps, start = [], 0
    for low, high in given.ranges:
        if start < low and (start, low) != (0xD800, 0xE000):
            gaps.append((start, low - 1))
        start = high + 1
    return gaps
