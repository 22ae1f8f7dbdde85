"""A worker process as its parent sees it: start it, talk to it, notice its death and read what it said last.

A native abort in llama.cpp kills a process without an exception, so each loaded model has one of its own. Knows the
pipe and the signals, and nothing about what the messages mean.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait

from bench.run import worker
from bench.run.messages import Message, ModelSpec, Work

N_LOG_LINES = 20
_PATIENCE_S = 2.0  # between asking a worker to end and ending it
_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)  # nobody else sends these


class WorkerDied(Exception):
    """The process is gone without having said `Done`. Never shown to a person as it is."""

    def __init__(self, exit_code: int, log: tuple[str, ...]) -> None:
        self.log = log
        self.is_crash = -exit_code in _CRASHES
        # What aborts or ends by itself has said why; where another signal ended it, its last words are about its work.
        self.has_said_why = exit_code >= 0 or -exit_code == signal.SIGABRT
        self.reason = _reason(exit_code)
        super().__init__(self.reason)


class Worker:
    """Use it as a context manager: however the block is left, the process ends with it."""

    def __init__(self, spec: ModelSpec) -> None:
        self._log_path = spec.log_path
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=worker.main, args=(theirs, spec), daemon=True)
        # A worker is told to end through its pipe. Ctrl-C reaches the whole process group; blocked until the worker
        # ignores it, it cannot interrupt the imports there.
        with _interrupts_held():
            self._process.start()
        theirs.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def send(self, work: Work) -> None:
        try:
            self._pipe.send(work)
        except (BrokenPipeError, ConnectionResetError):
            raise self._death() from None

    def receive(self, timeout_s: float) -> Message | None:
        """The next message, or None if none came in time; raises `WorkerDied` after the last one of a dead worker."""
        if not wait([self._pipe], timeout_s):
            return None
        try:
            message: Message = self._pipe.recv()
        except (EOFError, OSError):  # an end within a message is a plain OSError
            raise self._death() from None
        return message

    def log_tail(self) -> tuple[str, ...]:
        """The last lines that llama.cpp, or Python, wrote in the worker."""
        try:
            text = self._log_path.read_bytes().decode("utf-8", errors="replace")
        except FileNotFoundError:
            return ()
        return tuple(text.splitlines()[-N_LOG_LINES:])

    def stop(self) -> None:
        """End the process if it still runs, whatever it is doing."""
        self._pipe.close()
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(_PATIENCE_S)
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        self._process.close()

    def _death(self) -> WorkerDied:
        self._process.join()
        return WorkerDied(self._process.exitcode or 0, self.log_tail())


@contextmanager
def _interrupts_held() -> Iterator[None]:
    # multiprocessing starts this helper with the first process, and lifts the block when it does.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _reason(exit_code: int) -> str:
    if exit_code >= 0:
        return f"it ended with exit code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    hint = "; the system may have run out of memory" if -exit_code == signal.SIGKILL else ""
    return f"it was ended by {name}{hint}"
