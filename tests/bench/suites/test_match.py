from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.suites.defaults import defaults
from bench.suites.match import ABSENT, matches, matches_arguments, parse, same, same_items
from engine.types import Tool

RIGHT: list[tuple[Any, Any]] = [
    ([5], 5),
    ([5], 5.0),
    ([0.1], 0.1),
    (["a", "b"], "b"),
    ([["a", "b"]], ["a", "b"]),
    ([{"x": 1, "y": [2]}], {"y": [2.0], "x": 1}),
    ([None], None),
    ([True], True),
    ({"one_of": ["a"]}, "a"),
    ({"text": ["Team stand-up"]}, "team  Stand-Up."),
    ({"text": ["x"]}, "\tX\n"),
    ({"text": ["Oslo"]}, "Oslo ."),
    ({"text": ["Oslo ."]}, "oslo"),
    ({"like": [["Team stand-up", 1]]}, ["team  Stand-Up.", 1.0]),
    ({"like": [{"a": {"b": ["X"]}}]}, {"a": {"b": [" x"]}}),
    ({"like": [5, "A"]}, "a"),
    ({"contains": ["lunch", ["friday", "fri"]]}, "Lunch on FRI?"),
    ({"unordered": ["a", "b", "a"]}, ["b", "a", "a"]),
    ({"object": {"x": [1, 2], "y": {"absent_or": ["z"]}}}, {"x": 2}),
    ({"any": True}, None),
    ({"any": True}, []),
    ({"absent_or": [1]}, ABSENT),
    ({"absent_or": [1]}, 1),
    ({"absent_or": {"text": ["A"]}}, "a"),
    ({"absent": True}, ABSENT),
]

WRONG: list[tuple[Any, Any]] = [
    ([5], "5"),
    ([1], True),
    ([True], 1),
    ([0], False),
    ([5], ABSENT),
    (["a"], "A"),
    (["a"], "a "),
    ([["a", "b"]], ["b", "a"]),
    ([["a"]], "a"),
    ([{"x": 1}], {"x": 1, "y": 2}),
    ([{"x": 1, "y": 2}], {"x": 1}),
    ([None], ABSENT),
    ([None], "null"),
    ({"text": ["Team stand-up"]}, "Team standup"),
    ({"text": ["1"]}, 1),
    ({"like": ["1"]}, 1),
    ({"like": [["a", "b"]]}, ["b", "a"]),
    ({"like": [{"a": 1}]}, {"A": 1}),
    ({"like": [1]}, True),
    ({"contains": ["lunch", ["friday", "fri"]]}, "Lunch on Monday"),
    ({"contains": ["1"]}, 1),
    ({"unordered": ["a", "b"]}, ["a", "b", "b"]),
    ({"unordered": ["a", "b", "b"]}, ["a", "a", "b"]),
    ({"unordered": ["a"]}, "a"),
    ({"object": {"x": [1]}}, {"x": 1, "z": 1}),
    ({"object": {"x": [1]}}, [1]),
    ({"any": True}, ABSENT),
    ({"absent_or": [1]}, 2),
    ({"absent_or": [1]}, None),
    ({"absent": True}, 1),
]


@pytest.mark.parametrize(("matcher", "value"), RIGHT)
def test_accepts(matcher: Any, value: Any) -> None:
    assert matches(parse(matcher), value)


@pytest.mark.parametrize(("matcher", "value"), WRONG)
def test_refuses(matcher: Any, value: Any) -> None:
    assert not matches(parse(matcher), value)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (5, "list of acceptable values"),
        ([], "at least one"),
        ({}, "list of acceptable values"),
        ({"one_of": [1], "any": True}, "list of acceptable values"),
        ({"regex": "x"}, "unknown matcher 'regex'"),
        ({"text": [1]}, "non-empty strings"),
        ({"text": "x"}, "must be a list"),
        ({"contains": [[]]}, "at least one"),
        ({"contains": [""]}, "non-empty strings"),
        ({"contains": ["."]}, "more than white space and a full stop"),
        ({"contains": ["lunch", ["friday", " "]]}, "more than white space and a full stop"),
        ({"any": False}, "only true"),
        ({"object": [1]}, "object of matchers"),
        ({"object": {"x": 1}}, "list of acceptable values"),
        ({"absent_or": 3}, "list of acceptable values"),
    ],
)
def test_a_badly_written_matcher_says_what_is_wrong(written: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse(written)


WEATHER = Tool("weather", "", {"type": "object", "properties": {"a": {}, "unit": {"type": "string", "default": "c"}}})


@pytest.mark.parametrize(
    ("expected", "given_", "right"),
    [
        ({"a": [1]}, {"a": 1}, True),
        ({"a": [1]}, {"a": 1, "unit": "c"}, True),  # spelled-out default
        ({"a": [1]}, {"a": 1, "unit": "f"}, False),
        ({"a": [1]}, {"a": 1, "other": None}, False),
        ({"a": [1], "unit": ["c"]}, {"a": 1}, True),  # default left out
        ({"a": [1], "unit": ["f"]}, {"a": 1}, False),
        ({"a": [1], "unit": {"absent": True}}, {"a": 1, "unit": "c"}, True),
        ({"a": [1], "unit": {"absent_or": ["f"]}}, {"a": 1, "unit": "k"}, False),
        ({"a": {"any": True}}, {}, False),
        ({}, {}, True),
    ],
)
def test_a_default_equals_leaving_it_out(expected: dict[str, Any], given_: dict[str, Any], right: bool) -> None:
    matchers = {name: parse(raw) for name, raw in expected.items()}
    assert matches_arguments(matchers, given_, defaults(WEATHER)) is right


REPEAT = {
    "type": "object",
    "properties": {
        "frequency": {"type": "string"},
        "interval": {"type": "integer", "default": 1},
        "zone": {"type": "string", "default": "UTC"},
        "end": {"type": "object", "default": {"after": 1}, "properties": {"after": {"default": 1}, "on": {}}},
    },
}
BOOK = Tool(
    "book",
    "",
    {
        "type": "object",
        "properties": {
            "repeat": {"anyOf": [{"$ref": "#/$defs/Repeat"}, {"type": "null"}], "default": None},
            "slots": {"type": "array", "items": {"$ref": "#/$defs/Repeat"}},
        },
        "$defs": {"Repeat": REPEAT},
    },
)
WEEKLY = {"frequency": "weekly"}


@pytest.mark.parametrize(
    ("written", "value", "right"),
    [
        ([WEEKLY], WEEKLY | {"interval": 1}, True),  # as models write whose classes have defaults
        ([WEEKLY | {"interval": 1}], WEEKLY, True),
        ([WEEKLY | {"zone": "UTC"}], WEEKLY | {"interval": 1}, True),
        ([WEEKLY], WEEKLY | {"interval": 2}, False),
        ([WEEKLY | {"interval": 2}], WEEKLY, False),
        ([WEEKLY], WEEKLY | {"interval": True}, False),
        ([WEEKLY], WEEKLY | {"other": 1}, False),
        ([WEEKLY], WEEKLY | {"zone": "utc"}, False),
        ({"like": [WEEKLY]}, {"frequency": "Weekly", "zone": "utc"}, True),
        ([WEEKLY], WEEKLY | {"end": {"after": 1}}, True),
        ([WEEKLY], WEEKLY | {"end": {}}, True),
        ([WEEKLY | {"end": {}}], WEEKLY | {"end": {"after": 1}}, True),
        ([WEEKLY], WEEKLY | {"end": {"on": "Friday"}}, False),
        ([WEEKLY | {"end": {"on": "Friday"}}], WEEKLY | {"end": {"on": "Friday", "after": 1}}, True),
        ({"object": {"frequency": ["weekly"]}}, WEEKLY | {"interval": 1, "end": {}}, True),
        ({"object": {"frequency": ["weekly"], "interval": [1]}}, WEEKLY, True),
        ({"object": {"frequency": ["weekly"], "interval": [2]}}, WEEKLY, False),
        ({"absent_or": [WEEKLY]}, WEEKLY | {"interval": 1}, True),
    ],
)
def test_a_default_within_an_argument_equals_leaving_it_out_too(written: Any, value: Any, right: bool) -> None:
    """Weekly, and weekly with the interval's default spelled out, are the same recurrence."""
    assert matches_arguments({"repeat": parse(written)}, {"repeat": value}, defaults(BOOK)) is right


def test_defaults_count_in_the_elements_of_lists() -> None:
    daily = {"frequency": "daily", "interval": 1}
    for written in ([[WEEKLY, daily]], {"unordered": [daily, WEEKLY]}):
        expected = {"slots": parse(written)}
        assert matches_arguments(
            expected, {"slots": [WEEKLY | {"interval": 1}, {"frequency": "daily"}]}, defaults(BOOK)
        )
        assert not matches_arguments(expected, {"slots": [WEEKLY, daily | {"interval": 2}]}, defaults(BOOK))


def test_no_defaults_count_where_several_kinds_of_object_may_stand() -> None:
    """Whether it is the one that has the default, nobody says."""
    other = {"type": "object", "properties": {"frequency": {}, "interval": {"default": 2}}}
    tool = Tool("f", "", {"type": "object", "properties": {"x": {"anyOf": [REPEAT, other]}}})
    expected = {"x": parse([WEEKLY])}
    assert matches_arguments(expected, {"x": WEEKLY}, defaults(tool))
    assert not matches_arguments(expected, {"x": WEEKLY | {"interval": 1}}, defaults(tool))


EITHER = {"type": "object", "properties": {"a": {}, "b": {}, "unit": {"type": "string", "default": "c"}}}
ONE_OF_TWO = EITHER | {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}


@pytest.mark.parametrize(
    "schema",
    [
        ONE_OF_TWO,
        EITHER | {"anyOf": [{"properties": {"a": {"type": "integer"}}}, {}]},
        {"type": "object", "$ref": "#/$defs/F", "$defs": {"F": ONE_OF_TWO}},
    ],
)
def test_defaults_count_where_alternatives_say_other_things(schema: dict[str, Any]) -> None:
    """Which of two arguments is required, or what one of them may be, changes nothing about `unit`."""
    known = defaults(Tool("f", "", schema))
    assert matches_arguments({"a": parse([1])}, {"a": 1, "unit": "c"}, known)
    assert not matches_arguments({"a": parse([1])}, {"a": 1, "unit": "f"}, known)


def test_a_default_that_holds_itself_comes_to_an_end() -> None:
    node = {"type": "object", "properties": {"child": {"$ref": "#/$defs/Node", "default": {"child": {"child": {}}}}}}
    schema = {"type": "object", "properties": {"x": {"$ref": "#/$defs/Node"}}, "$defs": {"Node": node}}
    expected = {"x": parse([{"child": {"child": {"child": {}}}}])}
    matches_arguments(expected, {"x": {}}, defaults(Tool("f", "", schema)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 1.0, 2.5]) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=6,
)


def shuffled_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: shuffled_keys(value[name]) for name in sorted(value, reverse=True)}
    return [shuffled_keys(item) for item in value] if isinstance(value, list) else value


@given(JSON)
def test_equality_ignores_the_order_of_keys_and_white_space(value: Any) -> None:
    spaced = json.loads(json.dumps(shuffled_keys(value), indent=3))
    assert same(value, spaced)
    assert matches(parse([value]), spaced)


@given(JSON, JSON)
def test_equality_is_that_of_canonical_json(left: Any, right: Any) -> None:
    def canonical(value: Any) -> str:
        if isinstance(value, float):
            value = int(value) if value.is_integer() else value
        if isinstance(value, dict):
            return "{" + ",".join(f"{name}:{canonical(value[name])}" for name in sorted(value)) + "}"
        if isinstance(value, list):
            return "[" + ",".join(map(canonical, value)) + "]"
        return json.dumps(value)

    assert same(left, right) is (canonical(left) == canonical(right))


@given(st.lists(JSON, max_size=4), st.randoms(use_true_random=False))
def test_same_items_in_any_order(items: list[Any], random: Any) -> None:
    mixed = list(items)
    random.shuffle(mixed)
    assert same_items(items, mixed)
    assert not same_items(items, [*mixed, "another"])
