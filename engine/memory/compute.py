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
    """For one batch of `size.n_ubatch` tokens with `n_rows` rows of logits."""
    n_tokens = size.n_ubatch
    width = n_tokens * layout.n_embd * _FLOAT_BYTES
    mask_bytes = 2 if flash_attn else 4
    has_full = any(not layer.sliding for layer in layout.attention)
    has_sliding = any(layer.sliding for layer in layout.attention)
    masks = n_tokens * mask_bytes * (has_full * size.n_cells + has_sliding * size.n_cells_sliding)
    feed_forward = n_tokens * layout.n_ff * _FLOAT_BYTES * 2
    experts = n_tokens * layout.n_experts_used * _FLOAT_BYTES * (2 * layout.n_ff_expert + layout.n_embd)
    queries = n_tokens * layout.n_query * _FLOAT_BYTES
    indexed = n_tokens * size.n_cells * (mask_bytes + _FLOAT_BYTES) if layout.is_indexed else 0
    scores = 0 if flash_attn else n_tokens * layout.n_heads * size.n_cells * _FLOAT_BYTES
    logits = min(n_rows, n_tokens) * layout.n_vocab * _FLOAT_BYTES
    states = n_sequences * max((layer.n_state for layer in layout.recurrent), default=0)  # read, and written anew
    recurrent = (6 * n_tokens * layout.n_inner + 2 * states) * _FLOAT_BYTES
    largest = max(queries + indexed, queries + scores, feed_forward, experts, recurrent, logits)
    return Scratch(width + masks, 2 * width + largest)


def split(scratch: Scratch, places: Sequence[int]) -> tuple[int, int]:
    """Bytes on each device that has layers, and on the host."""
    if all(place == HOST for place in places):
        return 0, scratch.inputs_bytes + scratch.results_bytes
    return scratch.results_bytes + scratch.inputs_bytes, scratch.inputs_bytes
