r"""How a JSON string is spelled: one way only, so that a text and a value correspond.

As `json.dumps(..., ensure_ascii=False)` writes it, and U+007F as `\u007f` because llguidance wants it so. Lone
surrogates, which UTF-8 cannot carry, do not occur.
"""

from __future__ import annotations

import json

from grammars.regular import Alt, Cat, Chars, Expr, Many, Text, alt, cat, chars, excluding, many, ranges

_SHORT = {'"': '"', "\\": "\\", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
_ESCAPED = ranges((0, 0x1F), (0x22, 0x22), (0x5C, 0x5C), (0x7F, 0x7F))


def quoted(text: str) -> str:
    """The JSON string that means `text`."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def spelled(content: Expr) -> Expr:
    """What the text between the quotes looks like when the string's content matches a regular expression."""
    match content:
        case Text(text):
            return Text(quoted(text)[1:-1])
        case Chars():
            return _spelled_chars(content)
        case Cat(parts):
            return cat(*map(spelled, parts))
        case Alt(options):
            return alt(*map(spelled, options))
        case Many(item, minimum, maximum):
            return many(spelled(item), minimum, maximum)
    raise TypeError(f"{content} is not regular")


def _spelled_chars(content: Chars) -> Expr:
    escaped = [chr(code) for low, high in _ESCAPED.ranges for code in range(low, high + 1) if chr(code) in content]
    short = "".join(_SHORT[char] for char in escaped if char in _SHORT)
    long: dict[str, str] = {}  # by all but the last hexadecimal digit
    for char in escaped:
        if char not in _SHORT:
            digits = f"\\u{ord(char):04x}"
            long[digits[:-1]] = long.get(digits[:-1], "") + digits[-1]
    plain = excluding(content, _ESCAPED)
    options: list[Expr] = [plain] if plain.ranges else []
    if short:
        options.append(cat(Text("\\"), chars(short)))
    options += [cat(Text(prefix), chars(last)) for prefix, last in long.items()]
    return alt(*options)
