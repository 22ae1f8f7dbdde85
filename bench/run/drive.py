"""Drives the worker of one model until its work is stored: starts it, stores what it sends, starts it again if it dies.

The only writer of items and samples. Knows no plan beyond the work it is given, and no terminal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from bench.records import EpisodeEnd, ErrorKind, ItemError, ItemRecord
from bench.results.rows import ModelRow
from bench.results.store import Store
from bench.run import events, writer
from bench.run.estimate import Kind, Pace
from bench.run.latency import kind_of, nothing
from bench.run.loading import LoadedModel
from bench.run.messages import (
    Began,
    Checked,
    Done,
    ItemFinished,
    Loaded,
    LoadFailed,
    Measured,
    Message,
    ModelSpec,
    SampleFinished,
    Work,
)
from bench.run.plan import Plan, PlannedCell, PlannedModel
from bench.run.supervisor import Worker, WorkerDied
from bench.run.todo import Todo
from bench.run.writer import NewLoad, NewScore
from bench.suites.case import Case
from grammars.errors import ToolgaugeError

Opener = Callable[[ModelSpec, Work], LoadedModel]
Scorer = Callable[[Case, ItemRecord], NewScore]

MAX_DEATHS = 3  # of a worker, without anything finished in between
_POLL_S = 0.2  # how long a wish to stop may go unnoticed
_AFTER_A_CRASH = (
    "this is llama.cpp itself: try another level, -t 1 or -ngl 0, or build it anew (see `toolgauge doctor`)"
)


class Stopped(Exception):
    """The run is wanted to end; everything received is stored."""


class LoadError(ToolgaugeError):
    """A model cannot be loaded here; the message is llama.cpp's reason in one sentence."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What every driver of a run shares."""

    store: Store
    run_id: int
    opener: Opener
    scorer: Scorer | None
    listener: events.Listener
    stop_wanted: Callable[[], bool]
    pace: Pace
    folder: Path  # for the workers' logs


class Driver:
    """One model's share of a run."""

    def __init__(
        self, desk: Desk, model: PlannedModel, model_id: int, spec: ModelSpec, cell_ids: dict[int, int]
    ) -> None:
        """`cell_ids`: rows of the result file by `id` of the planned cell."""
        self._desk, self._model, self._model_id, self._spec, self._cell_ids = desk, model, model_id, spec, cell_ids
        self._load_id: int | None = None

    def run(self, todo: Todo) -> None:
        """Do all of it. Raises `LoadError`, or `Stopped`."""
        self._todo = todo
        n_deaths = 0
        for attempt in count(1):
            death = self._live(attempt)
            if death is None:
                return
            self._bury(death)
            if not todo:
                return
            n_deaths = 1 if self._has_finished_some else n_deaths + 1
            if n_deaths == MAX_DEATHS:
                raise LoadError(_gave_up(self._model, n_deaths, death))

    def _live(self, attempt: int) -> WorkerDied | None:
        """One worker's life; returns how it died, or None when it has done everything."""
        self._desk.listener(events.ModelLoading(self._model, attempt))
        self._load_id = None
        self._in_flight: dict[str, None] = {}  # a set that keeps its order
        self._has_finished_some = False
        log_path = self._desk.folder / f"worker-{self._model_id}-{attempt}.log"
        with Worker(replace(self._spec, log_path=log_path)) as worker:
            try:
                self._converse(worker)
            except WorkerDied as death:
                if self._desk.stop_wanted():  # whoever asked the run to end may have ended its worker, too
                    raise Stopped from death
                return death
        return None

    def _converse(self, worker: Worker) -> None:
        worker.send(self._todo.work())
        while True:
            if self._desk.stop_wanted():
                raise Stopped
            message = worker.receive(_POLL_S)
            if isinstance(message, Done):
                return
            if message is not None:
                self._handle(message)

    def _handle(self, message: Message) -> None:
        match message:
            case Loaded():
                self._loaded(message)
            case LoadFailed(text):
                self._fail_load(text)
                raise LoadError(text)
            case Measured(readings, energy):
                assert self._load_id is not None
                writer.put_readings(self._desk.store, self._load_id, readings, energy)
            case Checked(findings):
                writer.put_findings(self._desk.store, self._model_id, findings)
                for finding in findings:
                    self._desk.listener(events.Warned(f"{self._model.label}: {finding.message} ({finding.name})"))
            case Began(key):
                if key in self._todo.samples:  # they are taken one at a time, and a warm-up answer tells no end
                    self._in_flight.clear()
                self._in_flight[key] = None
            case ItemFinished():
                self._has_finished_some = True
                self._store_item(message.key, message.record, message.n_slots, message.total_s)
            case SampleFinished(key, values):
                self._has_finished_some = True
                self._store_sample(key, values)
            case Done():
                raise AssertionError("handled by the caller")

    def _loaded(self, message: Loaded) -> None:
        desk = self._desk
        self._check_build(message.llama_build)
        load = NewLoad(message.load_s, message.n_ctx, message.n_slots, message.llama_build)
        self._load_id = writer.put_load(desk.store, desk.run_id, self._model_id, load)
        desk.pace.begin(time.monotonic())
        desk.listener(events.ModelLoaded(self._model, message.load_s, message.n_ctx, message.n_slots))

    def _check_build(self, build: str) -> None:
        """One run is computed by one llama.cpp: the versions in the keys do not tell a CUDA build from a CPU build."""
        before = self._desk.store.run(str(self._desk.run_id)).llama_build
        if before is not None and before != build:
            raise ToolgaugeError(
                f"run {self._desk.run_id} was begun with another llama.cpp ({before}; now {build}); "
                "start anew with --new"
            )

    def _fail_load(self, reason: str) -> None:
        store = self._desk.store
        if self._load_id is None:
            writer.put_load(store, self._desk.run_id, self._model_id, NewLoad(None, error=reason))
        else:
            writer.put_load_error(store, self._load_id, reason)

    def _store_item(self, key: str, record: ItemRecord, n_slots: int, total_s: float) -> None:
        desk = self._desk
        cell, item = self._todo.items[key]
        item_id = writer.put_item(
            desk.store,
            desk.run_id,
            self._cell_ids[id(cell)],
            item,
            record,
            attempt=self._todo.attempts[key],
            n_slots=n_slots,
            total_s=total_s,
        )
        self._strike_off(key)
        score = _judged(desk, item.case, record)  # the answer is stored by now, whatever its verdict may take
        if score:
            writer.put_scores(desk.store, [(item_id, score)])
        desk.listener(events.ItemDone(cell, item, record, score.outcome if score else None))
        self._estimate("item", key)

    def _store_sample(self, key: str, values: dict[str, object]) -> None:
        cell, sample = self._todo.samples[key]
        writer.put_sample(self._desk.store, self._desk.run_id, self._cell_ids[id(cell)], {"key": key, **values})
        self._strike_off(key)
        self._desk.listener(events.SampleDone(cell, sample))
        self._estimate("sample", key)

    def _estimate(self, kind: Kind, key: str) -> None:
        estimate = self._desk.pace.done(self._model, kind, key, time.monotonic())
        if estimate:
            self._desk.listener(events.Estimated(estimate.remaining_s, estimate.basis))

    def _strike_off(self, key: str) -> None:
        self._in_flight.pop(key, None)
        self._todo.strike_off(key)

    def _bury(self, death: WorkerDied) -> None:
        """Store what the dead worker had in flight as the errors that they are."""
        desk = self._desk
        in_flight = tuple(self._in_flight)
        self._fail_load(death.reason)
        desk.listener(events.WorkerDied(self._model, len(in_flight), death.reason, death.log))
        message = f"the process of the model died: {death.reason}"
        for key in in_flight:
            if key in self._todo.items:
                error = ItemError(ErrorKind.RUNTIME, message, death.log)
                case_id = self._todo.items[key][1].case.id
                self._store_item(
                    key, ItemRecord(case_id, (), EpisodeEnd.ERROR, error), self._spec.context.n_seq_max, 0.0
                )
            else:
                sample = self._todo.samples[key][1]
                self._store_sample(key, kind_of(sample) | nothing(message))


def _judged(desk: Desk, case: Case, record: ItemRecord) -> NewScore | None:
    """A verdict that cannot be given must not cost the answer: it took the model's time, the verdict takes none."""
    try:
        return desk.scorer(case, record) if desk.scorer else None
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        text = f"the answer to {case.id} is stored and could not be judged ({reason}); please report this"
        desk.listener(events.Warned(text))
        return None


def judge_left(desk: Desk, plan: Plan) -> None:
    """Give the verdicts on stored answers that an earlier start was ended before giving. Raises `Stopped`."""
    store = desk.store
    rows = {place_of(row.model, row.mode, row.backend, row.suite): row.id for row in store.cells(desk.run_id)}
    for cell in plan.cells:
        cell_id = rows[place_of(cell.model, cell.mode.id, cell.backend, cell.suite.name)]
        cases = {item.key: item.case for item in cell.items}
        known = store.verdicts(cell_id)
        for item in store.items(cell_id):
            if desk.stop_wanted():
                raise Stopped
            case = cases.get(item.key) if item.id not in known else None
            score = _judged(desk, case, store.record(item)) if case else None
            if score:
                writer.put_scores(store, [(item.id, score)])


Place = tuple[str, str, str, str, str]  # what a cell is within its run


def place_of(model: PlannedModel | ModelRow, mode: str, backend: str, suite: str) -> Place:
    return model.gguf_sha256, model.setting, mode, backend, suite


def cell_rows(cells: tuple[PlannedCell, ...], rows: Mapping[Place, int]) -> dict[int, int]:
    """The rows of planned cells; found by what they are, for a resumed command may name its modes in another order."""
    return {id(cell): rows[place_of(cell.model, cell.mode.id, cell.backend, cell.suite.name)] for cell in cells}


def _gave_up(model: PlannedModel, n_deaths: int, death: WorkerDied) -> str:
    said = f"; llama.cpp said last: {death.log[-1]}" if death.log and death.has_said_why else ""
    step = f"; {_AFTER_A_CRASH}" if death.is_crash else ""
    return f"{model.label} cannot be run here: its process died {n_deaths} times in a row, {death.reason}{said}{step}"
