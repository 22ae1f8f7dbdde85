"""Bytes of the caches that llama.cpp makes for a context: keys and values by cell, recurrent states by sequence.

Follows llama.cpp's `llama_kv_cache`, its variant for sliding windows, and `llama_memory_recurrent`. Knows no device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from engine.memory.layout import CannotPredict, Layout

CELL_STEP: Final = 256  # llama.cpp rounds every cache up to it
_FLOAT_BYTES: Final = 4
# Values and bytes of one block of each type that a KV cache may have.
_BLOCKS: Final[Mapping[str, tuple[int, int]]] = {
    "f32": (1, 4),
    "f16": (1, 2),
    "bf16": (1, 2),
    "q8_0": (32, 34),
    "q5_1": (32, 24),
    "q5_0": (32, 22),
    "q4_1": (32, 20),
    "q4_0": (32, 18),
    "iq4_nl": (32, 18),
}


@dataclass(frozen=True, slots=True)
class Room:
    """How large the caches are, as llama.cpp rounds what it is asked for.

    `n_cells` of all sequences together, or of each of `n_streams` where they do not share one cache.
    """

    n_cells: int
    n_cells_sliding: int
    n_streams: int
    n_ubatch: int


def room(
    layout: Layout, *, n_cells: int, n_sequences: int, n_batch: int, n_ubatch: int, unified: bool, swa_full: bool
) -> Room:
    """`n_cells`: what llama.cpp is given as `n_ctx`."""
    n_ubatch = min(n_ubatch, n_batch, n_cells)
    total = padded(n_cells)
    each = total if unified else padded(total // n_sequences)
    if swa_full or not layout.window:
        sliding = each
    else:
        sliding = padded(min(each, layout.window * (n_sequences if unified else 1) + n_ubatch))
    return Room(each, sliding, 1 if unified else n_sequences, n_ubatch)


def kv_bytes(layout: Layout, size: Room, *, type_k: str, type_v: str, flash_attn: bool) -> dict[int, int]:
    """By layer. Without flash attention the values are kept transposed, all layers padded to the widest."""
    check_types(layout, type_k, type_v, flash_attn=flash_attn)
    found: dict[int, int] = {}
    for layer in layout.attention:
        n_value = layer.n_value if flash_attn or not layer.n_value else layout.n_value_max
        row = row_bytes(type_k, layer.n_key) + row_bytes(type_v, n_value)
        n_cells = size.n_cells_sliding if layer.sliding else size.n_cells
        found[layer.layer] = found.get(layer.layer, 0) + row * n_cells * size.n_streams
    return found


def state_bytes(layout: Layout, n_sequences: int) -> dict[int, int]:
    """By layer: a convolution's tail and a state for each sequence, whatever its length."""
    return {
        layer.layer: (layer.n_conv + layer.n_state) * _FLOAT_BYTES * max(1, n_sequences) for layer in layout.recurrent
    }


def output_bytes(layout: Layout, n_sequences: int) -> int:
    """One row of logits for each sequence, on the host; llama.cpp enlarges it when a batch asks for more."""
    return layout.n_vocab * max(1, n_sequences) * _FLOAT_BYTES


def row_bytes(type_name: str, n_values: int) -> int:
    n_in_block, n_bytes = _BLOCKS[type_name]
    return -(-n_values // n_in_block) * n_bytes


def check_types(layout: Layout, type_k: str, type_v: str, *, flash_attn: bool) -> None:
    """Raises `CannotPredict` for what llama.cpp refuses, which has no size."""
    if layout.is_latent and type_k != type_v:
        raise CannotPredict("this model keeps keys and values as one, so both have to have the same --kv-type")
    for name in (type_k, type_v):
        n_in_block = _BLOCKS[name][0]
        for size in layout.head_sizes:
            if n_in_block > 1 and size % n_in_block:
                raise CannotPredict(
                    f"a KV cache of {name} needs heads whose size divides by {n_in_block}, and this model's have"
                    f" {size}; use --kv-type f16"
                )
    if _BLOCKS[type_v][0] > 1 and not flash_attn:
        raise CannotPredict(f"values of type {type_v} need flash attention; use --flash-attn on, or --kv-type f16")


def padded(n_cells: int, step: int = CELL_STEP) -> int:
    return -(-n_cells // step) * step
