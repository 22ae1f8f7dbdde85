"""A worker process as its parent sees it: however the conversation ends, it is a death that has a reason."""

from __future__ import annotations

import os
import signal
import struct
from multiprocessing import Pipe, Process
from pathlib import Path
from unittest.mock import Mock

import pytest

from bench.run.supervisor import Worker, WorkerDied


@pytest.mark.parametrize(
    ("exit_code", "is_crash", "has_said_why"),
    [
        (-signal.SIGSEGV, True, False),  # its last line was "sched_reserve: reserve took 2.92 ms"
        (-signal.SIGABRT, True, True),
        (-signal.SIGKILL, False, False),
        (-signal.SIGTERM, False, False),
        (1, False, True),
    ],
)
def test_a_crash_is_told_from_an_end_that_somebody_wanted(exit_code: int, is_crash: bool, has_said_why: bool) -> None:
    death = WorkerDied(exit_code, ("sched_reserve: reserve took 2.92 ms",))
    assert (death.is_crash, death.has_said_why) == (is_crash, has_said_why)


@pytest.mark.parametrize("received", [b"", struct.pack("!i", 1_000_000), struct.pack("!i", 1_000_000) + b"x" * 100_000])
def test_an_end_within_a_message_is_a_death(received: bytes, tmp_path: Path) -> None:
    """The kernel keeps what a process had written of a large message when it was killed."""
    ours, theirs = Pipe()
    os.write(theirs.fileno(), received)
    theirs.close()
    worker = object.__new__(Worker)
    worker._pipe, worker._process = ours, Mock(Process, exitcode=-9)
    worker._log_path = tmp_path / "no.log"
    with pytest.raises(WorkerDied, match="it was ended by SIGKILL"):
        worker.receive(1.0)
    ours.close()
