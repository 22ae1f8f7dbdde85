"""Is the world at the end as it should be? For cases that play in a simulated world and say how it has to end.

The calls that were made are run again in a new world; what they did is looked up. Knows no verdict.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.records import ItemRecord
from bench.suites.case import Case
from bench.suites.match import ABSENT, describe, describe_value, matches
from bench.suites.simulate import final_state
from bench.suites.worlds import look


@dataclass(frozen=True, slots=True)
class WrongState:
    """One place of the world that is not as expected; `given` and `expected` are for people to read."""

    path: str
    given: str
    expected: str


def measure(case: Case, record: ItemRecord) -> tuple[WrongState, ...] | None:
    """What is wrong at the end; None where the case does not say how the world has to end."""
    if not case.end_state:
        return None
    state = final_state(case, record)
    found = {path: look(state, path) for path in case.end_state}
    return tuple(
        WrongState(path, "nothing" if found[path] is ABSENT else describe_value(found[path]), describe(matcher))
        for path, matcher in case.end_state.items()
        if not matches(matcher, found[path])
    )
