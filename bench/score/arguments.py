"""Which call answers which expectation, and what is wrong with the ones that answer none.

Strict: names exactly, arguments as `bench.suites.match` says, order free (order is judged in `bench.score.order`). The
pairing is a maximum matching, so that it never depends on the order in which a model wrote its calls, and of several it
is one in an order that works.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.suites.case import ExpectedCall
from bench.suites.defaults import defaults
from bench.suites.match import describe, describe_call, describe_value, matches_argument, matches_arguments
from engine.types import Call, Tool

_MOST_TRIED = 10_000  # single pairs, in the search for a working order: no answer takes long to judge


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One argument, or a whole call, that is not as expected. `given` and `expected` are for people to read."""

    call: str  # id of the expected call
    argument: str | None
    given: str
    expected: str


@dataclass(frozen=True, slots=True)
class Pairing:
    """Expected id -> index of the call that fulfils it."""

    pairs: Mapping[str, int]
    n_expected: int
    n_calls: int

    @property
    def is_perfect(self) -> bool:
        return len(self.pairs) == self.n_expected == self.n_calls


def is_right(expected: ExpectedCall, call: Call, tools: Mapping[str, Tool]) -> bool:
    tool = tools.get(call.name)
    if tool is None or call.name != expected.name:
        return False
    return matches_arguments(expected.arguments, call.arguments, defaults(tool))


def pair(
    expected: Sequence[ExpectedCall], calls: Sequence[Call], tools: Mapping[str, Tool], steps: Sequence[int] = ()
) -> Pairing:
    """As many pairs as possible; all of them in an order that works, if they can be (`steps`: those of the calls).

    One call may fit several expectations: "look, change, look again". So it matters which of them gets it.
    """
    edges = {e.id: [index for index, call in enumerate(calls) if is_right(e, call, tools)] for e in expected}
    in_order = _producers_first(expected)
    pairs = _most_pairs(in_order, edges)
    if steps and len(pairs) == len(expected) and not _works(expected, pairs, steps):
        pairs = _working_pairs(in_order, edges, steps) or pairs
    return Pairing(pairs, len(expected), len(calls))


def _producers_first(expected: Sequence[ExpectedCall]) -> list[ExpectedCall]:
    """What a call needs comes before it; the reader has refused circles."""
    found: list[ExpectedCall] = []
    while len(found) < len(expected):
        done = {e.id for e in found}
        found += [e for e in expected if e.id not in done and done.issuperset(e.after)]
    return found


def _most_pairs(expected: Sequence[ExpectedCall], edges: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """By augmenting paths, the last first: who comes later takes the earliest call and moves the owner on."""
    owner: dict[int, str] = {}

    def place(call_id: str, seen: set[int]) -> bool:
        for index in edges[call_id]:
            if index in seen:
                continue
            seen.add(index)
            if index not in owner or place(owner[index], seen):
                owner[index] = call_id
                return True
        return False

    for e in reversed(expected):
        place(e.id, set())
    return {call_id: index for index, call_id in owner.items()}


def _works(expected: Sequence[ExpectedCall], pairs: Mapping[str, int], steps: Sequence[int]) -> bool:
    return all(steps[pairs[producer]] < steps[pairs[e.id]] for e in expected for producer in e.after)


def _working_pairs(
    expected: Sequence[ExpectedCall], edges: Mapping[str, Sequence[int]], steps: Sequence[int]
) -> dict[str, int] | None:
    """A call for each expectation, later than those for what it needs; None where none is found.

    All ways are gone through, which are few unless many calls fit many expectations.
    """
    pairs: dict[str, int] = {}
    n_tried = 0

    def place(number: int) -> bool:
        nonlocal n_tried
        if number == len(expected):
            return True
        e = expected[number]
        for index in edges[e.id]:
            if index in pairs.values() or any(steps[pairs[producer]] >= steps[index] for producer in e.after):
                continue
            n_tried += 1
            pairs[e.id] = index
            if n_tried <= _MOST_TRIED and place(number + 1):
                return True
            del pairs[e.id]
        return False

    return pairs if place(0) else None


def mismatches(
    expected: Sequence[ExpectedCall], calls: Sequence[Call], pairing: Pairing, tools: Mapping[str, Tool]
) -> tuple[Mismatch, ...]:
    """What is wrong, each unfulfilled expectation told against the leftover call that comes closest to it."""
    left = [call for index, call in enumerate(calls) if index not in pairing.pairs.values()]
    found: list[Mismatch] = []
    for e in (e for e in expected if e.id not in pairing.pairs):
        candidates = [call for call in left if call.name == e.name]
        if not candidates:
            found.append(Mismatch(e.id, None, "no such call", e.name))
            continue
        closest = min(candidates, key=lambda call: len(_wrong_arguments(e, call, tools)))
        left.remove(closest)
        found += _wrong_arguments(e, closest, tools)
    found += [Mismatch("", None, describe_call(call), "no such call") for call in left]
    return tuple(found)


def _wrong_arguments(expected: ExpectedCall, call: Call, tools: Mapping[str, Tool]) -> list[Mismatch]:
    known = defaults(tools[call.name]) if call.name in tools else None
    names = [*expected.arguments, *(name for name in call.arguments if name not in expected.arguments)]
    return [
        Mismatch(expected.id, name, _given(call, name), _right(expected, name))
        for name in names
        if not matches_argument(expected.arguments, call.arguments, known, name)
    ]


def _given(call: Call, name: str) -> str:
    return describe_value(call.arguments[name]) if name in call.arguments else "nothing"


def _right(expected: ExpectedCall, name: str) -> str:
    return describe(expected.arguments[name]) if name in expected.arguments else "nothing"
