"""Causal attention over packed documents: a shared stretch, then branches that see it and themselves.

Computes only what is seen: no score between two branches and none of padding. On a CPU plain matrix products, forwards
and backwards, are faster than PyTorch's own attention. Needs the `nano` extra.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch `own` of tokens, as (start, end), that sees the stretch `shared` and, causally, itself."""

    shared: tuple[int, int]
    own: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Block:
    """One product: these queries (start, end) over a segment's keys, of which those in `unseen` are masked."""

    queries: tuple[int, int]
    segment: Segment
    unseen: Tensor


def segments_of(branch: list[int]) -> list[Segment]:
    """The segments of documents one after another, by each token's branch: 0 begins a document, 1, 2, ... follow."""
    edges = [0, *(i for i in range(1, len(branch)) if branch[i] != branch[i - 1]), len(branch)]
    segments: list[Segment] = []
    shared = (0, 0)
    for start, end in itertools.pairwise(edges):
        if branch[start] == 0:
            shared = (start, end)
            segments.append(Segment((start, start), shared))
        else:
            segments.append(Segment(shared, (start, end)))
    return segments


def positions_of(segments: list[Segment]) -> Tensor:
    """Where each token stands in its own conversation: every branch goes on from the end of what is shared."""
    parts = []
    for segment in segments:
        before = segment.shared[1] - segment.shared[0]
        parts.append(torch.arange(before, before + segment.own[1] - segment.own[0]))
    return torch.cat(parts)


def blocks_of(segments: list[Segment], wanted: Tensor | None = None) -> list[Block]:
    """What to compute for all queries, or for those of the positions `wanted`, ascending, and for no others."""
    blocks, done = [], 0
    for segment in segments:
        start, end = segment.own
        if wanted is None:
            rows = torch.arange(end - start)
        else:
            first, last = torch.searchsorted(wanted, torch.tensor([start, end])).tolist()
            rows = wanted[first:last] - start
        if len(rows):
            unseen = torch.arange(end - start)[None, :] > rows[:, None]
            blocks.append(Block((done, done + len(rows)), segment, unseen))
        done += len(rows)
    return blocks


def attention(q: Tensor, k: Tensor, v: Tensor, blocks: list[Block]) -> Tensor:
    """`q` (heads, queries, size), already scaled; `k` and `v` (heads, tokens, size). Returns the shape of `q`."""
    out: Tensor = _Attention.apply(q, k, v, blocks)
    return out


def _seen(x: Tensor, segment: Segment) -> Tensor:
    (shared, shared_end), (own, own_end) = segment.shared, segment.own
    if shared == shared_end or shared_end == own:
        return x[:, shared if shared < shared_end else own : own_end]
    return torch.cat((x[:, shared:shared_end], x[:, own:own_end]), 1)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, blocks: list[Block]) -> Tensor:
        out, weights = torch.empty_like(q), []
        for block in blocks:
            rows = slice(*block.queries)
            scores = q[:, rows] @ _seen(k, block.segment).transpose(1, 2)
            scores[:, :, scores.shape[2] - block.unseen.shape[1] :].masked_fill_(block.unseen, float("-inf"))
            weights.append(scores.softmax(-1))
            out[:, rows] = weights[-1] @ _seen(v, block.segment)
        ctx.save_for_backward(q, k, v, *weights)
        ctx.blocks = blocks
        return out

    @staticmethod
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, *weights = ctx.saved_tensors
        # A shared key has a gradient from every branch: summed in more bits than each has.
        wide = torch.promote_types(k.dtype, torch.float32)
        d_q, d_k, d_v = torch.empty_like(q), torch.zeros_like(k, dtype=wide), torch.zeros_like(v, dtype=wide)
        for block, weight in zip(ctx.blocks, weights, strict=True):
            rows = slice(*block.queries)
            given = d_out[:, rows]
            d_weight = given @ _seen(v, block.segment).transpose(1, 2)
            d_scores = torch._softmax_backward_data(d_weight, weight, -1, weight.dtype)
            d_q[:, rows] = d_scores @ _seen(k, block.segment)
            _add(d_k, d_scores.transpose(1, 2) @ q[:, rows], block.segment)
            _add(d_v, weight.transpose(1, 2) @ given, block.segment)
        return d_q, d_k.to(k.dtype), d_v.to(v.dtype), None


def _add(total: Tensor, part: Tensor, segment: Segment) -> None:
    n_shared = segment.shared[1] - segment.shared[0]
    total[:, slice(*segment.shared)] += part[:, :n_shared]
    total[:, slice(*segment.own)] += part[:, n_shared:]
