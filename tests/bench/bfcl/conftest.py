"""Where the official package comes from: pulled, named by TOOLGAUGE_BFCL, or downloaded once for the tests."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from bench.suites.bfcl.package import BFCL, ENVIRONMENT, PINS, PULL, folder
from tests.bench.bfcl.oracle import Oracle

DOWNLOAD_TIMEOUT_S = 120


@pytest.fixture(scope="session")
def bfcl_package(pytestconfig: pytest.Config) -> Path:
    """The folder `bfcl_eval`; skips where there is none and none can be downloaded."""
    found = folder()
    if found is not None:
        return found
    if pytestconfig.cache is None:
        pytest.skip(f"the official BFCL package is not here; `{PULL}` gets it, or name its folder in {ENVIRONMENT}")
    kept = pytestconfig.cache.mkdir("bfcl") / BFCL.version
    if not (kept / BFCL.package / "data").is_dir():
        with TemporaryDirectory(dir=kept.parent) as scratch:
            part = Path(scratch, kept.name)
            download(part)
            with suppress(OSError):  # another process of the same test run was quicker
                part.rename(kept)
    return kept / BFCL.package


def download(target: Path) -> None:
    wheels = target / "wheels"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--only-binary", ":all:", "--retries", "1", "--timeout", "10", "--dest", str(wheels)]
    try:
        subprocess.run(
            [*command, *(f"{pin.name}=={pin.version}" for pin in PINS)],
            capture_output=True,
            timeout=DOWNLOAD_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"the official BFCL package cannot be downloaded ({type(error).__name__}); `{PULL}` gets it")
    for pin in PINS:
        wheel = wheels / pin.wheel
        assert hashlib.sha256(wheel.read_bytes()).hexdigest() == pin.sha256
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(target)


@pytest.fixture(scope="session")
def oracle(bfcl_package: Path) -> Oracle:
    return Oracle(bfcl_package)
