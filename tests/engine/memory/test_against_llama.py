"""The prediction against what llama.cpp allocates on the CPU, for every architecture of the registry and some more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.gguf_file import read_gguf
from engine.llama import Model, load_model
from engine.llama.log import BufferKind
from engine.memory import CannotPredict, Predictor, Settings, read_layout
from engine.shapes import Dense
from tests.engine.memory.allocations import allocated
from tests.engine.memory.sizes import SHAPES, write_hollow
from tests.engine.tiny_hybrid import write_tiny_hybrid

ON_HOST = ()
SETTINGS = {
    "one answer": Settings(8192, devices=ON_HOST),
    "an odd length": Settings(5000, devices=ON_HOST),
    "quantized": Settings(4096, n_slots=4, type_k="q8_0", type_v="q8_0", devices=ON_HOST),
    "more quantized": Settings(8192, n_slots=4, type_k="q4_0", type_v="q4_0", devices=ON_HOST),
    "keys apart": Settings(2048, n_slots=8, n_spare=2, type_k="q8_0", devices=ON_HOST),
    "a cache each": Settings(2048, n_slots=4, unified=False, devices=ON_HOST),
    "an odd cache each": Settings(1111, n_slots=7, unified=False, devices=ON_HOST),
    "windows": Settings(4096, n_slots=3, swa_full=False, n_ubatch=128, devices=ON_HOST),
    "windows each": Settings(4096, n_slots=3, swa_full=False, unified=False, devices=ON_HOST),
    "no flash attention": Settings(2048, n_slots=2, flash_attn=False, n_ubatch=64, devices=ON_HOST),
    "too few cells": Settings(8192, n_slots=4, n_cells=10_000, devices=ON_HOST),
}
SMALL_BYTES = 4 << 20
PROMISE = 0.02


@pytest.fixture(scope="module", params=sorted(SHAPES))
def shaped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Model]]:
    path = write_hollow(tmp_path_factory.mktemp("hollow") / f"{request.param}.gguf", SHAPES[request.param])
    with load_model(path) as model:
        yield path, model


def predictor(path: Path) -> Predictor:
    file = read_gguf(path)
    return Predictor(read_layout(file.metadata, file.tensors), file.tensors)


def predicted(path: Path, settings: Settings) -> dict[BufferKind, int]:
    place = predictor(path).estimate(settings).host
    return {"model": place.weights_bytes, "kv": place.kv_bytes, "rs": place.state_bytes, "output": place.output_bytes}


@pytest.mark.parametrize("name", SETTINGS)
def test_weights_caches_and_states_are_as_llama_cpp_allocates_them(shaped: tuple[Path, Model], name: str) -> None:
    path, model = shaped
    settings = SETTINGS[name]
    if predictor(path).layout.is_latent and settings.type_k != settings.type_v:
        settings = replace(settings, type_v=settings.type_k)  # anything else is refused, see below
    real = allocated(model, settings)
    n_compared = 0
    for kind, n_bytes in predicted(path, settings).items():
        # llama.cpp prints hundredths of a MiB, which is not enough to compare small buffers by
        if real[kind] >= SMALL_BYTES:
            assert n_bytes == pytest.approx(real[kind], rel=PROMISE), kind
            n_compared += 1
        else:
            assert n_bytes == pytest.approx(real[kind], rel=PROMISE, abs=0.1 * 2**20), kind
    assert n_compared >= 2
    # a rule of thumb
    scratch = predictor(path).estimate(settings).host.compute_bytes
    assert scratch == pytest.approx(real["compute"], rel=0.5)


def test_layers_that_have_both_kinds_of_memory_or_none(tmp_path: Path) -> None:
    """Jamba: told apart by the number of key and value heads."""
    path = write_tiny_hybrid(tmp_path / "jamba.gguf")
    settings = Settings(8192, n_slots=200, n_cells=200_000, devices=ON_HOST)
    with load_model(path) as model:
        real = allocated(model, settings)
    found = predicted(path, settings)
    assert found["kv"] == pytest.approx(real["kv"], rel=PROMISE)
    assert found["rs"] == pytest.approx(real["rs"], rel=PROMISE, abs=0.01 * 2**20)


@pytest.mark.parametrize(
    ("arch", "settings", "why"),
    [
        ("deepseek2", Settings(1024, type_k="q8_0", devices=ON_HOST), "the same --kv-type"),
        ("qwen3", Settings(1024, type_v="q4_0", flash_attn=False, devices=ON_HOST), "need flash attention"),
        ("narrow", Settings(1024, type_k="q8_0", devices=ON_HOST), "divides by 32"),
    ],
)
def test_what_llama_cpp_refuses_is_refused(arch: str, settings: Settings, why: str, tmp_path: Path) -> None:
    narrow = Dense.model_validate({**SHAPES["qwen3"].model_dump(), "head_dim": 80})
    path = write_hollow(tmp_path / "model.gguf", SHAPES.get(arch, narrow))
    with pytest.raises(CannotPredict, match=why):
        predictor(path).estimate(settings)
    with load_model(path) as model, pytest.raises(AssertionError, match=r"cache type|Flash Attention|flash_attn"):
        allocated(model, settings)
