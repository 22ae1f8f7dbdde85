"""Numbers as people read them: durations, moments, rates, sizes, shares, differences. Pure; knows no table.

Three significant digits everywhere, since no figure here is known better. A value that was not measured is `None` and
becomes "-", never 0.

    duration(0.0421) == "42.1 ms"    size(1_900_000) == "1.81 MiB"    share(0.95) == "95.0%"
"""

from __future__ import annotations

import math
from collections.abc import Sequence

MISSING = "-"

_MINUTE_S = 60.0
_HOUR_S = 3600.0
_WIDE = 0.05  # an interval wider than this gets no decimals: they would say nothing
_WIDE_DIFFERENCE = 0.02
_MOST_DECIMALS = 6
_NUDGE = 1e-9
_BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def duration(seconds: float | None) -> str:
    """Seconds in the unit that reads best, from microseconds to hours."""
    if seconds is None:
        return MISSING
    if seconds < 0:
        return f"-{duration(-seconds)}"
    for unit, factor in (("µs", 1e6), ("ms", 1e3), ("s", 1.0)):
        value = seconds * factor
        if value < (999.5 if unit != "s" else 59.95):
            return f"{significant(value)} {unit}"
    whole = round(seconds)
    if whole < _HOUR_S:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / _MINUTE_S)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def roughly(seconds: float) -> str:
    """Write an estimate, which deserves one unit and no decimals."""
    if seconds < 1:
        return "less than a second"
    if seconds < 90:
        return plural(round(seconds), "second")
    if seconds < 90 * _MINUTE_S:
        return plural(round(seconds / _MINUTE_S), "minute")
    return plural(round(seconds / _HOUR_S), "hour")


def rate(per_second: float | None) -> str:
    """Write a rate without its unit, which stands in the column's header."""
    return MISSING if per_second is None else significant(per_second)


def size(n_bytes: float | None) -> str:
    """Bytes in binary units: 1 GiB is 2**30."""
    if n_bytes is None:
        return MISSING
    if n_bytes < 0:
        return f"-{size(-n_bytes)}"
    value = float(n_bytes)
    for unit in _BINARY_UNITS[:-1]:
        if value < 999.5:
            return f"{round(value)} B" if unit == "B" else f"{significant(value)} {unit}"
        value /= 1024
    return f"{significant(value)} {_BINARY_UNITS[-1]}"


def share(fraction: float | None) -> str:
    """Write a fraction in percent; 0 and 100 are kept for what is exactly that."""
    return MISSING if fraction is None else f"{_tenths(fraction)}%"


def interval(low: float | None, high: float | None) -> str:
    """Write the ends of an interval of fractions in percent, rounded outwards; a wide one gets no decimals."""
    if low is None or high is None:
        return MISSING
    first, last, decimals = _outwards(low, high, _WIDE)
    return f"{first:.{decimals}f}-{last:.{decimals}f}"


def points(difference: float | None) -> str:
    """Write a difference of fractions in percentage points, signed unless it is nothing."""
    if difference is None:
        return MISSING
    text = f"{difference * 100:+.1f}"
    return "0.0" if float(text) == 0 else text


def ratio_interval(low: float, high: float) -> str:
    """Write the ends of an interval of ratios; one that leaves 1 out is seen to do so."""
    for decimals in range(2, _MOST_DECIMALS + 1):
        first, last = f"{low:.{decimals}f}", f"{high:.{decimals}f}"
        if (float(first) > 1) == (low > 1) and (float(last) < 1) == (high < 1):
            break
    return f"{first}-{last}"


def points_interval(low: float | None, high: float | None, margin: float | None = None) -> str:
    """Write the ends of an interval of differences in percentage points, signed, rounded outwards.

    Neither end is rounded onto or over the margin, which a verdict goes by, or 0, which a reader looks for.
    """
    if low is None or high is None:
        return MISSING
    limits = (0.0,) if margin is None else (-margin, 0.0, margin)
    first, last, decimals = _outwards(low, high, _WIDE_DIFFERENCE, limits)
    return f"{first:+.{decimals}f} to {last:+.{decimals}f}"


def p_value(p: float | None) -> str:
    """Write a p-value to the digits that matter."""
    if p is None:
        return MISSING
    if p < 0.001:
        return "<0.001"
    return f"{p:.3f}" if p < 0.0995 else f"{p:.2f}"


def ratio(factor: float | None) -> str:
    """How many times as much."""
    return MISSING if factor is None else f"{significant(factor)}x"


def count(number: int | None) -> str:
    return MISSING if number is None else f"{number:,}"


def plural(number: int, noun: str, nouns: str | None = None) -> str:
    """Write a count with its noun: `1 case`, `40 cases`."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def plurals(counts: Sequence[int], noun: str) -> str:
    """Write the least and the greatest of several counts with their noun: `3-10 cases`; `8 cases` where all are 8."""
    low, high = min(counts), max(counts)
    return plural(high, noun) if low == high else f"{low}-{high} {noun}s"


def significant(value: float) -> str:
    """Three significant digits without an exponent, thousands separated."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    decimals = max(0, 2 - math.floor(math.log10(abs(round(value, decimals)))))
    return f"{value:,.{min(decimals, 6)}f}"


def moment(utc: str) -> str:
    """A stored moment, to the minute."""
    return f"{utc[:16].replace('T', ' ')} UTC"


def _tenths(fraction: float) -> str:
    percent = fraction * 100
    if 0 < percent < 0.05:
        return "0.1"
    if 99.95 <= percent < 100:
        return "99.9"
    return f"{percent:.1f}"


def _outwards(low: float, high: float, wide: float, limits: Sequence[float] = ()) -> tuple[float, float, int]:
    """Both ends in percent, rounded away from the middle, and the decimals that they deserve.

    Or as many more as it takes to keep both on their side of each limit.
    """
    of_percent = [round(100 * limit, 9) for limit in limits]
    for decimals in range(0 if high - low > wide else 1, _MOST_DECIMALS + 1):
        factor = 100 * 10**decimals
        # The nudge keeps 0.29 * 100 = 28.999999999999996 from becoming 28; adding 0.0 makes a negative zero positive.
        first = math.floor(low * factor + _NUDGE) / 10**decimals + 0.0
        last = math.ceil(high * factor - _NUDGE) / 10**decimals + 0.0
        if not any(first <= x < 100 * low - _NUDGE or 100 * high + _NUDGE < x <= last for x in of_percent):
            break
    return first, last, decimals
