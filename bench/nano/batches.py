"""Batches of training: documents read from the shards, packed for a CPU or, in rows of one length, for a GPU.

Needs the `nano` extra.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bench.nano.attention import Blockwise, Rowwise, Sight

BATCH_STEP = 256  # a batch for a CPU is filled up to a multiple of it, so that there are few shapes of products
ROW = 3_072  # tokens of a row: what the longest document needs, and a multiple of what a GPU computes at once


class Document(NamedTuple):
    """A packed family as `bench.nano.corpus` stores it: three arrays of one length."""

    tokens: np.ndarray
    branch: np.ndarray
    learned: np.ndarray


class Batch(NamedTuple):
    """Packed documents: `tokens`, `targets` (-1: none) and `learned`, each (n,), and what each token sees."""

    tokens: Tensor
    sight: Sight
    targets: Tensor
    learned: Tensor
    n_tokens: int  # without what rows are filled up with


def stored(path: Path) -> Iterator[Document]:
    """The documents of one shard."""
    with np.load(path) as file:
        shard = dict(file)
    for start, end in itertools.pairwise((0, *shard["ends"].tolist())):
        yield Document(shard["tokens"][start:end], shard["branch"][start:end], shard["learned"][start:end])


def documents(folders: Sequence[Path], pattern: str, rank: int, n_ranks: int, seed: int) -> Iterator[Document]:
    """The documents of this rank's shards, from all folders, in random order, over and over.

    Raises FileNotFoundError when the folders have fewer shards than there are ranks.
    """
    paths = sorted(path for folder in folders for path in folder.glob(pattern))[rank::n_ranks]
    if not paths:
        raise FileNotFoundError(f"no {pattern} for rank {rank} in {', '.join(map(str, folders))}")
    mine = [document for path in paths for document in stored(path)]
    rng = np.random.default_rng(seed + rank)
    while True:
        for number in rng.permutation(len(mine)).tolist():
            yield mine[number]


def grouped(source: Iterable[Document], n_tokens: int) -> Iterator[list[Document]]:
    """As many documents at a time as have at most `n_tokens` tokens together."""
    group: list[Document] = []
    for document in source:
        if group and sum(len(each.tokens) for each in group) + len(document.tokens) > n_tokens:
            yield group
            group = []
        group.append(document)
    if group:
        yield group


def batches(source: Iterator[Document], n_tokens: int, device: torch.device) -> Iterator[Batch]:
    """Endless batches of at most `n_tokens` tokens, or of as many rows as hold so many, padding included."""
    if device.type == "cpu":
        yield from map(blockwise, grouped(source, n_tokens))
    else:
        rows = grouped(source, ROW)
        while True:
            yield rowwise(list(itertools.islice(rows, max(1, n_tokens // ROW))), ROW, device)


def blockwise(group: Sequence[Document]) -> Batch:
    """The documents one after another, and a last one that fills the batch up, of which nothing is learned."""
    n_tokens = sum(len(document.tokens) for document in group)
    fill = np.zeros(-n_tokens % BATCH_STEP, np.uint8)
    group = [*group, Document(fill, fill, fill.astype(bool))]
    tokens, branch, learned = (np.concatenate(parts) for parts in zip(*group, strict=True))
    targets, wanted = _targets(tokens, branch, learned)
    targets[n_tokens:] = -1
    return Batch(
        torch.from_numpy(tokens.astype(np.int64)),
        Blockwise(branch.tolist()),
        torch.from_numpy(targets),
        torch.from_numpy(wanted),
        n_tokens,
    )


def rowwise(rows: Sequence[Sequence[Document]], length: int, device: torch.device) -> Batch:
    """The documents of each row one after another, the row filled up to `length`."""
    shape = (len(rows), length)
    tokens, branch, number, positions = (np.zeros(shape, np.int64) for _ in range(4))
    targets, learned = np.full(shape, -1, np.int64), np.zeros(shape, bool)
    for row, group in enumerate(rows):
        done = 0
        for index, document in enumerate(group, start=1):
            span = slice(done, done + len(document.tokens))
            tokens[row, span], branch[row, span], number[row, span] = document.tokens, document.branch, index
            positions[row, span] = _positions(document.branch)
            targets[row, span], learned[row, span] = _targets(*document)
            done = span.stop
    there = [torch.from_numpy(array).to(device) for array in (tokens, number, branch, positions, targets, learned)]
    sight = Rowwise(there[1], there[2], there[3])
    n_tokens = sum(len(document.tokens) for group in rows for document in group)
    return Batch(there[0].flatten(), sight, there[4].flatten(), there[5].flatten(), n_tokens)


def _positions(branch: np.ndarray) -> np.ndarray:
    """Where each token of one document stands in its own conversation: a branch goes on from what is shared."""
    begins = np.flatnonzero(np.diff(branch, prepend=branch[0] + 1))
    within = np.arange(len(branch)) - np.repeat(begins, np.diff(begins, append=len(branch)))
    n_shared = int((branch == 0).sum())
    return within + np.where(branch == 0, 0, n_shared)


def _targets(tokens: np.ndarray, branch: np.ndarray, learned: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The next token is the target, but not across branches: what comes first in one is no consequence of another."""
    goes_on = branch[1:] == branch[:-1]
    targets, wanted = np.full(len(tokens), -1, np.int64), np.zeros(len(tokens), bool)
    targets[:-1] = np.where(goes_on, tokens[1:].astype(np.int64), -1)
    wanted[:-1] = learned[1:] & goes_on
    return targets, wanted
