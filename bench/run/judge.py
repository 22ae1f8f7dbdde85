"""Verdicts for the result file: on an item that has just been answered, and on stored ones, with this version's scorer.

    counts = rescore(store, store.run("last"))

Needs no model. A newer parser reads stored text again; where it would have led a conversation elsewhere, the verdict is
marked stale rather than given to a conversation that never happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from bench.records import ItemRecord, StepRecord
from bench.results.rows import Cell, Run
from bench.results.store import Store
from bench.run import writer
from bench.run.writer import NewScore
from bench.score import SCORER, VERSION, score
from bench.suites.case import Case, Suite, load
from bench.suites.simulate import offered, replays
from engine import formats
from engine.formats.protocol import ToolFormat
from engine.prompt import ends_in_reasoning
from engine.types import Tool
from grammars.errors import ToolgaugeError


@dataclass(frozen=True, slots=True)
class Rescored:
    n_items: int
    n_changed: int  # another outcome than the newest one before
    n_stale: int


def verdict(case: Case, record: ItemRecord, *, stale: bool = False) -> NewScore:
    """Judge one item."""
    found = score(case, record)
    return NewScore(SCORER, VERSION, found.outcome.value, found.details(), stale)


def rescore(store: Store, run: Run, *, on_item: Callable[[], None] = lambda: None) -> Rescored:
    """Judge all stored items of a run again and keep the verdicts beside the old ones."""
    read = (load(name, run.config.get("tools", ())) for name in run.config["suites"])
    suites = {suite.name: suite for suite in read}
    cells = store.cells(run.id)
    for cell in cells:
        check_suite(run, cell, suites.get(cell.suite))
    n_items = n_changed = n_stale = 0
    for cell in cells:
        before = store.verdicts(cell.id)
        new = []
        for item_id, judged in _verdicts(store, cell, suites[cell.suite]):
            new.append((item_id, judged))
            old = before.get(item_id)
            n_changed += old is not None and (old.outcome, old.stale) != (judged.outcome, judged.stale)
            n_stale += judged.stale
            on_item()
        writer.put_scores(store, new)
        n_items += len(new)
    return Rescored(n_items, n_changed, n_stale)


def check_suite(run: Run, cell: Cell, suite: Suite | None) -> None:
    """Raises `ToolgaugeError` where the cell's answers are to other cases than the suite's."""
    if suite is None or suite.content_hash != cell.suite_sha256:
        raise ToolgaugeError(
            f"run {run.id} was made with another version of the suite {cell.suite}, so its answers cannot be judged by"
            " this one; give the suite's old file, or run anew"
        )


def _verdicts(store: Store, cell: Cell, suite: Suite) -> Iterator[tuple[int, NewScore]]:
    for item in store.items(cell.id):
        case = suite.case(item.case_id)
        stored = store.record(item)
        record = read_again(stored, case, formats.NATIVE.get(cell.model.format))
        elsewhere = case.is_episode and not replays(case, record)
        yield item.id, verdict(case, stored if elsewhere else record, stale=elsewhere)


def read_again(record: ItemRecord, case: Case, native: ToolFormat | None) -> ItemRecord:
    """Parse the stored text with this version's parser, if that has changed since; `native`: the model's own format."""
    if not record.format_id:
        return record
    fmt = formats.get(record.format_id)
    if fmt.version == record.format_version:
        return record
    if fmt is formats.ENVELOPE:
        fmt = formats.envelope(native)

    def again(step: StepRecord, tools: Sequence[Tool]) -> StepRecord:
        opened = ends_in_reasoning(step.prompt, fmt.frame)
        return replace(step, parsed=fmt.parse(step.generation.text, tools, reasoning_opened=opened))

    steps = tuple(map(again, record.steps, offered(case, record)))
    return replace(record, steps=steps, format_version=fmt.version)
