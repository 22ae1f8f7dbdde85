"""The verdict of another benchmark's reference checker on an item, beside our own.

    judge(case, record)    # None where the case has no reference checker

It says what the benchmark would have counted, including what we count differently: an answer that cannot be read, and
even an item that ended in a runtime error, is right officially where no call is. For conversations of several turns,
which have no expectations of ours, our verdict is derived from it. Knows no run and no store.
"""

from __future__ import annotations

from bench.records import ItemRecord
from bench.score.bfcl import Checker, OfficialVerdict, multi_turn
from bench.suites.bfcl.multi_turn import is_multi_turn
from bench.suites.case import Case
from engine.types import Call


def judge(case: Case, record: ItemRecord) -> OfficialVerdict | None:
    if case.official is None or case.official.checker != "bfcl":
        return None
    if is_multi_turn(case):
        return multi_turn.verdict(case, record)
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
