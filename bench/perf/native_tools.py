"""Where llama.cpp's own speed tools are on this machine: named by a person, built for this binding, or on the PATH.

What is built lies in the user's cache with a note of how it was built. Builds nothing (`bench.perf.build_tools` does)
and runs nothing (`bench.perf.native` does).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

from engine.cache import cache_path
from engine.errors import ToolgaugeError

ToolName = Literal["llama-bench", "llama-batched-bench"]
TOOLS: Final[tuple[ToolName, ...]] = ("llama-bench", "llama-batched-bench")
BUILD: Final = "make perf-tools"
NOTE: Final = "build.json"


@dataclass(frozen=True, slots=True)
class NativeTool:
    """`built`: the note of how, where we built it; of others nothing is known but what they say themselves."""

    name: ToolName
    path: Path
    built: dict[str, Any] | None = None


def binding_version() -> str:
    return version("llama-cpp-python")


def binding_libraries() -> Path:
    """The folder of the libraries that the binding loads."""
    given = os.environ.get("LLAMA_CPP_LIB_PATH")  # as the binding itself reads it
    if given:
        return Path(given)
    spec = find_spec("llama_cpp")
    if spec is None or not spec.submodule_search_locations:
        raise ToolgaugeError("llama-cpp-python is not installed")
    return Path(spec.submodule_search_locations[0]) / "lib"


def tools_folder(*, whole: bool = False) -> Path:
    """Where built tools are: those that use this binding's libraries, or `whole` ones that have their own."""
    use = "whole" if whole else hashlib.sha256(str(binding_libraries().resolve()).encode()).hexdigest()[:8]
    folder: Path = cache_path("perf", f"llama.cpp-{binding_version()}-{use}")
    return folder


def executable(name: ToolName) -> str:
    return f"{name}.exe" if sys.platform == "win32" else name


def read_note(folder: Path) -> dict[str, Any] | None:
    """How the tools in a folder were built; None where no such note is."""
    try:
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) else None


def find(name: ToolName, given: Path | None = None) -> NativeTool | None:
    """The tool to run: the given one, else one that was built for this binding, else the one on the PATH.

    A built one comes before the PATH's because it is the same llama.cpp as ours.
    """
    if given is not None:
        given = given.expanduser()
        if not given.is_file() or not os.access(given, os.X_OK):
            raise ToolgaugeError(f"{given} is no program that could be run as {name}")
        return NativeTool(name, given.absolute(), read_note(given.parent))
    for folder in (tools_folder(), tools_folder(whole=True)):
        if (folder / executable(name)).is_file():
            return NativeTool(name, folder / executable(name), read_note(folder))
    on_path = shutil.which(name)
    return NativeTool(name, Path(on_path), read_note(Path(on_path).parent)) if on_path else None


def missing(name: ToolName) -> str:
    """Why there are no figures of a tool, and what to do about it."""
    return f"there is no {name} here; `{BUILD}` builds it, or name one with --{name} FILE"
