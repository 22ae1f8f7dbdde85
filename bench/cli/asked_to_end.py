"""Being asked to end, by a supervisor or by a terminal that closes: the same as Ctrl-C, so that nothing is left behind.

with like_ctrl_c():
    app(arguments)
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_REQUESTS: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
_SAME_S: Final = 1.0  # `timeout` asks a process and then its whole group, which is one request


@contextmanager
def like_ctrl_c() -> Iterator[None]:
    """Within the block; a request that is ignored, as nohup wants it, stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    last_s = -math.inf

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal last_s
        before_s, last_s = last_s, time.monotonic()
        if last_s - before_s > _SAME_S:
            _interrupt(number, frame)

    defaults = [number for number in _REQUESTS if signal.getsignal(number) is signal.SIG_DFL]
    for number in defaults:
        signal.signal(number, ask)
    try:
        yield
    finally:
        for number in defaults:
            signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """What Ctrl-C does at this moment; where it does nothing, as in the background of a script, an interrupt."""
    ctrl_c = signal.getsignal(signal.SIGINT)
    if not callable(ctrl_c):
        raise KeyboardInterrupt
    ctrl_c(number, frame)
