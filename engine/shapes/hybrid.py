"""Recurrent layers with attention between them: Qwen3-Next and Qwen3.5 (gated delta nets), Nemotron-H (Mamba 2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from engine.shapes.base import Grouped, Value, Weight, bias, feed_forward, matrix, norm
from engine.shapes.dense import attention
from engine.shapes.experts import TINY_EXPERTS


class DeltaNet(Grouped):
    """Three layers with a gated delta net, then one with gated attention.

    Dense (`intermediate_size`) in `qwen35`, with experts and a shared one in `qwen35moe` and `qwen3next`.
    """

    arch: Literal["qwen35", "qwen35moe", "qwen3next"]
    intermediate_size: PositiveInt | None = None
    num_experts: PositiveInt | None = None
    num_experts_per_tok: PositiveInt | None = None
    moe_intermediate_size: PositiveInt | None = None
    shared_expert_intermediate_size: PositiveInt | None = None
    linear_num_key_heads: PositiveInt
    linear_num_value_heads: PositiveInt
    linear_key_head_dim: PositiveInt
    linear_value_head_dim: PositiveInt
    linear_conv_kernel_dim: PositiveInt = 4
    full_attention_interval: PositiveInt = 4
    partial_rotary_factor: PositiveFloat = 0.25
    mrope_section: tuple[int, ...] = (11, 11, 10)

    @model_validator(mode="after")
    def _is_dense_or_has_experts(self) -> Self:
        sizes = (self.num_experts, self.num_experts_per_tok, self.moe_intermediate_size)
        if self.arch == "qwen35" and (self.intermediate_size is None or any(sizes)):
            raise ValueError("qwen35 is dense: give intermediate_size, and no experts")
        if self.arch != "qwen35" and not (all(sizes) and self.shared_expert_intermediate_size):
            raise ValueError(f"{self.arch} has experts: give their number, how many are used, and their sizes")
        if self.linear_key_head_dim != self.linear_value_head_dim:
            raise ValueError("llama.cpp knows delta nets only with keys and values of one size")
        return self

    def is_recurrent(self, layer: int) -> bool:
        return (layer + 1) % self.full_attention_interval != 0

    def _keys(self) -> dict[str, Value]:
        keys = super()._keys() | {
            "rope.dimension_count": round(self.head_dim * self.partial_rotary_factor),
            "ssm.conv_kernel": self.linear_conv_kernel_dim,
            "ssm.state_size": self.linear_key_head_dim,
            "ssm.group_count": self.linear_num_key_heads,
            "ssm.time_step_rank": self.linear_num_value_heads,
            "ssm.inner_size": self.linear_value_head_dim * self.linear_num_value_heads,
            "full_attention_interval": self.full_attention_interval,
        }
        if self.arch != "qwen3next":
            keys["rope.dimension_sections"] = [*self.mrope_section, 0]
        if self.intermediate_size:
            keys["feed_forward_length"] = self.intermediate_size
        if self.num_experts and self.num_experts_per_tok and self.moe_intermediate_size:
            keys["expert_count"] = self.num_experts
            keys["expert_used_count"] = self.num_experts_per_tok
            keys["expert_feed_forward_length"] = self.moe_intermediate_size
            keys["expert_shared_feed_forward_length"] = self.shared_expert_intermediate_size or 0
        return keys

    def _block(self, layer: int) -> Iterator[Weight]:
        hidden = self.hidden_size
        yield norm("attn_norm", hidden)
        yield norm("post_attention_norm", hidden)
        if self.is_recurrent(layer):
            yield from self._delta_net()
        else:
            yield from attention(self, normed=True, gated=True)
        if self.num_experts and self.moe_intermediate_size and self.shared_expert_intermediate_size:
            yield matrix("ffn_gate_inp", hidden, self.num_experts)
            yield from feed_forward(hidden, self.moe_intermediate_size, "_exps", self.num_experts)
            yield Weight("ffn_gate_inp_shexp.weight", (hidden,))
            yield from feed_forward(hidden, self.shared_expert_intermediate_size, "_shexp")
        elif self.intermediate_size:
            yield from feed_forward(hidden, self.intermediate_size)

    def _delta_net(self) -> Iterator[Weight]:
        hidden, n_heads = self.hidden_size, self.linear_num_value_heads
        keys = self.linear_key_head_dim * self.linear_num_key_heads
        values = self.linear_value_head_dim * n_heads
        yield matrix("attn_qkv", hidden, 2 * keys + values)
        yield matrix("attn_gate", hidden, values)
        yield matrix("ssm_conv1d", self.linear_conv_kernel_dim, 2 * keys + values)
        yield bias("ssm_dt", n_heads)
        yield Weight("ssm_a", (n_heads,), "decay")
        if self.arch == "qwen3next":
            yield matrix("ssm_ba", hidden, 2 * n_heads)
        else:
            yield matrix("ssm_beta", hidden, n_heads)
            yield matrix("ssm_alpha", hidden, n_heads)
        yield norm("ssm_norm", self.linear_value_head_dim)
        yield matrix("ssm_out", values, hidden)

    def _least_layers(self) -> tuple[int, str]:
        least = self.full_attention_interval
        return least, f"up to layer {least - 1} all are recurrent"

    def _tiny(self) -> dict[str, Any]:
        sizes: dict[str, Any] = {
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 16,
            "linear_value_head_dim": 16,
            "full_attention_interval": 2,
            "mrope_section": (2, 1, 1),
        }
        if self.arch == "qwen35":
            return super()._tiny() | sizes | {"intermediate_size": 96}
        return super()._tiny() | sizes | TINY_EXPERTS | {"shared_expert_intermediate_size": 32}


class NemotronH(Grouped):
    """One kind of layer at a time, spelled in `hybrid_override_pattern`.

    M is Mamba 2, * attention, - a feed-forward of two matrices, E experts with a shared one; no positions anywhere.
    """

    arch: Literal["nemotron_h", "nemotron_h_moe"]
    hybrid_override_pattern: str = Field(pattern=r"^[M*E-]+$")
    intermediate_size: PositiveInt | None = None
    n_routed_experts: PositiveInt | None = None
    num_experts_per_tok: PositiveInt | None = None
    n_shared_experts: PositiveInt = 1
    moe_intermediate_size: PositiveInt | None = None
    moe_shared_expert_intermediate_size: PositiveInt | None = None
    routed_scaling_factor: PositiveFloat = 1.0
    mamba_num_heads: PositiveInt
    mamba_head_dim: PositiveInt
    ssm_state_size: PositiveInt
    n_groups: PositiveInt
    conv_kernel: PositiveInt = 4

    @model_validator(mode="after")
    def _pattern_and_sizes_agree(self) -> Self:
        if len(self.hybrid_override_pattern) != self.num_hidden_layers:
            raise ValueError(f"the pattern has {len(self.hybrid_override_pattern)} layers")
        if (self.arch == "nemotron_h") == ("E" in self.hybrid_override_pattern):
            raise ValueError("layers of experts (E) belong to nemotron_h_moe, and it has some")
        sizes = (self.n_routed_experts, self.num_experts_per_tok, self.moe_intermediate_size)
        if "E" in self.hybrid_override_pattern and not (all(sizes) and self.moe_shared_expert_intermediate_size):
            raise ValueError("give the number of experts, how many are used, and their sizes")
        if "-" in self.hybrid_override_pattern and self.intermediate_size is None:
            raise ValueError("give intermediate_size")
        return self

    @property
    def inner(self) -> int:
        return self.mamba_num_heads * self.mamba_head_dim

    def _keys(self) -> dict[str, Value]:
        pattern = self.hybrid_override_pattern
        inner = {"-": self.intermediate_size or 0, "E": self.moe_intermediate_size or 0}
        keys = super()._keys() | {
            "feed_forward_length": [inner.get(kind, 0) for kind in pattern],
            "attention.head_count_kv": [self.num_key_value_heads if kind == "*" else 0 for kind in pattern],
            "attention.layer_norm_epsilon": self.rms_norm_eps,
            "rope.dimension_count": self.head_dim,
            "ssm.conv_kernel": self.conv_kernel,
            "ssm.state_size": self.ssm_state_size,
            "ssm.group_count": self.n_groups,
            "ssm.inner_size": self.inner,
            "ssm.time_step_rank": self.mamba_num_heads,
        }
        del keys["rope.freq_base"]
        if self.n_routed_experts and self.num_experts_per_tok:
            keys |= {
                "expert_count": self.n_routed_experts,
                "expert_used_count": self.num_experts_per_tok,
                "expert_shared_count": self.n_shared_experts,
                "expert_feed_forward_length": self.moe_intermediate_size or 0,
                "expert_shared_feed_forward_length": self.moe_shared_expert_intermediate_size or 0,
                "expert_weights_norm": True,
                "expert_weights_scale": self.routed_scaling_factor,
            }
        return keys

    def _block(self, layer: int) -> Iterator[Weight]:
        hidden = self.hidden_size
        yield norm("attn_norm", hidden)
        kind = self.hybrid_override_pattern[layer]
        if kind == "M":
            yield from self._mamba()
        elif kind == "*":
            yield from attention(self)
        elif kind == "-" and self.intermediate_size:
            yield matrix("ffn_up", hidden, self.intermediate_size)
            yield matrix("ffn_down", self.intermediate_size, hidden)
        elif self.n_routed_experts and self.moe_intermediate_size and self.moe_shared_expert_intermediate_size:
            yield matrix("ffn_gate_inp", hidden, self.n_routed_experts)
            yield bias("exp_probs_b", self.n_routed_experts)
            yield matrix("ffn_up_exps", hidden, self.moe_intermediate_size, self.n_routed_experts)
            yield matrix("ffn_down_exps", self.moe_intermediate_size, hidden, self.n_routed_experts)
            yield matrix("ffn_up_shexp", hidden, self.moe_shared_expert_intermediate_size)
            yield matrix("ffn_down_shexp", self.moe_shared_expert_intermediate_size, hidden)

    def _mamba(self) -> Iterator[Weight]:
        states = self.n_groups * self.ssm_state_size
        yield matrix("ssm_in", self.hidden_size, 2 * self.inner + 2 * states + self.mamba_num_heads)
        yield matrix("ssm_conv1d", self.conv_kernel, self.inner + 2 * states)
        yield bias("ssm_conv1d", self.inner + 2 * states)
        yield bias("ssm_dt", self.mamba_num_heads)
        yield Weight("ssm_a", (1, self.mamba_num_heads), "decay")
        yield Weight("ssm_d", (1, self.mamba_num_heads), "ones")
        yield norm("ssm_norm", self.inner // self.n_groups, self.n_groups)
        yield matrix("ssm_out", self.inner, self.hidden_size)

    def _least_layers(self) -> tuple[int, str]:
        needed = {"*": "is no attention"}
        if self.arch == "nemotron_h_moe":
            needed["E"] = "are no experts"
        before, what = max((self.hybrid_override_pattern.find(kind), what) for kind, what in needed.items())
        return before + 1, f"up to layer {before} there {what}"

    def _cut(self, n_layers: int) -> dict[str, Any]:
        return super()._cut(n_layers) | {"hybrid_override_pattern": self.hybrid_override_pattern[:n_layers]}

    def _tiny(self) -> dict[str, Any]:
        sizes: dict[str, Any] = {
            "num_hidden_layers": 4,
            "mamba_num_heads": 4,
            "mamba_head_dim": 32,
            "ssm_state_size": 16,
            "n_groups": 2,
        }
        if self.arch == "nemotron_h":
            return super()._tiny() | sizes | {"hybrid_override_pattern": "M-*-", "intermediate_size": 96}
        experts = {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
        experts["moe_shared_expert_intermediate_size"] = 64
        return super()._tiny() | sizes | {"hybrid_override_pattern": "ME*E"} | experts
