from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.constraint import BACKENDS, backend
from engine.llama import LoadParams, Model, load_model


@pytest.fixture(scope="package")
def vocabulary_model(tiny_vocab: Path) -> Iterator[Model]:
    """A model of which only the small vocabulary is loaded."""
    with load_model(tiny_vocab, LoadParams(vocab_only=True)) as model:
        yield model


@pytest.fixture(scope="package")
def engines(vocabulary_model: Model) -> dict[str, Any]:
    return {name: backend(name, vocabulary_model) for name in BACKENDS}


@pytest.fixture(params=BACKENDS)
def engine(request: pytest.FixtureRequest, engines: dict[str, Any]) -> Any:
    return engines[request.param]
