"""`toolgauge suite` as a person uses it: write one, check it, read it, make one from a log."""

from __future__ import annotations

import errno
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.cli.main import main
from bench.shell import Exit
from bench.suites.case import load
from tests.bench.episodes import ADD, raw_case, raw_episode, write_suite

Captured = pytest.CaptureFixture[str]
Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> Said:
    """Run `toolgauge suite` in a folder of its own: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main(["suite", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


# new


@pytest.mark.usefixtures("workers_here")
def test_the_example_is_sound_and_can_be_run(said: Said, tmp_path: Path, capsys: Captured) -> None:
    code, _, err = said("new")
    assert (code, "toolgauge run --suite my_suite.jsonl" in err) == (Exit.OK, True)
    assert said("check", "my_suite.jsonl")[:2] == (Exit.OK, "my_suite: 3 cases read, 0 problems, 0 warnings\n")
    comments = [line for line in Path("my_suite.jsonl").read_text().splitlines() if line.startswith("//")]
    assert len(comments) > 8
    modes = ["--modes", "native.free", "--no-latency", "--json", "--db", str(tmp_path / "r.db")]
    assert main(["run", "fake:perfect", "--suite", "my_suite.jsonl", *modes]) == Exit.OK
    assert json.loads(capsys.readouterr().out)


def test_nothing_is_written_over(said: Said) -> None:
    Path("mine.jsonl").write_text("precious")
    code, _, err = said("new", "mine")
    assert (code, "mine.jsonl exists already" in err) == (Exit.USAGE, True)
    assert Path("mine.jsonl").read_text() == "precious"


@pytest.mark.parametrize("name", [".", "..", "/"])
def test_a_folder_is_no_file_to_write(said: Said, name: str) -> None:
    lines_of(Path("log.jsonl"), {"prompt": "old"})
    for arguments in (["new", name], ["new", name, "--tools", "app.py:"], ["import", "log.jsonl", "-o", name]):
        code, out, err = said(*arguments)
        assert (code, out) == (Exit.USAGE, "")
        assert f"{name} is a folder; name the file to write" in err


def test_both_files_are_written_or_none(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("app.py").write_text("def book(city: str) -> dict: ...")
    wanted = Path.write_text

    def full_disk(path: Path, *given: Any, **more: Any) -> int:
        if "tools.json" not in path.name:
            wanted(path, "half")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return wanted(path, *given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full_disk)
        code, _, err = said("new", "mine.jsonl", "--tools", "app.py:")
    assert (code, "mine.jsonl: the disk is full" in err) == (Exit.USAGE, True), err
    assert [path.name for path in Path().iterdir() if "mine" in path.name] == []
    assert said("new", "mine.jsonl", "--tools", "app.py:")[0] == Exit.OK


def test_a_suite_to_fill_in_for_own_tools(said: Said) -> None:
    Path("app.py").write_text(
        "def book(city: str, nights: int, late: bool = False) -> dict:\n    'Book a room.'\n\ndef ping() -> dict: ..."
    )
    assert said("new", "mine.jsonl", "--tools", "app.py:")[0] == Exit.OK
    assert [tool["name"] for tool in json.loads(Path("mine.tools.json").read_text())] == ["book", "ping"]
    book, ping, nothing = load("mine.jsonl").cases
    assert [tool.name for tool in book.tools] == ["book", "ping"]
    assert set(book.expected[0].arguments) == {"city", "nights"}
    assert (ping.expected[0].arguments, nothing.expected) == ({}, ())
    code, out, _ = said("check", "mine.jsonl")
    assert code == Exit.USAGE
    unwritten = [line for line in out.splitlines() if "not written yet; replace what says TODO in" in line]
    assert len(unwritten) == 3
    assert "messages.0.content, expected.calls.0.arguments.city.0, expected.calls.0.arguments.nights.0, why" in out
    text = Path("mine.jsonl").read_text()
    for old, new in (('"city": ["TODO"], "nights": ["TODO"]', '"city": ["Rome"], "nights": [2]'), ("TODO", "done")):
        text = text.replace(old, new)
    Path("mine.jsonl").write_text(text)
    assert said("check", "mine.jsonl")[0] == Exit.OK


@pytest.mark.parametrize("command", ["run", "truncation"])
def test_what_is_not_written_yet_is_not_measured(command: str, said: Said, tmp_path: Path, capsys: Captured) -> None:
    """As `suite new` leaves it: two of three cases filled in, and the one without a call, which any silence passes."""
    Path("app.py").write_text("def book(city: str) -> dict: ...\n\ndef ping() -> dict: ...\n")
    assert said("new", "mine.jsonl", "--tools", "app.py:")[0] == Exit.OK
    suite = Path("mine.jsonl")
    measured = [command, "fake:perfect", "--suite", "mine.jsonl", "--db", str(tmp_path / "r.db")]
    lines = suite.read_text().splitlines()

    def refusal() -> str:
        assert main(measured) == Exit.USAGE
        return capsys.readouterr().err

    def fill_in(case_id: str) -> None:
        for place, line in enumerate(lines):
            if case_id in line:
                lines[place] = line.replace("TODO", f"a TODO of {case_id}")  # whoever asks may speak of one
        suite.write_text("\n".join(lines))

    fill_in("mine/book-1")
    ping, none = (
        next(n for n, line in enumerate(lines, start=1) if case_id in line)
        for case_id in ("mine/ping-1", "mine/none-1")
    )
    check = f"`toolgauge suite check {suite.absolute()}` names every TODO that is left"
    assert f"mine.jsonl:{ping}: mine/ping-1 is not written yet, the first of 2 such cases; {check}" in refusal()
    assert main(["drift", "model.gguf", "--suite", "mine.jsonl"]) == Exit.USAGE
    assert "mine/ping-1 is not written yet" in capsys.readouterr().err
    fill_in("mine/ping-1")
    assert f"mine.jsonl:{none}: mine/none-1 is not written yet; {check}" in refusal()
    assert not (tmp_path / "r.db").exists()
    fill_in("mine/none-1")
    assert main(measured) == Exit.OK


def test_commands_to_go_on_with_survive_a_blank_in_a_path(said: Said, tmp_path: Path, capsys: Captured) -> None:
    """A person copies them into a shell."""
    folder = tmp_path / "my suites"
    folder.mkdir()
    Path("app.py").write_text("def book(city: str) -> dict: ...\n")
    said_hello = [*asking("Hello"), {"role": "assistant", "content": "Hello!"}]
    lines_of(Path("log.jsonl"), {"messages": said_hello, "tools": [{"type": "function", "function": ADD}]})
    example, own, logged = (str(folder / f"{name}.jsonl") for name in ("an example", "of our own", "it's logged"))

    def proposed(pattern: str, text: str) -> list[str]:
        (found,) = re.findall(pattern, text.replace("\n", " "))
        return shlex.split(found)

    assert proposed("toolgauge run (.*)", said("new", example)[2]) == ["--suite", example]
    assert proposed("// *toolgauge suite check (.*?)  ", Path(example).read_text()) == ["an example.jsonl"]
    assert proposed("words: toolgauge suite show (.*)", said("show", example)[1]) == [example, "an example/weather-1"]
    assert proposed("toolgauge suite check (.*)", said("new", own, "--tools", "app.py:")[2]) == [own]
    assert main(["run", "fake:perfect", "--suite", own, "--db", str(tmp_path / "r.db")]) == Exit.USAGE
    assert proposed("`toolgauge suite check (.*)`", capsys.readouterr().err) == [own]
    assert proposed("toolgauge suite check (.*)", said("import", "log.jsonl", "-o", logged)[1]) == [logged]
    Path(example).write_text("{}\n{}\n")
    assert main(["run", "fake:perfect", "--suite", example]) == Exit.USAGE
    assert proposed(r"toolgauge suite check (.*)\)", capsys.readouterr().err) == [example]


# check


def asking(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def adding(arguments: dict[str, Any]) -> dict[str, Any]:
    return {"calls": [{"name": "add", "arguments": arguments}]}


def lines_of(path: Path, *values: object) -> Path:
    texts = [value if isinstance(value, str) else json.dumps(value) for value in values]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def test_every_problem_is_told_with_its_line(said: Said, tmp_path: Path) -> None:
    nameless = raw_case(id="mine/2", messages=[{"role": "user", "contnt": "x"}])
    del nameless["category"]
    two_wrong = raw_case(
        id="mine/3",
        expected={"calls": [{"name": "ad"}, {"name": "add", "arguments": {"a": [1], "bb": [2]}}, {"name": "store"}]},
    )
    path = lines_of(
        tmp_path / "mine.jsonl",
        "// a comment",
        {"suite": "mine", "version": "1"},
        raw_case(),
        "",
        nameless,
        two_wrong,
        "{torn",
        raw_case(messages=asking("another")),
        '{"id": "mine/5", "id": "mine/6"}',
        raw_case(
            id="mine/7", messages=[{"role": "user", "content": "?"}], near_misses=[{"outcome": "correct", "reply": "3"}]
        ),
        raw_case(id="mine/8"),
    )
    code, out, _ = said("check", path)
    assert code == Exit.USAGE
    told = [line.removeprefix(f"{path}:") for line in out.splitlines()]
    assert told[:-1] == [
        "5: category: is missing",
        "5: messages.0.contnt: there is no such field; did you mean 'content'?",
        "6: expected.calls.0.name: the case offers no tool 'ad'; did you mean 'add'?",
        "6: expected.calls.1.arguments: add has no parameter 'bb'; did you mean 'b'?",
        told[4],
        "8: id: 'mine/1' is used twice; the first is mine.jsonl:3",
        "9: line: not a JSON document (the key 'id' stands twice in one object)",
        "10: mine/7: near miss 1 is judged no_call, not correct (it made no call; right was add); "
        "change the one or the other",
        "11: mine/8: asks the same of the same tools as mine/1 (mine.jsonl:3); leave one out, or let them differ",
    ]
    assert told[4].startswith("7: line: not a JSON document (")
    assert told[-1] == "mine: 3 cases read, 9 problems, 0 warnings"


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (raw_case(expected={"calls": [], "reply": {"asks": ["\bwhich\b"]}}), "in JSON a backslash is written twice"),
        (raw_case(expected={"calls": [], "reply": {"asks": ["which|"]}}), "is found in every text"),
        (raw_episode(max_steps=2), "the ideal answer takes 3 steps, and max_steps is 2; allow more"),
        (
            raw_episode(results=[{"name": "ad", "result": 1}, *raw_episode()["results"]]),
            "results.0.name: the case offers no tool 'ad'; did you mean 'add'?",
        ),
        (
            raw_episode(results=[{"name": "add", "arguments": {"c": [1]}, "result": 1}, *raw_episode()["results"]]),
            "results.0.arguments: add has no parameter 'c'",
        ),
        (
            raw_episode(fault={"on": "sum", "kind": "validation", "seed": 0, "field": "aa", "times": 1}),
            "fault.field: add has no parameter 'aa'",
        ),
        (
            raw_case(messages=[{"role": "user", "content": "x"}, {"role": "tool", "name": "add", "content": "3"}]),
            "messages.1: the result of 'add' answers no call",
        ),
        (raw_case(expected={"calls": [{"name": "add", "arguments": {"a": [1], "b": ["2"]}}]}), "judged schema_invalid"),
        (
            raw_case(expected={"calls": [{"name": "add", "arguments": {"a": {"text": ["x"]}, "b": [2]}}]}),
            "schema_invalid",
        ),
        (raw_case(why="TODO: say why"), "not written yet; replace what says TODO in why"),
    ],
)
def test_what_only_playing_the_case_shows(said: Said, tmp_path: Path, raw: dict[str, Any], problem: str) -> None:
    path = write_suite(tmp_path, raw)
    code, out, _ = said("check", path)
    assert code == Exit.USAGE
    assert any(line.startswith(f"{path}:2: ") and problem in line for line in out.splitlines()), out


def test_what_no_application_could_pass_on_is_a_problem_of_its_line(said: Said, tmp_path: Path) -> None:
    """Half a surrogate pair, a number beyond all floats, two hundred lists in a list."""
    big, deep = (raw_case(id=f"mine/{n}", expected=adding({"a": ["BIG"], "b": [2]})) for n in (2, 3))
    path = lines_of(
        tmp_path / "mine.jsonl",
        {"suite": "mine", "version": "1"},
        raw_case(messages=asking("hi \ud83d")),
        json.dumps(big).replace('"BIG"', "1e999"),
        json.dumps(deep).replace('"BIG"', "[" * 260 + "]" * 260),
    )
    code, out, _ = said("check", path)
    assert code == Exit.USAGE
    told = [line.removeprefix(f"{path}:") for line in out.splitlines()][:3]
    reasons = ("it has half of a surrogate pair", "the number 1e999 is out of range", "it is nested too deeply")
    for number, (line, reason) in enumerate(zip(told, reasons, strict=True), start=2):
        assert line.startswith(f"{number}: line: not a JSON document ({reason}")
    assert "not a JSON document" in said("show", path, "mine/2", "--json")[2]


def test_cases_that_allow_the_application_different_things_ask_different_things(said: Said, tmp_path: Path) -> None:
    path = write_suite(tmp_path, raw_case(), raw_case(id="mine/2", parallel_tool_calls=False))
    assert said("check", path)[:2] == (Exit.OK, "mine: 2 cases read, 0 problems, 0 warnings\n")


def test_a_warning_is_no_problem(said: Said, tmp_path: Path) -> None:
    parameters = {"type": "object", "properties": {"n": {"type": "integer", "not": {"enum": [7]}}}, "required": ["n"]}
    odd = {"name": "odd", "description": "", "parameters": parameters}
    right = {"calls": [{"name": "odd", "arguments": {"n": [3]}}]}
    header = {"suite": "mine", "version": "1", "tools": [odd, ADD]}
    path = write_suite(tmp_path, raw_case(tools=["odd"], expected=right), header=header)
    code, out, _ = said("check", path)
    assert code == Exit.OK
    assert "warning: mine/1: cannot be answered in native.schema" in out
    assert "'not' at #/properties/n of the tool 'odd'" in out
    assert "warning: tools: offered by no case: add" in out


def test_a_folder_and_its_files(said: Said, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    assert "without a suite.json" in said("check", folder)[2]
    lines_of(folder / "suite.json", {"suite": "mine", "version": "1", "tools": ["a.json", "b.json"]})
    lines_of(folder / "a.json", [ADD])
    lines_of(folder / "b.json", {"tools": [{"name": "add", "inputSchema": {"type": "object"}}]})
    lines_of(folder / "one.jsonl", {"suite": "mine", "version": "1"}, raw_case(tools=["ad"]))
    (folder / "two.jsonl").write_bytes(b"\xff\xfe")
    code, out, _ = said("check", "mine")
    assert code == Exit.USAGE
    assert "mine/suite.json: tools: the tool 'add' is defined in mine/a.json and in mine/b.json; keep one" in out
    assert "mine/one.jsonl:1: line: this is a header" in out
    assert "mine/two.jsonl: file: mine/two.jsonl is not a UTF-8 text file" in out
    assert "names no tool" not in out  # of the header's tools not all are known
    lines_of(folder / "b.json", [{"name": "keep", "parameters": {"type": "object"}}])
    lines_of(folder / "one.jsonl", raw_case(tools=["add", "keep"]))
    (folder / "two.jsonl").write_bytes(
        b"\xef\xbb\xbf// what Windows writes\r\n\r\n" + json.dumps(raw_episode(id="e")).encode()
    )
    assert said("check", "mine")[:2] == (Exit.OK, "mine: 2 cases read, 0 problems, 0 warnings\n")


def test_the_check_as_json(said: Said, tmp_path: Path) -> None:
    path = write_suite(tmp_path, raw_case(colour="red"))
    code, out, _ = said("check", path, "--json")
    found = json.loads(out)
    assert (code, found["n_cases"], found["warnings"]) == (Exit.USAGE, 0, [])
    (problem,) = found["problems"]
    assert (problem["path"], problem["line"], problem["place"]) == (str(path), 2, "colour")


@pytest.mark.parametrize("name", ["quick", "core"])
def test_the_bundled_suites_have_no_problems(said: Said, name: str) -> None:
    code, out, _ = said("check", name)
    assert (code, out.count("\n")) == (Exit.OK, 1), out


def test_what_cannot_be_checked(said: Said) -> None:
    assert "BFCL's suites are not files to mend" in said("check", "bfcl:simple_python")[2]
    Path("here.jsonl").write_text("{}")
    assert "did you mean here.jsonl?" in said("check", "here")[2]
    Path("empty.jsonl").write_text("// nothing\n")
    assert "is empty" in said("check", "empty.jsonl")[2]
    Path("case.jsonl").write_text(json.dumps(raw_case()))
    assert "case.jsonl:1: header: this is a case; a header comes first" in said("check", "case.jsonl")[1]


def test_no_text_of_a_suite_can_steer_the_terminal(said: Said, tmp_path: Path) -> None:
    path = write_suite(tmp_path, raw_case(id="\x1b[31mred\n", expected={"calls": [{"name": "add"}]}))
    for out in (said("check", path)[1], said("show", path)[1], said("show", path, "red")[1]):
        assert "\x1b" not in out


# show


def test_categories_with_counts(said: Said, tmp_path: Path) -> None:
    path = write_suite(tmp_path, raw_case(), raw_episode(id="mine/2", category="chains"))
    code, out, _ = said("show", path)
    assert code == Exit.OK
    rows = {line.split("|")[1].strip(): line for line in out.splitlines() if line.startswith("| ")}
    numbers = [cell.strip() for cell in rows["chains"].split("|")[2:-1]]
    assert numbers == ["1", "0", "1", "1", "0", "mine/2"]
    values = json.loads(said("show", path, "--json")[1])
    assert [row["cases"] for row in values["categories"]] == [["mine/1"], ["mine/2"]]


def test_every_case_in_a_line(said: Said, tmp_path: Path) -> None:
    long = "Please add\n1 and 2, " + "and then tell me what it comes to, " * 5
    path = write_suite(tmp_path, raw_case(), raw_case(id="mine/27", category="chains", messages=asking(long)))
    code, out, _ = said("show", path, "--cases")
    assert code == Exit.OK
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("| mine/")]
    assert [row[:2] for row in rows] == [["mine/1", "sums"], ["mine/27", "chains"]]
    assert rows[1][2].startswith("Please add 1 and 2, and then") and rows[1][2].endswith("...")
    assert len(rows[1][2]) < 72
    values = json.loads(said("show", path, "--cases", "--json")[1])
    assert values[1] == {"id": "mine/27", "category": "chains", "request": long}
    code, _, err = said("show", path, "mine/1", "--cases")
    assert (code, "leave it out to see mine/1" in err) == (Exit.USAGE, True)


def test_a_case_in_words(said: Said, tmp_path: Path) -> None:
    fault = {"on": "keep", "kind": "transient", "times": 1, "content": "503"}
    miss = {"outcome": "wrong_order", "calls": [{"name": "add", "arguments": {"a": 1}}, {"name": "store"}]}
    raw = raw_episode(fault=fault, near_misses=[miss], why="The sum comes first.")
    code, out, _ = said("show", write_suite(tmp_path, raw), "mine/1")
    assert code == Exit.OK
    for text in (
        "user: What is 1 and 2?",
        "keep: store  after sum",
        "value = 3  (from sum)",
        "fails once (transient): 503",
        "The sum comes first.",
        'add(a=[1], b=[2]): {"sum": 3}'.replace("[1]", "1").replace("[2]", "2"),
        "add(a=1) and store()",
        "wrong order",
        "the reply claims success: stored",
    ):
        assert text in out
    values = json.loads(said("show", tmp_path / "mine.jsonl", "mine/1", "--json")[1])
    assert values["expected"][1]["threads"] == {"value": ["sum"]}


def test_a_case_is_found_by_a_part_of_its_id(said: Said) -> None:
    assert "### " not in said("show", "quick", "no-such-case")[1]
    sentence = "has no case 'no-such-case'; `toolgauge suite show quick --cases` lists them all"
    assert sentence in said("show", "quick", "no-such-case")[2]
    assert "cases of quick have 'quick/' in their id" in said("show", "quick", "quick/")[2]


# tools


def test_tools_are_printed_as_json(said: Said) -> None:
    Path("app.py").write_text("print('hello')\ndef book(city: str) -> dict:\n    'Book a room.'")
    code, out, _ = said("tools", "app.py:book")
    assert code == Exit.OK
    assert json.loads(out)[0]["parameters"]["properties"] == {"city": {"type": "string"}}
    Path("tools.json").write_text(out)
    assert json.loads(said("tools", "tools.json")[1]) == json.loads(out)


# import


def test_a_log_becomes_a_suite_that_can_be_checked(said: Said) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}
    body = {
        "messages": [{"role": "user", "content": "1 and 2?"}, {"role": "assistant", "tool_calls": [call]}],
        "tools": [{"type": "function", "function": ADD}],
    }
    lines_of(Path("log.jsonl"), body, {"prompt": "old"})
    code, out, _ = said("import", "log.jsonl", "-o", "mine.jsonl")
    assert code == Exit.OK
    assert "1 case from 2 lines of log.jsonl" in out
    assert "A log is not the truth" in out
    assert "| 2    | it has no " in out
    assert said("check", "mine.jsonl")[:2] == (Exit.OK, "mine: 1 case read, 0 problems, 0 warnings\n")
    assert "exists already" in said("import", "log.jsonl", "-o", "mine.jsonl")[2]
    values = json.loads(said("import", "log.jsonl", "-o", "again.jsonl", "--json")[1])
    assert [case["id"] for case in values["cases"]] == ["again/1"]
    assert values["left_out"][0]["line"] == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("log.jsonl", "-o", "x.jsonl", "--turns", "some"), "--turns some is not known"),
        (("none.jsonl", "-o", "x.jsonl"), "cannot read none.jsonl"),
        (("log.jsonl", "-o", "x.jsonl"), "log.jsonl: nothing in it can be made a case; line 1: it is not JSON"),
        (("log.jsonl", "-o", "x.jsonl", "--tools", "none.json"), "cannot read none.json"),
    ],
)
def test_a_log_that_is_none(said: Said, arguments: tuple[str, ...], sentence: str) -> None:
    Path("log.jsonl").write_text("hello\n")
    code, out, err = said("import", *arguments)
    assert (code, out, sentence in err) == (Exit.USAGE, "", True), err
    assert not Path("x.jsonl").exists()


# run, with tools of one's own


@pytest.mark.usefixtures("workers_here")
def test_tools_of_today_stand_in_place_of_the_suites(said: Said, tmp_path: Path, capsys: Captured) -> None:
    header = {"suite": "mine", "version": "1", "tools": [ADD]}
    write_suite(tmp_path, raw_case(tools=["add", "keep"]), header=header)
    assert "names no tool 'keep'" in said("check", "mine.jsonl")[1]
    Path("app.py").write_text(
        "def add(a: int, b: int) -> dict:\n    'Add, in new words.'\n\n"
        "def keep(value: int) -> dict: ...\n\ndef spare() -> dict: ..."
    )
    code, out, err = said("check", "mine.jsonl", "--tools", "app.py:")
    assert (code, "0 problems" in out) == (Exit.OK, True), out
    assert err.strip() == "warning: of --tools no case of mine.jsonl names: spare"
    assert "Add, in new words." in said("show", "mine.jsonl", "mine/1", "--tools", "app.py:add,keep")[1]

    where = ["--db", str(tmp_path / "r.db")]
    asked = ["run", "fake:perfect", "--suite", "mine.jsonl", "--modes", "native.free", "--no-latency", *where]
    assert main([*asked, "--tools", "app.py:add,keep"]) == Exit.OK
    Path("app.py").write_text("raise SystemExit('imported again')")
    (tmp_path / "elsewhere").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "elsewhere")
        capsys.readouterr()
        assert main(["score", "last", *where]) == Exit.OK
        assert "Judged 1 answer" in capsys.readouterr().out
        assert main(["report", "last", *where, "--json"]) == Exit.OK
    capsys.readouterr()


def test_own_tools_are_for_own_suites(capsys: Captured) -> None:
    assert main(["run", "fake:perfect", "--suite", "quick", "--tools", "app.py:"]) == Exit.USAGE
    assert "--tools is for suites of your own" in capsys.readouterr().err


def test_the_function_in_the_documentation_becomes_a_tool(said: Said) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "your-tools.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    Path("tools.py").write_text(block)
    (tool,) = json.loads(said("tools", "tools.py:book_table")[1])
    assert tool == {
        "name": "book_table",
        "description": "Book a table for today.",
        "parameters": {
            "type": "object",
            "properties": {
                "guests": {"type": "integer", "minimum": 1, "maximum": 12},
                "time": {"type": "string", "description": "In 24 hours, HH:MM."},
                "area": {"type": "string", "enum": ["inside", "terrace"], "default": "inside"},
            },
            "required": ["guests", "time"],
        },
    }
