"""Logits, and what a constraint allows, to one token. Numpy only; knows no model, no text and no batch.

Greedy decoding takes the argmax and asks the constraint about that one token; only if it is refused is the best
allowed token looked for. That is lossless, and in the common case costs microseconds. With a temperature the filters
are applied in llama.cpp's order: top-k, top-p, temperature, on the distribution that the constraint has left over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from engine.constraint.protocol import Constraint, Mask
from engine.errors import ToolgaugeError
from engine.types import Sampling
from engine.vocabulary import Vocabulary

Logits = NDArray[np.float32]
Allowed = NDArray[np.bool_]

# How many of the likeliest tokens are shown to a constraint that checks candidates, before all of them are.
_CANDIDATES: Final = (64, 1024)
# Lower than any logit, and still a number in single precision with a logit added to it.
_FAR_BELOW: Final = 3e38


@runtime_checkable
class CandidateChecker(Protocol):
    """A constraint for which a few tokens are far cheaper to check than all of them (llama.cpp's grammars)."""

    def check(self, candidates: NDArray[np.int32]) -> NDArray[np.bool_]: ...


@dataclass(frozen=True, slots=True)
class Pick:
    """The token that was chosen under a constraint; None when none is allowed."""

    token: int | None
    intervened: bool = False  # the free argmax was not allowed
    removed_mass: float | None = None  # probability of everything that was not allowed; None: not measured


class Workspace:
    """Buffers of vocabulary size, shared by all samplers of one thread."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.n_vocab = vocabulary.n_tokens
        self.suppressed = np.array(sorted(vocabulary.suppressed), dtype=np.intp)
        self.all_tokens = np.arange(self.n_vocab, dtype=np.int32)
        self.floats = np.empty(self.n_vocab, dtype=np.float32)
        self.kept = np.empty(self.n_vocab, dtype=np.float32)
        self.ones = np.ones(self.n_vocab, dtype=np.float32)


class Sampler:
    """Chooses the tokens of one answer. Its random numbers depend on the request's seed and on nothing else."""

    def __init__(self, sampling: Sampling, workspace: Workspace) -> None:
        self._sampling = sampling
        self._space = workspace
        self._greedy = sampling.temperature <= 0
        self._random = np.random.default_rng(sampling.seed)

    @property
    def needs_mask(self) -> bool:
        """A temperature needs to know everything that is allowed, an argmax only whether it is."""
        return not self._greedy

    def best(self, logits: Logits) -> int:
        """The free argmax. Also takes the suppressed tokens out of `logits`, in place."""
        if len(self._space.suppressed):
            logits[self._space.suppressed] = -np.inf
        token = int(logits.argmax())
        if not np.isfinite(logits[token]):  # argmax of an array with NaN is the NaN
            raise ToolgaugeError("the model's logits are not numbers: its file or this backend is broken for it")
        return token

    def free(self, logits: Logits) -> int:
        """A token without any constraint."""
        best = self.best(logits)
        return best if self._greedy else self._draw(logits, self._space.all_tokens)

    def constrained(
        self, logits: Logits, constraint: Constraint, mask: Mask | None = None, *, measure: bool = False
    ) -> Pick:
        """A token that `constraint` allows. `mask`: its mask, if known already; `measure`: the removed mass too."""
        best = self.best(logits)
        if not (measure or self.needs_mask):
            if _has(mask, best) if mask is not None else constraint.allows(best):
                return Pick(best)
            if mask is None and isinstance(constraint, CandidateChecker):
                return Pick(self._best_candidate(logits, constraint), intervened=True)
        allowed = self._unpack(constraint.mask() if mask is None else mask)
        removed = self._removed_mass(logits, allowed, best) if measure else None
        if self._greedy and allowed[best]:
            return Pick(best, removed_mass=removed)
        return Pick(self._choose(logits, allowed), not allowed[best], removed)

    def _choose(self, logits: Logits, allowed: Allowed) -> int | None:
        if self._greedy:
            return self._best_allowed(logits, allowed)
        tokens = np.flatnonzero(allowed)
        if not len(tokens) or not np.isfinite(logits[tokens].max()):
            return None
        return self._draw(logits, tokens)

    def _unpack(self, mask: Mask) -> Allowed:
        return np.unpackbits(mask.view(np.uint8), count=self._space.n_vocab, bitorder="little").view(np.bool_)

    def _best_allowed(self, logits: Logits, allowed: Allowed) -> int | None:
        # Arithmetic rather than a selection: at random masks the branches of a selection cost fifty times as much.
        masked = self._space.floats
        np.copyto(masked, allowed)
        masked -= 1
        masked *= _FAR_BELOW
        masked += logits
        token = int(masked.argmax())
        return token if allowed[token] and np.isfinite(logits[token]) else None

    def _best_candidate(self, logits: Logits, checker: CandidateChecker) -> int | None:
        """The allowed token with the largest logit, the lowest id among equals, as `_best_allowed` finds it."""
        for n_candidates in _CANDIDATES:
            if n_candidates >= len(logits):
                break
            candidates = np.argpartition(logits, -n_candidates)[-n_candidates:].astype(np.int32)
            values = logits[candidates]
            order = np.lexsort((candidates, -values))
            allowed = np.flatnonzero(checker.check(candidates[order]))
            # the last place may be shared with tokens that were cut off: only a better one is certain
            if len(allowed) and values[order[allowed[0]]] > values.min():
                return int(candidates[order[allowed[0]]])
        return self._best_allowed(logits, checker.check(self._space.all_tokens))

    def _removed_mass(self, logits: Logits, allowed: Allowed, best: int) -> float:
        weights, kept = self._space.floats, self._space.kept
        np.subtract(logits, logits[best], out=weights)
        np.exp(weights, out=weights)
        np.copyto(kept, allowed)
        # summed the same way, so that they are equal where everything is allowed
        return max(0.0, 1.0 - float(weights @ kept) / float(weights @ self._space.ones))

    def _draw(self, logits: Logits, tokens: NDArray[np.signedinteger]) -> int:
        """One of `tokens` (ascending), by top-k, top-p and temperature. Takes exactly one random number."""
        sampling, uniform = self._sampling, self._random.random()
        values = logits[tokens].astype(np.float64)
        values -= values.max()
        if 0 < sampling.top_k < len(tokens):
            tokens, values = _keep(np.lexsort((tokens, -values))[: sampling.top_k], tokens, values)
        if sampling.top_p < 1:
            tokens, values = _keep(_nucleus(tokens, values, sampling.top_p), tokens, values)
        shares = np.cumsum(np.exp(values / sampling.temperature))
        chosen = int(np.searchsorted(shares, uniform * shares[-1], side="right"))
        return int(tokens[min(chosen, len(tokens) - 1)])


def _keep(
    indices: NDArray[np.intp], tokens: NDArray[np.signedinteger], values: NDArray[np.float64]
) -> tuple[NDArray[np.signedinteger], NDArray[np.float64]]:
    """The chosen ones, again by id: so noise in the logits moves the borders between tokens, never their order."""
    indices = np.sort(indices)
    return tokens[indices], values[indices]


def _nucleus(tokens: NDArray[np.signedinteger], values: NDArray[np.float64], top_p: float) -> NDArray[np.intp]:
    """Indices of the fewest, likeliest tokens that hold `top_p` of the probability."""
    weights = np.exp(values)
    # What lies below this bound weighs less than 1 - top_p all together, so that sorting the rest is enough.
    rest = np.flatnonzero(weights >= (1 - top_p) / len(weights))
    order = rest[np.lexsort((tokens[rest], -values[rest]))]
    shares = np.cumsum(weights[order])
    return order[: int(np.searchsorted(shares, top_p * weights.sum())) + 1]


def _has(mask: Mask, token: int) -> bool:
    return bool(mask[token >> 5] >> (token & 31) & 1)
