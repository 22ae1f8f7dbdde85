"""Gets the official package into the user's cache: from the package index, from a wheel, or from an unpacked copy.

    pull()                                      # with pip
    pull(Path("bfcl_eval-2026.3.23-py3-none-any.whl"))

What arrives is held against the pinned checksums before anything is written, and only the files that are kept are
unpacked, each under a name that its pattern allows, so that no archive can write elsewhere. Imports nothing of it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.suites.bfcl.package import BFCL, MANIFEST, MPMATH, PINS, PULL, Pin, cache
from grammars.errors import ToolgaugeError

Files = Mapping[str, bytes]  # by their names in a wheel

_MOST_BYTES: Final = 16 << 20  # of one file; the largest has 3 MB
_PIP_TIMEOUT_S: Final = 600


class PullError(ToolgaugeError):
    """The package cannot be had, or is not the pinned one."""


@dataclass(frozen=True, slots=True)
class Part:
    """One distribution as it now lies in the cache."""

    name: str
    version: str
    licence: str
    n_files: int
    n_bytes: int


@dataclass(frozen=True, slots=True)
class Pulled:
    """`folder` holds the packages; `is_new`: they have just been put there."""

    folder: Path
    parts: tuple[Part, ...]
    is_new: bool


def pull(
    source: Path | None = None, *, replace: bool = False, tell: Callable[[str], None] = lambda text: None
) -> Pulled:
    """Get the pinned files into the cache; `source`: a wheel, or a folder with wheels or an unpacked copy in it.

    What is already there stays, unless `replace`. Nothing half-done is left behind. `tell` hears of a download.
    """
    target = cache()
    if target.is_dir() and not replace:
        return Pulled(target, _parts(target), is_new=False)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".pull-") as name:
        room = Path(name)
        if source is None:
            tell(f"Downloading {' and '.join(pin.wheel for pin in PINS)} with pip")
        found = _from(source or _downloaded(room))
        fresh = room / "fresh"
        for files in found.values():
            _write(files, fresh)
        manifest = {"version": BFCL.version, "parts": {pin.name: pin.version for pin in found}}
        (fresh / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        if target.exists():
            target.replace(room / "old")
        fresh.replace(target)
    return Pulled(target, _parts(target), is_new=True)


def _downloaded(room: Path) -> Path:
    """The folder into which pip has put the wheels."""
    wheels = room / "wheels"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(wheels)]
    command += [f"{pin.name}=={pin.version}" for pin in PINS]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise PullError(f"pip took longer than {_PIP_TIMEOUT_S} s to download {BFCL.wheel}; {_BY_HAND}") from error
    if done.returncode == 0:
        return wheels
    if "No module named pip" in done.stderr:
        raise PullError(f"this Python ({sys.executable}) has no pip; {_BY_HAND}")
    lines = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    reason = lines[0] if lines else f"exit code {done.returncode}"
    raise PullError(f"pip cannot download {BFCL.name} {BFCL.version} ({reason}); {_BY_HAND}")


_BY_HAND: Final = (
    f"get {BFCL.wheel} and {MPMATH.wheel} from the Python package index in another way, "
    f"and give their folder with `{PULL} --from FOLDER`"
)


def _from(source: Path) -> dict[Pin, Files]:
    """The files of each distribution that `source` holds; mpmath may be missing."""
    source = source.expanduser()
    if not source.exists():
        raise PullError(f"there is nothing at {source}")
    found = {pin: files for pin in PINS if (files := _part(pin, source)) is not None}
    if BFCL in found:
        return found
    raise PullError(f"{source} is neither {BFCL.wheel} nor a folder with that file or an unpacked copy of it")


def _part(pin: Pin, source: Path) -> Files | None:
    folder = source if source.is_dir() else source.parent
    wheel = source if source.is_file() and pin is BFCL else folder / pin.wheel
    if wheel.is_file():
        return _from_wheel(pin, wheel)
    package = folder if folder.name == pin.package else folder / pin.package
    if source.is_dir() and package.is_dir():
        return _from_folder(pin, package)
    return None


def _from_wheel(pin: Pin, wheel: Path) -> Files:
    with wheel.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != pin.sha256:
        raise PullError(
            f"{wheel} is not {pin.name} {pin.version}: its SHA-256 is {found}, and {pin.sha256} was expected"
        )
    with zipfile.ZipFile(wheel) as archive:
        infos = [info for info in archive.infolist() if pin.kept.fullmatch(info.filename)]
        if any(info.file_size > _MOST_BYTES for info in infos):
            raise PullError(f"{wheel} holds a file that is larger than any of {pin.name} should be")
        return {info.filename: archive.read(info) for info in infos}


def _from_folder(pin: Pin, package: Path) -> Files:
    files: dict[str, bytes] = {}
    for path in sorted(package.rglob("*")):
        name = f"{pin.package}/{path.relative_to(package).as_posix()}"
        if path.is_file() and pin.kept.fullmatch(name) and path.stat().st_size <= _MOST_BYTES:
            files[name] = path.read_bytes()
    if files_sha256(files) != pin.files_sha256:
        raise PullError(f"{package} differs from {pin.name} {pin.version}; give the wheel {pin.wheel} instead")
    return files


def files_sha256(files: Files) -> str:
    """One checksum of many files, their names included."""
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(files.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _write(files: Files, folder: Path) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _parts(target: Path) -> tuple[Part, ...]:
    parts = []
    for pin in PINS:
        sizes = [path.stat().st_size for path in (target / pin.package).rglob("*") if path.suffix in (".py", ".json")]
        if sizes:
            parts.append(Part(pin.name, pin.version, pin.licence, len(sizes), sum(sizes)))
    return tuple(parts)
