"""Lists of KV types, contexts and batch sizes from the command line through every command that reads results."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.results.store import Store
from bench.shell import Exit
from bench.truncation.sweep import sweep
from tests.bench.episodes import raw_case, write_suite
from tests.bench.worker_here import WorkerHere

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_suite(tmp_path_factory.mktemp("suite"), *(raw_case(id=f"mine/{n}", category="sums") for n in range(2)))


@pytest.fixture(scope="module")
def db(suite: Path) -> Path:
    """One file with two types of the KV cache."""
    path = suite.parent / "results.db"
    fixed = ["--suite", str(suite), "--modes", "native.free", "--no-latency", "--no-report", "--db", str(path)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.run.drive.Worker", WorkerHere)
        assert main(["run", "fake:perfect", "--kv-type", "f16,q8_0", *fixed]) == Exit.OK
    return path


def test_a_dry_run_says_what_is_measured_at_each_setting(suite: Path, capsys: Captured) -> None:
    command = ["run", "fake:perfect", "--suite", str(suite), "--modes", "native.free", "--no-latency", "--dry-run"]
    lists = ["--kv-type", "f16,q8_0:q4_0", "-c", "4096,8192", "-b", "256,2048"]
    assert main([*command, *lists]) == Exit.OK
    out = capsys.readouterr().out
    assert "1 model file at 8 settings in 1 mode on mine: 16 answers." in out
    assert "| KV q8_0:q4_0, -c 4096, -b 256 " in out
    assert main([*command, *lists, "--json"]) == Exit.OK
    models = json.loads(capsys.readouterr().out)["models"]
    assert models[0]["setting"] == "KV f16, -c 4096, -b 256"
    told = {(m["type_k"], m["type_v"], m["n_ctx"], m["n_batch"], m["n_ubatch"], m["n_items"]) for m in models}
    assert told == {
        (*types, n_ctx, n_batch, min(512, n_batch), 2)
        for types in (("f16", "f16"), ("q8_0", "q4_0"))
        for n_ctx in (4096, 8192)
        for n_batch in (256, 2048)
    }


def test_runs_are_listed_with_their_settings(db: Path, capsys: Captured) -> None:
    assert main(["ls", "--db", str(db)]) == Exit.OK
    assert "KV f16; KV q8_0" in capsys.readouterr().out
    assert main(["ls", "--json", "--db", str(db)]) == Exit.OK
    assert json.loads(capsys.readouterr().out)[0]["settings"] == ["KV f16", "KV q8_0"]


def test_a_case_is_shown_with_the_settings_it_was_answered_at(db: Path, capsys: Captured) -> None:
    assert main(["show", "last", "mine/0", "--db", str(db)]) == Exit.OK
    assert "fake:perfect (KV f16) native.free, fake:perfect (KV q8_0) native.free" in capsys.readouterr().out
    assert main(["show", "last", "mine/0", "--json", "--db", str(db)]) == Exit.OK
    answers = json.loads(capsys.readouterr().out)
    assert [(a["setting"], a["context"]["type_v"]) for a in answers] == [("KV f16", "f16"), ("KV q8_0", "q8_0")]


def test_the_report_and_its_files_have_them(db: Path, capsys: Captured) -> None:
    assert main(["report", "--db", str(db)]) == Exit.OK
    out = capsys.readouterr().out
    assert "| fake:perfect | KV q8_0 | native.free |" in out
    assert "What does a smaller KV cache cost" in out
    assert main(["report", "--csv", "-", "--db", str(db)]) == Exit.OK
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(line["setting"], line["type_k"]) for line in lines] == [("KV f16", "f16"), ("KV q8_0", "q8_0")]


def test_exported_answers_have_them(db: Path, tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    assert main(["export", "--csv", str(path), "--db", str(db)]) == Exit.OK
    lines = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    assert {(line["setting"], line["type_v"], line["n_ctx"], line["case"]) for line in lines} == {
        (f"KV {kv}", kv, "8192", f"mine/{n}") for kv in ("f16", "q8_0") for n in range(2)
    }


def test_budgets_are_swept_at_each_setting(db: Path, capsys: Captured) -> None:
    with Store.read(db) as store:
        found = sweep(store, store.run("last"), (8, 512))
    assert [cell.setting for cell in found.cells] == ["KV f16", "KV q8_0"]
    assert main(["truncation", "--run", "last", "--budgets", "8,512", "--db", str(db)]) == Exit.OK
    assert "fake:perfect (KV q8_0) on mine" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "fake:perfect", "--kv-type", "f16,q9"], "unknown KV-cache type 'q9'"),
        (["run", "none.gguf", "--kv-type", "f16,q8_0", "-fa", "off"], "need flash attention"),
        (["run", "fake:perfect", "-c", "8k"], "-c takes whole numbers"),
        (["run", "fake:perfect", "-b", "0,512"], "-b takes whole numbers"),
        (["try", "fake:perfect", "Add 1 and 2.", "--kv-type", "f16,q8_0"], "takes one type here"),
    ],
    ids=str,
)
def test_a_mistake_in_a_list_is_a_sentence(arguments: Sequence[str], sentence: str, capsys: Captured) -> None:
    assert main(list(arguments)) == Exit.USAGE
    errors = capsys.readouterr().err
    assert sentence in errors
    assert errors.splitlines()[-1].startswith("error: ")


def test_fit_takes_the_same_lists(capsys: Captured) -> None:
    command = ["fit", "qwen3-8b", "--quants", "Q4_K_M", "-c", "8192", "--vram", "16GiB", "--kv-type", "f16,q8_0:q4_0"]
    assert main(command) == Exit.OK
    out = capsys.readouterr().out
    assert "| KV q8_0:q4_0 |" in out
    assert main([*command, "-ub", "256,512", "--json"]) == Exit.OK
    rows = json.loads(capsys.readouterr().out)["rows"]
    told = {(row["type_k"], row["type_v"], row["n_ubatch"]): row["devices"][0] for row in rows}
    assert len(told) == 4
    assert told["f16", "f16", 512]["kv_bytes"] / told["q8_0", "q4_0", 512]["kv_bytes"] == pytest.approx(64 / 26)
    assert told["f16", "f16", 256]["compute_bytes"] < told["f16", "f16", 512]["compute_bytes"]
    assert main(["fit", "qwen3-8b", "--quants", "Q4_K_M", "-c", "8192", "--vram", "16GiB"]) == Exit.OK
    assert "setting" not in capsys.readouterr().out
