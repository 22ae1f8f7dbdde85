"""The shape of the timed random-weight model, small enough for a test."""

from __future__ import annotations

from bench.perf import random_model

SHAPE = random_model.SHAPE.model_copy(
    update={
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "intermediate_size": 128,
    }
)
