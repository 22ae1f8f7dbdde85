"""The thin path whole: a GGUF with random weights through llama.cpp in a worker, stored and judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.report.build import build
from bench.results.rows import Run
from bench.results.store import Store
from bench.run.config import LatencySettings
from bench.run.execute import execute
from bench.run.judge import verdict
from bench.run.loading import open_model
from bench.run.plan import Plan, PlannedModel
from engine.llama.params import ContextParams
from engine.runtime import Limits
from tests.bench.scripted import NO_LATENCY, PROVENANCE, plan_of, planned
from tests.tiny_gguf import write_tiny_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> PlannedModel:
    folder = tmp_path_factory.mktemp("tiny")
    return planned("tiny", write_tiny_model(folder / "tiny.gguf"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "results.db") as opened:
        yield opened


def plan_for(
    tiny: PlannedModel,
    folder: Path,
    *modes: str,
    n_cases: int = 2,
    latency: LatencySettings = NO_LATENCY,
    draft: bool = False,
) -> Plan:
    return plan_of(
        folder,
        [tiny],
        n_cases=n_cases,
        modes=modes,
        latency=latency,
        draft=draft,
        limits=Limits(answer=48, reasoning=8),
        context=ContextParams(n_ctx=1024, n_threads=1),
        parallel=2,
    )


def run(store: Store, plan: Plan) -> Run:
    return execute(store, plan, PROVENANCE, opener=open_model, scorer=verdict)


def test_noise_is_stored_and_judged_free_and_constrained(store: Store, tiny: PlannedModel, tmp_path: Path) -> None:
    latency = LatencySettings(n_cases=1, repetitions=1)
    plan = plan_for(tiny, tmp_path, "native.free", "native.schema", "json.free", "json.schema", latency=latency)
    done = run(store, plan)
    assert store.n_errors(done.id) == 0
    for cell in store.cells(done.id):
        steps = [step for steps in store.steps_of(cell.id).values() for step in steps]
        assert len(steps) == 2
        assert len(store.verdicts(cell.id)) == 2
        (cold,), (warm,) = store.latency_samples(cell.id), store.latency_samples(cell.id, warm=True)
        assert cold.n_prompt == warm.n_prompt > warm.n_cached > cold.n_cached == 0
        assert cold.error is None and warm.error is None
        assert cold.n_masked is not None and (cold.n_masked == 0 or cell.backend != "none")
        for step in steps:
            assert step.generation.tokens
            assert (step.generation.constraint is None) == (cell.backend == "none")
        if cell.mode == "json.schema":
            assert all(step.generation.text.startswith('{"calls": [') for step in steps)
            assert cold.n_masked
    (load,) = store.loads(done.id)
    readings = {(reading.moment, reading.source): reading.n_bytes for reading in store.readings(load.id)}
    assert load.llama_build is not None
    assert "llama.cpp" in load.llama_build
    assert readings["peak", "kv"]
    assert readings["parallel", "kv"] == readings["peak", "kv"], "two short answers need no more than one long one"


def test_drafts_are_timed_beside_the_rest_and_write_the_same(store: Store, tiny: PlannedModel, tmp_path: Path) -> None:
    latency = LatencySettings(n_cases=1, repetitions=1)
    drafted = run(store, plan_for(tiny, tmp_path, "native.free", "native.schema", latency=latency, draft=True))
    assert store.n_errors(drafted.id) == 0
    for cell in store.cells(drafted.id):
        (with_draft,) = store.latency_samples(cell.id, drafted=True)
        (without,) = store.latency_samples(cell.id)
        assert with_draft.error is None and with_draft.text == without.text
        assert 0 < with_draft.n_accepted <= with_draft.n_drafted and without.n_drafted == 0
        steps = [step for steps in store.steps_of(cell.id).values() for step in steps]
        assert sum(step.generation.n_accepted for step in steps) > 0
    (section,) = build(store, drafted).sections
    for row in section.rows:
        assert row.speed.decode_tok_per_s and row.speed.decode_tok_per_s.n == 1, "the drafted one is not among them"
        assert row.speed.drafted_tok_per_s and 0 < (row.speed.drafts_accepted or 0) <= 1


def test_the_free_prompt_is_the_constrained_prompt(store: Store, tiny: PlannedModel, tmp_path: Path) -> None:
    done = run(store, plan_for(tiny, tmp_path, "native.free", "native.schema", n_cases=1))
    prompts = [[s.prompt for s in steps] for cell in store.cells(done.id) for steps in store.steps_of(cell.id).values()]
    assert prompts[0] == prompts[1]


def test_a_broken_file_is_one_sentence(store: Store, tiny: PlannedModel, tmp_path: Path) -> None:
    from grammars.errors import ToolgaugeError

    broken = tmp_path / "broken.gguf"
    broken.write_bytes(Path(tiny.path).read_bytes()[:50_000])
    plan = plan_for(replace(tiny, path=str(broken)), tmp_path, "json.free", n_cases=1)
    with pytest.raises(ToolgaugeError, match=r"broken\.gguf cannot be loaded by this llama\.cpp") as error:
        run(store, plan)
    assert "\n" not in str(error.value)
