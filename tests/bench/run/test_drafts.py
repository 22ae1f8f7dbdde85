"""Drafts against the suites: every mode under every constraint engine, alone and beside others, step by step.

An answer may part from the undrafted one only where two tokens are closer than kernels are exact; what follows in such
an episode is another conversation and is not compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

import bench.nano
from bench.modes import MODES, NO_BACKEND
from bench.records import ItemRecord
from bench.run.config import LatencySettings, RunConfig
from bench.run.execute import model_spec
from bench.run.loading import LoadedModel, open_model
from bench.run.messages import ItemFinished, ItemJob, Message, ModelSpec, Work
from bench.run.plan import PlannedModel, make_plan
from bench.run.play import Player
from bench.suites.case import Case, Suite, load
from engine.constraint import BACKENDS
from engine.divergence import explain
from engine.gguf_file import read_gguf
from engine.llama import ContextParams, LoadParams, Model, load_model
from engine.runtime import Limits
from engine.types import Generation, Timings
from tests.tiny_gguf import write_tiny_model

CONTEXT = ContextParams(n_ctx=2048, n_batch=512, n_threads=1)
NANO = Path(bench.nano.__file__).with_name("nano-f16.gguf")
SCHEMA = tuple(mode for mode in MODES if mode.endswith(".schema"))
SHORT = ("nano/single-1", "nano/parallel-1", "nano/recovery-1")  # one call, several, and an episode
LONG = ("quick/selection-1",)  # four times as long, so that it is read in several batches


@cache
def case(case_id: str) -> Case:
    return _suite(case_id.partition("/")[0]).case(case_id)


@cache
def _suite(name: str) -> Suite:
    return load(name)


class Playground:
    """A model, loaded once for each way to decode; plays cases with and without drafts."""

    def __init__(self, path: Path, model: Model, limits: Limits, log: Path) -> None:
        """`model`: to explain differences with."""
        self.path, self.model, self.limits, self.log = path, model, limits, log
        self._opened: dict[tuple[int, bool], tuple[LoadedModel, ModelSpec]] = {}

    def open(self, n_slots: int, *, draft: bool) -> tuple[LoadedModel, ModelSpec]:
        if (n_slots, draft) not in self._opened:
            template = read_gguf(self.path).template(tools=True)
            planned = PlannedModel("a", "F16", str(self.path), "0", 1, template, "a", "hermes", 2048)
            config = RunConfig(
                context=CONTEXT,
                limits=self.limits,
                parallel=n_slots,
                latency=LatencySettings(enabled=False),
                draft=draft,
                load=LoadParams(n_gpu_layers=0),
            )
            spec = model_spec(make_plan(config, (planned,), [_suite("nano")]), planned, open_model)
            spec = replace(spec, log_path=self.log)
            self._opened[n_slots, draft] = open_model(spec, Work((), ())), spec
        return self._opened[n_slots, draft]

    def play(
        self, mode: str, backend: str, n_slots: int, cases: Sequence[str], *, draft: bool
    ) -> dict[str, ItemRecord]:
        model, spec = self.open(n_slots, draft=draft)
        engine = backend if MODES[mode].constrained else NO_BACKEND
        messages: list[Message] = []
        with model.runtime(single=False) as opened:
            jobs = [ItemJob(each, case(each), mode, engine, 0) for each in cases]
            Player(model, spec, messages.append).play(opened.runtime, jobs)
        return {each.key: each.record for each in messages if isinstance(each, ItemFinished)}

    def compare(self, mode: str, backend: str, n_slots: int) -> Counter[str]:
        """How steps compare, and how many choices were drafted and accepted."""
        cases = SHORT if n_slots == 1 else SHORT + LONG  # how long a prompt is, no engine sees
        without = self.play(mode, backend, n_slots, cases, draft=False)
        drafted = self.play(mode, backend, n_slots, cases, draft=True)
        assert without.keys() == drafted.keys()
        found: Counter[str] = Counter()
        for key, record in drafted.items():
            for first, second in zip(without[key].steps, record.steps, strict=False):
                found["drafted"] += second.generation.n_drafted
                found["accepted"] += second.generation.n_accepted
                verdict = self._verdict(first.prompt, first.generation, second.generation)
                found[verdict] += 1
                if verdict != "same":
                    break
            else:
                assert (record.end, record.error) == (without[key].end, without[key].error)
                assert len(record.steps) == len(without[key].steps)
        return found

    def _verdict(self, prompt: str, first: Generation, second: Generation) -> str:
        if _plain(first) == _plain(second):
            return "same"
        if first.tokens == second.tokens:
            return "other figures"
        with self.model.context(replace(CONTEXT, n_seq_max=1)) as context:
            parting = explain(context, self.model.tokenize(prompt), first.tokens, second.tokens)
        return parting.cause if parting else "other stop"


def _plain(generation: Generation) -> Generation:
    """Without times, and without what is a sum of probabilities, which have noise of their own."""
    stats = generation.constraint and replace(generation.constraint, removed_mass=None)
    return replace(generation, timings=Timings(), n_drafted=0, n_accepted=0, n_cached=0, constraint=stats)


def kinds() -> Iterator[tuple[str, str, int]]:
    """Every mode, engine and number of slots that say something of their own."""
    for mode in MODES:
        for backend in BACKENDS if mode in SCHEMA else ("llguidance",):
            for n_slots in (1, 3) if backend == "llguidance" else (1,):
                yield mode, backend, n_slots


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playground]:
    with load_model(NANO, LoadParams(n_gpu_layers=0)) as model:
        yield Playground(NANO, model, Limits(answer=120), tmp_path_factory.mktemp("nano") / "llama.log")


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playground]:
    path = write_tiny_model(tmp_path_factory.mktemp("noise") / "noise.gguf")
    with load_model(path, LoadParams(n_gpu_layers=0)) as model:
        yield Playground(path, model, Limits(answer=48), path.with_suffix(".log"))


@pytest.mark.parametrize(("mode", "backend", "n_slots"), [*kinds()])
def test_the_bundled_model_answers_the_same(nano: Playground, mode: str, backend: str, n_slots: int) -> None:
    found = nano.compare(mode, backend, n_slots)
    assert found["accepted"] > 0
    assert {*found} <= {"same", "noise", "drafted", "accepted"}, found
    assert found["same"] > 4 * found["noise"], found


@pytest.mark.parametrize(("mode", "backend", "n_slots"), [*kinds()])
def test_random_weights_write_the_same(noise: Playground, mode: str, backend: str, n_slots: int) -> None:
    found = noise.compare(mode, backend, n_slots)
    assert found["drafted"] > 0
    assert {*found} <= {"same", "noise", "drafted", "accepted"}, found
