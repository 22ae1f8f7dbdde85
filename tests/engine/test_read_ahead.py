"""A prompt's beginning that was decoded before its request came: the same answer, sooner, and for that one only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

import engine.decoder
from engine.decoder import LlamaRuntime
from engine.divergence import explain
from engine.fake import PREFILL_S_PER_TOKEN, FakeRuntime, fake_model
from engine.llama import ContextParams, LoadParams, Model, load_model
from engine.llama.context import DecodeError
from engine.runtime import Limits, Request, Runtime
from engine.types import Generation
from tests.engine.scripted_context import ScriptedContext, scripted
from tests.engine.tiny_hybrid import write_tiny_hybrid

PARAMS = ContextParams(n_ctx=512, n_batch=32, n_threads=1)
SHARED = "You can call tools. Each line describes one. " * 4


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    path = write_tiny_hybrid(tmp_path_factory.mktemp("hybrid") / "hybrid.gguf", seed=3)
    with load_model(path, LoadParams(n_gpu_layers=0)) as model:
        yield model


@pytest.fixture(params=["attention", "hybrid"])
def model(request: pytest.FixtureRequest, tiny_model: Model, hybrid: Model) -> Model:
    return tiny_model if request.param == "attention" else hybrid


def asked(model: Model, question: str = "Why?") -> Request:
    shared = tuple(model.tokenize(SHARED))
    prompt = shared + tuple(model.tokenize(question))
    return Request("key", prompt, n_shared=len(shared), limits=Limits(answer=24))


def answer(runtime: Runtime, request: Request, *, warm: bool = False) -> Generation:
    if warm:
        runtime.read_ahead(request.prompt[: request.n_shared])
    runtime.submit(request)
    while not (finished := runtime.step()):
        pass
    assert finished[0].generation and not finished[0].error
    return finished[0].generation


def test_a_warm_prefix_changes_nothing_but_noise_and_leaves_no_trace(model: Model) -> None:
    first, second = asked(model), asked(model, "And why not?")
    with LlamaRuntime(model, PARAMS) as runtime:
        cold = [answer(runtime, replace(each, n_shared=0)) for each in (first, second)]
        warm = [answer(runtime, each, warm=True) for each in (first, second)]
        again = [answer(runtime, replace(each, n_shared=0)) for each in (first, second)]
    assert [each.n_cached for each in cold + warm + again] == [0, 0, first.n_shared, first.n_shared, 0, 0]
    assert [each.tokens for each in again] == [each.tokens for each in cold]
    with model.context(PARAMS) as context:
        for request, ours, theirs in zip((first, second), cold, warm, strict=True):
            parting = explain(context, request.prompt, ours.tokens, theirs.tokens)
            assert parting is None or parting.cause == "noise"


def test_what_was_read_is_not_decoded_again(monkeypatch: pytest.MonkeyPatch, tiny_model: Model) -> None:
    monkeypatch.setattr(engine.decoder, "_context", scripted)
    request = asked(tiny_model)
    with LlamaRuntime(tiny_model, PARAMS) as runtime:
        assert isinstance(runtime.context, ScriptedContext)
        cold = answer(runtime, request)
        n_whole = runtime.context.n_tokens
        runtime.read_ahead(request.prompt[: request.n_shared])
        n_before = runtime.context.n_tokens
        warm = answer(runtime, request)
        n_rest = runtime.context.n_tokens - n_before
    assert cold.tokens == warm.tokens
    assert n_before - n_whole == request.n_shared > PARAMS.n_batch, "in several batches"
    assert n_rest == n_whole - request.n_shared


def test_another_request_does_not_begin_with_what_was_read_for_this_one(tiny_model: Model) -> None:
    request = asked(tiny_model)
    other = replace(request, prompt=request.prompt[1:], n_shared=request.n_shared - 1)
    with LlamaRuntime(tiny_model, PARAMS) as runtime:
        cold = answer(runtime, other)
        for stranger in (other, replace(other, n_shared=0)):
            runtime.read_ahead(request.prompt[: request.n_shared])
            found = answer(runtime, stranger)
            assert (found.n_cached, found.tokens) == (0, cold.tokens)
        assert answer(runtime, request).n_cached == 0, "it was for the one next request"


def test_only_an_idle_single_stream_reads_ahead(tiny_model: Model) -> None:
    request = asked(tiny_model)
    with LlamaRuntime(tiny_model, PARAMS) as runtime:
        runtime.submit(request)
        with pytest.raises(ValueError, match="idle"):
            runtime.read_ahead(request.prompt)
    with LlamaRuntime(tiny_model, PARAMS, 2) as runtime, pytest.raises(ValueError, match="single"):
        runtime.read_ahead(request.prompt)


def test_a_beginning_that_does_not_fit_is_an_error_and_harms_no_later_request(tiny_model: Model) -> None:
    request = asked(tiny_model)
    with LlamaRuntime(tiny_model, PARAMS) as runtime:
        cold = answer(runtime, request)
        with pytest.raises(DecodeError):
            runtime.read_ahead(request.prompt * 20)
        assert answer(runtime, request).tokens == cold.tokens
        assert answer(runtime, request, warm=True).n_cached == request.n_shared


def test_the_scripted_runtime_reads_ahead_too() -> None:
    request = replace(Request("key", tuple(range(65, 95))), n_shared=20)
    runtime = FakeRuntime(fake_model("fake:broken-json", perfect=None), n_slots=1)
    cold, warm = answer(runtime, replace(request, n_shared=0)), answer(runtime, request, warm=True)
    assert (cold.n_cached, warm.n_cached, warm.text) == (0, 20, cold.text)
    assert cold.timings.ttft_s and warm.timings.ttft_s
    assert cold.timings.ttft_s - warm.timings.ttft_s == pytest.approx(20 * PREFILL_S_PER_TOKEN)
