"""What a run tells while it works. Plain values; whoever draws them (or does not) is none of the run's business."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.records import ItemRecord
from bench.results.rows import Run
from bench.run.config import Slots
from bench.run.plan import Plan, PlannedCell, PlannedItem, PlannedModel, PlannedSample


@dataclass(frozen=True, slots=True)
class Started:
    """The run is in the store; `n_done` items and samples are there from before."""

    run: Run
    plan: Plan
    n_done: int
    n_samples_done: int
    resumed: bool


@dataclass(frozen=True, slots=True)
class SlotsChosen:
    """How many answers are decoded at a time, where that was left to the program."""

    slots: Slots


@dataclass(frozen=True, slots=True)
class Estimated:
    """How long the rest takes, from speeds that were measured before or in this run's first items."""

    remaining_s: float
    basis: str  # one phrase: "earlier runs of these files", "the first 8 items of ..."


@dataclass(frozen=True, slots=True)
class ModelLoading:
    model: PlannedModel
    attempt: int


@dataclass(frozen=True, slots=True)
class ModelLoaded:
    model: PlannedModel
    load_s: float
    n_ctx: int
    n_slots: int


@dataclass(frozen=True, slots=True)
class ItemDone:
    """One item is stored. `outcome` None: not judged, because scoring was left for later."""

    cell: PlannedCell
    item: PlannedItem
    record: ItemRecord
    outcome: str | None


@dataclass(frozen=True, slots=True)
class SampleDone:
    cell: PlannedCell
    sample: PlannedSample


@dataclass(frozen=True, slots=True)
class WorkerDied:
    """The process of a model ended; its items in flight are stored as runtime errors, and it is started again."""

    model: PlannedModel
    n_in_flight: int
    reason: str
    log: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that a person should know and that stops nothing."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """All is stored. `n_errors`: items that could not be judged."""

    run: Run
    n_errors: int


Event = (
    Started
    | SlotsChosen
    | Estimated
    | ModelLoading
    | ModelLoaded
    | ItemDone
    | SampleDone
    | WorkerDied
    | Warned
    | Finished
)
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener of those who do not want to know."""
    del event
