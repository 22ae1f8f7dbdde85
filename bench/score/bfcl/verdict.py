"""What the official checker says about an answer, in its own words for the kinds of error.

The names of the kinds are the official ones, so that results can be held against those of the official checker.
Knows no rule.
"""

from __future__ import annotations

from dataclasses import dataclass

from grammars.errors import ToolgaugeError

DECODER_FAILED = "ast_decoder:decoder_failed"
IRRELEVANCE_CALLED = "irrelevance_error:decoder_success"
RELEVANCE_NOT_CALLED = "relevance_error:decoder_failed"

SIMPLE_COUNT = "simple_function_checker:wrong_count"
MULTIPLE_COUNT = "multiple_function_checker:wrong_count"
PARALLEL_COUNT = "parallel_function_checker_no_order:wrong_count"
NO_MATCH = "parallel_function_checker_no_order:cannot_find_match"
WRONG_NAME = "simple_function_checker:wrong_func_name"
MISSING_REQUIRED = "simple_function_checker:missing_required"
MISSING_OPTIONAL = "simple_function_checker:missing_optional"
UNEXPECTED = "simple_function_checker:unexpected_param"

TYPE = "type_error:simple"
ITEM_TYPE = "type_error:nested"
JAVA_SOURCE = "type_error:java"
JAVASCRIPT_SOURCE = "type_error:js"
STRING_VALUE = "value_error:string"
LIST_VALUE = "value_error:list/tuple"
DICT_KEY = "value_error:dict_key"
DICT_VALUE = "value_error:dict_value"
DICT_UNCLEAR = "dict_checker:unclear"
DICTS_COUNT = "value_error:list_dict_count"
DICTS_UNCLEAR = "list_dict_checker:unclear"
OTHER_VALUE = "value_error:others"

UNDEFINED = "toolgauge:reference_raises"
"""Ours: for such an answer the official checker ends with an exception instead of a verdict."""


class BadReference(ToolgaugeError):
    """The reference data of a case are not in BFCL's form."""


class Undefined(Exception):
    """The official checker would raise here; `str` says why."""


@dataclass(frozen=True, slots=True)
class Problem:
    """The first thing that is wrong with a call; `text` is for people and is ours."""

    error_type: str
    text: str


@dataclass(frozen=True, slots=True)
class OfficialVerdict:
    """`error_type` and `error` are empty where the answer is valid."""

    valid: bool
    error_type: str = ""
    error: str = ""


VALID = OfficialVerdict(True)


def invalid(error_type: str, error: str) -> OfficialVerdict:
    return OfficialVerdict(False, error_type, error)
