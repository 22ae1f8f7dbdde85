"""What `toolgauge grammar --audit` prints: how many cases each constraint leaves answerable, and what is in the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bench import numbers
from bench.audit.answerable import Finding, Problem
from bench.audit.precheck import Audit, Precheck, audit, precheck
from bench.audit.shown import unseen
from bench.audit.told import INCOMPLETE, short, told
from bench.report.document import Block, Cell, Column, Document, Heading, Table, Text, cell
from bench.shell import emit, emit_json, say

if TYPE_CHECKING:
    from pathlib import Path

    from bench.doctor.checkup import Look
    from bench.run.plan import Plan
    from engine.types import Finding as Told

PRECHECK_S = 2.0  # a run waits no longer for it
_MOST_WARNINGS = 4
_MOST_CASES = 4  # named with a finding

_TITLES = {
    Problem.INEXPRESSIBLE: "Cannot be expressed",
    Problem.CONTRADICTORY: "The right answer breaks its own tool's schema",
    Problem.NOT_CARRIED: "The format cannot carry the right answer",
    Problem.FORBIDDEN: "The right answer is forbidden",
    Problem.UNCHECKED: "Not checked: no valid example of a right answer was found",
}
_ADVICE = {
    Problem.INEXPRESSIBLE: "In a run these cases are constraint errors: not scored, in a column of their own.",
    Problem.CONTRADICTORY: "No schema mode can be right here. Mend the case or the schema, or report these apart.",
    Problem.NOT_CARRIED: "No answer in this format can be right here, free or not; the json modes carry any value.",
    Problem.FORBIDDEN: "Only free answers can be right here. Unless the case itself asks for that, please report it.",
    Problem.UNCHECKED: "Nothing is known to be wrong; name the right values one by one to have them checked.",
}
_HEADERS = {
    Problem.INEXPRESSIBLE: "inexpressible",
    Problem.CONTRADICTORY: "contradictory",
    Problem.NOT_CARRIED: "not\ncarried",
    Problem.FORBIDDEN: "forbidden",
    Problem.UNCHECKED: "not\nchecked",
}


def print_audit(
    suite: str,
    model: str | None,
    backends: Sequence[str],
    *,
    format_id: str | None,
    chat_template: Path | None,
    as_json: bool,
) -> None:
    """Audit a suite for a model's vocabulary and format, or for the bundled vocabulary and the named format."""
    from bench.doctor.checkup import look_at
    from bench.run.prepare import BUNDLED
    from bench.suites.case import load

    asked = load(suite)
    look = look_at(model or BUNDLED, format_id=format_id, chat_template=chat_template)
    found = audit(
        asked,
        look.path,
        format_id=look.format_id,
        backends=backends,
        on_backend=lambda name: say(f"{name}: {numbers.plural(len(asked.cases), 'case')} ...", "dim"),
    )
    if as_json:
        emit_json(found.to_json())
    else:
        emit(document(found, look if model else None))


def document(found: Audit, look: Look | None) -> Document:
    """Build the page: the counts, then each problem with its places and what to do."""
    native = f"native format {found.format_id}" if found.format_id else "no native format known, json.schema alone"
    whose = look.name if look else f"the bundled vocabulary ({found.vocabulary})"
    blocks: list[Block] = [
        Heading(f"Grammar audit of {found.suite}, {numbers.plural(found.n_cases, 'case')}"),
        Text(f"{whose}, {native}", "dim"),
        _counts(found),
    ]
    if not found.findings:
        return [*blocks, Text("Every case can be answered rightly under every constraint.", "good")]
    for problem in Problem:
        these = [finding for finding in found.findings if finding.problem is problem]
        if these:
            blocks += [Heading(_TITLES[problem], 2), _places(these, found), Text(_advice(problem, these, found))]
    return blocks


def _counts(found: Audit) -> Table:
    # What never happened is no column; four that matter are always there.
    shown = [p for p in Problem if p is not Problem.UNCHECKED or any(tally.n[p] for tally in found.tallies)]
    rows = tuple(
        (
            cell(tally.mode, "strong"),
            cell(tally.backend),
            cell(numbers.count(tally.n_fine), "good" if tally.n_fine == found.n_cases else "plain"),
            *(_count(tally.n[problem]) for problem in shown),
        )
        for tally in found.tallies
    )
    columns = (Column("mode"), Column("backend"), Column("fine", right=True))
    return Table((*columns, *(Column(_HEADERS[problem], right=True) for problem in shown)), rows, n_group=1)


def _count(number: int) -> Cell:
    return cell(numbers.count(number), "warn" if number else "dim")


def _places(findings: Sequence[Finding], found: Audit) -> Table:
    rows = []
    for finding in findings:
        where = f"{finding.keyword} at {finding.path}" if finding.keyword else ""
        rows.append(
            (
                cell(finding.tool or numbers.MISSING),
                cell(": ".join(text for text in (where, short(finding.reason)) if text)),
                cell(_under(finding, found)),
                cell(_named(finding.cases)),
            )
        )
    return Table((Column("tool"), Column("what"), Column("where"), Column("cases")), tuple(rows))


def _under(finding: Finding, found: Audit) -> str:
    if not finding.modes:
        return "everywhere"
    backends = tuple(dict.fromkeys(tally.backend for tally in found.tallies))
    modes = ", ".join(finding.modes)
    return modes if finding.backends == backends else f"{modes}: {', '.join(finding.backends)}"


def _named(cases: Sequence[str]) -> str:
    rest = len(cases) - _MOST_CASES
    return ", ".join(cases[:_MOST_CASES]) + (f" and {rest} more" if rest > 0 else "")


def _advice(problem: Problem, findings: Sequence[Finding], found: Audit) -> str:
    text = _ADVICE[problem]
    if problem is not Problem.INEXPRESSIBLE:
        return text
    failing = {name for finding in findings for name in finding.backends}
    others = dict.fromkeys(tally.backend for tally in found.tallies if tally.backend not in failing)
    if others:
        return f"{text} They can be expressed with --backend {' or '.join(others)}."
    return f"{text} Write the keyword out of the schema, or measure these cases in the free modes."


# Before a run


def say_warnings(plan: Plan) -> tuple[Told, ...]:
    """Tell what a run asks that its model, template or constraint cannot do, as far as a moment allows; returns all."""
    stored: list[Told] = list(plan.findings)
    for finding in stored:
        say(f"warning: {finding.message}", "yellow")
    for found in precheck(plan, most_s=PRECHECK_S):
        stored += told(found)
        for text in warnings(found):
            say(f"warning: {text}", "yellow")
    for finding in unseen(plan, most_s=PRECHECK_S):
        stored.append(finding)
        say(f"warning: {finding.message}", "yellow")
    return tuple(stored)


def warnings(found: Precheck) -> Iterator[str]:
    """The first sentences; the audit itself, and the run's report, have them all."""
    telling = list(told(found))
    findings = [each.message for each in telling if each.name != INCOMPLETE]
    yield from findings[:_MOST_WARNINGS]
    if len(findings) > _MOST_WARNINGS:
        rest = numbers.plural(len(findings) - _MOST_WARNINGS, "more finding")
        yield f"{found.suite}: {rest}; `toolgauge grammar --audit` names them all"
    yield from (each.message for each in telling if each.name == INCOMPLETE)
