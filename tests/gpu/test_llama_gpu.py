from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.errors import OutOfMemory
from engine.llama import ContextParams, Device, LoadParams, Model, devices, load_model, supports_gpu
from tests.tiny_gguf import write_tiny_model

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def card() -> Device:
    """The first GPU that llama.cpp can use."""
    found = [device for device in devices() if device.kind == "gpu"] if supports_gpu() else []
    if not found:
        pytest.skip("this llama.cpp has no GPU support, or finds no GPU")
    return found[0]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "tiny.gguf", width=256)


@pytest.fixture
def on_card(card: Device, path: Path) -> Iterator[Model]:
    with load_model(path, LoadParams(n_gpu_layers=-1)) as model:
        yield model


def logits(model: Model) -> np.ndarray:
    with model.context(ContextParams(n_ctx=256, n_threads=1)) as context:
        batch = context.batch()
        row = batch.add(model.tokenize("What is the weather"), position=0, sequence=0, n_outputs=1)
        context.decode(batch)
        context.synchronize()
        return context.logits(row).copy()


def test_the_card_computes_what_the_processor_computes(on_card: Model, path: Path) -> None:
    with load_model(path, LoadParams(n_gpu_layers=0)) as on_processor:
        np.testing.assert_allclose(logits(on_card), logits(on_processor), atol=0.1)


def test_weights_and_cache_are_on_the_card(on_card: Model, card: Device) -> None:
    with on_card.context(ContextParams(n_ctx=256)) as context:
        kinds = {buffer.kind for buffer in on_card.buffers + context.buffers if buffer.device == card.name}
    assert {"model", "kv", "compute"} <= kinds


def test_a_cache_larger_than_the_card_is_an_error_with_a_way_out(on_card: Model, card: Device) -> None:
    n_cells = 2 * card.total_bytes // (2 * 2 * 128 * 2)  # layers, K and V, width of the one KV head, bytes of a half
    with pytest.raises(OutOfMemory, match=rf"asked for on {card.name}, .* are missing; what would fit: a context of"):
        on_card.context(ContextParams(n_ctx=int(n_cells)))
    assert np.isfinite(logits(on_card)).all()
