"""Where and why an item's output broke off: which budget, the context, a loop, or the model itself.

    found = truncation(record)
    found.position, found.cause

Everything follows from the record: the same tokens give the same cause, whatever would have come after them. Knows no
case and no verdict, and of formats only that the JSON envelope's calls are read when all of it is written, and the
texts with which a call ends reasoning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bench.records import ItemRecord
from bench.score.outcome import CutAt
from engine import formats
from engine.decoding.stops import LONGEST_PERIOD
from engine.formats.envelope import holds_call
from engine.types import Generation, Parsed, StopReason

# Output that was cut is said to repeat itself if it ends with one block of at most LONGEST_PERIOD tokens three times or
# more, over at least so many tokens. The decoder waits longer before it stops such output (`engine.decoding.stops`); a
# smaller budget can cut it before that, and more tokens would not have helped then either.
REPETITIONS: Final = 3
REPEATED_TOKENS: Final = 24


class TruncationCause(StrEnum):
    BUDGET = "budget"  # the answer's tokens are spent
    REASONING_BUDGET = "reasoning_budget"  # those for reasoning are
    CONTEXT = "context"  # the context window is full
    REPETITION = "repetition"  # the same tokens over and over
    EARLY_END = "early_end"  # the model ended its output within a call, or while it still reasoned


@dataclass(frozen=True, slots=True)
class Truncation:
    """The first step that broke off."""

    step: int
    position: CutAt
    cause: TruncationCause


def truncation(record: ItemRecord) -> Truncation | None:
    """None where every step was finished, rightly or wrongly."""
    for number, step in enumerate(record.steps):
        generation, parsed = step.generation, step.parsed
        if generation.stop is StopReason.EOG and (parsed.open_block or parsed.open_reasoning):
            where = CutAt.IN_CALL if parsed.open_block else CutAt.REASONING
            return Truncation(number, where, TruncationCause.EARLY_END)
        cause = _cause(generation)
        if cause is not None:
            return Truncation(number, position(parsed, generation, record.format_id), cause)
    return None


def position(parsed: Parsed, generation: Generation, format_id: str) -> CutAt:
    """Where output that was cut was cut."""
    if generation.stop is StopReason.REASONING_LENGTH:
        return CutAt.REASONING
    if parsed.open_block or _is_call_in_reasoning(parsed, generation, format_id):
        return CutAt.IN_CALL
    if parsed.calls or (format_id == formats.ENVELOPE.id and any(holds_call(f.text) for f in parsed.fragments)):
        return CutAt.AFTER_CALL
    if parsed.reasoning and not parsed.content and not parsed.fragments:
        return CutAt.REASONING
    return CutAt.PROSE


def ends_in_repetition(tokens: Sequence[int]) -> bool:
    for period in range(1, LONGEST_PERIOD + 1):
        n_tail = max(REPETITIONS * period, REPEATED_TOKENS)
        tail = list(tokens[-n_tail:])
        if len(tail) == n_tail and tail[period:] == tail[:-period]:
            return True
    return False


def _is_call_in_reasoning(parsed: Parsed, generation: Generation, format_id: str) -> bool:
    """Whether a constraint ended reasoning with a call; while that is not whole, it is read as reasoning still."""
    fmt = formats.NATIVE.get(format_id)
    if fmt is None or not parsed.open_reasoning or not 0 < generation.n_reasoning < len(generation.tokens):
        return False
    return any(mark in parsed.reasoning for mark in fmt.frame.calls)


def _cause(generation: Generation) -> TruncationCause | None:
    """None where the model, or a fault of the constraint, ended the output."""
    match generation.stop:
        case StopReason.EOG | StopReason.CONSTRAINT:
            return None
        case StopReason.REPETITION:
            return TruncationCause.REPETITION
        case _ if ends_in_repetition(generation.tokens):
            return TruncationCause.REPETITION
        case StopReason.REASONING_LENGTH:
            return TruncationCause.REASONING_BUDGET
        case StopReason.CONTEXT:
            return TruncationCause.CONTEXT
    return TruncationCause.BUDGET
