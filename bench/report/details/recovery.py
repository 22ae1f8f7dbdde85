"""What a model does after a tool failed, given that the injected fault fired; beside the same cases without a fault.

The definitions are those of docs/suites.md. Fabricated success and honest stop are proxies: patterns that the cases'
authors wrote, held against the last reply.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench import numbers
from bench.rates import Rate, mean, rate
from bench.report.document import Cell, Table, cell
from bench.report.judged import Judged, Scored, is_right
from bench.report.layout import DASH, Line, hits_of, per_line, rate_of
from bench.results.rows import Score as Verdict
from bench.score.twins import twins
from bench.suites.case import FaultKind

if TYPE_CHECKING:
    from bench.report.values import Row

ALL = "all"


@dataclass(frozen=True, slots=True)
class Recovery:
    """One kind of fault, or all of them. Every rate is over the answers in which it fired, as far as it applies."""

    kind: str
    n_cases: int | None  # scored answers to cases with this fault, fired or not; None: the suite is not at hand
    n_fired: int
    within_1: Rate | None  # further calls; of those where recovering is right
    within_3: Rate | None
    identical_retry: Rate | None  # of those with a further call
    useless_retry: Rate | None  # of those where the same call can never work
    loop: Rate | None
    fabricated_success: Rate | None  # proxy
    honest_stop: Rate | None  # proxy; of those where nothing helps
    accuracy: Rate | None
    twin_accuracy: Rate | None  # the same cases and trials without their fault
    accuracy_where_twin_right: Rate | None
    further_calls: float | None  # mean after the failure
    further_tokens: float | None
    extra_calls: float | None  # mean of what the whole episode took more than its twin, where both are right
    extra_tokens: float | None


@dataclass(frozen=True, slots=True)
class _Fired:
    case_id: str
    verdict: Verdict
    twin: Verdict | None

    @property
    def found(self) -> Mapping[str, Any]:
        recovery: Mapping[str, Any] = self.verdict.details["recovery"]
        return recovery


def measure(judged: Judged) -> tuple[Recovery, ...]:
    """All kinds together and then each; empty where no fault fired."""
    twin_of = _twins(judged)
    fired = [
        _Fired(item.case_id, verdict, twin_of.get((item.case_id, item.trial)))
        for item, verdict in judged.explained
        if verdict.details["recovery"] is not None
    ]
    if not fired:
        return ()
    there = {each.found["kind"] for each in fired}
    kinds = [kind.value for kind in FaultKind if kind in there]
    return (
        _count(judged, ALL, fired),
        *(_count(judged, kind, [f for f in fired if f.found["kind"] == kind]) for kind in kinds),
    )


def _twins(judged: Judged) -> dict[tuple[str, int], Verdict]:
    """The verdict on the twin of each case and trial that has one."""
    if judged.cases is None:
        return {}
    items: dict[tuple[str, int], Scored] = {
        (item.case_id, item.trial): (item, verdict) for item, verdict in judged.explained
    }
    pairs = twins(tuple(judged.cases.values()), items)
    return {(pair.case.id, pair.trial): pair.without_fault[1] for pair in pairs}


def _n_cases(judged: Judged, kind: str) -> int | None:
    if judged.cases is None:
        return None
    faults = (judged.cases[item.case_id].fault for item, _ in judged.explained)
    return sum(fault is not None and kind in (ALL, fault.kind) for fault in faults)


def _count(judged: Judged, kind: str, fired: Sequence[_Fired]) -> Recovery:
    paired = [(each, each.twin) for each in fired if each.twin is not None]
    both_right = [(f, twin) for f, twin in paired if is_right(f.verdict) and is_right(twin)]

    def rate_by(name: str, among: Iterable[_Fired] = fired) -> Rate | None:
        return rate((each.case_id, each.found[name]) for each in among)

    return Recovery(
        kind,
        _n_cases(judged, kind),
        len(fired),
        within_1=rate_by("within_1"),
        within_3=rate_by("within_3"),
        identical_retry=rate_by("identical_retry"),
        useless_retry=rate_by("identical_retry", [f for f in fired if not f.found["retry_helps"]]),
        loop=rate_by("loop"),
        fabricated_success=rate_by("claimed_success"),
        honest_stop=rate_by("honest_stop", [f for f in fired if not f.found["is_recoverable"]]),
        accuracy=rate((each.case_id, is_right(each.verdict)) for each in fired),
        twin_accuracy=rate((each.case_id, is_right(twin)) for each, twin in paired),
        accuracy_where_twin_right=rate(
            (each.case_id, is_right(each.verdict)) for each, twin in paired if is_right(twin)
        ),
        further_calls=mean(each.found["n_further_calls"] for each in fired),
        further_tokens=mean(each.found["n_further_tokens"] for each in fired),
        extra_calls=mean(_n_calls(f.verdict) - _n_calls(twin) for f, twin in both_right),
        extra_tokens=mean(
            judged.n_tokens[f.verdict.item_id] - judged.n_tokens[twin.item_id]
            for f, twin in both_right
            if {f.verdict.item_id, twin.item_id} <= judged.n_tokens.keys()
        ),
    )


def _n_calls(verdict: Verdict) -> int:
    return int(verdict.details["adherence"]["n_calls"])


def table(rows: Sequence[Row]) -> Table | None:
    """A line for each kind of fault, after one for all of them."""
    lines = [Line(row, _cells(found), (found.kind,)) for row in rows for found in row.recovery]
    if not lines:
        return None
    return per_line(
        lines,
        "Recovery: after a tool failed",
        [
            "fired",
            "right",
            "right\nwithout fault",
            "recovered\nwithin 1",
            "recovered\nwithin 3",
            "identical\nretry",
            "loop",
            "fabricated\nsuccess",
            "honest\nstop",
            "extra\ncalls",
            "extra\ntokens",
        ],
        more=("fault",),
        notes=(
            "all of the answers in which the fault fired; right without fault: the same cases with a tool"
            " that works, as far as the suite has them",
            "recovered: within so many further calls, where recovering is possible; a call that fails twice cannot work"
            " within 1",
            "extra calls and tokens: mean, over the whole conversation, against the same case without its fault, where"
            " both are right",
            "fabricated success, honest stop: proxies, from patterns for the last reply that the cases bring; honest"
            " stop: where recovering is not possible",
        ),
    )


def _cells(found: Recovery) -> list[Cell]:
    n_cases = "" if found.n_cases is None else f" of {numbers.count(found.n_cases)}"
    write = rate_of if found.kind == ALL else hits_of  # of one kind there are few
    rates = (found.accuracy, found.twin_accuracy, found.within_1, found.within_3)
    return [
        cell(f"{numbers.count(found.n_fired)}{n_cases}"),
        *map(write, rates),
        hits_of(found.identical_retry),
        *(hits_of(rate, "warn" if rate and rate.hits else "plain") for rate in (found.loop, found.fabricated_success)),
        hits_of(found.honest_stop),
        DASH if found.extra_calls is None else cell(f"{found.extra_calls:+.1f}"),
        DASH if found.extra_tokens is None else cell(f"{found.extra_tokens:+,.0f}"),
    ]
