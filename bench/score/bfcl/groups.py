"""BFCL's own averages over categories: non-live, live, irrelevance and multi-turn. Never one over everything.

What the official leaderboard averages into one figure has parts that are not measured here, so there is none. A group
that lacks a category has no value either, where the official table counts the category as zero. Knows no case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

_SIMPLE = ("simple_python", "simple_java", "simple_javascript")
_NON_LIVE = (*_SIMPLE, "multiple", "parallel", "parallel_multiple")
_LIVE = ("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple")
_IRRELEVANCE = ("irrelevance", "live_irrelevance")
_MULTI_TURN = ("multi_turn_base", "multi_turn_miss_func", "multi_turn_miss_param", "multi_turn_long_context")


@dataclass(frozen=True, slots=True)
class Tally:
    """Official verdicts of one category; `n_expected` of them make the category complete."""

    n: int
    n_valid: int
    n_expected: int

    @property
    def accuracy(self) -> float:
        return self.n_valid / self.n


@dataclass(frozen=True, slots=True)
class Group:
    """`accuracy` is None while one of the categories is missing or incomplete; `rule` says how it is averaged."""

    name: str
    accuracy: float | None
    n: int
    rule: str
    missing: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def groups(tallies: Mapping[str, Tally]) -> tuple[Group, ...]:
    """The groups of which at least one category was run."""
    rules: Sequence[tuple[str, Sequence[str], Callable[[Mapping[str, Tally]], float], str]] = (
        ("non-live", _NON_LIVE, _non_live, "mean of simple (mean of three languages), multiple, parallel and both"),
        ("live", _LIVE, _weighted, "weighted by the number of cases"),
        ("irrelevance", _IRRELEVANCE, _mean, "mean of both categories"),
        ("multi-turn", _MULTI_TURN, _mean, "mean of the four categories"),
    )
    found = []
    for name, categories, average, rule in rules:
        present = {c: tallies[c] for c in categories if c in tallies and tallies[c].n}
        if not present:
            continue
        missing = tuple(c for c in categories if c not in present or present[c].n < present[c].n_expected)
        n = sum(tally.n for tally in present.values())
        found.append(Group(name, None if missing else average(present), n, rule, missing))
    return tuple(found)


def _mean(tallies: Mapping[str, Tally]) -> float:
    return sum(tally.accuracy for tally in tallies.values()) / len(tallies)


def _weighted(tallies: Mapping[str, Tally]) -> float:
    return sum(tally.n_valid for tally in tallies.values()) / sum(tally.n for tally in tallies.values())


def _non_live(tallies: Mapping[str, Tally]) -> float:
    simple = _mean({name: tallies[name] for name in _SIMPLE})
    others = [tally.accuracy for name, tally in tallies.items() if name not in _SIMPLE]
    return (simple + sum(others)) / (1 + len(others))
