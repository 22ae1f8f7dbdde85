"""What of a plan is still to do, and in which order a worker does it. Pure functions over values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from bench.results.rows import Stored
from bench.run.messages import ItemJob, SampleJob, Work
from bench.run.plan import Plan, PlannedCell, PlannedItem, PlannedModel, PlannedSample
from bench.suites.case import Case

MAX_ATTEMPTS = 2  # an item that was in flight at a crash is tried once more by a resume


def is_done(stored: Stored, item: PlannedItem) -> bool:
    tries = stored.attempts.get(item.key, 0)
    return tries > 0 and not (item.key in stored.crashed and tries < MAX_ATTEMPTS)


def n_items_done(stored: Stored, plan: Plan) -> int:
    return sum(is_done(stored, item) for cell in plan.cells for item in cell.items)


def n_samples_done(stored: Stored, plan: Plan) -> int:
    return sum(sample.key in stored.samples for cell in plan.cells for sample in cell.samples)


@dataclass(slots=True)
class Todo:
    """The open items and samples of one model, by key, in the order of work; what is stored is struck off."""

    items: dict[str, tuple[PlannedCell, PlannedItem]]
    samples: dict[str, tuple[PlannedCell, PlannedSample]]
    attempts: Mapping[str, int]  # of the items: which attempt the next one is

    def __len__(self) -> int:
        return len(self.items) + len(self.samples)

    def strike_off(self, key: str) -> None:
        self.items.pop(key, None)
        self.samples.pop(key, None)

    def work(self) -> Work:
        items = (
            ItemJob(key, item.case, cell.mode.id, cell.backend, item.trial, alone=self.attempts[key] > 1)
            for key, (cell, item) in self.items.items()
        )
        samples = (
            SampleJob(key, sample.case, cell.mode.id, cell.backend, sample.repetition, sample.drafted, sample.warm)
            for key, (cell, sample) in self.samples.items()
        )
        return Work(tuple(items), tuple(samples))


def todo(plan: Plan, model: PlannedModel, stored: Stored) -> Todo:
    """All open work of a model: a case in all its modes, then the next case; what crashed before comes last.

    Within a suite the next case is one with the same tools, as long as there is any: what their prompts begin with is
    then still in the cache.
    """
    cells = plan.cells_of(model)
    suites = {cell.suite.name: place for place, cell in reversed(list(enumerate(cells)))}
    groups = {name: _groups(cells[place].suite.cases) for name, place in suites.items()}

    def order(cell: PlannedCell, item: PlannedItem) -> tuple[int, ...]:
        suite = cell.suite.name
        return item.key in stored.attempts, suites[suite], item.trial, groups[suite][item.case.id]

    items = [
        ((*order(cell, item), place, number), cell, item)
        for number, cell in enumerate(cells)
        for place, item in enumerate(cell.items)
        if not is_done(stored, item)
    ]
    samples = _in_turns(cells, plan.config.sampling.seed)
    return Todo(
        {item.key: (cell, item) for _, cell, item in sorted(items, key=lambda entry: entry[0])},
        {sample.key: (cell, sample) for cell, sample in samples if sample.key not in stored.samples},
        {item.key: stored.attempts.get(item.key, 0) + 1 for _, _, item in items},
    )


def _groups(cases: Sequence[Case]) -> dict[str, int]:
    """The cases whose prompts begin alike have the same number, that of the first of them."""
    numbers: dict[str, int] = {}
    return {case.id: numbers.setdefault(_beginning(case), place) for place, case in enumerate(cases)}


def _beginning(case: Case) -> str:
    system = [message.content for message in case.messages[:1] if message.role == "system"]
    return repr((system, case.tools))


def _in_turns(cells: tuple[PlannedCell, ...], seed: int) -> list[tuple[PlannedCell, PlannedSample]]:
    """All samples, a case in all its modes and kinds at a time, so that neither heat nor a busy moment favours one.

    Their order is drawn anew for each repetition, and from case to case the next of them is first.
    """
    rounds: dict[tuple[int, int], list[tuple[PlannedCell, PlannedSample]]] = {}
    for cell in cells:
        places = {name: place for place, name in enumerate(dict.fromkeys(sample.case.id for sample in cell.samples))}
        for sample in cell.samples:
            rounds.setdefault((sample.repetition, places[sample.case.id]), []).append((cell, sample))
    ordered = []
    for (repetition, place), found in sorted(rounds.items(), key=lambda entry: entry[0]):
        Random(f"{seed} {repetition}").shuffle(found)  # the same for all cases of a repetition
        turn = place % len(found)
        ordered += found[turn:] + found[:turn]
    return ordered
