"""How a run is gone on with: what to type, and whether this version would."""

from __future__ import annotations

import shlex
from pathlib import Path

from bench.results.rows import Run
from bench.results.store import DEFAULT_PATH
from bench.run.plan import version_of

_KEYED = ("toolgauge", "llama-cpp-python")  # with other versions of these no answer has the same key


def resume_command(path: Path, run_id: int) -> str:
    """What to type to go on with a run of the result file there."""
    words = ["toolgauge", "run", "--resume", str(run_id)]
    if path != Path(DEFAULT_PATH):
        words += ["--db", str(path)]
    return shlex.join(words)


def has_own_versions(run: Run) -> bool:
    """Whether it was made by what is installed here; a run of other versions is not gone on with."""
    return all(run.versions.get(name) == version_of(name) for name in _KEYED)
