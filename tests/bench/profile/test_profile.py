"""Profiles of tiny shapes: the whole way from sizes to a page, and what is left on the disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench.perf.methods import FORCED, FREE, UNFORCED, Run
from bench.perf.workload import load_workload
from bench.profile import measure, page, profiler
from bench.profile.measure import _Profiler
from bench.profile.profiler import Asked, profile_shape
from bench.profile.values import FORCED_BATCHED, FREE_BATCHED, Job, Profiled
from engine.constraint import backend
from engine.errors import ConstraintError, ToolgaugeError
from engine.llama import Model, load_model
from engine.llama.params import ContextParams, LoadParams
from engine.runtime import Finished
from engine.shapes.tokens import made_up_tokens
from engine.shapes.writer import write
from engine.types import Generation, StopReason, Timings
from tests.engine.shapes.every import N_TOKENS, TINY

SOURCE = "made up"


@contextmanager
def bars(_label: str) -> Iterator[Callable[[float], None]]:
    yield lambda _fraction: None


def asked(folder: Path, arch: str = "qwen35", **more: object) -> Asked:
    return replace(Asked("tiny", TINY[arch], "Q8_0", folder), **more)  # type: ignore[arg-type]


def job_for(asked: Asked) -> Job:
    context = ContextParams(n_ctx=1024, n_batch=512, n_threads=1)
    return Job(str(asked.path), LoadParams(n_gpu_layers=0), context, (1, 3), 40, 80, 2)


@pytest.fixture(scope="module")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Asked, Job, Profiled]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.delenv("TOOLGAUGE_REAL_DATA", raising=False)
        wanted = asked(tmp_path_factory.mktemp("profile"))
        return wanted, job_for(wanted), profile_shape(wanted, job_for(wanted), bars)


def test_everything_is_measured_and_the_file_is_gone(profiled: tuple[Asked, Job, Profiled]) -> None:
    wanted, job, found = profiled
    assert not list(wanted.folder.iterdir())
    assert found.load_s > 0
    assert found.description.startswith("qwen35")
    assert [(rate.what, rate.n_slots) for rate in found.rates] == [
        ("prompt", 1),
        (FREE, 1),
        (FORCED, 1),
        (UNFORCED, 1),
        (FREE_BATCHED, 1),
        (FORCED_BATCHED, 1),
        (FREE_BATCHED, 3),
        (FORCED_BATCHED, 3),
    ]
    for rate in found.rates:
        assert not rate.problem
        assert rate.tok_per_s
        assert all(each > 0 for each in rate.tok_per_s)
        assert (rate.mask_s is None) == (rate.what not in (FORCED, UNFORCED))
        assert (rate.host_share is None) == (rate.what not in (FREE, FORCED, UNFORCED))
    assert len(found.rates[0].tok_per_s) == job.repetitions
    assert [memory.n_slots for memory in found.memory] == [1, 1, 3]
    for memory in found.memory:
        sizes = {buffer.kind: buffer.n_bytes for buffer in memory.buffers}
        assert {"model", "kv", "rs", "compute", "output"} == {*sizes}
        assert all(sizes[kind] > 0 for kind in ("model", "kv", "rs", "compute"))  # a few logits are 0.00 MiB
        assert memory.vram_bytes is None or memory.vram_scope


def test_the_values_survive_the_way_between_the_processes(profiled: tuple[Asked, Job, Profiled]) -> None:
    _wanted, job, found = profiled
    assert Profiled.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert Job.from_json(json.loads(json.dumps(job.to_json()))) == job


def test_the_page_says_what_was_measured_and_that_accuracy_was_not(profiled: tuple[Asked, Job, Profiled]) -> None:
    from bench.report import markdown

    wanted, job, found = profiled
    text = markdown.render(page.document(wanted, job, found, SOURCE))
    assert "Accuracy is not measured" in text
    assert "| one answer, constrained (llguidance)" in text
    assert "| 1 answer at a time, free" in text
    assert "| 3 answers at a time, free" in text
    assert "| 3 answers at a time, constrained (llguidance)" in text
    assert "| 1 x 1,024        | host " in text
    assert "nothing is extrapolated" not in text
    for is_on, words in ((True, "; with flash attention. "), (False, "; without flash attention. ")):
        assert words in markdown.render(page.document(wanted, job, replace(found, flash_attention=is_on), SOURCE))
    deeper = wanted.shape.changed({"num_hidden_layers": 3})
    cut = markdown.render(page.document(replace(wanted, shape=deeper, n_layers=2), job, found, SOURCE))
    assert "Only the first 2 of 3 layers" in cut
    document = page.to_json(wanted, job, found, SOURCE)
    json.dumps(document, allow_nan=False)
    assert document["accuracy"] is None
    assert document["is_whole"]
    assert document["memory"][0]["predicted"]["host_bytes"] > 0


def test_a_kept_file_is_used_again_and_kept_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = asked(tmp_path, "qwen3", keep=True, n_layers=1)
    stamps: list[int] = []
    monkeypatch.setattr(profiler, "_measured", lambda _job, _show: stamps.append(kept.path.stat().st_mtime_ns))
    profile_shape(kept, job_for(kept), bars)
    assert [file.name for file in tmp_path.iterdir()] == ["random-tiny-1layers-Q8_0-s0-r1.gguf"]
    profile_shape(replace(kept, keep=False), job_for(kept), bars)
    assert kept.path.exists()  # whoever kept it may want it again
    assert len(set(stamps)) == 1


def test_a_model_that_llama_cpp_refuses_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    wanted = asked(tmp_path, "qwen3")
    job = replace(job_for(wanted), context=replace(job_for(wanted).context, n_ctx=64))
    found = profile_shape(wanted, replace(job, batches=()), bars)
    free = found.rates[1]
    assert not free.tok_per_s
    assert "leave no room for an answer" in free.problem
    refused = replace(job, context=replace(job.context, flash_attn="off", type_v="q8_0"))
    with pytest.raises(ToolgaugeError) as raised:
        profile_shape(wanted, refused, bars)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


# What the measuring makes of what it meets


class Scripted:
    """A way of decoding whose answers draw as many joules as the counter of `Card` then shows."""

    def __init__(self, name: str, card: Card, joules: list[float | None]) -> None:
        self.name, self._card, self._joules = name, card, [0.0, 0.0, *joules]  # two answers are for warming up

    def prepare(self, _case: object) -> None:
        """There is no constraint."""

    def run(self, _prompted: object, n_tokens: int) -> Run:
        self._card.draw(self._joules.pop(0))
        return Run((1,) * n_tokens, n_tokens, n_tokens - 1, 0.05)


class Card:
    joules: float | None = 100.0

    def draw(self, joules: float | None) -> None:
        self.joules = None if joules is None or self.joules is None else self.joules + joules

    def read(self) -> Card:
        return self


def profiler_of(model: object, job: Job, meter: object = None) -> _Profiler:
    return _Profiler(cast(Any, model), job, cast(Any, meter or Card()), lambda _fraction: None)


@pytest.mark.parametrize(
    ("joules", "per_token"),
    [
        ([10.0, 10.0, 10.0, 10.0], 40 / (4 * 80)),
        ([10.0, 0.0, 30.0, 0.0], 40 / (4 * 80)),  # a counter that moves ten times a second; it was 30 / 320
        ([0.0, 0.0, 0.0, 0.0], None),
        ([10.0, 10.0, None, 10.0], None),
    ],
)
def test_an_answer_during_which_the_counter_stood_still_loses_nothing(
    joules: list[float | None], per_token: float | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    card = Card()
    monkeypatch.setattr(measure, "Ours", lambda name, *_args, **_options: Scripted(name, card, joules))
    model = SimpleNamespace(tokenize=lambda _text: [1] * 10)
    free, *_others = profiler_of(model, job_for(asked(tmp_path)), card)._streams(cast(Any, None))
    assert len(free.tok_per_s) == 4
    assert free.joules == (None if per_token is None else pytest.approx(per_token))


@pytest.mark.parametrize("n_built", [0, 1])
def test_no_answer_is_called_constrained_without_its_constraint(
    n_built: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A backend that refused all cases, or one: free answers filled the rows of constrained ones."""
    path = write(tmp_path / "tiny.gguf", TINY["qwen3"], "Q8_0", made_up_tokens(N_TOKENS))
    job = job_for(asked(tmp_path))

    def refusing(name: str, model: Model) -> Any:
        real, roots = backend(name, model), [case.root for case in load_workload().cases[:n_built]]

        def compile_some(root: object) -> object:
            if root not in roots:
                raise ConstraintError("llguidance does not take this vocabulary")
            return real.compile(cast(Any, root))

        return SimpleNamespace(compile=compile_some)

    monkeypatch.setattr(measure, "backend", refusing)
    with load_model(path) as model:
        profiler = profiler_of(model, job)
        with profiler._runtime(1024, 1) as runtime:
            rates = {rate.what: rate for rate in profiler._streams(runtime)}
        together = profiler._batched(2, constrained=True)
    assert bool(together.problem) == (n_built == 0)
    assert len(rates[FREE].tok_per_s) == 2 * job.repetitions
    for name in (FORCED, UNFORCED):
        assert len(rates[name].tok_per_s) == n_built * job.repetitions
        assert rates[name].problem == "llguidance does not take this vocabulary"
        assert (rates[name].mask_s is None) == (not n_built)


def test_answers_at_a_time_last_from_the_first_ones_beginning_to_the_last_ones_end(tmp_path: Path) -> None:
    """Sixteen prompts of which the last was read long after the first: only one answer's own time was counted."""
    ended = [
        Generation((1,) * 11, "", StopReason.LENGTH, 8, 0, n_first=1, timings=Timings(ttft_s=first, decode_s=1.0))
        for first in (0.1, 0.2, 0.6)
    ]
    waiting = [[Finished(number, generation)] for number, generation in enumerate(ended)]
    runtime = SimpleNamespace(n_slots=3, submit=lambda _request: None, step=lambda: waiting.pop())
    model = SimpleNamespace(n_vocab=N_TOKENS, vocabulary=lambda: SimpleNamespace(eog=()))
    profiler = profiler_of(model, job_for(asked(tmp_path)))

    class Pending(SimpleNamespace):
        @property
        def n_pending(self) -> int:
            return len(waiting)

    n_written, rate = profiler._answers(cast(Any, Pending(**vars(runtime))))
    assert n_written == 33
    assert rate == pytest.approx(30 / (1.6 - 0.1))
