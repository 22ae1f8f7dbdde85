"""Cut answers against real answers with that budget, by the bundled model: the same tokens, verdicts and causes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bench.audit.answerable import format_of
from bench.modes import MODES, NO_BACKEND
from bench.records import ItemRecord
from bench.run.config import RunConfig
from bench.run.execute import model_spec
from bench.run.loading import LoadedModel, open_model
from bench.run.messages import ItemFinished, ItemJob, Message, ModelSpec, Work
from bench.run.plan import make_plan
from bench.run.play import Player
from bench.run.prepare import BUNDLED, Nobody, models_for
from bench.score import score
from bench.score.truncation import truncation
from bench.suites.case import Suite, load
from bench.truncation import sweep as sweeping
from bench.truncation.cuts import Cutter, EndingKey, endings_of
from bench.truncation.sweep import Answered
from engine.llama.params import ContextParams
from engine.runtime import Limits
from engine.types import Sampling, StopReason
from engine.vocabulary import Vocabulary
from tests.bench.scripted import NO_LATENCY
from tests.bench.scripted import suite as scripted_suite

LARGEST = 48
BUDGETS = (6, 25)
MODES_TRIED = ("native.free", "native.schema", "json.schema")
CONFIG = RunConfig(
    models=(BUNDLED,),
    quants=("F16",),
    modes=MODES_TRIED,
    context=ContextParams(n_ctx=2048, n_threads=1),
    limits=Limits(LARGEST, reasoning=16),
    parallel=1,
    latency=NO_LATENCY,
)
Answers = Mapping[tuple[str, str], ItemRecord]


@dataclass(frozen=True)
class Bundled:
    """The bundled model, loaded once; it answers the same cases with any budget."""

    model: LoadedModel
    spec: ModelSpec
    suite: Suite

    def answers(self, budget: int, backend: str, sampling: Sampling) -> Answers:
        found: dict[str, ItemRecord] = {}

        def keep(message: Message) -> None:
            if isinstance(message, ItemFinished):
                found[message.key] = message.record

        spec = replace(self.spec, limits=replace(self.spec.limits, answer=budget), sampling=sampling)
        jobs = {
            f"{mode} {case.id}": ItemJob(f"{mode} {case.id}", case, mode, of(mode, backend), trial=0)
            for mode in MODES_TRIED
            for case in self.suite.cases
        }
        with self.model.runtime(single=False) as opened:
            Player(self.model, spec, keep).play(opened.runtime, jobs.values())
        return {(job.mode, job.case.id): found[key] for key, job in jobs.items()}


def of(mode: str, backend: str) -> str:
    return backend if MODES[mode].constrained else NO_BACKEND


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundled]:
    small = scripted_suite(tmp_path_factory.mktemp("suite"), 1, with_episode=True)  # short prompts, since all is slow
    suite = replace(small, cases=(*small.cases, load("nano").case("nano/single-2")))
    plan = make_plan(CONFIG, models_for(CONFIG, Nobody()), (suite,))
    spec = replace(model_spec(plan, plan.models[0], open_model), log_path=tmp_path_factory.mktemp("log") / "llama.log")
    yield Bundled(open_model(spec, Work((), ())), spec, suite)


def said(record: ItemRecord) -> list[tuple[object, ...]]:
    """What has to be the same, of every step."""
    return [
        (step.generation.tokens, step.generation.text, step.generation.stop, step.parsed, step.results)
        for step in record.steps
    ]


def looked_up(
    bundled: Bundled, before: Answers, backend: str, budgets: Sequence[int]
) -> tuple[Vocabulary, frozenset[EndingKey]]:
    endings = [
        ending
        for (mode, case_id), record in before.items()
        for ending in endings_of(
            bundled.suite.case(case_id), record, format_of(mode, "hermes"), mode, of(mode, backend), budgets
        )
    ]
    return sweeping._look(Path(bundled.spec.path), "hermes", endings, Path())


def exact_lengths(before: Answers, mode: str) -> list[int]:
    """Budgets that are spent just when an answer ends: the model would have ended it next, or the grammar just has."""
    return sorted(
        {
            len(step.generation.tokens)
            for (answered_in, _), record in before.items()
            for step in record.steps
            if answered_in == mode and step.generation.stop is StopReason.EOG
        }
    )


@pytest.mark.parametrize(
    ("backend", "sampling"),
    [("llguidance", Sampling()), ("gbnf", Sampling()), ("llguidance", Sampling(temperature=0.9, seed=7))],
    ids=["llguidance", "gbnf", "sampled"],
)
def test_a_cut_answer_is_a_real_one(bundled: Bundled, backend: str, sampling: Sampling) -> None:
    before = bundled.answers(LARGEST, backend, sampling)
    by_model, by_grammar = exact_lengths(before, "native.free"), exact_lengths(before, "json.schema")
    assert by_model and by_grammar
    budgets = sorted({*BUDGETS, by_model[0], *by_grammar[:2]})
    vocabulary, finished = looked_up(bundled, before, backend, budgets)
    assert finished  # some grammar ended an answer with the last token of a budget
    n_cut = 0
    for budget in budgets:
        real = bundled.answers(budget, backend, sampling)
        for (mode, case_id), record in before.items():
            case, expected = bundled.suite.case(case_id), real[mode, case_id]
            cutter = Cutter(format_of(mode, "hermes"), vocabulary, mode, of(mode, backend), finished)
            cut = cutter.cut(case, record, budget)
            assert said(cut) == said(expected), (mode, case_id, budget)
            assert (cut.end, cut.error) == (expected.end, expected.error)
            outcome, found = sweeping.judged(cutter, Answered(case, record, score(case, record).outcome), budget)
            assert outcome is score(case, expected).outcome
            assert found == truncation(expected)
            n_cut += cut is not record
    assert n_cut > 6
