"""The cells of a run with everything stored about them, and with their cases where those are still at hand.

Most findings need the stored verdicts alone. Some need the cases too: whether a call was right at all, which case is
another's twin, how many of a category were planned. A report of a result file from elsewhere does without those.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from bench.rates import case_of
from bench.results.rows import Cell, Item, LatencySample, Run
from bench.results.rows import Score as Verdict
from bench.results.store import Store
from bench.run.axes import stored
from bench.run.plan import spread
from bench.score import Outcome
from bench.score.adherence import Adherence
from bench.score.hygiene import Hygiene
from bench.score.order import Order
from bench.score.recovery import Recovery
from bench.score.scorer import Score
from bench.suites.case import Case, Suite, load
from grammars.errors import ToolgaugeError

Scored = tuple[Item, Verdict]

_PARTS = {"adherence": Adherence, "hygiene": Hygiene, "order": Order, "recovery": Recovery}
_DISPENSABLE = frozenset({"truncated_at"})  # what the closer looks do without in older verdicts
_NAMES = {name: frozenset(f.name for f in fields(part)) - _DISPENSABLE for name, part in {"": Score, **_PARTS}.items()}


@dataclass(frozen=True, slots=True)
class Judged:
    """One cell; `verdicts` are by item id, without the stale ones.

    `scored`: the items with a verdict about the model. `detailed`: those with all that this version's scorer tells, be
    they scored or not; an older version's verdicts count for accuracy alone.
    """

    cell: Cell
    items: tuple[Item, ...]
    verdicts: Mapping[int, Verdict]
    stale: frozenset[int]
    samples: tuple[LatencySample, ...]
    cases: Mapping[str, Case] | None = None  # None: the suite is not here as it was in the run
    planned: Mapping[str, int] | None = None  # category -> items; None as with `cases`
    drafted: tuple[LatencySample, ...] = ()  # beside `samples`, and never among them; so are the warm ones
    warm: tuple[LatencySample, ...] = ()
    n_tokens: Mapping[int, int] = field(default_factory=dict)  # generated, by item id
    scored: tuple[Scored, ...] = field(init=False)
    detailed: tuple[Scored, ...] = field(init=False)

    def __post_init__(self) -> None:
        both = [(item, self.verdicts[item.id]) for item in self.items if item.id in self.verdicts]
        object.__setattr__(self, "scored", tuple(pair for pair in both if is_scored(pair[1])))
        object.__setattr__(self, "detailed", tuple(pair for pair in both if is_complete(pair[1].details)))

    @property
    def level(self) -> str:
        """The quant; a scripted model has none."""
        return self.cell.model.quant or self.cell.model.name

    @property
    def at(self) -> Mapping[str, Any]:
        """The context settings, as `bench.run.axes.stored` names them."""
        return stored(self.cell.model.context)

    @property
    def right(self) -> dict[Hashable, bool]:
        """One verdict for each case that has a scored item, which is what two cells are compared by.

        Trials of one case are not independent, and neither are a case and its twin, which differ in the fault alone.
        Of several answers the case is right where more than half of the scored are.
        """
        answers: dict[Hashable, list[bool]] = {}
        for item, verdict in self.scored:
            answers.setdefault(case_of(item.case_id), []).append(is_right(verdict))
        return {case_id: 2 * sum(found) > len(found) for case_id, found in answers.items()}

    @property
    def scored_ids(self) -> frozenset[str]:
        """The cases with a verdict about the model, a case and its twin apart."""
        return frozenset(item.case_id for item, _ in self.scored)

    @property
    def scorers(self) -> tuple[str, ...]:
        """The versions of the scorer that gave the verdicts."""
        return tuple(sorted({verdict.scorer_version for verdict in self.verdicts.values()}))

    @property
    def explained(self) -> list[Scored]:
        """What is both scored and detailed."""
        return [pair for pair in self.detailed if is_scored(pair[1])]


def is_scored(verdict: Verdict) -> bool:
    return Outcome(verdict.outcome).is_scored


def is_right(verdict: Verdict) -> bool:
    return verdict.outcome == Outcome.CORRECT


def is_complete(details: Mapping[str, Any]) -> bool:
    """Whether a verdict's details are those that this version's scorer writes, or enough of them."""
    if not _NAMES[""] <= details.keys():
        return False
    return all(details[name] is None or _NAMES[name] <= details[name].keys() for name in _PARTS)


def suites_of(run: Run) -> dict[str, Suite]:
    """The run's suites by name, as far as they can be read today."""
    found = {}
    for name in run.config["suites"]:
        try:
            suite = load(name, run.config.get("tools", ()))
        except (ToolgaugeError, OSError):  # moved, changed or never pulled on this machine: told by `left_out`
            continue
        found[suite.name] = suite
    return found


def judged(store: Store, run: Run, cell: Cell, suite: Suite | None) -> Judged:
    """Everything about a cell; `suite` counts only if its cases are the ones that were answered."""
    verdicts = store.verdicts(cell.id)
    fresh = {item_id: verdict for item_id, verdict in verdicts.items() if not verdict.stale}
    stale = frozenset(verdicts.keys() - fresh.keys())
    samples, drafted, warm = (
        tuple(sample for sample in store.latency_samples(cell.id, **kind) if sample.error is None)
        for kind in ({}, {"drafted": True}, {"warm": True})
    )
    cases, planned = None, None
    if suite is not None and suite.content_hash == cell.suite_sha256:
        cases = {case.id: case for case in suite.cases}
        n_trials = int(run.config.get("trials", 1))
        counted = Counter(case.category for case in spread(suite.cases, run.config.get("limit")))
        planned = {category: n * n_trials for category, n in counted.items()}
    n_tokens = store.n_tokens(cell.id)
    return Judged(cell, tuple(store.items(cell.id)), fresh, stale, samples, cases, planned, drafted, warm, n_tokens)
