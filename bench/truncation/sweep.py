"""What a smaller token budget would have cost, from the answers of one run at the largest budget.

    found = sweep(store, store.run("last"), (32, 64, 128, 256, 512))
    found.cells[0].levels

A model writes one token after the other and does not know its budget: the answer at 64 tokens is the first 64 tokens of
the answer at 512. So nothing is generated again; each answer is cut, read again and placed. What that is exact for, and
where it is not, is said in docs/truncation.md. Needs the model's vocabulary, never its weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.apart import apart
from bench.audit.answerable import format_of
from bench.rates import Rate, rate
from bench.records import ItemRecord
from bench.report.about import incomplete
from bench.results import columns
from bench.results.rows import Cell, ModelRow, Run
from bench.results.store import Store
from bench.run.judge import check_suite
from bench.score.outcome import Outcome
from bench.score.truncation import Truncation, truncation
from bench.suites.bfcl.multi_turn import is_multi_turn
from bench.suites.case import Case, Suite, load
from bench.truncation.cuts import Cutter, Ending, EndingKey, endings_of, finished_by_grammar
from engine.fake import PREFIX
from engine.fake import VOCABULARY as FAKE_VOCABULARY
from engine.vocabulary import Vocabulary
from grammars.errors import ToolgaugeError


@dataclass(frozen=True, slots=True)
class Level:
    """A cell's answers as they would have been with this budget.

    `accuracy`: of the scored ones, None where there are none. `truncated`: position and cause -> scored answers.
    """

    budget: int
    accuracy: Rate | None
    n_not_scored: int
    truncated: Mapping[tuple[str, str], int]

    @property
    def n_scored(self) -> int:
        return self.accuracy.n if self.accuracy else 0

    @property
    def n_correct(self) -> int:
        return self.accuracy.hits if self.accuracy else 0

    @property
    def n_truncated(self) -> int:
        return sum(self.truncated.values())

    def n_at(self, position: str) -> int:
        return sum(n for (at, _), n in self.truncated.items() if at == position)

    def n_by(self, cause: str) -> int:
        return sum(n for (_, by), n in self.truncated.items() if by == cause)

    def to_json(self) -> dict[str, Any]:
        found = [{"position": at, "cause": by, "n": n} for (at, by), n in self.truncated.items()]
        counts = {name: getattr(self, name) for name in ("n_scored", "n_correct", "n_truncated")}
        return asdict(self) | counts | {"truncated": found}


@dataclass(frozen=True, slots=True)
class CellSweep:
    """One model, level, mode and suite, over the budgets in rising order."""

    model: str
    quant: str
    suite: str
    mode: str
    backend: str
    n_left_out: int  # answers without a verdict, or with a stale one
    levels: tuple[Level, ...]
    setting: str = ""  # what tells it from the same file at the run's other context settings
    n_not_answered: int = 0  # planned, and not answered: the run is unfinished

    @property
    def enough(self) -> int | None:
        """The smallest budget with which as many answers are right as with the largest; None: none ever is."""
        most = self.levels[-1].n_correct
        return next((level.budget for level in self.levels if level.n_correct == most), None) if most else None


@dataclass(frozen=True, slots=True)
class Sweep:
    run_id: int
    budgets: tuple[int, ...]
    generated_at: int  # the budget with which the answers were generated
    n_parallel: int
    cells: tuple[CellSweep, ...]
    warnings: tuple[str, ...] = ()  # what keeps the run from being whole, as its report says it

    def to_json(self) -> dict[str, Any]:
        cells = [
            asdict(cell) | {"enough": cell.enough, "levels": [level.to_json() for level in cell.levels]}
            for cell in self.cells
        ]
        return asdict(self) | {"cells": cells}


@dataclass(frozen=True, slots=True)
class Answered:
    """A judged item of a run."""

    case: Case
    record: ItemRecord
    outcome: Outcome
    n_slots: int = 1  # how many were decoded at a time when it was


def sweep(store: Store, run: Run, budgets: Sequence[int]) -> Sweep:
    """Cut a run's answers to each budget.

    Raises `ToolgaugeError` where the run had a smaller one, or the model's file, whose vocabulary is needed, is gone.
    """
    ordered, largest = tuple(sorted(set(budgets))), int(run.config["limits"]["answer"])
    if ordered[-1] > largest:
        raise ToolgaugeError(
            f"run {run.id} had {largest} tokens for an answer, so nobody knows what follows; leave {ordered[-1]} out,"
            " or run anew with it"
        )
    read = (load(name, run.config.get("tools", ())) for name in run.config["suites"])
    suites = {suite.name: suite for suite in read}
    by_model: dict[int, list[tuple[Cell, list[Answered], int]]] = {}
    for cell in store.cells(run.id):
        check_suite(run, cell, suites.get(cell.suite))
        cases = {case.id: case for case in suites[cell.suite].cases}
        answered, n_left_out = _answered(store, cell, cases)
        by_model.setdefault(cell.model.id, []).append((cell, answered, n_left_out))
    swept = {
        cell.id: found
        for cells in by_model.values()
        for cell, found in zip((cell for cell, _, _ in cells), _model(cells, ordered), strict=True)
    }
    in_order = tuple(swept[cell.id] for cell in store.cells(run.id))
    # not from the settings: who goes on with a run may name another number
    answered_all = (each for cells in by_model.values() for _, found, _ in cells for each in found)
    used = (each.n_slots for each in answered_all if each.record.error is None)
    return Sweep(run.id, ordered, largest, max(used, default=1), in_order, _warnings(store, run, suites, in_order))


def _warnings(store: Store, run: Run, suites: Mapping[str, Suite], cells: Sequence[CellSweep]) -> tuple[str, ...]:
    n_cases = {name: len(suite.cases) for name, suite in suites.items()}
    n_answers = run.n_items - sum(cell.n_not_answered for cell in cells)
    return tuple(incomplete(run, store.cells(run.id), n_cases, n_answers))


def _answered(store: Store, cell: Cell, cases: Mapping[str, Case]) -> tuple[list[Answered], int]:
    verdicts, steps = store.verdicts(cell.id), store.steps_of(cell.id)
    found, n_left_out = [], 0
    for item in store.items(cell.id):
        verdict = verdicts.get(item.id)
        if verdict is None or verdict.stale:
            n_left_out += 1
        else:
            record = columns.record(item, steps.get(item.id, []))
            found.append(Answered(cases[item.case_id], record, Outcome(verdict.outcome), item.n_slots))
    return found, n_left_out


def _model(cells: Sequence[tuple[Cell, list[Answered], int]], budgets: Sequence[int]) -> Iterator[CellSweep]:
    """All cells of one model file, whose vocabulary is read once."""
    model = cells[0][0].model
    native = model.format or None
    endings = [
        ending
        for cell, answered, _ in cells
        for each in answered
        for ending in endings_of(each.case, each.record, format_of(cell.mode, native), cell.mode, cell.backend, budgets)
    ]
    vocabulary, finished = _vocabulary(model, endings)
    for cell, answered, n_left_out in cells:
        cutter = Cutter(format_of(cell.mode, native), vocabulary, cell.mode, cell.backend, finished)
        _check_texts(model, vocabulary, answered)
        levels = tuple(_level(cutter, answered, budget) for budget in budgets)
        yield CellSweep(
            model=model.name,
            quant=model.quant,
            suite=cell.suite,
            mode=cell.mode,
            backend=cell.backend,
            n_left_out=n_left_out,
            levels=levels,
            setting=model.setting,
            n_not_answered=cell.n_items - len(answered) - n_left_out,
        )


def _level(cutter: Cutter, answered: Sequence[Answered], budget: int) -> Level:
    scored: list[tuple[str, bool]] = []
    truncated: Counter[tuple[str, str]] = Counter()
    for each in answered:
        outcome, found = judged(cutter, each, budget)
        if outcome.is_scored:
            scored.append((each.case.id, outcome is Outcome.CORRECT))
            if found:
                truncated[found.position.value, found.cause.value] += 1
    return Level(budget, rate(scored), len(answered) - len(scored), dict(truncated))


def judged(cutter: Cutter, answered: Answered, budget: int) -> tuple[Outcome, Truncation | None]:
    """The verdict with this budget: as it was, unless a step was cut."""
    record = cutter.cut(answered.case, answered.record, budget)
    stays = record is answered.record or _stays(answered, record)
    return answered.outcome if stays else Outcome.TRUNCATED, truncation(record)


def _stays(answered: Answered, cut: ItemRecord) -> bool:
    """Whether a multi-turn conversation is right all the same, as it is where its calls are; or was no verdict."""
    if not is_multi_turn(answered.case) or (answered.outcome.is_scored and answered.outcome is not Outcome.CORRECT):
        return False
    return [step.parsed.calls for step in cut.steps] == [step.parsed.calls for step in answered.record.steps]


def _vocabulary(model: ModelRow, endings: Sequence[Ending]) -> tuple[Vocabulary, frozenset[EndingKey]]:
    """The tokens of a model's file, and which of the answers its grammars ended."""
    if model.path.startswith(PREFIX):
        return FAKE_VOCABULARY, frozenset()  # a script writes what it writes, whatever the grammar
    path = Path(model.path)
    if not path.is_file():
        raise ToolgaugeError(f"{path} is gone, and tokens cannot be read without its vocabulary; put it back")
    return apart(partial(_look, path, model.format or None, endings), what=path.name)


def _look(
    path: Path, format_id: str | None, endings: Sequence[Ending], log: Path
) -> tuple[Vocabulary, frozenset[EndingKey]]:
    """In the new process."""
    del log
    from engine.llama import LoadParams, load_model

    with load_model(path, LoadParams(n_gpu_layers=0, vocab_only=True)) as model:
        return model.vocabulary(), finished_by_grammar(model, format_id, endings)


def _check_texts(model: ModelRow, vocabulary: Vocabulary, answered: Sequence[Answered]) -> None:
    """Another file in the same place would cut at other characters."""
    for each in answered:
        for step in each.record.steps:
            tokens = step.generation.tokens
            if max(tokens, default=0) >= vocabulary.n_tokens or vocabulary.text(tokens) != step.generation.text:
                raise ToolgaugeError(f"{model.path} is another file than in the run; put the old one back, or run anew")
