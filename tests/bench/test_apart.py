"""Work in a process of its own: values and sentences come back, and so does the reason of a death."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from bench.apart import apart, tell
from grammars.errors import ToolgaugeError, UnsupportedSchema


def _pid(log: Path) -> int:
    del log
    return os.getpid()


def _refuse(log: Path) -> None:
    raise UnsupportedSchema("gbnf", "pattern", "#/x")


def _die(log: Path) -> None:
    print("ggml: the last words", file=sys.stderr, flush=True)
    os.abort()


def _take_a_while(log: Path) -> str:
    for fraction in (0.25, 0.75):
        tell(fraction)
        time.sleep(0.5)
    return "done"


def _have_a_bug(log: Path) -> None:
    raise KeyError("oops")


def test_the_value_comes_back_from_another_process() -> None:
    assert apart(_pid, what="a model") != os.getpid()


def test_a_sentence_comes_back_even_of_an_error_that_cannot_be_pickled() -> None:
    with pytest.raises(ToolgaugeError, match="the gbnf backend cannot express 'pattern' at #/x"):
        apart(_refuse, what="a model")


def test_a_death_is_a_sentence_with_the_last_words() -> None:
    with pytest.raises(ToolgaugeError, match="the process of a model ended: ggml: the last words"):
        apart(_die, what="a model")


def test_a_bug_stays_a_bug() -> None:
    with pytest.raises(KeyError, match="oops"):
        apart(_have_a_bug, what="a model")


def test_who_waits_is_told_how_much_is_done() -> None:
    told: list[float] = []
    assert apart(_take_a_while, what="a model", progress=told.append) == "done"
    assert set(told) <= {0.0, 0.25, 0.75}
    assert told == sorted(told)
    assert 0.25 in told and 0.75 in told
