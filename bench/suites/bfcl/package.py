"""The official package on this machine: which one it is, what of it is kept, and where it lies.

    folder()    # .../bfcl_eval, or None

Pinned: one version, one checksum. Only what is needed is kept: data, checkers and the sources of the simulated
services, which are run in a process of their own (`bench.suites.bfcl.simulators`). mpmath comes with it because one of
them imports it. Nothing of it is ever imported into this process. Knows no case and no network.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.suites.case import SuiteError
from engine.cache import cache_path

ENVIRONMENT: Final = "TOOLGAUGE_BFCL"
PULL: Final = "toolgauge pull bfcl"
MANIFEST: Final = "toolgauge.json"


@dataclass(frozen=True, slots=True)
class Pin:
    """One distribution: exactly these bytes, and which of its files are kept.

    `files_sha256` is of the kept files, so that an unpacked copy can be held against it too.
    """

    name: str
    version: str
    wheel: str
    sha256: str
    files_sha256: str
    licence: str
    package: str
    kept: re.Pattern[str]


_CATEGORIES = (
    r"(?:simple_(?:python|java|javascript)|multiple|parallel|parallel_multiple|irrelevance|live_\w+"
    r"|multi_turn_(?:base|miss_func|miss_param|long_context))"
)
BFCL: Final = Pin(
    name="bfcl-eval",
    version="2026.3.23",
    wheel="bfcl_eval-2026.3.23-py3-none-any.whl",
    sha256="3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a",
    files_sha256="8ab518459adc6c16fbb7cbba34e07b5ba77c0499ba4a11f3d9ca3554dd9dfa17",
    licence="Apache-2.0",
    package="bfcl_eval",
    kept=re.compile(
        rf"bfcl_eval/(?:data/(?:possible_answer/)?BFCL_v4_{_CATEGORIES}\.json"
        r"|data/multi_turn_func_doc/(?!memory|web)\w+\.json"
        r"|(?:__init__|utils)\.py|constants/\w+\.py|eval_checker/(?:\w+/)*\w+\.py"
        r"|model_handler/(?:__init__|utils|local_inference/__init__|local_inference/qwen_fc|parser/\w+)\.py)"
    ),
)
MPMATH: Final = Pin(
    name="mpmath",
    version="1.3.0",
    wheel="mpmath-1.3.0-py3-none-any.whl",
    sha256="a0b2b9fe80bbcd81a6647ff13108738cfb482d481d826cc0e02f5b35e5c88d2c",
    files_sha256="f08fb116da8ea63f88f14b873bfa0f79ae100ce631945d06f7432b60f79f4cf3",
    licence="BSD-3-Clause",
    package="mpmath",
    kept=re.compile(r"mpmath/(?!tests/)(?:\w+/)*\w+\.py"),
)
PINS: Final = (BFCL, MPMATH)


def cache() -> Path:
    return cache_path("bfcl", BFCL.version)


def folder() -> Path | None:
    """The folder `bfcl_eval`, to be put on no path of ours: the one that was pulled, or what TOOLGAUGE_BFCL names."""
    named = os.environ.get(ENVIRONMENT)
    place = Path(named).expanduser() if named else cache()
    return next((path for path in (place / BFCL.package, place) if (path / "data").is_dir()), None)


def needed_folder() -> Path:
    """The same; without it one sentence that says how to get it."""
    found = folder()
    if found is not None:
        return found
    named = os.environ.get(ENVIRONMENT)
    if named:
        raise SuiteError(f"{ENVIRONMENT} names {named}, where there is no bfcl_eval with data; correct or unset it")
    raise SuiteError(f"the bfcl suites need the official data, which is not on this machine yet; run `{PULL}` once")


def version(package: Path) -> str:
    """As pulled; another copy says it in its own metadata, or is not any version."""
    manifest = package.parent / MANIFEST
    if manifest.is_file():
        return str(json.loads(manifest.read_text(encoding="utf-8"))["version"])
    name = f"{BFCL.package}-*.dist-info"
    infos = [path.name.removesuffix(".dist-info").partition("-")[2] for path in package.parent.glob(name)]
    return infos[0] if len(infos) == 1 else "unpinned"


def mpmath_folder(package: Path) -> Path | None:
    """The folder from which mpmath can be imported: pulled with the package, or installed here."""
    if (package.parent / MPMATH.package).is_dir():
        return package.parent
    from importlib.util import find_spec

    spec = find_spec(MPMATH.package)
    return Path(spec.origin).parent.parent if spec and spec.origin else None
