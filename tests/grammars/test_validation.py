"""Verdicts on values: numbers as people write them, patterns as ECMA-262 has them, and none that takes for ever."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from grammars.matcher import MOST_STEPS, Matcher, TooHard
from grammars.pattern import parse_pattern
from grammars.validation import validator


@pytest.mark.parametrize(
    ("schema", "value", "is_valid"),
    [
        ({"multipleOf": 0.01}, 19.99, True),  # 19.99 / 0.01 is 1998.99... in floats
        ({"multipleOf": 0.01}, 4.35, True),
        ({"multipleOf": 0.01}, 19.995, False),
        ({"multipleOf": 0.1}, 10**400, True),  # too large for a float
        ({"multipleOf": 2}, 4.0, True),
        ({"multipleOf": 2}, 3.0, False),
        ({"multipleOf": 2}, float("inf"), False),
        ({"multipleOf": 2}, True, True),  # no number
        ({"pattern": "^[a-z]+$"}, "ab\n", False),
        ({"pattern": r"^\d{4}$"}, "٢٠٢٤", False),
        ({"pattern": "^.+$"}, "a\rb", False),
        ({"pattern": r"^\W+$"}, "é", True),
        ({"pattern": r"^(?=.*\d)"}, "no digit", True),  # cannot be read, so it is not checked
        ({"pattern": "a"}, 3, True),
        ({"format": "date"}, "hello", False),
        ({"format": "date"}, "2024-02-29", True),
        ({"format": "time", "pattern": r"^\d\d:\d\d$"}, "19:30", True),  # zod's, without the offset of a `time`
        ({"format": "time", "pattern": r"^\d\d:\d\d$"}, "19:30:00Z", False),
        ({"format": "date", "pattern": r"^(?=.*\d)"}, "7", False),  # that pattern cannot be read
        ({"patternProperties": {r"^\W+$": {"type": "integer"}}}, {"é": "1"}, False),
        ({"patternProperties": {"^a": True}, "additionalProperties": False}, {"ab": 1}, True),
        ({"patternProperties": {"^a": True}, "additionalProperties": False}, {"ab": 1, "c": 1}, False),
        ({"properties": {"c": True}, "patternProperties": {"^a": True}, "additionalProperties": False}, {"c": 1}, True),
        ({"patternProperties": {"^a": True}, "additionalProperties": {"type": "integer"}}, {"ab": "", "c": 1}, True),
        ({"patternProperties": {"^a": True}, "additionalProperties": {"type": "integer"}}, {"c": ""}, False),
    ],
    ids=lambda value: str(value)[:40],
)
def test_values_are_read_as_the_grammars_read_them(schema: dict[str, Any], value: Any, is_valid: bool) -> None:
    assert validator(schema).is_valid(value) is is_valid


@pytest.mark.parametrize("schema", [{"pattern": r"^([a-zA-Z0-9]+\s?)*$"}, {"propertyNames": {"pattern": "(x+x+)+y"}}])
def test_no_pattern_takes_for_ever(schema: dict[str, Any]) -> None:
    """Python's `re` would need years for either."""
    text = "a" * 60 + "!" if "pattern" in schema else {"x" * 5_000: 1}
    started = time.process_time()
    assert not validator(schema).is_valid(text)
    assert time.process_time() - started < 5


def test_a_text_that_is_too_hard_is_no_match() -> None:
    """Repetitions of repetitions keep thousands of ways open."""
    schema = {"pattern": "^(a{1,100}){1,100}$"}
    with pytest.raises(TooHard):
        Matcher(parse_pattern(schema["pattern"])).matches("a" * 1_000)
    (error,) = validator(schema).iter_errors("a" * 1_000)
    assert "1,000 characters" in error.message
    assert MOST_STEPS < 1_000_000


ATOMS = st.sampled_from(["a", "b", "[ab]", ".", "ab", r"\d", "[^a]"])
COUNTS = st.sampled_from(["", "*", "+", "?", "{2}", "{1,3}"])
PATTERNS = st.recursive(
    st.builds(str.__add__, ATOMS, COUNTS),
    lambda inner: (
        st.builds(lambda body, count: f"(?:{body}){count}", inner, COUNTS)
        | st.builds(str.__add__, inner, inner)
        | st.builds("{}|{}".format, inner, inner)
    ),
    max_leaves=5,
)


@given(PATTERNS, st.lists(st.text("ab1", max_size=6), min_size=1, max_size=4))
def test_a_matcher_matches_what_python_does(pattern: str, texts: list[str]) -> None:
    """Several texts with one matcher, which remembers; short ones, where `re` is quick."""
    matcher = Matcher(parse_pattern(f"^(?:{pattern})$"))
    for text in texts:
        assert matcher.matches(text) is (re.fullmatch(pattern, text, re.ASCII) is not None)


CONTAINERS = ("div", "row", "column", "card", "tab")


def _class(kind: str, **properties: Any) -> dict[str, Any]:
    fields = {"type": {"const": kind}, **properties}
    return {"type": "object", "properties": fields, "required": [*fields], "additionalProperties": False}


def _union() -> dict[str, Any]:
    """What pydantic writes for classes that hold each other: a union of its own wherever they are named."""
    return {"oneOf": [{"$ref": f"#/$defs/{kind}"} for kind in (*CONTAINERS, "text")]}


TREE = {
    **_class("page", root=_union()),
    "$defs": {
        **{kind: _class(kind, children={"type": "array", "items": _union()}) for kind in CONTAINERS},
        "text": _class("text", text={"type": "string"}),
    },
}
TWICE = {"allOf": [{"properties": {"child": {"$ref": "#"}}}] * 2, "properties": {"leaf": {"type": "string"}}}


def _page(leaf: Any, depth: int) -> Any:
    for _ in range(depth):
        leaf = {"type": "tab", "children": [leaf]}
    return {"type": "page", "root": leaf}


def _causes(errors: Iterable[Any], above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for error in errors:
        path = (*above, *error.path)
        if error.context:
            yield from _causes(error.context, path)
        else:
            yield path, error.validator, error.message


@pytest.mark.parametrize(
    "leaf", [{"type": "text", "text": "x"}, {"type": "text"}, {"type": "text", "text": 3}], ids=str
)
def test_a_union_that_holds_itself_is_judged_at_once_at_any_depth(leaf: Any) -> None:
    """Five classes that hold each other: a model's answer took five times as long with every level."""
    plain = {name for _, name, _ in _causes(Draft202012Validator(TREE).iter_errors(_page(leaf, 2)))}
    started = time.process_time()
    errors = list(validator(TREE).iter_errors(_page(leaf, 30)))
    assert {name for _, name, _ in _causes(errors)} == plain
    assert validator(TREE).is_valid(_page(leaf, 30)) is (not plain)
    assert time.process_time() - started < 5


def test_a_part_that_two_schemas_lead_to_is_looked_at_once() -> None:
    """Without a union, too: two halves of an `allOf` that both hold the whole."""
    value: Any = {"leaf": 3}
    for _ in range(30):
        value = {"child": value}
    errors = list(validator(TWICE).iter_errors(value))
    assert {(*error.path, error.validator) for error in errors} == {(*["child"] * 30, "leaf", "type")}
    assert len(errors) == 2  # one for each half, and not two for each level


def test_nothing_is_remembered_of_a_value_that_has_changed() -> None:
    check, value = validator({"items": {"anyOf": [{"type": "string"}, {"type": "null"}]}}), ["a"]
    assert check.is_valid(value)
    value[0] = 3  # type: ignore[call-overload]
    assert not check.is_valid(value)


NAMES = st.sampled_from("ab")
VALUES = st.recursive(
    st.sampled_from([None, True, 1, "", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=8,
)
REFERENCES = st.sampled_from([{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}, {"$ref": "#"}])


def _schemas_with(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """References stand only where they look at a part of the value, so that none leads back to the same one."""
    part, several = REFERENCES | inner, st.lists(inner, min_size=1, max_size=3)
    optional = {
        "properties": st.dictionaries(NAMES, part, max_size=2),
        "additionalProperties": part,
        "items": part,
        "prefixItems": st.lists(part, min_size=1, max_size=2),
        "contains": part,
        "unevaluatedProperties": st.just(False),
        "anyOf": several,
        "oneOf": several,
        "allOf": several,
        "not": inner,
        "if": inner,
        "then": inner,
    }
    return st.fixed_dictionaries({}, optional=optional)


LEAVES = st.sampled_from(
    [True, False, {"type": "string"}, {"type": ["array", "null"]}, {"const": 1}, {"required": ["a"]}]
)
SCHEMAS = st.recursive(LEAVES, _schemas_with, max_leaves=6)


@given(SCHEMAS, SCHEMAS, SCHEMAS, VALUES)
def test_what_is_looked_at_once_is_judged_as_the_library_judges_it(whole: Any, a: Any, b: Any, value: Any) -> None:
    """The same verdict, the same errors with the same words, and the same causes below them."""
    schema = {"$defs": {"a": a, "b": b}, "allOf": [whole]}
    ours = list(validator(schema).iter_errors(value))
    theirs = list(Draft202012Validator(schema).iter_errors(value))
    assert validator(schema).is_valid(value) is (not theirs)
    told = [{(tuple(error.path), error.validator, error.message) for error in errors} for errors in (ours, theirs)]
    assert told[0] == told[1]
    assert set(_causes(ours)) == set(_causes(theirs))
