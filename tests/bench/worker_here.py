"""A worker without a process of its own, for tests of what is stored and told, and of nobody's life or death.

A process takes a second to start, nearly all of it for imports.
"""

from __future__ import annotations

import pickle
from collections import deque
from typing import Any

from bench.run import worker
from bench.run.messages import LoadFailed, Message, ModelSpec, Work


class WorkerHere:
    """In the place of `bench.run.supervisor.Worker`: does all at once, and then hands out what was said.

    What goes through a pipe elsewhere is pickled here, too.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._spec: ModelSpec = _piped(spec)
        self._said: deque[Message] = deque()

    def __enter__(self) -> WorkerHere:
        return self

    def __exit__(self, *_error: object) -> None:
        """There is no process to end."""

    def send(self, work: Work) -> None:
        try:
            worker._serve(self._spec, _piped(work), lambda message: self._said.append(_piped(message)))
        except worker.CannotOpen as error:
            self._said.append(LoadFailed(str(error)))

    def receive(self, timeout_s: float) -> Message | None:
        del timeout_s
        return self._said.popleft()


def _piped(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))
