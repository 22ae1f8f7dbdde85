"""The quick suite: forty cases whose ideal answers are right, and whose near-misses get the outcome that names them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from bench.records import EpisodeEnd
from bench.score import Outcome, score
from bench.suites.case import Case, FaultKind, load
from bench.suites.match import OneOf, matches
from bench.suites.reference import reference_steps
from bench.suites.simulate import replays
from engine.types import Call, Parsed
from tests.bench.episodes import Answer, broken, play

SUITE = load("quick")
BY_ID = {case.id.removeprefix("quick/"): case for case in SUITE.cases}
FAMILIAR = "get_weather convert_currency create_reminder send_email create_event convert_time search_web find_contact"


def ideal(case: Case) -> list[Answer]:
    return [step or "Here you are." for step in reference_steps(case)]


def test_forty_cases_in_five_categories_of_eight() -> None:
    sizes = Counter(case.category for case in SUITE.cases)
    assert sizes == dict.fromkeys(("selection", "arguments", "multi_tool", "restraint", "recovery"), 8)
    assert {tool.name for case in SUITE.cases for tool in case.tools} == set(FAMILIAR.split())
    assert all(case.tool_choice == "auto" for case in SUITE.cases)
    assert len({case.content_hash for case in SUITE.cases}) == 40


def test_recovery_has_every_kind_of_fault_and_patterns_for_every_reply() -> None:
    recovery = [case for case in SUITE.cases if case.category == "recovery"]
    assert {case.fault.kind for case in recovery if case.fault} == set(FaultKind)
    assert all({"claims_success", "admits_failure"} <= case.reply.keys() for case in recovery)
    assert all(case.fault is None for case in SUITE.cases if case.category != "recovery")


@pytest.mark.parametrize("case", SUITE.cases, ids=lambda case: case.id)
def test_the_ideal_answer_is_correct(case: Case) -> None:
    record = play(case, ideal(case))
    result = score(case, record)
    assert (result.outcome, result.explanation, result.goal_reached) == (Outcome.CORRECT, "", True)
    assert result.mismatches == ()
    assert record.end is (EpisodeEnd.REPLY if case.is_episode else EpisodeEnd.SINGLE)
    assert replays(case, record)
    assert result.adherence.n_calls == result.adherence.n_schema_valid == sum(map(len, reference_steps(case)))
    assert (result.recovery is not None) == (case.fault is not None)
    if result.recovery and result.recovery.is_recoverable:
        assert result.recovery.recovered_after == 1
    assert result.order.n_premature == result.order.n_split_pairs == 0
    assert result.order.n_threads == result.order.n_threaded


@pytest.mark.parametrize("case", SUITE.cases, ids=lambda case: case.id)
def test_every_acceptable_value_is_valid_under_its_schema(case: Case) -> None:
    """Otherwise a grammar would rule out an answer that counts as right."""
    for expected in case.expected:
        properties = next(tool for tool in case.tools if tool.name == expected.name).parameters["properties"]
        for name, matcher in expected.arguments.items():
            for value in matcher.values if isinstance(matcher, OneOf) else ():
                jsonschema.Draft202012Validator(properties[name]).validate(value)


@pytest.mark.parametrize("case", SUITE.cases, ids=lambda case: case.id)
def test_every_value_matters(case: Case) -> None:
    """A wrong value for any one argument, or a missing required one, is not correct."""
    steps = reference_steps(case)
    for number, step in enumerate(steps):
        for position, call in enumerate(step):
            for name in call.arguments:
                wrong = Call(call.name, {**call.arguments, name: another(call.arguments[name])})
                answers: list[Answer] = [*steps[:number], [*step[:position], wrong, *step[position + 1 :]]]
                result = score(case, play(case, [*answers, "Done."][: case.max_steps]))
                assert result.outcome in (Outcome.WRONG_ARGUMENTS, Outcome.WRONG_COUNT, Outcome.SCHEMA_INVALID)


def another(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return "QQQ"
    if isinstance(value, list):
        return [*value, "QQQ"]
    return {**value, "count": 99}


@pytest.mark.parametrize("case", SUITE.cases, ids=lambda case: case.id)
def test_the_usual_failures_get_their_names(case: Case) -> None:
    calls = [call for step in reference_steps(case) for call in step]
    assert outcome(case, [broken('{"name": ')]) is Outcome.UNPARSEABLE
    if not calls:
        assert outcome(case, [[Call(case.tools[0].name, {})]]) is Outcome.UNEXPECTED_CALL
        return
    assert outcome(case, ["Sorry."]) is Outcome.NO_CALL
    invented = Call(calls[0].name, {**calls[0].arguments, "invented": 1})
    if len(case.expected) == 1 and not case.is_episode:
        assert outcome(case, [[invented]]) is Outcome.SCHEMA_INVALID
        assert outcome(case, [[calls[0], calls[0]]]) is Outcome.WRONG_COUNT
        assert outcome(case, [[replace(calls[0], name="play_music")]]) is Outcome.WRONG_TOOL
    elif not case.is_episode:
        assert outcome(case, [calls[1:]]) is Outcome.WRONG_COUNT
        assert outcome(case, [[*reversed(calls)]]) is Outcome.CORRECT


def outcome(case: Case, answers: list[Answer]) -> Outcome:
    answers = [*answers, "Done."] if case.is_episode and not isinstance(answers[0], Parsed | str) else answers
    return score(case, play(case, answers)).outcome


def call(name: str, /, **arguments: Any) -> Call:
    return Call(name, arguments)


MAIL = {"subject": "Lunch", "body": "Does Friday at noon suit you?"}
EVENT = {"title": "Roadmap", "date": "2026-03-06", "start_time": "11:00", "duration_minutes": 60}
BANK = {"text": "Call the bank", "date": "2026-03-03"}
PHYSIO = {"date": "2026-03-05"}
AUSTRIAN = {"max_results": 3, "recency": "month", "site": "derstandard.at"}
POUNDS = {"amount": 60, "from_currency": "GBP", "to_currency": "NOK"}
NOON = [
    ("Would noon on Friday suit you?", Outcome.CORRECT),
    ("Please let me know if Friday at 12:00 works for you.", Outcome.CORRECT),
    ("Let's have lunch on Friday at 12:00. Does that suit you?", Outcome.CORRECT),
    ("Does Friday at 12 pm suit you?", Outcome.CORRECT),
    ("Does Friday at 12 o'clock suit you?", Outcome.CORRECT),
    ("Does Friday afternoon suit you?", Outcome.WRONG_ARGUMENTS),
    ("Does Friday at 12:00 am suit you?", Outcome.WRONG_ARGUMENTS),
]

NEAR_MISSES: list[tuple[str, list[Answer], Outcome]] = [
    ("selection-1", [[call("get_weather", city="Lisbon", unit="celsius")]], Outcome.CORRECT),
    ("selection-1", [[call("get_weather", city="lisbon", date="2026-03-02")]], Outcome.CORRECT),
    ("selection-1", [[call("get_weather", city="Lisbon", date="2026-03-03")]], Outcome.WRONG_ARGUMENTS),
    ("selection-1", [[call("get_weather", city="Lisbon", unit="fahrenheit")]], Outcome.WRONG_ARGUMENTS),
    ("selection-1", [[call("search_web", query="weather Lisbon")]], Outcome.WRONG_TOOL),
    (
        "selection-2",
        [[call("convert_currency", amount=250.0, from_currency="USD", to_currency="JPY")]],
        Outcome.CORRECT,
    ),
    (
        "selection-2",
        [[call("convert_currency", amount="250", from_currency="USD", to_currency="JPY")]],
        Outcome.SCHEMA_INVALID,
    ),
    (
        "selection-2",
        [[call("convert_currency", amount=250, from_currency="usd", to_currency="JPY")]],
        Outcome.SCHEMA_INVALID,
    ),
    (
        "selection-2",
        [[call("convert_currency", amount=250, from_currency="JPY", to_currency="USD")]],
        Outcome.WRONG_ARGUMENTS,
    ),
    (
        "selection-5",
        [[call("create_reminder", text="Water the plants", date="2026-03-05", time="18:00")]],
        Outcome.CORRECT,
    ),
    (
        "selection-5",
        [[call("create_reminder", text="Water the plants", date="2026-03-12", time="18:00")]],
        Outcome.WRONG_ARGUMENTS,
    ),
    (
        "selection-5",
        [[call("create_reminder", text="Water the plants", date="2026-03-05", time="6 pm")]],
        Outcome.WRONG_ARGUMENTS,
    ),
    ("arguments-7", [[call("search_web", query="heat-pump subsidy", **AUSTRIAN)]], Outcome.CORRECT),
    ("arguments-7", [[call("search_web", query="Wärmepumpe Förderung", **AUSTRIAN)]], Outcome.CORRECT),
    ("arguments-7", [[call("search_web", query="heat pumps", **AUSTRIAN)]], Outcome.WRONG_ARGUMENTS),
    (
        "restraint-3",
        [[call("convert_currency", amount=300, from_currency="EUR", to_currency="USD")]],
        Outcome.UNEXPECTED_CALL,
    ),
    ("multi_tool-1", [[call("get_weather", city="Madrid"), call("get_weather", city="Oslo")]], Outcome.CORRECT),
    ("multi_tool-1", [[call("get_weather", city="Oslo and Madrid")]], Outcome.WRONG_COUNT),
    ("multi_tool-1", [[call("get_weather", city="Oslo"), call("get_weather", city="Oslo")]], Outcome.WRONG_ARGUMENTS),
    # a made-up address at once; the right one by guessing; the lookup, and then nothing
    (
        "multi_tool-5",
        [[call("find_contact", name="Marta Lindqvist"), call("send_email", to=["marta@example.com"], **MAIL)], "Sent."],
        Outcome.WRONG_ARGUMENTS,
    ),
    (
        "multi_tool-5",
        [
            [call("find_contact", name="Marta Lindqvist"), call("send_email", to=["m.lindqvist@example.com"], **MAIL)],
            "Sent.",
        ],
        Outcome.WRONG_ORDER,
    ),
    ("multi_tool-5", [[call("find_contact", name="Marta Lindqvist")], "Here it is."], Outcome.WRONG_COUNT),
    (
        "multi_tool-5",
        [
            [call("find_contact", name="Marta Lindqvist")],
            [call("send_email", to=["m.lindqvist@example.com"], subject="Lunch", body="Is Friday at 12:00 all right?")],
            "Sent.",
        ],
        Outcome.CORRECT,
    ),
    *[
        (
            "multi_tool-5",
            [
                [call("find_contact", name="Marta Lindqvist")],
                [call("send_email", to=["m.lindqvist@example.com"], subject="Lunch", body=body)],
                "Sent.",
            ],
            outcome,
        )
        for body, outcome in NOON
    ],
    # independent lookups one after the other are slow, not wrong
    (
        "multi_tool-6",
        [
            [call("find_contact", name="Jonas Weber")],
            [call("find_contact", name="Aiko Tanaka")],
            [call("create_event", attendees=["tanaka.a@example.com", "jweber@example.com"], **EVENT)],
            "Done.",
        ],
        Outcome.CORRECT,
    ),
    ("recovery-3", [[call("create_reminder", time="09:20", **BANK)], "It is set."], Outcome.WRONG_COUNT),
    (
        "recovery-3",
        [
            [call("create_reminder", time="09:20", **BANK)],
            [call("create_reminder", time="10:00", **BANK)],
            "It is set.",
        ],
        Outcome.WRONG_COUNT,
    ),
    (
        "recovery-3",
        [[call("create_reminder", time=time, **BANK)] for time in ("09:20", "09:20", "09:25", "09:30")]
        + ["It is set."],
        Outcome.CORRECT,
    ),
    (
        "recovery-3",
        [[call("create_reminder", time=time, **BANK)] for time in ("09:20", "09:20", "09:20", "09:20", "09:30")]
        + ["It is set."],
        Outcome.WRONG_COUNT,
    ),
    (
        "recovery-5",
        [
            [call("create_event", title="Physio", start_time="16:00", duration_minutes=40, **PHYSIO)],
            [call("create_reminder", text="Physio", time="16:00", **PHYSIO)],
            "I set a reminder instead.",
        ],
        Outcome.CORRECT,
    ),
    (
        "recovery-5",
        [
            [
                call("create_event", title="Physio", start_time="16:00", duration_minutes=40, **PHYSIO),
                call("create_reminder", text="Physio", time="16:00", **PHYSIO),
            ],
            "Both done.",
        ],
        Outcome.WRONG_ORDER,
    ),
    # nobody can help there: trying again is wrong
    ("recovery-6", [reference_steps(BY_ID["recovery-6"])[0]] * 2 + ["Sorry."], Outcome.WRONG_COUNT),
    ("recovery-7", [[call("convert_currency", **POUNDS)], "60 pounds are 8 kroner."], Outcome.WRONG_COUNT),
    (
        "recovery-7",
        [
            [call("convert_currency", **POUNDS)],
            [call("convert_currency", **POUNDS)],
            [call("convert_currency", **POUNDS)],
            "812.4",
        ],
        Outcome.WRONG_COUNT,
    ),
]


@pytest.mark.parametrize(("name", "answers", "expected"), NEAR_MISSES)
def test_near_misses(name: str, answers: list[Answer], expected: Outcome) -> None:
    result = score(BY_ID[name], play(BY_ID[name], answers))
    assert result.outcome is expected, result.explanation
    assert (result.explanation == "") == result.correct


REPLIES = [
    ("restraint-3", "Which currency should I convert the 300 euros to?", {"asks": True}),
    ("restraint-3", "Here you are.", {"asks": False}),
    ("restraint-4", "Who should I send it to?", {"asks": True}),
    ("restraint-6", "I can’t delete reminders.", {"declines": True}),
    ("restraint-1", "I'm afraid I have no way of switching lights.", {"declines": True}),
    ("restraint-1", "The lights are off.", {"declines": False}),
    ("restraint-1", "The living room lights are off. Only the hallway light is still on.", {"declines": False}),
    ("restraint-6", "Done, it is deleted.", {"declines": False}),
    ("restraint-6", "I wasn't able to delete it.", {"declines": True}),
    (
        "restraint-6",
        "Done, the reminder about the car is deleted. You won't be reminded again.",
        {"declines": False},
    ),
    ("restraint-6", "I've deleted the reminder; it will not go off.", {"declines": False}),
]


@pytest.mark.parametrize(("name", "reply", "expected"), REPLIES)
def test_proxies_are_reported_and_do_not_judge(name: str, reply: str, expected: dict[str, bool]) -> None:
    result = score(BY_ID[name], play(BY_ID[name], [reply]))
    assert result.proxies == expected
    assert result.correct


def test_reference_values_match_what_they_stand_for() -> None:
    for case in SUITE.cases:
        made = [call for step in reference_steps(case) for call in step]
        for expected in case.expected:
            candidates = [call for call in made if call.name == expected.name]
            assert any(
                all(matches(expected.arguments[name], value) for name, value in call.arguments.items())
                for call in candidates
            )
