"""BFCL's files as suites, on made-up data in the official form."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.suites.bfcl.categories import CATEGORIES, GROUPS
from bench.suites.bfcl.package import ENVIRONMENT
from bench.suites.case import Case, SuiteError, load
from engine.types import Message
from grammars.validation import validator
from tests.bench.bfcl.made_up import answer, conversation, function, question, text, write_package, write_rows

WEATHER = function("weather.now", {"city": text(), "days": {"type": "integer", "description": "How many."}}, ["city"])
SIMPLE = question("simple_python_0", WEATHER, said="The weather in Oslo?")
RIGHT = answer("simple_python_0", {"weather.now": {"city": ["Oslo", "Oslo, Norway"], "days": [1, ""]}})


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    def make(questions: dict[str, Any], answers: dict[str, Any] | None = None) -> Path:
        monkeypatch.setenv(ENVIRONMENT, str(tmp_path))
        return write_package(tmp_path, questions, answers)

    return make


@pytest.fixture
def simple(package: Callable[..., Path]) -> Case:
    package({"simple_python": [SIMPLE]}, {"simple_python": [RIGHT]})
    return load("bfcl:simple_python").cases[0]


def test_a_case_has_the_official_id_category_and_words(simple: Case) -> None:
    assert (simple.id, simple.category, simple.is_episode) == ("simple_python_0", "simple_python", False)
    assert simple.messages == (Message("user", "The weather in Oslo?"),)
    assert [(call.id, call.name) for call in simple.expected] == [("call-1", "weather_now")]


def test_a_dot_in_a_name_becomes_an_underscore_and_is_kept(simple: Case) -> None:
    assert simple.tools[0].name == "weather_now"
    assert simple.official is not None
    assert simple.official.data["names"] == {"weather_now": "weather.now"}
    assert simple.official.data["functions"] == [WEATHER]
    assert simple.official.data["ground_truth"] == RIGHT["ground_truth"]


def test_a_model_sees_todays_types_and_the_hint_and_nothing_closed(simple: Case) -> None:
    tool = simple.tools[0]
    assert tool.description == "Does weather.now. Note that the provided function is in Python 3 syntax."
    assert tool.written == {**WEATHER["parameters"], "type": "object"}
    assert tool.parameters["additionalProperties"] is False
    assert validator(tool.parameters).is_valid({"city": "Oslo"})
    assert not validator(tool.parameters).is_valid({"city": "Oslo", "when": "now"})


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ({"type": "float"}, {"type": "number"}),
        ({"type": "any"}, {}),
        ({"type": "tuple", "items": {"type": "float"}}, {"type": "array", "items": {"type": "number"}}),
        (
            {"type": "dict", "properties": {"a": {"type": "array", "items": {"type": "dict"}}}},
            {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "object"}}}},
        ),
    ],
)
def test_types_are_shown_under_their_names_in_json_schema(
    package: Callable[..., Path], written: dict[str, Any], shown: dict[str, Any]
) -> None:
    row = question("irrelevance_0", function("f", {"x": {"description": "X.", **written}}))
    package({"irrelevance": [row]})
    parameters = load("bfcl:irrelevance").cases[0].tools[0].written
    assert parameters is not None
    assert parameters["properties"]["x"] == {"description": "X.", **shown}


@pytest.mark.parametrize(
    ("category", "schema", "ending"),
    [
        ("java", {"type": "any"}, " This parameter can be of any type of Java object in string representation."),
        ("java", {"type": "long"}, " This is Java long type parameter in string representation."),
        (
            "java",
            {"type": "ArrayList", "items": {"type": "String"}},
            " This is Java ArrayList type parameter in string representation."
            " The list elements are of type String; they are not in string representation.",
        ),
        ("javascript", {"type": "Boolean"}, " This is JavaScript Boolean type parameter in string representation."),
        (
            "javascript",
            {"type": "dict", "properties": {"a": {"type": "String"}}},
            " This is JavaScript dict type parameter in string representation. The dictionary entries have the"
            ' following schema; they are not in string representation. {"a": {"type": "String"}}',
        ),
    ],
)
def test_arguments_of_other_languages_are_source_code(
    package: Callable[..., Path], category: str, schema: dict[str, Any], ending: str
) -> None:
    name = f"simple_{category}"
    row = question(f"{name}_0", function("A.go", {"x": {"description": "X.", **schema}}))
    package({name: [row]}, {name: [answer(f"{name}_0", {"A.go": {"x": ["v"]}})]})
    case = load(f"bfcl:{name}").cases[0]
    assert case.tools[0].written is not None
    assert case.tools[0].written["properties"]["x"] == {"description": f"X.{ending}", "type": "string"}
    assert case.official is not None
    assert case.official.data["functions"] == row["function"]  # as they are, without a hint
    assert case.official.data["language"] == category


def test_without_answers_nothing_is_right_or_everything(package: Callable[..., Path]) -> None:
    package(
        {"irrelevance": [question("irrelevance_0", WEATHER)], "live_relevance": [question("live_relevance_0", WEATHER)]}
    )
    none, any_ = load("bfcl:irrelevance").cases[0], load("bfcl:live_relevance").cases[0]
    assert (none.expected, none.any_call) == ((), False)
    assert (any_.expected, any_.any_call) == ((), True)


def test_a_group_is_its_categories_one_after_the_other(package: Callable[..., Path]) -> None:
    live = [category.name for category in GROUPS["live"]]
    package(
        {name: [question(f"{name}_0", WEATHER)] for name in live},
        {name: [answer(f"{name}_0", {"weather.now": {"city": ["Oslo"]}})] for name in live if "relevance" not in name},
    )
    suite = load("bfcl:live")
    assert suite.name == "bfcl:live"
    assert suite.categories == tuple(live)
    assert [case.id for case in suite.cases] == [f"{name}_0" for name in live]


def test_conversations_and_their_tools(package: Callable[..., Path]) -> None:
    row = conversation("multi_turn_miss_func_0", "On.", None, lamps={"hall": False}, missed_function={"1": ["switch"]})
    truth = {"id": row["id"], "ground_truth": [[], ["switch('hall')"]]}
    package({"multi_turn_miss_func": [row]}, {"multi_turn_miss_func": [truth]})
    case = load("bfcl:multi_turn_miss_func").cases[0]
    assert case.is_episode
    assert case.messages == (Message("user", "On."),)
    assert "switch" not in [tool.name for tool in case.tools]


def test_the_hash_is_of_the_data(package: Callable[..., Path], tmp_path: Path) -> None:
    place = package({"simple_python": [SIMPLE]}, {"simple_python": [RIGHT]})
    before = load("bfcl:simple_python")
    assert load("bfcl:simple_python").content_hash == before.content_hash
    write_rows(place / "data" / "BFCL_v4_simple_python.json", [json.loads(json.dumps(SIMPLE).replace("Oslo", "Rome"))])
    after = load("bfcl:simple_python")
    assert after.cases[0].content_hash != before.cases[0].content_hash
    assert after.content_hash != before.content_hash


@pytest.mark.parametrize("name", ["simpel_python", "memory", "web_search_base", ""])
def test_an_unknown_category_is_named_and_another_offered(name: str) -> None:
    with pytest.raises(SuiteError, match=f"BFCL has no category '{name}'") as found:
        load(f"bfcl:{name}")
    assert "did you mean bfcl:simple_python?" in str(found.value) or "known are" in str(found.value)


def test_without_data_one_sentence_says_what_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path)
    with pytest.raises(SuiteError, match="run `toolgauge pull bfcl` once"):
        load("bfcl:simple_python")
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "elsewhere"))
    with pytest.raises(SuiteError, match=r"TOOLGAUGE_BFCL names .*elsewhere"):
        load("bfcl:simple_python")


@pytest.mark.parametrize(
    ("questions", "answers", "complaint"),
    [
        ([SIMPLE], [answer("simple_python_1", {"weather.now": {}})], "do not belong together"),
        ([SIMPLE], [], "do not belong together"),
        ([{"id": "simple_python_0"}], [RIGHT], "not in BFCL's form"),
        ([SIMPLE], [answer("simple_python_0", {"other": {}})], "not in BFCL's form"),
    ],
)
def test_other_data_are_refused(package: Callable[..., Path], questions: Any, answers: Any, complaint: str) -> None:
    package({"simple_python": questions}, {"simple_python": answers})
    with pytest.raises(SuiteError, match=complaint):
        load("bfcl:simple_python")


def test_a_broken_line_is_named(package: Callable[..., Path]) -> None:
    place = package({"irrelevance": [question("irrelevance_0")]})
    with (place / "data" / "BFCL_v4_irrelevance.json").open("a") as stream:
        stream.write("{oh\n")
    with pytest.raises(SuiteError, match=r"BFCL_v4_irrelevance.json:2: not a JSON document"):
        load("bfcl:irrelevance")


def test_groups_cover_every_category_once() -> None:
    groups = [category.name for name in ("non_live", "live", "multi_turn") for category in GROUPS[name]]
    assert sorted(groups) == sorted(CATEGORIES)
    assert sum(category.n_cases for category in GROUPS["single_turn"]) == 3641
