"""One tiny shape of every architecture, from the rows of shapes.toml, for tests."""

from __future__ import annotations

from typing import Final

from bench.models import shapes
from engine.shapes import Shape

N_TOKENS: Final = 600


def tiny_shapes() -> dict[str, Shape]:
    """By architecture, with a small vocabulary and a short context."""
    found: dict[str, Shape] = {}
    for row in shapes.load().shape:
        small = {"vocab_size": N_TOKENS, "max_position_embeddings": 2048}
        found.setdefault(row.config.arch, row.config.tiny().changed(small))
    return found


TINY: Final = tiny_shapes()
