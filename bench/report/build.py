"""Stored results become findings: one row for each quant and mode, with its counts, times and memory.

Accuracy comes from the items alone and times from the latency samples alone: the two passes are never mixed. What is
found by comparing two rows is in `bench.report.compare`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench import numbers
from bench.modes import MODES, NO_BACKEND
from bench.report import compare
from bench.report.values import Choice, Disagreement, Failure, Memory, Push, Report, Row, Section, Speed
from bench.rows import Cell, Item, LatencySample, Run, Score
from bench.score import Outcome
from bench.stats import Spread, spread
from bench.store import Store
from engine.types import Finding

_MOST_REASONS = 3
_CONSTRAINT_SQL = """
SELECT sum(n_masked) AS n_masked, sum(n_interventions) AS n_interventions, sum(n_forced) AS n_forced,
       sum(removed_mass * n_masked) AS removed, sum(iif(removed_mass IS NULL, 0, n_masked)) AS n_removed,
       sum(length(tokens) / 4) AS n_tokens, count(DISTINCT item_id) AS n_answers
FROM step JOIN item ON item.id = step.item_id WHERE item.cell_id = ? AND n_masked IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Judged:
    """One cell with everything stored about it; `verdicts` are by item id and hold no stale one."""

    cell: Cell
    items: tuple[Item, ...]
    verdicts: Mapping[int, Score]
    n_stale: int
    samples: tuple[LatencySample, ...]

    @property
    def level(self) -> str:
        """The quant; a scripted model has none."""
        return self.cell.model.quant or self.cell.model.name

    @property
    def scored(self) -> list[tuple[Item, Score]]:
        """The items with a verdict about the model."""
        both = ((item, self.verdicts[item.id]) for item in self.items if item.id in self.verdicts)
        return [(item, score) for item, score in both if Outcome(score.outcome).is_scored]

    @property
    def right(self) -> dict[Hashable, bool]:
        """Whether each scored item is correct, by case and trial: what two cells are compared by."""
        return {(item.case_id, item.trial): _is_right(score) for item, score in self.scored}


def build(store: Store, run: Run, *, with_failures: bool = False) -> Report:
    """Read everything about one run; `with_failures` reads the texts of wrong answers too."""
    cells = [_judged(store, cell) for cell in store.cells(run.id)]
    memory, load_s = _machine_values(store, run)
    groups: dict[tuple[str, str], list[Judged]] = {}
    for judged in cells:
        groups.setdefault((judged.cell.model.name, judged.cell.suite), []).append(judged)
    sections = tuple(_section(store, model, suite, group, memory, load_s) for (model, suite), group in groups.items())
    disagreements = tuple(_disagreements(cells))
    return Report(
        run_id=run.id,
        command=" ".join(run.argv),
        created_utc=run.created_utc,
        finished_utc=run.finished_utc,
        facts={**_facts(run), **_formats(run, cells)},
        warnings=(*map(_in_words, disagreements), *_warnings(run, cells)),
        sections=sections,
        failures=tuple(_failures(store, cells)) if with_failures else (),
        disagreements=disagreements,
    )


def _judged(store: Store, cell: Cell) -> Judged:
    verdicts = store.verdicts(cell.id)
    fresh = {item_id: score for item_id, score in verdicts.items() if not score.stale}
    samples = tuple(sample for sample in store.latency_samples(cell.id) if sample.error is None)
    return Judged(cell, tuple(store.items(cell.id)), fresh, len(verdicts) - len(fresh), samples)


def _section(
    store: Store,
    model: str,
    suite: str,
    group: Sequence[Judged],
    memory: Mapping[int, Memory],
    load_s: Mapping[int, float | None],
) -> Section:
    rows = tuple(
        _row(judged, memory.get(judged.cell.model.id, Memory()), load_s.get(judged.cell.model.id), _push(store, judged))
        for judged in group
    )
    found = list(compare.decisions(group))
    return Section(
        model=model,
        suite=suite,
        n_cases=len({item.case_id for judged in group for item in judged.items}),
        rows=rows,
        paired=tuple(compare.paired(group)),
        ladder=tuple(rung for row, decision in found for rung in compare.ladder(row, decision)),
        choices=tuple(
            Choice(row.cell.mode, row.cell.backend, decision.reference, decision.smallest, decision.margin)
            for row, decision in found
        ),
    )


def _row(judged: Judged, memory: Memory, load_s: float | None, push: Push | None) -> Row:
    cell, scored = judged.cell, judged.scored
    outcomes = Counter(score.outcome for score in judged.verdicts.values())
    n_truncated = outcomes[Outcome.TRUNCATED]
    categories: dict[str, list[bool]] = {}
    for item, score in scored:
        categories.setdefault(item.category, []).append(_is_right(score))
    n_not_scored = sum(not Outcome(score.outcome).is_scored for score in judged.verdicts.values())
    is_schema = MODES[cell.mode].constraint == "schema"
    return Row(
        quant=judged.level,
        mode=cell.mode,
        backend=cell.backend,
        n_planned=cell.n_items,
        n_scored=len(scored),
        n_not_scored=n_not_scored,
        n_stale=judged.n_stale,
        accuracy=compare.rate(_is_right(score) for _, score in scored),
        schema_valid=compare.rate(_is_schema_valid(score) for _, score in scored if _tried_to_call(score)),
        truncated=compare.rate([True] * n_truncated + [False] * (len(scored) - n_truncated)),
        n_escapes=sum(is_schema and _has_invalid_call(score) for _, score in scored),
        outcomes={outcome.value: outcomes[outcome] for outcome in Outcome if outcomes[outcome]},
        categories={name: found for name, hits in categories.items() if (found := compare.rate(hits))},
        speed=_speed(judged.samples),
        memory=memory,
        load_s=load_s,
        push=push,
    )


def _is_right(score: Score) -> bool:
    return score.outcome == Outcome.CORRECT


def _tried_to_call(score: Score) -> bool:
    """Whether there is a whole attempt to judge; a cut one has a column of its own."""
    return score.details["adherence"]["n_attempts"] > 0 and score.outcome != Outcome.TRUNCATED


def _is_schema_valid(score: Score) -> bool:
    found = score.details["adherence"]
    return bool(found["n_parsed"] == found["n_attempts"]) and not _has_invalid_call(score)


def _has_invalid_call(score: Score) -> bool:
    found = score.details["adherence"]
    return bool(found["n_schema_valid"] < found["n_calls"])


def _speed(samples: Sequence[LatencySample]) -> Speed:
    def middle(value: Callable[[LatencySample], float | None]) -> Spread | None:
        return spread([found for sample in samples if (found := value(sample)) is not None])

    return Speed(
        ttfc_s=middle(lambda sample: sample.ttfc_s),
        ttft_s=middle(lambda sample: sample.ttft_s),
        prefill_tok_per_s=middle(lambda sample: _per_s(sample.n_prompt, sample.prefill_s)),
        decode_tok_per_s=middle(lambda sample: _per_s(sample.n_tokens, sample.decode_s)),
        compile_s=middle(lambda sample: sample.compile_s or None),
    )


def _per_s(n: int, seconds: float) -> float | None:
    return n / seconds if n and seconds > 0 else None


def _push(store: Store, judged: Judged) -> Push | None:
    if judged.cell.backend == NO_BACKEND:
        return None
    (sums,) = store.query(_CONSTRAINT_SQL, (judged.cell.id,))
    if not sums["n_answers"] or not sums["n_tokens"]:
        return None
    mask_s = sum(sample.mask_s for sample in judged.samples)
    n_sampled = sum(sample.n_tokens - sample.n_forced for sample in judged.samples)
    return Push(
        interventions_per_answer=sums["n_interventions"] / sums["n_answers"],
        removed_mass=sums["removed"] / sums["n_removed"] if sums["n_removed"] else None,
        forced_share=sums["n_forced"] / sums["n_tokens"],
        mask_s_per_token=mask_s / n_sampled if n_sampled else None,
    )


def _machine_values(store: Store, run: Run) -> tuple[dict[int, Memory], dict[int, float | None]]:
    """Peaks and the median load time of each model, over all the workers that had it."""
    peaks: dict[int, dict[str, list[int]]] = {}
    loads: dict[int, list[float]] = {}
    for load in store.loads(run.id):
        if load.load_s is not None:
            loads.setdefault(load.model_id, []).append(load.load_s)
        totals: Counter[str] = Counter()
        for reading in store.readings(load.id):
            if reading.moment == "peak" and reading.source in ("rss", "vram") and reading.n_bytes is not None:
                totals[reading.source] += reading.n_bytes  # several cards add up
        for source, n_bytes in totals.items():
            peaks.setdefault(load.model_id, {}).setdefault(source, []).append(n_bytes)
    memory = {
        model_id: Memory(max(found.get("vram", []), default=None), max(found.get("rss", []), default=None))
        for model_id, found in peaks.items()
    }
    return memory, {model_id: median(values) for model_id, values in loads.items()}


def _facts(run: Run) -> dict[str, str]:
    named = {"toolgauge": "toolgauge", "llama-cpp-python": "llama-cpp-python", "llguidance": "llguidance"}
    software = [f"{name} {run.versions[key]}" for key, name in named.items() if run.versions.get(key)]
    if run.llama_build:
        software[1:2] = [run.llama_build]
    host = run.host
    machine = [
        str(host[key]) if key in ("cpu", "os") else f"{host[key]} cores" if key == "cores" else numbers.size(host[key])
        for key in ("cpu", "cores", "memory_bytes", "os")
        if host.get(key)
    ]
    gpu = host.get("gpu")
    machine.append(f"{gpu} ({numbers.size(host.get('gpu_memory_bytes'))})" if gpu else "no GPU")
    return {"software": ", ".join(software), "machine": ", ".join(machine)}


def _formats(run: Run, cells: Sequence[Judged]) -> dict[str, str]:
    """The native format that each model was taken to write, and what a person has put in the place of its own."""
    by_model = {judged.cell.model.name: judged.cell.model.format or "none known" for judged in cells}
    alike = len(set(by_model.values())) == 1
    found = list(dict.fromkeys(by_model.values())) if alike else [f"{name} {fmt}" for name, fmt in by_model.items()]
    settings = {"format": "--format", "chat_template": "--chat-template", "reasoning_effort": "--reasoning-effort"}
    found += [f"{option} {run.config[key]}" for key, option in settings.items() if run.config.get(key)]
    thinking = run.config.get("thinking")
    if thinking is not None:
        found.append(f"--thinking {'on' if thinking else 'off'}")
    return {"format": ", ".join(found)} if found else {}


def _disagreements(cells: Sequence[Judged]) -> Iterator[Disagreement]:
    """Each finding of the self-check once, with all the levels of the model that have it."""
    quants: dict[tuple[str, Finding], list[str]] = {}
    for judged in cells:
        for finding in judged.cell.model.findings:
            found = quants.setdefault((judged.cell.model.name, finding), [])
            if judged.level not in found:
                found.append(judged.level)
    for (model, finding), levels in quants.items():
        yield Disagreement(model, tuple(levels), finding.name, finding.message, finding.rendered, finding.expected)


def _in_words(found: Disagreement) -> str:
    return f"Self-check of {found.model}, {found.name}: {found.message}."


def _warnings(run: Run, cells: Sequence[Judged]) -> Iterable[str]:
    limit = run.config.get("limit")
    if limit:
        cases = numbers.plural(limit, "case")
        yield f"Only {cases} of each suite ran (--limit {limit}): for trying out, not for deciding."
    if run.finished_utc is None:
        done = f"{numbers.count(sum(len(judged.items) for judged in cells))} of {numbers.count(run.n_items)}"
        yield f"The run is unfinished, with {done} answers; running the same command again goes on."
    n_unjudged = sum(len(judged.items) - len(judged.verdicts) - judged.n_stale for judged in cells)
    if n_unjudged:
        yield f"{numbers.plural(n_unjudged, 'answer')} not judged yet: `toolgauge score {run.id}` does it."
    yield from _reasons(item.error.message for judged in cells for item in judged.items if item.error)


def _reasons(messages: Iterable[str]) -> Iterator[str]:
    """The commonest reasons for having no verdict; those that differ in their numbers only are one reason."""
    alike: dict[str, list[str]] = {}
    for message in messages:
        alike.setdefault(re.sub(r"[\d,.]+", "0", message), []).append(message)
    for found in sorted(alike.values(), key=len, reverse=True)[:_MOST_REASONS]:
        example = "" if len(set(found)) == 1 else ", for example"
        yield f"Not scored, {numbers.plural(len(found), 'answer')}{example}: {found[0]}"


def _failures(store: Store, cells: Sequence[Judged]) -> Iterable[Failure]:
    for judged in cells:
        steps = store.steps_of(judged.cell.id)
        for item in judged.items:
            score = judged.verdicts.get(item.id)
            if score is None or _is_right(score):
                continue
            yield Failure(
                item=item.case_id,
                quant=judged.level,
                mode=judged.cell.mode,
                outcome=score.outcome,
                explanation=str(score.details.get("explanation", "")),
                text="\n".join(step.generation.text for step in steps.get(item.id, ())),
            )
