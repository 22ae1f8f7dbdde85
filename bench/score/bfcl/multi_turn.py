"""The official verdict on a multi-turn conversation, and the outcome of ours that says most about it.

The official checker compares what the calls did, not what they were: after each turn the services' state has to equal
that of the reference, and every result of the reference has to be among the results so far. The check itself runs in
the services' own process, from the record's calls. Knows no model.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.records import EpisodeEnd, ItemRecord
from bench.score.bfcl.verdict import VALID, OfficialVerdict, invalid
from bench.score.outcome import Outcome
from bench.suites.bfcl.dialogue import call_value, turns_of
from bench.suites.bfcl.multi_turn import n_turns, reference, reference_calls, scenario_of
from bench.suites.bfcl.simulators import SimulatorDied, simulators
from bench.suites.case import Case
from engine.types import Call, StopReason

INFERENCE = "multi_turn:inference_error"
FORCED = "multi_turn:force_terminated"
DIED = "toolgauge:services_died"
"""Ours: one of the calls brings the simulated services down, and the official checker with them."""


def verdict(case: Case, record: ItemRecord) -> OfficialVerdict:
    """What the official checker says, in a process that has judged nothing before."""
    if record.error is not None or not record.steps:
        return invalid(INFERENCE, record.error.message if record.error else "there is no answer")
    turns = turns_of(record)
    if len(turns) != n_turns(case):
        return invalid(FORCED, f"it ended in turn {len(turns)} of {n_turns(case)}")
    steps = [[[call_value(call) for call in step] for step in turn] for turn in turns]
    right = [[(call.name, call.positional, call.named) for call in turn] for turn in reference(case)]
    try:
        is_valid, error_type, error = simulators().judge(scenario_of(case), steps, right)
    except SimulatorDied as death:
        return invalid(DIED, str(death))
    return VALID if is_valid else invalid(error_type, error)


def outcome(case: Case, record: ItemRecord, judged: OfficialVerdict) -> Outcome:
    """CORRECT exactly where the official verdict is valid; else the first cause that applies.

    Errors of the item are not for here. A turn without any call where the reference has some is `no_call`. Otherwise
    the names of all calls decide: where the model never made one that the reference has it is `wrong_tool`, and with
    all of them made the values were wrong.
    """
    if judged.valid:
        return Outcome.CORRECT
    if any(step.generation.stop is not StopReason.EOG for step in record.steps):
        return Outcome.TRUNCATED
    if not all(step.parsed.is_readable for step in record.steps):
        return Outcome.UNPARSEABLE
    if record.end is EpisodeEnd.STEP_LIMIT:
        return Outcome.WRONG_COUNT
    made = [[call for step in turn for call in step] for turn in turns_of(record)]
    right = reference_calls(case)
    if any(wanted and not given for given, wanted in zip(made, right, strict=False)):
        return Outcome.NO_CALL
    names = _names(made)
    if _names(right) - names:
        return Outcome.WRONG_TOOL
    return Outcome.WRONG_ARGUMENTS


def _names(turns: Sequence[Sequence[Call]]) -> set[str]:
    return {call.name for turn in turns for call in turn}
