from __future__ import annotations

from typing import Any

import pytest

from bench.suites.bfcl.categories import Language
from bench.suites.bfcl.expected import expected_call, matcher, values_of
from bench.suites.case import SuiteError
from bench.suites.match import ABSENT, matches

PYTHON: list[tuple[list[Any], Any, bool]] = [
    (["Oslo"], "oslo ", True),
    (["Oslo"], "Oslo, Norway", False),
    (["2023-10-01"], "20231001", False),  # officially the same
    (["Oslo"], ABSENT, False),
    (["Oslo", ""], ABSENT, True),
    (["Oslo", ""], "", False),  # officially right
    ([""], "anything", False),
    ([""], ABSENT, True),
    ([], ABSENT, True),
    ([], "anything", False),
    ([5], 5.0, True),
    ([5], "5", False),
    ([True], 1, False),
    ([["a", "B"], ["B", "a"]], ["b", "A"], True),
    ([["a", "b"]], ["b", "a"], False),
    ([[1, 2]], [1.0, 2.0], True),
    ([{"a": [1, 2], "b": ["X", ""]}], {"a": 2, "b": "x"}, True),
    ([{"a": [1, 2], "b": ["X", ""]}], {"a": 2}, True),
    ([{"a": [1, 2], "b": ["X", ""]}], {"b": "X"}, False),
    ([{"a": [1]}], {"a": 1, "c": 2}, False),
    ([{"a": [1]}, {"a": [2], "b": ["", 3]}], {"a": 2, "b": 3}, True),
    ([{"a": [1]}, {"a": [2], "b": ["", 3]}], {"a": 2}, True),
    ([{"a": [1]}, {"a": [2], "b": ["", 3]}], {"a": 1, "b": 3}, False),
    ([[{"a": ["x", "y"]}, {"b": [1]}]], [{"a": "Y"}, {"b": 1}], True),
    ([[{"a": ["x", "y"]}, {"b": [1]}]], [{"b": 1}, {"a": "y"}], False),
    ([{"a": [{"b": 1}]}], {"a": {"b": 1}}, True),  # no alternatives further in
    ([None, ""], None, True),
    ([None, ""], ABSENT, True),
]


@pytest.mark.parametrize(("alternatives", "value", "right"), PYTHON)
def test_alternatives_become_matchers(alternatives: list[Any], value: Any, right: bool) -> None:
    assert matches(matcher(alternatives, {}, Language.PYTHON), value) is right


SOURCES: list[tuple[Language, dict[str, Any], list[Any], str, bool]] = [
    (Language.JAVA, {"type": "boolean"}, [True], "true", True),
    (Language.JAVA, {"type": "boolean"}, [True], "false", False),
    (Language.JAVA, {"type": "long"}, [42], "42L", True),
    (Language.JAVA, {"type": "long"}, [42], "42f", False),
    (Language.JAVA, {"type": "integer"}, [42], "42", True),
    (Language.JAVA, {"type": "String"}, ["a b"], '"a b"', True),
    (Language.JAVA, {"type": "any"}, ["controller"], "controller", True),
    (Language.JAVA, {"type": "any"}, ["controller"], '"controller"', False),
    (Language.JAVA, {"type": "Array", "items": {"type": "integer"}}, [[1, 2]], "new int[]{1,2}", True),
    (Language.JAVA, {"type": "Array", "items": {"type": "integer"}}, [[1, 2]], "new int[] {1, 3}", False),
    (Language.JAVA, {"type": "Array", "items": {"type": "String"}}, [["a"]], 'new String[]{"a"}', True),
    (
        Language.JAVA,
        {"type": "ArrayList", "items": {"type": "long"}},
        [[1]],
        "new ArrayList<Long>(Arrays.asList(1L))",
        True,
    ),
    (Language.JAVA, {"type": "HashMap"}, [{"k": [1, 2]}], 'new HashMap<>() {{ put("k", 2); }}', True),
    (Language.JAVA, {"type": "HashMap"}, [{}], "new HashMap<>()", True),
    (Language.JAVASCRIPT, {"type": "Bigint"}, [5], "5n", True),
    (Language.JAVASCRIPT, {"type": "float"}, [4.0], "4", True),
    (Language.JAVASCRIPT, {"type": "float"}, [4.0], "4.0", True),
    (Language.JAVASCRIPT, {"type": "String"}, ["it"], "'it'", True),
    (Language.JAVASCRIPT, {"type": "array", "items": {"type": "String"}}, [["a", "b"]], '["a","b"]', True),
    (Language.JAVASCRIPT, {"type": "array", "items": {"type": "String"}}, [["a", "b"]], "['b', 'a']", False),
    (Language.JAVASCRIPT, {"type": "dict"}, [{"k": ["x"]}], "{k: 'x'}", True),
]


@pytest.mark.parametrize(("language", "schema", "alternatives", "source", "right"), SOURCES)
def test_source_code_is_known_in_its_usual_spellings(
    language: Language, schema: dict[str, Any], alternatives: list[Any], source: str, right: bool
) -> None:
    assert matches(matcher(alternatives, schema, language), source) is right


def test_a_call_has_the_name_that_was_offered() -> None:
    document = {"name": "math.add", "parameters": {"properties": {"a": {"type": "integer"}}}}
    call = expected_call("call-1", "math_add", {"a": [1], "unknown": ["", 2]}, document, Language.PYTHON)
    assert (call.id, call.name, list(call.arguments)) == ("call-1", "math_add", ["a", "unknown"])


def test_an_alternative_without_end_is_refused() -> None:
    with pytest.raises(SuiteError, match="more than"):
        values_of({str(n): [1, 2, 3] for n in range(40)})
