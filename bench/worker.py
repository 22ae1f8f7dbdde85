"""The worker process: one loaded model, all modes of all its suites played there, whole items sent to the parent.

It has a process of its own because a native abort cannot be caught. It writes no result file, ignores Ctrl-C (its
parent ends it) and never outlives its parent.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.connection import Connection, wait
from pathlib import Path

from bench.latency import take_samples
from bench.messages import Done, LoadFailed, Message, ModelSpec, Work
from bench.play import Player
from grammars.errors import ToolgaugeError


def main(pipe: Connection, spec: ModelSpec) -> None:
    """The life of a worker; runs in the new process."""
    _write_into(spec.log_path)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _end_with_parent()

    def send(message: Message) -> None:
        pipe.send(message)

    try:
        model = spec.opener(spec)
    except ToolgaugeError as error:
        send(LoadFailed(str(error)))
        return
    send(model.facts)
    work: Work = pipe.recv()
    player = Player(model, spec, send)
    player.play(work.items)
    take_samples(player, work.samples)
    send(Done(model.peaks()))


def _write_into(path: Path) -> None:
    """Send what anybody here, C code included, writes to the terminal into the log that the parent reads."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def _end_with_parent() -> None:
    """End this process when its parent is gone, however it went: nobody would read or store what comes after."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
