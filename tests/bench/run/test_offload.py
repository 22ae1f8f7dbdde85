"""A card that this build of llama.cpp cannot use is told, not passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.results.store import Store
from bench.run import events, offload
from bench.run.execute import execute
from bench.run.loading import open_model
from engine.llama.params import LoadParams
from engine.meter import Gpu, Gpus
from tests.bench.scripted import PROVENANCE, plan_of

CARD = Gpus((Gpu(0, "RTX 4090", 24 << 30, 23 << 30),))


@pytest.mark.parametrize(
    ("n_gpu_layers", "can_offload", "cards", "begins"),
    [
        (99, False, Gpus(), "-ngl 99 has no effect"),
        (-1, False, CARD, "RTX 4090 stays idle"),
        (-1, False, Gpus(), None),
        (0, False, CARD, None),  # as asked
        (99, True, CARD, None),
    ],
)
def test_what_stays_idle_is_said(
    n_gpu_layers: int, can_offload: bool, cards: Gpus, begins: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offload, "supports_gpu", lambda: can_offload)
    monkeypatch.setattr(offload, "gpus", lambda: cards)
    told = offload.idle_cards(LoadParams(n_gpu_layers=n_gpu_layers))
    assert told is None if begins is None else (told or "").startswith(begins)


@pytest.mark.usefixtures("workers_here")
def test_a_run_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offload, "supports_gpu", lambda: False)
    monkeypatch.setattr(offload, "gpus", lambda: CARD)
    heard: list[events.Event] = []
    with Store.open(tmp_path / "results.db") as store:
        execute(store, plan_of(tmp_path), PROVENANCE, opener=open_model, listener=heard.append)
    assert sum(isinstance(event, events.Warned) and "stays idle" in event.text for event in heard) == 1
