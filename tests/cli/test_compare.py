"""`toolgauge compare`: a page for people, a document for programs, and a code for scripts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli import compare
from bench.cli.main import main
from bench.report import markdown
from bench.report.between import Between, Change, between
from bench.results.store import Store
from bench.shell import Exit
from bench.stats import Middle
from tests.bench.worker_here import WorkerHere

Captured = pytest.CaptureFixture[str]
RUN = ["--suite", "quick", "--yes", "--no-report", "--no-latency", "--modes", "native.free,json.free"]


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs 1 and 2 of a script that is always right, and run 3 of one that never calls."""
    path = tmp_path_factory.mktemp("runs") / "results.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.run.drive.Worker", WorkerHere)
        for model in ("perfect", "perfect", "silent"):
            assert main(["run", f"fake:{model}", *RUN, "--new", "--db", str(path)]) == Exit.OK
    return path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without results to stand in."""
    monkeypatch.chdir(tmp_path)


def test_the_same_again_is_no_difference(db: Path, capsys: Captured) -> None:
    assert main(["compare", "1", "2", "--db", str(db), "--fail-if", "worse"]) == Exit.OK
    text = capsys.readouterr().out
    assert "## Run 1 -> run 2" in text
    assert "Settings given, software and machine are the same." in text
    assert "No case changed." in text
    assert "no verdict now" not in text
    assert "> **" not in text
    assert "quick: fake:perfect" in text


def test_a_loss_is_a_code_of_its_own(db: Path, capsys: Captured) -> None:
    assert main(["compare", "1", "--db", str(db)]) == Exit.OK
    out = capsys.readouterr().out
    assert "quick: fake:perfect -> fake:silent" in out
    assert "| native.free | " in out
    assert "| worse " in out
    assert main(["compare", "1", "3", "--db", str(db), "--fail-if", "worse"]) == Exit.REGRESSION
    assert "worse: fake:silent in native.free, fake:silent in json.free" in capsys.readouterr().err
    assert main(["compare", "3", "1", "--db", str(db), "--fail-if", "worse"]) == Exit.OK


def compare_page(found: Between, changes: Sequence[Change]) -> str:
    return markdown.render(compare.document(replace(found, changes=tuple(changes))))


def test_a_ratio_of_times_says_of_how_many_cases_it_is(db: Path) -> None:
    """Of three cases it has no interval, and nothing said why."""
    with Store.read(db) as store:
        found = between(store, store.run("1"), store.run("2"))
    few, many = (Middle(1.5, 1.25, 2.0, n, confidence) for n, confidence in ((3, 0.75), (10, 0.979)))
    changes = [replace(change, first_call=time) for change, time in zip(found.changes, (few, many), strict=True)]
    changes[1] = replace(changes[1], prefill=many, decode=few)
    text = compare_page(found, changes)
    assert " 1.50x | " in text and " **1.50x (1.25-2.00)** | " in text
    assert "median over 3-10 cases with a call both times; of fewer than 6 there is no interval\n" in text
    assert "prefill, decode: how many times as many tokens a second" in text


def test_forty_cases_cannot_show_that_nothing_was_lost(db: Path, capsys: Captured) -> None:
    assert main(["compare", "1", "2", "--db", str(db), "--fail-if", "not-shown", "--json"]) == Exit.REGRESSION
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "toolgauge.compare/2"
    assert {change["rung"]["verdict"] for change in document["changes"]} == {"cannot tell"}
    assert main(["compare", "1", "2", "--db", str(db), "--fail-if", "not-shown", "--margin", "20"]) == Exit.OK


SUITE = """{"suite": "mine", "version": "1", "description": "Ours", "tools": [TOOL]}
{"id": "mine/1", "category": "one", "messages": [{"role": "user", "content": "Weather in Oslo?"}], "tools": ["weather"],
"expected": {"calls": [{"name": "weather", "arguments": {"city": ["Oslo"]}}]}}
{"id": "mine/2", "category": "one", "messages": [{"role": "user", "content": "Weather in Rome?"}], "tools": ["weather"],
"expected": {"calls": [{"name": "weather", "arguments": {"city": ["Rome"]}}]}}
"""


def definition(description: str) -> str:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return json.dumps({"name": "weather", "description": description, "parameters": parameters})


def test_the_same_cases_with_other_definitions_of_tools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """Which wording works better: the run with `--tools` could not be compared with the one before."""
    monkeypatch.setattr("bench.run.drive.Worker", WorkerHere)
    mine = tmp_path / "mine.jsonl"
    mine.write_text(SUITE.replace(",\n", ", ").replace("TOOL", definition("")))
    (tmp_path / "new.json").write_text(f"[{definition('New words.')}]")
    run = ["run", "fake:perfect", *RUN[2:], "--suite", "mine.jsonl", "--new", "--db", "mine.db"]
    assert main(run) == Exit.OK
    assert main([*run, "--tools", "new.json"]) == Exit.OK
    capsys.readouterr()
    assert main(["compare", "1", "2", "--db", "mine.db", "--json"]) == Exit.OK
    document = json.loads(capsys.readouterr().out)
    assert [(change["rung"]["n"], change["differs"]) for change in document["changes"]] == [(2, ["tools"])] * 2
    before, after = document["settings"]["tools"]
    assert (before, after[:20]) == ("-", "1 definition, sha256")
    assert document["left_out"] == []
    mine.write_text(mine.read_text().replace("Rome", "Bonn"))
    assert main([*run, "--tools", "new.json"]) == Exit.OK
    assert main(["compare", "2", "3", "--db", "mine.db"]) == Exit.USAGE
    said = capsys.readouterr().err
    assert "mine is not the same in both runs, and its file or its tools' file, which would tell" in said


def without_verdicts(db: Path, run: int, mode: str, n: int) -> None:
    """What a grammar that can no longer be built leaves of the first `n` answers."""
    with Store.open(db) as store, store.transaction() as sql:
        sql.execute(
            "UPDATE score SET outcome = 'constraint_error' WHERE item_id IN (SELECT item.id FROM item JOIN cell"
            " ON cell.id = cell_id WHERE cell.run_id = ? AND mode = ? ORDER BY item.position LIMIT ?)",
            (run, mode, n),
        )


def test_a_mode_without_verdicts_is_no_success(db: Path, tmp_path: Path, capsys: Captured) -> None:
    """A whole mode, and twelve cases of another, ended in constraint errors in the later run; all else is right."""
    db = Path(shutil.copy(db, tmp_path))
    without_verdicts(db, 2, "json.free", 40)
    without_verdicts(db, 2, "native.free", 12)
    guard = ["compare", "1", "2", "--db", str(db), "--margin", "40", "--fail-if"]
    assert main([*guard, "not-shown"]) == Exit.REGRESSION
    printed = capsys.readouterr()
    assert "not shown to be not worse: fake:perfect in native.free (12 cases without a verdict now)" in printed.err
    assert "fake:perfect in json.free (not compared)" in printed.err
    assert "| no verdict now |" in printed.out
    assert "No case changed." not in printed.out
    assert main([*guard, "worse"]) == Exit.OK


def test_what_a_run_left_out_is_said_beside_the_comparison(db: Path, tmp_path: Path, capsys: Captured) -> None:
    """A baseline that was killed, and one of five cases, were held against others without a word."""
    db = Path(shutil.copy(db, tmp_path))
    limited = ["run", "fake:perfect", *RUN, "--new", "--db", str(db), "--limit", "5"]
    assert main(limited) == main(limited) == Exit.OK
    with Store.open(db) as store, store.transaction() as sql:
        sql.execute("UPDATE run SET finished_utc = NULL WHERE id = 5")
    capsys.readouterr()
    assert main(["compare", "4", "5", "--db", str(db), "--json"]) == Exit.OK
    warnings = json.loads(capsys.readouterr().out)["warnings"]
    assert warnings[0] == "Both runs: Only 5 cases of each suite ran (--limit 5): for trying out, not for deciding."
    assert warnings[1].startswith("Run 5: The run is unfinished, with 10 of 10 answers")
    assert main(["compare", "4", "5", "--db", str(db)]) == Exit.OK
    text = capsys.readouterr().out
    assert f"> **{warnings[1]}**" in text
    assert text.index("not for deciding") < text.index("Settings given")


def test_two_models_of_one_run(db: Path, tmp_path: Path, capsys: Captured) -> None:
    db = Path(shutil.copy(db, tmp_path))
    assert main(["run", "fake:perfect", "fake:silent", *RUN, "--db", str(db)]) == Exit.OK
    capsys.readouterr()
    two = ["compare", "4:fake:perfect", "4:fake:silent", "--db", str(db)]
    assert main([*two, "--fail-if", "worse"]) == Exit.REGRESSION
    text = capsys.readouterr().out
    assert "## Run 4:fake:perfect -> run 4:fake:silent\n" in text
    assert "quick: fake:perfect -> fake:silent" in text
    assert "Not compared" not in text
    assert main(["report", "4", "--db", str(db)]) == Exit.OK
    command = f"toolgauge compare 4:fake:perfect 4:fake:silent --db {db}"
    assert f"Two models side by side, on the same cases: `{command}`." in capsys.readouterr().out
    assert main(["report", "1", "--db", str(db)]) == Exit.OK
    assert "Two models side by side" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("runs", "why"), [(("1", "1"), "both are run 1; name two"), (("1", "9"), "9"), (("x", "1"), "x")]
)
def test_mistakes_are_one_sentence(db: Path, runs: tuple[str, str], why: str, capsys: Captured) -> None:
    assert main(["compare", *runs, "--db", str(db)]) == Exit.USAGE
    error = capsys.readouterr().err.strip()
    assert why in error
    assert "\n" not in error
