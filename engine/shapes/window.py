"""Attention over a sliding window in some layers and over everything in the others: gpt-oss and Gemma 4."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import PositiveFloat, PositiveInt

from engine.shapes.base import Grouped, Value, Weight, bias, feed_forward, matrix, norm
from engine.shapes.dense import Yarn, attention
from engine.shapes.experts import TINY_EXPERTS


class GptOss(Grouped):
    """Experts with biases, attention with biases and sinks; every other layer sees a window only."""

    arch: Literal["gpt-oss"]
    num_experts: PositiveInt
    num_experts_per_tok: PositiveInt
    moe_intermediate_size: PositiveInt
    sliding_window: PositiveInt
    yarn: Yarn | None = None

    def _keys(self) -> dict[str, Value]:
        keys = super()._keys() | {
            "feed_forward_length": self.moe_intermediate_size,
            "expert_count": self.num_experts,
            "expert_used_count": self.num_experts_per_tok,
            "expert_feed_forward_length": self.moe_intermediate_size,
            "attention.sliding_window": self.sliding_window,
        }
        if self.yarn:
            names = ("type", "factor", "original_context_length")
            keys |= {key: value for key, value in self.yarn.keys().items() if key.rpartition(".")[2] in names}
        return keys

    def _block(self, layer: int) -> Iterator[Weight]:
        hidden, inner, n_experts = self.hidden_size, self.moe_intermediate_size, self.num_experts
        yield norm("attn_norm", hidden)
        yield norm("post_attention_norm", hidden)
        yield from attention(self, biased=True)
        yield bias("attn_output", hidden)
        yield Weight("attn_sinks.weight", (self.num_attention_heads,), "zeros")
        yield matrix("ffn_gate_inp", hidden, n_experts)
        yield bias("ffn_gate_inp", n_experts)
        yield from feed_forward(hidden, inner, "_exps", n_experts)
        for name, size in (("ffn_gate_exps", inner), ("ffn_up_exps", inner), ("ffn_down_exps", hidden)):
            yield bias(name, size, n_experts)

    def _tiny(self) -> dict[str, Any]:
        return super()._tiny() | TINY_EXPERTS | {"sliding_window": 16, "moe_intermediate_size": 64}


class Gemma4(Grouped):
    """Five layers with a window, then one without; those have heads of another size, and their values are the keys.

    `head_dim` and `num_key_value_heads` are of the layers with a window, the `global` ones of the others.
    """

    arch: Literal["gemma4"]
    intermediate_size: PositiveInt
    global_head_dim: PositiveInt
    num_global_key_value_heads: PositiveInt
    sliding_window: PositiveInt
    sliding_window_pattern: PositiveInt = 6
    sliding_rope_theta: PositiveFloat = 10_000.0
    final_logit_softcapping: PositiveFloat
    tie_word_embeddings: bool = True

    def is_sliding(self, layer: int) -> bool:
        return (layer + 1) % self.sliding_window_pattern != 0

    def _keys(self) -> dict[str, Value]:
        layers = range(self.num_hidden_layers)
        n_kv = [self._heads(layer)[1] for layer in layers]
        return super()._keys() | {
            "feed_forward_length": self.intermediate_size,
            "attention.head_count_kv": n_kv,
            "attention.key_length": self.global_head_dim,
            "attention.value_length": self.global_head_dim,
            "attention.key_length_swa": self.head_dim,
            "attention.value_length_swa": self.head_dim,
            "attention.sliding_window": self.sliding_window,
            "attention.sliding_window_pattern": [self.is_sliding(layer) for layer in layers],
            "attention.shared_kv_layers": 0,
            "embedding_length_per_layer_input": 0,
            "rope.dimension_count": self.global_head_dim,
            "rope.dimension_count_swa": self.head_dim,
            "rope.freq_base_swa": self.sliding_rope_theta,
            "final_logit_softcapping": self.final_logit_softcapping,
        }

    def _heads(self, layer: int) -> tuple[int, int]:
        """The size of a head, and how many keys there are."""
        if self.is_sliding(layer):
            return self.head_dim, self.num_key_value_heads
        return self.global_head_dim, self.num_global_key_value_heads

    def _extra(self) -> Iterator[Weight]:
        if not all(map(self.is_sliding, range(self.num_hidden_layers))):  # llama.cpp refuses what no layer uses
            yield norm("rope_freqs", self.global_head_dim // 2)

    def _block(self, layer: int) -> Iterator[Weight]:
        hidden = self.hidden_size
        head, n_kv = self._heads(layer)
        for name in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
            yield norm(name, hidden)
        yield norm("attn_q_norm", head)
        yield norm("attn_k_norm", head)
        yield matrix("attn_q", hidden, self.num_attention_heads * head)
        yield matrix("attn_k", hidden, n_kv * head)
        if self.is_sliding(layer):
            yield matrix("attn_v", hidden, n_kv * head)
        yield matrix("attn_output", self.num_attention_heads * head, hidden)
        yield norm("layer_output_scale", 1)
        yield from feed_forward(hidden, self.intermediate_size)

    def _least_layers(self) -> tuple[int, str]:
        return 2, "llama.cpp runs no Gemma 4 of a single layer"

    def _tiny(self) -> dict[str, Any]:
        return super()._tiny() | {
            "num_hidden_layers": 4,
            "intermediate_size": 96,
            "global_head_dim": 64,
            "num_global_key_value_heads": 1,
            "sliding_window": 16,
            "sliding_window_pattern": 2,
        }
