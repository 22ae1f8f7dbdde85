"""A run in a process of its own, for tests that kill it: `python -m tests.bench.runner FOLDER`.

Prints a line for each thing that happened; ends as the command line does.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.results.store import Store
from bench.run.config import LatencySettings
from bench.run.events import Event, Finished, ItemDone, SampleDone, Started
from bench.run.execute import Interrupted, execute
from bench.run.judge import verdict
from bench.run.loading import open_model
from bench.run.plan import Plan
from tests.bench.scripted import PROVENANCE, fake, plan_of


def slow_plan(folder: Path) -> Plan:
    latency = LatencySettings(n_cases=1, repetitions=1)
    return plan_of(folder, [fake("fake:slow")], n_cases=3, with_episode=True, latency=latency, parallel=3)


def tell(event: Event) -> None:
    match event:
        case Started(run=run, n_done=n_done, resumed=resumed):
            print("started", run.id, n_done, resumed, flush=True)
        case ItemDone(item=item):
            print("item", item.key, flush=True)
        case SampleDone():
            print("sample", flush=True)
        case Finished(n_errors=n_errors):
            print("finished", n_errors, flush=True)


def main(folder: Path) -> int:
    with Store.open(folder / "results.db") as store:
        try:
            execute(store, slow_plan(folder), PROVENANCE, opener=open_model, scorer=verdict, listener=tell)
        except Interrupted as interrupted:
            print(interrupted, flush=True)
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
