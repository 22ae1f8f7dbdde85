"""Every architecture of shapes.toml, tiny and with random weights: written, loaded, decoded, and run to a report.

What is held here is that nothing between the header and the report depends on how a model is built inside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from bench.report.build import build
from bench.results.store import Store
from bench.run.execute import execute
from bench.run.judge import verdict
from bench.run.latency import answer
from bench.run.loading import open_model
from bench.score import Outcome
from engine.decoder import LlamaRuntime
from engine.divergence import explain
from engine.errors import ToolgaugeError
from engine.llama import ContextParams, LoadParams, load_model
from engine.llama.params import ContextParams as Settings
from engine.runtime import Limits, Request
from engine.shapes.mix import header
from engine.shapes.tokens import made_up_tokens
from engine.shapes.writer import write
from engine.types import Generation
from tests.bench.scripted import PROVENANCE, plan_of, planned
from tests.engine.shapes.every import N_TOKENS, TINY
from tests.tiny_gguf import CHAT_TEMPLATE

TOKENS = made_up_tokens(N_TOKENS, chat_template=CHAT_TEMPLATE)
TEXT = "What is the weather in Paris today, and in the other city of which you know?"
HYBRID = {"qwen35", "qwen35moe", "qwen3next", "nemotron_h", "nemotron_h_moe"}
SLIDING = {"gpt-oss", "gemma4"}
FileOf = Callable[[str], Path]


def test_these_are_the_architectures_there_are() -> None:
    attention = {"llama", "mistral3", "qwen2", "qwen3", "qwen3moe", "deepseek2", "deepseek32"}
    assert {*TINY} == attention | HYBRID | SLIDING


@pytest.fixture(scope="module")
def file_of(tmp_path_factory: pytest.TempPathFactory) -> FileOf:
    """The file of an architecture, written when it is first asked for."""
    folder = tmp_path_factory.mktemp("architectures")
    return cache(lambda arch: write(folder / f"{arch}.gguf", TINY[arch], "F16", TOKENS))


@pytest.mark.parametrize("arch", TINY)
def test_a_tiny_one_is_written_loaded_and_decoded(arch: str, file_of: FileOf) -> None:
    path = file_of(arch)
    assert path.stat().st_size < 4 << 20, "what is larger takes its time in every test"
    with load_model(path, LoadParams(n_gpu_layers=0)) as model:
        assert model.n_params == TINY[arch].n_params
        assert model.size_bytes == sum(tensor.n_bytes or 0 for tensor in header(TINY[arch], "F16").tensors)
        assert model.is_hybrid == (arch in HYBRID)
        assert bool(model.n_swa) == (arch in SLIDING)
        with model.context(ContextParams(n_ctx=256, n_threads=1)) as context:
            prompt = model.tokenize(TEXT)
            batch = context.batch()
            row = batch.add(prompt, position=0, sequence=0, n_outputs=1)
            for position in range(len(prompt), len(prompt) + 8):
                context.decode(batch)
                logits = context.logits(row)
                assert np.isfinite(logits).all()
                assert logits.std() > 0.01
                assert not logits[TOKENS.silent].any()
                batch = context.batch()
                row = batch.add([int(logits.argmax())], position=position, sequence=0, n_outputs=1)


@pytest.mark.parametrize("arch", TINY)
def test_a_tiny_one_is_drafted_for_or_says_that_it_cannot_be(arch: str, file_of: FileOf) -> None:
    """Taking back tokens must leave every kind of cache as it was; also where the window is shorter than the text."""
    params = ContextParams(n_ctx=512, n_threads=1)
    with load_model(file_of(arch), LoadParams(n_gpu_layers=0)) as model:
        if arch in HYBRID:
            with pytest.raises(ToolgaugeError, match="cannot be drafted"):
                LlamaRuntime(model, params, drafts=True)
            return
        pending = [Request(n, tuple(model.tokenize(TEXT * (n + 1))), limits=Limits(answer=100)) for n in range(3)]
        with LlamaRuntime(model, params, drafts=True) as runtime:
            plain = [_one(runtime, each) for each in pending]
            drafted = [_one(runtime, replace(each, draft=True)) for each in pending]
            assert sum(each.n_drafted - each.n_accepted for each in drafted) > 0, "something was taken back"
            for request, first, second in zip(pending, plain, drafted, strict=True):
                parting = explain(runtime.context, request.prompt, first.tokens, second.tokens)
                assert parting is None or parting.cause == "noise"


def _one(runtime: LlamaRuntime, request: Request) -> Generation:
    finished = answer(runtime, request)
    assert finished.generation, finished.error
    return finished.generation


@pytest.mark.parametrize("level", ["Q8_0", "Q4_K_M", "IQ4_XS", "Q3_K_M", "MXFP4"])
def test_quantized_blocks_decode_as_well(level: str, tmp_path: Path) -> None:
    shape = TINY["gpt-oss"].changed({"hidden_size": 256, "moe_intermediate_size": 256})
    path = write(tmp_path / "model.gguf", shape, level, TOKENS)
    with load_model(path, LoadParams(n_gpu_layers=0, check_tensors=True)) as model:
        assert model.size_bytes == sum(tensor.n_bytes or 0 for tensor in header(shape, level).tensors)
        with model.context(ContextParams(n_ctx=256, n_threads=1)) as context:
            batch = context.batch()
            row = batch.add(model.tokenize(TEXT), position=0, sequence=0, n_outputs=1)
            context.decode(batch)
            logits = context.logits(row)
            assert np.isfinite(logits).all()
            assert logits.std() > 0.01


@pytest.mark.usefixtures("workers_here")
@pytest.mark.parametrize("arch", ["qwen35", "nemotron_h_moe", "qwen3moe", "gemma4", "deepseek2"])
def test_the_whole_way_to_a_report(arch: str, file_of: FileOf, tmp_path: Path) -> None:
    model = planned(arch, file_of(arch))
    plan = plan_of(
        tmp_path,
        [model],
        n_cases=2,
        modes=("native.free", "native.schema"),
        limits=Limits(answer=48, reasoning=8),
        context=Settings(n_ctx=1024, n_threads=1),
        parallel=2,
    )
    with Store.open(tmp_path / "results.db") as store:
        done = execute(store, plan, PROVENANCE, opener=open_model, scorer=verdict)
        assert store.n_errors(done.id) == 0
        report = build(store, done, with_failures=True)
    (section,) = report.sections
    assert [row.mode for row in section.rows] == ["native.free", "native.schema"]
    assert section.n_cases == 2
    not_scored = {Outcome.RUNTIME_ERROR, Outcome.CONSTRAINT_ERROR, Outcome.TEMPLATE_ERROR, Outcome.CONTEXT_EXCEEDED}
    assert not {failure.outcome for failure in report.failures} & {outcome.value for outcome in not_scored}
