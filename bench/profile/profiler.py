"""From a shape to its profile: writes the file, has it measured in a process of its own, removes it.

found = profile_shape(Asked("qwen3-8b", shape, "Q4_K_M", ...), job, terminal.progress)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

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
        layers = "" if self.n_layers is None else f"-{self.n_layers}layers"
        return self.folder / f"random-{self.name}{layers}-{level(self.level)}-s{self.seed}-r{_RECIPE}.gguf"


def default_folder() -> Path:
    """On a disk: the folder for temporary files may be memory, which the model needs itself."""
    return cache_path("profile")


def profile_shape(asked: Asked, job: Job, bars: Bars) -> Profiled:
    """Raises `ToolgaugeError` when the disk or the memory is too small, or llama.cpp fails."""
    with _model_file(asked, bars), bars("Measuring") as show:
        return _measured(job, show)


@contextmanager
def _model_file(asked: Asked, bars: Bars) -> Iterator[None]:
    """The file, written unless an earlier profile kept it, and gone afterwards unless this one keeps it."""
    path = asked.path
    was_there = path.exists()
    try:
        if not was_there:
            with bars("Writing random weights") as show:
                write(
                    path,
                    asked.cut,
                    asked.level,
                    workload_tokens(asked.cut.vocab_size),
                    seed=asked.seed,
                    name=f"random weights in the shape of {asked.name}",
                    progress=lambda done, total: show(done / total),
                )
        yield
    finally:
        if not (asked.keep or was_there):
            path.unlink(missing_ok=True)


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
