"""The official single-turn data as suites: nothing is lost, ideal answers are right, and the exceptions are known."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bench.score import score
from bench.suites.bfcl.categories import GROUPS
from bench.suites.bfcl.download import _from_folder
from bench.suites.bfcl.known import contradictory, impossible
from bench.suites.bfcl.package import BFCL, ENVIRONMENT
from bench.suites.case import Suite, load
from bench.suites.reference import played, reference_steps
from engine.types import Parsed

pytestmark = pytest.mark.bfcl

IMPOSSIBLE = {"live_simple_106-63-0", "live_simple_112-68-0", "live_multiple_862-181-3", "live_multiple_964-207-0"}
N_CONTRADICTORY = 18


@pytest.fixture(scope="module")
def single_turn(bfcl_package: Path) -> Suite:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ENVIRONMENT, str(bfcl_package))
        return load("bfcl:single_turn")


def test_every_case_is_there(single_turn: Suite) -> None:
    counts = Counter(case.category for case in single_turn.cases)
    assert counts == {category.name: category.n_cases for category in GROUPS["single_turn"]}
    assert len({case.id for case in single_turn.cases}) == len(single_turn.cases) == 3641
    assert all(len({tool.name for tool in case.tools}) == len(case.tools) for case in single_turn.cases)


def test_the_files_are_the_pinned_ones(bfcl_package: Path) -> None:
    assert _from_folder(BFCL, bfcl_package)


def test_the_cases_that_cannot_be_answered_are_known(single_turn: Suite) -> None:
    assert {case.id for case in single_turn.cases if impossible(case)} == IMPOSSIBLE
    wrong = [case for case in single_turn.cases if contradictory(case)]
    assert len(wrong) == N_CONTRADICTORY
    assert not any(impossible(case) for case in wrong)


def test_every_other_ideal_answer_is_right(single_turn: Suite) -> None:
    n_right = 0
    for case in single_turn.cases:
        if impossible(case) or contradictory(case):
            continue
        judged = score(case, played(case, [Parsed(calls=step) for step in reference_steps(case)]))
        assert judged.outcome == "correct", f"{case.id}: {judged.explanation}"
        n_right += 1
    print(
        f"{n_right}/{len(single_turn.cases)} ideal answers are right; {len(IMPOSSIBLE)} + {N_CONTRADICTORY} cannot be"
    )
    assert n_right == 3641 - len(IMPOSSIBLE) - N_CONTRADICTORY
