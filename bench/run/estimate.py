"""How long a run will take: from the speeds of earlier runs on this machine, or from the first items of this one.

An estimate always says what it rests on; where nothing is known yet there is none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bench.results.rows import Stored
from bench.results.store import Store
from bench.run.plan import Plan, PlannedModel
from bench.run.todo import todo

Kind = Literal["item", "sample"]

_KINDS: tuple[Kind, ...] = ("item", "sample")
_N_FIRST = 8  # answers of a model after which its pace is believed

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
    """Learns from this run; a model that has not started is taken to be as slow as its file is large."""

    def __init__(self, plan: Plan, stored: Stored) -> None:
        self._left = {model.gguf_sha256: todo(plan, model, stored) for model in plan.models}
        self._models, self._n_slots = plan.models, plan.config.n_slots
        self._seconds: dict[tuple[str, Kind], float] = {}  # for each item or sample, of the models whose pace is known
        self._kind: Kind = "sample"
        self._n_seen = 0
        self._began_s = self._last_s = 0.0

    def begin(self, now_s: float) -> None:
        """A model is loaded; its first answer comes next."""
        self._n_seen, self._began_s, self._last_s = 0, now_s, now_s

    def done(self, model: PlannedModel, kind: Kind, key: str, now_s: float) -> Estimate | None:
        """One more is done; gives an estimate when the pace of this model's items, or samples, is first known."""
        if kind != self._kind:
            self._kind, self._n_seen, self._began_s = kind, 0, self._last_s
        self._last_s = now_s
        self._n_seen += 1
        self._left[model.gguf_sha256].strike_off(key)
        if self._n_seen != _N_FIRST:
            return None
        self._seconds[model.gguf_sha256, kind] = (now_s - self._began_s) / _N_FIRST
        remaining_s = sum(self._model_s(other, like=model) for other in self._models)
        what = "items" if kind == "item" else "timed answers"
        return Estimate(remaining_s, f"the first {_N_FIRST} {what} of {model.label}")

    def _model_s(self, model: PlannedModel, like: PlannedModel) -> float:
        is_known = any((model.gguf_sha256, kind) in self._seconds for kind in _KINDS)
        known, scale = (model, 1.0) if is_known else (like, model.gguf_bytes / max(1, like.gguf_bytes))
        left = self._left[model.gguf_sha256]
        return scale * (
            self._each_s(known, "item") * len(left.items) + self._each_s(known, "sample") * len(left.samples)
        )

    def _each_s(self, model: PlannedModel, kind: Kind) -> float:
        """Of what was not measured: an item is no slower than a sample, which has no others beside it to wait with."""
        if (model.gguf_sha256, kind) in self._seconds:
            return self._seconds[model.gguf_sha256, kind]
        if kind == "item":
            return self._seconds[model.gguf_sha256, "sample"]
        return self._seconds[model.gguf_sha256, "item"] * self._n_slots
