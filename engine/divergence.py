"""Why two runs of the same prompt wrote different tokens: noise, segmentation, or something that nobody explained.

Kernels add numbers in an order that depends on the shape of the batch, so the last bits of logits differ between one
sequence and several, and between forced and unforced tokens; where two tokens are that close, the argmax may change.
And forced text is cut into tokens canonically, where the model might have cut it otherwise. Anything else is a bug.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

import numpy as np

from engine.llama import Context
from engine.sampler import Logits
from engine.vocabulary import Vocabulary

# The two runs may be off in opposite directions, and by a shape of batch that is not tried here.
_SAFETY: Final = 4.0
# Activations and caches are rounded to half precision somewhere in nearly every model.
_ROUNDING: Final = 2.0**-10
# Tokens that are decoded one by one to see how far that moves the logits.
_SINGLE: Final = 16


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where two runs part, and why. `margin`: between the two tokens' logits; `noise`: what kernels move them by."""

    position: int
    cause: Literal["noise", "segmentation", "unexplained"]
    margin: float
    noise: float


def explain(
    context: Context, prompt: Sequence[int], first: Sequence[int], second: Sequence[int], *, forced: bool = False
) -> Divergence | None:
    """Explain the first difference of two greedy runs; None if there is none. Takes the whole cache of `context`.

    `forced`: at least one of the runs appended forced tokens, so that they may have cut the same text differently.
    """
    position = _first_difference(first, second)
    if position is None:
        return None
    vocabulary = context.model.vocabulary()
    tokens = [*prompt, *first[:position]]
    logits = _logits(context, tokens)
    noise = _noise(context, tokens, logits)
    ours, theirs = _at(first, position, logits, vocabulary), _at(second, position, logits, vocabulary)
    margin = float(abs(logits[ours] - logits[theirs]))
    if margin <= _SAFETY * noise:
        return Divergence(position, "noise", margin, noise)
    pieces = vocabulary.pieces[ours], vocabulary.pieces[theirs]
    if forced and (pieces[0].startswith(pieces[1]) or pieces[1].startswith(pieces[0])):
        return Divergence(position, "segmentation", margin, noise)
    return Divergence(position, "unexplained", margin, noise)


def _first_difference(first: Sequence[int], second: Sequence[int]) -> int | None:
    for position, (ours, theirs) in enumerate(zip(first, second, strict=False)):
        if ours != theirs:
            return position
    return None if len(first) == len(second) else min(len(first), len(second))


def _at(tokens: Sequence[int], position: int, logits: Logits, vocabulary: Vocabulary) -> int:
    """The token there; where a run had ended, the likeliest token that ends it."""
    if position < len(tokens):
        return tokens[position]
    return max(vocabulary.eog, key=lambda token: (logits[token], -token))


def _noise(context: Context, tokens: Sequence[int], logits: Logits) -> float:
    """How far the logits move when the same tokens are decoded in batches of another shape."""
    others = [_logits(context, tokens, n_single=_SINGLE), _logits(context, tokens, n_first=len(tokens) // 2)]
    differences = [float(np.abs(logits - other).max()) for other in others]
    return max(*differences, _ROUNDING * float(np.abs(logits).max()))


def _logits(context: Context, tokens: Sequence[int], n_first: int = 0, n_single: int = 0) -> Logits:
    """The logits behind `tokens`; with the first `n_first` a batch ends, the last `n_single` are one each."""
    context.clear()
    batch = context.batch()
    n_whole = max(1, len(tokens) - n_single)
    starts = [*range(0, n_first, context.n_batch), *range(n_first, n_whole, context.n_batch)]
    starts += range(n_whole, len(tokens))
    for start, end in pairwise([*starts, len(tokens)]):
        batch.clear()
        row = batch.add(tokens[start:end], position=start, sequence=0, n_outputs=1)
        context.decode(batch)
        context.synchronize()
    return context.logits(row).copy()
