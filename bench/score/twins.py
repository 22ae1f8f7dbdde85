"""The same case with and without its fault, side by side: what the failure itself changed.

    for pair in twins(suite.cases, {(item.case_id, item.trial): item for item in items}): ...

A model that fails a case without its fault too has not failed because of the fault. Knows no run and no report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from bench.suites.case import Case

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class TwinPair(Generic[Item]):
    """Whatever is known of one case's item, and the same of its twin's, in one trial."""

    case: Case  # the one with the fault
    trial: int
    with_fault: Item
    without_fault: Item


def twins(cases: Sequence[Case], items: Mapping[tuple[str, int], Item]) -> tuple[TwinPair[Item], ...]:
    """Pairs of which both are there; `items` by case id and trial."""
    by_id = {case.id: case for case in cases}
    twin_of = {case.id: case.twin_of for case in cases if case.twin_of in by_id}
    return tuple(
        TwinPair(by_id[original], trial, items[original, trial], item)
        for (case_id, trial), item in items.items()
        if (original := twin_of.get(case_id)) is not None and (original, trial) in items
    )
