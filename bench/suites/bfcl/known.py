"""Cases whose official answer cannot be given: found by rule from the data, so that accuracy can be told without them.

    impossible(case)       # no answer passes the official check
    contradictory(case)    # some do, and all of them break the function's own schema

The official check looks at each argument by itself, so it is enough to find for each one a value that passes: among the
reference's alternatives, the same in the schema's spelling, what the schema lists, and what the check takes for
something else. docs/bfcl.md lists the cases. Knows no answer of a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench.score.bfcl.parameter import Parameter
from bench.score.bfcl.values import LEFT_OUT, fold
from bench.suites.bfcl.categories import Language
from bench.suites.bfcl.expected import values_of
from bench.suites.case import Case
from grammars.validation import validator

_ALSO: Final[tuple[Any, ...]] = ("", [], {}, 0, 0.0, False, True, None)


@dataclass(frozen=True, slots=True)
class _Argument:
    """One argument of a reference call. `written`: its schema as BFCL has it, None where there is none."""

    name: str
    alternatives: Sequence[Any]  # none: the reference does not name it
    written: Mapping[str, Any] | None
    schema: Mapping[str, Any]
    is_required: bool

    @property
    def may_be_left_out(self) -> bool:
        return not self.is_required and LEFT_OUT in self.alternatives

    def accepted(self) -> Iterator[Any]:
        """Values that pass the official check."""
        if self.written is None or not self.alternatives:
            return
        parameter = Parameter(self.name, self.written, self.alternatives, Language.PYTHON)
        yield from (value for value in self._candidates() if parameter.problem(value) is None)

    def _candidates(self) -> Iterator[Any]:
        for alternative in self.alternatives:
            for value in values_of(alternative):
                yield value
                yield _respelled(value, self.schema)
        yield from self.schema.get("enum", ())
        yield from _ALSO


def impossible(case: Case) -> bool:
    """Whether no output whatever passes the official check."""
    return any(not a.may_be_left_out and next(a.accepted(), a) is a for a in _arguments(case))


def contradictory(case: Case) -> bool:
    """Whether some answers pass and each of them breaks the schema, so that a constrained model can give none."""
    return not impossible(case) and any(
        not a.may_be_left_out and not any(map(validator(a.schema).is_valid, a.accepted())) for a in _arguments(case)
    )


def _arguments(case: Case) -> Iterator[_Argument]:
    """Of all reference calls in Python; to the schemas of other languages every argument is a string."""
    if case.official is None or case.official.data.get("language") != Language.PYTHON:
        return
    data = case.official.data
    documents = {document["name"]: document["parameters"] for document in data["functions"]}
    offered = {tool.name: tool.parameters["properties"] for tool in case.tools}
    spelled = {official: name for name, official in data["names"].items()}
    for call in data["ground_truth"]:
        for function, arguments in call.items():
            written, required = documents[function]["properties"], documents[function]["required"]
            schemas = offered[spelled.get(function, function)]
            for name in dict.fromkeys([*required, *arguments]):
                yield _Argument(
                    name,
                    arguments.get(name, ()),
                    written.get(name),
                    schemas.get(name, {}),
                    is_required=name in required,
                )


def _respelled(value: Any, schema: Any) -> Any:
    """The value as the schema would have it written, where the official check sees no difference."""
    if not isinstance(schema, Mapping):
        return value
    if isinstance(value, str):
        return next(
            (text for text in schema.get("enum", ()) if isinstance(text, str) and fold(text) == fold(value)), value
        )
    if isinstance(value, list):
        return [_respelled(item, schema.get("items", {})) for item in value]
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        return {key: _respelled(inner, properties.get(key, {})) for key, inner in value.items()}
    if isinstance(value, float) and schema.get("type") == "integer" and value.is_integer():
        return int(value)
    return value
