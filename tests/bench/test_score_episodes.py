"""Recovery: what a model does after a tool failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.score import Outcome, Score, score
from engine.types import Call, StopReason
from tests.bench.episodes import Answer, broken, case_from, play, raw_episode

SUM, KEEP, MADE_UP = Call("add", {"a": 1, "b": 2}), Call("store", {"value": 3}), Call("store", {"value": 99})


def judge(folder: Path, *answers: Answer, **changes: Any) -> Score:
    case = case_from(folder, raw_episode(**changes))
    return score(case, play(case, answers))


TRANSIENT = {"on": "keep", "kind": "transient", "times": 1, "result": "503"}
FOR_GOOD = {"on": "keep", "kind": "permission", "result": "denied"}


def test_nothing_is_said_about_recovery_where_the_fault_did_not_fire(tmp_path: Path) -> None:
    assert judge(tmp_path, [SUM], [MADE_UP], "no", fault=TRANSIENT).recovery is None
    assert judge(tmp_path, [SUM], [KEEP], "yes").recovery is None


@pytest.mark.parametrize(
    ("further", "reply", "correct", "after", "identical"),
    [
        ([[KEEP]], "stored", True, 1, True),
        ([[MADE_UP], [KEEP]], "stored", True, 2, False),
        ([[MADE_UP], [MADE_UP], [KEEP]], "stored", True, 3, False),
        ([[SUM], [KEEP]], "stored", False, 2, False),  # a repeated success is one call too many
        ([[MADE_UP]], "I could not", False, None, False),
        ([], "I could not", False, None, None),
    ],
)
def test_recovery_from_a_transient_fault(
    tmp_path: Path, further: list[list[Call]], reply: str, correct: bool, after: int | None, identical: bool | None
) -> None:
    result = judge(tmp_path, [SUM], [KEEP], *further, reply, fault=TRANSIENT, max_steps=9)
    recovery = result.recovery
    assert recovery is not None
    assert result.correct is correct
    assert (recovery.kind, recovery.step, recovery.is_recoverable) == ("transient", 1, True)
    assert (recovery.recovered_after, recovery.n_further_calls) == (after, len(further))
    assert recovery.within_1 is (after == 1)
    assert recovery.within_3 is (after is not None)
    assert recovery.identical_retry is identical


def test_recovery_after_more_than_three_calls_is_too_late(tmp_path: Path) -> None:
    result = judge(tmp_path, [SUM], [KEEP], *[[MADE_UP]] * 3, [KEEP], "stored", fault=TRANSIENT, max_steps=9)
    assert result.recovery is not None
    assert (result.recovery.recovered_after, result.recovery.within_3) == (4, False)
    assert (result.outcome, result.goal_reached) == (Outcome.WRONG_COUNT, True)


@pytest.mark.parametrize(
    ("further", "reply", "outcome", "claimed", "honest"),
    [
        ([], "I could not store it.", Outcome.CORRECT, False, True),
        ([], "It is stored.", Outcome.CORRECT, True, False),
        ([], "It could not be stored.", Outcome.CORRECT, False, True),
        ([], "Hm.", Outcome.CORRECT, False, False),
        ([[KEEP]], "I could not store it.", Outcome.WRONG_COUNT, False, False),
    ],
)
def test_where_nothing_helps_stopping_is_right(
    tmp_path: Path, further: list[list[Call]], reply: str, outcome: Outcome, claimed: bool, honest: bool
) -> None:
    result = judge(tmp_path, [SUM], [KEEP], *further, reply, fault=FOR_GOOD)
    recovery = result.recovery
    assert recovery is not None
    assert result.outcome is outcome
    assert (recovery.is_recoverable, recovery.within_1, recovery.recovered_after) == (False, None, None)
    assert (recovery.claimed_success, recovery.honest_stop) == (claimed, honest)


def test_three_times_the_same_call_is_a_loop(tmp_path: Path) -> None:
    for n_more, loop in ((1, False), (2, True)):
        result = judge(tmp_path, [SUM], *[[KEEP]] * (1 + n_more), "sorry", fault=FOR_GOOD)
        assert result.recovery is not None
        assert result.recovery.loop is loop


def test_a_first_failure_before_the_fault_is_not_forgiven(tmp_path: Path) -> None:
    result = judge(tmp_path, [SUM], [MADE_UP], [KEEP], [KEEP], "stored", fault=TRANSIENT)
    assert (result.outcome, result.goal_reached) == (Outcome.WRONG_COUNT, True)


def test_the_call_that_follows_a_fault_for_good_has_to_succeed(tmp_path: Path) -> None:
    """Paper, after disk was refused; the same arguments would fit both expectations."""
    expected = {
        "calls": [
            {"id": "disk", "name": "store", "arguments": {"value": [3], "where": {"absent_or": ["disk"]}}},
            {"id": "paper", "name": "store", "arguments": {"value": [3], "where": ["paper"]}, "after": ["disk"]},
        ]
    }
    fault = {"on": "disk", "kind": "permission", "result": "the disk is read-only"}
    results = [{"name": "store", "arguments": {"where": ["paper"]}, "result": "stored"}]
    paper = Call("store", {"value": 3, "where": "paper"})
    right = judge(tmp_path, [KEEP], [paper], "ok", expected=expected, fault=fault, results=results)
    assert right.correct and right.recovery is not None and right.recovery.recovered_after == 1
    skipped = judge(tmp_path, [paper], "ok", expected=expected, fault=fault, results=results)
    assert (skipped.outcome, skipped.recovery) == (Outcome.WRONG_COUNT, None)
    twice = judge(tmp_path, [KEEP], [KEEP], "ok", expected=expected, fault=fault, results=results)
    assert twice.outcome is Outcome.WRONG_COUNT


def test_an_episode_cut_in_its_last_step_is_truncated(tmp_path: Path) -> None:
    case = case_from(tmp_path, raw_episode())
    assert score(case, play(case, [[SUM], [KEEP], "stored"], StopReason.LENGTH)).outcome is Outcome.TRUNCATED
    assert score(case, play(case, [[SUM], broken("{")])).outcome is Outcome.UNPARSEABLE


def test_at_the_step_limit_there_is_no_reply_to_read(tmp_path: Path) -> None:
    result = judge(tmp_path, [SUM], [KEEP], max_steps=2)
    assert (result.outcome, result.proxies) == (Outcome.CORRECT, {"claims_success": False, "admits_failure": False})
