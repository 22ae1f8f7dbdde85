"""Stored results become findings: one row for each quant, setting and mode, with its counts, times and memory.

Accuracy comes from the items alone and times from the latency samples alone: the two passes are never mixed. What is
found by comparing two rows is in `bench.report.compare`, what is looked at more closely in `bench.report.details`.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from bench.modes import MODES
from bench.rates import rate
from bench.report import about, compare, machine
from bench.report.counterparts import comparable_models
from bench.report.decide import MARGIN
from bench.report.details import (
    adherence,
    batched,
    bfcl,
    categories,
    latency,
    no_call,
    order,
    recovery,
    repairs,
    replies,
    truncation,
)
from bench.report.details import memory as weighed
from bench.report.details.bfcl import Known
from bench.report.judged import Judged, is_right, judged, suites_of
from bench.report.values import Choice, Failure, Memory, Report, Row, Section
from bench.results.rows import Run
from bench.results.rows import Score as Verdict
from bench.results.store import Store
from bench.score import Outcome
from bench.score.truncation import TruncationCause
from engine.quantize import is_made


def build(store: Store, run: Run, *, with_failures: bool = False, margin: float = MARGIN) -> Report:
    """Read everything about one run; `with_failures` reads the texts of wrong answers too."""
    suites = suites_of(run)
    cells = [judged(store, run, cell, suites.get(cell.suite)) for cell in store.cells(run.id)]
    known = {name: bfcl.known_of(suite) for name, suite in suites.items()}
    memory, load_s = machine.machine_values(store, run)
    models = {each.cell.model.id: each.cell.model for each in cells}
    footprints = {model_id: weighed.measure(store, run, model) for model_id, model in models.items()}
    groups: dict[tuple[str, str], list[tuple[Judged, Row]]] = {}
    for each in cells:
        model_id = each.cell.model.id
        row = _row(store, each, known.get(each.cell.suite, {}), memory.get(model_id, Memory()), load_s.get(model_id))
        row = replace(
            row,
            footprints=footprints[model_id],
            energy=weighed.energy_of(each.samples),
            batched=batched.measure(store, run, each),
        )
        groups.setdefault((each.cell.model.name, each.cell.suite), []).append((each, row))
    disagreements = tuple(about.disagreements(cells))
    rows = [pair for group in groups.values() for pair in group]
    n_trials = int(run.config.get("trials", 1))
    return Report(
        run_id=run.id,
        path=store.path,
        command=shlex.join(run.argv),
        created_utc=run.created_utc,
        finished_utc=run.finished_utc,
        facts={**about.facts(run), **about.formats(run, cells)},
        warnings=(*map(about.in_words, disagreements), *about.warnings(run, cells, store.path)),
        sections=tuple(_section(model, suite, group, n_trials, margin) for (model, suite), group in groups.items()),
        failures=tuple(_failures(store, cells)) if with_failures else (),
        disagreements=disagreements,
        findings=run.findings,
        bfcl_groups=bfcl.averages([(each, row.bfcl) for each, row in rows], n_trials),
        comparable_models=comparable_models(cells),
    )


def _section(model: str, suite: str, group: Sequence[tuple[Judged, Row]], n_trials: int, margin: float) -> Section:
    cells = [each for each, _ in group]
    found = list(compare.decisions(cells, margin))
    return Section(
        model=model,
        suite=suite,
        n_cases=len({item.case_id for each in cells for item in each.items}),
        rows=tuple(row for _, row in group),
        paired=tuple(compare.paired(cells)),
        ladder=tuple(rung for row, decision in found for rung in compare.ladder(row, decision)),
        kv_ladder=tuple(compare.kv_ladder(group, margin)),
        choices=tuple(
            Choice(
                row.cell.mode,
                row.cell.backend,
                decision.reference,
                decision.smallest,
                decision.margin,
                setting=row.cell.model.setting,
            )
            for row, decision in found
        ),
        n_trials=n_trials,
        unpaired=tuple(compare.unpaired(cells)),
        made=tuple(dict.fromkeys(each.level for each in cells if is_made(Path(each.cell.model.path)))),
    )


def _row(store: Store, each: Judged, known: Known, memory: Memory, load_s: float | None) -> Row:
    cell, scored = each.cell, each.scored
    outcomes = Counter(verdict.outcome for verdict in each.verdicts.values())
    is_schema = MODES[cell.mode].constraint == "schema"
    by_category = categories.measure(each)
    return Row(
        quant=each.level,
        mode=cell.mode,
        backend=cell.backend,
        n_planned=cell.n_items,
        n_scored=len(scored),
        not_scored=categories.not_scored(each, by_category),
        accuracy=rate((item.case_id, is_right(verdict)) for item, verdict in scored),
        schema_valid=rate(
            (item.case_id, _is_schema_valid(verdict)) for item, verdict in scored if _tried_to_call(verdict)
        ),
        truncated=rate((item.case_id, verdict.outcome == Outcome.TRUNCATED) for item, verdict in scored),
        n_repeating=sum(_is_repeating(verdict) for _, verdict in scored),
        n_escapes=sum(is_schema and _has_invalid_call(verdict) for _, verdict in scored),
        outcomes={outcome.value: outcomes[outcome] for outcome in Outcome if outcomes[outcome]},
        categories=by_category,
        speed=machine.speed(each.samples, each.drafted),
        memory=memory,
        load_s=load_s,
        latency=latency.measure(each),
        push=machine.push(store, each),
        no_call=no_call.measure(each),
        bfcl=bfcl.measure(each, known),
        order=order.measure(each),
        recovery=recovery.measure(each),
        replies=replies.measure(each),
        repairs=repairs.measure(each),
        adherence=adherence.measure(each),
        truncation=truncation.measure(each),
        setting=cell.model.setting,
        context=each.at,
    )


def _tried_to_call(verdict: Verdict) -> bool:
    """Whether there is a whole attempt to judge; a cut one has a column of its own."""
    return verdict.details["adherence"]["n_attempts"] > 0 and verdict.outcome != Outcome.TRUNCATED


def _is_repeating(verdict: Verdict) -> bool:
    """Truncated at the end of a loop; an older scorer's verdict may not say so."""
    return verdict.outcome == Outcome.TRUNCATED and verdict.details.get("truncated_by") == TruncationCause.REPETITION


def _is_schema_valid(verdict: Verdict) -> bool:
    found = verdict.details["adherence"]
    return bool(found["n_parsed"] == found["n_attempts"]) and not _has_invalid_call(verdict)


def _has_invalid_call(verdict: Verdict) -> bool:
    found = verdict.details["adherence"]
    return bool(found["n_schema_valid"] < found["n_calls"])


def _failures(store: Store, cells: Sequence[Judged]) -> Iterable[Failure]:
    for each in cells:
        steps = store.steps_of(each.cell.id)
        for item in each.items:
            score = each.verdicts.get(item.id)
            if score is None or is_right(score):
                continue
            yield Failure(
                item=item.case_id,
                quant=each.level,
                mode=each.cell.mode,
                outcome=score.outcome,
                explanation=str(score.details.get("explanation", "")),
                text="\n".join(step.generation.text for step in steps.get(item.id, ())),
                setting=each.cell.model.setting,
                model=each.cell.model.name,
                suite=each.cell.suite,
            )
