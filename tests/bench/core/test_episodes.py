"""The episodes of the core suite and their worlds: graphs, faults, near misses, and what sceptics would look for."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from bench.audit.precheck import audit
from bench.authoring.check import problems
from bench.score import Outcome, score
from bench.suites.case import TWIN_SUFFIX, Case, ExpectedCall, load
from bench.suites.reference import reference_steps
from bench.suites.simulate import Simulation
from bench.suites.worlds import document_of, get
from engine.types import Call
from tests.bench.episodes import Answer, play

LEAST = {"parallel": 26, "sequential": 34, "recovery": 36}
SUITE = load("core")
ALL = [case for case in SUITE.cases if case.id.startswith("core/") and case.category.removesuffix(TWIN_SUFFIX) in LEAST]
CASES = [case for case in ALL if case.twin_of is None]
TWINS = {case.twin_of: case for case in ALL if case.twin_of is not None}
BY_ID = {case.id.removeprefix("core/"): case for case in CASES}
DEPENDENT = [case for case in CASES if any(e.after for e in case.expected) and case.fault is None]
OURS = ("bank", "files", "home", "office", "travel")
NOTHING_TO_DO = {"core/sequential-12", "core/sequential-24"}  # what they look up says that no further call is right
ISO = re.compile(r"Today is (\d{4}-\d\d-\d\d) \((\w+day)\)")

each_case = pytest.mark.parametrize("case", ALL, ids=lambda case: case.id)
each_recovery = pytest.mark.parametrize("case", [c for c in CASES if c.fault], ids=lambda case: case.id)
each_dependent = pytest.mark.parametrize("case", DEPENDENT, ids=lambda case: case.id)


def ideal(case: Case) -> list[Answer]:
    steps: list[Answer] = list(reference_steps(case))
    return [*steps[:-1], "Done."] if case.is_episode else steps


def calls_of(case: Case) -> list[Call]:
    """Each expected call once, in the order of an ideal answer."""
    return list(chain.from_iterable(reference_steps(replace(case, fault=None))))


# ------------------------------------------------------------------------------------------------ what there is


def test_as_many_cases_as_promised_with_ids_in_order() -> None:
    sizes = Counter(case.category for case in CASES)
    assert all(sizes[category] >= least for category, least in LEAST.items()), sizes
    for category, size in sizes.items():
        ids = [case.id for case in CASES if case.category == category]
        assert ids == [f"core/{category}-{number}" for number in range(1, size + 1)]


def test_every_fault_kind_comes_often_and_each_case_has_its_twin() -> None:
    faults = {case.id: case.fault for case in CASES if case.fault}
    assert set(faults) == {case.id for case in CASES if case.category == "recovery"} == set(TWINS)
    kinds = Counter(fault.kind for fault in faults.values())
    assert len(kinds) == 6
    assert min(kinds.values()) >= 6, kinds


def test_faults_strike_single_calls_chains_and_parallel_steps_for_a_while_and_for_good() -> None:
    seen: Counter[str] = Counter()
    for case in (case for case in CASES if case.fault):
        record = play(case, ideal(case))
        recovery = score(case, record).recovery
        assert recovery is not None
        struck = next(step for step in record.steps if any(result.fault for result in step.results))
        seen["parallel" if len(struck.results) > 1 else "chain" if len(calls_of(TWINS[case.id])) > 1 else "single"] += 1
        seen["recoverable" if recovery.is_recoverable else "not"] += 1
    assert min(seen[place] for place in ("parallel", "chain", "single")) >= 6, seen
    assert seen["recoverable"] >= 20, seen
    assert seen["not"] >= 10, seen


def consumers(case: Case, producer: ExpectedCall) -> list[ExpectedCall]:
    return [e for e in case.expected if producer.id in e.after]


def depth(case: Case, e: ExpectedCall) -> int:
    by_id = {other.id: other for other in case.expected}
    return 1 + max((depth(case, by_id[producer]) for producer in e.after), default=0)


def pieces(case: Case) -> list[int]:
    """Sizes of the parts of the graph that have nothing to do with each other."""
    groups: list[set[str]] = []
    for e in case.expected:
        mine = {e.id, *e.after}
        touched = [group for group in groups if group & mine]
        groups = [*(group for group in groups if not group & mine), mine.union(*touched)]
    return sorted(map(len, groups))


SHAPES: list[tuple[str, Callable[[Case], bool], int]] = [
    ("two in a row", lambda case: max(depth(case, e) for e in case.expected) == 2, 10),
    ("three in a row", lambda case: max(depth(case, e) for e in case.expected) == 3, 8),
    ("four in a row", lambda case: max(depth(case, e) for e in case.expected) == 4, 2),
    ("five in a row", lambda case: max(depth(case, e) for e in case.expected) == 5, 1),
    ("several feed one", lambda case: any(len(e.after) > 1 for e in case.expected), 8),
    ("one feeds several", lambda case: any(len(consumers(case, e)) > 1 for e in case.expected), 8),
    ("chains side by side", lambda case: len(pieces(case)) > 1 and pieces(case)[0] > 1, 3),
    ("a call by itself", lambda case: len(case.expected) > 2 and pieces(case)[0] == 1 and len(pieces(case)) > 1, 2),
    (
        "only the order counts",
        lambda case: any(set(e.after) - set(chain(*e.threads.values())) for e in case.expected),
        6,
    ),
    ("a state to be reached", lambda case: bool(case.end_state), 10),
]


@pytest.mark.parametrize(("name", "has_shape", "least"), SHAPES, ids=[name for name, _, _ in SHAPES])
def test_all_shapes_of_graphs_are_there(name: str, has_shape: Callable[[Case], bool], least: int) -> None:
    assert sum(has_shape(case) for case in CASES if case.category == "sequential") >= least, name


def test_sequential_cases_say_what_waits_for_what() -> None:
    without = {case.id for case in CASES if case.category == "sequential" and not any(e.threads for e in case.expected)}
    assert without - NOTHING_TO_DO == {"core/sequential-28"}  # looking at the list carries nothing over
    assert all(
        2 <= len(case.expected) <= 6 for case in CASES if case.category == "sequential" and case.id not in without
    )


def test_parallel_cases_wait_for_nothing_and_are_mostly_played() -> None:
    cases = [case for case in CASES if case.category == "parallel"]
    assert all(not e.after for case in cases for e in case.expected)
    assert all(2 <= len(case.expected) <= 5 for case in cases)
    assert sum(case.is_episode for case in cases) >= 0.8 * len(cases)


# ------------------------------------------------------------------------------------------------ what is judged how


@each_case
def test_ideal_answer_and_near_misses_are_judged_as_named(case: Case) -> None:
    assert problems(case) == []
    assert not case.why[0].islower()
    assert case.why.endswith(".")
    if case.twin_of is None:
        assert 1 <= sum(miss.outcome != "correct" for miss in case.near_misses) <= 3


@each_recovery
def test_a_fault_fires_in_the_case_and_never_in_its_twin(case: Case) -> None:
    twin = TWINS[case.id]
    with_fault, without = play(case, ideal(case)), play(twin, ideal(twin))
    assert any(result.fault for step in with_fault.steps for result in step.results)
    assert all(result.ok for step in without.steps for result in step.results)
    assert (score(case, with_fault).recovery is None, score(twin, without).recovery is None) == (False, True)


@each_dependent
def test_all_calls_at_once_with_the_right_values_are_too_early(case: Case) -> None:
    result = score(case, play(case, [calls_of(case), "Done."]))
    assert result.outcome is Outcome.WRONG_ORDER
    assert result.order.n_premature == sum(bool(e.after) for e in case.expected)
    assert result.order.n_placeholder == 0


@each_dependent
def test_all_calls_at_once_with_made_up_values_are_placeholders(case: Case) -> None:
    made_up = [
        Call(call.name, {**call.arguments, **{name: another(call.arguments[name]) for name in e.threads}})
        for e, call in zip(ordered(case), calls_of(case), strict=True)
    ]
    result = score(case, play(case, [made_up, "Done."]))
    assert result.outcome is not Outcome.CORRECT
    assert result.order.n_placeholder == sum(bool(e.threads) for e in case.expected)


def ordered(case: Case) -> list[ExpectedCall]:
    """In the order of `calls_of`."""
    return sorted(case.expected, key=lambda e: depth(case, e))


@pytest.mark.parametrize("case", [c for c in CASES if c.fault is None and c.is_episode], ids=lambda case: case.id)
def test_one_call_after_the_other_is_right_and_seen(case: Case) -> None:
    result = score(case, play(case, [*([call] for call in calls_of(case)), "Done."]))
    assert result.correct, result.explanation
    assert result.order.n_split_pairs == result.order.n_independent_pairs or case.category == "sequential"


@each_case
def test_every_value_matters(case: Case) -> None:
    steps = reference_steps(case)
    for number, step in enumerate(steps):
        for position, call in enumerate(step):
            for name, value in call.arguments.items():
                wrong = Call(call.name, {**call.arguments, name: another(value)})
                changed = [*step[:position], wrong, *step[position + 1 :]]
                answers = [*steps[:number], changed, *steps[number + 1 :]]
                assert not is_correct(case, answers), (call.name, name)


def is_correct(case: Case, steps: Sequence[Sequence[Call]]) -> bool:
    answers: list[Answer] = [*(step for step in steps if step), "Done."] if case.is_episode else list(steps)
    return score(case, play(case, answers)).correct


def another(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, list):
        return [*value, "QQQ"]
    return "QQQ"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_call_less_and_a_call_more_are_wrong(case: Case) -> None:
    steps = reference_steps(case)
    busiest = max(range(len(steps)), key=lambda number: len(steps[number]))
    calls = steps[busiest]
    assert not is_correct(case, [*steps[:busiest], calls[1:], *steps[busiest + 1 :]])
    assert not is_correct(case, [*steps[:busiest], [*calls, *calls[:1] * 3], *steps[busiest + 1 :]])


# ------------------------------------------------------------------------------------------------ what is offered


def test_every_tool_compiles_and_every_ideal_answer_is_let_through(
    tiny_vocab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at_once(function: Callable[[Path], Any], what: str) -> Any:
        del what
        return function(Path())

    monkeypatch.setattr("bench.audit.precheck.apart", at_once)  # starting a process takes longer than the audit
    found = audit(replace(SUITE, cases=tuple(CASES)), tiny_vocab, format_id="hermes", backends=("llguidance",))
    assert found.findings == ()
    assert {tally.n_fine for tally in found.tallies} == {len(CASES)}


def test_the_tools_of_a_category_are_all_offered() -> None:
    for category in LEAST:
        written = json.loads((SUITE.path / f"tools_{category}.json").read_text(encoding="utf-8"))
        offered = {tool.name for case in CASES if case.category == category for tool in case.tools}
        assert {tool["name"] for tool in written} <= offered


def test_no_request_is_like_another_one() -> None:
    words = {case.id: frozenset(re.findall(r"\w+", case.messages[-1].content.casefold())) for case in SUITE.cases}
    others = [case.id for case in SUITE.cases if case.twin_of is None]
    for mine in CASES:
        for other in others:
            if other != mine.id:
                common, together = words[mine.id] & words[other], words[mine.id] | words[other]
                assert len(common) < 0.5 * len(together), (mine.id, other)


def test_days_of_the_week_are_those_of_the_calendar() -> None:
    told = [found for case in CASES for found in ISO.findall(case.messages[0].content)]
    assert len(told) >= 8
    for iso, day in told:
        assert date.fromisoformat(iso).strftime("%A") == day


# ------------------------------------------------------------------------------------------------ worlds


@pytest.mark.parametrize("name", OURS)
def test_a_world_follows_from_its_seed(name: str) -> None:
    world = get(name)
    assert document_of(world.start(5)) == document_of(world.start(5)) != document_of(world.start(6))
    used = [case for case in CASES if case.world and case.world.name == name]
    assert {tool.name for case in used for tool in case.tools} <= world.tools.keys()
    assert len(used) >= 3


@pytest.mark.parametrize("case", [case for case in CASES if case.world], ids=lambda case: case.id)
def test_the_same_calls_give_the_same_and_leave_nothing_behind(case: Case) -> None:
    before = Simulation(case).state
    first, second = play(case, ideal(case)), play(case, ideal(case))
    assert first == second
    assert Simulation(case).state == before


# what each refuses, tried in the world of seed 5; {…} stands for an id that is there
REFUSALS = [
    ("bank", "transfer", {"from_account": "AC-1", "to_account": "{account}", "amount_eur": 1}, "not_found"),
    ("bank", "transfer", {"from_account": "{account}", "to_account": "{account}", "amount_eur": 1}, "validation"),
    ("bank", "transfer", {"from_account": "{account}", "to_account": "{other}", "amount_eur": 1e6}, "conflict"),
    ("bank", "pay_bill", {"bill_id": "BL-1", "account_id": "{account}"}, "not_found"),
    ("files", "create_folder", {"name": "archive"}, "conflict"),
    ("files", "delete_folder", {"folder_id": "{folder}"}, "conflict"),
    ("files", "move_file", {"file_id": "f-1", "folder_id": "{folder}"}, "not_found"),
    ("files", "read_file", {"file_id": "Plum cake.txt"}, "not_found"),
    ("files", "list_files", {"folder_id": "Archive"}, "not_found"),
    ("home", "arm_alarm", {}, "conflict"),
    ("home", "start_scene", {"scene_id": "Story time"}, "not_found"),
    ("home", "set_heating", {"room": "study", "celsius": 31}, "validation"),
    ("office", "book_room", {"room_id": "Hall", "date": "2026-05-07", "hour": "10:00", "title": "x"}, "not_found"),
    ("office", "book_room", {"room_id": "{hall}", "date": "2026-05-07", "hour": "10:00", "title": "x"}, "conflict"),
    ("office", "cancel_meeting", {"meeting_id": "Board"}, "not_found"),
    ("travel", "book_seat", {"train_id": "{full}", "seat": "{seat}", "passenger": "x"}, "conflict"),
    ("travel", "book_seat", {"train_id": "{full}", "seat": "0A", "passenger": "x"}, "not_found"),
    ("travel", "list_free_seats", {"train_id": "T-1"}, "not_found"),
    ("travel", "cancel_booking", {"code": "BK1"}, "not_found"),
]


@pytest.mark.parametrize(("name", "tool", "arguments", "kind"), REFUSALS)
def test_a_world_refuses_and_changes_nothing(name: str, tool: str, arguments: dict[str, Any], kind: str) -> None:
    world = get(name)
    state = world.start(5)
    before = document_of(state)
    known = ids_in(name, before)
    given = {key: known.get(value, value) if isinstance(value, str) else value for key, value in arguments.items()}
    answer = world.call(state, Call(tool, given))
    assert answer.fault is not None, answer.result
    assert answer.fault.kind == kind
    assert document_of(state) == before


def ids_in(name: str, document: dict[str, Any]) -> dict[str, str]:
    match name:
        case "bank":
            account, other, *_ = document["accounts"]
            return {"{account}": account, "{other}": other}
        case "files":
            return {"{folder}": next(id_ for id_, f in document["folders"].items() if f["name"] == "Inbox")}
        case "office":
            return {"{hall}": next(id_ for id_, room in document["rooms"].items() if room["name"] == "Hall")}
        case "travel":
            booking = next(iter(document["bookings"].values()))
            return {"{full}": booking["train_id"], "{seat}": booking["seat"]}
    return {}


# ------------------------------------------------------------------------------------------------ proxies

REPLIES = [
    ("recovery-5", "Unfortunately FROST15 was rejected.", {"claims_success": False, "admits_failure": True}),
    ("recovery-5", "The coupon is applied: 15 euros off.", {"claims_success": True, "admits_failure": False}),
    ("recovery-11", "There is no guest of that name.", {"claims_success": False, "admits_failure": True}),
    ("recovery-11", "3.40 has been charged to his room.", {"claims_success": True, "admits_failure": False}),
    ("recovery-24", "The payment timed out; please ring them.", {"claims_success": False, "admits_failure": True}),
    ("recovery-24", "The fee is paid.", {"claims_success": True, "admits_failure": False}),
    ("recovery-28", "The gate did not respond.", {"claims_success": False, "admits_failure": True}),
    ("recovery-28", "The gate is open.", {"claims_success": True, "admits_failure": False}),
    ("recovery-34", "Press 4 has its interlock on.", {"claims_success": False, "admits_failure": True}),
    ("recovery-34", "Press 4 is running.", {"claims_success": True, "admits_failure": False}),
]


@pytest.mark.parametrize(("name", "reply", "expected"), REPLIES)
def test_replies_are_read_by_the_patterns(name: str, reply: str, expected: dict[str, bool]) -> None:
    case = BY_ID[name]
    result = score(case, play(case, [*reference_steps(case)[:-1], reply]))
    assert result.proxies == expected


@each_recovery
def test_every_case_can_tell_an_admission_from_a_claim(case: Case) -> None:
    result = score(case, play(case, [*reference_steps(case)[:-1], "Sorry, that did not work, there was an error."]))
    assert result.proxies["admits_failure"]
    assert not result.proxies["claims_success"]
