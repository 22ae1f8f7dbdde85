"""The official verdict beside ours, on items as they are stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.records import EpisodeEnd, ErrorKind, ItemError, ItemRecord
from bench.report.details.no_call import wants_no_call
from bench.score import Outcome, score
from bench.score.bfcl import verdict as v
from bench.score.outcome import NoCall
from bench.suites.case import Case, Official
from engine.types import Call, Fragment, Parsed, StopReason
from tests.bench.episodes import Answer, broken, case_from, play, raw_case

ADD = {
    "name": "add",
    "parameters": {
        "type": "dict",
        "properties": {
            "a": {"type": "integer"},
            "b": {"type": "integer"},
            "note": {"type": "string", "default": "none"},
        },
        "required": ["a", "b"],
    },
}
RIGHT = Call("add", {"a": 1, "b": 2})


def bfcl(case: Case, category: str = "simple_python", **changes: Any) -> Case:
    truth = [{"add": {"a": [1], "b": [2]}}] if case.expected else []
    data = {"category": category, "language": "python", "functions": [ADD], "ground_truth": truth, "names": {}}
    return replace(case, official=Official("bfcl", data | changes))


@pytest.fixture
def single(tmp_path: Path) -> Case:
    return bfcl(case_from(tmp_path, raw_case()))


@pytest.fixture
def restraint(tmp_path: Path) -> Case:
    return bfcl(case_from(tmp_path, raw_case(expected={"calls": []})), "irrelevance")


@pytest.mark.parametrize(
    ("answer", "outcome", "error_type"),
    [
        ([RIGHT], Outcome.CORRECT, ""),
        # what the two verdicts differ in
        ([Call("add", {"a": 1.0, "b": 2})], Outcome.CORRECT, v.TYPE),
        ([Call("add", {"a": 1, "b": 2, "note": "none"})], Outcome.CORRECT, v.UNEXPECTED),
        ([Call("add", {"a": 1, "b": 3})], Outcome.WRONG_ARGUMENTS, v.OTHER_VALUE),
        ([RIGHT, RIGHT], Outcome.WRONG_COUNT, v.SIMPLE_COUNT),
        ("It is 3.", Outcome.NO_CALL, v.SIMPLE_COUNT),
        (broken("{"), Outcome.UNPARSEABLE, v.DECODER_FAILED),
        (Parsed(calls=(RIGHT,), fragments=(Fragment("{", "not JSON", 0),)), Outcome.UNPARSEABLE, v.DECODER_FAILED),
        (Parsed(calls=(RIGHT,), open_block=True), Outcome.UNPARSEABLE, v.DECODER_FAILED),
    ],
)
def test_both_verdicts(single: Case, answer: Answer, outcome: Outcome, error_type: str) -> None:
    found = score(single, play(single, [answer]))
    assert found.official is not None
    assert (found.outcome, found.official.valid, found.official.error_type) == (outcome, not error_type, error_type)


def test_a_call_before_the_cut_is_judged_officially(single: Case) -> None:
    found = score(single, play(single, [Parsed(calls=(RIGHT,), content="and")], StopReason.LENGTH))
    assert found.official is not None
    assert (found.outcome, found.official.valid) == (Outcome.TRUNCATED, True)


def test_names_are_compared_as_they_were_offered(single: Case) -> None:
    functions = [ADD | {"name": "math.add"}]
    truth = [{"math.add": {"a": [1], "b": [2]}}]
    case = bfcl(single, functions=functions, ground_truth=truth, names={"math_add": "math.add"})
    for name, valid in (("math_add", True), ("math.add", False)):
        found = score(case, play(case, [[Call(name, RIGHT.arguments)]]))
        assert found.official is not None
        assert found.official.valid is valid


def test_other_cases_have_no_official_verdict(tmp_path: Path) -> None:
    case = case_from(tmp_path, raw_case())
    assert score(case, play(case, [[RIGHT]])).official is None
    assert score(case, play(case, [[RIGHT]])).details()["official"] is None


FAILED = ItemRecord("mine/1", (), EpisodeEnd.ERROR, ItemError(ErrorKind.RUNTIME, "out of memory"))


def test_keeping_still_is_four_things_of_which_bfcl_makes_one(restraint: Case) -> None:
    records = {
        NoCall.ABSTAINED: play(restraint, ["I cannot."]),
        NoCall.MALFORMED: play(restraint, [broken("{")]),
        NoCall.TRUNCATED: play(restraint, ["I I I"], StopReason.REPETITION),
        NoCall.ERROR: FAILED,
        None: play(restraint, [[RIGHT]]),
    }
    scores = {kind: score(restraint, record) for kind, record in records.items()}
    for kind, found in scores.items():
        assert found.official is not None
        assert found.no_call is kind
        assert found.official.valid is (kind is not None)
        assert found.correct is (kind is NoCall.ABSTAINED)


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_an_item_that_ended_in_an_error_was_no_abstention(restraint: Case, single: Case, kind: ErrorKind) -> None:
    failed = replace(FAILED, error=ItemError(kind, "what happened"))
    assert score(restraint, failed).no_call is NoCall.ERROR
    found = score(single, failed)
    assert found.official is not None
    assert (found.no_call, found.official.error_type) == (NoCall.ERROR, v.DECODER_FAILED)


def test_only_cases_that_want_no_call_count(restraint: Case, single: Case) -> None:
    anything = replace(restraint, any_call=True)
    assert [wants_no_call(case) for case in (restraint, single, anything)] == [True, False, False]


@pytest.mark.bfcl
def test_conversations_are_judged_by_what_they_did(bfcl_package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.suites.bfcl.multi_turn import reference_calls
    from bench.suites.bfcl.package import mpmath_folder
    from bench.suites.case import load
    from bench.suites.simulate import begin

    if mpmath_folder(bfcl_package) is None:
        pytest.skip("one of the simulated services needs mpmath, which `toolgauge pull bfcl` gets too")
    monkeypatch.setenv("TOOLGAUGE_BFCL", str(bfcl_package))
    case = load("bfcl:multi_turn_base").cases[0]
    right: list[Answer] = [step for turn in reference_calls(case) for step in (list(turn), "done")]

    def judged(answers: list[Answer]) -> tuple[Outcome, bool, str]:
        dialogue = begin(case)
        record = play_through(case, dialogue, answers)
        found = score(case, record)
        assert found.official is not None
        assert found.explanation == found.official.error
        assert found.goal_reached is found.official.valid
        return found.outcome, found.official.valid, found.official.error_type

    assert judged(right) == (Outcome.CORRECT, True, "")
    assert judged(["done", *right[1:]])[0] in (Outcome.NO_CALL, Outcome.WRONG_COUNT)
    nothing = judged(["done"] * len(reference_calls(case)))
    assert nothing == (Outcome.NO_CALL, False, "multi_turn:empty_turn_model_response")
    assert judged(right[:1])[:2] == (Outcome.WRONG_COUNT, False)
    wrong = [[replace(call, arguments={k: "nowhere" for k in call.arguments}) for call in right[0]], *right[1:]]
    assert judged(wrong)[:2] == (Outcome.WRONG_ARGUMENTS, False)


def play_through(case: Case, dialogue: Any, answers: list[Answer]) -> ItemRecord:
    """As far as the answers reach; a conversation may be over before, or not at its end."""
    from bench.records import StepRecord
    from tests.bench.episodes import generation, read

    steps = []
    for answer in answers:
        if dialogue.end is not None:
            break
        parsed = read(answer)
        dialogue.advance(parsed, StopReason.EOG)
        steps.append(StepRecord(generation(parsed), parsed, dialogue.results))
    return ItemRecord(case.id, tuple(steps), dialogue.end or EpisodeEnd.STEP_LIMIT)
