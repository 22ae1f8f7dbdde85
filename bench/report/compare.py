"""What is found by holding two rows side by side: free against constrained, a level or KV type against the best one.

All compare the same answers, so only the cases count of which both rows have a verdict on the same ones: on a case, on
its twin without the fault, or on both. A row without verdicts is compared with nothing, so it is no reference either.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from statistics import median

from bench import stats
from bench.modes import MODES
from bench.rates import case_of
from bench.report.decide import MARGIN, Comparison, Decision, Level, changed, decide
from bench.report.decide import Verdict as Decided
from bench.report.judged import Judged
from bench.report.values import Cost, KvRung, Paired, Row, Rung, Unpaired, Verdict
from bench.results.rows import LatencySample
from bench.run.axes import kv_name
from engine.memory.cache import row_bytes
from engine.quantize import imprecision

Right = Mapping[Hashable, bool]  # whether a case is correct

KV_REFERENCE = "f16"  # what llama.cpp keeps keys and values in unless told otherwise
_N_VALUES = 32  # a block of every quantized type


def paired(group: Sequence[Judged]) -> Iterator[Paired]:
    """Every constrained row against its free one."""
    for base, row in _free_and_constrained(group):
        old, new = comparable(base, row), comparable(row, base)
        if not old:
            continue
        pairs = stats.count_pairs(list(old.values()), [new[case] for case in old])
        n_right_before = sum(old.values())
        yield Paired(
            quant=row.level,
            free=base.cell.mode,
            constrained=row.cell.mode,
            backend=row.cell.backend,
            n=pairs.n,
            rescued=pairs.rescued,
            broken=pairs.broken,
            same_right=n_right_before - pairs.broken,
            same_wrong=pairs.n - n_right_before - pairs.rescued,
            difference=pairs.difference,
            p=stats.mcnemar(pairs),
            setting=row.cell.model.setting,
            first_call=times_as_much(base, row),
            rescued_cases=_named(changed(old, new, to=True)),
            broken_cases=_named(changed(old, new, to=False)),
            n_without_verdict=len(without_verdict(base, row)),
        )


def unpaired(group: Sequence[Judged]) -> Iterator[Unpaired]:
    """The constrained rows that have no case in common with their free one."""
    for base, row in _free_and_constrained(group):
        if not comparable(base, row):
            yield Unpaired(row.level, base.cell.mode, row.cell.mode, row.cell.backend, row.cell.model.setting)


def _free_and_constrained(group: Sequence[Judged]) -> Iterator[tuple[Judged, Judged]]:
    """Every constrained row behind the free one of its quant, setting and prompt style."""
    free = {
        (row.cell.model.id, MODES[row.cell.mode].style): row for row in group if not MODES[row.cell.mode].constrained
    }
    for row in group:
        mode = MODES[row.cell.mode]
        base = free.get((row.cell.model.id, mode.style))
        if mode.constrained and base is not None:
            yield base, row


def _named(cases: Iterable[Hashable]) -> tuple[str, ...]:
    return tuple(map(str, cases))


def first_call(sample: LatencySample) -> float | None:
    """Seconds until the first complete call."""
    return sample.ttfc_s


def times_as_much(
    reference: Judged, row: Judged, of: Callable[[LatencySample], float | None] = first_call
) -> stats.Middle | None:
    """One ratio a case, of the medians of its repetitions: those say the same once more.

    So does its twin, whose prompt is the same.
    """
    before, after = _by_case(reference, of), _by_case(row, of)
    return stats.middle([after[case_id] / before[case_id] for case_id in before if case_id in after])


def _by_case(judged: Judged, of: Callable[[LatencySample], float | None]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for sample in judged.samples:
        if value := of(sample):
            found.setdefault(case_of(sample.case_id), []).append(value)
    return {case_id: median(values) for case_id, values in found.items()}


def comparable(row: Judged, other: Judged) -> Right:
    """The row's verdicts on the cases of which the other row has the same answers scored.

    A case with its fault and the same one without it are not the same answers: the one is easier than both.
    """
    unlike = set(map(case_of, row.scored_ids ^ other.scored_ids))
    return {case: is_right for case, is_right in row.right.items() if case not in unlike}


def without_verdict(reference: Judged, row: Judged) -> set[str]:
    """The cases that have a verdict at the reference, with their fault or without it, and none here."""
    return set(map(case_of, reference.scored_ids - row.scored_ids))


def level_of(row: Judged, reference: Judged, name: str, size_bytes: int) -> Level:
    """A row as it is held against the reference."""
    return Level(name, size_bytes, comparable(row, reference), len(without_verdict(reference, row)))


def decisions(group: Sequence[Judged], margin: float = MARGIN) -> Iterator[tuple[Judged, Decision]]:
    """One decision for each mode, backend and setting with several levels; the row is the most precise level's."""
    ladders: dict[tuple[str, str, str], list[Judged]] = {}
    for row in group:
        if row.right:
            ladders.setdefault((row.cell.mode, row.cell.backend, row.cell.model.setting), []).append(row)
    for rows in ladders.values():
        levels = sorted(rows, key=lambda row: imprecision(row.cell.model.quant, row.cell.model.gguf_bytes))
        if len(levels) > 1:
            held = [level_of(row, levels[0], row.level, row.cell.model.gguf_bytes) for row in levels]
            yield levels[0], decide(held, margin=margin)


def ladder(row: Judged, decision: Decision) -> Iterator[Rung]:
    """Every level below the most precise one."""
    for found in decision.comparisons:
        yield rung(found, row, found.level, decision.reference, decision.margin)


def kv_ladder(group: Sequence[tuple[Judged, Row]], margin: float = MARGIN) -> Iterator[KvRung]:
    """Every type of the KV cache against f16 or the next one, in the same file and mode, with one context and batch."""
    alike: dict[Hashable, dict[str, tuple[Judged, Row]]] = {}
    for judged, row in group:
        if not judged.right:
            continue
        cell, at = judged.cell, judged.at
        rest = (at["n_ctx"], at["n_batch"], at["n_ubatch"])
        place = (cell.model.gguf_sha256, cell.mode, cell.backend, rest)
        alike.setdefault(place, {})[kv_name(at["type_k"], at["type_v"])] = judged, row
    for by_type in alike.values():
        types = sorted(by_type, key=lambda name: (name != KV_REFERENCE, -kv_size(name)))
        reference, reference_row = by_type[types[0]]
        held = [level_of(by_type[name][0], reference, name, kv_size(name)) for name in types]
        decision = decide(held, margin=margin)
        for found in decision.comparisons:
            judged, row = by_type[found.level]
            against = rung(found, judged, judged.level, decision.reference, decision.margin)
            yield KvRung(found.level, against, _cost(row), _cost(reference_row))


def kv_size(name: str) -> int:
    """Of a type or two of the KV cache: what a fixed number of keys and values takes."""
    type_k, _, type_v = name.partition(":")
    return row_bytes(type_k, _N_VALUES) + row_bytes(type_v or type_k, _N_VALUES)


def _cost(row: Row) -> Cost:
    return Cost(
        kv_bytes=row.memory.kv_bytes,
        vram_peak_bytes=row.memory.vram_peak_bytes,
        rss_peak_bytes=row.memory.rss_peak_bytes,
        ttfc_s=row.speed.ttfc_s.median if row.speed.ttfc_s else None,
        decode_tok_per_s=row.speed.decode_tok_per_s.median if row.speed.decode_tok_per_s else None,
    )


def rung(found: Comparison, row: Judged, quant: str, reference: str, margin: float) -> Rung:
    """A comparison of `row` in the report's words."""
    return Rung(
        quant=quant,
        reference=reference,
        mode=row.cell.mode,
        backend=row.cell.backend,
        n=found.pairs.n,
        gained=found.pairs.rescued,
        lost=found.pairs.broken,
        difference=found.difference,
        low=found.interval.low,
        high=found.interval.high,
        p=found.p_value,
        margin=margin,
        verdict=_VERDICTS[found.verdict],
        n_to_settle=found.n_to_settle,
        setting=row.cell.model.setting,
        gained_cases=_named(found.gained),
        lost_cases=_named(found.lost),
        n_without_verdict=found.n_without_verdict,
    )


_VERDICTS: Mapping[Decided, Verdict] = {
    Decided.NOT_WORSE: "not worse",
    Decided.WORSE: "worse",
    Decided.CANNOT_TELL: "cannot tell",
}
