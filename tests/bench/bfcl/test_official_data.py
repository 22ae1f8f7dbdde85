"""The official single-turn data as suites: nothing is lost, ideal answers are right, and the exceptions are known."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bench.score import score
from bench.score.bfcl.known import contradictory, impossible
from bench.suites.bfcl.categories import GROUPS
from bench.suites.bfcl.download import _from_folder
from bench.suites.bfcl.package import BFCL, ENVIRONMENT
from bench.suites.case import Suite, load
from bench.suites.reference import played, reference_steps
from engine.types import Parsed

pytestmark = pytest.mark.bfcl

LIVE = "live_multiple"
IMPOSSIBLE = {
    *("simple_java_36", "simple_java_65"),  # a number and a boolean among elements that are read as text
    *("live_simple_106-63-0", "live_simple_112-68-0"),  # a required argument without any alternative
    *(f"{LIVE}_862-181-3", f"{LIVE}_964-207-0"),  # an argument that the schema does not know
}
CONTRADICTORY = {
    *(f"simple_java_{n}" for n in (35, 78, 83, 85, 86, 89, 90, 91)),  # texts in an array have to be without quotes
    "simple_java_64",  # a text where a list of alternatives should be
    *("parallel_multiple_21", "parallel_multiple_94", f"{LIVE}_1038-265-0"),  # a type other than the schema's
    *(f"{LIVE}_{n}" for n in ("552-153-1", "595-158-1", "596-158-2", "731-167-2", "733-167-4", "735-167-6")),
    # a value that the schema's own list does not have
    *("live_simple_71-35-0", "live_parallel_multiple_2-2-0", f"{LIVE}_87-38-4", f"{LIVE}_152-58-6"),
    *(f"{LIVE}_{n}" for n in ("750-169-5", "835-178-10", "871-182-8", "947-197-0")),
    f"{LIVE}_189-83-0",  # a field that the schema does not know
}


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
    assert {case.id for case in single_turn.cases if contradictory(case)} == CONTRADICTORY


def test_every_other_ideal_answer_is_right(single_turn: Suite) -> None:
    n_right = 0
    for case in single_turn.cases:
        if case.id in IMPOSSIBLE | CONTRADICTORY:
            continue
        judged = score(case, played(case, [Parsed(calls=step) for step in reference_steps(case)]))
        assert judged.outcome == "correct", f"{case.id}: {judged.explanation}"
        n_right += 1
    n_without = len(IMPOSSIBLE) + len(CONTRADICTORY)
    print(f"{n_right}/{len(single_turn.cases)} ideal answers are right; {n_without} cannot be")
    assert n_right == 3641 - n_without
