"""The verdict of another benchmark's reference checker on an item, beside our own.

    judge(case, record)    # None where the case has no reference checker

It says what the benchmark would have counted, including what we count differently: an answer that cannot be read, and
even an item that ended in a runtime error, is right officially where no call is. For conversations of several turns,
which have no expectations of ours, our verdict is derived from it. Knows no run and no store.
"""

from __future__ import annotations

from bench.records import ItemRecord
from bench.score.bfcl import Checker, OfficialVerdict
from bench.score.bfcl.verdict import UNDEFINED, invalid
from bench.score.outcome import Outcome
from bench.suites.bfcl.dialogue import call_value, turns_of
from bench.suites.bfcl.multi_turn import is_multi_turn, reference, scenario_of
from bench.suites.bfcl.simulators import SimulatorDied, simulators
from bench.suites.case import Case
from engine.types import Call

INFERENCE_ERROR = "multi_turn:inference_error"
FORCE_TERMINATED = "multi_turn:force_terminated"
EMPTY_TURN = "multi_turn:empty_turn_model_response"

_CONVERSATION_OUTCOMES = {EMPTY_TURN: Outcome.NO_CALL, FORCE_TERMINATED: Outcome.WRONG_COUNT}


def judge(case: Case, record: ItemRecord) -> OfficialVerdict | None:
    if case.official is None or case.official.checker != "bfcl":
        return None
    if is_multi_turn(case):
        return _conversation(case, record)
    data = case.official.data
    checker = Checker(
        data["category"],
        data["functions"],
        data["ground_truth"],
        data["language"],
        dots_to_underscores=bool(data.get("names")),  # then the functions were offered without dots
    )
    return checker.verdict(decoded(record))


def decoded(record: ItemRecord) -> tuple[Call, ...] | None:
    """The calls of the first step; None if nothing could be read there, as where the official decoders raise."""
    if record.error is not None or not record.steps:
        return None
    parsed = record.steps[0].parsed
    return None if parsed.fragments or parsed.open_block else parsed.calls


def conversation_outcome(verdict: OfficialVerdict) -> Outcome:
    """Our name for the verdict on a conversation that was neither cut nor unreadable anywhere."""
    return Outcome.CORRECT if verdict.valid else _CONVERSATION_OUTCOMES.get(verdict.error_type, Outcome.WRONG_ARGUMENTS)


def _conversation(case: Case, record: ItemRecord) -> OfficialVerdict:
    if record.error is not None or not record.steps:
        return invalid(INFERENCE_ERROR, "the conversation ended in an error")
    right = reference(case)
    turns = turns_of(record)
    if len(turns) != len(right):
        return invalid(FORCE_TERMINATED, f"it came to an end in turn {len(turns)} of {len(right)}")
    try:
        valid, error_type, error = simulators().judge(
            scenario_of(case),
            [[[call_value(call) for call in step] for step in turn] for turn in turns],
            [[(call.name, call.positional, call.named) for call in turn] for turn in right],
        )
    except SimulatorDied as died:
        return invalid(UNDEFINED, f"the official services gave no answer: {died}")
    return OfficialVerdict(valid, error_type, error)
