"""Work in a process of its own: values and sentences come back, and so does the reason of a death."""

from __future__ import annotations

import hashlib
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

from bench.apart import apart, tell
from grammars.errors import ToolgaugeError, UnsupportedSchema

_PATIENCE_S = 60.0


def _pid(log: Path) -> int:
    del log
    return os.getpid()


def _refuse(log: Path) -> None:
    raise UnsupportedSchema("gbnf", "pattern", "#/x")


def _die(log: Path) -> None:
    print("ggml: the last words", file=sys.stderr, flush=True)
    os.abort()


def _take_a_while(log: Path) -> str:
    for fraction in (0.25, 0.75):
        tell(fraction)
        time.sleep(0.5)
    return "done"


def _have_a_bug(log: Path) -> None:
    raise KeyError("oops")


def _be_busy(log: Path) -> None:
    """One call of C, as reading a model is."""
    (log.parent.parent / "pid").write_text(str(os.getpid()))
    hashlib.pbkdf2_hmac("sha256", b"x", b"y", 2_000_000_000)


def main() -> None:
    """A command whose user has to wait; temporary folders lie in the folder that TMPDIR names."""
    # Whoever runs the tests may ignore or hold back Ctrl-C, as a shell does for what it runs in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        apart(_be_busy, what="a model")
    except KeyboardInterrupt:
        print("interrupted")


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], psutil.Process]]:
    """The command in a group of its own, as a terminal starts it, and the process that it has started."""
    parent = subprocess.Popen(
        [sys.executable, "-c", "from tests.bench.test_apart import main; main()"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        until = time.monotonic() + _PATIENCE_S
        while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()):
            assert time.monotonic() < until and parent.poll() is None
            time.sleep(0.05)
        yield parent, psutil.Process(int((tmp_path / "pid").read_text()))
    finally:
        with suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)
        parent.communicate()


def _ends(process: psutil.Process) -> bool:
    """Whether it does; an orphan may stay a zombie for as long as its new parent likes."""
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.05)
                continue
        return True
    return False


def test_the_process_is_gone_when_its_parent_is_killed(busy: tuple[subprocess.Popen[str], psutil.Process]) -> None:
    parent, child = busy
    parent.terminate()
    parent.wait(_PATIENCE_S)
    assert _ends(child)


def test_ctrl_c_ends_a_call_of_c_at_once(busy: tuple[subprocess.Popen[str], psutil.Process]) -> None:
    parent, child = busy
    os.killpg(parent.pid, signal.SIGINT)
    assert parent.communicate(timeout=_PATIENCE_S)[0] == "interrupted\n"
    assert _ends(child)


def test_the_value_comes_back_from_another_process() -> None:
    assert apart(_pid, what="a model") != os.getpid()


def test_a_sentence_comes_back_even_of_an_error_that_cannot_be_pickled() -> None:
    with pytest.raises(ToolgaugeError, match="the gbnf backend cannot express 'pattern' at #/x"):
        apart(_refuse, what="a model")


def test_a_death_is_a_sentence_with_the_last_words() -> None:
    with pytest.raises(ToolgaugeError, match="the process of a model ended: ggml: the last words"):
        apart(_die, what="a model")


def test_a_bug_stays_a_bug() -> None:
    with pytest.raises(KeyError, match="oops"):
        apart(_have_a_bug, what="a model")


def test_who_waits_is_told_how_much_is_done() -> None:
    told: list[float] = []
    assert apart(_take_a_while, what="a model", progress=told.append) == "done"
    assert set(told) <= {0.0, 0.25, 0.75}
    assert told == sorted(told)
    assert 0.25 in told and 0.75 in told
