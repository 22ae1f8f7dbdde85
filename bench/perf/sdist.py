"""The source distribution of the installed binding: got with pip or from a file, and llama.cpp unpacked from it."""

from __future__ import annotations

import re
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from bench.perf.commands import BuildError, first_error, run
from bench.perf.native_tools import binding_version

DISTRIBUTION: Final = "llama-cpp-python"
_DOWNLOAD_S: Final = 900.0
_SOURCE: Final = ("vendor", "llama.cpp")  # within the distribution


def given(sdist: Path) -> Path:
    """The file, if it is the right one."""
    sdist = sdist.expanduser()
    if not sdist.is_file():
        raise BuildError(f"there is no file {sdist}")
    wanted = f"{DISTRIBUTION}-{binding_version()}.tar.gz"
    if sdist.name.replace("_", "-") != wanted:
        raise BuildError(f"{sdist.name} is not {wanted}, the source of the installed binding")
    return sdist


def download(room: Path) -> Path:
    """By pip, which still has it if the binding was compiled here."""
    folder = room / "sdist"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--no-binary", DISTRIBUTION, "--dest", str(folder)]
    command += [f"{DISTRIBUTION}=={binding_version()}"]
    by_hand = f"get {DISTRIBUTION}-{binding_version()}.tar.gz in another way, and name it with --from FILE"
    done = run(command, _DOWNLOAD_S, "downloading the source")
    if done.returncode:
        if "No module named pip" in done.stderr:
            raise BuildError(f"this Python ({sys.executable}) has no pip; {by_hand}")
        raise BuildError(f"pip cannot download it ({first_error(done.stderr, 'ERROR:')}); {by_hand}")
    found = sorted(folder.glob("*.tar.gz"))
    if len(found) != 1:
        raise BuildError(f"pip brought no source distribution; {by_hand}")
    return found[0]


def unpack(archive: Path, target: Path) -> tuple[Path, str | None]:
    """Unpack llama.cpp; returns its folder, and the commit that the binding's change log names for this version."""
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(target, members=_wanted(tar), filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BuildError(f"{archive.name} cannot be unpacked: {error}") from error
    roots = [path for path in target.iterdir() if path.is_dir()] if target.exists() else []
    source = roots[0].joinpath(*_SOURCE) if len(roots) == 1 else target
    if not (source / "CMakeLists.txt").is_file():
        raise BuildError(f"{archive.name} holds no llama.cpp; is it a source distribution of {DISTRIBUTION}?")
    log = roots[0] / "CHANGELOG.md"
    return source, _commit(log.read_text(encoding="utf-8", errors="replace")) if log.is_file() else None


def _wanted(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        parts = PurePosixPath(member.name).parts[1:]
        if parts == ("CHANGELOG.md",) or parts[: len(_SOURCE)] == _SOURCE:
            yield member


def _commit(change_log: str) -> str | None:
    """The newest update of llama.cpp up to the installed version; later versions stand above it."""
    _, heading, rest = change_log.partition(f"## [{binding_version()}]")
    found = re.search(r"ggml-org/llama\.cpp@([0-9a-f]{7,40})", rest) if heading else None
    return found[1] if found else None
