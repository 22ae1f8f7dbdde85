"""toolgauge's own version: of what is installed, or of the folder that it is used from. Imports nothing heavy."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

NAME = "toolgauge"
PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def is_installed() -> bool:
    try:
        metadata.version(NAME)
    except metadata.PackageNotFoundError:
        return False
    return True


def own_version() -> str:
    if is_installed():
        return metadata.version(NAME)
    if not PROJECT.is_file():
        return "of unknown version"
    return str(tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["version"])
