"""Causal attention over packed documents: a shared stretch, then branches that see it and themselves.

Twice the same function. `Blockwise`, for a CPU, computes only what is seen: no score between two branches and none of
padding; plain matrix products, forwards and backwards, are faster there than PyTorch's own attention. `Rowwise`, for a
GPU, computes every score of a row of documents in one masked product. Needs the `nano` extra.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

LONGEST_BLOCK = 512  # queries
KEY_STEP = 128


class Sight(Protocol):
    """What each of n packed tokens sees, and where it stands in its own conversation."""

    positions: Tensor  # int64 (n,)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, wanted: Tensor | None = None) -> Tensor:
        """`q`, already scaled, `k` and `v` (heads, n, size); for all queries or those at `wanted`, ascending."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch `own` of tokens, as (start, end), that sees the stretch `shared` and, causally, itself."""

    shared: tuple[int, int]
    own: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Block:
    """One product: these queries (start, end) over a segment's keys, both filled up with zeros to `n_rows`, `n_keys`.

    `unseen` (n_rows, m) are masked of the last m keys. Each shape of a product has a kernel of its own, which takes
    longer to make than to run: filled up, they are few.
    """

    queries: tuple[int, int]
    segment: Segment
    n_rows: int
    n_keys: int
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
    """What to compute for all queries, or for those of the positions `wanted`, ascending, and for no others.

    A long stretch is cut into several blocks: the earlier queries of it need none of its later keys.
    """
    blocks, done = [], 0
    for shared, (start, end) in ((segment.shared, segment.own) for segment in segments):
        for first in range(start, end, LONGEST_BLOCK):
            last = min(first + LONGEST_BLOCK, end)
            if wanted is None:
                rows = torch.arange(first, last)
            else:
                rows = wanted[slice(*torch.searchsorted(wanted, torch.tensor([first, last])).tolist())]
            if len(rows):
                n_before = shared[1] - shared[0] + first - start  # keys that all of these queries see
                n_rows, n_keys = (
                    filled(len(rows), 32 if len(rows) <= 128 else 128),
                    filled(n_before + last - first, KEY_STEP),
                )
                queries = F.pad(rows, (0, n_rows - len(rows)), value=last - 1)
                unseen = torch.arange(first, first + n_keys - n_before)[None, :] > queries[:, None]
                segment = Segment(shared, (start, last))
                blocks.append(Block((done, done + len(rows)), segment, n_rows, n_keys, unseen))
            done += len(rows)
    return blocks


def filled(length: int, step: int) -> int:
    """The next multiple."""
    return -(-length // step) * step


def attention(q: Tensor, k: Tensor, v: Tensor, blocks: list[Block]) -> Tensor:
    """`q` (heads, queries, size), already scaled; `k` and `v` (heads, tokens, size). Returns the shape of `q`."""
    out: Tensor = _Attention.apply(q, k, v, blocks)
    return out


class Blockwise:
    """The documents one after another, one product for each stretch of each."""

    def __init__(self, branch: list[int]) -> None:
        self._segments = segments_of(branch)
        self._everywhere = blocks_of(self._segments)
        self.positions = positions_of(self._segments)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, wanted: Tensor | None = None) -> Tensor:
        if wanted is None:
            return attention(q, k, v, self._everywhere)
        return attention(q.index_select(1, wanted), k, v, blocks_of(self._segments, wanted))


class Rowwise:
    """Documents in rows of one length: `document` and `branch` int64 (rows, length), `positions` of the same shape.

    What a row is filled up with is a document of its own, so that it sees something and nothing sees it.
    """

    def __init__(self, document: Tensor, branch: Tensor, positions: Tensor) -> None:
        together = document[:, :, None] == document[:, None, :]
        related = (branch[:, None, :] == 0) | (branch[:, :, None] == branch[:, None, :])
        self._seen = (together & related).tril()[:, None]
        self.positions = positions.flatten()

    def attend(self, q: Tensor, k: Tensor, v: Tensor, wanted: Tensor | None = None) -> Tensor:
        n_rows, _, length, _ = self._seen.shape
        rows = (x.unflatten(1, (n_rows, length)).transpose(0, 1) for x in (q, k, v))
        attended = F.scaled_dot_product_attention(*rows, attn_mask=self._seen, scale=1.0)
        flat = attended.transpose(0, 1).flatten(1, 2)
        return flat if wanted is None else flat.index_select(1, wanted)


def _rows(x: Tensor, block: Block) -> Tensor:
    part = x[:, slice(*block.queries)]
    return F.pad(part, (0, 0, 0, block.n_rows - part.shape[1]))


def _seen(x: Tensor, block: Block) -> Tensor:
    parts = [x[:, slice(*block.segment.shared)], x[:, slice(*block.segment.own)]]
    n_missing = block.n_keys - sum(part.shape[1] for part in parts)
    return torch.cat((*parts, x.new_zeros(x.shape[0], n_missing, x.shape[2])), 1)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, blocks: list[Block]) -> Tensor:
        out, weights = torch.empty_like(q), []
        for block in blocks:
            scores = _rows(q, block) @ _seen(k, block).transpose(1, 2)
            scores[:, :, block.n_keys - block.unseen.shape[1] :].masked_fill_(block.unseen, float("-inf"))
            weights.append(scores.softmax(-1))
            _put(out, weights[-1] @ _seen(v, block), block)
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
            given = _rows(d_out, block)
            d_weight = given @ _seen(v, block).transpose(1, 2)
            d_scores = torch._softmax_backward_data(d_weight, weight, -1, weight.dtype)
            _put(d_q, d_scores @ _seen(k, block), block)
            _add(d_k, d_scores.transpose(1, 2) @ _rows(q, block), block.segment)
            _add(d_v, weight.transpose(1, 2) @ given, block.segment)
        return d_q, d_k.to(k.dtype), d_v.to(v.dtype), None


def _put(whole: Tensor, part: Tensor, block: Block) -> None:
    start, end = block.queries
    whole[:, start:end] = part[:, : end - start]


def _add(total: Tensor, part: Tensor, segment: Segment) -> None:
    done = 0
    for start, end in (segment.shared, segment.own):
        total[:, start:end] += part[:, done : done + end - start]
        done += end - start
