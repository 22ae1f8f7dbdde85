"""Cases in which no call is right: who kept still, and who merely could not be read.

BFCL counts every answer without a readable call as right. Beside that number stand the four things that such an answer
can be; with the answers that made a call they add up to all. Knows no run and no report.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from bench.score.outcome import NoCall
from bench.score.scorer import Score
from bench.suites.bfcl.multi_turn import is_multi_turn
from bench.suites.case import Case


@dataclass(frozen=True, slots=True)
class Restraint:
    """Counts of items. `n_without_call` is what BFCL would count as right; `n_abstained` is what was."""

    n: int = 0
    n_called: int = 0
    n_abstained: int = 0
    n_malformed: int = 0
    n_truncated: int = 0
    n_error: int = 0

    @property
    def n_without_call(self) -> int:
        return self.n_abstained + self.n_malformed + self.n_truncated + self.n_error

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"n_without_call": self.n_without_call}


def wants_no_call(case: Case) -> bool:
    return not case.expected and not case.any_call and not is_multi_turn(case)


def measure(items: Iterable[tuple[Case, Score]]) -> Restraint:
    """The items whose case wants no call; the others are passed over."""
    kinds = [score.no_call for case, score in items if wants_no_call(case)]
    return Restraint(
        n=len(kinds),
        n_called=kinds.count(None),
        n_abstained=kinds.count(NoCall.ABSTAINED),
        n_malformed=kinds.count(NoCall.MALFORMED),
        n_truncated=kinds.count(NoCall.TRUNCATED),
        n_error=kinds.count(NoCall.ERROR),
    )
