"""A run that is killed or interrupted, and started again by the same command."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from bench.results.store import Store
from bench.run.config import LatencySettings
from bench.run.events import Event, ItemDone, ModelLoaded, SampleDone, Started
from bench.run.execute import execute
from bench.run.judge import verdict
from bench.run.loading import open_model
from bench.run.plan import Plan
from tests.bench.runner import slow_plan
from tests.bench.scripted import PROVENANCE, plan_of

ROOT = Path(__file__).parents[3]


@contextmanager
def running(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The run in a process group of its own, as a shell would start it; nothing of it is left behind."""
    command = [sys.executable, "-m", "tests.bench.runner", str(folder)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # a run in this process may have set PYTHONSAFEPATH
    with subprocess.Popen(command, cwd=ROOT, env=environment, **pipes, text=True, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def lines_until(process: subprocess.Popen[str], word: str, n: int) -> list[str]:
    """The output up to the n-th line that begins with `word`."""
    assert process.stdout is not None
    lines: list[str] = []
    while n:
        line = process.stdout.readline()
        assert line, f"it ended early, after {lines}"
        lines.append(line)
        n -= line.startswith(word)
    return lines


def the_rest(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    lines = process.stdout.read().splitlines()
    process.wait()
    return lines


def assert_complete(folder: Path, plan: Plan | None = None) -> None:
    plan = plan or slow_plan(folder)
    with Store.read(folder / "results.db") as store:
        (run,) = store.runs()
        assert run.finished_utc is not None
        items = [item for cell in store.cells(run.id) for item in store.items(cell.id)]
        cells = store.cells(run.id)
        samples = [s for cell in cells for warm in (False, True) for s in store.latency_samples(cell.id, warm=warm)]
        outcomes = [store.scores(item.id)[0].outcome for item in items]
    assert sorted(item.key for item in items) == sorted(item.key for cell in plan.cells for item in cell.items)
    assert sorted(s.key for s in samples) == sorted(s.key for cell in plan.cells for s in cell.samples)
    assert set(outcomes) == {"correct"}


def test_a_run_killed_at_a_random_moment_holds_every_item_once(tmp_path: Path) -> None:
    chance = random.Random(0)
    with running(tmp_path) as process:
        lines_until(process, "item", chance.randint(1, 5))
        time.sleep(chance.random() * 0.05)
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        told = the_rest(process)
    assert "finished" not in " ".join(told)
    _, still_there = psutil.wait_procs(family, timeout=5)
    assert not still_there, "a worker outlived its parent"
    with running(tmp_path) as process:
        first, *_, last = the_rest(process)
        assert process.returncode == 0
    assert first.startswith("started 1 ")
    assert first.endswith("True")
    assert last == "finished 0"
    assert_complete(tmp_path)


class Ended(BaseException):
    """Whatever ends a run that is not answered for."""


@pytest.mark.usefixtures("workers_here")
@pytest.mark.parametrize("n_done", range(13))  # of eight items and four samples
def test_a_run_that_ends_anywhere_holds_every_item_and_sample_once(tmp_path: Path, n_done: int) -> None:
    plan = plan_of(tmp_path, n_cases=3, with_episode=True, latency=LatencySettings(n_cases=1, repetitions=1))
    told: list[Event] = []

    def end_soon(event: Event) -> None:
        told.append(event)
        n_seen = sum(isinstance(each, ItemDone | SampleDone) for each in told)
        if n_seen == n_done and isinstance(event, ModelLoaded | ItemDone | SampleDone):
            raise Ended

    with Store.open(tmp_path / "results.db") as store:
        with pytest.raises(Ended):
            execute(store, plan, PROVENANCE, opener=open_model, scorer=verdict, listener=end_soon)
        told.clear()
        execute(store, plan, PROVENANCE, opener=open_model, scorer=verdict, listener=told.append)
    started = next(event for event in told if isinstance(event, Started))
    assert (started.resumed, started.n_done + started.n_samples_done) == (True, n_done)
    assert_complete(tmp_path, plan)


def test_a_run_killed_before_anything_is_done_starts_over(tmp_path: Path) -> None:
    with running(tmp_path) as process:
        lines_until(process, "started", 1)
        process.send_signal(signal.SIGKILL)
    with running(tmp_path) as process:
        assert the_rest(process)[0] == "started 1 0 True"
    assert_complete(tmp_path)


def test_ctrl_c_while_a_worker_starts_is_quiet(tmp_path: Path) -> None:
    with running(tmp_path) as process:
        lines_until(process, "started", 1)
        time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        told = the_rest(process)
        assert process.returncode == 130
    assert [line.split(";")[0] for line in told] == ["interrupted: 0 of 8 items are stored"]


def test_ctrl_c_stores_what_is_done_and_says_how_to_go_on(tmp_path: Path) -> None:
    with running(tmp_path) as process:
        lines_until(process, "item", 2)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the worker gets it, too
        told = the_rest(process)
        assert process.returncode == 130
    done = int(told[-1].split()[1])
    assert told[-1] == (
        f"interrupted: {done} of 8 items are stored; "
        f"go on with: toolgauge run --resume 1 --db {tmp_path / 'results.db'}"
    )
    assert 2 <= done < 8
    with running(tmp_path) as process:
        assert the_rest(process)[0] == f"started 1 {done} True"
        assert process.returncode == 0
    assert_complete(tmp_path)
