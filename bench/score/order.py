"""Were the calls made in an order in which they could work? Dependent calls later, independent ones together.

A dependent call can only be right once its producers have answered, which is a later step. The definitions are those of
docs/suites.md. Knows no text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from bench.score.trace import Made, Trace
from bench.suites.case import Case, ExpectedCall
from bench.suites.defaults import defaults
from bench.suites.match import matches_argument


@dataclass(frozen=True, slots=True)
class Order:
    """Counts of one item; a rate is `n_x` over its denominator."""

    n_dependent: int = 0  # expected calls that need another's result, and were attempted
    n_premature: int = 0  # ... before it was there, even if they were made again later
    n_placeholder: int = 0  # ... premature, with a made-up value in its place
    n_threads: int = 0  # arguments that carry over a value, in dependent calls that waited
    n_threaded: int = 0  # ... and carry the right one
    n_independent_pairs: int = 0  # pairs of expected calls that become possible in the same step
    n_parallel_pairs: int = 0  # ... and were made in one
    n_split_pairs: int = 0  # ... or were not, though the later call was possible already: over-serialised
    n_steps: int = 0  # steps in which expected calls were made
    n_fewest_steps: int = 0  # in which the same calls could have been made


def measure(case: Case, trace: Trace) -> Order:
    graph = _Graph(case)
    attempts = _attempts(graph, trace)
    early = _early_attempts(graph, attempts, trace)
    n_dependent = n_premature = n_placeholder = n_threads = n_threaded = 0
    for e in case.expected:
        made = early.get(e.id) or attempts.get(e.id)
        if not e.after or made is None:
            continue
        n_dependent += 1
        is_right = _carried_over(graph, e, made)
        if e.id not in early:
            n_threads += len(is_right)
            n_threaded += sum(is_right)
        else:
            n_premature += 1
            n_placeholder += not all(is_right)
    made_of = {e.id: made for e in case.expected if (made := trace.paired(e.id)) is not None}
    pairs = list(graph.independent_pairs())
    both = [(a, b) for a, b in pairs if a in made_of and b in made_of]
    return Order(
        n_dependent,
        n_premature,
        n_placeholder,
        n_threads,
        n_threaded,
        n_independent_pairs=len(pairs),
        n_parallel_pairs=sum(made_of[a].step == made_of[b].step for a, b in both),
        n_split_pairs=sum(_is_split(graph, made_of, a, b) for a, b in both),
        n_steps=len({made.step for made in made_of.values()}),
        n_fewest_steps=graph.n_fewest_steps(frozenset(made_of)),
    )


def is_kept(case: Case, trace: Trace) -> bool:
    """Every paired call came in a later step than the calls it needs."""
    return all(
        _came_before(trace.paired(producer), made)
        for e in case.expected
        for producer in e.after
        if (made := trace.paired(e.id)) is not None
    )


class _Graph:
    """Which expected call needs which; the reader has refused circles."""

    def __init__(self, case: Case) -> None:
        self.calls = {e.id: e for e in case.expected}
        self.tools = {tool.name: tool for tool in case.tools}
        self.level: dict[str, int] = {}
        self.needs: dict[str, frozenset[str]] = {}  # directly or through others
        while len(self.level) < len(self.calls):
            for e in case.expected:
                if e.id not in self.level and all(producer in self.level for producer in e.after):
                    self.level[e.id] = 1 + max((self.level[producer] for producer in e.after), default=-1)
                    self.needs[e.id] = frozenset(e.after).union(*(self.needs[producer] for producer in e.after))

    def independent_pairs(self) -> Iterator[tuple[str, str]]:
        """Pairs of calls that become possible in the same step; an ideal episode makes all of them in one step."""
        for a, b in combinations(self.calls, 2):
            if self.level[a] == self.level[b]:
                yield a, b

    def n_fewest_steps(self, ids: frozenset[str]) -> int:
        """The calls on the longest chain among these."""
        length: dict[str, int] = {}
        for call_id in sorted(ids, key=lambda i: self.level[i]):
            length[call_id] = 1 + max((length[other] for other in self.needs[call_id] & ids), default=0)
        return max(length.values(), default=0)


def _is_split(graph: _Graph, made_of: Mapping[str, Made], a: str, b: str) -> bool:
    """Whether one was made later than the other although what it needs was known when the other was made."""
    first, second = sorted((a, b), key=lambda call_id: made_of[call_id].step)
    if made_of[first].step == made_of[second].step:
        return False
    return all(_came_before(made_of.get(producer), made_of[first]) for producer in graph.calls[second].after)


def _came_before(producer: Made | None, made: Made) -> bool:
    return producer is not None and producer.step < made.step


def _is_early(graph: _Graph, attempts: Mapping[str, Made], trace: Trace, call_id: str, step: int) -> bool:
    """Whether in this step something that the call needs was not there."""
    return not all(_has_answered(producer, attempts, trace, step) for producer in graph.calls[call_id].after)


def _has_answered(call_id: str, attempts: Mapping[str, Made], trace: Trace, step: int) -> bool:
    """Whether a call for the expectation was made before the step, and its result is one to go on with."""
    made = attempts.get(call_id)
    if made is None or made.step >= step:
        return False
    return not made.failed or made is trace.paired(call_id)  # a failure may be what the next call reacts to


def _attempts(graph: _Graph, trace: Trace) -> dict[str, Made]:
    """For each expectation the call that fulfils it, or else the first other one of that tool.

    A call that fulfils none stands for one expectation at most: one that was possible by then, if there is any, and of
    those the one whose values it carries over.
    """
    attempts = {call_id: made for call_id in graph.calls if (made := trace.paired(call_id)) is not None}
    left = _unpaired(trace)

    def likely_first(pair: tuple[Made, ExpectedCall]) -> tuple[int, bool, int]:
        made, e = pair
        return made.step, _is_early(graph, attempts, trace, e.id, made.step), _carried_over(graph, e, made).count(False)

    while pairs := [
        (made, e) for made in left for e in graph.calls.values() if e.name == made.call.name and e.id not in attempts
    ]:
        attempt, meant = min(pairs, key=likely_first)
        attempts[meant.id] = attempt
        left = [made for made in left if made is not attempt]
    return attempts


def _carried_over(graph: _Graph, expected: ExpectedCall, made: Made) -> list[bool]:
    """For each argument that is to be carried over, whether the call has the right value there."""
    given = made.call.arguments
    return [
        matches_argument(expected.arguments, given, defaults(graph.tools[expected.name]), name)
        for name in expected.threads
    ]


def _unpaired(trace: Trace) -> list[Made]:
    taken = [trace.judged[index] for index in trace.pairing.pairs.values()]
    return [m for m in trace.made if not any(m is other for other in taken)]


def _early_attempts(graph: _Graph, attempts: Mapping[str, Made], trace: Trace) -> dict[str, Made]:
    """The dependent calls that were first made before what they need was there, and that first call.

    A call that is nobody's attempt yet was made in vain before one that is; where several have its tool and one of
    them was possible by then, it may have been meant for that one, and nothing is said.
    """

    def is_early(call_id: str, made: Made) -> bool:
        return _is_early(graph, attempts, trace, call_id, made.step)

    early = {call_id: made for call_id, made in attempts.items() if is_early(call_id, made)}
    for made in (m for m in _unpaired(trace) if not any(m is other for other in attempts.values())):
        meant = [e.id for e in graph.calls.values() if e.name == made.call.name]
        if meant and all(is_early(call_id, made) for call_id in meant):
            free = next((call_id for call_id in meant if call_id not in early), None)
            if free is not None:
                early[free] = made
    return early
