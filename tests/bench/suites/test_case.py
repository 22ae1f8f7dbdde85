from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from bench.authoring.check import problems
from bench.suites.case import Case, NearMiss, SuiteError, WorldUse, bundled, load
from engine.types import Call
from tests.bench.episodes import ADD, STORE, case_from, raw_case, raw_episode, write_suite


def expecting(*calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"expected": {"calls": list(calls), **more}}


MISS = {"outcome": "no_call", "reply": "No."}
ADD_CALL = {"name": "add", "arguments": {"a": [1], "b": [2]}}

BROKEN = [
    (raw_case(tools=["add"]), "tools.0: the header names no tool 'add'"),
    (raw_case(tools=[ADD, ADD]), "tools: two tools have the same name"),
    (raw_case(colour="red"), "colour: there is no such field; known are id, category, tools"),
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
    (raw_case(**expecting(reply={"asks": [r"(\w+) \1"]})), "expected.reply.asks: a back-reference cannot be searched"),
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
    (raw_episode(fault={"on": "sum", "kind": "timeout", "seed": 1, "result": 1}), "or a 'seed'"),
    (raw_episode(fault={"on": "sum", "kind": "validation", "seed": 1}), "needs the 'field'"),
    (raw_case(without_fault=True), "'without_fault' needs a 'fault'"),
    (
        raw_case(fault={"on": "call-1", "kind": "timeout", "seed": 0}, without_fault=True),
        "needs 'results' or a 'world'",
    ),
    (raw_episode(fault={"on": "sum", "kind": "timeout", "seed": 0}, without_fault=True), "store is right because"),
    (raw_case(any_call=True), "'any_call' is for"),
    (raw_case(**expecting(ADD_CALL, state={"x": [1]})), "'expected.state' needs a 'world'"),
    (raw_case(near_misses=[{"outcome": "no_call"}]), "write one of 'calls', 'steps' and 'reply'"),
    (raw_case(near_misses=[{"outcome": "silly", "reply": "x"}]), "near_misses.0.outcome"),
    (raw_case(near_misses=[{"outcome": "correct", "steps": [[ADD_CALL], []]}]), "several steps needs"),
    (raw_case(world={"name": "moon"}), "world.name: there is no world 'moon'; known are"),
    (raw_case(world={"name": "stock", "state": {"items.lamp.count": "x"}}), "world.state: items.lamp.count"),
    (raw_case(world={"name": "stock", "state": {"shelves": 1}}), "world.state: there is no 'shelves'"),
    (raw_case(world={"name": "stock"}, tools=["fly"]), "names no tool 'fly', nor has the world one"),
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
        (b'{"suite": "x", "version": "1", "includes": ["quick"]}\n', ":1: includes: only a folder"),
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
    in_world = case_from(tmp_path, raw_case(world={"name": "stock", "seed": 7}, near_misses=[MISS]))
    assert in_world.world == WorldUse("stock", 7)
    assert pickle.loads(pickle.dumps(in_world)) == in_world


def test_a_world_offers_its_tools_where_a_case_names_none(tmp_path: Path) -> None:
    raw = {k: v for k, v in raw_case(world={"name": "stock"}, expected={"calls": []}).items() if k != "tools"}
    assert [tool.name for tool in case_from(tmp_path, raw).tools][:2] == ["find_items", "place_order"]
    named = case_from(tmp_path, raw | {"tools": ["get_order", ADD, "find_items"]})
    assert [tool.name for tool in named.tools] == ["get_order", "add", "find_items"]
    changed = case_from(tmp_path, raw | {"world": {"name": "stock", "seed": 1}})
    assert changed.content_hash != case_from(tmp_path, raw).content_hash


@pytest.mark.parametrize(
    ("n_calls", "fault", "max_steps"),
    [
        (3, None, 6),
        (4, None, 7),
        (5, None, 8),
        (5, {"times": 1}, 9),
        (5, {"times": 3}, 11),
        (5, {}, 8),  # for good: the failed call is one of those expected
    ],
)
def test_the_step_limit_leaves_room_for_the_whole_chain(
    tmp_path: Path, n_calls: int, fault: dict[str, Any] | None, max_steps: int
) -> None:
    chain = [
        {"id": f"c{n}", "name": "add", "arguments": {"a": [n], "b": [0]}, "after": [f"c{n - 1}"] if n else []}
        for n in range(n_calls)
    ]
    injected = fault if fault is None else {"on": "c1", "kind": "timeout", "seed": 0} | fault
    assert case_from(tmp_path, raw_episode(expected={"calls": chain}, fault=injected)).max_steps == max_steps


def test_line_separators_inside_strings(tmp_path: Path) -> None:
    raw = raw_case(messages=[{"role": "user", "content": "one\u2028two\x85three"}])
    path = tmp_path / "mine.jsonl"
    path.write_text('{"suite": "mine", "version": "1"}\r\n' + json.dumps(raw, ensure_ascii=False), encoding="utf-8")
    assert load(path).cases[0].messages[0].content == "one\u2028two\x85three"


@pytest.mark.parametrize("name", bundled())
def test_the_bundled_suites_load(name: str) -> None:
    suite = load(name)
    assert suite.name == name
    assert all(case.id.partition("/")[0] in bundled() for case in suite.cases)


def test_stored_runs_stay_valid() -> None:
    """What has not changed keeps its hash, whatever is added to the format."""
    assert load("quick").content_hash == "405e4ddb28b02498bebf3b894ac235d30a49111aa7a5ac781ed50cf568b0866a"


def write_folder(folder: Path, header: dict[str, Any], **files: list[dict[str, Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "suite.json").write_text(json.dumps(header, indent=2), encoding="utf-8")
    for name, lines in files.items():
        text = "\n".join(json.dumps(line) for line in lines)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return folder


HEADER: dict[str, Any] = {"suite": "wide", "version": "2"}


def test_a_folder_is_a_suite_of_its_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "wide").mkdir()
    (tmp_path / "wide" / "a.json").write_text(json.dumps([ADD]), encoding="utf-8")
    (tmp_path / "wide" / "b.json").write_text(json.dumps([STORE]), encoding="utf-8")
    first = [raw_case(id="b/1", tools=["add", "store"]), raw_case(id="b/2", tools=["store", "add"])]
    header = HEADER | {"tools": ["a.json", "b.json"]}
    suite = load(write_folder(tmp_path / "wide", header, zz=[raw_case(id="z/1")], b=first))
    assert (suite.name, suite.version, suite.path) == ("wide", "2", tmp_path / "wide")
    assert [case.id for case in suite.cases] == ["b/1", "b/2", "z/1"]
    assert [tool.name for tool in suite.case("b/2").tools] == ["store", "add"]


def test_a_folder_includes_bundled_suites_before_its_own_cases(tmp_path: Path) -> None:
    quick = load("quick")
    suite = load(write_folder(tmp_path / "wide", HEADER | {"includes": ["quick"]}, own=[raw_case()]))
    assert suite.cases[:-1] == quick.cases
    assert suite.cases[-1].id == "mine/1"
    alone = load(write_folder(tmp_path / "alone", HEADER, own=[raw_case()]))
    assert alone.content_hash != suite.content_hash != quick.content_hash


@pytest.mark.parametrize(
    ("header", "cases", "problem"),
    [
        (HEADER | {"includes": ["moon"]}, [raw_case()], "suite.json: includes: there is no bundled suite 'moon'"),
        ({"suite": "x"}, [raw_case()], "suite.json: version: "),
        (HEADER | {"tools": ["none.json"]}, [raw_case()], "suite.json: tools: cannot read"),
        (HEADER, [], "suite.json: suite: there is no case"),
        (HEADER, [raw_case(), raw_case()], "own.jsonl:2: id: 'mine/1' is used twice"),
        (HEADER, [raw_case(), raw_case(id="x", tools=["add"])], "own.jsonl:2: tools.0: the header names no tool"),
    ],
)
def test_a_broken_folder_is_told_with_file_and_line(
    tmp_path: Path, header: dict[str, Any], cases: list[dict[str, Any]], problem: str
) -> None:
    with pytest.raises(SuiteError) as caught:
        load(write_folder(tmp_path / "wide", header, own=cases))
    assert problem in str(caught.value)


def test_a_folder_without_header_is_no_suite(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"without a suite\.json"):
        load(tmp_path)


def test_what_only_people_read_is_no_part_of_the_hash(tmp_path: Path) -> None:
    miss = {"outcome": "wrong_arguments", "calls": [{"name": "add", "arguments": {"a": 2, "b": 1}}]}
    plain, told = (
        case_from(tmp_path, raw)
        for raw in (raw_case(), raw_case(why="One and two are the numbers asked for.", near_misses=[miss]))
    )
    assert plain.content_hash == told.content_hash
    assert told.near_misses == (NearMiss("wrong_arguments", ((Call("add", {"a": 2, "b": 1}),),)),)
    assert told.why.startswith("One and two")
    steps = raw_episode(near_misses=[{"outcome": "wrong_order", "steps": [[ADD_CALL], []]}])
    assert case_from(tmp_path, steps).near_misses[0].steps == ((Call("add", {"a": [1], "b": [2]}),), ())


def test_the_twin_is_the_case_without_its_fault(tmp_path: Path) -> None:
    raw = raw_episode(fault={"on": "sum", "kind": "timeout", "times": 1, "seed": 0}, without_fault=True)
    case, twin = load(write_suite(tmp_path, raw)).cases
    assert (case.twin_of, twin.twin_of, twin.id) == (None, "mine/1", "mine/1~no-fault")
    assert (twin.fault, twin.category, twin.expected, twin.results) == (
        None,
        f"{case.category}~no-fault",
        case.expected,
        case.results,
    )
    assert twin.is_episode and twin.max_steps == case.max_steps
    assert case.content_hash == case_from(tmp_path, {k: v for k, v in raw.items() if k != "without_fault"}).content_hash


def test_what_is_right_without_the_fault_can_be_written(tmp_path: Path) -> None:
    fault = {"on": "sum", "kind": "permission", "seed": 0}
    raw = raw_episode(fault=fault, without_fault=expecting(ADD_CALL))
    case, twin = load(write_suite(tmp_path, raw)).cases
    assert (len(case.expected), len(twin.expected)) == (2, 1)


def test_the_seed_draws_the_wording_of_a_fault(tmp_path: Path) -> None:
    def drawn(**fault: Any) -> Case:
        return case_from(tmp_path, raw_episode(fault={"on": "sum", "times": 1} | fault))

    first, second = drawn(kind="transient", seed=0), drawn(kind="transient", seed=1)
    assert first.fault and second.fault and first.fault.content != second.fault.content
    assert first.content_hash != second.content_hash
    named = drawn(kind="validation", seed=3, field="b").fault
    assert named and named.content == "400 Bad Request: parameter 'b' of add was rejected"


def test_the_examples_in_the_documentation_load(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "suites.md").read_text(encoding="utf-8")
    blocks = [json.loads(block.split("```")[0]) for block in text.split("```json\n")[1:]]
    cases = [block for block in blocks if "id" in block]
    assert len(cases) == 3
    read = load(write_suite(tmp_path, *cases)).cases
    assert len(read) == 4  # one has a twin
    assert {case.id: found for case in read if (found := problems(case))} == {}
