"""What the strict reader of people's JSON refuses, in a sentence."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from bench.suites.json_text import parse, read_text
from engine.json_limits import MAX_DEPTH


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def test_what_is_fine() -> None:
    assert parse('{"a": [1, 1e308, "\\ud83d\\ude00", "ü"]}') == {"a": [1, 1e308, "😀", "ü"]}
    assert parse(nested(MAX_DEPTH))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (nested(MAX_DEPTH + 1), f"it is nested too deeply, more than {MAX_DEPTH} levels"),
        (nested(100_000), "it is nested too deeply"),
        ('["hi \\ud83d"]', "half of a surrogate pair"),
        ('{"\\ude00": 1}', "half of a surrogate pair"),
        ('["\ud83d"]', "half of a surrogate pair"),  # an argument's JSON, which is a text within JSON
        ('{"\\ud83d": 1, "\\ud83d": 2}', "the key '\\ud83d' stands twice"),
        ("[1e999]", "the number 1e999 is out of range"),
        ("[-1e999]", "the number -1e999 is out of range"),
        ("[Infinity]", "Infinity is no JSON value"),
    ],
)
def test_what_no_application_could_pass_on_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        parse(text)
    str(caught.value).encode()


def test_a_key_that_stands_twice_is_found_at_once_in_a_large_object() -> None:
    """Counting each key among all of them took hours for a line of 10 MB, whose last key stood twice."""
    keys = [*range(50_000), 49_999]
    text = "{" + ",".join(f'"{key}":0' for key in keys) + "}"
    began_s = time.process_time()
    with pytest.raises(ValueError, match="the key '49999' stands twice"):
        parse(text)
    assert time.process_time() - began_s < 5


def test_a_text_has_plain_line_ends_and_no_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    assert read_text(path) == "a\nb\nc\n"


def test_what_tells_no_size_is_read_up_to_the_limit_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.suites.json_text.MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="it has more than 1,000 bytes"):
        read_text(Path("/dev/zero"))
