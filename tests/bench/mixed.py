"""A stored run with everything in it that a report has to tell: every outcome, every end, items without a verdict.

The answers are drawn from a seed, out of what cases call ideal, nearly right, and out of the ways in which models fail.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from random import Random

from bench.records import EpisodeEnd, ErrorKind, ItemError, ItemRecord, StepRecord
from bench.results.store import Store
from bench.run import writer
from bench.run.config import LatencySettings, RunConfig
from bench.run.judge import verdict
from bench.run.plan import PlannedItem, make_plan
from bench.suites.case import Case, load
from bench.suites.reference import reference_steps
from bench.suites.simulate import begin
from engine.types import Fragment, Parsed, StopReason
from tests.bench.episodes import generation
from tests.bench.scripted import PROVENANCE, fake

BROKEN = Fragment('{“name”: “add”, "arguments": {}}', "not JSON", 0)
FAILURES = ("near", "prose", "broken", "cut", "loop", "error", "at once", "again", "give up")
CUTS = (StopReason.LENGTH, StopReason.CONTEXT, StopReason.REPETITION, StopReason.REASONING_LENGTH)
WITHOUT_VERDICT = ("stale", "unjudged", "missing")


def mixed_run(
    folder: Path,
    suites: Sequence[str],
    *,
    quants: Sequence[str] = ("F16", "Q2_K"),
    modes: Sequence[str] = ("native.free", "native.schema"),
    limit: int | None = None,
    right: float = 0.5,
    gaps: float = 0.1,
    seed: int = 7,
) -> Path:
    """`right`: the share of ideal answers at the first level, less at each further one; `gaps`: of no verdict."""
    random = Random(seed)
    models = [replace(fake(quant=q), name="tiny", gguf_bytes=1000 - place) for place, q in enumerate(quants)]
    settings = LatencySettings(enabled=False)
    config = RunConfig(suites=tuple(suites), modes=tuple(modes), latency=settings, limit=limit)
    plan = make_plan(config, models, [load(suite) for suite in suites])
    path = folder / "results.db"
    with Store.open(path) as store:
        run_id = writer.begin_run(store, plan, PROVENANCE)
        for stored, planned in zip(store.cells(run_id), plan.cells, strict=True):
            ideal = right * (1 - 0.3 * list(quants).index(planned.model.quant))
            for item in planned.items:
                gap = random.choice(WITHOUT_VERDICT) if random.random() < gaps else ""
                kind = "ideal" if random.random() < ideal else random.choice(FAILURES)
                _put(store, run_id, stored.id, item, kind, gap, random)
        writer.release(store, run_id, finished=not gaps)
    return path


def _put(store: Store, run_id: int, cell_id: int, item: PlannedItem, kind: str, gap: str, random: Random) -> None:
    if gap == "missing":
        return
    found = replace(answer(item.case, kind, random), format_id="hermes", format_version="1")
    scores = [] if gap == "unjudged" else [verdict(item.case, found, stale=gap == "stale")]
    writer.put_item(store, run_id, cell_id, item, found, scores=scores)


def answer(case: Case, kind: str, random: Random) -> ItemRecord:
    """Play an answer of this kind; one that the case has no room for becomes another."""
    if kind == "error":
        error = ItemError(random.choice(list(ErrorKind)), "the gbnf backend cannot express 'pattern' at #/a")
        return ItemRecord(case.id, (), EpisodeEnd.ERROR, error)
    ideal = [Parsed(calls=step) for step in reference_steps(case)]
    if case.is_episode:
        ideal[-1] = Parsed(content="Done, it worked.")
    stop = StopReason.EOG
    match kind:
        case "near" if case.near_misses:
            near = random.choice(case.near_misses)
            steps = [*(Parsed(calls=calls) for calls in near.steps), Parsed(content=near.reply or "Done, it worked.")]
        case "broken":
            steps = [*ideal[: random.randrange(len(ideal))], Parsed(fragments=(BROKEN,))]
        case "cut":
            steps = [*ideal[: random.randrange(len(ideal))], Parsed(open_block=random.random() < 0.7)]
            stop = random.choice([*CUTS, StopReason.EOG])
        case "at once":
            steps = [Parsed(calls=tuple(chain.from_iterable(parsed.calls for parsed in ideal))), ideal[-1]]
        case "again" | "loop":
            steps = [parsed for parsed in ideal for _ in range(2 if kind == "again" else 4)]
        case "give up":
            steps = [ideal[0], Parsed(content="I am sorry, that could not be done: the tool failed.")]
        case "prose" | "near":
            steps = [Parsed(content="I can do that for you.")]
        case _:
            steps = ideal
    return _play(case, steps, stop)


def _play(case: Case, steps: Sequence[Parsed], stop: StopReason) -> ItemRecord:
    dialogue, made = begin(case), []
    for parsed, is_last in _until_silent(steps):
        reason = stop if is_last else StopReason.EOG
        dialogue.advance(parsed, reason)
        made.append(StepRecord(generation(parsed, reason), parsed, dialogue.results))
        if dialogue.end is not None:
            break
    return ItemRecord(case.id, tuple(made), dialogue.end or EpisodeEnd.STEP_LIMIT)


def _until_silent(steps: Sequence[Parsed]) -> Iterator[tuple[Parsed, bool]]:
    """The steps, and then words for as long as the dialogue wants some."""
    yield from ((parsed, number == len(steps) - 1) for number, parsed in enumerate(steps))
    while True:
        yield Parsed(content="Is there anything else?"), False
