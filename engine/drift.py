"""How far one distribution over the next token is from another: the same weights before and after quantization.

    shift = compare(reference_logits, logits, token)
    shift.kl, shift.logp_before, shift.logp_after

Computed over the whole vocabulary in double precision; equal logits give exactly 0. The definitions are those of
llama.cpp's `llama-perplexity --kl-divergence`. Knows no model and no case.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from engine.errors import ToolgaugeError
from engine.sampler import Logits


@dataclass(frozen=True, slots=True)
class Shift:
    """One place in an answer, before (the reference level) and after. Probabilities are natural logarithms."""

    token: int  # the answer's
    kl: float  # KL(before || after) in nats
    logp_before: float  # of the answer's token
    logp_after: float
    best_before: int  # the likeliest token
    best_after: int
    rank_before: int  # how many tokens are likelier than the answer's
    rank_after: int

    @property
    def agrees(self) -> bool:
        """Whether the likeliest token is still the same."""
        return self.best_before == self.best_after

    @property
    def is_flip(self) -> bool:
        """The answer's token was the likeliest, and is no longer: greedy decoding now goes wrong here."""
        return self.best_before == self.token != self.best_after

    @property
    def is_rescue(self) -> bool:
        """The other way round."""
        return self.best_before != self.token == self.best_after


def compare(before: Logits, after: Logits, token: int) -> Shift:
    """The shift of one row of logits. Raises `ToolgaugeError` where one holds what is no number."""
    first, second = before.astype(np.float64), after.astype(np.float64)
    with np.errstate(invalid="ignore"):  # told below
        first -= first.max()
        second -= second.max()
        weights = np.exp(first)
        mass, mass_after = float(weights.sum()), float(np.exp(second).sum())
        logp_before, logp_after = first[token] - math.log(mass), second[token] - math.log(mass_after)
        first -= second
        first[weights == 0.0] = 0.0  # what cannot come does not count, even where it is infinitely unlikely
        kl = float(weights @ first) / mass + math.log(mass_after) - math.log(mass)
    if not math.isfinite(kl):
        raise ToolgaugeError("the model's logits are no numbers (infinite, or NaN)")
    return Shift(
        token=token,
        kl=max(0.0, kl),  # which rounding can push below
        logp_before=float(logp_before),
        logp_after=float(logp_after),
        best_before=int(before.argmax()),
        best_after=int(after.argmax()),
        rank_before=int(np.count_nonzero(before > before[token])),
        rank_after=int(np.count_nonzero(after > after[token])),
    )
