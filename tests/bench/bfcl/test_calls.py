"""Python-syntax calls: what is written reads back, and nothing but literals is ever read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.suites.bfcl.calls import NotACall, ReadCall, read_call, write_call, write_calls
from engine.types import Call

NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(lambda name: name not in ("if", "in", "is", "or"))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=100)
@given(name=NAMES, prefix=st.none() | NAMES, arguments=st.dictionaries(NAMES, VALUES, max_size=3))
def test_a_written_call_reads_back(name: str, prefix: str | None, arguments: dict[str, Any]) -> None:
    try:
        written = write_call(Call(f"{prefix}.{name}" if prefix else name, arguments))
    except NotACall:
        return  # a keyword of Python
    assert read_call(written) == ReadCall(f"{prefix}.{name}" if prefix else name, (), arguments)


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("cd(folder='x')", ReadCall("cd", (), {"folder": "x"})),
        ("sort('a b.txt')", ReadCall("sort", ("a b.txt",), {})),
        ("f(-1, x=[1, (2,)], y={'a': None})", ReadCall("f", (-1,), {"x": [1, (2,)], "y": {"a": None}})),
    ],
)
def test_official_spellings_are_read(text: str, call: ReadCall) -> None:
    assert read_call(text) == call


@pytest.mark.parametrize(
    "text",
    [
        "f",
        "f(",
        "f(x=g())",
        "f(x=__import__('os'))",
        "f(x=open)",
        "f(**{'x': 1})",
        "f(*[1])",
        "(lambda: 0)()",
        "f()()",
        "f(x=f'{1}')",
        "f(x=1); g()",
        "f(x=" + "[" * 500 + "]" * 500 + ")",
    ],
)
def test_anything_else_is_no_call(text: str) -> None:
    with pytest.raises(NotACall):
        read_call(text)


@pytest.mark.parametrize("call", [Call("f", {"class": 1}), Call("f", {"a b": 1}), Call("a-b", {}), Call("f(x", {})])
def test_what_python_cannot_name_is_not_written(call: Call) -> None:
    with pytest.raises(NotACall):
        write_calls([call])


def test_several_calls_are_a_list() -> None:
    assert write_calls([Call("a.b", {"x": "it's"}), Call("c", {})]) == '[a.b(x="it\'s"), c()]'
    assert write_calls([]) == "[]"
