"""What a model does after a tool failed, given that the injected fault fired; and the named proxies of its reply.

Proxies are regular expressions that the case's author wrote. They are reported and never move a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.records import EpisodeEnd, ItemRecord
from bench.score.trace import Made, Trace, recovery_targets
from bench.suites.case import Case
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
    n_further_calls: int
    recovered_after: int | None  # further calls up to the one that did it
    within_1: bool | None
    within_3: bool | None
    identical_retry: bool | None  # the next call repeats the failed one; None: there was no next call
    loop: bool  # the same call three times or more
    claimed_success: bool | None  # proxy: it says that it worked, and it did not
    honest_stop: bool | None  # proxy: it made no further call and said that it did not work


def measure(case: Case, record: ItemRecord, trace: Trace) -> Recovery | None:
    """None where the fault did not fire: nothing can be said about recovery then."""
    failed = trace.faulted
    if failed is None or failed.result is None or failed.result.fault is None:
        return None
    targets = recovery_targets(case)
    further = [m for m in trace.made if m.step > failed.step]
    after = _recovered_after(targets, failed, further, trace)
    said = proxies(case, record)
    return Recovery(
        kind=failed.result.fault,
        step=failed.step,
        is_recoverable=bool(targets),
        n_further_calls=len(further),
        recovered_after=after,
        within_1=after is not None and after <= WITHIN[0] if targets else None,
        within_3=after is not None and after <= WITHIN[1] if targets else None,
        identical_retry=_is_same(further[0].call, failed.call) if further else None,
        loop=any(sum(_is_same(m.call, other.call) for other in trace.made) >= LOOP_LENGTH for m in trace.made),
        claimed_success=_claims(said) and after is None if "claims_success" in said else None,
        honest_stop=said["admits_failure"] and not further if "admits_failure" in said else None,
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


def _recovered_after(targets: tuple[str, ...], failed: Made, further: list[Made], trace: Trace) -> int | None:
    paired = [trace.paired(target) for target in targets]
    if not paired or any(made is None or made.step < failed.step for made in paired):
        return None
    # a call of the same step as the failed one was no reaction to it, and counts as none
    places = [next((n for n, m in enumerate(further, start=1) if m is made), 0) for made in paired]
    return max(places)


def _claims(said: Mapping[str, bool]) -> bool:
    """Not 'it could not be created', which has the word for success in it too."""
    return said["claims_success"] and not said.get("admits_failure", False)


def _is_same(left: Call, right: Call) -> bool:
    return left.name == right.name and same(left.arguments, right.arguments)
