"""The scratch that llama.cpp reserves for one batch: a rule of thumb over its largest intermediate results.

llama.cpp finds the true size by building the graph of the largest batch and packing its results, which depends on its
version and on which operations a device fuses. `docs/memory.md` says how far off this was for the registry's models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.memory.cache import Room
from engine.memory.layout import Layout
from engine.memory.weights import HOST

_FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Scratch:
    inputs_bytes: int  # what the host prepares for each batch: embeddings, masks
    results_bytes: int


def compute_bytes(layout: Layout, size: Room, *, n_sequences: int, n_rows: int, flash_attn: bool) -> Scratch:
    """For a batch of `size.n_ubatch` tokens with `n_rows` rows of logits: its inputs and its most expensive stage."""
    n_tokens = size.n_ubatch
    width = n_tokens * layout.n_embd
    mask_bytes = 2 if flash_attn else 4
    has_full = any(not layer.sliding for layer in layout.attention)
    has_sliding = any(layer.sliding for layer in layout.attention)
    masks = n_tokens * mask_bytes * (has_full * size.n_cells + has_sliding * size.n_cells_sliding)
    stages = (
        _attention(layout, size, flash_attn) + 3 * width,
        3 * n_tokens * layout.n_ff + 3 * width,
        _experts(layout) * n_tokens + 7 * width // 2,
        6 * n_tokens * layout.n_inner + _states(layout) * n_sequences + 2 * width,
        min(n_rows, n_tokens) * layout.n_vocab,
    )
    return Scratch(width * _FLOAT_BYTES + masks, max(stages) * _FLOAT_BYTES)


def _attention(layout: Layout, size: Room, flash_attn: bool) -> int:
    """Queries and what becomes of them; and without flash attention each one's score for each cell."""
    scores = 0 if flash_attn else layout.n_heads * size.n_cells
    indexed = 2 * size.n_cells if layout.is_indexed else 0
    return size.n_ubatch * (layout.n_query + scores + indexed)


def _experts(layout: Layout) -> int:
    """For a token, all of its experts beside each other: both halves, their product, and the way out."""
    inner, out = layout.n_experts_used * layout.n_ff_expert, layout.n_experts_used * layout.n_embd
    return 3 * inner + (out if out > 2 * inner else 0)  # which takes the halves' place where that is large enough


def _states(layout: Layout) -> int:
    """Of one sequence in one layer: as read, and as written anew."""
    return 2 * max((layer.n_state for layer in layout.recurrent), default=0)


def split(scratch: Scratch, places: Sequence[int]) -> tuple[int, int]:
    """Bytes on each device that has layers, and on the host, which prepares the inputs and has what layers remain."""
    whole = scratch.inputs_bytes + scratch.results_bytes
    if all(place == HOST for place in places):
        return 0, whole
    return whole, whole if HOST in places else scratch.inputs_bytes
