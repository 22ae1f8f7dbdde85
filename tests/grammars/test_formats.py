from __future__ import annotations

import datetime
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import FormatChecker

from grammars.formats import FORMATS, OTHER_STANDARD_FORMATS
from grammars.syntax import to_regex_text
from grammars.validation import validator


def allows(name: str, text: str) -> bool:
    return re.fullmatch(to_regex_text(FORMATS[name]), text) is not None


def test_dates_are_those_of_the_calendar() -> None:
    first, last = datetime.date(1896, 1, 1), datetime.date(1905, 1, 1)
    valid = {(first + datetime.timedelta(days=day)).isoformat() for day in range((last - first).days)}
    for year in range(1896, 1905):
        for month in range(14):
            for day in range(33):
                text = f"{year}-{month:02}-{day:02}"
                assert allows("date", text) == (text in valid), text


@given(st.integers(0, 9999), st.integers(1, 12), st.integers(1, 31))
def test_dates_are_those_that_jsonschema_has(year: int, month: int, day: int) -> None:
    text = f"{year:04}-{month:02}-{day:02}"
    assert allows("date", text) == FormatChecker(["date"]).conforms(text, "date")


@given(st.text("0123456789abcdefABCDEF-", max_size=40) | st.uuids().map(str))
def test_uuids_are_those_that_jsonschema_has(text: str) -> None:
    assert allows("uuid", text) == FormatChecker(["uuid"]).conforms(text, "uuid")


@given(st.text("0125.", max_size=15) | st.ip_addresses(v=4).map(str))
def test_ipv4_addresses_are_those_that_jsonschema_has(text: str) -> None:
    assert allows("ipv4", text) == FormatChecker(["ipv4"]).conforms(text, "ipv4")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("time", "12:30:00Z", True),
        ("time", "23:59:59.123+05:30", True),
        ("time", "24:00:00Z", False),
        ("time", "12:30", False),
        ("time", "12:30:00", False),
        ("date-time", "2024-02-29T12:30:00Z", True),
        ("date-time", "2023-02-29T12:30:00Z", False),
        ("date-time", "2024-02-28 12:30:00Z", False),
        ("hostname", "mail.example.org", True),
        ("hostname", "-x.org", False),
        ("uri", "https://ann:x@a.example:8080/b/c%20d?q=1&r=/#top", True),
        ("uri", "mailto:ann@example.org", True),
        ("uri", "file:///tmp/x", True),
        ("uri", "urn:isbn:1", True),
        ("uri", "//a.example/x", False),
        ("uri", "a.example/x", False),
        ("uri", "http://a b", False),
        ("uri", "http://a/%zz", False),
        ("uri", "1http://a", False),
        ("email", "ann.b+c@mail.example.org", True),
        ("email", "ann@localhost", True),
        ("email", "ann", False),
        ("email", "a..b@x.org", False),
        ("email", "a@-x.org", False),
        ("email", "a b@x.org", False),
    ],
)
def test_what_a_format_allows(name: str, text: str, expected: bool) -> None:
    assert allows(name, text) == expected
    assert validator({"format": name}).is_valid(text) == expected
    assert validator({"format": name}).is_valid(3)


def test_no_format_is_both_known_and_unknown() -> None:
    assert not OTHER_STANDARD_FORMATS & FORMATS.keys()


def test_validation_reads_patterns_as_grammars_do() -> None:
    assert not validator({"pattern": "^a$"}).is_valid("a\n")
    assert validator({"pattern": "^(?=a).$"}).is_valid("a")  # no grammar has it, the library's reading stands
