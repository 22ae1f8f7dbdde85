"""Mixtures of experts with ordinary attention: Qwen3's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import PositiveInt

from engine.shapes.base import Grouped, Value, Weight, feed_forward, matrix, norm
from engine.shapes.dense import attention


class Qwen3Moe(Grouped):
    arch: Literal["qwen3moe"]
    intermediate_size: PositiveInt  # of a dense layer, of which there is none
    num_experts: PositiveInt
    num_experts_per_tok: PositiveInt
    moe_intermediate_size: PositiveInt

    def _keys(self) -> dict[str, Value]:
        return super()._keys() | {
            "feed_forward_length": self.intermediate_size,
            "expert_count": self.num_experts,
            "expert_used_count": self.num_experts_per_tok,
            "expert_feed_forward_length": self.moe_intermediate_size,
        }

    def _block(self, layer: int) -> Iterator[Weight]:
        hidden = self.hidden_size
        yield norm("attn_norm", hidden)
        yield norm("ffn_norm", hidden)
        yield from attention(self, normed=True)
        yield matrix("ffn_gate_inp", hidden, self.num_experts)
        yield from feed_forward(hidden, self.moe_intermediate_size, "_exps", self.num_experts)

    def _tiny(self) -> dict[str, Any]:
        return super()._tiny() | TINY_EXPERTS | {"intermediate_size": 96}


TINY_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
