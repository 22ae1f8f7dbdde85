"""From raw samples to figures: rates, ratios within rounds, shares, verdicts on the claims.

A ratio is formed within each round and only then summed up, so what slows the machine for a while slows both sides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from bench.perf.measure import Measured, Sample
from bench.perf.methods import (
    BATCHED_FORCED,
    BATCHED_FREE,
    BATCHED_NATIVE,
    BATCHED_NATIVE_SHARED,
    BATCHED_SHARED,
    BATCHED_UNIFIED,
    BINDING_FREE,
    BINDING_GRAMMAR,
    DRAFTED,
    FORCED,
    FREE,
    LLAMA_BENCH,
)
from bench.perf.texts import VERDICTS, Verdict
from bench.stats import CONFIDENCE, Middle, middle

Answer = Literal["yes", "no", "cannot tell"]


@dataclass(frozen=True, slots=True)
class MethodResult:
    """`None` where the method has no such thing."""

    method: str
    tok_per_s: Middle | None
    to_free: Middle | None  # times our free loop
    forced_share: Middle | None
    accepted_share: Middle | None  # of the choices that were drafted
    mask_s_per_token: Middle | None
    host_share: Middle | None  # of the time between first and last token, what was not llama.cpp's
    compile_s: Middle | None
    n_timed: int  # answers
    n_skipped: int
    n_excluded: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A figure, and what the project promises of it, if anything; met when the whole interval is on the right side.

    Too few values for an interval that can be trusted decide nothing.
    """

    what: str
    measured: Middle | None
    at_least: float | None = None
    below: float | None = None

    @property
    def met(self) -> Answer | None:
        if self.at_least is None and self.below is None:
            return None
        if self.measured is None or self.measured.confidence < CONFIDENCE:
            return "cannot tell"
        low, high = self.measured.low, self.measured.high
        if self.at_least is not None:
            return "yes" if low >= self.at_least else "no" if high < self.at_least else "cannot tell"
        assert self.below is not None
        return "yes" if high < self.below else "no" if low >= self.below else "cannot tell"


@dataclass(frozen=True, slots=True)
class TextResult:
    """How often two methods wrote the same."""

    first: str
    second: str
    counts: Mapping[Verdict, int]

    @property
    def n(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Results:
    methods: tuple[MethodResult, ...]
    claims: tuple[Claim, ...]
    texts: tuple[TextResult, ...]
    n_rounds: int
    n_unrepeatable: int  # method and case pairs whose repetitions differ in their tokens


def summarise(measured: Measured, methods: Iterable[str], claims: Iterable[RatioClaim] | None = None) -> Results:
    """`claims`: those of the replay, in place of the workload's."""
    return Results(
        methods=tuple(_method(measured, name) for name in methods),
        claims=_claims(measured, RATIO_CLAIMS if claims is None else claims),
        texts=_texts(measured),
        n_rounds=measured.n_rounds,
        n_unrepeatable=_n_unrepeatable(measured.samples),
    )


def _method(measured: Measured, name: str) -> MethodResult:
    samples = [sample for sample in measured.samples if sample.method == name]
    missing = [missing for missing in measured.missing if missing.method == name]
    return MethodResult(
        method=name,
        tok_per_s=middle([sample.run.tok_per_s for sample in samples]),
        to_free=ratio(measured, name, FREE),
        forced_share=_each(samples, lambda s: _per(s.run.n_forced, s.run.n_tokens)),
        accepted_share=_each(samples, lambda s: _per(s.run.n_accepted, s.run.n_drafted) if s.run.n_drafted else None),
        mask_s_per_token=_each(samples, lambda s: s.run.mask_s_per_token),
        host_share=_each(samples, lambda s: _per(s.run.host_s, s.run.seconds)),
        compile_s=middle(measured.compile_s.get(name, [])),
        n_timed=len(samples),
        n_skipped=sum(each.n_runs for each in missing if each.skipped),
        n_excluded=sum(each.n_runs for each in missing if not each.skipped),
    )


def _per(part: float | None, whole: float) -> float | None:
    return None if part is None else part / whole


def _each(samples: Iterable[Sample], value: Callable[[Sample], float | None]) -> Middle | None:
    values = (value(sample) for sample in samples)
    return middle([each for each in values if each is not None])


def ratio(measured: Measured, above: str, below: str) -> Middle | None:
    """How many times as fast one method is as another, over the rounds in which both were timed."""
    rates = {(sample.method, sample.case, sample.repetition): sample.run.tok_per_s for sample in measured.samples}
    rounds = [key[1:] for key in rates if key[0] == above]
    return middle([rates[above, *key] / rates[below, *key] for key in rounds if (below, *key) in rates])


RatioClaim = tuple[str, str, str, float | None]  # what, the ratio of which method to which, at least how much

RATIO_CLAIMS: Final[tuple[RatioClaim, ...]] = (
    ("free / binding, free", FREE, BINDING_FREE, None),
    ("free / llama-bench", FREE, LLAMA_BENCH, 0.97),
    ("llguidance / llama-bench", FORCED, LLAMA_BENCH, 1.25),
    ("llguidance / free", FORCED, FREE, 1.2),
    ("llguidance, drafted / llguidance", DRAFTED, FORCED, None),
    ("llguidance / binding, its own grammar", FORCED, BINDING_GRAMMAR, 4.0),
    ("free / llama-batched-bench, 4 at a time", BATCHED_FREE[4], BATCHED_NATIVE[4], 0.95),
    ("free / llama-batched-bench, 16 at a time", BATCHED_FREE[16], BATCHED_NATIVE[16], 1.0),
    ("free / llama-batched-bench, 16 at a time, unified cache", BATCHED_FREE[16], BATCHED_UNIFIED[16], None),
    ("free / llama-batched-bench, 16 at a time, shared prompt", BATCHED_SHARED[16], BATCHED_NATIVE_SHARED[16], None),
    ("llguidance / free, 16 at a time", BATCHED_FORCED[16], BATCHED_FREE[16], 1.0),
)


def _claims(measured: Measured, claims: Iterable[RatioClaim]) -> tuple[Claim, ...]:
    ratios = [Claim(what, ratio(measured, above, below), at_least=bound) for what, above, below, bound in claims]
    free = _method(measured, FREE)
    return (*ratios, Claim("host share of free decoding", free.host_share, below=0.05))


def _texts(measured: Measured) -> tuple[TextResult, ...]:
    pairs = dict.fromkeys((text.first, text.second) for text in measured.texts)
    results = []
    for pair in pairs:
        counts = Counter(text.verdict for text in measured.texts if (text.first, text.second) == pair)
        results.append(TextResult(*pair, {verdict: counts[verdict] for verdict in VERDICTS}))
    return tuple(results)


def _n_unrepeatable(samples: Iterable[Sample]) -> int:
    seen: dict[tuple[str, str], set[tuple[int, ...]]] = {}
    for sample in samples:
        seen.setdefault((sample.method, sample.case), set()).add(sample.run.tokens)
    return sum(len(answers) > 1 for answers in seen.values())
