"""The decimal numbers between two bounds as regular expressions, exactly.

Integers have no leading zeros and no `-0`; other numbers no exponent where they are bounded. Knows no schema.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from grammars.regular import DIGIT, EMPTY, NOTHING, Expr, Text, alt, cat, chars, many, optional

DIGITS = many(DIGIT)
FRACTION = optional(cat(Text("."), many(DIGIT, 1)))
NATURAL = alt(Text("0"), cat(chars("123456789"), DIGITS))
NUMBER = cat(optional(Text("-")), NATURAL, FRACTION, optional(cat(chars("eE"), optional(chars("+-")), many(DIGIT, 1))))


@dataclass(frozen=True, slots=True)
class Bound:
    """An end of a range. Only zero is ever excluded itself: next to any other value lies another one."""

    value: Decimal
    excluded: bool = False


def integers(low: int | None, high: int | None) -> Expr:
    """All integers from `low` to `high`, both included; None is no bound."""
    if low is not None and high is not None and low > high:
        return NOTHING
    negative: Expr = NOTHING
    if low is None or low < 0:
        smallest = 1 if high is None or high >= 0 else -high
        negative = cat(Text("-"), _naturals(smallest, None if low is None else -low))
    positive = NOTHING if high is not None and high < 0 else _naturals(max(low or 0, 0), high)
    return alt(negative, positive)


def _naturals(low: int, high: int | None) -> Expr:
    start, options = str(low), []
    if high is None:
        if low == 0:
            return NATURAL
        options.append(_same_length(start, "9" * len(start)))
        options.append(cat(chars("123456789"), many(DIGIT, len(start))))
        return alt(*options)
    end = str(high)
    if len(start) == len(end):
        return _same_length(start, end)
    options.append(_same_length(start, "9" * len(start)))
    if len(end) - len(start) > 1:
        options.append(cat(chars("123456789"), many(DIGIT, len(start), len(end) - 2)))
    options.append(_same_length("1" + "0" * (len(end) - 1), end))
    return alt(*options)


def _same_length(low: str, high: str) -> Expr:
    """The digit strings from `low` to `high`, which are as long as each other."""
    if not low or (set(low) == {"0"} and set(high) == {"9"}):
        return many(DIGIT, len(low), len(low))
    if low[0] == high[0]:
        return cat(Text(low[0]), _same_length(low[1:], high[1:]))
    rest = len(low) - 1
    zeros, nines = "0" * rest, "9" * rest
    first, last = int(low[0]), int(high[0])
    options: list[Expr] = []
    if low[1:] != zeros:
        options.append(cat(Text(low[0]), _same_length(low[1:], nines)))
        first += 1
    if high[1:] != nines:
        options.append(cat(Text(high[0]), _same_length(zeros, high[1:])))
        last -= 1
    options.append(cat(_digits(first, last), many(DIGIT, rest, rest)))
    return alt(*options)


def _digits(first: int, last: int) -> Expr:
    return chars("0123456789"[first : last + 1]) if first <= last else NOTHING


def decimals(low: Bound | None, high: Bound | None) -> Expr:
    """All decimal numbers between the bounds, without exponent; with no bound at all, every JSON number."""
    if low is None and high is None:
        return NUMBER
    zero = Bound(Decimal(0))
    negative: Expr = NOTHING
    if low is None or low.value < 0:
        to = None if low is None else Bound(-low.value)
        nearest = zero if high is None or high.value > 0 else Bound(-high.value, high.excluded)
        negative = cat(Text("-"), _positive(nearest, to))
    positive: Expr = NOTHING
    if high is None or high.value > 0 or high == zero:
        positive = _positive(low if low is not None and low.value >= 0 else zero, high)
    return alt(negative, positive)


def _positive(low: Bound, high: Bound | None) -> Expr:
    """From `low` (not negative) on; `high` is never an excluded zero."""
    if high is not None and (low.value > high.value or (low.excluded and high.value == 0)):
        return NOTHING
    whole, fraction = _split(low.value)
    lower = _fraction_above_zero() if low.excluded else _fraction_from(fraction)
    if high is None:
        return alt(cat(Text(str(whole)), lower), cat(_naturals(whole + 1, None), FRACTION))
    last, end = _split(high.value)
    if whole == last:
        return cat(Text(str(whole)), _fraction_between(fraction, end, low.excluded))
    options = [cat(Text(str(whole)), lower), cat(Text(str(last)), _fraction_between("", end, False))]
    if last - whole > 1:
        options.append(cat(_naturals(whole + 1, last - 1), FRACTION))
    return alt(*options)


def _split(value: Decimal) -> tuple[int, str]:
    whole, _, fraction = format(value, "f").partition(".")
    return int(whole), fraction.rstrip("0")


def _fraction_from(digits: str) -> Expr:
    return cat(Text("."), _tail_from(digits)) if digits else FRACTION


def _fraction_above_zero() -> Expr:
    return cat(Text("."), many(Text("0")), chars("123456789"), DIGITS)


def _fraction_between(low: str, high: str, above_zero: bool) -> Expr:
    """The point and what follows it, between two fractions given without trailing zeros."""
    fraction = cat(Text("."), _tail_above_zero(high) if above_zero else _tail_between(low, high, some=True))
    return fraction if low or above_zero else optional(fraction)


def _tail_from(digits: str) -> Expr:
    """Digits that are at least `digits`, compared as a fraction; `digits` does not end with 0."""
    if not digits:
        return DIGITS
    return alt(cat(_digits(int(digits[0]) + 1, 9), DIGITS), cat(Text(digits[0]), _tail_from(digits[1:])))


def _tail_between(low: str, high: str, *, some: bool) -> Expr:
    """Digits from `low` to `high`, compared as fractions; at least one digit if `some`."""
    if not low and not high:
        return many(Text("0"), int(some))
    first, last = int(low[:1] or 0), int(high[:1] or 0)
    if first > last:
        return NOTHING
    if first == last:
        tail = cat(Text(str(first)), _tail_between(low[1:], high[1:], some=False))
    else:
        tail = alt(
            cat(Text(str(first)), _tail_from(low[1:])),
            cat(_digits(first + 1, last - 1), DIGITS),
            cat(Text(str(last)), _tail_between("", high[1:], some=False)),
        )
    return tail if low or some else alt(EMPTY, tail)


def _tail_above_zero(high: str) -> Expr:
    """Digits above zero, up to `high`, compared as fractions."""
    if not high:
        return NOTHING
    first = int(high[0])
    if first == 0:
        return cat(Text("0"), _tail_above_zero(high[1:]))
    return alt(
        cat(_digits(1, first - 1), DIGITS),
        cat(many(Text("0"), 1), chars("123456789"), DIGITS),
        cat(Text(high[0]), _tail_between("", high[1:], some=False)),
    )
