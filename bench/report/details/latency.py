"""What one user waits for: until the first token, the name, the first call, what that time goes to, and what is cached.

From the latency samples alone: one stream, after warm-up. Knows nothing of accuracy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import TYPE_CHECKING

from bench import numbers
from bench.report.document import Cell, Table, cell
from bench.report.judged import Judged
from bench.report.layout import DASH, per_row, tally, value
from bench.results.rows import LatencySample
from bench.stats import Spread, spread

if TYPE_CHECKING:
    from bench.report.values import Row


@dataclass(frozen=True, slots=True)
class Parts:
    """Mean seconds, over the samples with a complete call. All but the last add up to the last."""

    n: int
    prefill_s: float
    reasoning_s: float
    prose_s: float
    call_s: float
    mask_wait_s: float
    overhead_s: float
    ttfc_s: float


@dataclass(frozen=True, slots=True)
class Warm:
    """The same answers of the same repetitions, without and with their prompts' shared beginning in the cache.

    A time is over the pairs of which both have it: an answer that calls only cold has no time to compare.
    """

    n: int  # pairs
    cached: float  # share of the prompts' tokens
    cold_ttft_s: Spread | None
    warm_ttft_s: Spread | None
    cold_ttfc_s: Spread | None
    warm_ttfc_s: Spread | None
    n_differ: int  # pairs with other texts


@dataclass(frozen=True, slots=True)
class Latency:
    """`n`: cold samples, of which `n_called` have a complete call."""

    n: int
    n_called: int
    ttft_s: Spread | None
    ttfn_s: Spread | None
    ttfc_s: Spread | None
    total_s: Spread | None
    noise: float | None  # how far repetitions of an answer lie apart, of its time; the median over the cases
    compile_s: Spread | None  # over the tool sets
    parts: Parts | None = None
    warm: Warm | None = None


def measure(judged: Judged) -> Latency | None:
    """None where nothing was timed."""
    samples = judged.samples
    if not samples:
        return None
    return Latency(
        n=len(samples),
        n_called=sum(sample.ttfc_s is not None for sample in samples),
        ttft_s=_middle(sample.ttft_s for sample in samples),
        ttfn_s=_middle(sample.ttfn_s for sample in samples),
        ttfc_s=_middle(sample.ttfc_s for sample in samples),
        total_s=_middle(sample.total_s for sample in samples),
        noise=_noise(samples),
        # samples of the same tool set carry the same figure
        compile_s=spread(sorted({sample.compile_s for sample in samples if sample.compile_s})),
        parts=_parts(samples),
        warm=_warm(samples, judged.warm),
    )


def _middle(values: Iterable[float | None]) -> Spread | None:
    return spread([value for value in values if value is not None])


def _noise(samples: Sequence[LatencySample]) -> float | None:
    """Repetitions that wrote different texts (there is chance in them) are no repetitions."""
    by_answer: dict[tuple[str, str], list[float]] = {}
    for sample in samples:
        by_answer.setdefault((sample.case_id, sample.text), []).append(sample.total_s)
    found = [(max(times) - min(times)) / median(times) for times in by_answer.values() if len(times) > 1 and min(times)]
    return median(found) if found else None


def _parts(samples: Sequence[LatencySample]) -> Parts | None:
    """Means, since medians of parts do not add up."""
    found = [
        (s.prefill_s, s.reasoning_s, s.prose_s, s.call_s, s.mask_wait_s, s.overhead_s, s.ttfc_s)
        for s in samples
        if s.ttfc_s is not None and s.call_s is not None
    ]
    if not found:
        return None
    return Parts(len(found), *(mean(part or 0.0 for part in column) for column in zip(*found, strict=True)))


def _warm(samples: Sequence[LatencySample], warm: Sequence[LatencySample]) -> Warm | None:
    cold = {(sample.case_id, sample.repetition): sample for sample in samples}
    pairs = [
        (cold[place], sample)
        for sample in warm
        if sample.n_cached and (place := (sample.case_id, sample.repetition)) in cold
    ]
    if not pairs:
        return None
    cold_ttft_s, warm_ttft_s = _both((first.ttft_s, second.ttft_s) for first, second in pairs)
    cold_ttfc_s, warm_ttfc_s = _both((first.ttfc_s, second.ttfc_s) for first, second in pairs)
    return Warm(
        n=len(pairs),
        cached=sum(sample.n_cached for _, sample in pairs) / sum(sample.n_prompt for _, sample in pairs),
        cold_ttft_s=cold_ttft_s,
        warm_ttft_s=warm_ttft_s,
        cold_ttfc_s=cold_ttfc_s,
        warm_ttfc_s=warm_ttfc_s,
        n_differ=sum(first.text != second.text for first, second in pairs),
    )


def _both(times: Iterable[tuple[float | None, float | None]]) -> tuple[Spread | None, Spread | None]:
    found = [(cold, warm) for cold, warm in times if cold is not None and warm is not None]
    return spread([cold for cold, _ in found]), spread([warm for _, warm in found])


def tables(rows: Sequence[Row]) -> list[Table]:
    timed = [row for row in rows if row.latency]
    made = (_moments(timed), _where_it_goes(timed), _warmth(timed), _once(timed)) if timed else ()
    return [table for table in made if table]


def _moments(rows: Sequence[Row]) -> Table:
    def cells(row: Row) -> list[Cell]:
        found = row.latency
        assert found
        return [
            cell(numbers.count(found.n)),
            _spread(found.ttft_s),
            _spread(found.ttfn_s),
            _spread(found.ttfc_s),
            cell(numbers.count(found.n_called)),
            _spread(found.total_s),
            value(numbers.share(found.noise)),
        ]

    headers = ["samples", "first\ntoken", "function\nname", "first\ncall", "with\na call", "whole\nanswer", "noise"]
    notes = (
        "from the request on, one stream, nothing of the prompt cached: median ± median deviation from it, which is"
        " mostly that cases differ; noise: how far repetitions of the same answer lie apart",
    )
    return per_row(rows, "Until the first token, name and call", headers, cells, notes=notes)


def _where_it_goes(rows: Sequence[Row]) -> Table | None:
    if not any(row.latency and row.latency.parts for row in rows):
        return None

    def cells(row: Row) -> list[Cell]:
        parts = row.latency.parts if row.latency else None
        if not parts:
            return [DASH] * 8
        spent = (parts.prefill_s, parts.reasoning_s, parts.prose_s, parts.call_s, parts.mask_wait_s, parts.overhead_s)
        shown = [cell(numbers.duration(part)) if part else cell("0", "dim") for part in spent]
        return [cell(numbers.count(parts.n)), cell(numbers.duration(parts.ttfc_s), "strong"), *shown]

    headers = ["samples", "first\ncall", "prefill", "reasoning", "prose", "call", "mask", "host"]
    notes = (
        "means, since they add up: prefill, reasoning, prose before the call and the call in llama.cpp; mask: waiting"
        " for the constraint; host: all the rest",
    )
    return per_row(rows, "What the time to the first call goes to", headers, cells, notes=notes)


def _warmth(rows: Sequence[Row]) -> Table | None:
    if not any(row.latency and row.latency.warm for row in rows):
        return None

    def cells(row: Row) -> list[Cell]:
        warm = row.latency.warm if row.latency else None
        if not warm:
            return [DASH] * 7
        times = (warm.cold_ttft_s, warm.warm_ttft_s, warm.cold_ttfc_s, warm.warm_ttfc_s)
        return [
            cell(numbers.count(warm.n)),
            cell(numbers.share(warm.cached)),
            *(cell(numbers.duration(found.median)) if found else DASH for found in times),
            tally(warm.n_differ, "warn"),
        ]

    headers = [
        *("n", "cached", "first\ntoken\ncold", "first\ntoken\nwarm"),
        *("first\ncall\ncold", "first\ncall\nwarm", "other\ntexts"),
    ]
    notes = (
        "warm: system message and tools are in the cache, as for every later request of the same agent; cached: of the"
        " prompts' tokens; medians over the same n answers; other texts: the shape of the batches alone has led to"
        " another answer",
        *_called_note([row.latency.warm for row in rows if row.latency and row.latency.warm]),
    )
    return per_row(rows, "With a cold and with a warm prefix", headers, cells, notes=notes)


def _called_note(found: Sequence[Warm]) -> Iterator[str]:
    counts = [warm.cold_ttfc_s.n for warm in found if warm.cold_ttfc_s]
    if counts:
        yield f"first call: over the {numbers.plurals(counts, 'answer')} of a row with a call both times"


def _once(rows: Sequence[Row]) -> Table | None:
    if not any(row.load_s is not None or (row.latency and row.latency.compile_s) for row in rows):
        return None

    def cells(row: Row) -> list[Cell]:
        compiled = row.latency.compile_s if row.latency else None
        return [
            value(numbers.duration(row.load_s)),
            _spread(compiled),
            cell(numbers.count(compiled.n)) if compiled else DASH,
        ]

    notes = ("before the first request, and part of no time above: per model file, and per set of tools",)
    return per_row(rows, "Once", ["load", "compile the\nconstraint", "sets of\ntools"], cells, notes=notes)


def _spread(found: Spread | None) -> Cell:
    return cell(f"{numbers.duration(found.median)} ±{numbers.duration(found.mad)}") if found else DASH
