from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import numbers


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0 µs"),
        (0.00000042, "0.420 µs"),
        (0.00085, "850 µs"),
        (0.0009996, "1.00 ms"),
        (0.0421, "42.1 ms"),
        (0.421, "421 ms"),
        (0.9996, "1.00 s"),
        (4.2, "4.20 s"),
        (42.04, "42.0 s"),
        (59.94, "59.9 s"),
        (59.99, "1 min 00 s"),
        (125.4, "2 min 05 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (3840, "1 h 04 min"),
        (90_000, "25 h 00 min"),
        (-0.5, "-500 ms"),
    ],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert numbers.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "less than a second"),
        (1, "1 second"),
        (89, "89 seconds"),
        (91, "2 minutes"),
        (3600, "60 minutes"),
        (5401, "2 hours"),
        (90_000, "25 hours"),
    ],
)
def test_roughly(seconds: float, text: str) -> None:
    assert numbers.roughly(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0"),
        (0.1234, "0.123"),
        (4.216, "4.22"),
        (9.996, "10.0"),
        (98.25, "98.2"),
        (999.6, "1,000"),
        (12345.6, "12,346"),
    ],
)
def test_rate(value: float | None, text: str) -> None:
    assert numbers.rate(value) == text


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (512, "512 B"),
        (1000, "0.977 KiB"),
        (1536, "1.50 KiB"),
        (5_948_416, "5.67 MiB"),
        (2**30, "1.00 GiB"),
        (16 * 2**30, "16.0 GiB"),
        (3 * 2**50, "3,072 TiB"),
        (-5_948_416, "-5.67 MiB"),
        (-512, "-512 B"),
    ],
)
def test_size(n_bytes: int | None, text: str) -> None:
    assert numbers.size(n_bytes) == text


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (None, "-"),
        (0.0, "0.0%"),
        (0.0001, "0.1%"),
        (0.5, "50.0%"),
        (0.9125, "91.2%"),
        (0.99999, "99.9%"),
        (1.0, "100.0%"),
    ],
)
def test_share(fraction: float | None, text: str) -> None:
    assert numbers.share(fraction) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (None, 0.5, "-"),
        (0.5, None, "-"),
        (0.8350, 0.9862, "83-99"),
        (0.0, 0.088, "0-9"),
        (0.9119, 1.0, "91-100"),
        (0.29, 0.57, "29-57"),
        (0.9013, 0.9304, "90.1-93.1"),
        (0.9990, 1.0, "99.9-100.0"),
    ],
)
def test_interval(low: float | None, high: float | None, text: str) -> None:
    assert numbers.interval(low, high) == text


@pytest.mark.parametrize(
    ("difference", "text"),
    [(None, "-"), (0.025, "+2.5"), (-0.1, "-10.0"), (0.0, "0.0"), (-0.0001, "0.0"), (0.0001, "0.0")],
)
def test_points(difference: float | None, text: str) -> None:
    assert numbers.points(difference) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (None, 0.5, "-"),
        (-0.3512, -0.0588, "-36 to -5"),
        (-0.02, 0.0201, "-2 to +3"),
        (-0.005, 0.0101, "-0.5 to +1.1"),
        (-0.1, 0.0, "-10 to +0"),
        (-0.001, 0.2, "-1 to +20"),
    ],
)
def test_points_interval(low: float | None, high: float | None, text: str) -> None:
    assert numbers.points_interval(low, high) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (-0.0457, 0.1657, "-4.6 to +16.6"),  # not worse by five points, and would read "-5 to +17"
        (-0.0663, -0.0065, "-6.7 to -0.6"),
        (0.0036, 0.2, "+0.3 to +20.0"),
        (-0.1, 0.0496, "-10.00 to +4.96"),
        (-0.04996, 0.1, "-4.996 to +10.000"),
        (-0.05, 0.1, "-5 to +10"),
    ],
)
def test_points_that_would_be_rounded_over_a_limit_get_decimals(low: float, high: float, text: str) -> None:
    assert numbers.points_interval(low, high, 0.05) == text


@pytest.mark.parametrize(
    ("p", "text"), [(None, "-"), (0.0, "<0.001"), (0.0314, "0.031"), (0.0996, "0.10"), (0.4531, "0.45"), (1.0, "1.00")]
)
def test_p_value(p: float | None, text: str) -> None:
    assert numbers.p_value(p) == text


@pytest.mark.parametrize(("factor", "text"), [(None, "-"), (1.2, "1.20x"), (0.0457, "0.0457x"), (15.36, "15.4x")])
def test_ratio(factor: float | None, text: str) -> None:
    assert numbers.ratio(factor) == text


@pytest.mark.parametrize(("number", "text"), [(None, "-"), (0, "0"), (1234, "1,234")])
def test_count(number: int | None, text: str) -> None:
    assert numbers.count(number) == text


@pytest.mark.parametrize(
    ("number", "nouns", "text"),
    [(0, None, "0 cases"), (1, None, "1 case"), (1200, None, "1,200 cases"), (2, "caseful", "2 caseful")],
)
def test_plural(number: int, nouns: str | None, text: str) -> None:
    assert numbers.plural(number, "case", nouns) == text


@settings(max_examples=100)
@given(st.floats(min_value=1e-3, max_value=1e9))
def test_three_significant_digits_are_right_to_half_a_per_cent(value: float) -> None:
    text = numbers.significant(value)
    assert re.fullmatch(r"[\d,]+(\.\d+)?", text)
    assert float(text.replace(",", "")) == pytest.approx(value, rel=0.005)
    if value < 999:
        assert len(text.replace(".", "").lstrip("0")) == 3


@settings(max_examples=100)
@given(st.floats(min_value=0, max_value=1), st.floats(min_value=0, max_value=1))
def test_a_larger_share_never_reads_as_a_smaller_one(first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert float(numbers.share(low)[:-1]) <= float(numbers.share(high)[:-1])
    assert (numbers.share(high) == "100.0%") == (high * 100 >= 100)


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.95, 1.04, "0.95-1.04"),
        (1.003, 1.04, "1.003-1.040"),
        (0.95, 0.99996, "0.95000-0.99996"),
        (0.999, 1.2, "1.00-1.20"),
        (1.0, 1.0, "1.00-1.00"),
    ],
)
def test_a_ratio_that_leaves_1_out_is_seen_to(low: float, high: float, text: str) -> None:
    """Bold stood "1.02x (1.00-1.04)"."""
    assert numbers.ratio_interval(low, high) == text


@pytest.mark.parametrize(("counts", "text"), [([1], "1 case"), ([8, 8], "8 cases"), ([10, 3, 4], "3-10 cases")])
def test_several_counts_of_one_thing(counts: list[int], text: str) -> None:
    assert numbers.plurals(counts, "case") == text
