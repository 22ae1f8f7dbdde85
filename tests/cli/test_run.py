"""`toolgauge run` from the command line to the result file, over the scripted models."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.results.store import Store
from bench.shell import Exit
from tests.bench.episodes import raw_case, write_suite

ROOT = Path(__file__).resolve().parents[2]
Captured = pytest.CaptureFixture[str]
Run = Callable[..., int]
here = pytest.mark.usefixtures("workers_here")  # what dies or is interrupted needs a process


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    cases = [raw_case(id=f"mine/{number}", category="sums") for number in range(3)]
    return write_suite(tmp_path, *cases)


@pytest.fixture
def run(tmp_path: Path, suite: Path) -> Run:
    """Run with a suite of three cases and a result file of its own."""

    def start(*arguments: str, latency: bool = False) -> int:
        fixed = ["--suite", str(suite), "--db", str(tmp_path / "results.db")]
        return main(["run", *arguments, *fixed, *([] if latency else ["--no-latency"])])

    return start


def test_a_run_ends_with_its_report_on_stdout_and_tells_the_rest_on_stderr(run: Run, capsys: Captured) -> None:
    assert run("fake:perfect", "--modes", "native.free,json.schema", latency=True) == Exit.OK
    captured = capsys.readouterr()
    assert captured.out.startswith("## Run 1 of ")
    assert "| fake:perfect | native.free |   3 | 100.0%" in captured.out
    assert "1 model file in 2 modes on mine: 6 answers and 24 timings." in captured.err
    assert "fake:perfect: loaded in" in captured.err


@here
def test_what_is_asked_of_the_reasoning_is_recorded_and_said_where_it_has_no_effect(
    run: Run, tmp_path: Path, capsys: Captured
) -> None:
    flags = ["--thinking", "on", "--reasoning-effort", "low", "--format", "hermes"]
    assert run("fake:perfect", "--modes", "native.free", *flags) == Exit.OK
    captured = capsys.readouterr()
    for name, option in (("thinking-ignored", "--thinking on"), ("reasoning-effort-ignored", "--reasoning-effort low")):
        (warning,) = [line for line in captured.err.splitlines() if name in line]
        assert warning.startswith(f"warning: fake:perfect: {option} has no effect")
        assert f"Self-check of fake:perfect, {name}: {option} has no effect" in captured.out
    assert "format: hermes, --format hermes, --reasoning-effort low, --thinking on" in captured.out
    with Store.read(tmp_path / "results.db") as store:
        config = store.run("last").config
    assert (config["thinking"], config["reasoning_effort"], config["format"]) == (True, "low", "hermes")


@here
def test_a_setting_that_is_left_alone_is_no_warning(run: Run, capsys: Captured) -> None:
    assert run("fake:perfect", "--modes", "native.free", "--thinking", "auto") == Exit.OK
    captured = capsys.readouterr()
    assert "warning" not in captured.err
    assert "Self-check" not in captured.out


@here
def test_json_is_the_only_thing_on_stdout(run: Run, capsys: Captured) -> None:
    assert run("fake:silent", "--modes", "native.free", "--json") == Exit.OK
    values = json.loads(capsys.readouterr().out)
    assert values["sections"][0]["rows"][0]["outcomes"] == {"no_call": 3}


@here
def test_a_suite_that_is_named_twice_is_measured_once(run: Run, suite: Path, tmp_path: Path, capsys: Captured) -> None:
    assert run("fake:perfect", "--modes", "native.free", "--suite", str(suite)) == Exit.OK
    assert "| fake:perfect | native.free |   3 | 100.0%" in capsys.readouterr().out
    with Store.read(tmp_path / "results.db") as store:
        (cell,) = store.cells(1)
        assert len(store.items(cell.id)) == 3


def test_items_that_could_not_be_scored_are_code_one(run: Run, capsys: Captured) -> None:
    assert run("fake:crash:2", "--modes", "native.free", "--parallel", "1") == Exit.ERRORED_ITEMS
    captured = capsys.readouterr()
    assert "the process of fake:crash:2 ended" in captured.err
    assert "runtime error" in captured.out


@here
def test_without_a_report_it_says_how_to_get_one(run: Run, tmp_path: Path, capsys: Captured) -> None:
    assert run("fake:perfect", "--modes", "native.free", "--no-report") == Exit.OK
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"`toolgauge report 1 --db {tmp_path / 'results.db'}` prints what it found" in captured.err


@here
def test_a_context_beyond_training_is_told_once_and_heads_the_report(run: Run, capsys: Captured) -> None:
    """`run nano -c 16384`, of a model that was trained on 2,048 tokens, said nothing."""
    assert run("fake:perfect", "-c", "16384,4096", "--limit", "1") == Exit.OK
    out, err = capsys.readouterr()
    sentence = (
        "fake:perfect was trained on contexts of up to 8,192 tokens, its file says, and may be lost in one of 16,384"
    )
    assert err.count(f"warning: {sentence}") == 1
    assert f"Known before the run: {sentence}" in " ".join(out.split())


def test_a_dry_run_stores_nothing(run: Run, tmp_path: Path, capsys: Captured) -> None:
    assert run("fake:perfect", "--dry-run", "--limit", "2") == Exit.OK
    assert "1 model file in 4 modes on mine: 8 answers." in capsys.readouterr().out
    assert run("fake:perfect", "--dry-run", "--json") == Exit.OK
    (model,) = json.loads(capsys.readouterr().out)["models"]
    assert (model["n_items"], model["n_samples"]) == (12, 0)
    assert not (tmp_path / "results.db").exists()


@here
def test_the_same_command_again_is_a_new_run_once_the_first_is_finished(run: Run, tmp_path: Path) -> None:
    for _ in range(2):
        assert run("fake:perfect", "--modes", "native.free", "--no-report") == Exit.OK
    with Store.read(tmp_path / "results.db") as store:
        assert [run.id for run in store.runs()] == [2, 1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere.gguf"], "nowhere.gguf"),
        (["fake:nobody"], "there is no model 'fake:nobody'"),
        (["qwen3-8bb"], "did you mean qwen3-8b"),
        (["fake:perfect", "--modes", "native.fre"], "unknown mode 'native.fre'"),
        (["fake:perfect", "--backend", "magic"], "unknown constraint backend 'magic'"),
        (["fake:perfect", "--kv-type", "q9"], "unknown KV-cache type 'q9'"),
        (["fake:perfect", "--kv-type", "f16,q9"], "unknown KV-cache type 'q9'"),
        (["fake:perfect", "--flash-attn", "maybe"], "--flash-attn is one of"),
        (["fake:perfect", "--trials", "3"], "give a temperature"),
        (["fake:perfect", "--resume", "1", "--new"], "give one of them"),
        (["fake:perfect", "--chat-template", "none.jinja"], "cannot read the chat template none.jinja"),
    ],
)
def test_a_mistake_is_a_sentence_and_leaves_nothing(
    arguments: Sequence[str], sentence: str, run: Run, capsys: Captured
) -> None:
    assert run(*arguments) == Exit.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert sentence in captured.err
    assert captured.err.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"just text", "GGUF"), (b"GGUF\x03\x00\x00\x00", "cut short")],
)
def test_a_file_that_is_no_model_is_a_sentence(
    content: bytes, sentence: str, run: Run, tmp_path: Path, capsys: Captured
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    assert run(str(path)) == Exit.USAGE
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert sentence in errors


def test_a_suite_with_a_mistake_is_a_sentence_that_names_the_line(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"suite": "mine", "version": "1"}\n{"id": "mine/0"}\n')
    assert main(["run", "fake:perfect", "--suite", str(path), "--db", str(tmp_path / "r.db")]) == Exit.USAGE
    assert "mine.jsonl:2" in capsys.readouterr().err


@here
def test_what_has_no_effect_on_a_resumed_run_is_refused_rather_than_dropped(
    run: Run, tmp_path: Path, capsys: Captured
) -> None:
    assert run("fake:perfect", "--modes", "native.free", "--no-report") == Exit.OK
    capsys.readouterr()
    resume = ["run", "--resume", "1", "--db", str(tmp_path / "results.db")]
    assert main([*resume, "fake:silent", "--modes", "json.free", "-n", "7", "--no-latency"]) == Exit.USAGE
    said = capsys.readouterr()
    assert said.out == ""
    assert "its own settings; leave MODEL, --modes, --predict, --no-latency out, or --resume" in said.err
    assert main([*resume, "--yes", "--dry-run", "--json", "--no-report"]) == Exit.OK
    assert main(["run", "--resume", "7", "--db", str(tmp_path / "none.db")]) == Exit.USAGE
    assert "there are no results" in capsys.readouterr().err


def test_modules_in_the_current_folder_are_not_run(tmp_path: Path, suite: Path) -> None:
    """The command as it is installed, from a folder of downloads that bear the names of what its processes import."""
    downloads, command = tmp_path / "downloads", tmp_path / "bin" / "toolgauge"
    for folder in (downloads, command.parent):
        folder.mkdir()
    for name in ("socket.py", "struct.py", "psutil.py"):
        (downloads / name).write_text("open('poisoned', 'w').close()\nraise ImportError")
    command.write_text("import sys\nfrom bench.cli.main import main\nif __name__ == '__main__':\n    sys.exit(main())")
    flags = ["--modes", "native.free", "--no-latency", "--no-report", "--suite", str(suite)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [sys.executable, str(command), "run", "fake:perfect", *flags, "--db", str(tmp_path / "results.db")],
        capture_output=True,
        text=True,
        cwd=downloads,
        env=environment | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == Exit.OK, done.stderr
    assert not (downloads / "poisoned").exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_is_code_130_and_says_how_to_go_on(how: signal.Signals, tmp_path: Path, suite: Path) -> None:
    """And so is being asked to end, which a supervisor may ask of the worker, too."""
    command = [sys.executable, "-m", "bench.cli.main", "run", "fake:slow", "--modes", "native.free", "--no-latency"]
    flags = ["--suite", str(suite), "--db", str(tmp_path / "results.db"), "--parallel", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [*command, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        seen = ""
        while "loaded in" not in seen:
            seen += process.stderr.readline()
        time.sleep(0.2)
        os.killpg(process.pid, how)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == Exit.INTERRUPTED
    assert output == ""
    assert "toolgauge run --resume 1 --db" in errors
    assert "Traceback" not in errors
    assert "runtime errors" not in errors

    assert main(["run", "--resume", "1", "--db", str(tmp_path / "results.db"), "--no-report"]) == Exit.OK
    with Store.read(tmp_path / "results.db") as store:
        (cell,) = store.cells(1)
        assert sorted(item.case_id for item in store.items(cell.id)) == ["mine/0", "mine/1", "mine/2"]
