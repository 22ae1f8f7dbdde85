"""Every case of BFCL that expects calls has an answer right by both verdicts, but for those known to have none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.score import score
from bench.score.bfcl.known import contradictory, impossible
from bench.suites.bfcl.tools import offered_name
from bench.suites.case import Case, load
from bench.suites.reference import reference_steps
from engine.types import Call
from tests.bench.bfcl.corpus import AST_CATEGORIES, Entry, entries, ideal
from tests.bench.episodes import play

pytestmark = pytest.mark.bfcl


@pytest.mark.parametrize("category", AST_CATEGORIES)
def test_some_answer_is_right_by_both_verdicts(
    category: str, bfcl_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLGAUGE_BFCL", str(bfcl_package))
    by_id = {entry.id: entry for entry in entries(bfcl_package, category)}
    cases = load(f"bfcl:{category}").cases
    without = {case.id for case in cases if not _has_answer(case, by_id[case.id])}
    assert without == {case.id for case in cases if impossible(case) or contradictory(case)}


def test_a_default_within_an_object_is_right_by_both_verdicts(
    bfcl_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty `special_instructions` among the preferences, left out in the reference: the schema's default."""
    monkeypatch.setenv("TOOLGAUGE_BFCL", str(bfcl_package))
    case = load("bfcl:live_parallel_multiple").case("live_parallel_multiple_0-0-0")
    calls = [
        Call(call.name, {name: _with_field(value) for name, value in call.arguments.items()})
        for call in reference_steps(case)[0]
    ]
    assert calls != list(reference_steps(case)[0])
    found = score(case, play(case, [calls]))
    assert found.official is not None
    assert (found.correct, found.official.valid) == (True, True)


def _with_field(value: Any) -> Any:
    return value | {"special_instructions": ""} if isinstance(value, dict) else value


def _has_answer(case: Case, entry: Entry) -> bool:
    answers = [ideal(entry, fully=fully, which=which) for fully, which in ((True, 0), (False, 0), (True, 1))]
    for calls in (*answers, reference_steps(case)[0]):
        found = score(case, play(case, [[Call(offered_name(call.name), call.arguments) for call in calls]]))
        assert found.official is not None
        if found.correct and found.official.valid:
            return True
    return False
