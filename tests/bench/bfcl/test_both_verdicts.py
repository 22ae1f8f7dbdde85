"""Every case of BFCL's that expects calls has an answer that is right officially and by our verdict, but for these."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.score import score
from bench.suites.bfcl.tools import offered_name
from bench.suites.case import Case, load
from engine.types import Call
from tests.bench.bfcl.corpus import AST_CATEGORIES, Entry, entries, ideal
from tests.bench.episodes import play

pytestmark = pytest.mark.bfcl

NEVER_OFFICIALLY_RIGHT = {
    "simple_java_36",  # a number and a boolean among elements of type any, which are read as text
    "simple_java_65",
    "live_simple_106-63-0",  # a required argument without any alternative
    "live_simple_112-68-0",
    "live_multiple_862-181-3",  # an argument that the schema does not know
    "live_multiple_964-207-0",
}
NO_VALID_CALL_IS_OFFICIALLY_RIGHT = {
    # the elements of new String[]{...} have to be without quotes
    *(f"simple_java_{n}" for n in (35, 78, 83, 85, 86, 89, 90, 91)),
    "simple_java_64",  # text where a list of alternatives should be
    "parallel_multiple_21",  # a type other than the schema's
    "parallel_multiple_94",
    "live_multiple_144-56-0",
    "live_multiple_1038-265-0",
    *(
        f"live_multiple_{name}"
        for name in ("552-153-1", "595-158-1", "596-158-2", "731-167-2", "733-167-4", "735-167-6")
    ),
    # a value that the schema's own list does not have
    "live_simple_71-35-0",
    "live_parallel_multiple_2-2-0",
    *(f"live_multiple_{name}" for name in ("87-38-4", "152-58-6", "750-169-5", "756-169-11", "835-178-10")),
    *(f"live_multiple_{name}" for name in ("871-182-8", "947-197-0")),
    "live_multiple_189-83-0",  # a field of an object that the schema does not know
    "live_multiple_507-149-4",  # a required text that has to be empty
}


@pytest.mark.parametrize("category", AST_CATEGORIES)
def test_some_answer_is_right_by_both_verdicts(
    category: str, bfcl_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLGAUGE_BFCL", str(bfcl_package))
    by_id = {entry.id: entry for entry in entries(bfcl_package, category)}
    without = {case.id for case in load(f"bfcl:{category}").cases if not _has_answer(case, by_id[case.id])}
    known = NEVER_OFFICIALLY_RIGHT | NO_VALID_CALL_IS_OFFICIALLY_RIGHT
    assert without == {name for name in known if name in by_id}


def _has_answer(case: Case, entry: Entry) -> bool:
    for fully, which in ((True, 0), (False, 0), (True, 1)):
        calls = [Call(offered_name(c.name), c.arguments) for c in ideal(entry, fully=fully, which=which)]
        found = score(case, play(case, [calls]))
        assert found.official is not None
        if found.correct and found.official.valid:
            return True
    return False
