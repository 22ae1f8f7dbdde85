"""Were the calls made in an order in which they could work? Dependent calls later, independent ones together.

A dependent call can only be right once its producers have answered, which is a later step. Knows no text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from bench.score.trace import Made, Trace
from bench.suites.case import Case, ExpectedCall
from bench.suites.match import ABSENT, matches


@dataclass(frozen=True, slots=True)
class Order:
    """Counts of one item; a rate is `n_x` over its denominator."""

    n_dependent: int = 0  # expected calls that need another's result, and were attempted
    n_premature: int = 0  # ... before it was there
    n_placeholder: int = 0  # ... premature, with a made-up value in its place
    n_threads: int = 0  # arguments that carry over a value, in dependent calls that waited
    n_threaded: int = 0  # ... and carry the right one
    n_independent_pairs: int = 0  # pairs of expected calls that could be made in one step
    n_parallel_pairs: int = 0  # ... and were
    n_split_pairs: int = 0  # ... or were made one after the other


def measure(case: Case, trace: Trace) -> Order:
    attempts = {e.id: _attempt(e, trace) for e in case.expected}
    n_dependent = n_premature = n_placeholder = n_threads = n_threaded = 0
    for e in case.expected:
        made = attempts[e.id]
        if not e.after or made is None:
            continue
        n_dependent += 1
        is_right = [matches(e.arguments[name], made.call.arguments.get(name, ABSENT)) for name in e.threads]
        if all(_came_before(attempts[producer], made) for producer in e.after):
            n_threads += len(is_right)
            n_threaded += sum(is_right)
        else:
            n_premature += 1
            n_placeholder += not all(is_right)
    pairs = [(trace.paired(a), trace.paired(b)) for a, b in _independent_pairs(case)]
    both = [(a, b) for a, b in pairs if a is not None and b is not None]
    n_parallel = sum(a.step == b.step for a, b in both)
    return Order(
        n_dependent,
        n_premature,
        n_placeholder,
        n_threads,
        n_threaded,
        n_independent_pairs=len(pairs),
        n_parallel_pairs=n_parallel,
        n_split_pairs=len(both) - n_parallel,
    )


def is_kept(case: Case, trace: Trace) -> bool:
    """Every paired call came in a later step than the calls it needs."""
    return all(
        _came_before(trace.paired(producer), made)
        for e in case.expected
        for producer in e.after
        if (made := trace.paired(e.id)) is not None
    )


def _came_before(producer: Made | None, made: Made) -> bool:
    return producer is not None and producer.step < made.step


def _attempt(expected: ExpectedCall, trace: Trace) -> Made | None:
    """The call that fulfils the expectation, or else the first other call of that tool that fulfils none."""
    paired = trace.paired(expected.id)
    if paired is not None:
        return paired
    taken = set(trace.pairing.pairs.values())
    left = (m for index, m in enumerate(trace.judged) if index not in taken)
    return next((m for m in left if m.call.name == expected.name), None)


def _independent_pairs(case: Case) -> Iterator[tuple[str, str]]:
    """Pairs of calls that become possible at the same moment."""
    levels: dict[str, int] = {}
    while len(levels) < len(case.expected):  # the loader has refused circles
        for e in case.expected:
            if e.id not in levels and all(producer in levels for producer in e.after):
                levels[e.id] = 1 + max((levels[producer] for producer in e.after), default=-1)
    for a, b in combinations(case.expected, 2):
        if levels[a.id] == levels[b.id]:
            yield a.id, b.id
