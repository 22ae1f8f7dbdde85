from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.constraint.protocol import Mask
from engine.errors import ToolgaugeError
from engine.sampler import Pick, Sampler, Workspace
from engine.types import Sampling
from engine.vocabulary import Vocabulary

N = 3000  # more than the largest round of candidates
GREEDY = Sampling()


def vocabulary(n_tokens: int = N, suppressed: frozenset[int] = frozenset()) -> Vocabulary:
    pieces = tuple(str(token).encode() for token in range(n_tokens))
    none = frozenset[int]()
    return Vocabulary(pieces, none, none, none, bos=None, eos=None, add_bos=False, suppressed=suppressed)


WORKSPACE = Workspace(vocabulary())


class Allowed:
    """A constraint that allows a fixed set, and notes what it is asked."""

    def __init__(self, allowed: NDArray[np.bool_]) -> None:
        self.allowed = allowed
        self.n_masks = 0

    def allows(self, token: int) -> bool:
        return bool(self.allowed[token])

    def mask(self) -> Mask:
        self.n_masks += 1
        padded = np.zeros(-(-len(self.allowed) // 32) * 32, dtype=bool)
        padded[: len(self.allowed)] = self.allowed
        return np.packbits(padded, bitorder="little").view(np.uint32)

    def accept(self, token: int) -> None:
        raise AssertionError("a sampler only asks")

    def forced(self) -> list[int]:
        return []

    def copy(self) -> Allowed:
        raise AssertionError("a sampler only asks")

    complete = finished = False


class Checked(Allowed):
    n_checked = 0

    def check(self, candidates: NDArray[np.int32]) -> NDArray[np.bool_]:
        self.n_checked += len(candidates)
        return self.allowed[candidates]


def best_allowed(logits: NDArray[np.float32], allowed: NDArray[np.bool_]) -> int | None:
    """The definition: the largest logit among the allowed, the lowest id among equals."""
    candidates = [int(token) for token in np.flatnonzero(allowed)]
    return max(candidates, key=lambda token: (logits[token], -token), default=None)


@st.composite
def rows(draw: st.DrawFn) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Logits with many ties, and from none to nearly all tokens allowed."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.sampled_from([3, 50, 100_000]))
    share = draw(st.sampled_from([0.0, 0.0005, 0.01, 0.5, 0.99]))
    return random.integers(0, levels, N).astype(np.float32) / 7, random.random(N) < share


@settings(max_examples=80, deadline=None)
@given(row=rows(), given_mask=st.booleans(), checked=st.booleans(), measure=st.booleans())
def test_greedy_under_a_constraint_takes_the_best_allowed_token(
    row: tuple[NDArray[np.float32], NDArray[np.bool_]], given_mask: bool, checked: bool, measure: bool
) -> None:
    logits, allowed = row
    constraint = (Checked if checked else Allowed)(allowed)
    pick = Sampler(GREEDY, WORKSPACE).constrained(
        logits.copy(), constraint, constraint.mask() if given_mask else None, measure=measure
    )
    assert pick.token == best_allowed(logits, allowed)
    assert pick.intervened == (not allowed[int(logits.argmax())])
    if measure:
        shares = np.exp(logits.astype(np.float64) - logits.max())
        assert pick.removed_mass == pytest.approx(shares[~allowed].sum() / shares.sum(), abs=1e-5)
    else:
        assert pick.removed_mass is None


def test_the_common_case_asks_for_one_token_and_no_mask() -> None:
    logits = np.arange(N, dtype=np.float32)
    constraint = Checked(np.ones(N, dtype=bool))
    assert Sampler(GREEDY, WORKSPACE).constrained(logits, constraint) == Pick(N - 1)
    assert (constraint.n_masks, constraint.n_checked) == (0, 0)


@pytest.mark.parametrize(("allowed_token", "n_checked"), [(N - 10, 64), (N - 500, 64 + 1024), (3, 64 + 1024 + N)])
def test_candidates_are_checked_in_growing_rounds(allowed_token: int, n_checked: int) -> None:
    constraint = Checked(np.arange(N) == allowed_token)
    pick = Sampler(GREEDY, WORKSPACE).constrained(np.arange(N, dtype=np.float32), constraint)
    assert pick == Pick(allowed_token, intervened=True)
    assert (constraint.n_checked, constraint.n_masks) == (n_checked, 0)


def test_suppressed_tokens_are_never_chosen() -> None:
    space = Workspace(vocabulary(suppressed=frozenset({N - 1, N - 3})))
    assert Sampler(GREEDY, space).free(np.arange(N, dtype=np.float32)) == N - 2
    only = Allowed(np.arange(N) == N - 1)
    assert Sampler(GREEDY, space).constrained(np.arange(N, dtype=np.float32), only).token is None
    warm = Sampler(Sampling(temperature=2.0), space)
    assert warm.constrained(np.arange(N, dtype=np.float32), only).token is None
    assert warm.free(np.where(np.arange(N) >= N - 3, 50, 0).astype(np.float32)) == N - 2


@pytest.mark.parametrize("broken", [np.nan, -np.inf, np.inf])
def test_logits_that_are_no_numbers_are_an_error(broken: float) -> None:
    logits = np.zeros(N, dtype=np.float32)
    logits[:] = broken if broken < 0 else logits
    logits[7] = broken
    with pytest.raises(ToolgaugeError, match="not numbers"):
        Sampler(GREEDY, WORKSPACE).free(logits)


def draws(sampling: Sampling, logits: NDArray[np.float32], n_draws: int) -> list[int]:
    sampler = Sampler(sampling, Workspace(vocabulary(len(logits))))
    return [sampler.free(logits.copy()) for _ in range(n_draws)]


def test_a_seed_gives_the_same_tokens_and_another_seed_others() -> None:
    logits = np.random.default_rng(0).normal(size=200).astype(np.float32)
    warm = Sampling(temperature=1.0, seed=5)
    assert draws(warm, logits, 50) == draws(warm, logits, 50)
    assert draws(warm, logits, 50) != draws(Sampling(temperature=1.0, seed=6), logits, 50)


def test_tokens_come_as_often_as_their_probability_says() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], dtype=np.float32))
    counts = np.bincount(draws(Sampling(temperature=1.0, seed=1), logits, 4000), minlength=4) / 4000
    assert counts == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.03)
    cooler = np.array([0.5, 0.3, 0.15, 0.05]) ** 2
    counts = np.bincount(draws(Sampling(temperature=0.5, seed=1), logits, 4000), minlength=4) / 4000
    assert counts == pytest.approx(cooler / cooler.sum(), abs=0.03)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    top_k=st.sampled_from([0, 1, 5, 40, 10_000]),
    top_p=st.sampled_from([1.0, 0.95, 0.5, 0.01]),
    spread=st.sampled_from([0.0, 1.0, 8.0]),
    share=st.sampled_from([0.02, 0.5, 1.0]),
)
def test_filters_keep_exactly_the_likeliest_of_what_is_allowed(
    seed: int, top_k: int, top_p: float, spread: float, share: float
) -> None:
    random = np.random.default_rng(seed)
    logits = (random.normal(size=N) * spread).astype(np.float32)
    allowed = random.random(N) < share
    order = sorted(np.flatnonzero(allowed), key=lambda token: (-logits[token], token))[: top_k or None]
    shares = np.cumsum(np.exp(logits[order].astype(np.float64)))
    kept = set(order[: int(np.searchsorted(shares / shares[-1], top_p - 1e-9)) + 1])
    sampler = Sampler(Sampling(temperature=1.5, top_k=top_k, top_p=top_p, seed=seed), WORKSPACE)
    picks = {sampler.constrained(logits.copy(), Allowed(allowed)).token for _ in range(5)}
    assert picks <= kept
    if len(kept) == 1:
        assert picks == kept


def test_a_constraint_that_allows_nothing_is_a_pick_of_nothing() -> None:
    nothing = Allowed(np.zeros(N, dtype=bool))
    for sampling in (GREEDY, Sampling(temperature=1.0)):
        assert Sampler(sampling, WORKSPACE).constrained(np.zeros(N, dtype=np.float32), nothing).token is None
