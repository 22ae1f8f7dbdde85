"""What a person sees while a run works: a bar on a terminal, a line now and then elsewhere. Always on standard error.

It listens to the events of `bench.run.events` and decides nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from bench import numbers
from bench.report.document import visible
from bench.run.events import (
    Estimated,
    Event,
    Finished,
    ItemDone,
    ModelLoaded,
    ModelLoading,
    SampleDone,
    SlotsChosen,
    Started,
    Warned,
    WorkerDied,
)
from bench.run.plan import Plan, PlannedCell, PlannedModel
from bench.score.outcome import Outcome
from bench.shell import say, stderr_console

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINE_EVERY_S = 10.0


class RunProgress(AbstractContextManager["RunProgress"]):
    """A listener for `bench.run.execute`; use it as a context so that the terminal is left as it was."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._console = stderr_console()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._n_total = self._n_done = self._n_errors = 0
        self._verdicts: dict[str, list[bool]] = {}  # whether an answer was right, by what a cell is called
        self._with_suite = False
        self._line_at = clock()
        self._is_estimated = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        match event:
            case Started():
                self._start(event)
            case SlotsChosen(slots):
                answers = numbers.plural(slots.n_slots, "answer")
                say(f"{answers} at a time, as {slots.why}; --parallel N sets another number.")
            case Estimated(remaining_s, basis):
                self._estimate(remaining_s, basis)
            case ModelLoading(model, attempt):
                self._describe(f"loading {model.label}" + (f" again (attempt {attempt})" if attempt > 1 else ""))
            case ModelLoaded(model, load_s):
                self._describe(model.label)
                self._line(f"{model.label}: loaded in {numbers.duration(load_s)}")
            case ItemDone(cell, _, record, outcome):
                self._n_errors += record.error is not None
                if outcome is not None and record.error is None:
                    self._verdicts.setdefault(self._called(cell), []).append(outcome == Outcome.CORRECT)
                self._advance(self._called(cell))
            case SampleDone(cell):
                self._advance(f"{self._called(cell)}, timing")
            case WorkerDied(model, n_in_flight, reason, log):
                self._died(model, n_in_flight, reason, log)
            case Warned(text):
                say(f"warning: {text}", "yellow")
            case Finished():
                self._describe("done")

    def _start(self, event: Started) -> None:
        say(describe(event.plan))
        if event.resumed:
            there = counted(event.n_done, event.n_samples_done)
            say(f"Going on with run {event.run.id}, of which {there} are there already.")
        self._n_total = event.plan.n_items + event.plan.n_samples
        self._n_done = event.n_done + event.n_samples_done
        self._with_suite = len({cell.suite.name for cell in event.plan.cells}) > 1
        if not self._console.is_terminal:
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[tally]}", markup=False),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task("starting", total=self._n_total, completed=self._n_done, tally="")
        self._bar.start()

    def _estimate(self, remaining_s: float, basis: str) -> None:
        """Say the first estimate, which is what a person decides by; later the bar, or the count, is enough."""
        if not self._is_estimated:
            self._is_estimated = True
            about = "Less than a second" if remaining_s < 1 else f"About {numbers.roughly(remaining_s)}"
            say(f"{about} to go, judging by {basis}.")

    def _called(self, cell: PlannedCell) -> str:
        return f"{cell.model.label} {cell.mode.id}" + (f" on {cell.suite.name}" if self._with_suite else "")

    def _advance(self, label: str) -> None:
        self._n_done += 1
        self._describe(label)
        if self._clock() - self._line_at >= LINE_EVERY_S:
            done = f"{numbers.count(self._n_done)} of {numbers.count(self._n_total)}{self._errors()}"
            right = self._right(label)
            self._line(f"{done}; {label}" + (f": {right}" if right else ""))

    def _describe(self, label: str) -> None:
        if self._bar and self._task is not None:
            tally = f"{self._right(label)}{self._errors()}".removeprefix(", ")
            self._bar.update(self._task, description=visible(label), completed=self._n_done, tally=tally)

    def _right(self, label: str) -> str:
        """The share of this cell's answers, as far as they came while one looked on; the report has a row for each."""
        verdicts = self._verdicts.get(label)
        return f"{numbers.share(sum(verdicts) / len(verdicts))} right" if verdicts else ""

    def _errors(self) -> str:
        return f", {numbers.plural(self._n_errors, 'error')} in all" if self._n_errors else ""

    def _line(self, text: str) -> None:
        """Write a line where there is no bar."""
        if not self._bar:
            say(text)
            self._line_at = self._clock()

    def _died(self, model: PlannedModel, n_in_flight: int, reason: str, log: tuple[str, ...]) -> None:
        lost = f"; {numbers.plural(n_in_flight, 'answer')} in flight counted as runtime errors" if n_in_flight else ""
        say(f"warning: the process of {model.label} ended ({reason}){lost}", "yellow")
        for line in log[-5:]:
            say(f"  {line}", "dim")


def describe(plan: Plan) -> str:
    """What a run is going to do, in one sentence."""
    modes = tuple(dict.fromkeys(cell.mode.id for cell in plan.cells))
    suites = tuple(dict.fromkeys(cell.suite.name for cell in plan.cells))
    settings = f" at {numbers.plural(len(plan.settings), 'setting')}" if plan.settings else ""
    return (
        f"{numbers.plural(plan.n_files, 'model file')}{settings} in {numbers.plural(len(modes), 'mode')}"
        f" on {' and '.join(suites)}: {counted(plan.n_items, plan.n_samples)}."
    )


def counted(n_items: int, n_samples: int) -> str:
    samples = f" and {numbers.plural(n_samples, 'timing')}" if n_samples else ""
    return f"{numbers.plural(n_items, 'answer')}{samples}"
