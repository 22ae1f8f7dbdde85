"""Nothing but the plan decides an answer: the bundled model twice, one item at a time, item for item the same."""

from __future__ import annotations

from pathlib import Path

from bench.results.store import Store
from bench.run.config import RunConfig
from bench.run.execute import execute
from bench.run.judge import verdict
from bench.run.loading import open_model
from bench.run.plan import make_plan
from bench.run.prepare import BUNDLED, Nobody, models_for, provenance
from bench.suites.case import load
from engine.llama.params import ContextParams
from engine.runtime import Limits
from tests.bench.scripted import NO_LATENCY

CONFIG = RunConfig(
    models=(BUNDLED,),
    quants=("F16",),
    modes=("native.free", "native.schema", "json.free", "json.schema"),
    context=ContextParams(n_ctx=2048, n_threads=1),
    limits=Limits(64, reasoning=16),
    limit=7,  # one case of each category of `nano`
    parallel=1,
    latency=NO_LATENCY,
)


Answers = dict[tuple[str, str], list[tuple[str, tuple[int, ...]]]]


def answers(store: Store, run_id: int) -> Answers:
    """Text and tokens of every step, by mode and case."""
    return {
        (cell.mode, item.case_id): [(s.generation.text, s.generation.tokens) for s in store.steps(item.id)]
        for cell in store.cells(run_id)
        for item in store.items(cell.id)
    }


def test_a_run_and_its_repetition_are_identical_item_for_item(tmp_path: Path) -> None:
    plan = make_plan(CONFIG, models_for(CONFIG, Nobody()), [load("nano")])
    with Store.open(tmp_path / "twice.db") as store:
        first, second = (
            execute(store, plan, provenance(["test"]), opener=open_model, scorer=verdict, which="new") for _ in "AA"
        )
        assert first.id != second.id
        once, again = answers(store, first.id), answers(store, second.id)
    assert len(once) == plan.n_items == 28
    assert once == again
