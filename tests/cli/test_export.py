"""`toolgauge export`: rows with provenance, and official BFCL result files of a run over made-up cases."""

from __future__ import annotations

import csv
import json
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.cli.main import main
from bench.results.store import Store
from bench.shell import Exit
from bench.suites.bfcl import simulators
from bench.suites.bfcl.package import ENVIRONMENT
from tests.bench.bfcl.made_up import answer, conversation, function, question, text, write_package
from tests.bench.stored import BROKEN, CUT, RIGHT, WRONG, stored_run

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    answers = {("F16", "native.free"): [RIGHT, WRONG, BROKEN], ("Q2_K", "native.free"): [RIGHT, CUT, WRONG]}
    return stored_run(tmp_path_factory.mktemp("run"), answers)


def test_a_line_for_each_answer_with_where_it_comes_from(db: Path, tmp_path: Path, capsys: Captured) -> None:
    target = tmp_path / "answers.csv"
    assert main(["export", "last", "--csv", str(target), "--db", str(db)]) == Exit.OK
    assert capsys.readouterr().out == f"Wrote {target}\n"
    with target.open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert [(line["quant"], line["outcome"]) for line in lines] == [
        ("F16", "correct"),
        ("F16", "wrong_arguments"),
        ("F16", "constraint_error"),
        ("Q2_K", "correct"),
        ("Q2_K", "truncated"),
        ("Q2_K", "wrong_arguments"),
    ]
    assert all(line["gguf_sha256"] and line["suite_sha256"] and line["scorer_version"] for line in lines)
    assert [path.name for path in tmp_path.iterdir()] == ["answers.csv"]


def test_json_lines_have_the_steps_and_the_verdict(db: Path, tmp_path: Path) -> None:
    target = tmp_path / "answers.jsonl"
    assert main(["export", "--jsonl", str(target), "--quant", "Q2_K", "--db", str(db)]) == Exit.OK
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert [line["quant"] for line in lines] == ["Q2_K"] * 3
    first = lines[0]
    assert first["score"]["outcome"] == "correct"
    assert first["steps"][0]["parsed"]["calls"]
    assert "tokens" not in first["steps"][0]["generation"]
    assert first["steps"][0]["generation"]["n_tokens"] >= 0


def test_parquet_needs_pyarrow(db: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["export", "--parquet", str(tmp_path / "x.parquet"), "--db", str(db)]) == Exit.USAGE
    assert "needs the package pyarrow" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_parquet_has_the_same_rows(db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pyarrow itself is no dependency; what it is handed is what counts."""
    handed: list[Any] = []
    arrow, parquet = types.ModuleType("pyarrow"), types.ModuleType("pyarrow.parquet")
    vars(arrow)["Table"] = types.SimpleNamespace(from_pylist=lambda rows: handed.extend(rows) or "table")
    vars(parquet)["write_table"] = lambda table, path: Path(path).write_text(table)
    monkeypatch.setitem(sys.modules, "pyarrow", arrow)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", parquet)
    assert main(["export", "--parquet", str(tmp_path / "x.parquet"), "--db", str(db)]) == Exit.OK
    assert (tmp_path / "x.parquet").read_text() == "table"
    assert len(handed) == 6


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "say what to write"),
        (["--csv", "x.csv", "--quant", "Q9"], "nothing that --mode and --quant leave"),
        (["--csv", "x", "--jsonl", "./x"], "--jsonl and --csv would be written to one file, x; give each its own"),
        (["--csv", "-", "--jsonl", "-"], "only one of --jsonl - and --csv - can print"),
        (["--csv", "-", "--json"], "only one of --json and --csv - can print"),
        (["--csv", "-", "--bfcl", "x"], "only one of --bfcl and --csv - can print"),
        (["--parquet", "-"], "--parquet writes a file, which cannot be printed"),
        (["--bfcl", "x"], "no answers to a bfcl suite"),
        (
            ["--csv", "no/such/folder/x.csv"],
            "no/such/folder/x.csv cannot be written: there is no folder no/such/folder",
        ),
    ],
)
def test_a_mistake_is_one_sentence(
    db: Path,
    tmp_path: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    complaint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", "last", *arguments, "--db", str(db)]) == Exit.USAGE
    assert complaint in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


def test_a_dash_prints_the_lines_and_nothing_else(db: Path, tmp_path: Path, capsys: Captured) -> None:
    target = tmp_path / "answers.csv"
    assert main(["export", "--jsonl", "-", "--csv", str(target), "--db", str(db)]) == Exit.OK
    captured = capsys.readouterr()
    assert len([json.loads(line) for line in captured.out.splitlines()]) == 6
    assert captured.err.replace("\n", "") == f"Wrote {target}"
    assert main(["export", "--csv", "-", "--db", str(db)]) == Exit.OK
    assert capsys.readouterr().out == target.read_text()


@pytest.mark.parametrize("command", ["export", "report"])
def test_a_pipe_is_written_to_and_a_link_leads_to_what_is_replaced(command: str, db: Path, tmp_path: Path) -> None:
    """Neither is replaced by a file that is there instead."""
    pipe, link, target = tmp_path / "pipe", tmp_path / "link.csv", tmp_path / "target.csv"
    os.mkfifo(pipe)
    target.write_text("of before")
    link.symlink_to(target.name)
    assert main([command, "--csv", str(link), "--db", str(db)]) == Exit.OK
    assert link.is_symlink() and target.read_text() != "of before"
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert main([command, "--csv", str(pipe), "--db", str(db)]) == Exit.OK
        assert pipe.is_fifo() and os.read(reading, 1_000_000).decode() == target.read_text()
    finally:
        os.close(reading)


WEATHER = function("weather.now", {"city": text()})


@pytest.fixture(scope="module")
def bfcl_db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of the scripted model on a single-turn case and a conversation."""
    tmp_path = tmp_path_factory.mktemp("bfcl")
    talk = conversation("multi_turn_base_0", "On!", "Off!", lamps={"hall": False})
    truth = {"id": talk["id"], "ground_truth": [["switch('hall')"], ["switch(room='hall', on=False)"]]}
    package = write_package(
        tmp_path / "official",
        {"simple_python": [question("simple_python_0", WEATHER)], "multi_turn_base": [talk]},
        {
            "simple_python": [answer("simple_python_0", {"weather.now": {"city": ["Oslo"]}})],
            "multi_turn_base": [truth],
        },
    )
    db = tmp_path / "run.db"
    command = ["run", "fake:perfect", "--suite", "bfcl:simple_python", "--suite", "bfcl:multi_turn_base", "--new"]
    options = ["--modes", "native.free", "--no-latency", "--no-report", "-c", "65536", "--db", str(db)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ENVIRONMENT, str(package))
        simulators.simulators.cache_clear()
        assert main([*command, *options]) == Exit.OK
        yield db
        simulators.simulators().close()
    simulators.simulators.cache_clear()


def test_official_result_files(bfcl_db: Path, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "out"
    assert main(["export", "last", "--bfcl", str(out), "--db", str(bfcl_db), "--json"]) == Exit.OK
    (folder,) = json.loads(capsys.readouterr().out)["bfcl"]
    assert (folder["n_written"], folder["unwritable"]) == (2, [])
    found = {path.relative_to(folder["results"]).as_posix(): path.read_text() for path in out.rglob("*.json")}
    single = json.loads(found["Qwen_Qwen3-8B-FC/non_live/BFCL_v4_simple_python_result.json"])
    assert single["result"] == '<tool_call>\n{"name": "weather.now", "arguments": {"city": "Oslo"}}\n</tool_call>'
    talk = json.loads(found["Qwen_Qwen3-8B-FC/multi_turn/BFCL_v4_multi_turn_base_result.json"])
    assert [len(turn) for turn in talk["result"]] == [2, 2]
    assert '{"name": "switch", "arguments": {"room": "hall"}}' in talk["result"][0][0]


def test_models_that_are_called_alike_have_folders_of_their_own(
    bfcl_db: Path, tmp_path: Path, capsys: Captured
) -> None:
    """As in files of before, where two models could have one name: one's answers replaced the other's."""
    db, out = tmp_path / "two.db", tmp_path / "out"
    command = ["run", "fake:perfect", "fake:silent", "--suite", "bfcl:simple_python", "--modes", "native.free"]
    assert main([*command, "--no-latency", "--no-report", "--db", str(db)]) == Exit.OK
    with Store.open(db) as store, store.transaction() as sql:
        sql.execute("UPDATE model SET name = 'ggml-model', quant = 'F16'")
    assert main(["export", "last", "--bfcl", str(out), "--db", str(db), "--json"]) == Exit.OK
    folders = [Path(each["results"]) for each in json.loads(capsys.readouterr().out)["bfcl"]]
    assert [folder.relative_to(out).parts[0] for folder in folders] == [
        "ggml-model-F16-native.free",
        "ggml-model-F16-native.free-2",
    ]
    texts = ["".join(path.read_text() for path in folder.rglob("*.json")) for folder in folders]
    assert ["weather.now" in text for text in texts] == [True, False]


def test_the_way_to_an_official_verdict_is_said(bfcl_db: Path, tmp_path: Path, capsys: Captured) -> None:
    capsys.readouterr()
    out = tmp_path / "out"
    command = ["export", "last", "--bfcl", str(out), "--as", "Qwen/Qwen3-0.6B", "--db", str(bfcl_db)]
    assert main(command) == Exit.OK
    shown = capsys.readouterr().out
    assert "Wrote 2 results" in shown
    assert "bfcl evaluate --model Qwen/Qwen3-0.6B --partial-eval --result-dir " in shown
    assert main(["export", "last", "--bfcl", str(out), "--as", "gpt-4", "--db", str(bfcl_db)]) == Exit.USAGE


def test_stored_answers_to_bfcl_are_judged_again(bfcl_db: Path, capsys: Captured) -> None:
    capsys.readouterr()
    assert main(["score", "last", "--db", str(bfcl_db), "--json"]) == Exit.OK
    counts = json.loads(capsys.readouterr().out)
    assert (counts["n_items"], counts["n_changed"], counts["n_stale"]) == (2, 0, 0)
