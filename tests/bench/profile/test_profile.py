"""Profiles of tiny shapes: the whole way from sizes to a page, and what is left on the disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bench.perf.methods import FORCED, FREE, UNFORCED
from bench.profile import page, profiler
from bench.profile.profiler import Asked, profile_shape
from bench.profile.values import Job, Profiled
from engine.errors import ToolgaugeError
from engine.llama.params import ContextParams, LoadParams
from tests.engine.shapes.every import TINY

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
        ("free, batched", 1),
        ("free, batched", 3),
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
    assert "| 3 answers at a time, free" in text
    assert "| 1 x 1,024        | host " in text
    assert "nothing is extrapolated" not in text
    cut = markdown.render(page.document(replace(wanted, n_layers=1), job, found, SOURCE))
    assert "Only the first 1 of 2 layers" in cut
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
