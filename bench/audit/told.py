"""A pre-run audit as sentences with stable names: printed before a run, stored with it, and shown in its report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bench import numbers
from bench.audit.answerable import Finding, Problem
from bench.audit.precheck import Precheck
from engine.types import Finding as Told

_MOST_CHARACTERS: Final = 120
INCOMPLETE: Final = "audit-incomplete"  # there was no time for all cases


def told(found: Precheck) -> Iterator[Told]:
    """One for each finding, the worst first; then whether cases are left."""
    for finding in found.findings:
        if finding.problem is not Problem.UNCHECKED:
            yield Told(f"audit-{finding.problem.value.replace('_', '-')}", _sentence(finding, found.suite))
    if found.n_checked < found.n_cases:
        left = numbers.plural(found.n_cases - found.n_checked, "case")
        advice = "see `toolgauge grammar --audit`"
        yield Told(INCOMPLETE, f"{found.suite}: {left} not checked for what a constraint cannot express; {advice}")


def short(text: str) -> str:
    """A reason may quote a long value or list; the audit's JSON has it whole."""
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"


def _sentence(finding: Finding, suite: str) -> str:
    cases = f"{numbers.plural(len(finding.cases), 'case')} of {suite}"
    modes, tool = ", ".join(finding.modes), f" of the tool '{finding.tool}'" if finding.tool else ""
    place = f"'{finding.keyword}' at {finding.path}{tool}" if finding.keyword else ""
    match finding.problem:
        case Problem.INEXPRESSIBLE:
            what = f"{', '.join(finding.backends)} cannot express {place}" if place else finding.reason
            return f"{modes}: {what}; {cases} will not be scored"
        case Problem.CONTRADICTORY:
            return f"{cases}: the right answer breaks {place}: {short(finding.reason)}"
        case _:
            return f"{modes}: no right answer can be given to {cases}: {short(finding.reason)}"
