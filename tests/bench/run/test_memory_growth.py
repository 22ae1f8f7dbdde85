"""A long run takes no more memory than a short one: neither the process that stores nor the one that answers grows."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import psutil

from bench.results.store import Store
from bench.run.events import Event, ItemDone
from bench.run.execute import execute
from bench.run.judge import verdict
from bench.run.loading import open_model
from engine.fake import TEMPLATE, fake_model
from engine.formats.hermes import HermesFormat
from engine.prompt import PromptBuilder
from engine.types import Message, Sampling, Tool
from tests.bench.scripted import PROVENANCE, fake, plan_of

# 10,000 answers were measured by hand: parent and worker grow by less than 1 MiB, all of it in the first 2,000. What
# grew without end by as little as 1.5 KiB for each answer would be seen in these.
N_ITEMS, N_WARM_UP = 3000, 1000
LIMIT_BYTES = 3 << 20


def test_thousands_of_answers_leave_nothing_behind(tmp_path: Path) -> None:
    me = psutil.Process()
    sizes: dict[int, tuple[int, int]] = {}
    n_done = 0

    def listen(event: Event) -> None:
        nonlocal n_done
        if isinstance(event, ItemDone):
            n_done += 1
            if n_done in (N_WARM_UP, N_ITEMS - 10):  # near the end the worker may be gone
                worker = max(me.children(recursive=True), key=lambda child: child.memory_info().rss)
                sizes[n_done] = me.memory_info().rss, worker.memory_info().rss

    plan = plan_of(
        tmp_path,
        [fake("fake:perfect")],
        n_cases=49,
        with_episode=True,
        modes=("native.free", "json.schema"),
        trials=N_ITEMS // 100,
        sampling=Sampling(temperature=1.0),
        parallel=4,
    )
    assert plan.n_items == N_ITEMS
    with Store.open(tmp_path / "results.db") as store:
        execute(store, plan, PROVENANCE, opener=open_model, scorer=verdict, listener=listen)
    early, late = sizes.values()
    grown = [after - before for before, after in zip(early, late, strict=True)]
    assert max(grown) < LIMIT_BYTES, f"parent and worker grew by {grown} bytes"


def test_other_tools_in_every_case_leave_nothing_behind() -> None:
    builder = PromptBuilder(fake_model("fake:silent", perfect=None), TEMPLATE, HermesFormat(), "native")

    def build(numbers: range) -> None:
        for number in numbers:
            tool = Tool(f"tool_{number}", f"{number:04}" * 500, {"type": "object", "properties": {}})
            builder.build([Message("user", "Hello.")], [tool])

    tracemalloc.start()
    try:
        build(range(80))
        early, _ = tracemalloc.get_traced_memory()
        build(range(80, 160))
        late, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert late - early < 500_000, "of 80 prefixes of 2,000 tokens at least 30 are still there"
