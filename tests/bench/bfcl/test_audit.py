"""The official cases that no answer can pass which is valid under their own schema, as they were found before."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.answerable import Problem, right_answers
from bench.audit import contradictions
from bench.suites.bfcl.package import ENVIRONMENT
from bench.suites.case import load

NAMES = ("simple_python", "multiple", "parallel", "parallel_multiple")
LIVE = ("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple")
KNOWN = {
    *("parallel_multiple_21", "parallel_multiple_94", "live_simple_71-35-0", "live_parallel_multiple_2-2-0"),
    *("live_simple_106-63-0", "live_simple_112-68-0", "live_multiple_862-181-3", "live_multiple_964-207-0"),
}
N_KNOWN = 21  # the others are thirteen of live_multiple
CLOSED = "live_multiple_189-83-0"  # only here, where an object that lists its properties is closed


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
    print(f"{len(found)} of {sum(len(suite.cases) for suite in suites):,} cases")
    assert set(found.values()) == {Problem.CONTRADICTORY}
    assert set(found) > KNOWN
    assert set(found) - KNOWN > {CLOSED}
    assert len(found) == N_KNOWN + 1
