"""How long a run will take: from the speeds of earlier runs on this machine, or from the first items of this one.

An estimate always says what it rests on; where nothing is known yet there is none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.plan import Plan, PlannedModel
from bench.rows import Stored
from bench.store import Store
from bench.todo import todo

_N_FIRST = 8  # items of a model after which its pace is believed

_ITEM_SPEEDS = """
SELECT gguf_sha256, mode, avg(total_s / n_slots) AS mean_s FROM item
JOIN cell ON cell.id = item.cell_id JOIN model ON model.id = cell.model_id JOIN run ON run.id = cell.run_id
WHERE error IS NULL AND run.host = ? GROUP BY gguf_sha256, mode
"""
_SAMPLE_SPEEDS = """
SELECT gguf_sha256, mode, avg(total_s) AS mean_s FROM latency_sample
JOIN cell ON cell.id = latency_sample.cell_id JOIN model ON model.id = cell.model_id JOIN run ON run.id = cell.run_id
WHERE error IS NULL AND run.host = ? GROUP BY gguf_sha256, mode
"""
_LOADS = """
SELECT gguf_sha256, avg(load_s) AS mean_s FROM model_load
JOIN model ON model.id = model_load.model_id JOIN run ON run.id = model.run_id
WHERE load_s IS NOT NULL AND run.host = ? GROUP BY gguf_sha256
"""


@dataclass(frozen=True, slots=True)
class Estimate:
    remaining_s: float
    basis: str  # completes "estimated from ..."


def from_history(store: Store, plan: Plan, host: Mapping[str, Any], stored: Stored) -> Estimate | None:
    """From earlier items of the same files in the same modes on this machine; None unless all of them are known."""
    here = (json.dumps(host, separators=(",", ":")),)
    items = {(row["gguf_sha256"], row["mode"]): row["mean_s"] for row in store.query(_ITEM_SPEEDS, here)}
    samples = {(row["gguf_sha256"], row["mode"]): row["mean_s"] for row in store.query(_SAMPLE_SPEEDS, here)}
    loads = {row["gguf_sha256"]: row["mean_s"] for row in store.query(_LOADS, here)}
    total_s = 0.0
    for model in plan.models:
        left = todo(plan, model, stored)
        sha = model.gguf_sha256
        item_cells = [(sha, cell.mode.id) for cell, _ in left.items.values()]
        sample_cells = [(sha, cell.mode.id) for cell, _ in left.samples.values()]
        if any(cell not in items for cell in item_cells) or any(cell not in samples for cell in sample_cells):
            return None
        total_s += sum(items[cell] for cell in item_cells) + sum(samples[cell] for cell in sample_cells)
        total_s += loads.get(sha, 0.0) if left else 0.0
    return Estimate(total_s, "earlier runs of the same files here")


class Pace:
    """Learns from the items of this run; a model that has not started is taken to be as slow as its file is large."""

    def __init__(self, plan: Plan, stored: Stored) -> None:
        self._n_items = {model.gguf_sha256: len(todo(plan, model, stored).items) for model in plan.models}
        self._n_samples = {model.gguf_sha256: len(todo(plan, model, stored).samples) for model in plan.models}
        self._models = plan.models
        self._n_slots = plan.config.parallel
        self._seconds: dict[str, float] = {}  # for each item, of the models whose pace is known
        self._n_seen = 0
        self._began_s = 0.0

    def begin(self, now_s: float) -> None:
        """A model is loaded; its items come next."""
        self._n_seen, self._began_s = 0, now_s

    def item(self, model: PlannedModel, now_s: float) -> Estimate | None:
        """One more item is done; gives an estimate once for each model, when its pace is first known."""
        self._n_items[model.gguf_sha256] -= 1
        self._n_seen += 1
        if self._n_seen != _N_FIRST:
            return None
        self._seconds[model.gguf_sha256] = (now_s - self._began_s) / _N_FIRST
        remaining_s = sum(self._model_s(other, like=model) for other in self._models)
        return Estimate(remaining_s, f"the first {_N_FIRST} items of {model.label}")

    def _model_s(self, model: PlannedModel, like: PlannedModel) -> float:
        known = self._seconds.get(model.gguf_sha256)
        item_s = known or self._seconds[like.gguf_sha256] * model.gguf_bytes / max(1, like.gguf_bytes)
        # A sample has the machine to itself, so it costs what an item costs beside all the others in flight.
        n_samples = self._n_samples[model.gguf_sha256]
        return item_s * (self._n_items[model.gguf_sha256] + n_samples * self._n_slots)
