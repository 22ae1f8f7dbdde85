"""The official simulated services, kept in a process of their own (`server.py`): this is our end of the line.

    simulators().run(scenario, before, call)            # what a tool answers to one more call
    simulators().judge(scenario, turns, reference)      # the official check of a whole conversation

The process gets a minimal environment, limits and a time for each request; when it dies or hangs, a new one is started
and nothing is lost, because a request says all that it depends on. Knows no case and no verdict.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any, Final

from bench.suites.bfcl.package import mpmath_folder, needed_folder
from grammars.errors import ToolgaugeError

SERVER: Final = Path(__file__).with_name("server.py")
TIMEOUT_S: Final = 10.0
_START_TIMEOUT_S: Final = 60.0  # the first request also waits for Python and the imports
_MOST_CHARACTERS: Final = 64 << 20  # of one answer

CallValue = tuple[str, Sequence[Any], Mapping[str, Any]]  # name, positional arguments, named arguments


class SimulatorDied(ToolgaugeError):
    """The process ended or took too long over a request."""


class SimulatorBroken(ToolgaugeError):
    """The process could not do what was asked, e.g. because a source is missing."""


class Simulators:
    """One process, started when it is first asked."""

    def __init__(self, package: Path, timeout_s: float = TIMEOUT_S) -> None:
        mpmath = mpmath_folder(package)
        self._folders = list(dict.fromkeys(str(folder) for folder in (package.parent, mpmath) if folder))
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._lock = threading.Lock()

    def run(self, scenario: Mapping[str, Any], before: Sequence[CallValue], call: CallValue) -> tuple[str, bool]:
        """What the caller is shown, and whether the call failed."""
        answer = self._ask({"operation": "run", "scenario": scenario, "before": before, "call": call})
        return answer["text"], answer["failed"]

    def judge(
        self,
        scenario: Mapping[str, Any],
        turns: Sequence[Sequence[Sequence[CallValue]]],
        reference: Sequence[Sequence[CallValue]],
    ) -> tuple[bool, str, str]:
        """Valid or not, the official name of what is wrong, and a sentence; `turns`: the calls of each step."""
        answer = self._ask({"operation": "judge", "scenario": scenario, "turns": turns, "reference": reference})
        return answer["valid"], answer["error_type"], answer["error"]

    def close(self) -> None:
        """End the process; the next request starts another."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream:
                stream.close()

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            is_new = self._process is None
            process = self._process or self._start()
            assert process.stdin is not None
            try:
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()
                line = self._answers.get(timeout=_START_TIMEOUT_S if is_new else self._timeout_s)
            except (OSError, queue.Empty) as error:
                self.close()
                raise SimulatorDied(f"the simulated services took longer than {self._timeout_s:.0f} s") from error
            if not line.endswith("\n"):
                self.close()
                raise SimulatorDied("the process of the simulated services ended")
        answer: dict[str, Any] = json.loads(line)
        if "broken" in answer:
            raise SimulatorBroken(f"BFCL's simulated services cannot be run: {answer['broken']}")
        return answer

    def _start(self) -> subprocess.Popen[str]:
        environment = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}  # Windows' Python
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-X", "utf8", str(SERVER), *self._folders],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=self._folders[0],
            text=True,
            encoding="utf-8",
        )
        self._answers = queue.SimpleQueue()
        assert self._process.stdout is not None
        threading.Thread(target=_read, args=(self._process.stdout, self._answers), daemon=True).start()
        return self._process


def _read(stream: IO[str], answers: queue.SimpleQueue[str]) -> None:
    """Pass on every line, and an empty text at the end."""
    try:
        while line := stream.readline(_MOST_CHARACTERS):
            answers.put(line)
    except ValueError:  # closed meanwhile
        pass
    answers.put("")


@cache
def simulators() -> Simulators:
    """Those of this process; they end with it."""
    made = Simulators(needed_folder())
    atexit.register(made.close)
    return made
