"""The bundled model in PyTorch: a small Qwen3 (QK-norm, SwiGLU, RoPE, tied embeddings), as llama.cpp computes it.

Needs the `nano` extra (`pip install toolgauge[nano]`); nothing at run time imports this.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EMBEDDING_STD = 0.5


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes; all rows are multiples of 256, so that every k-quant applies."""

    n_vocab: int = 2048
    n_layers: int = 5
    d_model: int = 256
    n_heads: int = 4
    d_head: int = 64
    d_ff: int = 512
    n_ctx: int = 2048
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6


class RMSNorm(nn.Module):
    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(size)), eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


class Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape, width = shape, shape.n_heads * shape.d_head
        self.attn_norm = RMSNorm(shape.d_model, shape.norm_eps)
        self.qkv = nn.Linear(shape.d_model, 3 * width, bias=False)
        self.q_norm = RMSNorm(shape.d_head, shape.norm_eps)
        self.k_norm = RMSNorm(shape.d_head, shape.norm_eps)
        self.out = nn.Linear(width, shape.d_model, bias=False)
        self.ffn_norm = RMSNorm(shape.d_model, shape.norm_eps)
        self.gate_up = nn.Linear(shape.d_model, 2 * shape.d_ff, bias=False)
        self.down = nn.Linear(shape.d_ff, shape.d_model, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q, k, v = (
            self.qkv(self.attn_norm(x))
            .view(batch, length, 3, self.shape.n_heads, self.shape.d_head)
            .transpose(1, 3)
            .unbind(2)
        )
        q, k = _rotate(self.q_norm(q), cos, sin), _rotate(self.k_norm(k), cos, sin)
        attended = _attention(q, k, v)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, length, -1))
        gate, up = self.gate_up(self.ffn_norm(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


def _attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention by plain matrix products: on a CPU, forwards and backwards, faster than PyTorch's own."""
    length = q.shape[2]
    later = torch.ones(length, length, dtype=torch.bool, device=q.device).triu(1)
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    return scores.masked_fill(later, float("-inf")).softmax(-1) @ v


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE in the half-split layout (NEOX), which is what the `qwen3` architecture uses."""
    length, half = x.shape[2], x.shape[3] // 2
    a, b = x[..., :half], x[..., half:]
    c, s = cos[:length], sin[:length]
    return torch.cat((a * c - b * s, b * c + a * s), dim=-1)


class NanoModel(nn.Module):
    """Logits are taken only at the positions asked for: most tokens of a conversation are not learned."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.n_vocab, shape.d_model)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.n_layers))
        self.norm = RMSNorm(shape.d_model, shape.norm_eps)
        inverse = shape.rope_theta ** -(torch.arange(0, shape.d_head, 2).float() / shape.d_head)
        angles = torch.outer(torch.arange(shape.n_ctx).float(), inverse)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        """Embeddings large enough that a rare word is not drowned by what the blocks add to it; logits of order one."""
        for name, parameter in self.named_parameters():
            if name.endswith(("out.weight", "down.weight")):
                nn.init.zeros_(parameter)
            elif parameter.ndim == 2:
                nn.init.normal_(parameter, std=EMBEDDING_STD if "embedding" in name else parameter.shape[1] ** -0.5)
        nn.init.constant_(self.norm.weight, 1 / (EMBEDDING_STD * self.shape.d_model**0.5))

    def forward(self, tokens: Tensor, wanted: Tensor) -> Tensor:
        """`tokens` int64 (batch, length); `wanted` int64 (n,), flat positions. Returns logits (n, n_vocab)."""
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, self.cos.to(x.dtype), self.sin.to(x.dtype))
        picked = self.norm(x.flatten(0, 1).index_select(0, wanted))
        return F.linear(picked, self.embedding.weight)
