"""What a person is told while a run works, where standard error is no terminal."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli.person import Terminal
from bench.cli.progress import LINE_EVERY_S, RunProgress
from bench.records import EpisodeEnd, ErrorKind, ItemError, ItemRecord
from bench.results.store import Store
from bench.run import events, writer
from bench.run.plan import Plan, PlannedSample
from tests.bench.scripted import PROVENANCE, plan_of

Captured = pytest.CaptureFixture[str]


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_of(tmp_path)


def started(
    plan: Plan, folder: Path, *, n_done: int = 0, n_samples_done: int = 0, resumed: bool = False
) -> events.Started:
    with Store.open(folder / "results.db") as store:
        run = store.run(str(writer.begin_run(store, plan, PROVENANCE)))
    return events.Started(run, plan, n_done, n_samples_done, resumed=resumed)


def done(plan: Plan, outcome: str | None, error: ItemError | None = None, place: int = 0) -> events.ItemDone:
    cell = plan.cells[place]
    record = ItemRecord("mine/0", (), EpisodeEnd.ERROR if error else EpisodeEnd.REPLY, error)
    return events.ItemDone(cell, cell.items[0], record, outcome)


def test_a_run_is_described_before_it_starts(plan: Plan, tmp_path: Path, capsys: Captured) -> None:
    with RunProgress() as progress:
        progress(started(plan, tmp_path, n_done=2, resumed=True))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "1 model file in 2 modes on mine: 6 answers."
    assert lines[1] == "Going on with run 1, of which 2 answers are there already."


def test_timings_that_are_there_are_no_answers(plan: Plan, tmp_path: Path, capsys: Captured) -> None:
    with RunProgress() as progress:
        progress(started(plan, tmp_path, n_done=1, n_samples_done=2, resumed=True))
    assert "run 1, of which 1 answer and 2 timings are there already.\n" in capsys.readouterr().err


def test_only_the_first_estimate_is_said(capsys: Captured) -> None:
    with RunProgress() as progress:
        progress(events.Estimated(125.0, "earlier runs of the same files here"))
        progress(events.Estimated(60.0, "the first 8 items"))
    text = capsys.readouterr().err
    assert text == "About 2 minutes to go, judging by earlier runs of the same files here.\n"


def test_a_line_comes_now_and_then_and_counts_what_is_right(plan: Plan, tmp_path: Path, capsys: Captured) -> None:
    clock = Clock()
    with RunProgress(clock=clock) as progress:
        progress(started(plan, tmp_path))
        capsys.readouterr()
        progress(done(plan, "correct"))
        assert capsys.readouterr().err == ""
        clock.now_s = LINE_EVERY_S
        progress(done(plan, "no_call"))
        assert capsys.readouterr().err == "2 of 6; fake:perfect native.free: 50.0% right\n"
        clock.now_s = 2 * LINE_EVERY_S
        progress(done(plan, "runtime_error", ItemError(ErrorKind.RUNTIME, "died")))
        assert capsys.readouterr().err == "3 of 6, 1 error in all; fake:perfect native.free: 50.0% right\n"


def test_what_is_right_is_counted_by_model_and_mode(plan: Plan, tmp_path: Path, capsys: Captured) -> None:
    """The last row's line had the share of all of them, and the report another figure for that row."""
    clock = Clock()
    with RunProgress(clock=clock) as progress:
        progress(started(plan, tmp_path))
        for outcome in ("correct", "correct", "no_call"):
            progress(done(plan, outcome))
        capsys.readouterr()
        clock.now_s = LINE_EVERY_S
        progress(done(plan, "no_call", place=1))
        assert capsys.readouterr().err == f"4 of 6; fake:perfect {plan.cells[1].mode.id}: 0.0% right\n"
        clock.now_s = 2 * LINE_EVERY_S
        cell = plan.cells[1]
        progress(events.SampleDone(cell, PlannedSample("key", cell.items[0].case, 0)))
        assert capsys.readouterr().err == f"5 of 6; fake:perfect {plan.cells[1].mode.id}, timing\n"


def test_a_dead_worker_is_told_with_its_last_words(plan: Plan, capsys: Captured) -> None:
    with RunProgress() as progress:
        progress(events.WorkerDied(plan.models[0], 3, "killed by signal 6", tuple(f"line {n}" for n in range(9))))
    text = capsys.readouterr().err
    assert "the process of fake:perfect ended (killed by signal 6); 3 answers in flight" in text
    assert "line 8" in text
    assert "line 3" not in text


def test_a_worker_that_dies_before_its_first_answer_has_lost_none(plan: Plan, capsys: Captured) -> None:
    with RunProgress() as progress:
        progress(events.WorkerDied(plan.models[0], 0, "it was ended by SIGKILL", ()))
    assert capsys.readouterr().err.endswith("the process of fake:perfect ended (it was ended by SIGKILL)\n")


def test_a_script_gets_the_download_that_it_named(capsys: Captured) -> None:
    assert Terminal().may_download("m.gguf (4.00 GiB) from org/repo")
    assert "Downloading m.gguf (4.00 GiB) from org/repo" in capsys.readouterr().err


def test_a_dry_run_downloads_nothing(capsys: Captured) -> None:
    assert not Terminal(may_download=False).may_download("m.gguf")
    assert capsys.readouterr().err == ""


class Screen(io.StringIO):
    """A terminal, as far as anybody asks."""

    def isatty(self) -> bool:
        return True


# A GGUF's name that sets the terminal's title, clears it and rings.
NASTY = "m\x1b]0;PWNED\x07\x1b[2J.gguf"
TAME = "m␛]0;PWNED␇␛[2J.gguf"


def screen_of(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Standard error from now on: a terminal that is wide enough."""
    shown = Screen()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return shown


def test_a_files_name_cannot_write_to_the_terminal_through_a_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = screen_of(monkeypatch)
    monkeypatch.setattr("bench.cli.person._SHOW_AFTER_S", -1.0)
    with Terminal().progress(f"Making {NASTY} Q8_0") as show:
        show(0.5)
    plan = plan_of(tmp_path)
    model = replace(plan.models[0], name=NASTY)
    with RunProgress() as progress:
        progress(started(plan, tmp_path))
        progress(events.ModelLoading(model, 1))
    assert screen.getvalue().count(TAME) >= 2
    assert "\x1b]" not in screen.getvalue()
    assert "\x07" not in screen.getvalue()


def test_a_files_name_cannot_rewrite_the_question_before_a_download(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = screen_of(monkeypatch)
    typed = Screen("n\n")
    monkeypatch.setattr(sys, "stdin", typed)
    assert not Terminal().may_download(f"{NASTY} (5.00 GiB) from org/repo")
    assert f"Download {TAME} (5.00 GiB) from org/repo?" in screen.getvalue()
    assert "\x1b" not in screen.getvalue()
