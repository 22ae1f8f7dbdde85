"""The official verdict on one answer: a category's rule for counts and order, and for answers without any call.

`None` in place of the calls stands for an answer that the official decoders cannot read: right where no call is.
Knows no model's text: reading it is the formats' work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.score.bfcl.function import Expected
from bench.score.bfcl.verdict import (
    DECODER_FAILED,
    IRRELEVANCE_CALLED,
    MULTIPLE_COUNT,
    NO_MATCH,
    PARALLEL_COUNT,
    RELEVANCE_NOT_CALLED,
    SIMPLE_COUNT,
    UNDEFINED,
    VALID,
    BadReference,
    OfficialVerdict,
    Undefined,
    invalid,
)
from bench.suites.bfcl.categories import Language
from engine.types import Call


def check(
    category: str,
    functions: Sequence[Mapping[str, Any]],
    calls: Sequence[Call] | None,
    ground_truth: Sequence[Mapping[str, Any]],
    language: str = Language.PYTHON,
    *,
    dots_to_underscores: bool = False,
) -> OfficialVerdict:
    """The verdict on one answer; build a `Checker` to judge several answers to one case."""
    return Checker(category, functions, ground_truth, language, dots_to_underscores=dots_to_underscores).verdict(calls)


class Checker:
    """Judges answers to one case of BFCL's single-turn categories.

    Names are compared as they stand. With `dots_to_underscores` a function `a.b` is expected as `a_b`: the official
    checker does so for models whose interface allows no dots.
    """

    def __init__(
        self,
        category: str,
        functions: Sequence[Mapping[str, Any]],
        ground_truth: Sequence[Mapping[str, Any]],
        language: str = Language.PYTHON,
        *,
        dots_to_underscores: bool = False,
    ) -> None:
        # the official checker looks for these words in the name too: live_parallel_multiple is parallel
        self._wants_call = None if "relevance" not in category else "irrelevance" not in category
        self._is_parallel = "parallel" in category
        self._is_simple = not self._is_parallel and "multiple" not in category
        self._expected: tuple[Expected, ...] = ()
        if self._wants_call is None:
            spoken = Language(language)
            self._expected = tuple(
                Expected(self._function(functions, name), arguments, spoken, dots_to_underscores)
                for name, arguments in map(_only_item, ground_truth)
            )
            if not self._expected:
                raise BadReference(f"a case of {category} expects no call")

    def verdict(self, calls: Sequence[Call] | None) -> OfficialVerdict:
        """`calls` None: the answer could not be read."""
        if self._wants_call is not None:
            return self._verdict_on_relevance(bool(calls))
        if calls is None:
            return invalid(DECODER_FAILED, "the answer could not be read")
        try:
            return self._verdict_on_order_free(calls) if self._is_parallel else self._verdict_on_first(calls)
        except Undefined as error:
            return invalid(UNDEFINED, f"the official checker gives no verdict: {error}")

    def _verdict_on_relevance(self, called: bool) -> OfficialVerdict:
        if called == self._wants_call:
            return VALID
        if called:
            return invalid(IRRELEVANCE_CALLED, "it made a call where none is right")
        return invalid(RELEVANCE_NOT_CALLED, "it made no call that could be read")

    def _verdict_on_first(self, calls: Sequence[Call]) -> OfficialVerdict:
        """Only the first call is looked at; of `multiple` the reference always has one."""
        right = 1 if self._is_simple else len(self._expected)
        if len(calls) != right:
            return invalid(SIMPLE_COUNT if self._is_simple else MULTIPLE_COUNT, _count(len(calls), right))
        problem = self._expected[0].problem(calls[0])
        return VALID if problem is None else invalid(problem.error_type, problem.text)

    def _verdict_on_order_free(self, calls: Sequence[Call]) -> OfficialVerdict:
        """Each expected call takes the first call left that fits, whether or not a later one needs it more."""
        if len(calls) != len(self._expected):
            return invalid(PARALLEL_COUNT, _count(len(calls), len(self._expected)))
        left = list(calls)
        for expected in self._expected:
            fitting = next((n for n, call in enumerate(left) if expected.problem(call) is None), None)
            if fitting is None:
                return invalid(NO_MATCH, f"no call left fits the expected {expected.name}")
            del left[fitting]
        return VALID

    def _function(self, functions: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
        if self._is_simple and functions:
            return functions[0]
        for function in functions:
            if function["name"] == name:
                return function
        raise BadReference(f"the reference calls '{name}', which is not among the functions")


def _only_item(call: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    if len(call) != 1:
        raise BadReference(f"a call of the reference names {len(call)} functions, not one")
    return next(iter(call.items()))


def _count(given: int, right: int) -> str:
    return f"{given} calls, not {right}"
