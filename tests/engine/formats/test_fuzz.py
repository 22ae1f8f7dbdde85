"""Broken, hostile and very long answers: no parser raises, invents a call, takes one back, or takes long."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.formats import FORMATS
from engine.formats.protocol import ToolFormat
from engine.types import Call, Tool
from grammars.schema import normalise_parameters
from tests.engine.formats.drawing import SYNTAX
from tests.engine.formats.prefixes import is_thinking

FULL = "TOOLGAUGE_WALKS" in os.environ
N_MUTANTS = 5000 if FULL else 250
MEGABYTE, LONG = 1_000_000, 32_000
LIMIT_S = 1.0  # of processor time, for a megabyte
formats = pytest.mark.parametrize("fmt", FORMATS.values(), ids=lambda fmt: fmt.id)

TOOLS = tuple(
    Tool(
        name,
        "",
        normalise_parameters(
            {
                "type": "object",
                "properties": {
                    "city": {"type": "string"},
                    "days": {"type": "integer"},
                    "more": {"type": "object", "additionalProperties": True},
                    "list": {"type": "array", "items": {"type": "string"}},
                },
            }
        ),
    )
    for name in ("get_weather", "add")
)
CALLS = (
    Call("get_weather", {"city": 'Zürich "\\\n', "days": 2, "more": {"a": [1, {"b": None}]}, "list": ["x", "y"]}),
    Call("add", {}),
)


def sample(fmt: ToolFormat) -> str:
    """An answer of the format with all that it has."""
    return fmt.write(CALLS[: fmt.max_calls], TOOLS)


def triggers(fmt: ToolFormat) -> tuple[str, ...]:
    return fmt.constraint(TOOLS, required=False).triggers or ('{"calls": [',)


# Noise


@formats
@settings(max_examples=100)
@given(data=st.data(), opened=st.booleans())
def test_noise_is_no_exception_and_no_invention(fmt: ToolFormat, data: st.DataObject, opened: bool) -> None:
    pieces = [*SYNTAX, *triggers(fmt), *fmt.markers, sample(fmt), "get_weather", "city", "Paris", "\ud800"]
    pieces += [fmt.frame.open, fmt.frame.close, fmt.frame.resume, fmt.frame.header]
    text = data.draw(st.lists(st.sampled_from(pieces) | st.text(max_size=4), max_size=14).map("".join))
    check(fmt, text, opened)


@formats
def test_mutated_answers_are_no_exception_and_no_invention(fmt: ToolFormat) -> None:
    for number in range(N_MUTANTS):
        chance = random.Random(f"{fmt.id} {number}")
        pieces = [*fmt.markers, *triggers(fmt), *chance.sample(SYNTAX, 4), sample(fmt)]
        text = mutated(sample(fmt), [piece.encode() for piece in pieces], chance)
        check(fmt, text, opened=chance.random() < 0.1)


def mutated(text: str, pieces: list[bytes], chance: random.Random) -> str:
    """A few bytes or markers of it lost, doubled, changed, swapped or put in."""
    data = text.encode()
    for _ in range(chance.randint(1, 4)):
        start, end = sorted((chance.randint(0, len(data)), chance.randint(0, len(data))))
        end = min(end, start + chance.choice([0, 1, 2, 10, 60]))
        middle = data[start:end]
        replacement = chance.choice(
            [b"", middle * 2, bytes([chance.randrange(256)]), chance.choice(pieces), middle[::-1], middle.swapcase()]
        )
        data = data[:start] + replacement + data[end:]
    return data.decode(errors=chance.choice(["replace", "ignore", "surrogateescape"]))


def check(fmt: ToolFormat, text: str, opened: bool) -> None:
    parsed = fmt.parse(text, TOOLS, reasoning_opened=opened)
    for call in parsed.calls:
        assert call.name and isinstance(call.arguments, dict)
    for fragment in parsed.fragments:
        assert fragment.reason
        assert 0 <= fragment.position <= len(text)
    assert parsed.fragments or not parsed.open_block, "what is open is named"
    cut = random.Random(text.encode(errors="surrogatepass")).randint(0, len(text))
    earlier = fmt.parse(text[:cut], TOOLS, reasoning_opened=opened)
    is_draft = is_thinking(fmt, text[:cut], opened=opened)
    if fmt.id != "json" and not is_draft:  # the envelope is the whole answer: more text may spoil it
        assert parsed.calls[: len(earlier.calls)] == earlier.calls, f"a call is taken back: {text!r} at {cut}"
    watcher = fmt.watcher(TOOLS, reasoning_opened=opened)
    for piece, seen in ((text[:cut], earlier), (text[cut:], parsed)):
        watcher.feed(piece)
        calls = () if is_thinking(fmt, text[:cut] if seen is earlier else text, opened=opened) else seen.calls
        assert watcher.call_complete is bool(calls), f"the watcher disagrees: {text!r} at {cut}"
        assert watcher.name_known or not calls


# Long answers


def hostile(fmt: ToolFormat) -> dict[str, Callable[[int], str]]:
    """Makers of texts of about a given size: the common shapes, and with `FULL` all combinations."""
    answer, opener = sample(fmt), triggers(fmt)[0]
    fillers = {"letters": "a", "blanks": " ", "quotes": '"', "backslashes": "\\", '{"a":': '{"a":', "[": "[", "<": "<"}
    fillers |= {f"marker {marker}": marker for marker in (opener, *fmt.markers)}
    fillers |= {"call": answer, "almost a call": answer[:-1], "half a call": answer[: len(answer) // 2]}
    if FULL:
        fillers |= {text: text for text in ("{", "</", "[1,", "😀", "\\u00", fmt.frame.open, fmt.frame.close)}
        fillers |= {
            "lines": "\n",
            "the other half": answer[len(answer) // 2 :],
            "all of a thought": fmt.frame.open + fmt.frame.close,
        }
    shapes = {filled: repeated("", filler) for filled, filler in fillers.items()}
    shapes |= {f"{filled} after an opener": repeated(opener, filler) for filled, filler in fillers.items()}
    shapes["openers and ends in turn"] = repeated("", opener + answer[-12:])
    for eighth in range(1, 8) if FULL else (5,):
        part = answer[: len(answer) * eighth // 8]
        shapes[f"{eighth}/8 of a call"] = repeated("", part)
        shapes |= {f"{filled} after {eighth}/8 of a call": repeated(part, fillers[filled]) for filled in fillers}
    return shapes


def repeated(start: str, filler: str) -> Callable[[int], str]:
    size = max(1, len(filler.encode()))
    return lambda n_bytes: start + filler * (n_bytes // size)


def seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def parsing(fmt: ToolFormat, text: str, n_runs: int = 3) -> float:
    """The quickest of some runs: what disturbs one of them is not the parser."""
    return min(seconds(lambda: fmt.parse(text, TOOLS)) for _ in range(n_runs))


def more_than_eightfold(fmt: ToolFormat, make: Callable[[int], str], n_runs: int) -> str:
    """What four times the text takes, where that is far more than four times as long; 16 times would be the square."""
    short, long = parsing(fmt, make(LONG // 4), n_runs), parsing(fmt, make(LONG), n_runs)
    if long <= 8 * short or long <= LIMIT_S * LONG / MEGABYTE / 2:
        return ""
    return f"{1000 * short:.0f} ms, and {1000 * long:.0f} ms for four times as much"


@formats
def test_time_grows_with_the_text_and_not_with_its_square(fmt: ToolFormat) -> None:
    slow = []
    for name, make in hostile(fmt).items():
        if parsing(fmt, make(LONG), n_runs=1) < LIMIT_S * LONG / MEGABYTE / 2:
            continue
        # once more, and longer, before anything is said of it: other processes want the caches, too
        if more_than_eightfold(fmt, make, n_runs=3) and (found := more_than_eightfold(fmt, make, n_runs=15)):
            slow.append(f"{name}: {found}")
    assert slow == []


@pytest.mark.skipif(not FULL, reason="takes minutes; part of `make walks`")
@formats
def test_a_megabyte_of_hostile_text_takes_less_than_a_second(fmt: ToolFormat) -> None:
    taken = {name: parsing(fmt, make(MEGABYTE), n_runs=1) for name, make in hostile(fmt).items()}
    slow = {name: parsing(fmt, hostile(fmt)[name](MEGABYTE)) for name in taken if taken[name] > LIMIT_S}
    slow = {name: duration for name, duration in slow.items() if duration > LIMIT_S}
    assert slow == {}
    slowest = max(taken, key=taken.__getitem__)
    print(f"{fmt.id}: {len(taken)} texts of a megabyte, {taken[slowest]:.2f} s at most ({slowest})")


@formats
def test_a_watcher_keeps_up_with_a_long_answer(fmt: ToolFormat) -> None:
    """It reads the answer anew with nearly every piece, which an answer's length has to allow."""
    for name, make in list(hostile(fmt).items())[:: 1 if FULL else 6]:
        text, watcher = make(16_000), fmt.watcher(TOOLS)
        started = time.process_time()
        for start in range(0, len(text), 1000):
            watcher.feed(text[start : start + 1000])
        assert time.process_time() - started < LIMIT_S, name
        assert watcher.call_complete is bool(fmt.parse(text, TOOLS).calls), name


@formats
def test_deep_nesting_is_read_or_named(fmt: ToolFormat) -> None:
    for depth in (30, 200, 5000):
        nested = '{"a":' * depth + "1" + "}" * depth
        parsed = fmt.parse(sample(fmt).replace("null", nested), TOOLS)
        assert parsed.calls or parsed.fragments
