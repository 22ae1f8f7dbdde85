"""Cases whose official answer cannot be given: found by rule from the data, so that accuracy can be told without them.

    impossible(case)       # no answer passes the official check
    contradictory(case)    # some do, and all of them break the function's own schema, or are no Java or JavaScript

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
from bench.suites.bfcl.multi_turn import is_multi_turn
from bench.suites.bfcl.spelling import spellings
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
    language: Language

    @property
    def may_be_left_out(self) -> bool:
        return not self.is_required and LEFT_OUT in self.alternatives

    def accepted(self) -> Iterator[bool]:
        """Of each value found that passes the official check, whether it is valid besides."""
        if self.written is None or not self.alternatives:
            return
        parameter = Parameter(self.name, self.written, self.alternatives, self.language)
        candidates = self._values() if self.language is Language.PYTHON else self._sources(self.written)
        yield from (is_valid for value, is_valid in candidates if parameter.problem(value) is None)

    def _values(self) -> Iterator[tuple[Any, bool]]:
        valid = validator(self.schema)
        given = [value for alternative in self.alternatives for value in values_of(alternative)]
        respelled = [_respelled(value, self.schema) for value in given]
        for value in (*given, *respelled, *self.schema.get("enum", ()), *_ALSO):
            yield value, valid.is_valid(value)

    def _sources(self, written: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
        """Source code; without the quotes of its texts, as the official reading of some arrays wants it, it is none."""
        for alternative in self.alternatives:
            for value in values_of(alternative):
                for text in spellings(value, written, self.language):
                    yield text, True
                    yield text.replace('"', ""), False
                for text in spellings(_by_letter(value), written, self.language):
                    yield text, False


def impossible(case: Case) -> bool:
    """Whether no output whatever passes the official check."""
    return any(next(argument.accepted(), None) is None for argument in _needed(case))


def contradictory(case: Case) -> bool:
    """Whether some answers pass and none of them is valid, so that a model held to the schema can give none."""
    return not impossible(case) and any(not any(argument.accepted()) for argument in _needed(case))


def _needed(case: Case) -> Iterator[_Argument]:
    """The arguments of all reference calls that may not be left out."""
    return (argument for argument in _arguments(case) if not argument.may_be_left_out)


def _arguments(case: Case) -> Iterator[_Argument]:
    if case.official is None or case.official.checker != "bfcl" or is_multi_turn(case):
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
                    language=Language(data["language"]),
                )


def _respelled(value: Any, schema: Any) -> Any:
    """The value as the schema would have it written, where the official check sees no difference."""
    if not isinstance(schema, Mapping):
        return value
    if isinstance(value, str):
        texts = (text for text in schema.get("enum", ()) if isinstance(text, str))
        return next((text for text in texts if fold(text) == fold(value)), value)
    if isinstance(value, list):
        return [_respelled(item, schema.get("items", {})) for item in value]
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        return {key: _respelled(inner, properties.get(key, {})) for key, inner in value.items()}
    if isinstance(value, float) and schema.get("type") == "integer" and value.is_integer():
        return int(value)
    return value


def _by_letter(value: Any) -> Any:
    """Where a text stands in place of a list of alternatives, the official check takes each letter for one."""
    if not isinstance(value, dict):
        return value
    return {key: inner[:1] if isinstance(inner, str) else inner for key, inner in value.items()}
