"""Small plans over the scripted runtime, for the tests of planning, storing and running."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.run.config import LatencySettings, RunConfig
from bench.run.loading import LoadedModel, Opened, open_model
from bench.run.messages import ModelSpec, Work
from bench.run.plan import Plan, PlannedModel, make_plan
from bench.run.writer import Provenance
from bench.suites.case import Suite, load
from engine.errors import OutOfMemory
from engine.fake import TEMPLATE, FakeRuntime, fake_model
from engine.gguf_file import read_gguf, sha256_of
from engine.runtime import Finished, Request
from tests.bench.episodes import raw_case, raw_episode, write_suite

NO_LATENCY = LatencySettings(enabled=False)
PROVENANCE = Provenance(argv=("run", "fake:perfect"), versions={"toolgauge": "0"}, host={"os": "Linux", "cpu": "any"})


def fake(name: str = "fake:perfect", *, quant: str = "") -> PlannedModel:
    return PlannedModel(
        name=name,
        quant=quant,
        path=name,
        gguf_sha256=hashlib.sha256(f"{name} {quant}".encode()).hexdigest(),
        gguf_bytes=1000,
        template=TEMPLATE.source,
        architecture="fake",
        format_id="hermes",
        n_ctx_train=8192,
    )


def suite(folder: Path, n_cases: int = 3, *, with_episode: bool = False, **changes: Any) -> Suite:
    """Sums, in two categories, each with a question of its own; the last one an episode of two calls if wanted."""
    cases = [
        raw_case(id=f"mine/{number}", category=("sums", "more")[number % 2], messages=_question(number), **changes)
        for number in range(n_cases)
    ]
    if with_episode:
        cases.append(raw_episode(id="mine/episode", category="episodes"))
    return load(write_suite(folder, *cases))


def _question(number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"Question {number}: what is 1 and 2?"}]


def plan_of(
    folder: Path,
    models: Sequence[PlannedModel] = (),
    *,
    n_cases: int = 3,
    with_episode: bool = False,
    modes: Sequence[str] = ("native.free", "json.free"),
    latency: LatencySettings = NO_LATENCY,
    **settings: Any,
) -> Plan:
    config = RunConfig(modes=tuple(modes), latency=latency, **settings)
    return make_plan(config, tuple(models) or (fake(),), (suite(folder, n_cases, with_episode=with_episode),))


@dataclass
class Recorded:
    """A runtime that lets another work and remembers what it was asked."""

    inner: FakeRuntime
    requests: list[Request] = field(default_factory=list)
    read: list[tuple[int, ...]] = field(default_factory=list)
    most_pending: int = 0

    @property
    def n_ctx(self) -> int:
        return self.inner.n_ctx

    @property
    def n_slots(self) -> int:
        return self.inner.n_slots

    @property
    def n_pending(self) -> int:
        return self.inner.n_pending

    def submit(self, request: Request) -> None:
        self.requests.append(request)
        self.inner.submit(request)
        self.most_pending = max(self.most_pending, self.n_pending)

    def read_ahead(self, tokens: tuple[int, ...]) -> None:
        self.read.append(tokens)
        self.inner.read_ahead(tokens)

    def step(self) -> Sequence[Finished]:
        return self.inner.step()


def open_without_memory(spec: ModelSpec, work: Work) -> LoadedModel:
    """A model that does not fit."""
    raise OutOfMemory(f"{spec.path} does not fit into memory: 9 MiB are missing; take a smaller quantization")


def open_and_die(spec: ModelSpec, work: Work) -> LoadedModel:
    """A library that aborts while it loads."""
    print("ggml: the last words", flush=True)
    os.abort()


def open_q4_only(spec: ModelSpec, work: Work) -> LoadedModel:
    """A machine on which only the smaller file fits."""
    return open_without_memory(spec, work) if spec.path.endswith("F16") else open_model(spec, work)


class _Aborting(FakeRuntime):
    """A library that dies of the third request."""

    def submit(self, request: Request) -> None:
        super().submit(request)
        if self.n_seen == 2:
            print("ggml: the last words", flush=True)
            os.abort()
        self.n_seen += 1

    n_seen = 0


def open_and_abort_later(spec: ModelSpec, work: Work) -> LoadedModel:
    model = open_model(spec, work)
    runtime = _Aborting(fake_model(spec.path, perfect=None), n_slots=spec.n_slots)
    model.runtime = lambda *, single: nullcontext(Opened(runtime))
    return model


@dataclass
class _AbortingAt(Recorded):
    """A library that dies of one sample, wherever it meets it."""

    key: str = ""

    def submit(self, request: Request) -> None:
        if request.key == self.key:
            os.abort()
        super().submit(request)


def open_and_abort_at_the_first_sample_of(mode: str, spec: ModelSpec, work: Work) -> LoadedModel:
    model = open_model(spec, work)
    deadly = next((job.key for job in work.samples if (job.mode, job.repetition) == (mode, 0)), "")

    def runtime(*, single: bool) -> AbstractContextManager[Opened]:
        inner = FakeRuntime(fake_model(spec.path, perfect=None), n_slots=1 if single else spec.n_slots)
        return nullcontext(Opened(_AbortingAt(inner, key=deadly)))

    model.runtime = runtime
    return model


def planned(name: str, path: Path) -> PlannedModel:
    """A file in a plan, as a run plans it; its hash is kept beside it."""
    facts = read_gguf(path)
    return PlannedModel(
        name=name,
        quant=facts.quant,
        path=str(path),
        gguf_sha256=sha256_of(facts, cache=path.parent / "hashes.json"),
        gguf_bytes=facts.n_bytes,
        template=facts.template(tools=True),
        architecture=facts.arch,
        format_id="hermes",
        n_ctx_train=facts.n_ctx_train or 0,
    )
