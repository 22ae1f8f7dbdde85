"""Dense transformers: Llama and its descendants, Qwen2, Qwen3, Mistral's newer ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt

from engine.shapes.base import Grouped, Value, Weight, bias, feed_forward, matrix, norm


class Yarn(BaseModel):
    """Stretched positions, and the query's temperature that grows with them, as Ministral 3 has both."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    factor: PositiveFloat
    original_max_position_embeddings: PositiveInt
    beta_fast: PositiveFloat = 32.0
    beta_slow: PositiveFloat = 1.0
    mscale_all_dim: float = 0.0
    llama_4_scaling_beta: float = 0.0

    def keys(self) -> dict[str, Value]:
        return {
            "rope.scaling.type": "yarn",
            "rope.scaling.factor": self.factor,
            "rope.scaling.original_context_length": self.original_max_position_embeddings,
            "rope.scaling.yarn_beta_fast": self.beta_fast,
            "rope.scaling.yarn_beta_slow": self.beta_slow,
            "rope.scaling.yarn_log_multiplier": self.mscale_all_dim,
            "attention.temperature_scale": self.llama_4_scaling_beta,
        }


class Dense(Grouped):
    """`rope_factors`: the file carries a factor for each frequency, as Llama 3.1's do."""

    arch: Literal["llama", "mistral3", "qwen2", "qwen3"]
    intermediate_size: PositiveInt
    rope_factors: bool = False
    yarn: Yarn | None = None

    def _keys(self) -> dict[str, Value]:
        keys = super()._keys()
        keys["feed_forward_length"] = self.intermediate_size
        if self.arch in ("llama", "mistral3"):
            keys["rope.dimension_count"] = self.head_dim
        return keys | (self.yarn.keys() if self.yarn else {})

    def _extra(self) -> Iterator[Weight]:
        if self.rope_factors:
            yield norm("rope_freqs", self.head_dim // 2)

    def _block(self, layer: int) -> Iterator[Weight]:
        hidden = self.hidden_size
        yield norm("attn_norm", hidden)
        yield norm("ffn_norm", hidden)
        yield from attention(self, biased=self.arch == "qwen2", normed=self.arch == "qwen3")
        yield from feed_forward(hidden, self.intermediate_size)

    def _tiny(self) -> dict[str, Any]:
        # Qwen2's heads are always the hidden size's share
        return super()._tiny() | {"intermediate_size": 96, "head_dim": 16 if self.arch == "qwen2" else 32}


def attention(shape: Grouped, *, biased: bool = False, normed: bool = False, gated: bool = False) -> Iterator[Weight]:
    """Queries, keys, values and the way out, with grouped heads. `gated`: the queries carry a gate beside them."""
    hidden, head = shape.hidden_size, shape.head_dim
    n_query, n_key = shape.num_attention_heads * head, shape.num_key_value_heads * head
    if normed:
        yield norm("attn_q_norm", head)
        yield norm("attn_k_norm", head)
    for name, size in (("attn_q", n_query * (2 if gated else 1)), ("attn_k", n_key), ("attn_v", n_key)):
        yield matrix(name, hidden, size)
        if biased:
            yield bias(name, size)
    yield matrix("attn_output", n_query, hidden)
