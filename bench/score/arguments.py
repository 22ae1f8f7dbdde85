"""Which call answers which expectation, and what is wrong with the ones that answer none.

Strict: names exactly, arguments as `bench.suites.match` says, order free (order is judged in `bench.score.order`). The
pairing is a maximum matching, so that it never depends on the order in which a model wrote its calls. Knows no step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.suites.case import ExpectedCall, defaults
from bench.suites.match import describe, describe_value, matches_argument, matches_arguments
from engine.types import Call, Tool


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


def pair(expected: Sequence[ExpectedCall], calls: Sequence[Call], tools: Mapping[str, Tool]) -> Pairing:
    """As many pairs as possible, by augmenting paths; of equally good calls the earliest."""
    edges = {e.id: [index for index, call in enumerate(calls) if is_right(e, call, tools)] for e in expected}
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

    for e in expected:
        place(e.id, set())
    return Pairing({call_id: index for index, call_id in owner.items()}, len(expected), len(calls))


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
    found += [Mismatch("", None, _shown_call(call), "no such call") for call in left]
    return tuple(found)


def _wrong_arguments(expected: ExpectedCall, call: Call, tools: Mapping[str, Tool]) -> list[Mismatch]:
    known = defaults(tools[call.name]) if call.name in tools else {}
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


def _shown_call(call: Call) -> str:
    return f"{call.name}({', '.join(f'{name}={describe_value(value)}' for name, value in call.arguments.items())})"
