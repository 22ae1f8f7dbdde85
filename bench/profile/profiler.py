"""From a shape to its profile: writes the file, has it measured in a process of its own, removes it.

found = profile_shape(Asked("qwen3-8b", shape, "Q4_K_M", ...), job, terminal.progress)
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import psutil

from bench.perf.random_model import workload_tokens
from bench.profile.values import Job, Profiled
from engine.cache import cache_path
from engine.child import child
from engine.errors import ToolgaugeError
from engine.shapes import Shape
from engine.shapes.mix import level
from engine.shapes.writer import size_bytes, write

Bars = Callable[[str], AbstractContextManager[Callable[[float], None]]]  # as `bench.run.prepare` has

ASK_ABOVE_BYTES: Final = 4_000_000_000
_WRITE_BYTES_PER_S: Final = 400e6  # of a solid-state disk; a promise would need to know the disk
_OWN_FOLDER: Final = f".toolgauge-profile-{socket.gethostname()}-"  # and the process's number on that machine
_RECIPE: Final = 1  # in the names of kept files; raise it when the same shape comes to mean another file


@dataclass(frozen=True, slots=True)
class Asked:
    """`name` is the row's; `n_layers`: only the first so many, None: all."""

    name: str
    shape: Shape
    level: str
    folder: Path
    n_layers: int | None = None
    seed: int = 0
    keep: bool = False

    @property
    def cut(self) -> Shape:
        return self.shape if self.n_layers is None else self.shape.first(self.n_layers)

    @property
    def n_bytes(self) -> int:
        return size_bytes(self.cut, self.level)

    @property
    def write_s(self) -> float:
        return self.n_bytes / _WRITE_BYTES_PER_S

    @property
    def path(self) -> Path:
        """Where it is kept."""
        layers = "" if self.n_layers is None else f"-{self.n_layers}layers"
        return self.folder / f"random-{self.name}{layers}-{level(self.level)}-s{self.seed}-r{_RECIPE}.gguf"


def default_folder() -> Path:
    """On a disk: the folder for temporary files may be memory, which the model needs itself."""
    return cache_path("profile")


def profile_shape(asked: Asked, job: Job, bars: Bars) -> Profiled:
    """Of the file of `asked`, wherever it lies meanwhile.

    Raises `ToolgaugeError` when the disk or the memory is too small, or llama.cpp fails.
    """
    with _model_file(asked, bars) as path, bars("Measuring") as show:
        return _measured(replace(job, path=str(path)), show)


@contextmanager
def _model_file(asked: Asked, bars: Bars) -> Iterator[Path]:
    """The file that an earlier profile kept, or one written now that is gone afterwards unless this one keeps it."""
    with _own_folder(asked.folder) as own:
        if asked.path.exists():
            yield asked.path
            return
        with bars("Writing random weights") as show:
            path = write(
                own / asked.path.name,
                asked.cut,
                asked.level,
                workload_tokens(asked.cut.vocab_size),
                seed=asked.seed,
                name=f"random weights in the shape of {asked.name}",
                progress=lambda done, total: show(done / total),
            )
        yield path.rename(asked.path) if asked.keep else path


@contextmanager
def _own_folder(folder: Path) -> Iterator[Path]:
    """A place that is gone afterwards, with all that lies there; those of profiles that were killed go first."""
    for left in folder.glob(f"{_OWN_FOLDER}*"):
        owner = left.name.removeprefix(_OWN_FOLDER)
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    own = folder / f"{_OWN_FOLDER}{os.getpid()}"
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _measured(job: Job, show: Callable[[float], None]) -> Profiled:
    quiet = {"GGML_NO_BACKTRACE": "1"}
    with child("bench.profile.child", job.to_json(), quiet) as (process, messages, last_words):
        for message in messages:
            if "error" in message:
                raise ToolgaugeError(message["error"])
            if "profiled" in message:
                return Profiled.from_json(message["profiled"])
            show(message["fraction"])
        code = process.wait()
        raise ToolgaugeError(
            f"the measuring process ended (exit code {code}; {last_words()}); fewer layers on the card (-ngl), a "
            "smaller context (-c) or fewer answers at a time (--batch) may help"
        )
