"""The first layers of a model: llama.cpp runs them, or it is said how many it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.models import shapes
from engine.llama import load_model
from engine.llama.params import ContextParams
from engine.shapes import Shape
from engine.shapes.tokens import made_up_tokens
from engine.shapes.writer import write
from tests.engine.shapes.every import N_TOKENS, TINY

_TRUE = ("full_attention_interval", "sliding_window_pattern", "hybrid_override_pattern", "first_k_dense_replace")
LEAST = {"qwen35": 4, "qwen35moe": 4, "qwen3next": 4, "nemotron_h": 13, "nemotron_h_moe": 6, "gemma4": 2}


def true_order(arch: str) -> Shape:
    """Tiny layers, but as many of them and of the same kinds one after another as in the first model of the file."""
    true = next(row.config for row in shapes.load().shape if row.config.arch == arch)
    order = {name: value for name, value in true.model_dump().items() if name in _TRUE}
    return TINY[arch].changed(order | {"num_hidden_layers": true.num_hidden_layers})


@pytest.mark.parametrize("arch", TINY)
def test_the_first_layers_are_run_or_refused(arch: str, tmp_path: Path) -> None:
    """`--layers 3` of a model whose fourth layer is the first with attention: llama.cpp aborted."""
    shape, least = true_order(arch), LEAST.get(arch, 1)
    if least > 1:
        with pytest.raises(ValueError, match=f"; take at least {least}$"):
            shape.first(least - 1)
    for n_layers in (least, least + 1, least + 6):
        path = write(tmp_path / "first.gguf", shape.first(n_layers), "Q8_0", made_up_tokens(N_TOKENS))
        with load_model(path) as model, model.context(ContextParams(n_ctx=256, n_threads=1)) as context:
            batch = context.batch()
            batch.add((5, 6, 7), position=0, sequence=0, n_outputs=1)
            context.decode(batch)
            context.synchronize()


def test_what_is_missing_in_the_first_layers_is_said() -> None:
    with pytest.raises(ValueError, match=r"^up to layer 3 all are recurrent; take at least 4$"):
        true_order("qwen35").first(3)
    with pytest.raises(ValueError, match=r"^up to layer 12 there is no attention; take at least 13$"):
        true_order("nemotron_h").first(1)
    experts_late = true_order("nemotron_h_moe").changed({"num_hidden_layers": 3, "hybrid_override_pattern": "M*E"})
    with pytest.raises(ValueError, match=r"^up to layer 2 there are no experts; take at least 3$"):
        experts_late.first(2)
