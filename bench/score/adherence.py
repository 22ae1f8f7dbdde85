"""Do the calls obey the tools' schemas? Counted whether or not the values are right.

In a schema mode any violation is an escape from the grammar. Knows no expectation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.records import StepRecord
from engine.types import Call, Tool

if TYPE_CHECKING:
    from grammars.validation import Validator

# jsonschema's keyword -> the kind of violation; what is not listed is "other"
_KINDS = {
    "additionalProperties": "invented_field",
    "unevaluatedProperties": "invented_field",
    "required": "missing_required",
    "type": "wrong_type",
    "enum": "not_in_enum",
    "const": "not_in_enum",
}


@dataclass(frozen=True, slots=True)
class Adherence:
    """Counts of one item. An attempt is a step with a call or with something that looked like one."""

    n_attempts: int = 0
    n_parsed: int = 0  # attempts in which nothing was unreadable
    n_calls: int = 0
    n_schema_valid: int = 0
    invented_tool: int = 0  # calls; so are the others: a call with two invented fields counts once
    invented_field: int = 0
    missing_required: int = 0
    wrong_type: int = 0
    not_in_enum: int = 0
    other: int = 0


def violations(call: Call, tools: Mapping[str, Tool]) -> frozenset[str]:
    """The kinds of violation of one call; empty if it is valid."""
    from grammars.validation import validator

    tool = tools.get(call.name)
    if tool is None:
        return frozenset({"invented_tool"})
    return frozenset(
        _KINDS.get(str(error.validator), "other") for error in _causes(validator(tool.parameters), call.arguments)
    )


def measure(steps: Sequence[StepRecord], offered: Sequence[Sequence[Tool]]) -> Adherence:
    """`offered`: the tools of each step."""
    attempts = [s.parsed for s in steps if s.parsed.calls or s.parsed.fragments or s.parsed.open_block]
    kinds = [
        violations(call, {tool.name: tool for tool in tools})
        for step, tools in zip(steps, offered, strict=True)
        for call in step.parsed.calls
    ]
    counted = ("invented_tool", "invented_field", "missing_required", "wrong_type", "not_in_enum", "other")
    return Adherence(
        n_attempts=len(attempts),
        n_parsed=sum(not parsed.fragments and not parsed.open_block for parsed in attempts),
        n_calls=len(kinds),
        n_schema_valid=sum(not kind for kind in kinds),
        **{name: sum(name in kind for kind in kinds) for name in counted},
    )


def _causes(schema: Validator, value: Any) -> Iterator[Any]:
    """What is wrong with a value; of `anyOf` and `oneOf` in those branches that it may have been meant for.

    A part of a value is held against the same branches once, however many ways of the schema lead to them.
    """
    errors, seen = list(schema.trees(value)), set()
    for error in errors:  # which grows
        if not error.context:
            yield error
            continue
        key = id(error.validator_value), id(error.instance)
        if key not in seen:
            seen.add(key)
            branches: dict[Any, list[Any]] = {}
            for inner in error.context:
                branches.setdefault(next(iter(inner.schema_path), None), []).append(inner)
            errors += [inner for branch in _closest([*branches.values()]) for inner in branch]


def _closest(branches: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
    """The errors of the branches that a value is closest to: without those of another kind, while any is left."""
    tests: tuple[Callable[[Any], bool], ...] = (_is_not_null, _is_of_another_kind, _is_named_otherwise)
    for test in tests:
        branches = [errors for errors in branches if not any(map(test, errors))] or branches
    return branches


def _is_not_null(error: Any) -> bool:
    """Whoever writes a value did not mean to leave it out."""
    return not error.path and error.validator == "type" and error.validator_value == "null"


def _is_of_another_kind(error: Any) -> bool:
    return not error.path and error.validator in ("type", "const", "enum")


def _is_named_otherwise(error: Any) -> bool:
    """By a member that can only have one value, which tells branches apart."""
    is_fixed = error.validator == "const" or (error.validator == "enum" and len(error.validator_value) == 1)
    return is_fixed and len(error.path) == 1
