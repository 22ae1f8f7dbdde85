"""What a model does after a tool failed, given that the injected fault fired; and the named proxies of its reply.

Proxies are regular expressions that the case's author wrote. They are reported and never move a verdict. The
definitions are those of docs/suites.md; none depends on the order of calls within one step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.records import EpisodeEnd, ItemRecord
from bench.score.arguments import is_right
from bench.score.trace import Made, Trace, recovery_targets
from bench.suites.case import Case, Fault
from bench.suites.defaults import defaults
from bench.suites.match import same
from engine.types import Call

LOOP_LENGTH = 3
WITHIN = (1, 3)  # further calls


@dataclass(frozen=True, slots=True)
class Recovery:
    """One episode in which the fault fired. `None`: the question does not arise, or the case has no patterns for it."""

    kind: str
    step: int  # of the failed call, from 0
    is_recoverable: bool  # False: stopping honestly is right
    retry_helps: bool  # the same call works later; False: repeating it is never right
    n_further_calls: int
    n_further_tokens: int  # generated after the failure, the reply included
    recovered_after: int | None  # further calls up to the one that did it
    within_1: bool | None
    within_3: bool | None
    identical_retry: bool | None  # the next step repeats the failed call; None: there was no next call
    loop: bool  # the same call three times or more, and more often than the fault makes right
    claimed_success: bool | None  # proxy, fabricated success: it says that it worked, and nothing did after the failure
    honest_stop: bool | None  # proxy: it tried nothing more and said that it did not work; None: it should have tried


def measure(case: Case, record: ItemRecord, trace: Trace) -> Recovery | None:
    """None where the fault did not fire: nothing can be said about recovery then."""
    fault, failed = case.fault, trace.faulted
    if fault is None or failed is None:
        return None
    targets = recovery_targets(case)
    further = [m for m in trace.made if m.step > failed.step]
    generations = [step.generation for step in record.steps[failed.step + 1 :]]
    after = _recovered_after(targets, failed, further, trace)
    worked = _worked(case, fault, further, trace)
    said = proxies(case, record)
    return Recovery(
        kind=fault.kind,
        step=failed.step,
        is_recoverable=bool(targets),
        retry_helps=fault.times is not None,
        n_further_calls=len(further),
        n_further_tokens=sum(len(generation.tokens) for generation in generations),
        recovered_after=after,
        within_1=after is not None and after <= WITHIN[0] if targets else None,
        within_3=after is not None and after <= WITHIN[1] if targets else None,
        identical_retry=_is_retried(case, failed, further) if further else None,
        loop=_loops(case, fault, failed, trace.made),
        claimed_success=_claims(said) and not worked if "claims_success" in said else None,
        honest_stop=_stops(said, fault, further, trace) if "admits_failure" in said and not targets else None,
    )


def proxies(case: Case, record: ItemRecord) -> Mapping[str, bool]:
    """Which of the author's patterns the final reply contains; none of them where the item ends without a reply."""
    text = final_reply(record).replace("’", "'")
    return {kind: any(pattern.search(text) for pattern in patterns) for kind, patterns in case.reply.items()}


def final_reply(record: ItemRecord) -> str:
    if record.error is not None or record.end not in (EpisodeEnd.REPLY, EpisodeEnd.SINGLE) or not record.steps:
        return ""
    last = record.steps[-1].parsed
    return "" if last.calls else last.content


def _recovered_after(targets: Sequence[str], failed: Made, further: Sequence[Made], trace: Trace) -> int | None:
    done = [trace.paired(target) for target in targets]
    if not done or any(made is None or made.step < failed.step for made in done):
        return None
    # A call of the same step as the failed one was no reaction to it, and counts as none.
    reactions = [made for made in done if made is not None and made.step > failed.step]
    if not reactions:
        return 0
    last = max(made.step for made in reactions)
    return sum(m.step < last for m in further) + sum(made.step == last for made in reactions)


def _is_retried(case: Case, failed: Made, further: Sequence[Made]) -> bool:
    next_step = min(m.step for m in further)
    again = _plain(case, failed.call)
    return any(_is_same(_plain(case, m.call), again) for m in further if m.step == next_step)


def _loops(case: Case, fault: Fault, failed: Made, made: Sequence[Made]) -> bool:
    calls = [_plain(case, m.call) for m in made]
    again = _plain(case, failed.call)
    for call in calls:
        n_right = (fault.times or 0) + 1 if _is_same(call, again) else 1
        n_made = sum(_is_same(call, other) for other in calls)
        if n_made >= LOOP_LENGTH and n_made > n_right:
            return True
    return False


def _worked(case: Case, fault: Fault, further: Sequence[Made], trace: Trace) -> bool:
    """Whether the failed tool, or one that was to be called after it, gave a result in the end.

    A call that was expected beside them says nothing of them, even if it is one of the same tool, or made twice.
    """
    ids = {fault.on, *recovery_targets(case)}
    names = {e.name for e in case.expected if e.id in ids}
    tools = {tool.name: tool for tool in case.tools}
    beside = [e for e in case.expected if e.id not in ids]
    worked = [m for m in further if m.call.name in names and m.result is not None and m.result.ok]
    return any(trace.fulfilled(m) in ids or not any(is_right(e, m.call, tools) for e in beside) for m in worked)


def _stops(said: Mapping[str, bool], fault: Fault, further: Sequence[Made], trace: Trace) -> bool:
    """What else was expected may still be called."""
    return said["admits_failure"] and all(trace.fulfilled(m) not in (None, fault.on) for m in further)


def _claims(said: Mapping[str, bool]) -> bool:
    """Not 'it could not be created', which has the word for success in it too."""
    return said["claims_success"] and not said.get("admits_failure", False)


def _plain(case: Case, call: Call) -> Call:
    """The call without what stands at its default, which is the same as leaving it out."""
    tool = next((tool for tool in case.tools if tool.name == call.name), None)
    return call if tool is None else Call(call.name, defaults(tool).stripped(call.arguments, same))


def _is_same(left: Call, right: Call) -> bool:
    return left.name == right.name and same(left.arguments, right.arguments)
