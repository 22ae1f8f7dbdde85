"""Where the result file lies, and how a command that is to find it is typed. Opens nothing."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

ENVIRONMENT = "TOOLGAUGE_DB"
DEFAULT_PATH = "toolgauge.db"


def database_path(option: Path | None = None) -> Path:
    """`--db`, else the environment variable TOOLGAUGE_DB, else toolgauge.db in the working folder."""
    return option or Path(os.environ.get(ENVIRONMENT) or DEFAULT_PATH)


def command(path: Path, *words: str) -> str:
    """A command about the result file there, as a person types it; it names the file where another would be taken."""
    named = () if path == database_path() else ("--db", str(path))
    return shlex.join(["toolgauge", *words, *named])
