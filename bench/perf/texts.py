"""Whether two methods wrote the same, and if not, why. Only the first difference is explained: the rest follows.

`engine.divergence` tells noise and segmentation apart by the logits and the two tokens at that place; here a
segmentation has to be the tokenizer's own as well, found by tokenizing the text again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Literal

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
    names: tuple[str, str],
    prompt_id: str,
    context: Context,
    prompt: Sequence[int],
    first: Sequence[int],
    second: Sequence[int],
) -> Comparison:
    """Compare two greedy answers, the first of which keeps to the tokenizer's segmentation where its text is forced."""
    divergence = explain(context, prompt, first, second, forced=True)
    if divergence is None:
        return Comparison(*names, prompt_id, "same tokens")
    vocabulary, verdict = context.model.vocabulary(), divergence.cause
    if vocabulary.text(first) == vocabulary.text(second):
        verdict = "same text"
    elif verdict == "segmentation" and not is_canonical(context.model, first, divergence.position):
        verdict = "unexplained"
    return Comparison(*names, prompt_id, verdict, divergence.position, divergence.margin, divergence.noise)


def is_canonical(model: Model, tokens: Sequence[int], position: int) -> bool:
    """Whether the tokenizer cuts the text of `tokens` so that the one at `position` stands where it does."""
    pieces = model.vocabulary().pieces
    text = b"".join(pieces[token] for token in tokens).decode("utf-8", errors="ignore")
    spans = {span for span in pairwise(_ends(pieces, model.tokenize(text)))}
    ends = _ends(pieces, tokens)
    return (ends[position], ends[position + 1]) in spans


def _ends(pieces: Sequence[bytes], tokens: Sequence[int]) -> list[int]:
    return [*accumulate((len(pieces[token]) for token in tokens), initial=0)]
