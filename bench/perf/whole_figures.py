"""From what both sides of a whole suite took and wrote to figures. Pure; measures nothing.

A ratio is formed within a repetition and only then summed up, so what slows the machine for a while slows both sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from bench.perf.results import Claim
from bench.perf.whole_suite import OURS, THEIRS, TOGETHER, Item, Measured, Share, Side, Step
from bench.stats import Middle, middle

APART: Final = "all modes, one after the other"
AT_LEAST: Final = 4.0  # times as fast as theirs, all modes together

Repetition = Sequence[Share]  # what one side played for a row of the table


@dataclass(frozen=True, slots=True)
class SideFigures:
    """What one side did; the counts are those of the first repetition."""

    seconds: Middle | None
    n_answers: int
    n_tokens: int
    n_prompt: int
    n_decoded: int  # of the prompt tokens, those that were not taken from a cache
    n_cut: int
    n_failed: int  # items that broke off


@dataclass(frozen=True, slots=True)
class Row:
    """A mode, or all of them.

    `faster`: how many times as fast ours is. `faster_per_token`: the same for each token written, so that who writes
    more is not the slower one for that alone.
    """

    what: str
    ours: SideFigures
    theirs: SideFigures
    faster: Middle | None
    faster_per_token: Middle | None


@dataclass(frozen=True, slots=True)
class Texts:
    """Of the items of one mode: how many began with the same prompt, and how many are the same from end to end."""

    mode: str
    n: int
    n_same_prompt: int
    n_same_text: int


@dataclass(frozen=True, slots=True)
class WholeResults:
    rows: tuple[Row, ...]  # the modes, then all of them in both ways
    claim: Claim
    texts: tuple[Texts, ...]
    n_unrepeatable: int  # a side's items that were written otherwise in another repetition, or beside other modes


def summarise(measured: Measured) -> WholeResults:
    modes = list(dict.fromkeys(share.mode for share in measured.shares if share.mode != TOGETHER))
    all_theirs = _repetitions(measured, THEIRS, modes)
    rows = [_row(mode, _repetitions(measured, OURS, [mode]), _repetitions(measured, THEIRS, [mode])) for mode in modes]
    rows.append(_row(APART, _repetitions(measured, OURS, modes), all_theirs))
    rows.append(_row(TOGETHER, _repetitions(measured, OURS, [TOGETHER]), all_theirs))
    return WholeResults(
        rows=tuple(rows),
        claim=Claim("the whole suite / the same with the binding", rows[-1].faster, at_least=AT_LEAST),
        texts=tuple(_texts(mode, measured) for mode in modes),
        n_unrepeatable=_n_unrepeatable(measured.shares),
    )


def _repetitions(measured: Measured, side: Side, modes: Sequence[str]) -> list[Repetition]:
    found: dict[int, list[Share]] = {}
    for share in measured.shares:
        if share.side == side and share.mode in modes:
            found.setdefault(share.repetition, []).append(share)
    return [found[repetition] for repetition in sorted(found)]


def _row(what: str, ours: Sequence[Repetition], theirs: Sequence[Repetition]) -> Row:
    pairs = [
        (_seconds(right) / _seconds(left), _n_tokens(left), _n_tokens(right))
        for left, right in zip(ours, theirs, strict=True)
    ]
    per_token = [ratio * n_ours / n_theirs for ratio, n_ours, n_theirs in pairs if n_ours and n_theirs]
    return Row(what, _side(ours), _side(theirs), middle([ratio for ratio, _, _ in pairs]), middle(per_token))


def _side(repetitions: Sequence[Repetition]) -> SideFigures:
    first = repetitions[0] if repetitions else ()
    steps = list(_steps(first))
    return SideFigures(
        seconds=middle([_seconds(shares) for shares in repetitions]),
        n_answers=len(steps),
        n_tokens=_n_tokens(first),
        n_prompt=sum(step.n_prompt for step in steps),
        n_decoded=sum(step.n_prompt - step.n_cached for step in steps),
        n_cut=sum(step.is_cut for step in steps),
        n_failed=sum(len(share.failed) for share in first),
    )


def _seconds(shares: Repetition) -> float:
    return sum(share.seconds for share in shares)


def _n_tokens(shares: Repetition) -> int:
    return sum(step.n_tokens for step in _steps(shares))


def _steps(shares: Repetition) -> Iterable[Step]:
    return (step for share in shares for steps in share.steps.values() for step in steps)


def _texts(mode: str, measured: Measured) -> Texts:
    (ours,), (theirs,) = (_repetitions(measured, side, [mode])[0] for side in (OURS, THEIRS))
    pairs = [(steps, theirs.steps[item]) for item, steps in ours.steps.items()]
    return Texts(
        mode,
        n=len(pairs),
        n_same_prompt=sum(bool(left and right) and left[0].prompt == right[0].prompt for left, right in pairs),
        n_same_text=sum(_written(left) == _written(right) for left, right in pairs),
    )


def _n_unrepeatable(shares: Iterable[Share]) -> int:
    seen: dict[tuple[Side, Item], set[tuple[str, ...]]] = {}
    for share in shares:
        for item, steps in share.steps.items():
            seen.setdefault((share.side, item), set()).add(_written(steps))
    return sum(len(texts) > 1 for texts in seen.values())


def _written(steps: Sequence[Step]) -> tuple[str, ...]:
    return tuple(step.text for step in steps)
