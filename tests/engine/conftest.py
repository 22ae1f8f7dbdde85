"""A tiny model with random weights, loaded once for all tests of the engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.llama import LoadParams, Model, load_model
from tests.tiny_gguf import write_tiny_model


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "tiny.gguf", seed=7)


@pytest.fixture(scope="session")
def tiny_model(tiny_path: Path) -> Iterator[Model]:
    with load_model(tiny_path, LoadParams(n_gpu_layers=0)) as model:
        yield model
