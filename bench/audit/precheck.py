"""Before a run: which tools a constraint cannot express, and which right answers it would forbid.

    found = audit(load("quick"), path, format_id="hermes", backends=("llguidance", "gbnf"))
    found.tallies, found.findings

What is tried is what a run would use: the format's own text of the right answer, its own constraint, each backend's own
engine, over a model's vocabulary; no weights. `precheck` says in a moment what needs no vocabulary. Prints nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from bench.apart import apart
from bench.audit.acceptable import RightCalls
from bench.audit.answerable import Checker, Finding, Problem, Renderer, format_of, right_answers
from bench.run.plan import Plan, PlannedCell
from bench.suites.case import Case, Suite


@dataclass(frozen=True, slots=True)
class Tally:
    """All cases of the suite under one mode and backend, each counted once."""

    mode: str
    backend: str
    n_fine: int
    n: Mapping[Problem, int]


@dataclass(frozen=True, slots=True)
class Audit:
    suite: str
    n_cases: int
    format_id: str | None  # the native one; None: no native mode was tried
    vocabulary: str  # whose tokens
    tallies: tuple[Tally, ...]
    findings: tuple[Finding, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Found:
    """A finding of one case; those that say the same are put together afterwards."""

    case_id: str
    finding: Finding


Rights = Mapping[str, Mapping[str, RightCalls]]  # case id -> expected call's id -> the calls that would be right


def audit(
    suite: Suite,
    path: Path,
    *,
    format_id: str | None,
    backends: Sequence[str],
    on_backend: Callable[[str], None] = lambda name: None,
) -> Audit:
    """Try every case with each backend, over the vocabulary of the GGUF at `path`.

    Each backend works in a process of its own. Raises `ToolgaugeError` where the vocabulary cannot be read.
    """
    modes = ("native.schema", "json.schema") if format_id else ("json.schema",)
    rights = {case.id: right_answers(case) for case in suite.cases}
    everywhere = [found for case in suite.cases for found in contradictions(case, rights[case.id])]
    found = list(everywhere)
    for name in backends:
        on_backend(name)
        found += apart(partial(_with_backend, path, format_id, modes, name, suite.cases, rights), what=path.name)
    return Audit(
        suite=suite.name,
        n_cases=len(suite.cases),
        format_id=format_id,
        vocabulary=path.name,
        tallies=tuple(_tally(suite.cases, found, mode, name) for mode in modes for name in backends),
        findings=grouped(found),
    )


def contradictions(case: Case, rights: Mapping[str, RightCalls]) -> Iterator[Found]:
    """Where the suite itself asks for what its own tools do not allow, or might."""
    for right in rights.values():
        wrong = right.violation
        if right.calls or wrong is None:
            continue
        problem = Problem.CONTRADICTORY if right.exhausted else Problem.UNCHECKED
        yield Found(case.id, Finding(problem, wrong.message, right.name, wrong.keyword, wrong.path))


def _with_backend(
    path: Path,
    format_id: str | None,
    modes: Sequence[str],
    name: str,
    cases: Sequence[Case],
    rights: Rights,
    log: Path,
) -> list[Found]:
    """In the new process: all modes, with one backend."""
    del log
    from engine.constraint import backend
    from engine.constraint.tokens import TokenKinds
    from engine.llama import LoadParams, load_model

    with load_model(path, LoadParams(n_gpu_layers=0, vocab_only=True)) as model:
        engine, kinds = backend(name, model), TokenKinds(model.vocabulary())
        found: list[Found] = []
        for mode in modes:
            checker = Checker(format_of(mode, format_id), mode, name, engine, kinds)
            for case in cases:
                found += (Found(case.id, finding) for finding in checker.check(case, rights[case.id]))
        return found


def grouped(found: Iterable[Found]) -> tuple[Finding, ...]:
    """Findings that say the same as one, the commonest first within a problem."""
    cases: dict[Finding, dict[str, None]] = {}
    for each in found:
        cases.setdefault(each.finding, {})[each.case_id] = None
    findings = [replace(finding, cases=tuple(ids)) for finding, ids in cases.items()]
    backends: dict[Finding, dict[str, None]] = {}
    for one in findings:
        backends.setdefault(replace(one, backends=()), {}).update(dict.fromkeys(one.backends))
    modes: dict[Finding, dict[str, None]] = {}
    for bare, names in backends.items():
        modes.setdefault(replace(bare, modes=(), backends=tuple(names)), {}).update(dict.fromkeys(bare.modes))
    findings = [replace(bare, modes=tuple(names)) for bare, names in modes.items()]
    order = list(Problem)
    return tuple(sorted(findings, key=lambda finding: (order.index(finding.problem), -len(finding.cases))))


def _tally(cases: Sequence[Case], found: Iterable[Found], mode: str, backend: str) -> Tally:
    order = list(Problem)
    worst: dict[str, Problem] = {}
    for each in found:
        finding = each.finding
        if finding.modes and (finding.modes, finding.backends) != ((mode,), (backend,)):
            continue
        before = worst.setdefault(each.case_id, finding.problem)
        worst[each.case_id] = min(before, finding.problem, key=order.index)
    counts = Counter(worst.values())
    return Tally(mode, backend, len(cases) - len(worst), {problem: counts[problem] for problem in Problem})


@dataclass(frozen=True, slots=True)
class Precheck:
    """What could be said in a moment: `findings` of the first `n_checked` of `n_cases`; no answer was walked."""

    suite: str
    findings: tuple[Finding, ...]
    n_checked: int
    n_cases: int


def precheck(plan: Plan, *, most_s: float) -> tuple[Precheck, ...]:
    """The same for the schema modes of a plan, without any vocabulary, for as long as there is time."""
    until_s = time.monotonic() + most_s
    groups: dict[tuple[str, str | None], list[PlannedCell]] = {}
    for cell in plan.cells:
        if cell.mode.constraint == "schema":
            groups.setdefault((cell.suite.name, cell.model.format_id), []).append(cell)
    found = []
    for (suite, format_id), cells in groups.items():
        modes = tuple(dict.fromkeys(cell.mode.id for cell in cells))
        cases = tuple({item.case.id: item.case for cell in cells for item in cell.items}.values())
        found.append(_precheck(suite, cases, modes, plan.config.backend, format_id, until_s))
    return tuple(found)


def _precheck(
    suite: str, cases: Sequence[Case], modes: Sequence[str], backend: str, format_id: str | None, until_s: float
) -> Precheck:
    named = {mode: format_of(mode, format_id) for mode in modes}
    checkers = [Checker(fmt, mode, backend, Renderer(backend, fmt)) for mode, fmt in named.items()]
    found: list[Found] = []
    n_checked = 0
    for case in cases:
        if time.monotonic() > until_s:
            break
        rights = right_answers(case)
        found += contradictions(case, rights)
        found += (Found(case.id, finding) for checker in checkers for finding in checker.check(case, rights))
        n_checked += 1
    return Precheck(suite, grouped(found), n_checked, len(cases))
