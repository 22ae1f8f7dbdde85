"""Reads the header of one GGUF file: metadata, tensor table, and whether the tensor data is all there.

Our own reader, because the `gguf` package builds a numpy view for every vocabulary entry: 7 to 22 seconds for a
current model's header against a fraction of one here, and its errors on damaged files name array shapes. The tests
hold it against that package. Long arrays (vocabularies, merges) are kept as a count and a hash. Knows no model.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

from engine.errors import ModelFileError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
KEPT_ARRAY_LENGTH = 64  # longer arrays are hashed
_KEPT_NUMBERS = 512  # of numbers more is kept: one for each layer, and llama.cpp knows no deeper model
_MAX_DEPTH = 4
_MAX_DIMENSIONS = 8

_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")
_STRING, _ARRAY, _BOOL = 8, 9, 7
_SCALARS: Final[Mapping[int, struct.Struct]] = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: _U32,
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    _BOOL: struct.Struct("<?"),
    10: _U64,
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}


@dataclass(frozen=True, slots=True)
class LongArray:
    """An array too long to keep: how many values, and the SHA-256 of their bytes in the file."""

    n: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Tensor:
    name: str
    shape: tuple[int, ...]
    type_id: int  # ggml_type
    offset: int  # from the start of the tensor data
    n_bytes: int | None  # None: a type newer than the installed `gguf` package

    @property
    def n_values(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Header:
    metadata: Mapping[str, Any]
    tensors: tuple[Tensor, ...]
    n_bytes: int  # of the whole file


def read_header(path: Path) -> Header:
    """Raises `ModelFileError` if this is no GGUF file, a damaged one, or one that ends early."""
    with _mapped(path) as (buffer, n_bytes):
        return _header(_Cursor(buffer, n_bytes, path), n_bytes)


def header_from_start(start: bytes, n_bytes: int, path: Path) -> Header | None:
    """The header of a file of `n_bytes` whose beginning is `start`; None if its header goes on behind that.

    `path` is only named in errors. Raises `ModelFileError` as `read_header` does.
    """
    try:
        return _header(_Cursor(start, len(start), path), n_bytes)
    except _EndsEarly:
        if len(start) < n_bytes:
            return None
        raise


class _EndsEarly(ModelFileError):
    """More bytes are announced than there are."""


def _header(cursor: _Cursor, n_bytes: int) -> Header:
    """`n_bytes`: of the whole file, of which the cursor may have only the beginning."""
    path = cursor.path
    _check_magic(cursor)
    n_tensors, n_keys = cursor.u64(), cursor.u64()
    metadata = {}
    for _ in range(cursor.count(n_keys, at_least_bytes=13)):
        key = cursor.string()
        metadata[key] = cursor.value(cursor.u32())
    entries = [_tensor_entry(cursor) for _ in range(cursor.count(n_tensors, at_least_bytes=24))]
    position = cursor.position
    sizes = _type_sizes() if entries else {}
    tensors = tuple(Tensor(*entry, n_bytes=_tensor_bytes(entry[1], sizes.get(entry[2]))) for entry in entries)
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment <= 0:
        raise ModelFileError(f"{path} is damaged: its alignment is {alignment!r}; download or convert it again")
    data_start = -(-position // alignment) * alignment
    needed = max((data_start + tensor.offset + (tensor.n_bytes or 0) for tensor in tensors), default=0)
    if needed > n_bytes:
        raise ModelFileError(
            f"{path} is cut short: it has {n_bytes:,} bytes and its tensors need {needed:,}; download it again"
        )
    return Header(metadata, tensors, n_bytes)


@contextmanager
def _mapped(path: Path) -> Iterator[tuple[mmap.mmap | bytes, int]]:
    """The file as a read-only buffer, with every way of not getting one said in a sentence."""
    try:
        if path.is_dir():
            raise ModelFileError(f"{path} is a folder; name the GGUF file inside it")
        with path.open("rb") as file:
            n_bytes = path.stat().st_size
            buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if n_bytes else b""
    except FileNotFoundError:
        raise ModelFileError(f"there is no file {path}; check the path") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise ModelFileError(f"{path} cannot be read ({reason}); check its permissions and the disk") from error
    try:
        yield buffer, n_bytes
    finally:
        if isinstance(buffer, mmap.mmap):
            buffer.close()


class _Cursor:
    """Reads values one after another and never beyond the end of the file."""

    def __init__(self, buffer: mmap.mmap | bytes, n_bytes: int, path: Path) -> None:
        self.buffer, self.n_bytes, self.path = buffer, n_bytes, path
        self.position = 0

    def take(self, n_bytes: int) -> int:
        """Move on by `n_bytes` and return where they began."""
        start = self.position
        if n_bytes > self.n_bytes - start:
            raise _EndsEarly(f"{self.path} is cut short inside its header; download it again")
        self.position = start + n_bytes
        return start

    def u32(self) -> int:
        value: int = _U32.unpack_from(self.buffer, self.take(4))[0]
        return value

    def u64(self) -> int:
        value: int = _U64.unpack_from(self.buffer, self.take(8))[0]
        return value

    def string(self) -> str:
        start = self.take(self.u64())
        return self.buffer[start : self.position].decode("utf-8", errors="replace")

    def count(self, n: int, *, at_least_bytes: int) -> int:
        """`n` entries, refused where the rest of the file could not hold them: a damaged count must not loop."""
        if n * at_least_bytes > self.n_bytes - self.position:
            raise _EndsEarly(f"{self.path} is cut short or damaged inside its header; download it again")
        return n

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY and depth < _MAX_DEPTH:
            return self._array(depth)
        scalar = _SCALARS.get(kind)
        if scalar is None:
            raise ModelFileError(f"{self.path} is damaged: a metadata value has the unknown type {kind}")
        return scalar.unpack_from(self.buffer, self.take(scalar.size))[0]

    def _array(self, depth: int) -> Any:
        kind, n = self.u32(), self.u64()
        start = self.position
        scalar = _SCALARS.get(kind)
        n = self.count(n, at_least_bytes=scalar.size if scalar else 8)
        if n <= (_KEPT_NUMBERS if scalar else KEPT_ARRAY_LENGTH):
            return [self.value(kind, depth + 1) for _ in range(n)]
        if scalar:
            self.take(n * scalar.size)
        elif kind == _STRING:
            self._skip_strings(n)
        else:
            for _ in range(n):
                self.value(kind, depth + 1)
        return LongArray(n, hashlib.sha256(self.buffer[start : self.position]).hexdigest())

    def _skip_strings(self, n: int) -> None:
        """The vocabulary's loop: half a million strings, so nothing is called that need not be."""
        unpack, buffer, position, last = _U64.unpack_from, self.buffer, self.position, self.n_bytes - 8
        for _ in range(n):
            if position > last:
                break
            position += 8 + unpack(buffer, position)[0]
        self.take(position - self.position)


def _check_magic(cursor: _Cursor) -> None:
    start = cursor.buffer[: min(64, cursor.n_bytes)]
    if start[:4] != MAGIC:
        if start.startswith(b"version https://git-lfs"):
            raise ModelFileError(f"{cursor.path} is a Git LFS pointer, not the model; fetch the file itself")
        what = "it is empty" if not start else f"it starts with {start[:8]!r}"
        raise ModelFileError(f"{cursor.path} is not a GGUF file: {what}; convert or download the model as GGUF")
    cursor.take(4)
    version = cursor.u32()
    if version not in VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big") in VERSIONS
        kind = "big-endian GGUF" if swapped else f"GGUF version {version}"
        raise ModelFileError(f"{cursor.path} is {kind}, which is not supported; convert the model again")


def _tensor_entry(cursor: _Cursor) -> tuple[str, tuple[int, ...], int, int]:
    name, n_dimensions = cursor.string(), cursor.u32()
    if n_dimensions > _MAX_DIMENSIONS:
        raise ModelFileError(f"{cursor.path} is damaged: a tensor has {n_dimensions} dimensions; download it again")
    shape = tuple(cursor.u64() for _ in range(n_dimensions))
    return name, shape, cursor.u32(), cursor.u64()


def _type_sizes() -> Mapping[int, tuple[int, int]]:
    """Values and bytes of one block of each tensor type."""
    from gguf.constants import GGML_QUANT_SIZES

    return {int(kind): sizes for kind, sizes in GGML_QUANT_SIZES.items()}


def _tensor_bytes(shape: tuple[int, ...], block: tuple[int, int] | None) -> int | None:
    if block is None:
        return None
    n_values, n_bytes = block
    return prod(shape) // n_values * n_bytes
