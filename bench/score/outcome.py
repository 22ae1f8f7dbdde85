"""The single cause-named verdict, in the order in which causes are looked for. Knows no text and no case."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """The first that applies, from top to bottom."""

    CONSTRAINT_ERROR = "constraint_error"
    TEMPLATE_ERROR = "template_error"
    CONTEXT_EXCEEDED = "context_exceeded"
    RUNTIME_ERROR = "runtime_error"
    TRUNCATED = "truncated"
    UNPARSEABLE = "unparseable"
    UNEXPECTED_CALL = "unexpected_call"
    NO_CALL = "no_call"
    WRONG_COUNT = "wrong_count"
    WRONG_TOOL = "wrong_tool"
    SCHEMA_INVALID = "schema_invalid"
    WRONG_ARGUMENTS = "wrong_arguments"
    WRONG_ORDER = "wrong_order"
    CORRECT = "correct"

    @property
    def is_scored(self) -> bool:
        """False: no verdict about the model; counted in a column of its own."""
        return self not in NOT_SCORED


NOT_SCORED = frozenset(
    {Outcome.CONSTRAINT_ERROR, Outcome.TEMPLATE_ERROR, Outcome.CONTEXT_EXCEEDED, Outcome.RUNTIME_ERROR}
)


class NoCall(StrEnum):
    """Four different things that a missing call can be."""

    ABSTAINED = "abstained"
    MALFORMED = "malformed"
    TRUNCATED = "truncated"
    ERROR = "error"


class CutAt(StrEnum):
    """Where an answer was cut off."""

    REASONING = "reasoning"
    IN_CALL = "in_call"
    AFTER_CALL = "after_call"
    PROSE = "prose"
