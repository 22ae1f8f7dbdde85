"""What llama.cpp says: a ring of its last lines, an optional file, and the buffer sizes read from it.

Knows no library: lines come in through `write`. A file is written line by line, unbuffered, so that a parent process
can read what a child said before it was aborted.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

DEBUG, INFO, WARN, ERROR, CONTINUE = 1, 2, 3, 4, 5  # enum ggml_log_level

BufferKind = Literal["model", "kv", "rs", "compute", "output"]

_BUFFER: Final = re.compile(r":\s+(\S+)\s+(model|KV|RS|compute|output) buffer size =\s*([\d.]+) MiB")
_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class BufferSize:
    """A buffer that llama.cpp allocated: weights, KV cache, recurrent state, scratch, or logits."""

    device: str  # the buffer's name: "CUDA0", "CPU", "CPU_Mapped", "CUDA_Host"
    kind: BufferKind
    n_bytes: int


@dataclass(frozen=True, slots=True)
class Line:
    level: int
    text: str


class LogCapture:
    """Collects text in pieces of any size and cuts it into lines."""

    def __init__(self, n_lines: int = 400) -> None:
        self._ring: deque[Line] = deque(maxlen=n_lines)
        self._partial = ""
        self._level = INFO
        self._file: int | None = None
        self._listeners: list[Callable[[Line], None]] = []

    def write(self, level: int, text: str) -> None:
        if level != CONTINUE:
            self._level = level
        *lines, self._partial = (self._partial + text).split("\n")
        for line in lines:
            self._add(Line(self._level, line.rstrip()))

    def _add(self, line: Line) -> None:
        if not line.text:
            return
        for listener in self._listeners:
            listener(line)
        if line.level == DEBUG:
            return
        self._ring.append(line)
        if self._file is not None:
            os.write(self._file, line.text.encode("utf-8", errors="replace") + b"\n")

    def last(self, n_lines: int = 20) -> list[str]:
        """The last lines, oldest first; debug lines are left out."""
        return [line.text for line in self._ring][-n_lines:]

    def to_file(self, path: Path | None) -> None:
        """Append every line to `path` from now on; None stops it."""
        if self._file is not None:
            os.close(self._file)
        self._file = None if path is None else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    @contextmanager
    def collect(self) -> Iterator[list[Line]]:
        """The lines that are written within the block; a last one without its end counts too."""
        lines: list[Line] = []
        with self.listen(lines.append):
            yield lines

    @contextmanager
    def listen(self, listener: Callable[[Line], None]) -> Iterator[None]:
        """Hand each line to `listener` as soon as it is whole."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            if self._partial:
                self.write(CONTINUE, "\n")
            self._listeners.remove(listener)


def buffer_sizes(lines: Iterable[Line]) -> tuple[BufferSize, ...]:
    """The buffers named in `lines`. Caches may come in parts, which add up; scratch is announced anew when reserved."""
    sizes: dict[tuple[str, BufferKind], int] = {}
    for line in lines:
        if match := _BUFFER.search(line.text):
            kind = _kind(match[2])
            n_bytes = round(float(match[3]) * _MIB)
            adds_up = kind in ("model", "kv", "rs")
            sizes[match[1], kind] = n_bytes + (sizes.get((match[1], kind), 0) if adds_up else 0)
    return tuple(BufferSize(device, kind, n_bytes) for (device, kind), n_bytes in sizes.items())


def _kind(word: str) -> BufferKind:
    match word.lower():
        case "model" | "kv" | "rs" | "compute" | "output" as kind:
            return kind
        case _:
            raise AssertionError(word)  # the pattern admits no other


def complaints(lines: Iterable[Line], n_lines: int = 3) -> str:
    """The last errors, or warnings if there is none, in one line for a message."""
    lines = list(lines)
    for level in (ERROR, WARN):
        texts = [line.text for line in lines if line.level == level]
        if texts:
            return "; ".join(dict.fromkeys(texts[-n_lines:]))
    return ""
