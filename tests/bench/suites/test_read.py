"""What is said of a broken line or header: place and problem, each thing once, in words and not in pydantic's."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from bench.suites.case import SuiteError, load
from bench.suites.read import look_through
from bench.suites.schema import CaseLine, HeaderLine
from bench.suites.wording import told
from tests.bench.episodes import ADD, STORE, raw_case, write_suite

KINDS = "'validation', 'not_found', 'transient', 'timeout', 'permission' or 'malformed'"


@pytest.mark.parametrize(
    ("model", "raw", "expected"),
    [
        (
            HeaderLine,
            {"suite": "", "version": 1},
            {"suite": "has to be a text that is not empty", "version": "has to be a text"},
        ),
        (HeaderLine, {"suite": "x", "version": "1", "tools": [7]}, {"tools.0": "has to be a text or an object"}),
        (HeaderLine, {"suite": "x", "version": "1", "tools": 7}, {"tools": "has to be a text or a list"}),
        (
            HeaderLine,
            {"suite": "x", "versoin": "1"},
            {"version": "is missing", "versoin": "there is no such field; did you mean 'version'?"},
        ),
        (CaseLine, raw_case(max_steps="3"), {"max_steps": "has to be a whole number"}),
        (CaseLine, raw_case(max_steps=0), {"max_steps": "has to be greater than or equal to 1"}),
        (CaseLine, raw_case(any_call=1), {"any_call": "has to be true or false"}),
        (CaseLine, raw_case(messages=[]), {"messages": "has to be a list with at least one element"}),
        (CaseLine, raw_case(results=[{"name": "add"}]), {"results.0": "write either 'result' or 'content'"}),
        (CaseLine, raw_case(fault={"on": "x", "kind": "rain", "content": ""}), {"fault.kind": f"has to be {KINDS}"}),
        (
            CaseLine,
            raw_case(fault={"on": "x", "kind": "timeout", "content": ""}, without_fault={"expected": {"cals": []}}),
            {
                "without_fault.expected.calls": "is missing",
                "without_fault.expected.cals": "there is no such field; did you mean 'calls'?",
            },
        ),
        (
            CaseLine,
            raw_case(expected={"calls": [{"name": "add", "threads": {"a": 7}, "arguments": []}]}),
            {
                "expected.calls.0.threads.a": "has to be a text or a list",
                "expected.calls.0.arguments": "has to be an object",
            },
        ),
    ],
)
def test_everything_is_told_in_words(model: type[BaseModel], raw: dict[str, Any], expected: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(raw)
    assert dict(told(caught.value, model)) == expected


def header(**more: Any) -> dict[str, Any]:
    return {"suite": "mine", "version": "1"} | more


@pytest.mark.parametrize(
    ("tools", "problem"),
    [
        (["a.json", "b.json"], "the tool 'add' is defined in {0}/a.json and in {0}/b.json; keep one, or rename one"),
        (["a.json", ADD], "the tool 'add' is defined in {0}/a.json and in the header itself"),
        ("twice.json", "the tool 'add' is defined twice in {0}/twice.json"),
        ([ADD, ADD], "the tool 'add' is defined twice in the header itself"),
        ("broken.json", "{0}/broken.json: tool 'bad': parameters at #/type"),
        ("empty.json", "{0}/empty.json: it holds no tools"),
    ],
)
def test_a_name_is_defined_once(tmp_path: Path, tools: Any, problem: str) -> None:
    files = {"a": [ADD], "b": {"tools": [ADD]}, "twice": [ADD, ADD], "empty": []}
    files["broken"] = [{"name": "bad", "parameters": {"type": "colour"}}]
    for name, document in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    path = write_suite(tmp_path, raw_case(tools=["add"]), header=header(tools=tools))
    (trouble,) = look_through(path).troubles
    assert problem.format(tmp_path) in str(trouble)
    assert str(trouble).startswith(f"{path}:1: tools")


def test_a_header_names_no_device_and_no_pipe(tmp_path: Path) -> None:
    """/dev/zero as a stranger's tools filled the memory, and a pipe kept `suite check` waiting for ever."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("/dev/zero", "pipe"):
        path = write_suite(tmp_path, raw_case(tools=["add"]), header=header(tools=name))
        (trouble,) = look_through(path).troubles
        assert str(trouble) == f"{path}:1: tools: {tmp_path / name} is no regular file, but a device or a pipe"


def test_a_folder_holds_no_device_and_no_pipe(tmp_path: Path) -> None:
    (tmp_path / "suite.json").write_text(json.dumps(header()))
    os.mkfifo(tmp_path / "cases.jsonl")
    (trouble,) = look_through(tmp_path).troubles
    assert "cases.jsonl is no regular file" in str(trouble)


@pytest.mark.parametrize("wrap", [{"tools": [ADD]}, {"jsonrpc": "2.0", "id": 1, "result": {"tools": [ADD]}}])
def test_a_headers_file_may_be_a_request_or_a_servers_answer(tmp_path: Path, wrap: dict[str, Any]) -> None:
    (tmp_path / "tools.json").write_text("\ufeff" + json.dumps(wrap), encoding="utf-8")
    path = write_suite(tmp_path, raw_case(tools=["add"]), header=header(tools="tools.json"))
    plain = write_suite(tmp_path, raw_case(tools=[ADD]))
    assert load(path).cases[0].content_hash == load(plain).cases[0].content_hash


def test_other_definitions_change_the_cases_that_name_them_and_no_others(tmp_path: Path) -> None:
    cases = [raw_case(id="named", tools=["add"]), raw_case(id="own", tools=[ADD])]
    path = write_suite(tmp_path, *cases, header=header(tools=[ADD, STORE]))
    before, after = load(path), load(path, [ADD | {"description": "New words."}])
    assert [case.tools[0].description for case in after.cases] == ["New words.", ADD["description"]]
    same = [old.content_hash == new.content_hash for old, new in zip(before.cases, after.cases, strict=True)]
    assert same == [False, True]
    assert load("quick", [{"name": "get_weather"}]).content_hash == load("quick").content_hash


def test_the_loader_tells_the_first_and_how_many_more(tmp_path: Path) -> None:
    path = write_suite(tmp_path, raw_case(colour="red", expected={}), raw_case(id=""))
    with pytest.raises(SuiteError) as caught:
        load(path)
    assert str(caught.value).endswith(f" (2 more: toolgauge suite check {path})")


def test_comments_and_line_ends_are_no_part_of_a_suite(tmp_path: Path) -> None:
    path = write_suite(tmp_path, raw_case())
    plain = load(path)
    lines = ["// first", *path.read_text().splitlines(), "  // indented", ""]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert load(path).content_hash == plain.content_hash
