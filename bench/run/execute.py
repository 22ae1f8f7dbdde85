"""Runs a plan: workers play it model by model, everything that finishes is stored at once, and nothing is done twice.

    execute(store, plan, provenance, opener=open_model, listener=print)

The same plan again resumes the newest unfinished run of it. Knows no terminal: it tells events (`bench.run.events`) and
raises `Interrupted` when a person wants it to end.
"""

from __future__ import annotations

import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Literal

from bench import numbers
from bench.results.place import command
from bench.results.rows import Run
from bench.results.store import Store
from bench.run import events, writer
from bench.run.config import AUTO, Slots
from bench.run.drive import Desk, Driver, LoadError, Opener, Scorer, Stopped, cell_rows, judge_left, place_of
from bench.run.estimate import Pace, from_history
from bench.run.messages import ModelSpec
from bench.run.offload import idle_cards
from bench.run.plan import Plan, PlannedModel
from bench.run.resume import differences, of_other_versions
from bench.run.slots import choose, with_slots
from bench.run.todo import n_items_done, n_samples_done, todo
from bench.run.writer import Provenance
from grammars.errors import ToolgaugeError

Which = Literal["auto", "new"] | int  # resume if there is something to resume; never; or exactly this run


class Interrupted(KeyboardInterrupt):
    """A person pressed Ctrl-C; everything that was finished is stored, and `command` goes on from there."""

    def __init__(self, run_id: int, n_done: int, n_planned: int, command: str) -> None:
        self.run_id, self.command = run_id, command
        super().__init__(f"interrupted: {n_done} of {n_planned} items are stored; go on with: {command}")


def execute(
    store: Store,
    plan: Plan,
    provenance: Provenance,
    *,
    opener: Opener,
    scorer: Scorer | None = None,
    which: Which = "auto",
    listener: events.Listener = events.ignore,
) -> Run:
    """Do whatever of the plan is not stored yet and return the finished run.

    A model that cannot be loaded does not keep the others from being measured; it is an error at the end.
    """
    run_id = find_run(store, plan, which)
    resumed = run_id is not None
    if which == "auto" and not resumed and (left := of_other_versions(store, plan)):
        listener(events.Warned(f"run {left} was begun with other versions and is left as it is; a new run begins"))
    plan = _with_slots(plan, store.run(str(run_id)) if resumed else None, listener)
    if run_id is None:
        run_id = writer.begin_run(store, plan, provenance)
    else:
        writer.claim(store, run_id)
    finished = False
    try:
        with _interrupts_noted() as stop_wanted, tempfile.TemporaryDirectory(prefix="toolgauge-") as folder:
            stored = store.stored(run_id)
            pace = Pace(plan, stored)
            desk = Desk(store, run_id, opener, scorer, listener, stop_wanted, pace, Path(folder))
            run = store.run(str(run_id))
            done = n_items_done(stored, plan), n_samples_done(stored, plan)
            listener(events.Started(run, plan, *done, resumed=resumed))
            if idle := idle_cards(plan.config.load):
                listener(events.Warned(idle))
            expected = from_history(store, plan, provenance.host, stored)
            if expected:
                listener(events.Estimated(expected.remaining_s, expected.basis))
            failures = _drive_all(desk, plan)
            if resumed:  # last, so that a verdict that takes long costs no answer
                judge_left(desk, plan)
        finished = not failures
    except Stopped:
        n_done = n_items_done(store.stored(run_id), plan)
        raise Interrupted(run_id, n_done, plan.n_items, command(store.path, "run", "--resume", str(run_id))) from None
    finally:
        writer.release(store, run_id, finished=finished)
    if failures:
        raise ToolgaugeError(_left_out(failures, plan, command(store.path, "report", str(run_id))))
    run = store.run(str(run_id))
    listener(events.Finished(run, store.n_errors(run_id)))
    return run


def _with_slots(plan: Plan, before: Run | None, listener: events.Listener) -> Plan:
    """Choose how many answers are decoded at a time; a run that is gone on with keeps what was chosen for it."""
    stored = before.config.get("slots") if before else None  # runs of before had none
    if stored and plan.config.parallel in (AUTO, stored["n_slots"]):
        return with_slots(plan, Slots(**stored))
    choice = choose(plan)
    for warning in choice.warnings:
        listener(events.Warned(warning))
    if plan.config.parallel == AUTO:
        listener(events.SlotsChosen(choice.slots))
    return with_slots(plan, choice.slots)


def find_run(store: Store, plan: Plan, which: Which) -> int | None:
    """The run to go on with, or None for a new one."""
    if which == "new":
        return None
    if which == "auto":
        return next((run.id for run in store.runs() if run.plan_key == plan.key and run.finished_utc is None), None)
    run = store.run(str(which))
    if run.plan_key != plan.key:
        raise ToolgaugeError(
            f"run {run.id} was made with {differences(store, run, plan)} than now; "
            "use the same, or start anew with --new"
        )
    return run.id


def _drive_all(desk: Desk, plan: Plan) -> list[str]:
    """Every model in turn; returns why some could not be loaded."""
    cells = desk.store.cells(desk.run_id)
    cell_ids = {place_of(cell.model, cell.mode, cell.backend, cell.suite): cell.id for cell in cells}
    model_ids = {(cell.model.gguf_sha256, cell.model.setting): cell.model.id for cell in cells}
    failures = []
    for model in plan.models:
        left = todo(plan, model, desk.store.stored(desk.run_id))
        if not left:
            continue
        spec = model_spec(plan, model, desk.opener)
        model_id = model_ids[model.gguf_sha256, model.setting]
        try:
            Driver(desk, model, model_id, spec, cell_rows(plan.cells_of(model), cell_ids)).run(left)
        except LoadError as error:
            failures.append(str(error))
            if len(plan.models) > 1:
                desk.listener(events.Warned(f"{model.label} is left out: {error}"))
    return failures


def _left_out(failures: list[str], plan: Plan, report: str) -> str:
    """`report`: the command that prints what there is."""
    if len(plan.models) == 1:
        return failures[0]
    n_measured = len(plan.models) - len(failures)
    rest = f"; `{report}` prints what the others answered" if n_measured else ""
    what = "combination" if plan.settings else "model file"  # of a file and context settings
    return f"{numbers.plural(len(failures), what)} of {len(plan.models)} left out: {'; '.join(failures)}{rest}"


def model_spec(plan: Plan, model: PlannedModel, opener: Opener) -> ModelSpec:
    config = plan.config
    return ModelSpec(
        path=model.path,
        template=model.template,
        load=config.load,
        context=plan.cells_of(model)[0].context,
        format_id=model.format_id,
        thinking=config.thinking,
        reasoning_effort=config.reasoning_effort,
        limits=config.limits,
        sampling=config.sampling,
        forced_tokens=config.forced_tokens,
        draft=config.draft,
        n_slots=config.n_slots,
        has_latency_pass=config.latency.enabled,
        log_path=Path(),  # each start of a worker has one of its own
        opener=opener,
    )


@contextmanager
def _interrupts_noted() -> Iterator[Callable[[], bool]]:
    """Within the block Ctrl-C is only noted, so that no write is torn; a second one ends the block at once."""
    noted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield noted.is_set
        return

    def note(number: int, frame: FrameType | None) -> None:
        del number, frame
        if noted.is_set():
            raise KeyboardInterrupt
        noted.set()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield noted.is_set
    finally:
        signal.signal(signal.SIGINT, before)
