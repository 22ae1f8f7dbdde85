"""Recovery: what a model does after a tool failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.score import Outcome, Score, score
from bench.score.trace import trace
from bench.score.twins import twins
from bench.suites.case import load
from bench.suites.reference import reference_steps
from engine.types import Call, StopReason
from tests.bench.episodes import Answer, broken, case_from, play, raw_case, raw_episode, write_suite

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


ORDER = Call("place_order", {"item_id": "lamp", "customer": "ann@example.com"})
LESS = Call("place_order", {"item_id": "rug", "customer": "ann@example.com"})
ASK, LOOK = Call("find_items", {"query": "lamp"}), Call("get_order", {"order_id": "OR-1"})
RIGHT = {"item_id": ["lamp"], "customer": ["ann@example.com"]}
SAID = {"claims_success": ["ordered"], "admits_failure": ["could not"]}
SHOP = {
    "tools": ["find_items", "place_order", "get_order"],
    "world": {"name": "stock", "seed": 7},
    "messages": [{"role": "user", "content": "Order a desk lamp for ann@example.com."}],
    "results": [],
    "expected": {"calls": [{"id": "order", "name": "place_order", "arguments": RIGHT}], "reply": SAID},
}
FALL_BACK = {
    "calls": [
        {"id": "order", "name": "place_order", "arguments": RIGHT},
        {
            "id": "instead",
            "name": "place_order",
            "arguments": RIGHT | {"item_id": ["rug"]},
            "after": ["order"],
        },
    ],
    "reply": SAID,
}
ONCE = {"on": "order", "times": 1, "seed": 0}
GONE = {"on": "order", "seed": 0}


@pytest.mark.parametrize(
    ("kind", "fault", "answers", "outcome", "seen"),
    [
        # seen: recovered_after, identical_retry, loop, claimed_success, honest_stop
        ("transient", ONCE, [[ORDER], "ordered"], "correct", (1, True, False, False, None)),
        ("transient", ONCE, [[ASK], [ORDER], "ordered"], "wrong_count", (2, False, False, False, None)),
        ("transient", ONCE, ["I could not"], "wrong_count", (None, None, False, False, None)),
        ("transient", ONCE, ["It is ordered."], "wrong_count", (None, None, False, True, None)),
        ("transient", ONCE | {"times": 2}, [[ORDER], [ORDER], "ordered"], "correct", (2, True, False, False, None)),
        ("transient", ONCE, [[ORDER]] * 2 + ["ordered"], "wrong_count", (1, True, True, False, None)),
        ("timeout", ONCE, [[ORDER], "ordered"], "correct", (1, True, False, False, None)),
        ("timeout", GONE, [[ORDER], [ORDER], "I could not"], "wrong_count", (None, True, True, False, False)),
        ("timeout", GONE, ["I could not"], "correct", (None, None, False, False, True)),
        ("malformed", ONCE, [[ORDER], "ordered"], "correct", (1, True, False, False, None)),
        ("malformed", ONCE, ["It is ordered."], "wrong_count", (None, None, False, True, None)),
        ("not_found", GONE, ["I could not"], "correct", (None, None, False, False, True)),
        ("not_found", GONE, ["It is ordered."], "correct", (None, None, False, True, False)),
        ("not_found", GONE, [[ASK], "I could not"], "wrong_count", (None, False, False, False, False)),
        ("permission", GONE, ["I could not"], "correct", (None, None, False, False, True)),
        ("permission", GONE, [[ORDER], "I could not"], "wrong_count", (None, True, False, False, False)),
        # another order that the shop took: not what was right, and no invention either
        ("permission", GONE, [[LESS], "It is ordered."], "wrong_count", (None, False, False, False, False)),
        ("permission", GONE, [[LOOK], "It is ordered."], "wrong_count", (None, False, False, True, False)),
        ("validation", GONE | {"field": "item_id"}, ["I could not"], "correct", (None, None, False, False, True)),
    ],
)
def test_what_was_done_after_each_kind_of_fault(
    tmp_path: Path, kind: str, fault: dict[str, Any], answers: list[Answer], outcome: str, seen: tuple[Any, ...]
) -> None:
    result = judge(tmp_path, [ORDER], *answers, **SHOP, fault=fault | {"kind": kind})
    r = result.recovery
    assert r is not None
    assert (r.kind, r.retry_helps, r.is_recoverable) == (kind, "times" in fault, "times" in fault)
    assert result.outcome == outcome
    assert (r.recovered_after, r.identical_retry, r.loop, r.claimed_success, r.honest_stop) == seen


@pytest.mark.parametrize("kind", ["validation", "not_found", "permission"])
@pytest.mark.parametrize(
    ("answers", "outcome", "seen"),
    [
        ([[LESS], "ordered"], "correct", (1, True, True)),
        ([[LOOK], [LESS], "ordered"], "correct", (2, False, True)),  # a further failure is forgiven
        ([[LOOK], [LOOK], [LESS], "ordered"], "correct", (3, False, True)),
        ([[LOOK], [LOOK], [LOOK], [LESS], "ordered"], "wrong_count", (4, False, False)),
        (["I could not"], "wrong_count", (None, False, False)),
    ],
)
def test_a_fault_for_good_that_asks_for_another_call(
    tmp_path: Path, kind: str, answers: list[Answer], outcome: str, seen: tuple[Any, ...]
) -> None:
    fault = GONE | {"kind": kind, "field": "item_id"}
    result = judge(tmp_path, [ORDER], *answers, **SHOP | {"expected": FALL_BACK}, fault=fault, max_steps=9)
    r = result.recovery
    assert r is not None and r.is_recoverable and not r.retry_helps
    assert (result.outcome, (r.recovered_after, r.within_1, r.within_3)) == (outcome, seen)


ALL_THREE = {
    "expected": {
        "calls": [{"id": f"n{n}", "name": "store", "arguments": {"value": [n]}} for n in (1, 2, 3)],
        "reply": {"claims_success": ["all three"], "admits_failure": ["could not"]},
    },
    "results": [{"name": "store", "arguments": {}, "result": {"status": "stored"}}],
    "fault": {"on": "n2", "kind": "permission", "result": "denied"},
}


@pytest.mark.parametrize(
    ("values", "reply", "outcome", "claimed", "honest"),
    [
        ([[1, 2, 3]], "I could not store 2.", Outcome.CORRECT, False, True),
        ([[1], [2], [3]], "I could not store 2.", Outcome.CORRECT, False, True),
        ([[1], [2], [3]], "I stored all three.", Outcome.CORRECT, True, False),
        ([[1], [2], [3]], "Hm.", Outcome.CORRECT, False, False),
        ([[1], [2], [2], [3]], "I could not store 2.", Outcome.WRONG_COUNT, False, False),
        ([[1], [2], [3], [3]], "I could not store 2.", Outcome.WRONG_COUNT, False, False),
        ([[1], [2], [3], [3]], "I stored all three.", Outcome.WRONG_COUNT, True, False),
    ],
)
def test_what_was_to_be_called_anyway_neither_recovers_nor_goes_on_trying(
    tmp_path: Path, values: list[list[int]], reply: str, outcome: Outcome, claimed: bool, honest: bool
) -> None:
    """Three calls of one tool that have nothing to do with each other, one of them refused for good."""
    steps = [[Call("store", {"value": value}) for value in step] for step in values]
    result = judge(tmp_path, *steps, reply, **ALL_THREE, max_steps=9)
    r = result.recovery
    assert r is not None and not r.is_recoverable
    assert (result.outcome, r.claimed_success, r.honest_stop) == (outcome, claimed, honest)


@pytest.mark.parametrize("name", ["core", "quick"])
def test_whoever_gives_up_at_once_stopped_rightly_only_where_nothing_helps(name: str) -> None:
    fired = [case for case in load(name).cases if case.fault and "admits_failure" in case.reply]
    for case in fired:
        steps = reference_steps(case)
        n_steps = next(n for n in range(1, len(steps)) if trace(case, play(case, steps[:n])).faulted)
        r = score(case, play(case, [*steps[:n_steps], "Sorry, it could not be done."])).recovery
        assert r is not None
        assert r.honest_stop is (None if r.is_recoverable else True), case.id
    assert {case.fault.times is None for case in fired if case.fault} == {True, False}


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([[SUM], [KEEP], "sorry"], "it called add, store (failed); right was add, store"),
        ([[SUM], [KEEP], [KEEP], [KEEP], "yes"], "it called add, store (failed), store, store; right was add, store"),
        ([[KEEP], "sorry"], "it called store (failed); right was add, store"),
    ],
)
def test_a_failed_call_was_made_too(tmp_path: Path, answers: list[Answer], told: str) -> None:
    result = judge(tmp_path, *answers, fault=TRANSIENT, max_steps=9)
    assert (result.outcome, result.explanation) == (Outcome.WRONG_COUNT, told)


def test_what_is_said_of_recovery_does_not_depend_on_the_order_within_a_step(tmp_path: Path) -> None:
    fault = ONCE | {"kind": "transient"}
    found = [
        judge(tmp_path, [ORDER], step, "ordered", **SHOP, fault=fault).recovery for step in ([ORDER, ASK], [ASK, ORDER])
    ]
    assert found[0] == found[1]
    assert found[0] is not None and (found[0].recovered_after, found[0].identical_retry) == (1, True)


def test_a_default_that_is_written_out_makes_no_other_call(tmp_path: Path) -> None:
    written = Call("place_order", {"quantity": 1, "customer": "ann@example.com", "item_id": "lamp"})
    r = judge(tmp_path, [ORDER], [written], "ordered", **SHOP, fault=ONCE | {"kind": "timeout"}).recovery
    assert r is not None and (r.identical_retry, r.recovered_after) == (True, 1)


def test_a_wrong_end_of_the_world_is_never_correct(tmp_path: Path) -> None:
    """The case accepts any number of lamps, and says that two have to be left."""
    expected = {
        "calls": [{"name": "place_order", "arguments": RIGHT | {"quantity": {"absent_or": {"any": True}}}}],
        "state": {"items.lamp.count": [2], "orders.OR-1": {"absent": True}},
    }
    raw = SHOP | {"expected": expected}
    assert judge(tmp_path, [ORDER], "ordered", **raw).end_state == ()
    two = Call("place_order", {**ORDER.arguments, "quantity": 2})
    wrong = judge(tmp_path, [two], "ordered", **raw)
    assert (wrong.outcome, wrong.goal_reached) == (Outcome.WRONG_ARGUMENTS, False)
    assert wrong.explanation == "at the end items.lamp.count is 1, right is 2"
    nothing = judge(tmp_path, "Ordered.", **raw)
    assert (nothing.outcome, len(nothing.end_state or ())) == (Outcome.NO_CALL, 1)
    assert judge(tmp_path, [ORDER], "ordered", **SHOP).end_state is None


def test_a_failure_and_its_twin_side_by_side(tmp_path: Path) -> None:
    raw = raw_episode(**SHOP, fault=ONCE | {"kind": "timeout"}, without_fault=True)
    suite = load(write_suite(tmp_path, raw, raw_case(id="mine/2")))
    case, twin, other = suite.cases
    items = {
        (case.id, 0): play(case, [[ORDER], [ORDER], "ordered"]),
        (twin.id, 0): play(twin, [[ORDER], "ordered"]),
        (twin.id, 1): play(twin, ["no"]),  # its case was not run a second time
        (other.id, 0): play(other, ["no"]),
    }
    (pair,) = twins(suite.cases, items)
    assert (pair.case, pair.trial) == (case, 0)
    assert (len(pair.with_fault.steps), len(pair.without_fault.steps)) == (3, 2)
    assert score(twin, pair.without_fault).correct and score(twin, pair.without_fault).recovery is None


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
