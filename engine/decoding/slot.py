"""One answer of a batch: what is still to be decoded for it, where it stands in cache and batch. Decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.constraint.protocol import Mask
from engine.decoding.answer import Answer
from engine.decoding.moments import Decode
from engine.decoding.prefix import Prefix


@dataclass(slots=True, eq=False)
class Slot:
    """An answer in the making, and where its tokens stand in the cache."""

    sequence: int
    answer: Answer
    submitted_s: float
    prefix: Prefix | None
    n_cached: int
    pending: Sequence[int] | NDArray[np.int32]  # not decoded yet
    n_past: int = 0
    n_batched: int = 0  # of `pending`, in the current batch
    rows: range = range(0)  # positions in the current batch with logits for this answer
    draft: list[tuple[list[int], int]] = field(default_factory=list)  # behind `pending`, with the last one's position
    best: list[int] = field(default_factory=list)  # free choices behind the tokens decoded since the last `advance`
    mask: Future[Mask] | None = None
    prefill_s: float = 0.0
    decodes: list[Decode] = field(default_factory=list)

    @property
    def writing(self) -> bool:
        return bool(self.answer.tokens)
