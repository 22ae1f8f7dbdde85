"""The official rules in cases of our own; that they are the official ones is proven in test_parity.py."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.score.bfcl import BadReference, Checker, check
from bench.score.bfcl import verdict as v
from bench.score.bfcl.values import fold
from engine.types import Call

SCHEMA = {
    "city": {"type": "string"},
    "unit": {"type": "string", "enum": ["metric", "imperial"]},
    "days": {"type": "integer"},
    "limit": {"type": "float"},
    "exact": {"type": "boolean"},
    "tags": {"type": "array", "items": {"type": "string"}},
    "sizes": {"type": "array", "items": {"type": "integer"}},
    "shares": {"type": "array", "items": {"type": "float"}},
    "point": {"type": "tuple", "items": {"type": "float"}},
    "grid": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
    "filter": {"type": "dict"},
    "rows": {"type": "array", "items": {"type": "dict"}},
    "anything": {"type": "any"},
}


def function(name: str = "forecast", required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    schema = properties or SCHEMA
    return {"name": name, "parameters": {"type": "dict", "properties": schema, "required": list(required)}}


def judge(
    alternatives: dict[str, list[Any]], given_: dict[str, Any], required: tuple[str, ...] = (), name: str = "forecast"
) -> str:
    """The error type of one call; empty if it is valid."""
    return check(
        "simple_python", [function(required=required)], [Call(name, given_)], [{"forecast": alternatives}]
    ).error_type


ONE_VALUE: list[tuple[str, list[Any], Any, str]] = [
    # 4. an empty string among the alternatives is a value, too
    ("city", ["Oslo", ""], "", ""),
    ("city", ["Oslo"], "", v.STRING_VALUE),
    ("tags", [""], [], ""),
    ("tags", ["", ["a"]], [], ""),
    ("days", [""], 0, v.OTHER_VALUE),
    ("filter", [""], {}, v.DICT_UNCLEAR),
    # 5. types are exact
    ("days", [5], 5, ""),
    ("days", [5], 5.0, v.TYPE),
    ("days", [5], "5", v.TYPE),
    ("days", [1], True, v.TYPE),
    ("exact", [True], 1, v.TYPE),
    ("limit", [5.0], 5, ""),
    ("limit", [5.0], "5.0", v.TYPE),
    ("limit", [1.0], 10**400, v.UNDEFINED),
    ("shares", [[1.0, 2.0]], [1.0, 2.0], ""),
    ("shares", [[1.0, 2.0]], [1, 2], v.ITEM_TYPE),
    ("sizes", [[1]], [1.0], v.ITEM_TYPE),
    ("point", [[1.5, 2.5]], [1.5, 2.5], ""),
    ("filter", [{"a": [1]}], {"a": True}, ""),
    ("filter", [{"a": [1]}], {"a": 1.0}, ""),
    ("grid", [[["a"], ["b"]]], [["a"], ["b"]], ""),
    ("grid", [[["a"], ["b"]]], [["A"], ["b"]], v.LIST_VALUE),
    # 6. the reference's own type, where it is not the schema's
    ("days", ["n_days"], "n_days", ""),
    ("days", ["n_days"], "N_days", v.OTHER_VALUE),
    ("days", ["n_days"], 5, v.OTHER_VALUE),
    ("sizes", ["sizes"], "sizes", ""),
    ("city", [True], True, ""),
    # 7. `any` is text
    ("anything", ["x"], "X", ""),
    ("anything", ["x"], 5, v.TYPE),
    ("anything", [5], 5, ""),
    # 8. texts apart from case and some punctuation; the schema's list of values is not looked at
    ("city", ["New York, N.Y."], "new york ny", ""),
    ("city", ["2023-10-01"], "2023/10/01", ""),
    ("city", ["it's"], 'it"s', ""),
    ("city", ["a b"], "a\tb", v.STRING_VALUE),
    ("city", ["it's"], "it’s", v.STRING_VALUE),
    ("city", ["Köln"], "Koln", v.STRING_VALUE),
    ("city", ["(a)"], "a", v.STRING_VALUE),
    ("unit", ["Metric"], "METRIC", ""),
    ("unit", ["kelvin"], "kelvin", ""),
    # 9. lists
    ("tags", [["a", "b"]], ["A.", "b"], ""),
    ("tags", [["a", "b"]], ["b", "a"], v.LIST_VALUE),
    ("tags", [["a", "b"], ["b", "a"]], ["b", "a"], ""),
    ("tags", [["a", "b"]], ["a"], v.LIST_VALUE),
    ("tags", [["a"]], "a", v.TYPE),
    # 10. objects
    ("filter", [{"a": ["x"], "b": [1, ""]}], {"a": "X"}, ""),
    ("filter", [{"a": ["x"], "b": [1, ""]}], {"b": 1}, v.DICT_KEY),
    ("filter", [{"a": ["x"]}], {"a": "x", "c": 1}, v.DICT_KEY),
    ("filter", [{"a": ["x"]}], {"a": "y"}, v.DICT_VALUE),
    ("filter", [{"a": ["x"]}, {"b": [1]}], {"b": 1}, ""),
    ("rows", [[{"a": [1]}, {"a": [2]}]], [{"a": 1}, {"a": 2}], ""),
    ("rows", [[{"a": [1]}, {"a": [2]}]], [{"a": 2}, {"a": 1}], v.DICT_VALUE),
    ("rows", [[{"a": [1]}, {"a": [2]}]], [{"a": 1}], v.DICTS_COUNT),
    ("rows", [[{"a": [1]}], ""], [5], v.UNDEFINED),
    # 11. null
    ("city", ["", None], None, ""),
    ("city", ["", "Oslo"], None, v.TYPE),
    ("city", [None], "Oslo", v.OTHER_VALUE),
]


@pytest.mark.parametrize(("name", "alternatives", "value", "error_type"), ONE_VALUE)
def test_one_value(name: str, alternatives: list[Any], value: Any, error_type: str) -> None:
    assert judge({name: alternatives}, {name: value}) == error_type


ONE_CALL: list[tuple[dict[str, list[Any]], dict[str, Any], str]] = [
    # 3. in this order: required, unexpected, values, left out
    ({"city": ["Oslo"], "days": [1]}, {"city": "Oslo", "days": 1}, ""),
    ({"city": ["Oslo"], "days": [1, ""]}, {"city": "Oslo"}, ""),
    ({"city": ["Oslo"], "days": [1]}, {"city": "Oslo"}, v.MISSING_OPTIONAL),
    ({"city": ["Oslo"]}, {"city": "Oslo", "days": 1}, v.UNEXPECTED),  # of the schema, but not of the reference
    ({"city": ["Oslo"], "speed": [1]}, {"city": "Oslo", "speed": 1}, v.UNEXPECTED),  # the other way round
    ({"city": ["Oslo"]}, {"speed": 1}, v.MISSING_REQUIRED),
    ({"city": ["Oslo"]}, {"speed": 1, "city": "Rome"}, v.UNEXPECTED),
    ({"city": ["Oslo"]}, {"city": "Rome", "speed": 1}, v.STRING_VALUE),
    ({"city": ["Oslo"], "days": [1]}, {"city": 5}, v.TYPE),
]


@pytest.mark.parametrize(("alternatives", "given_", "error_type"), ONE_CALL)
def test_one_call(alternatives: dict[str, list[Any]], given_: dict[str, Any], error_type: str) -> None:
    assert judge(alternatives, given_, required=("city",)) == error_type


def test_the_name_comes_first() -> None:
    assert judge({"city": ["Oslo"]}, {"speed": 1}, required=("city",), name="Forecast") == v.WRONG_NAME


A, B = Call("a", {"x": 1}), Call("b", {"x": 1})
A2 = Call("a", {"x": 2})
TWO = [function("a", x={"type": "integer"}), function("b", x={"type": "integer"})]
COUNTS: list[tuple[str, list[dict[str, Any]], list[Call] | None, str]] = [
    # 1. one call, or as many as the reference has
    ("simple_python", [{"a": {"x": [1]}}], [A], ""),
    ("simple_python", [{"a": {"x": [1]}}], [], v.SIMPLE_COUNT),
    ("simple_python", [{"a": {"x": [1]}}], [A, A], v.SIMPLE_COUNT),
    ("live_simple", [{"a": {"x": [1]}}], [B], v.WRONG_NAME),
    ("multiple", [{"b": {"x": [1]}}], [B], ""),
    ("multiple", [{"b": {"x": [1]}}], [A], v.WRONG_NAME),
    ("live_multiple", [{"b": {"x": [1]}}], [B, B], v.MULTIPLE_COUNT),
    # 2. any order, each expected call takes the first that fits
    ("parallel", [{"a": {"x": [1]}}, {"a": {"x": [2]}}], [A2, A], ""),
    ("parallel", [{"a": {"x": [1]}}, {"a": {"x": [2]}}], [A, A], v.NO_MATCH),
    ("parallel", [{"a": {"x": [1]}}], [A, A], v.PARALLEL_COUNT),
    ("live_parallel_multiple", [{"b": {"x": [1]}}, {"a": {"x": [1]}}], [A, B], ""),
    ("parallel", [{"a": {"x": [1, 2]}}, {"a": {"x": [1]}}], [A, A2], v.NO_MATCH),  # a better pairing is not sought
    ("parallel", [{"a": {"x": [1, 2]}}, {"a": {"x": [1]}}], [A2, A], ""),
    # no call wanted, or any; and what cannot be read
    ("irrelevance", [], [], ""),
    ("live_irrelevance", [], None, ""),
    ("irrelevance", [], [Call("unknown", {})], v.IRRELEVANCE_CALLED),
    ("live_relevance", [], [Call("unknown", {})], ""),
    ("live_relevance", [], [], v.RELEVANCE_NOT_CALLED),
    ("live_relevance", [], None, v.RELEVANCE_NOT_CALLED),
    ("simple_python", [{"a": {"x": [1]}}], None, v.DECODER_FAILED),
]


@pytest.mark.parametrize(("category", "ground_truth", "calls", "error_type"), COUNTS)
def test_categories(
    category: str, ground_truth: list[dict[str, Any]], calls: list[Call] | None, error_type: str
) -> None:
    found = check(category, TWO, calls, ground_truth)
    assert (found.valid, found.error_type) == (not error_type, error_type)
    assert bool(found.error) is not found.valid


# 12. Java and JavaScript: text only, in a few spellings
SOURCES: list[tuple[str, dict[str, Any], Any, Any, str]] = [
    ("java", {"type": "integer"}, 5, "5", ""),
    ("java", {"type": "integer"}, 5, 5, v.JAVA_SOURCE),
    ("java", {"type": "long"}, 5, "5L", ""),
    ("java", {"type": "long"}, 5, "5", v.TYPE),
    ("java", {"type": "float"}, 5.0, "5.0f", ""),
    ("java", {"type": "float"}, 5.0, "5.0", v.TYPE),
    ("java", {"type": "double"}, 0.5, "5e-1", ""),
    ("java", {"type": "boolean"}, True, "true", ""),
    ("java", {"type": "boolean"}, True, "True", v.TYPE),
    ("java", {"type": "String"}, "a b", "A B", ""),
    ("java", {"type": "String"}, "a b", '"a b"', v.STRING_VALUE),
    ("java", {"type": "any"}, "this.x", "this.x", ""),
    ("java", {"type": "Array", "items": {"type": "integer"}}, [1, 2], "new int[]{1, 2}", ""),
    ("java", {"type": "Array", "items": {"type": "String"}}, ["a"], "new String[]{a}", ""),
    ("java", {"type": "Array", "items": {"type": "String"}}, ["a"], 'new String[]{"a"}', v.LIST_VALUE),
    (
        "java",
        {"type": "ArrayList", "items": {"type": "String"}},
        ["a", "b"],
        'new ArrayList<>(Arrays.asList("a", "b"))',
        "",
    ),
    (
        "java",
        {"type": "ArrayList", "items": {"type": "long"}},
        [1, 2],
        "new ArrayList<Long>() {{ add(1L); add(2L); }}",
        "",
    ),
    ("java", {"type": "ArrayList", "items": {"type": "any"}}, [1], "new ArrayList<>(Arrays.asList(1))", v.LIST_VALUE),
    ("java", {"type": "HashMap"}, {"k": [1]}, 'new HashMap<String, Integer>() {{ put("k", 1); }}', ""),
    ("java", {"type": "HashMap"}, {"k": [1]}, 'Map.of("k", 1)', v.TYPE),
    ("java", {"type": "Set"}, "x", "new HashSet<>()", v.UNDEFINED),
    ("java", {"type": "integer"}, 5, "9" * 5000, v.UNDEFINED),
    ("javascript", {"type": "integer"}, 5, "5", ""),
    ("javascript", {"type": "integer"}, 5, 5, v.JAVASCRIPT_SOURCE),
    ("javascript", {"type": "Bigint"}, 5, "5n", ""),
    ("javascript", {"type": "float"}, 4.0, "4", ""),
    ("javascript", {"type": "Boolean"}, False, "false", ""),
    ("javascript", {"type": "String"}, "a", "'A'", ""),
    ("javascript", {"type": "any"}, "node", "node", ""),
    ("javascript", {"type": "array", "items": {"type": "String"}}, ["a", "b"], "['a', \"b\"]", ""),
    ("javascript", {"type": "array", "items": {"type": "integer"}}, [1], "new Array(1)", ""),
    ("javascript", {"type": "array", "items": {"type": "float"}}, [60, 30], "[60, 30]", ""),
    ("javascript", {"type": "dict"}, {"k": ["x"], "n": [1]}, "{k: 'x', n: 1}", ""),
    ("javascript", {"type": "dict"}, {"k": ["x"]}, "k", v.TYPE),
]


@pytest.mark.parametrize(("language", "schema", "alternative", "source", "error_type"), SOURCES)
def test_source_code(language: str, schema: dict[str, Any], alternative: Any, source: Any, error_type: str) -> None:
    found = check(
        f"simple_{language}",
        [function("f", p=schema)],
        [Call("f", {"p": source})],
        [{"f": {"p": [alternative]}}],
        language,
    )
    assert found.error_type == error_type


@pytest.mark.parametrize(
    "source",
    [
        "new HashMap<>() {" + " " * 20_000,
        "new HashMap<" * 2_000,
        'new HashMap<>() {{ put("a", ' * 2_000,
        "new ArrayList<>() {{ " + "add(" * 10_000,
        "[[" + "], [" * 10_000,
        "new Array([" + "], [" * 10_000,
        "{" + "a: b, " * 10_000,
        "{" + "," * 20_000 + "}",
    ],
)
def test_no_text_takes_long(source: str) -> None:
    """The official patterns backtrack; the first of these would take them years."""
    from bench.score.bfcl import java, javascript

    begun = time.process_time()
    for kind in ("Array", "ArrayList", "HashMap"):
        java.read(source, kind)
    for kind in ("array", "dict"):
        javascript.read(source, kind)
    assert time.process_time() - begun < 5


def test_dots_may_be_written_as_underscores() -> None:
    functions = [function("math.add", x={"type": "integer"})]
    truth = [{"math.add": {"x": [1]}}]
    for name, dots, valid in (
        ("math.add", False, True),
        ("math_add", False, False),
        ("math.add", True, False),
        ("math_add", True, True),
    ):
        found = check("simple_python", functions, [Call(name, {"x": 1})], truth, dots_to_underscores=dots)
        assert found.valid is valid


@pytest.mark.parametrize(
    ("category", "functions", "ground_truth", "language"),
    [
        ("parallel", [function("a")], [{"b": {}}], "python"),
        ("parallel", [function("a")], [], "python"),
        ("parallel", [function("a")], [{"a": {}, "b": {}}], "python"),
        ("parallel", [{"name": "a", "parameters": {"properties": {}}}], [{"a": {}}], "python"),
        ("parallel", [function("a", x={"type": "number"})], [{"a": {"x": [1]}}], "python"),
        ("parallel", [function("a", x={"type": "dict"})], [{"a": {"x": [{"k": 1}]}}], "python"),
        (
            "parallel",
            [function("a", x={"type": "array", "items": {"type": "string"}})],
            [{"a": {"x": [["a"], 1]}}],
            "python",
        ),
    ],
)
def test_a_reference_that_is_not_in_bfcls_form_is_refused(
    category: str, functions: list[dict[str, Any]], ground_truth: list[dict[str, Any]], language: str
) -> None:
    with pytest.raises(BadReference):
        Checker(category, functions, ground_truth, language)


# --- order-free matching against a definition of its own --------------------------------------------------------------


def first_fit(expected: list[list[int]], given_: list[int]) -> bool:
    """Every expected call in turn takes the first call not yet taken that fits."""
    taken: set[int] = set()
    for values in expected:
        fitting = [n for n, value in enumerate(given_) if n not in taken and value in values]
        if not fitting:
            return False
        taken.add(fitting[0])
    return len(given_) == len(expected)


@settings(max_examples=100)
@given(
    st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True), min_size=1, max_size=5),
    st.lists(st.integers(0, 3), max_size=5),
)
def test_calls_in_any_order(expected: list[list[int]], given_: list[int]) -> None:
    functions = [function("f", x={"type": "integer"})]
    truth = [{"f": {"x": values}} for values in expected]
    found = check("parallel", functions, [Call("f", {"x": value}) for value in given_], truth)
    assert found.valid is first_fit(expected, given_)


@settings(max_examples=100)
@given(st.text(st.sampled_from("aB .,-_/*^'\"\té’"), max_size=8))
def test_folding_changes_nothing_else(text: str) -> None:
    kept = [character for character in text if character not in " ,./-_*^"]
    assert fold(text) == "".join(kept).lower().replace("'", '"')


def test_there_are_thousands_of_verdicts_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    functions = [function("f", ("city",)), function("g", ("city",))]
    alternatives = {
        "city": ["Oslo", "Oslo, Norway"],
        "days": [3, ""],
        "tags": [["a", "b"]],
        "filter": [{"a": ["x", 1]}],
    }
    arguments = {"city": "oslo", "days": 3, "tags": ["A", "b"], "filter": {"a": "X"}}
    checker = Checker("parallel_multiple", functions, [{"f": alternatives}, {"g": alternatives}])
    calls = [Call("g", arguments), Call("f", arguments)]
    n = 10_000
    begun = time.process_time()  # what others do on the machine does not count
    for _ in range(n):
        assert checker.verdict(calls).valid
    per_second = n / (time.process_time() - begun)
    with capsys.disabled():
        print(f"\n{per_second:,.0f} verdicts a second on two calls with four arguments each")
    assert per_second > 5_000
