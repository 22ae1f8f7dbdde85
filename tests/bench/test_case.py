from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from bench.suites.case import SuiteError, bundled, load
from tests.bench.episodes import ADD, STORE, case_from, raw_case, raw_episode, write_suite


def expecting(*calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"expected": {"calls": list(calls), **more}}


ADD_CALL = {"name": "add", "arguments": {"a": [1], "b": [2]}}

BROKEN = [
    (raw_case(tools=["add"]), "tools.0: the header names no tool 'add'"),
    (raw_case(tools=[ADD, ADD]), "tools: two tools have the same name"),
    (raw_case(colour="red"), "colour: Extra inputs"),
    (raw_case(messages=[]), "messages: "),
    (raw_case(messages=[{"role": "assistant", "content": "hi"}]), "last message"),
    (raw_case(messages=[{"role": "user", "content": "x", "calls": [ADD_CALL]}]), "only an assistant message"),
    (raw_case(messages=[{"role": "tool", "content": "x"}]), "tool's name"),
    (raw_case(tool_choice="none"), "tool_choice: "),
    (raw_case(max_steps=3), "'max_steps' needs"),
    (raw_case(**expecting(ADD_CALL | {"id": "x"}, ADD_CALL | {"after": ["x"]})), "'after' needs"),
    (raw_case(**expecting({"name": "subtract"})), "expected.calls.0.name: the case offers no tool 'subtract'"),
    (raw_case(**expecting({"name": "add", "arguments": {"c": [1]}})), "add has no parameter 'c'"),
    (raw_case(**expecting({"name": "add", "arguments": {"a": 1}})), "expected.calls.0.arguments.a: write a list"),
    (raw_case(**expecting(ADD_CALL | {"id": "x"}, ADD_CALL | {"id": "x"})), "two calls have the same id"),
    (raw_case(**expecting(reply={"asks": ["("]})), "expected.reply.asks: not a regular expression"),
    (raw_case(**expecting(reply={"sings": ["la"]})), "expected.reply.sings"),
    (raw_episode(**expecting(ADD_CALL | {"after": ["nobody"]})), "'nobody' is not the id"),
    (
        raw_episode(**expecting(ADD_CALL | {"id": "x", "after": ["y"]}, ADD_CALL | {"id": "y", "after": ["x"]})),
        "in a circle",
    ),
    (
        raw_episode(**expecting(ADD_CALL | {"id": "x"}, ADD_CALL | {"threads": {"a": "x"}})),
        "expected.calls.1.threads.a: 'x' is not the id",
    ),
    (
        raw_episode(**expecting(ADD_CALL | {"id": "x"}, ADD_CALL | {"after": ["x"], "threads": {"note": "x"}})),
        "'note' is not among",
    ),
    (raw_episode(fault={"on": "nobody", "kind": "timeout", "result": 1}), "fault.on: 'nobody'"),
    (raw_episode(fault={"on": "sum", "kind": "earthquake", "result": 1}), "fault.kind"),
    (raw_episode(fault={"on": "sum", "kind": "timeout"}), "either 'result' or 'content'"),
    (raw_episode(fault={"on": "sum", "kind": "timeout", "times": 0, "result": 1}), "fault.times"),
    (raw_episode(results=[{"name": "add", "result": 1, "content": "1"}]), "either 'result' or 'content'"),
    (raw_episode(results=[{"name": "add", "arguments": {"a": {}}, "result": 1}]), "results.0.arguments.a"),
    (raw_case(tools=[ADD | {"parameters": {"type": "object", "properties": {"a": {"type": "colour"}}}}]), "tools.0: "),
]


@pytest.mark.parametrize(("raw", "problem"), BROKEN, ids=[problem for _, problem in BROKEN])
def test_a_broken_case_is_told_with_file_line_and_place(tmp_path: Path, raw: dict[str, Any], problem: str) -> None:
    path = write_suite(tmp_path, raw_case(id="mine/0"), raw)
    with pytest.raises(SuiteError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b'{"suite": "x"}\n', ":1: version: "),
        (b'{"suite": "x", "version": "1"}\n', ":1: suite: there is no case"),
        (b'{"suite": "x", "version": "1"}\n\n{"id": \n', ":3: line: not a JSON document"),
        (b'{"suite": "x", "version": "1", "tools": "none.json"}\n', ":1: tools: cannot read"),
        (b'{"suite": "x", "version": "1"}\n[1]\n', ":2: line: "),
        (b"GGUF\x03\x00\xff\xfe", "not a UTF-8 text file"),
        (b"[" * 100_000, ":1: line: not a JSON document"),
    ],
)
def test_a_broken_file_is_one_sentence(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_bytes(content)
    with pytest.raises(SuiteError) as caught:
        load(path)
    assert problem in str(caught.value)


def test_an_unknown_suite_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="quick"):
        load("slow")
    with pytest.raises(SuiteError, match="no case 'x'"):
        load(write_suite(tmp_path, raw_case())).case("x")


def test_the_same_id_twice(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"mine\.jsonl:3: id: 'mine/1' is used twice"):
        load(write_suite(tmp_path, raw_case(), raw_case()))


def test_tools_by_name_and_inline_in_the_order_offered(tmp_path: Path) -> None:
    store = {"type": "function", "function": {"name": "keep", "description": "", "parameters": {"type": "object"}}}
    header = {"suite": "mine", "version": "1", "tools": [ADD, store]}
    path = write_suite(tmp_path, raw_case(tools=["keep", "add"]), header=header)
    assert [tool.name for tool in load(path).cases[0].tools] == ["keep", "add"]


def test_hash_sees_the_content_and_not_its_spelling(tmp_path: Path) -> None:
    path = write_suite(tmp_path, raw_case())
    first = load(path)
    path.write_text(path.read_text(encoding="utf-8").replace('": ', '" :  '), encoding="utf-8")
    assert load(path).content_hash == first.content_hash

    changed = [
        raw_case(tool_choice="required"),
        raw_case(messages=[{"role": "user", "content": "What is 1 and  2?"}]),
        raw_case(expected={"calls": [{"name": "add", "arguments": {"a": [1], "b": [3]}}]}),
        raw_case(tools=[ADD]),
        raw_case(tools=[STORE, ADD]),
        raw_case(tools=[dict(reversed(ADD.items())), STORE]),  # the order of keys is part of the prompt
    ]
    hashes = {load(write_suite(tmp_path, raw)).content_hash for raw in changed}
    assert len(hashes) == len(changed) and first.content_hash not in hashes


def test_several_calls_at_once_are_allowed_unless_a_case_says_otherwise(tmp_path: Path) -> None:
    silent = case_from(tmp_path, raw_case())
    allowed, one = (case_from(tmp_path, raw_case(parallel_tool_calls=said)) for said in (True, False))
    assert (silent.parallel_tool_calls, one.parallel_tool_calls) == (True, False)
    assert silent.content_hash == allowed.content_hash != one.content_hash


def test_steps_and_defaults(tmp_path: Path) -> None:
    single, episode = case_from(tmp_path, raw_case()), case_from(tmp_path, raw_episode())
    assert (single.is_episode, single.max_steps, single.tool_choice) == (False, 1, "auto")
    assert (episode.is_episode, episode.max_steps) == (True, 6)
    assert case_from(tmp_path, raw_episode(max_steps=4)).max_steps == 4


def test_a_case_can_be_sent_to_another_process(tmp_path: Path) -> None:
    case = case_from(tmp_path, raw_episode())
    assert pickle.loads(pickle.dumps(case)) == case


def test_line_separators_inside_strings(tmp_path: Path) -> None:
    raw = raw_case(messages=[{"role": "user", "content": "one\u2028two\x85three"}])
    path = tmp_path / "mine.jsonl"
    path.write_text('{"suite": "mine", "version": "1"}\r\n' + json.dumps(raw, ensure_ascii=False), encoding="utf-8")
    assert load(path).cases[0].messages[0].content == "one\u2028two\x85three"


@pytest.mark.parametrize("name", bundled())
def test_the_bundled_suites_load(name: str) -> None:
    suite = load(name)
    assert suite.name == name
    assert all(case.id.startswith(f"{name}/") for case in suite.cases)


def test_the_examples_in_the_documentation_load(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "suites.md").read_text(encoding="utf-8")
    blocks = [json.loads(block.split("```")[0]) for block in text.split("```json\n")[1:]]
    cases = [block for block in blocks if "id" in block]
    assert len(cases) == 2
    assert len(load(write_suite(tmp_path, *cases)).cases) == 2
