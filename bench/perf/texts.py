"""Whether two methods wrote the same, and if not, why. Only the first difference is explained: the rest follows.

`engine.divergence` tells noise and segmentation apart by the logits and the two tokens at that place. Here both texts
are tokenized again as well: it is a segmentation only if one is cut there as the tokenizer does, and the other is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Literal

from bench.perf.methods import Run
from engine.divergence import explain
from engine.llama import Context, Model

Verdict = Literal["same tokens", "same text", "segmentation", "noise", "unexplained"]
VERDICTS: tuple[Verdict, ...] = ("same tokens", "same text", "segmentation", "noise", "unexplained")


@dataclass(frozen=True, slots=True)
class Comparison:
    """`position` of the first different token, with the two logits' distance and what kernels move logits by."""

    first: str
    second: str
    prompt: str
    verdict: Verdict
    position: int | None = None
    margin: float | None = None
    noise: float | None = None


def compare(
    names: tuple[str, str], prompt_id: str, context: Context, prompt: Sequence[int], first: Run, second: Run
) -> Comparison:
    """Compare two greedy answers, the first of which keeps to the tokenizer's segmentation where its text is forced."""
    model, cut = context.model, (first.is_cut, second.is_cut)
    if _agree(first.tokens, second.tokens, *cut):
        return Comparison(*names, prompt_id, "same tokens")
    divergence = explain(context, prompt, first.tokens, second.tokens, forced=True)
    assert divergence is not None, "the tokens differ"
    verdict: Verdict = divergence.cause
    if _agree(_text(model, first.tokens), _text(model, second.tokens), *cut):
        verdict = "same text"
    elif verdict == "segmentation":
        canonical = [is_canonical(model, run.tokens, divergence.position) for run in (first, second)]
        if canonical != [True, False]:
            verdict = "unexplained"
    return Comparison(*names, prompt_id, verdict, divergence.position, divergence.margin, divergence.noise)


def _agree(first: Sequence[int], second: Sequence[int], first_cut: bool, second_cut: bool) -> bool:
    """Whether tokens or bytes are the same, as far as an answer goes that was cut off."""
    if first_cut and len(first) < len(second):
        return first == second[: len(first)]
    if second_cut and len(second) < len(first):
        return first[: len(second)] == second
    return first == second


def is_canonical(model: Model, tokens: Sequence[int], position: int) -> bool:
    """Whether the tokenizer cuts the text of `tokens` so that the one at `position` stands where it does."""
    pieces = model.vocabulary().pieces
    text = _text(model, tokens).decode("utf-8", errors="ignore")  # the end may be half a character
    ends = _ends(pieces, tokens)
    return tuple(ends[position : position + 2]) in set(pairwise(_ends(pieces, model.tokenize(text))))


def _text(model: Model, tokens: Sequence[int]) -> bytes:
    pieces = model.vocabulary().pieces
    return b"".join(pieces[token] for token in tokens)


def _ends(pieces: Sequence[bytes], tokens: Sequence[int]) -> list[int]:
    return [*accumulate((len(pieces[token]) for token in tokens), initial=0)]
