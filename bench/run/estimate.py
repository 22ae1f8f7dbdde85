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
from bench.run import axes
from bench.run.plan import Plan, PlannedModel
from bench.run.todo import todo

Kind = Literal["item", "sample"]
_At = tuple[tuple[str, Any], ...]  # context settings

_N_FIRST = 8  # answers of a model after which its pace is believed

_ITEM_SPEEDS = """
SELECT gguf_sha256, context, mode, count(*) AS n, avg(total_s / n_slots) AS mean_s FROM item
JOIN cell ON cell.id = item.cell_id JOIN model ON model.id = cell.model_id JOIN run ON run.id = cell.run_id
WHERE error IS NULL AND run.host = ? GROUP BY gguf_sha256, context, mode
"""
_SAMPLE_SPEEDS = """
SELECT gguf_sha256, context, mode, count(*) AS n, avg(total_s) AS mean_s FROM latency_sample
JOIN cell ON cell.id = latency_sample.cell_id JOIN model ON model.id = cell.model_id JOIN run ON run.id = cell.run_id
WHERE error IS NULL AND run.host = ? GROUP BY gguf_sha256, context, mode
"""
_LOADS = """
SELECT gguf_sha256, context, '' AS mode, count(*) AS n, avg(load_s) AS mean_s FROM model_load
JOIN model ON model.id = model_load.model_id JOIN run ON run.id = model.run_id
WHERE load_s IS NOT NULL AND run.host = ? GROUP BY gguf_sha256, context
"""


@dataclass(frozen=True, slots=True)
class Estimate:
    remaining_s: float
    basis: str  # completes "estimated from ..."


def from_history(store: Store, plan: Plan, host: Mapping[str, Any], stored: Stored) -> Estimate | None:
    """From earlier items of the same files in the same modes on this machine; None unless all of them are known.

    A file's answers at other context settings stand in for those at settings that were never measured.
    """
    here = json.dumps(host, separators=(",", ":"))  # as the result file has it
    items, samples, loads = (_History(store, sql, here) for sql in (_ITEM_SPEEDS, _SAMPLE_SPEEDS, _LOADS))
    total_s = 0.0
    for model in plan.models:
        left = todo(plan, model, stored)
        at = _at(plan.context_of(model))
        known = [items.mean_s(model, at, cell.mode.id) for cell, _ in left.items.values()]
        known += [samples.mean_s(model, at, cell.mode.id) for cell, _ in left.samples.values()]
        if None in known:
            return None
        total_s += sum(each_s for each_s in known if each_s is not None)
        total_s += (loads.mean_s(model, at) or 0.0) if left else 0.0
    return Estimate(total_s, "earlier runs of the same files here")


class _History:
    """Mean times of files in modes: at a context setting, or at whatever settings there were."""

    def __init__(self, store: Store, sql: str, host: str) -> None:
        self._sums: dict[tuple[str, str, _At | None], tuple[int, float]] = {}
        for row in store.query(sql, (host,)):
            sha, mode, n, mean_s = row["gguf_sha256"], row["mode"], row["n"], row["mean_s"]
            for at in (_at(json.loads(row["context"])), None):
                n_before, sum_s = self._sums.get((sha, mode, at), (0, 0.0))
                self._sums[sha, mode, at] = n_before + n, sum_s + n * mean_s

    def mean_s(self, model: PlannedModel, at: _At, mode: str = "") -> float | None:
        anywhere = self._sums.get((model.gguf_sha256, mode, None), (0, 0.0))
        n, sum_s = self._sums.get((model.gguf_sha256, mode, at), anywhere)
        return sum_s / n if n else None


def _at(context: Mapping[str, Any]) -> _At:
    return tuple(axes.stored(context).items())


class Pace:
    """Learns from this run.

    A file at a setting that has not started is taken to be as slow as at the setting before, else as its size says.
    """

    def __init__(self, plan: Plan, stored: Stored) -> None:
        self._left = {model: todo(plan, model, stored) for model in plan.models}
        self._models, self._n_slots = plan.models, plan.config.n_slots
        self._seconds: dict[tuple[PlannedModel, Kind], float] = {}  # each item or sample, where the pace is known
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
        self._left[model].strike_off(key)
        if self._n_seen != _N_FIRST:
            return None
        self._seconds[model, kind] = (now_s - self._began_s) / _N_FIRST
        remaining_s = sum(self._model_s(other, now=model) for other in self._models)
        what = "items" if kind == "item" else "timed answers"
        return Estimate(remaining_s, f"the first {_N_FIRST} {what} of {model.label}")

    def _model_s(self, model: PlannedModel, now: PlannedModel) -> float:
        known = max(
            (other for other, _ in self._seconds),
            key=lambda other: (
                other is model,
                other.gguf_sha256 == model.gguf_sha256,
                other.setting == model.setting,
                other is now,
            ),
        )
        is_same_file = known.gguf_sha256 == model.gguf_sha256
        scale = 1.0 if is_same_file else model.gguf_bytes / max(1, known.gguf_bytes)
        left = self._left[model]
        return scale * (
            self._each_s(known, "item") * len(left.items) + self._each_s(known, "sample") * len(left.samples)
        )

    def _each_s(self, model: PlannedModel, kind: Kind) -> float:
        """Of what was not measured: an item is no slower than a sample, which has no others beside it to wait with."""
        if (model, kind) in self._seconds:
            return self._seconds[model, kind]
        if kind == "item":
            return self._seconds[model, "sample"]
        return self._seconds[model, "item"] * self._n_slots
