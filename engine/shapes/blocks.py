"""Random weights in every type's own blocks: made in place instead of quantized, which is what makes them cheap.

A block is random bytes, each of which is a valid code in all of these types, with its scale (and offset) set so that
the weights have the spread that was asked for and a mean near zero. Knows no file and no tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import log2
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.shapes.mix import TYPES

_E8M0_BIAS: Final = 127


@dataclass(frozen=True, slots=True)
class _Scaled:
    """Where a block's scale lies, where its offset and how many scales that is, and the spread at a scale of one."""

    scale_at: int
    spread: float
    offset_at: int | None = None
    offset: float = 0.0


_SCALED: Final[Mapping[str, _Scaled]] = {
    "Q4_0": _Scaled(0, 4.61),
    "Q4_1": _Scaled(0, 4.61, 2, -7.5),
    "Q5_0": _Scaled(0, 9.23),
    "Q5_1": _Scaled(0, 9.23, 2, -15.5),
    "Q8_0": _Scaled(0, 73.9),
    "Q2_K": _Scaled(80, 13.9, 82, 1.5),
    "Q3_K": _Scaled(108, 43.3),
    "Q4_K": _Scaled(0, 258.0, 2, 7.5),
    "Q5_K": _Scaled(0, 527.0, 2, 15.5),
    "Q6_K": _Scaled(208, 1366.0),
    "IQ4_NL": _Scaled(0, 67.2),
    "IQ4_XS": _Scaled(0, 1248.0),
    "IQ3_S": _Scaled(0, 140.0),
}
_MXFP4_SPREAD: Final = 2.9


def random_rows(random: np.random.Generator, kind: str, n_rows: int, columns: int, spread: float) -> NDArray[np.uint8]:
    """Rows of weights with a standard deviation near `spread`, as the bytes that a GGUF holds."""
    values, n_bytes, _number = TYPES[kind]
    n_blocks = n_rows * columns // values
    if kind in ("F32", "F16", "BF16"):
        return _normal(random, kind, n_blocks, spread).reshape(n_rows, -1)
    blocks = _random_bytes(random, n_blocks * n_bytes).reshape(n_blocks, n_bytes)
    if kind == "MXFP4":
        blocks[:, 0] = _E8M0_BIAS + round(log2(spread / _MXFP4_SPREAD))
    else:
        _set_scales(blocks, _SCALED[kind], spread)
    return blocks.reshape(n_rows, -1)


def constant(kind: str, values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Given values in a type without blocks."""
    return _encoded(kind, values).view(np.uint8)


def _set_scales(blocks: NDArray[np.uint8], layout: _Scaled, spread: float) -> None:
    scale = spread / layout.spread
    blocks[:, layout.scale_at : layout.scale_at + 2] = _half(scale)
    if layout.offset_at is not None:
        blocks[:, layout.offset_at : layout.offset_at + 2] = _half(scale * layout.offset)


def _half(value: float) -> NDArray[np.uint8]:
    return np.array([value], dtype="<f2").view(np.uint8)


def _random_bytes(random: np.random.Generator, n_bytes: int) -> NDArray[np.uint8]:
    words = random.integers(0, np.iinfo(np.uint64).max, -(-n_bytes // 8), dtype=np.uint64, endpoint=True)
    return words.view(np.uint8)[:n_bytes]


def _normal(random: np.random.Generator, kind: str, n: int, spread: float) -> NDArray[np.uint8]:
    """Drawn from 65,536 numbers of a normal distribution: several times as fast as drawing the numbers themselves."""
    table = _encoded(kind, _normal_table() * np.float32(spread))
    picks = _random_bytes(random, 2 * n).view(np.uint16)
    return table[picks].view(np.uint8)


@cache
def _normal_table() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(1 << 16, dtype=np.float32)


def _encoded(kind: str, values: NDArray[np.float32]) -> NDArray[Any]:
    if kind == "BF16":
        return (values.view(np.uint32) >> 16).astype(np.uint16)
    return values.astype({"F16": np.float16, "F32": np.float32}[kind])
