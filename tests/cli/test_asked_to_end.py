"""A command that is asked to end, or killed, leaves no process behind, and no file for long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from bench.cli.asked_to_end import like_ctrl_c
from bench.cli.main import main
from bench.models import shapes
from bench.shell import Exit
from tests.cli.test_profile import QUICK, TINY

ROOT = Path(__file__).parents[2]
_PATIENCE_S = 60.0
_LONG = [*QUICK, "--repetitions", "1000000"]


def profile(folder: Path, *arguments: str) -> int:
    """In the new process, where no test has prepared anything; whoever runs the tests may ignore these signals."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    shapes.default_path = lambda: folder / "shapes.toml"
    return main(["profile", "--shape", "tiny", "--folder", str(folder / "files"), *arguments])


@pytest.fixture
def profiling(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], psutil.Process]]:
    """A profile that takes for ever, and its measuring process."""
    (tmp_path / "shapes.toml").write_text(TINY, encoding="utf-8")
    code = "import sys, pathlib; from tests.cli.test_asked_to_end import profile; "
    code += "sys.exit(profile(pathlib.Path(sys.argv[1]), *sys.argv[2:]))"
    command = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), *_LONG],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TOOLGAUGE_REAL_DATA": "", "PYTHONPATH": str(ROOT)},
    )
    try:
        yield command, _measuring(command)
    finally:
        command.kill()
        command.communicate()


def _measuring(command: subprocess.Popen[str]) -> psutil.Process:
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until and command.poll() is None:
        for process in psutil.Process(command.pid).children():
            with suppress(psutil.Error):
                if "bench.profile.child" in process.cmdline():
                    return process
        time.sleep(0.05)
    raise AssertionError("it did not begin to measure")


def _ends(process: psutil.Process) -> bool:
    """Whether it does; an orphan may stay a zombie for as long as its new parent likes."""
    until = time.monotonic() + _PATIENCE_S
    with suppress(psutil.NoSuchProcess):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
    return True


@pytest.mark.parametrize("request_to_end", [signal.SIGTERM, signal.SIGHUP])
def test_a_profile_that_is_asked_to_end_leaves_nothing(
    request_to_end: signal.Signals, profiling: tuple[subprocess.Popen[str], psutil.Process], tmp_path: Path
) -> None:
    """The measuring went on for hours, and the next profile took its file for one that was kept."""
    command, child = profiling
    command.send_signal(request_to_end)
    _, said = command.communicate(timeout=_PATIENCE_S)
    assert command.returncode == Exit.INTERRUPTED
    assert "Traceback" not in said
    assert _ends(child)
    assert not list((tmp_path / "files").iterdir())


def test_what_a_killed_profile_left_is_gone_after_the_next(
    profiling: tuple[subprocess.Popen[str], psutil.Process],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command, child = profiling
    command.kill()
    command.wait(_PATIENCE_S)
    assert _ends(child)
    assert list((tmp_path / "files").iterdir())
    monkeypatch.setattr(shapes, "default_path", lambda: tmp_path / "shapes.toml")
    assert main(["profile", "--shape", "tiny", "--folder", str(tmp_path / "files"), *QUICK]) == Exit.OK
    assert "kept" not in capsys.readouterr().err
    assert not list((tmp_path / "files").iterdir())


def test_a_request_does_what_ctrl_c_does_at_that_moment() -> None:
    asked: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, lambda number, frame: asked.append(number))
        with like_ctrl_c():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)  # `timeout` asks twice
            assert asked == [signal.SIGTERM]
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a script's `&` starts it
        with pytest.raises(KeyboardInterrupt), like_ctrl_c():
            signal.raise_signal(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        with like_ctrl_c():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
