"""What is plain is valid: the metaschema agrees whenever a schema is taken without asking it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from grammars.plain import is_plain

KEYWORDS = (
    "type",
    "title",
    "description",
    "format",
    "default",
    "const",
    "enum",
    "examples",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "required",
    "properties",
    "items",
    "additionalProperties",
    "anyOf",
    "pattern",
    "optional",
    "$ref",
    "allOf",
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 3), st.just(1.5), st.sampled_from(["string", "object", "x", "(", "#"])
)
SOUP: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from([*KEYWORDS, "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


def is_valid(schema: Any) -> bool:
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError:
        return False
    return True


@settings(max_examples=150)
@given(schema=SOUP)
def test_what_is_plain_is_valid(schema: Any) -> None:
    assert not is_plain(schema) or is_valid(schema)


@pytest.mark.parametrize("keyword", KEYWORDS)
@settings(max_examples=25)
@given(value=SOUP)
def test_so_is_each_keyword(keyword: str, value: Any) -> None:
    schema = {keyword: value}
    assert not is_plain(schema) or is_valid(schema)


@pytest.mark.parametrize(
    ("schema", "plain"),
    [
        ({"type": "object", "properties": {"a": {"type": "integer", "enum": [1, 2], "default": 1}}}, True),
        ({"type": ["string", "null"], "required": ["a"], "additionalProperties": False, "anyOf": [{}]}, True),
        ({"type": "array", "items": {"type": "array", "items": {"minItems": 1}}}, True),
        ({"pattern": "("}, False),
        ({"type": "dict"}, False),
        ({"properties": {"a": {"type": "object", "properties": {"b": {"minimum": "3"}}}}}, False),
        ({"optional": ["a"]}, False),
        ({"$ref": "#"}, False),
        ([], False),
    ],
)
def test_everyday_schemas_are_plain_and_others_are_asked_about(schema: Any, plain: bool) -> None:
    assert is_plain(schema) is plain
