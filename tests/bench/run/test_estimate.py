"""How long a run will take, from its own first answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.results.rows import Stored
from bench.run.config import LatencySettings
from bench.run.estimate import Estimate, Pace
from bench.run.plan import Plan, PlannedModel
from tests.bench.scripted import fake, plan_of

NOTHING = Stored({}, frozenset(), frozenset())


def keys(plan: Plan, model: PlannedModel, kind: str) -> list[str]:
    return [
        planned.key for cell in plan.cells_of(model) for planned in (cell.items if kind == "item" else cell.samples)
    ]


def test_samples_give_a_first_estimate_and_items_a_better_one(tmp_path: Path) -> None:
    """20 items and 24 samples of each of two files, the second of half the size."""
    first, second = fake(quant="Q8_0"), replace(fake(quant="Q4_K_M"), gguf_bytes=500)
    latency = LatencySettings(n_cases=4, repetitions=2)
    plan = plan_of(tmp_path, [first, second], n_cases=10, parallel=4, latency=latency)
    pace = Pace(plan, NOTHING)
    told: list[Estimate] = []
    now_s = 100.0
    pace.begin(now_s)
    for kind, each_s in (("sample", 2.0), ("item", 1.0)):
        for key in keys(plan, first, kind):
            now_s += each_s
            estimate = pace.done(first, kind, key, now_s)
            if estimate:
                told.append(estimate)
    assert [estimate.basis for estimate in told] == [
        f"the first 8 {what} of fake:perfect Q8_0" for what in ("timed answers", "items")
    ]
    of_second_s = 0.5 * (20 * 2.0 + 24 * 2.0)
    assert told[0].remaining_s == pytest.approx((16 * 2.0 + 20 * 2.0) + of_second_s)
    assert told[1].remaining_s == pytest.approx(12 * 1.0 + 0.5 * (20 * 1.0 + 24 * 2.0))


def test_what_is_stored_is_no_longer_counted(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, n_cases=10, modes=["native.free"])
    (model,) = plan.models
    done = keys(plan, model, "item")[:1]
    pace = Pace(plan, Stored(dict.fromkeys(done, 1), frozenset(), frozenset()))
    pace.begin(0.0)
    told = [pace.done(model, "item", key, n + 1.0) for n, key in enumerate(keys(plan, model, "item")[1:])]
    assert [estimate for estimate in told if estimate] == [Estimate(1.0, "the first 8 items of fake:perfect")]
