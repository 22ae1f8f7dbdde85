"""A stored run with known answers, for the tests of reports and of the commands that read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.records import EpisodeEnd, ErrorKind, ItemError, ItemRecord
from bench.results.store import Store
from bench.run import writer
from bench.run.config import LatencySettings
from bench.run.judge import verdict
from bench.run.latency import nothing
from bench.run.messages import Reading
from bench.run.plan import Plan
from bench.run.writer import NewLoad
from bench.suites.case import Case
from engine import formats
from engine.types import Call, ConstraintStats, Generation, Parsed, StopReason
from tests.bench.episodes import play
from tests.bench.scripted import PROVENANCE, fake, plan_of

RIGHT, WRONG, CUT, BROKEN, INVALID = "right", "wrong", "cut", "broken", "invalid"


def record(case: Case, kind: str, *, constrained: bool) -> ItemRecord:
    """An answer to a case of `tests.bench.scripted.suite`: 1 and 2 are to be added."""
    if kind == BROKEN:
        error = ItemError(ErrorKind.CONSTRAINT, "the gbnf backend cannot express 'pattern' at #/a")
        return ItemRecord(case.id, (), EpisodeEnd.ERROR, error)
    arguments = {RIGHT: {"a": 1, "b": 2}, INVALID: {"a": "one", "b": 2}}.get(kind, {"a": 1, "b": 3})
    stop = StopReason.LENGTH if kind == CUT else StopReason.EOG
    answer = Parsed(open_block=True) if kind == CUT else [Call("add", arguments)]
    played = play(case, [answer], stop)
    stats = ConstraintStats(n_masked=10, n_interventions=1, removed_mass=0.25, n_forced=6) if constrained else None
    steps = tuple(
        replace(step, generation=_generation(step.generation, kind, stats), prompt=f"<|im_start|>user\n{case.id}")
        for step in played.steps
    )
    return replace(played, steps=steps, format_id="hermes", format_version=formats.NATIVE["hermes"].version)


def _generation(generation: Generation, kind: str, stats: ConstraintStats | None) -> Generation:
    text = f"\x1b[31m<tool_call> {kind} <script>alert(1)</script>"
    return replace(generation, text=text, tokens=tuple(range(20)), constraint=stats)


def stored_run(
    folder: Path,
    answers: Mapping[tuple[str, str], Sequence[str]],
    *,
    finished: bool = True,
    **settings: object,
) -> Path:
    """A result file with one run; `answers` are the kinds of answer to each case, by quant and mode."""
    quants = list(dict.fromkeys(quant for quant, _ in answers))
    models = [replace(fake(quant=quant), name="tiny", gguf_bytes=1000 - place) for place, quant in enumerate(quants)]
    modes = list(dict.fromkeys(mode for _, mode in answers))
    n_cases = max(map(len, answers.values()))
    latency = LatencySettings(n_cases=2, repetitions=1, warm_repetitions=0)
    plan = plan_of(folder, models, n_cases=n_cases, modes=modes, latency=latency, **settings)  # type: ignore[arg-type]
    path = folder / "results.db"
    with Store.open(path) as store:
        run_id = writer.begin_run(store, plan, PROVENANCE)
        _fill(store, plan, run_id, answers)
        writer.release(store, run_id, finished=finished)
    return path


def _fill(store: Store, plan: Plan, run_id: int, answers: Mapping[tuple[str, str], Sequence[str]]) -> None:
    cells = {(cell.model.quant, cell.mode): cell for cell in store.cells(run_id)}
    for model_id in dict.fromkeys(cell.model.id for cell in cells.values()):
        load_id = writer.put_load(store, run_id, model_id, NewLoad(0.5, 512, 4, "llama.cpp b1"))
        readings = (
            Reading("before", "rss", "", 10),
            Reading("peak", "rss", "", 1000),
            Reading("peak", "vram", "", None),
        )
        writer.put_readings(store, load_id, readings)
    for planned in plan.cells:
        cell = cells[(planned.model.quant, planned.mode.id)]
        kinds = answers[(planned.model.quant, planned.mode.id)]
        for item, kind in zip(planned.items, kinds, strict=False):
            found = record(item.case, kind, constrained=planned.mode.constrained)
            writer.put_item(store, run_id, cell.id, item, found, scores=[verdict(item.case, found)])
        for number, sample in enumerate(planned.samples, start=1):
            values = nothing("") | {
                "error": None,
                "key": sample.key,
                "case_id": sample.case.id,
                "repetition": sample.repetition,
                "n_prompt": 100,
                "n_tokens": 20,
                "n_first": 4 if planned.mode.constrained else 1,
                "n_forced": 10 if planned.mode.constrained else 0,
                "n_masked": 5 if planned.mode.constrained else 0,
                "prefill_s": 0.1 * number,
                "decode_s": 0.5,
                "mask_s": 0.001,
                "ttft_s": 0.1,
                "ttfc_s": 0.2 * number,
            }
            writer.put_sample(store, run_id, cell.id, values)
