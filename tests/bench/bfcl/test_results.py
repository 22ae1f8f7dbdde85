"""Official result files: what is written reads back with the official decoders' own code, and nothing else does."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.records import EpisodeEnd, ErrorKind, ItemError, ItemRecord, StepRecord
from bench.suites.bfcl.calls import NotACall
from bench.suites.bfcl.results import DEFAULT_NAME, Python, Tagged, path_of, result_line, writer
from bench.suites.case import Case, Official
from engine.types import Call, Fragment, Generation, Parsed, StopReason
from grammars.errors import ToolgaugeError
from tests.bench.bfcl.oracle import _take
from tests.bench.episodes import generation

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(-1e6, 1e6) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)
CALLS = st.lists(
    st.builds(
        Call,
        st.sampled_from(["spotify.play", "cd", "a.b.c"]),
        st.dictionaries(st.sampled_from(["x", "file_name", "q1"]), VALUES, max_size=3),
    ),
    min_size=1,
    max_size=3,
)


def case(category: str = "simple_python", **data: Any) -> Case:
    official = Official("bfcl", {"category": category, "language": "python", "names": {}, **data})
    return Case(f"{category}_0", category, (), (), "auto", (), {}, None, (), 1, "", official=official)


def record(*answers: Parsed, text: str | None = None) -> ItemRecord:
    steps = tuple(StepRecord(generation(parsed) if text is None else said(text), parsed) for parsed in answers)
    return ItemRecord("x", steps, EpisodeEnd.SINGLE)


def said(text: str) -> Generation:
    return Generation(tokens=(1, 2, 3), text=text, stop=StopReason.EOG, n_prompt=10, n_cached=0)


# The official decoders' own code, taken out of their modules


@pytest.fixture(scope="session")
def tagged_decoder(bfcl_package: Path) -> Any:
    """What the official handler of function-calling Qwen models reads."""
    path = bfcl_package / "model_handler" / "local_inference" / "qwen_fc.py"
    module = ast.parse(path.read_text(encoding="utf-8"))
    (handler,) = [node for node in module.body if isinstance(node, ast.ClassDef)]
    names = ("_extract_tool_calls", "decode_ast")
    handler.body = [node for node in handler.body if isinstance(node, ast.FunctionDef) and node.name in names]
    handler.bases = []
    for node in handler.body:
        assert isinstance(node, ast.FunctionDef)
        node.decorator_list = [d for d in node.decorator_list if ast.unparse(d) == "staticmethod"]
    namespace: dict[str, Any] = {"re": re, "json": json, "Any": Any}
    exec(compile(ast.Module([handler], []), str(path), "exec"), namespace)
    found = namespace[handler.name]()
    return lambda text: found.decode_ast(text, None, False)


@pytest.fixture(scope="session")
def python_decoder(bfcl_package: Path) -> Any:
    """What the official handlers of prompted models read in Python's categories."""

    class ReturnFormat:
        PYTHON = "python"

    namespace: dict[str, Any] = {"ast": ast, "re": re, "ReturnFormat": ReturnFormat}
    names = ("default_decode_ast_prompting", "ast_parse", "resolve_ast_call", "resolve_ast_by_type")
    _take(bfcl_package / "model_handler" / "utils.py", names, namespace)
    return namespace["default_decode_ast_prompting"]


@pytest.mark.bfcl
@settings(max_examples=100)
@given(calls=CALLS)
def test_tagged_calls_read_back(tagged_decoder: Any, calls: list[Call]) -> None:
    assert tagged_decoder(Tagged().calls(case(), calls)) == [{call.name: call.arguments} for call in calls]


@pytest.mark.bfcl
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@settings(max_examples=100)
@given(calls=CALLS)
def test_python_calls_read_back(python_decoder: Any, calls: list[Call]) -> None:
    assert python_decoder(Python().calls(case(), calls)) == [{call.name: dict(call.arguments)} for call in calls]


HARMLESS = [
    "",
    "I cannot do that.",
    "hello()",
    "[f(x=1)]",
    "`[f(x=1)]`\n",
    "f(x=1), g(y=2)",
    '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>',
    "it's <tool_call>\n",
    "(",
]


@pytest.mark.bfcl
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::SyntaxWarning")
@pytest.mark.parametrize("text", HARMLESS)
def test_words_are_no_call_to_either_decoder(tagged_decoder: Any, python_decoder: Any, text: str) -> None:
    assert tagged_decoder(Tagged().words(text)) == []
    try:
        found = python_decoder(Python().words(text))
    except Exception:
        return  # what the official decoders do with words
    assert found == []


# The lines


def test_a_line_has_the_official_names_and_counts() -> None:
    dotted = case(names={"math_factorial": "math.factorial"})
    line = result_line(dotted, record(Parsed(calls=(Call("math_factorial", {"n": 5}),))), Tagged())
    assert line["id"] == "simple_python_0"
    assert line["result"] == '<tool_call>\n{"name": "math.factorial", "arguments": {"n": 5}}\n</tool_call>'
    assert (line["input_token_count"], line["output_token_count"]) == (10, 2)
    again = result_line(dotted, record(Parsed(calls=(Call("math_factorial", {"n": 5}),))), Python())
    assert again["result"] == "[math.factorial(n=5)]"


def test_a_value_cannot_end_the_tag() -> None:
    text = Tagged().calls(case(), [Call("f", {"x": "\n</tool_call>\n<tool_call>\n"})])
    assert text.count("<") == 2
    assert json.loads(text.split("\n")[1])["arguments"] == {"x": "\n</tool_call>\n<tool_call>\n"}


def test_what_our_parser_could_not_read_is_no_call() -> None:
    text = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>\n<tool_call>\n{"name": '
    half = Parsed(calls=(Call("f", {}),), fragments=(Fragment("{", "cut", 0),))
    assert "<tool_call>" not in result_line(case(), record(half, text=text), Tagged())["result"]


def test_an_error_is_written_as_the_official_harness_writes_it() -> None:
    failed = ItemRecord("x", (), EpisodeEnd.ERROR, ItemError(ErrorKind.CONTEXT, "too long"))
    assert result_line(case(), failed, Tagged())["result"] == "Error during inference: too long"


def test_a_conversation_is_lists_of_turns() -> None:
    talk = case("multi_turn_base", turns=[["user", "a"], ["user", "b"]])
    calls = [Parsed(calls=(Call("cd", {"folder": "x"}),)), Parsed(content="Done."), Parsed(content="No.")]
    line = result_line(talk, record(*calls), Python())
    assert line["result"] == [["[cd(folder='x')]", "Done."], ["No."]]
    assert line["output_token_count"] == [[2, 2], [2]]


@pytest.mark.parametrize("language", ["java", "javascript"])
def test_other_languages_are_written_in_tags_only(language: str) -> None:
    foreign = case(f"simple_{language}", language=language)
    answer = record(Parsed(calls=(Call("f", {"x": "5L"}),)))
    assert "5L" in result_line(foreign, answer, Tagged())["result"]
    with pytest.raises(NotACall):
        result_line(foreign, answer, Python())


@pytest.mark.parametrize("name", ["gpt-4", "Qwen/Qwen3-9B-FC", "", "Qwen/Qwen3-8B-FC-FC"])
def test_only_models_whose_handler_is_known_can_be_named(name: str) -> None:
    with pytest.raises(ToolgaugeError, match="name a model whose official handler toolgauge knows"):
        writer(name)


def test_files_lie_where_the_official_evaluation_looks() -> None:
    assert isinstance(writer(DEFAULT_NAME), Tagged)
    assert isinstance(writer("Qwen/Qwen3-0.6B"), Python)
    place = path_of(DEFAULT_NAME, "live_simple")
    assert str(place) == "Qwen_Qwen3-8B-FC/live/BFCL_v4_live_simple_result.json"
