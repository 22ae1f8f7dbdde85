"""One verdict for one item, with its details: `score(case, record)`.

Needs no model; the same input gives the same score. The verdict is about the calls and nothing else: what the reply
says is judged by the author's patterns, which are reported as proxies. Knows no run and no store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.records import ErrorKind, ItemRecord
from bench.score import adherence, hygiene, official, order, recovery, state
from bench.score.adherence import Adherence, violations
from bench.score.arguments import Mismatch, mismatches, pair
from bench.score.bfcl import OfficialVerdict, multi_turn
from bench.score.closing import closed
from bench.score.hygiene import Hygiene
from bench.score.order import Order
from bench.score.outcome import CutAt, NoCall, Outcome
from bench.score.recovery import Recovery
from bench.score.state import WrongState
from bench.score.trace import Trace, trace
from bench.score.truncation import TruncationCause, position, truncation
from bench.suites.bfcl.multi_turn import is_multi_turn
from bench.suites.case import Case
from bench.suites.simulate import offered
from engine.types import Call, StopReason, Tool

SCORER = "toolgauge"
VERSION = "6"
"""Changes when a verdict or what explains it could; stored with each score."""

_ERRORS = {
    ErrorKind.CONSTRAINT: Outcome.CONSTRAINT_ERROR,
    ErrorKind.TEMPLATE: Outcome.TEMPLATE_ERROR,
    ErrorKind.CONTEXT: Outcome.CONTEXT_EXCEEDED,
    ErrorKind.RUNTIME: Outcome.RUNTIME_ERROR,
}


@dataclass(frozen=True, slots=True)
class Score:
    outcome: Outcome
    explanation: str  # one sentence for people
    goal_reached: bool  # every expected call was made, in a possible order, and the world is as it should be
    no_call: NoCall | None
    cut_at: CutAt | None
    stop: StopReason | None  # of the step that was cut
    truncated_by: TruncationCause | None  # an early end, too, which is no cut: the outcome is then another
    truncated_at: CutAt | None  # of that, the place
    adherence: Adherence
    hygiene: Hygiene
    order: Order
    recovery: Recovery | None
    proxies: Mapping[str, bool]
    mismatches: tuple[Mismatch, ...]
    end_state: tuple[WrongState, ...] | None  # what is wrong with the world at the end; None: the case says nothing
    official: OfficialVerdict | None = None  # a reference checker's, for cases of another benchmark
    scorer: str = SCORER
    version: str = VERSION

    @property
    def correct(self) -> bool:
        return self.outcome is Outcome.CORRECT

    def details(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self)


def score(case: Case, record: ItemRecord) -> Score:
    tools = {tool.name: tool for tool in case.tools}
    made = trace(case, record)
    cut = next((step for step in record.steps if step.generation.stop is not StopReason.EOG), None)
    broken_off = truncation(record)
    ended = state.measure(case, record)
    reference = official.judge(case, record)
    outcome = _outcome(case, record, made, tools, reference)
    if outcome is Outcome.CORRECT and ended:
        outcome = Outcome.WRONG_ARGUMENTS  # right by laxer standards than the world's
    has_own = not case.any_call and not is_multi_turn(case)  # expectations of its own
    wrong = () if not has_own else mismatches(case.expected, [m.call for m in made.judged], made.pairing, tools)
    return Score(
        outcome=outcome,
        explanation=_explanation(outcome, case, record, made, wrong, tools, ended or (), reference),
        goal_reached=_is_reached(case, outcome, made) and not ended,
        no_call=_no_call(record, outcome),
        cut_at=position(cut.parsed, cut.generation, record.format_id) if cut else None,
        stop=cut.generation.stop if cut else None,
        truncated_by=broken_off.cause if broken_off else None,
        truncated_at=broken_off.position if broken_off else None,
        adherence=adherence.measure(record.steps, offered(case, record)),
        hygiene=_hygiene(case, record, tools),
        order=order.measure(case, made),
        recovery=recovery.measure(case, record, made),
        proxies=recovery.proxies(case, record),
        mismatches=wrong if outcome.is_scored else (),
        end_state=ended,
        official=reference,
    )


def _outcome(
    case: Case, record: ItemRecord, made: Trace, tools: Mapping[str, Tool], reference: OfficialVerdict | None
) -> Outcome:
    """The first that applies, in the enum's order."""
    if record.error is not None:
        return _ERRORS[record.error.kind]
    if not record.steps:
        return Outcome.RUNTIME_ERROR
    stops = {step.generation.stop for step in record.steps}
    if StopReason.CONSTRAINT in stops:
        return Outcome.CONSTRAINT_ERROR
    if reference is not None and is_multi_turn(case):
        return multi_turn.outcome(case, record, reference)
    if stops != {StopReason.EOG}:
        return Outcome.TRUNCATED
    if not all(step.parsed.is_readable for step in record.steps):
        return Outcome.UNPARSEABLE
    if case.any_call:
        return _judge_any(made, tools)
    if bool(made.made) != bool(case.expected):
        return Outcome.UNEXPECTED_CALL if made.made else Outcome.NO_CALL
    return _judge_calls(case, made, tools)


def _judge_any(made: Trace, tools: Mapping[str, Tool]) -> Outcome:
    """Where every well-formed call is right."""
    calls = [m.call for m in made.made]
    if not calls:
        return Outcome.NO_CALL
    if any(call.name not in tools for call in calls):
        return Outcome.WRONG_TOOL
    return Outcome.SCHEMA_INVALID if any(violations(call, tools) for call in calls) else Outcome.CORRECT


def _judge_calls(case: Case, made: Trace, tools: Mapping[str, Tool]) -> Outcome:
    calls = [m.call for m in made.judged]
    if len(calls) != len(case.expected):
        return Outcome.WRONG_COUNT
    if sorted(call.name for call in calls) != sorted(e.name for e in case.expected):
        return Outcome.WRONG_TOOL
    if any(violations(call, tools) for call in calls):
        return Outcome.SCHEMA_INVALID
    if not made.pairing.is_perfect:
        return Outcome.WRONG_ARGUMENTS
    return Outcome.CORRECT if order.is_kept(case, made) else Outcome.WRONG_ORDER


def _is_reached(case: Case, outcome: Outcome, made: Trace) -> bool:
    if case.any_call or is_multi_turn(case):
        return outcome is Outcome.CORRECT
    return len(made.pairing.pairs) == len(case.expected) and order.is_kept(case, made)


def _no_call(record: ItemRecord, outcome: Outcome) -> NoCall | None:
    if any(step.parsed.calls for step in record.steps):
        return None
    if not outcome.is_scored:
        return NoCall.ERROR
    if outcome is Outcome.TRUNCATED:
        return NoCall.TRUNCATED
    return NoCall.MALFORMED if outcome is Outcome.UNPARSEABLE else NoCall.ABSTAINED


def _hygiene(case: Case, record: ItemRecord, tools: Mapping[str, Tool]) -> Hygiene:
    found = hygiene.flags(case, record)
    steps = zip(record.steps, offered(case, record), strict=True)
    broken = next(((step, tools_then) for step, tools_then in steps if step.parsed.fragments), None)
    if broken is None:
        return Hygiene(found)
    step, tools_then = broken
    mended = closed(step, record.format_id, tools_then) or hygiene.repair(step.parsed)
    if mended is None:
        return Hygiene(found)
    return Hygiene(found, mended.names, None if case.is_episode else _is_correct(case, mended.calls, tools))


def _is_correct(case: Case, calls: Sequence[Call], tools: Mapping[str, Tool]) -> bool:
    """Whether these would have been the right calls of a case with one step."""
    if case.any_call:
        return bool(calls) and not any(violations(call, tools) for call in calls)
    return not any(violations(call, tools) for call in calls) and pair(case.expected, calls, tools).is_perfect


def _explanation(
    outcome: Outcome,
    case: Case,
    record: ItemRecord,
    made: Trace,
    wrong: Sequence[Mismatch],
    tools: Mapping[str, Tool],
    ended: Sequence[WrongState],
    reference: OfficialVerdict | None,
) -> str:
    if record.error is not None:
        return record.error.message
    if reference is not None and is_multi_turn(case) and outcome not in (Outcome.TRUNCATED, Outcome.UNPARSEABLE):
        return reference.error
    calls = [m.call for m in made.judged]
    match outcome:
        case Outcome.UNPARSEABLE:
            fragments = [f for step in record.steps for f in step.parsed.fragments]
            if fragments:
                return f"unreadable: {fragments[0].reason}"
            is_thought = any(step.parsed.open_reasoning for step in record.steps)
            return "it ended while still reasoning" if is_thought else "a call was begun and never finished"
        case Outcome.UNEXPECTED_CALL:
            return f"no call was right; it called {', '.join(m.call.name for m in made.made)}"
        case Outcome.NO_CALL:
            return f"it made no call; right was {', '.join(e.name for e in case.expected) or 'any call'}"
        case Outcome.WRONG_COUNT | Outcome.WRONG_TOOL:
            told = [f"{m.call.name} (failed)" if m.failed else m.call.name for m in made.made]
            right = [e.name for e in case.expected] or ["any tool offered"]
            return f"it called {', '.join(told)}; right was {', '.join(right)}"
        case Outcome.SCHEMA_INVALID:
            call = next(call for call in calls if violations(call, tools))
            return f"{call.name}: {', '.join(sorted(violations(call, tools))).replace('_', ' ')}"
        case Outcome.WRONG_ARGUMENTS:
            told = [f"{m.argument or 'call'}: {m.given}, right is {m.expected}" for m in wrong]
            told += [f"at the end {s.path} is {s.given}, right is {s.expected}" for s in ended]
            return "; ".join(told[:3])
        case Outcome.WRONG_ORDER:
            return "a call was made before the result that it needs was there"
        case Outcome.CORRECT:
            return ""
    stops = [step.generation.stop for step in record.steps if step.generation.stop is not StopReason.EOG]
    return f"the answer was cut: {stops[0].replace('_', ' ')}" if stops else "the item has no step"
