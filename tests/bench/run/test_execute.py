"""Running a plan in worker processes: what is stored, what is told, and what a dying worker costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench.records import ErrorKind, ItemRecord
from bench.results.rows import Item, Run
from bench.results.store import Store, StoreError
from bench.run import events
from bench.run.config import LatencySettings
from bench.run.drive import MAX_DEATHS
from bench.run.execute import Which, execute
from bench.run.judge import verdict
from bench.run.loading import open_model
from bench.run.plan import Plan, versions
from bench.run.writer import NewScore, Provenance, begin_run
from bench.suites.case import Case
from engine.formats.hermes import HermesFormat
from grammars.errors import ToolgaugeError
from tests.bench.scripted import (
    PROVENANCE,
    fake,
    open_and_abort_at_the_first_sample_of,
    open_and_abort_later,
    open_and_die,
    open_q4_only,
    open_without_memory,
    plan_of,
)

here = pytest.mark.usefixtures("workers_here")  # what dies or is interrupted needs a process


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "results.db") as opened:
        yield opened


class Heard(list[events.Event]):
    """A listener that keeps what it hears."""

    def __call__(self, event: events.Event) -> None:
        self.append(event)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self if isinstance(event, kind)]


def run(store: Store, plan: Plan, **settings: Any) -> Run:
    return execute(store, plan, PROVENANCE, **{"opener": open_model, "scorer": verdict, **settings})


def items(store: Store, run: Run) -> list[Item]:
    return [item for cell in store.cells(run.id) for item in store.items(cell.id)]


def test_a_run_stores_answers_verdicts_samples_loads_and_memory(store: Store, tmp_path: Path) -> None:
    heard = Heard()
    plan = plan_of(tmp_path, with_episode=True, latency=LatencySettings(n_cases=2, repetitions=2))
    done = run(store, plan, listener=heard)
    assert done.finished_utc is not None
    assert done.llama_build == "scripted"
    assert len(items(store, done)) == plan.n_items == 8
    for cell in store.cells(done.id):
        assert {score.outcome for score in store.verdicts(cell.id).values()} == {"correct"}
        assert len(store.latency_samples(cell.id)) == 4
        assert all(sample.ttfc_s for sample in store.latency_samples(cell.id))
        warm = store.latency_samples(cell.id, warm=True)
        assert len(warm) == 2 and all(sample.n_cached for sample in warm)
    (load,) = store.loads(done.id)
    moments = {(reading.moment, reading.source) for reading in store.readings(load.id)}
    assert moments == {(m, s) for m in ("before", "loaded", "peak", "parallel") for s in ("rss", "vram")}
    (started,), (finished,) = heard.of(events.Started), heard.of(events.Finished)
    assert (started.resumed, started.n_done, finished.n_errors) == (False, 0, 0)
    assert len(heard.of(events.ItemDone)) == 8
    assert len(heard.of(events.SampleDone)) == 12


@here
def test_an_answer_is_kept_though_its_verdict_cannot_be_given(store: Store, tmp_path: Path) -> None:
    """A schema that the validator could not follow made every resumption die at the same answer."""

    def scorer(case: Case, record: ItemRecord) -> NewScore:
        if case.id == "mine/1":
            raise RecursionError("maximum recursion depth exceeded")
        return verdict(case, record)

    heard = Heard()
    plan = plan_of(tmp_path)
    done = run(store, plan, scorer=scorer, listener=heard)
    assert done.finished_utc is not None
    assert len(items(store, done)) == plan.n_items
    for cell in store.cells(done.id):
        assert len(store.verdicts(cell.id)) == 2
    assert all("mine/1 is stored and could not be judged (RecursionError" in w.text for w in heard.of(events.Warned))
    assert heard.of(events.Warned)


@here
def test_an_answer_is_stored_before_it_is_judged(store: Store, tmp_path: Path) -> None:
    """A verdict that took for ever lost the answer, and each resumption made the same one again."""
    seen = []

    def scorer(case: Case, record: ItemRecord) -> NewScore:
        with Store.read(store.path) as reader:
            stored = [item.case_id for cell in reader.cells(reader.run().id) for item in reader.items(cell.id)]
        seen.append(case.id in stored)
        return verdict(case, record)

    plan = plan_of(tmp_path, modes=["native.free"])
    done = run(store, plan, scorer=scorer)
    assert seen == [True] * plan.n_items
    (cell,) = store.cells(done.id)
    assert len(store.verdicts(cell.id)) == plan.n_items


@here
def test_what_an_earlier_start_did_not_judge_is_judged_by_the_next(store: Store, tmp_path: Path) -> None:
    """A process may be killed after it stored an answer and before it stored the verdict."""
    plan = plan_of(tmp_path, modes=["native.free"])
    done = run(store, plan, scorer=verdict)
    with store.transaction() as sql:
        sql.execute("DELETE FROM score WHERE item_id = 2")
        sql.execute("UPDATE run SET finished_utc = NULL")
    run(store, plan, scorer=verdict)
    (cell,) = store.cells(done.id)
    assert store.verdicts(cell.id).keys() == {item.id for item in store.items(cell.id)}


@here
def test_a_template_that_disagrees_with_the_format_is_told_and_kept(store: Store, tmp_path: Path) -> None:
    heard = Heard()
    agreeing = run(store, plan_of(tmp_path, n_cases=1), listener=heard)
    assert store.cells(agreeing.id)[0].model.findings == ()
    assert not heard.of(events.Warned)
    other = replace(fake(), template=str(fake().template).replace('"arguments": {{', '"parameters": {{'))
    done = run(store, plan_of(tmp_path, [other], n_cases=1), listener=heard)
    names = [finding.name for finding in store.cells(done.id)[0].model.findings]
    assert names == ["call-text-differs", "does-not-parse-back"]
    assert all(warning.text.startswith("fake:perfect: ") for warning in heard.of(events.Warned))
    assert len(heard.of(events.Warned)) == 2


@here
def test_two_runs_of_a_plan_are_equal_item_for_item(store: Store, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, with_episode=True)
    first, second = run(store, plan), run(store, plan)
    assert first.id != second.id

    def answers(done: Run) -> dict[str, Any]:
        return {
            item.key: [
                (step.prompt, step.generation.tokens, step.parsed, step.results) for step in store.steps(item.id)
            ]
            for item in items(store, done)
        }

    assert answers(first) == answers(second)


@here
def test_a_finished_run_is_not_touched_again_unless_it_is_named(store: Store, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, n_cases=1)
    first = run(store, plan)
    heard = Heard()
    again = run(store, plan, which=first.id, listener=heard)
    assert again.id == first.id
    assert heard.of(events.ItemDone) == heard.of(events.ModelLoading) == []
    other = plan_of(tmp_path, n_cases=2)
    with pytest.raises(ToolgaugeError, match="and another suite mine than now; use the same, or start anew with --new"):
        run(store, other, which=first.id)


NOW = replace(PROVENANCE, versions=versions())


@pytest.mark.parametrize(
    ("provenance", "model", "settings", "told"),
    [
        (NOW, {"gguf_sha256": "0" * 64}, {}, "another file fake:perfect"),
        (NOW, {"template": "another {{ template }}"}, {}, "another chat template of fake:perfect"),
        (NOW, {"format_id": "qwen_xml"}, {}, r"another format of fake:perfect \(hermes\)"),
        (NOW, {}, {"n_cases": 4}, "another suite mine"),
        (NOW, {}, {"modes": ["json.free"], "parallel": 1}, r"other settings \(modes\)"),
        (PROVENANCE, {"gguf_sha256": "0" * 64}, {}, r"another toolgauge \(0\) and .* and another file fake:perfect"),
    ],
)
def test_what_keeps_a_run_from_being_gone_on_with_is_named(
    provenance: Provenance, model: dict[str, Any], settings: dict[str, Any], told: str, store: Store, tmp_path: Path
) -> None:
    begin_run(store, plan_of(tmp_path), provenance)
    other = plan_of(tmp_path, [replace(fake(), **model)], **settings)
    with pytest.raises(ToolgaugeError, match=f"^run 1 was made with {told} than now; use the same, or start anew"):
        run(store, other, which=1)


def test_a_worker_that_dies_costs_what_was_in_flight_and_the_run_goes_on(store: Store, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, [fake("fake:silent")], n_cases=5, modes=["native.free"], parallel=1)
    heard = Heard()
    done = run(store, plan, opener=open_and_abort_later, listener=heard)
    found = items(store, done)
    assert [item.error and item.error.kind for item in found] == [None, None, ErrorKind.RUNTIME, None, None]
    died = found[2].error
    assert died is not None
    assert died.message == "the process of the model died: it was ended by SIGABRT"
    assert died.log[-1] == "ggml: the last words"
    (death,) = heard.of(events.WorkerDied)
    assert death.n_in_flight == 1
    assert heard.of(events.Finished)[0].n_errors == 1
    assert [load.error for load in store.loads(done.id)] == ["it was ended by SIGABRT", None]

    resumed = run(store, plan, which=done.id)
    assert resumed.id == done.id
    assert [(item.attempt, item.error) for item in items(store, resumed)] == [(n, None) for n in (1, 1, 2, 1, 1)]


@pytest.mark.parametrize("mode", ["native.free", "json.free"])
def test_a_warm_up_answer_that_kills_the_process_costs_one_sample(store: Store, tmp_path: Path, mode: str) -> None:
    latency = LatencySettings(n_cases=1, repetitions=2, warm_repetitions=0)
    plan = plan_of(tmp_path, [fake("fake:silent")], n_cases=2, latency=latency, parallel=1)
    heard = Heard()
    done = run(store, plan, opener=partial(open_and_abort_at_the_first_sample_of, mode), listener=heard)
    assert [item.error for item in items(store, done)] == [None] * 4
    samples = {
        (cell.mode, s.repetition): s.error for cell in store.cells(done.id) for s in store.latency_samples(cell.id)
    }
    message = "the process of the model died: it was ended by SIGABRT"
    assert samples.pop((mode, 0)) == message
    assert list(samples.values()) == [None] * 3
    (death,) = heard.of(events.WorkerDied)
    assert death.n_in_flight == 1


def test_a_worker_that_is_killed_is_said_to_be_killed(store: Store, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, [fake("fake:crash:2")], n_cases=2, modes=["native.free"], parallel=1)
    errors = [item.error for item in items(store, run(store, plan))]
    assert errors[0] is None
    assert errors[1] is not None
    assert errors[1].message.endswith("it was ended by SIGKILL; the system may have run out of memory")


def test_a_worker_that_always_dies_is_given_up(store: Store, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, n_cases=2)
    heard = Heard()
    with pytest.raises(
        ToolgaugeError, match=r"cannot be run here: its process died 3 times in a row, .*SIGABRT"
    ) as error:
        run(store, plan, opener=open_and_die, listener=heard)
    assert "; llama.cpp said last: ggml: the last words; this is llama.cpp itself: try another level" in str(
        error.value
    )
    assert len(heard.of(events.WorkerDied)) == MAX_DEATHS
    (unfinished,) = store.runs()
    assert unfinished.finished_utc is None
    assert run(store, plan).id == unfinished.id


@here
def test_a_run_whose_file_is_deleted_ends_at_once_and_says_so(store: Store, tmp_path: Path) -> None:
    """It went on to the end, printed its report, and there was nothing of it."""
    heard = Heard()

    def delete(event: events.Event) -> None:
        heard(event)
        if isinstance(event, events.ItemDone):
            store.path.unlink()

    with pytest.raises(StoreError, match=r"results\.db was deleted, moved or replaced"):
        run(store, plan_of(tmp_path), listener=delete)
    assert len(heard.of(events.ItemDone)) == 1


@here
def test_a_model_that_does_not_fit_says_so_in_the_engines_words(store: Store, tmp_path: Path) -> None:
    sentence = "fake:perfect does not fit into memory: 9 MiB are missing; take a smaller quantization"
    with pytest.raises(ToolgaugeError, match=f"^{sentence}$"):
        run(store, plan_of(tmp_path, n_cases=1), opener=open_without_memory)
    assert [load.error for load in store.loads(store.run("last").id)] == [sentence]


@here
def test_a_model_that_does_not_fit_does_not_keep_the_others_from_being_measured(store: Store, tmp_path: Path) -> None:
    large = replace(fake("fake:perfect", quant="F16"), path="fake:F16")
    plan = plan_of(tmp_path, [large, fake("fake:perfect", quant="Q4_K_M")], n_cases=2)
    heard = Heard()
    sentence = (
        r"^1 model file of 2 left out: fake:F16 does not fit into memory.*; `toolgauge report 1 --db .*` prints what"
    )
    with pytest.raises(ToolgaugeError, match=sentence):
        run(store, plan, opener=open_q4_only, listener=heard)
    assert [warned.text.startswith("fake:perfect F16 is left out") for warned in heard.of(events.Warned)] == [True]
    cells = store.cells(store.run("last").id)
    assert {cell.model.quant: len(store.items(cell.id)) for cell in cells} == {"F16": 0, "Q4_K_M": 2}


@here
def test_an_unfinished_run_that_other_versions_began_is_told_of(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def warnings_at(which: Which = "auto", **settings: Any) -> list[str]:
        heard = Heard()
        run(store, plan_of(tmp_path, n_cases=1, **settings), which=which, listener=heard)
        return [event.text for event in heard.of(events.Warned)]

    with monkeypatch.context() as earlier:
        earlier.setattr(HermesFormat, "version", "0")
        finished, begun = (run(store, plan_of(tmp_path, n_cases=1)) for _ in range(2))
    with store.transaction() as sql:
        sql.execute("UPDATE run SET finished_utc = NULL WHERE id = ?", (begun.id,))
    assert (finished.id, begun.id) == (1, 2)
    assert warnings_at("new") == []
    assert warnings_at() == ["run 2 was begun with other versions and is left as it is; a new run begins"]
    assert warnings_at(limit=1) == [], "another command is another run"


@here
def test_another_build_of_llama_cpp_is_another_run(store: Store, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, n_cases=1)
    done = run(store, plan)
    with store.transaction() as sql:
        sql.execute("UPDATE run SET llama_build = 'another'")
        sql.execute("DELETE FROM item")
    with pytest.raises(ToolgaugeError, match=r"begun with another llama.cpp \(another; now scripted\)"):
        run(store, plan, which=done.id)


@here
def test_an_estimate_comes_from_the_first_items_or_from_an_earlier_run(store: Store, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, n_cases=6, latency=LatencySettings(n_cases=1, repetitions=1))
    first, second = Heard(), Heard()
    run(store, plan, listener=first)
    (estimate,) = first.of(events.Estimated)
    assert estimate.basis == "the first 8 items of fake:perfect"
    assert estimate.remaining_s > 0
    assert first.index(estimate) > first.index(first.of(events.ItemDone)[7])

    run(store, plan, listener=second)
    told = second.of(events.Estimated)[0]
    assert told.basis == "earlier runs of the same files here"
    assert second.index(told) < second.index(second.of(events.ModelLoading)[0])
    seconds = sum(item.total_s / item.n_slots for item in items(store, store.run("1")))
    cells = store.cells(1)
    samples = [s.total_s for cell in cells for kind in (False, True) for s in store.latency_samples(cell.id, warm=kind)]
    loads = [load.load_s or 0 for load in store.loads(1)]
    assert told.remaining_s == pytest.approx(seconds + sum(samples) + sum(loads))
