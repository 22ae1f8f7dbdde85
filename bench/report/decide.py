"""What each quantization level costs in accuracy, against the highest precision measured; "cannot tell" is an answer.

A level is held against the reference case by case. It is *not worse* if the interval of the difference rules out a loss
of the margin or more, be a smaller one certain or not; else *worse* if a paired test (Holm over the ladder) shows a
loss, and otherwise nobody can tell from so many cases. All of it is over the cases that both have a verdict on; a level
that lacks some of the reference's verdicts is never the smallest. Works on verdicts; knows no store and no speed.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bench.stats import (
    CONFIDENCE,
    Interval,
    Pairs,
    cases_to_settle,
    count_pairs,
    is_not_inferior,
    mcnemar_of_several,
    paired_interval,
)

MARGIN = 0.05


class Verdict(StrEnum):
    NOT_WORSE = "not worse by more than the margin"
    WORSE = "worse"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, slots=True)
class Level:
    """One file of a ladder. `correct` holds the cases that can be held against the reference, one verdict each.

    `n_without_verdict`: cases that the reference has a verdict on, and this level none, or none on all of it.
    """

    name: str
    size_bytes: int
    correct: Mapping[Hashable, bool]
    n_without_verdict: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """A level against the reference; `difference` is level minus reference over the cases that both have."""

    level: str
    pairs: Pairs
    difference: float
    gained: tuple[Hashable, ...]  # the cases that are right here and wrong at the reference
    lost: tuple[Hashable, ...]
    interval: Interval
    p_value: float  # adjusted over all that could have shown a difference
    verdict: Verdict
    n_to_settle: int | None  # where nobody can tell: about how many cases would do
    n_without_verdict: int  # as in `Level`; they are not among the pairs

    @property
    def is_not_worse(self) -> bool:
        """On all cases of the reference: of those without a verdict nothing is ruled out."""
        return self.verdict is Verdict.NOT_WORSE and not self.n_without_verdict


@dataclass(frozen=True, slots=True)
class Decision:
    """`smallest` is the smallest file that is not worse on all cases of the reference, which is among them itself."""

    reference: str
    margin: float
    comparisons: tuple[Comparison, ...]
    smallest: str


def decide(levels: Sequence[Level], *, margin: float = MARGIN, confidence: float = CONFIDENCE) -> Decision:
    """Compare a ladder with its first level, the one of the highest precision."""
    if not levels:
        raise ValueError("a ladder has at least one level")
    if not 0 < margin < 1:
        raise ValueError("a margin is a rate between 0 and 1, such as 0.05 for five points")
    reference, *others = levels
    comparisons = compare([(reference, level) for level in others], margin=margin, confidence=confidence)
    not_worse = {c.level for c in comparisons if c.is_not_worse}
    eligible = [reference, *(level for level in others if level.name in not_worse)]
    smallest = min(eligible, key=lambda level: level.size_bytes)
    return Decision(reference.name, margin, comparisons, smallest.name)


def compare(
    both: Sequence[tuple[Level, Level]], *, margin: float = MARGIN, confidence: float = CONFIDENCE
) -> tuple[Comparison, ...]:
    """Hold the second of each two against the first; p-values are adjusted over all that could show something."""
    pairs = [_pairs(reference, level) for reference, level in both]
    p_values = mcnemar_of_several(pairs, confidence)
    # with more cases each of these is a test, and stands in the others' way until it has shown something
    n_open = sum(p >= 1 - confidence for pair, p in zip(pairs, p_values, strict=True) if pair.n_changed)
    return tuple(
        _compare(reference, level, pair, p_value, n_open, margin, confidence)
        for (reference, level), pair, p_value in zip(both, pairs, p_values, strict=True)
    )


def _pairs(reference: Level, level: Level) -> Pairs:
    both = [case for case in reference.correct if case in level.correct]
    return count_pairs([reference.correct[case] for case in both], [level.correct[case] for case in both])


def changed(old: Mapping[Hashable, bool], new: Mapping[Hashable, bool], *, to: bool) -> tuple[Hashable, ...]:
    """The cases with a verdict in both that became right, or wrong."""
    return tuple(case for case in old if new.get(case) is to and old[case] is not to)


def _compare(
    reference: Level, level: Level, pairs: Pairs, p_value: float, n_open: int, margin: float, confidence: float
) -> Comparison:
    """`n_open`: how many of all that are compared show no difference yet, and may with more cases."""
    if is_not_inferior(pairs, margin, confidence):
        verdict = Verdict.NOT_WORSE
    elif pairs.difference < 0 and p_value < 1 - confidence:
        verdict = Verdict.WORSE
    else:
        verdict = Verdict.CANNOT_TELL
    is_open = verdict is Verdict.CANNOT_TELL
    return Comparison(
        level=level.name,
        pairs=pairs,
        difference=pairs.difference,
        gained=changed(reference.correct, level.correct, to=True),
        lost=changed(reference.correct, level.correct, to=False),
        interval=paired_interval(pairs, confidence),
        p_value=p_value,
        verdict=verdict,
        n_to_settle=cases_to_settle(pairs, margin, n_tests=n_open, confidence=confidence) if is_open else None,
        n_without_verdict=level.n_without_verdict,
    )
