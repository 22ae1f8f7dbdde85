"""Times, memory and the constraint's push as one row's values. Times come from the latency samples alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from statistics import median

from bench.modes import NO_BACKEND
from bench.report.judged import Judged
from bench.report.values import Memory, Push, Speed
from bench.results.rows import LatencySample, Run
from bench.results.store import Store
from bench.stats import Spread, spread

_CONSTRAINT_SQL = """
SELECT sum(n_masked) AS n_masked, sum(n_interventions) AS n_interventions, sum(n_forced) AS n_forced,
       sum(removed_mass * n_masked) AS removed, sum(iif(removed_mass IS NULL, 0, n_masked)) AS n_removed,
       sum(length(tokens) / 4) AS n_tokens, count(DISTINCT item_id) AS n_answers
FROM step JOIN item ON item.id = step.item_id WHERE item.cell_id = ? AND n_masked IS NOT NULL
"""


def speed(samples: Sequence[LatencySample], drafted: Sequence[LatencySample] = ()) -> Speed:
    """`drafted`: the samples with drafts, which count for nothing but the figures of drafts."""

    def middle(
        value: Callable[[LatencySample], float | None], samples: Sequence[LatencySample] = samples
    ) -> Spread | None:
        return spread([found for sample in samples if (found := value(sample)) is not None])

    n_drafted = sum(sample.n_drafted for sample in drafted)
    return Speed(
        ttfc_s=middle(lambda sample: sample.ttfc_s),
        ttft_s=middle(lambda sample: sample.ttft_s),
        prefill_tok_per_s=middle(prefill_tok_per_s),
        decode_tok_per_s=middle(decode_tok_per_s),
        compile_s=middle(lambda sample: sample.compile_s or None),
        drafted_tok_per_s=middle(decode_tok_per_s, drafted),
        drafts_accepted=sum(sample.n_accepted for sample in drafted) / n_drafted if n_drafted else None,
    )


def prefill_tok_per_s(sample: LatencySample) -> float | None:
    return _per_s(sample.n_prompt, sample.prefill_s)


def decode_tok_per_s(sample: LatencySample) -> float | None:
    """From the first token to the last one, without those that the first decode brought all at once."""
    return None if sample.n_first is None else _per_s(sample.n_tokens - sample.n_first, sample.decode_s)


def _per_s(n: int, seconds: float) -> float | None:
    return n / seconds if n > 0 and seconds > 0 else None


def push(store: Store, judged: Judged) -> Push | None:
    if judged.cell.backend == NO_BACKEND:
        return None
    (sums,) = store.query(_CONSTRAINT_SQL, (judged.cell.id,))
    if not sums["n_answers"] or not sums["n_tokens"]:
        return None
    masked = [(sample.mask_s, sample.n_masked) for sample in judged.samples if sample.n_masked is not None]
    n_masked = sum(n for _, n in masked)
    return Push(
        interventions_per_answer=sums["n_interventions"] / sums["n_answers"],
        removed_mass=sums["removed"] / sums["n_removed"] if sums["n_removed"] else None,
        forced_share=sums["n_forced"] / sums["n_tokens"],
        mask_s_per_token=sum(mask_s for mask_s, _ in masked) / n_masked if n_masked else None,
    )


def machine_values(store: Store, run: Run) -> tuple[dict[int, Memory], dict[int, float | None]]:
    """Peaks and the median load time of each model at each setting, over all the workers that had it."""
    peaks: dict[int, dict[str, list[int]]] = {}
    loads: dict[int, list[float]] = {}
    for load in store.loads(run.id):
        if load.load_s is not None:
            loads.setdefault(load.model_id, []).append(load.load_s)
        totals: Counter[str] = Counter()
        for reading in store.readings(load.id):
            if reading.moment == "peak" and reading.source in ("rss", "vram", "kv") and reading.n_bytes is not None:
                totals[reading.source] += reading.n_bytes  # several cards add up
        for source, n_bytes in totals.items():
            peaks.setdefault(load.model_id, {}).setdefault(source, []).append(n_bytes)
    memory = {
        model_id: Memory(*(max(found.get(source, []), default=None) for source in ("vram", "rss", "kv")))
        for model_id, found in peaks.items()
    }
    return memory, {model_id: median(values) for model_id, values in loads.items()}
