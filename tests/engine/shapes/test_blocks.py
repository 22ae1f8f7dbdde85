"""Random blocks: what they hold, read by ggml's own reference decoder in the `gguf` package."""

from __future__ import annotations

import numpy as np
import pytest
from gguf.constants import GGMLQuantizationType
from gguf.quants import dequantize

from engine.shapes.blocks import random_rows
from engine.shapes.mix import TYPES


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("spread", [0.02, 1.0])
def test_weights_have_the_spread_that_was_asked_for_and_no_bias(kind: str, spread: float) -> None:
    rows = random_rows(np.random.default_rng(5), kind, 400, 512, spread)
    values = dequantize(rows, GGMLQuantizationType[kind])
    assert values.shape == (400, 512)
    assert np.isfinite(values).all()
    tolerance = 0.45 if kind == "MXFP4" else 0.03  # a scale of MXFP4 is a power of two
    assert values.std() == pytest.approx(spread, rel=tolerance)
    assert abs(values.mean()) < 0.12 * spread


def test_the_same_numbers_come_from_the_same_seed() -> None:
    first, again, other = (random_rows(np.random.default_rng(seed), "Q6_K", 3, 256, 0.1) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()
