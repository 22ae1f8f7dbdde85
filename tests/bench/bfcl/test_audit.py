"""The official cases that no answer can pass which is valid under their own schema, as they were found before."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.audit.answerable import Problem, right_answers
from bench.audit.precheck import contradictions
from bench.score.bfcl import known
from bench.suites.bfcl.package import ENVIRONMENT
from bench.suites.case import load

NAMES = ("simple_python", "multiple", "parallel", "parallel_multiple")
LIVE = ("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple")
# Officially null has to be written where the schema says string; left out, it is the parameter's default to us.
LEFT_OUT = "live_multiple_1038-265-0"


@pytest.mark.bfcl
def test_the_contradictory_cases_are_found(bfcl_package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(bfcl_package))
    suites = [load(f"bfcl:{name}") for name in (*NAMES, *LIVE)]
    found = {
        each.case_id: each.finding.problem
        for suite in suites
        for case in suite.cases
        for each in contradictions(case, right_answers(case))
    }
    cases = [case for suite in suites for case in suite.cases]
    by_rule = {case.id for case in cases if known.impossible(case) or known.contradictory(case)}
    print(f"{len(found)} of {len(cases):,} cases")
    assert set(found.values()) == {Problem.CONTRADICTORY}
    assert set(found) == by_rule - {LEFT_OUT}
    assert len(found) == 21
