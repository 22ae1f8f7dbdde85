"""Multi-head latent attention: keys and values as one small vector per token. DeepSeek's, and GLM-4.7-Flash."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, Self

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from engine.shapes.base import Shape, Value, Weight, bias, feed_forward, matrix, norm
from engine.shapes.dense import Yarn

_GATING: Final = {"softmax": 1, "sigmoid": 2}


class Latent(Shape):
    """`deepseek32` chooses by an indexer which tokens a query sees.

    llama.cpp caches the latent vector, not the heads that are made of it: one key for all heads, as it counts them.
    """

    arch: Literal["deepseek2", "deepseek32"]
    intermediate_size: PositiveInt
    first_k_dense_replace: NonNegativeInt
    n_routed_experts: PositiveInt
    num_experts_per_tok: PositiveInt
    n_shared_experts: PositiveInt
    moe_intermediate_size: PositiveInt
    n_group: PositiveInt = 1
    topk_group: PositiveInt = 1
    routed_scaling_factor: PositiveFloat
    norm_topk_prob: bool = True
    scoring_func: Literal["sigmoid", "softmax"] = "sigmoid"
    q_lora_rank: PositiveInt
    kv_lora_rank: PositiveInt
    qk_nope_head_dim: PositiveInt
    qk_rope_head_dim: PositiveInt
    v_head_dim: PositiveInt
    index_n_heads: PositiveInt | None = None
    index_head_dim: PositiveInt | None = None
    index_topk: PositiveInt | None = None
    yarn: Yarn | None = None

    @model_validator(mode="after")
    def _has_its_indexer(self) -> Self:
        sizes = (self.index_n_heads, self.index_head_dim, self.index_topk)
        if (self.arch == "deepseek32") != all(sizes) or any(sizes) != all(sizes):
            raise ValueError("deepseek32, and no other, has an indexer: index_n_heads, index_head_dim, index_topk")
        return self

    def _keys(self) -> dict[str, Value]:
        keys = super()._keys() | {
            "feed_forward_length": self.intermediate_size,
            "leading_dense_block_count": self.first_k_dense_replace,
            "vocab_size": self.vocab_size,
            "attention.head_count_kv": 1,
            "attention.q_lora_rank": self.q_lora_rank,
            "attention.kv_lora_rank": self.kv_lora_rank,
            "attention.key_length": self.kv_lora_rank + self.qk_rope_head_dim,
            "attention.value_length": self.kv_lora_rank,
            "attention.key_length_mla": self.qk_nope_head_dim + self.qk_rope_head_dim,
            "attention.value_length_mla": self.v_head_dim,
            "rope.dimension_count": self.qk_rope_head_dim,
            "expert_count": self.n_routed_experts,
            "expert_used_count": self.num_experts_per_tok,
            "expert_shared_count": self.n_shared_experts,
            "expert_feed_forward_length": self.moe_intermediate_size,
            "expert_group_count": self.n_group,
            "expert_group_used_count": self.topk_group,
            "expert_weights_scale": self.routed_scaling_factor,
            "expert_weights_norm": self.norm_topk_prob,
            "expert_gating_func": _GATING[self.scoring_func],
        }
        if self.index_n_heads and self.index_head_dim and self.index_topk:
            keys["attention.indexer.head_count"] = self.index_n_heads
            keys["attention.indexer.key_length"] = self.index_head_dim
            keys["attention.indexer.top_k"] = self.index_topk
        if self.yarn:
            stretch = {key: value for key, value in self.yarn.keys().items() if key.startswith("rope.")}
            stretch["rope.scaling.yarn_log_multiplier"] = 0.1 * self.yarn.mscale_all_dim  # llama.cpp divides it again
            keys |= stretch
        return keys

    def _block(self, layer: int) -> Iterator[Weight]:
        hidden, n_heads = self.hidden_size, self.num_attention_heads
        yield norm("attn_norm", hidden)
        yield norm("ffn_norm", hidden)
        yield norm("attn_q_a_norm", self.q_lora_rank)
        yield norm("attn_kv_a_norm", self.kv_lora_rank)
        yield matrix("attn_q_a", hidden, self.q_lora_rank)
        yield matrix("attn_q_b", self.q_lora_rank, n_heads * (self.qk_nope_head_dim + self.qk_rope_head_dim))
        yield matrix("attn_kv_a_mqa", hidden, self.kv_lora_rank + self.qk_rope_head_dim)
        yield matrix("attn_k_b", self.qk_nope_head_dim, self.kv_lora_rank, n_heads)
        yield matrix("attn_v_b", self.kv_lora_rank, self.v_head_dim, n_heads)
        yield matrix("attn_output", n_heads * self.v_head_dim, hidden)
        if self.index_n_heads and self.index_head_dim:
            yield norm("indexer.k_norm", self.index_head_dim)
            yield bias("indexer.k_norm", self.index_head_dim)
            yield matrix("indexer.proj", hidden, self.index_n_heads)
            yield matrix("indexer.attn_k", hidden, self.index_head_dim)
            yield matrix("indexer.attn_q_b", self.q_lora_rank, self.index_n_heads * self.index_head_dim)
        if layer < self.first_k_dense_replace:
            yield from feed_forward(hidden, self.intermediate_size)
            return
        yield matrix("ffn_gate_inp", hidden, self.n_routed_experts)
        yield bias("exp_probs_b", self.n_routed_experts)
        yield from feed_forward(hidden, self.moe_intermediate_size, "_exps", self.n_routed_experts)
        yield from feed_forward(hidden, self.moe_intermediate_size * self.n_shared_experts, "_shexp")

    def _tiny(self) -> dict[str, Any]:
        sizes = super()._tiny() | {
            "num_hidden_layers": 3,
            "intermediate_size": 96,
            "first_k_dense_replace": 1,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 32,
            "n_group": 1,
            "topk_group": 1,
            "q_lora_rank": 32,
            "kv_lora_rank": 64,
            "qk_nope_head_dim": 32,
            "qk_rope_head_dim": 32,
            "v_head_dim": 32,
        }
        if self.arch == "deepseek32":
            sizes |= {"index_n_heads": 4, "index_head_dim": 64, "index_topk": 16}
        return sizes
