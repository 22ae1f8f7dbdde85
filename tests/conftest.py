"""Fixtures for everybody: where real vocabularies and templates lie, if anywhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no failure: how long an example takes says nothing about the property it tests.
settings.register_profile("toolgauge", deadline=None)
settings.load_profile("toolgauge")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with `vocab/` and `templates/` named by TOOLGAUGE_REAL_DATA; skips where there is none."""
    folder = os.environ.get("TOOLGAUGE_REAL_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("TOOLGAUGE_REAL_DATA names no folder with real vocabularies and templates")
    return Path(folder)


@pytest.fixture(scope="session")
def tiny_vocab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF that holds only a small vocabulary; load it with `vocab_only=True`."""
    from tests.tiny_gguf import write_tiny_vocab

    return write_tiny_vocab(tmp_path_factory.mktemp("tiny") / "vocab.gguf")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF of two layers with random weights."""
    from tests.tiny_gguf import write_tiny_model

    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model.gguf")


@pytest.fixture
def workers_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs have their workers in this process: for tests that are not about the life or death of one."""
    from tests.bench.worker_here import WorkerHere

    monkeypatch.setattr("bench.run.drive.Worker", WorkerHere)
