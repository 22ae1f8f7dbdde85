"""Ladders of quantization levels from one F16, BF16 or F32 file, made by llama.cpp and kept in a cache.

    path = quantize(Path("model-F16.gguf"), "Q4_K_M")

The work is done in a child process (`engine.quantize_child`): llama.cpp ends the process on some broken files, and that
must not take a run with it. A file appears under its name only when it is whole. Knows no registry and no runs.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.cache import cache_path
from engine.child import child
from engine.errors import ToolgaugeError
from engine.gguf_file import GgufFile, read_gguf, sha256_of

Progress = Callable[[float], None]

LADDER: Final = ("F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K")
SOURCES: Final = ("F32", "BF16", "F16")
PURE: Final = "-pure"  # every tensor at the level's own type, none at a better one
_MIB: Final = 1024 * 1024
_FOLDER: Final = "quantized"
_SHA_PREFIX: Final = re.compile(r"[0-9a-f]{16}")
_SOURCE_SUFFIX: Final = re.compile(r"[-._](F32|BF16|F16)$", re.IGNORECASE)
_PART_SUFFIX: Final = re.compile(r"-\d{5}-of-\d{5}$")


@dataclass(frozen=True, slots=True)
class Level:
    """A quantization level; `file_type` is llama.cpp's number of it."""

    name: str
    file_type: int
    pure: bool = False


def imprecision(quant: str, n_bytes: int) -> tuple[int, int]:
    """Order the levels of a model by this, from the most precise one down: the unquantized first, then by size."""
    name = quant.partition(" ")[0]  # two files of one level have something behind it that tells them apart
    return (SOURCES.index(name) if name in SOURCES else len(SOURCES)), -n_bytes


def find_level(name: str) -> Level:
    """The level of that name, in any case; raises with the names there are."""
    from engine.llama.quantizer import file_types

    known = {key.upper(): (key, number) for key, number in file_types().items()}
    pure = name.lower().endswith(PURE)
    key = name[: -len(PURE)] if pure else name
    if key.upper() not in known:
        raise ToolgaugeError(
            f"there is no quantization level '{name}'; this llama.cpp has {', '.join(sorted(file_types()))}, "
            f"and each of them with '{PURE}' behind it"
        )
    official, number = known[key.upper()]
    return Level(official + (PURE if pure else ""), number, pure)


def default_cache() -> Path:
    return cache_path(_FOLDER)


def quantize(source: Path, level: str, cache_dir: Path | None = None, progress: Progress | None = None) -> Path:
    """The file of `source` at `level`: from the cache, or made now. `progress` gets fractions.

    A level that the source already has is the source itself. Raises `ToolgaugeError` when the source is quantized, the
    level unknown, or the disk too small; nothing half-written is left behind.
    """
    file, wanted = _source(source), find_level(level)
    if wanted.name == file.quant:
        return file.path
    target = cached_path(file, wanted, cache_dir or default_cache())
    if target.exists():
        return target
    with _part(target) as part:
        _run_child(file, wanted, part, progress)
        read_gguf(part)  # a file that cannot be read again shall not be found later
        part.replace(target)
    return target


def size_estimate(source: Path, level: str) -> int:
    """Bytes that the quantized file will have, give or take a few thousand."""
    file, wanted = _source(source), find_level(level)
    if wanted.name == file.quant:
        return file.n_bytes
    return _run_child(file, wanted, None, None)


def cached_path(file: GgufFile, level: Level, cache_dir: Path) -> Path:
    """Where the file lies, if it was made: named by the source's contents, the level and the llama.cpp that made it."""
    from engine.llama import build_info

    build = re.sub(r"[^\w.+-]+", "-", build_info())
    stem = _SOURCE_SUFFIX.sub("", _PART_SUFFIX.sub("", file.path.stem))
    return cache_dir / sha256_of(file)[:16] / build / f"{stem}-{level.name}.gguf"


def is_made(path: Path) -> bool:
    """Whether a file lies as those do that were made here, in whosever cache; it need not be there any more."""
    folders = path.parts[-4:-1]
    return len(folders) == 3 and folders[0] == _FOLDER and _SHA_PREFIX.fullmatch(folders[1]) is not None


def _source(path: Path) -> GgufFile:
    file = read_gguf(path)
    if file.quant not in SOURCES:
        raise ToolgaugeError(
            f"{file.path.name} is quantized already ({file.quant}), and quantizing it again would measure both losses; "
            f"give the {', '.join(SOURCES[:-1])} or {SOURCES[-1]} file of the model instead"
        )
    return file


@contextmanager
def _part(target: Path) -> Iterator[Path]:
    """A name to write under, which is gone afterwards whatever happens."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target)
        part.touch()
    except OSError as error:
        raise ToolgaugeError(
            f"quantized models cannot be kept in {target.parent} ({error.strerror}); make it writable, or choose "
            "another cache folder"
        ) from error
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _remove_abandoned(target: Path) -> None:
    """Remove parts whose writer was killed."""
    import psutil

    for part in target.parent.glob(f".{target.name}.*.part"):
        writer = part.name.split(".")[-2]
        if writer.isdigit() and not psutil.pid_exists(int(writer)):
            part.unlink(missing_ok=True)


def _run_child(file: GgufFile, level: Level, target: Path | None, progress: Progress | None) -> int:
    """Run `engine.quantize_child` to its end; returns the size of the file that it wrote, or would write."""
    job = {
        "source": str(file.path),
        "target": None if target is None else str(target),
        "file_type": level.file_type,
        "pure": level.pure,
    }
    what = f"quantizing {file.path.name} to {level.name}"
    n_bytes = 0
    with child("engine.quantize_child", job) as (process, messages, last_words):
        for message in messages:
            if "error" in message:
                raise ToolgaugeError(f"{what} failed: {message['error']}")
            if "n_after" in message:
                n_bytes = file.n_bytes - message["n_before"] + message["n_after"]
                if target is not None:
                    _check_room(target, n_bytes, what)
            elif progress is not None:
                progress(message["fraction"])
        if code := process.wait():
            raise ToolgaugeError(f"{what} broke off (exit code {code}; {last_words()}); the source file may be damaged")
    return n_bytes


def _check_room(target: Path, n_bytes: int, what: str) -> None:
    n_free = shutil.disk_usage(target.parent).free
    if n_free < n_bytes:
        raise ToolgaugeError(
            f"{what} takes {n_bytes / _MIB:,.1f} MiB in {target.parent}, where {n_free / _MIB:,.1f} MiB are free; "
            "make room there, or choose another cache folder"
        )
