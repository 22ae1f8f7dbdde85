"""One call held against one call of the reference: name, arguments that are needed, arguments that are given.

Knows no other call of the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.score.bfcl.parameter import Parameter
from bench.score.bfcl.values import LEFT_OUT
from bench.score.bfcl.verdict import (
    MISSING_OPTIONAL,
    MISSING_REQUIRED,
    UNEXPECTED,
    WRONG_NAME,
    BadReference,
    Problem,
)
from bench.suites.bfcl.categories import Language
from engine.types import Call


class Expected:
    """One call of the reference, with the function's schema."""

    def __init__(
        self,
        function: Mapping[str, Any],
        arguments: Mapping[str, Sequence[Any]],
        language: Language,
        dots_to_underscores: bool = False,
    ) -> None:
        schema = function.get("parameters", {})
        properties = schema.get("properties")
        if not isinstance(properties, Mapping) or not isinstance(schema.get("required"), list):
            raise BadReference(f"{function.get('name')}: its parameters lack 'properties' or 'required'")
        self.name = function["name"].replace(".", "_") if dots_to_underscores else function["name"]
        self._required = tuple(schema["required"])
        # a parameter that the reference does not name may not be given, even with its default
        self._parameters = {
            name: Parameter(name, properties[name], alternatives, language)
            for name, alternatives in arguments.items()
            if name in properties
        }
        self._expected = tuple(name for name, alternatives in arguments.items() if LEFT_OUT not in alternatives)

    def problem(self, call: Call) -> Problem | None:
        """The first thing that is wrong, in the official order."""
        given = call.arguments
        if call.name != self.name:
            return Problem(WRONG_NAME, f"the call is of {call.name}, not of {self.name}")
        for name in self._required:
            if name not in given:
                return Problem(MISSING_REQUIRED, f"the required '{name}' is missing")
        for name, value in given.items():
            parameter = self._parameters.get(name)
            if parameter is None:
                return Problem(UNEXPECTED, f"'{name}' is not expected")
            problem = parameter.problem(value)
            if problem is not None:
                return problem
        for name in self._expected:
            if name not in given:
                return Problem(MISSING_OPTIONAL, f"'{name}' is missing, and may not be left out")
        return None
