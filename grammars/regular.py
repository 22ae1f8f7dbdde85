"""Expressions over characters: what every generated grammar is made of before it is printed for an engine.

Immutable and simplified as they are built. Without a `Rule` or a `Token` in it an expression is a regular expression.
Knows no JSON Schema, no GBNF and no engine's regex syntax.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

Ranges = tuple[tuple[int, int], ...]
LAST = 0x10FFFF


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Chars:
    """One character out of sorted, disjoint, inclusive ranges of code points; never a surrogate."""

    ranges: Ranges

    def __contains__(self, char: str) -> bool:
        place = bisect_right(self.ranges, (ord(char), LAST)) - 1
        return place >= 0 and ord(char) <= self.ranges[place][1]


@dataclass(frozen=True, slots=True)
class Cat:
    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Alt:
    """Any of the options; of none, nothing at all matches."""

    options: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Many:
    item: Expr
    minimum: int
    maximum: int | None


@dataclass(frozen=True, slots=True)
class Rule:
    """Whatever the grammar's rule of this name matches."""

    name: str


@dataclass(frozen=True, slots=True)
class Token:
    """One token of the vocabulary, by id; no sequence of other tokens will do."""

    id: int
    text: str


@dataclass(frozen=True, slots=True)
class UpTo:
    """Any text without NUL that, with `word` after it, holds `word` at its end and nowhere before.

    `seen`: how much of the beginning of `word` has been written already.
    """

    word: str
    seen: int = 0


@dataclass(frozen=True, slots=True)
class Both:
    """What both regular expressions match."""

    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Foreign:
    """Something that is already written in the language of the engine at hand."""

    text: str


Expr = Text | Chars | Cat | Alt | Many | UpTo | Both | Rule | Token | Foreign
EMPTY = Text("")
NOTHING = Alt(())


def ranges(*pairs: tuple[int, int]) -> Chars:
    """The characters of all pairs, without surrogates, merged."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(pair for given in pairs for pair in _without_surrogates(*given)):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return Chars(tuple(merged))


def _without_surrogates(low: int, high: int) -> Iterable[tuple[int, int]]:
    return [pair for pair in ((low, min(high, 0xD7FF)), (max(low, 0xE000), high)) if pair[0] <= pair[1]]


def chars(characters: str) -> Chars:
    return ranges(*((ord(char), ord(char)) for char in characters))


def union(*sets: Chars) -> Chars:
    return ranges(*(pair for given in sets for pair in given.ranges))


def excluding(given: Chars, *excluded: Chars) -> Chars:
    left: list[tuple[int, int]] = []
    holes = union(*excluded).ranges
    for low, high in given.ranges:
        for hole_low, hole_high in holes:
            if hole_high < low or hole_low > high:
                continue
            if low < hole_low:
                left.append((low, hole_low - 1))
            low = hole_high + 1
        if low <= high:
            left.append((low, high))
    return ranges(*left)


@lru_cache(maxsize=4096)
def common(some: Chars, others: Chars) -> Chars:
    """The characters of both."""
    pairs = [
        (max(low, other_low), min(high, other_high))
        for low, high in some.ranges
        for other_low, other_high in others.ranges
        if low <= other_high and other_low <= high
    ]
    return Chars(tuple(sorted(pairs)))


ANY = ranges((0, LAST))
TEXT = ranges((1, LAST))  # what stands in a text as it is: llama.cpp reads none beyond a NUL
DIGIT = chars("0123456789")


def cat(*parts: Expr) -> Expr:
    """One after the other."""
    flat: list[Expr] = []
    for part in parts:
        for piece in part.parts if isinstance(part, Cat) else (part,):
            if piece == NOTHING:
                return NOTHING
            if isinstance(piece, Text) and flat and isinstance(flat[-1], Text):
                flat[-1] = Text(flat[-1].text + piece.text)
            elif piece != EMPTY:
                flat.append(piece)
    return flat[0] if len(flat) == 1 else Cat(tuple(flat)) if flat else EMPTY


def alt(*options: Expr) -> Expr:
    """Any of them; single characters are gathered into one set, and an empty option makes all optional."""
    flat: list[Expr] = []
    sets: list[Chars] = []
    skippable = False
    for option in options:
        for one in option.options if isinstance(option, Alt) else (option,):
            if isinstance(one, Text) and len(one.text) == 1:
                sets.append(chars(one.text))
            elif isinstance(one, Chars):
                sets.append(one)
            elif one == EMPTY or (isinstance(one, Many) and (one.minimum, one.maximum) == (0, 1)):
                skippable = True
                flat += [one.item] if isinstance(one, Many) and one.item not in flat else []
            elif one not in flat:
                flat.append(one)
    gathered = union(*sets)
    if gathered.ranges:
        flat.insert(0, gathered)
    found = flat[0] if len(flat) == 1 else Alt(tuple(flat))
    if not skippable:
        return found
    return optional(found) if flat else EMPTY


def many(item: Expr, minimum: int = 0, maximum: int | None = None) -> Expr:
    """`minimum` to `maximum` (None: any number) times."""
    if maximum is not None and maximum < minimum:
        return NOTHING
    if item in (NOTHING, EMPTY) or maximum == 0:
        return EMPTY if minimum == 0 or item == EMPTY else NOTHING
    return item if minimum == maximum == 1 else Many(item, minimum, maximum)


def optional(item: Expr) -> Expr:
    return many(item, 0, 1)


def separated(item: Expr, separator: Expr, minimum: int, maximum: int | None) -> Expr:
    """`item`s with `separator` between them."""
    if maximum == 0:
        return EMPTY if minimum == 0 else NOTHING
    rest = many(cat(separator, item), max(minimum - 1, 0), None if maximum is None else maximum - 1)
    return cat(item, rest) if minimum > 0 else optional(cat(item, rest))


def length_bounds(expr: Expr) -> tuple[int, int | None]:
    """The fewest and the most characters (None: no limit) that a regular expression matches."""
    match expr:
        case Text(text):
            return len(text), len(text)
        case Chars():
            return 1, 1
        case Many(item, minimum, maximum):
            low, high = length_bounds(item)
            return low * minimum, 0 if high == 0 else None if high is None or maximum is None else high * maximum
        case Cat(parts):
            bounds = [length_bounds(part) for part in parts]
            highs = [high for _, high in bounds]
            return sum(low for low, _ in bounds), None if None in highs else sum(high or 0 for high in highs)
        case Alt(options):
            bounds = [length_bounds(option) for option in options]
            highs = [high for _, high in bounds]
            return min((low for low, _ in bounds), default=0), None if None in highs else max(
                (high or 0 for high in highs), default=0
            )
        case UpTo():
            return 0, None
        case Both(left, right):
            (low, high), (other_low, other_high) = length_bounds(left), length_bounds(right)
            known = [one for one in (high, other_high) if one is not None]
            return max(low, other_low), min(known, default=None)
    raise TypeError(f"{expr} is not regular")


def other_than(words: Iterable[str], alphabet: Chars = ANY) -> Expr:
    """Any text out of these characters, the empty one included, except exactly these words."""
    tails: dict[str, list[str]] = {}
    for word in sorted(set(words)):
        tails.setdefault(word[:1], []).append(word[1:])
    taken = tails.pop("", None) is not None
    first = chars("".join(tails))
    longer = [cat(Text(char), other_than(rest, alphabet)) for char, rest in tails.items()]
    different = cat(excluding(alphabet, first), many(alphabet))
    return alt(different, *longer) if taken else alt(EMPTY, different, *longer)
