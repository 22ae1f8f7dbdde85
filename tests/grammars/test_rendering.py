"""What the three renderers write. What the engines make of it is tested with them."""

from __future__ import annotations

import re
import time
from itertools import permutations, product
from typing import Any

import pytest

from grammars.errors import UnsupportedSchema
from grammars.gbnf import to_gbnf
from grammars.lark import to_lark
from grammars.nodes import AnyJsonObject, AnyOrder, Choice, Json, Literal, Marker, Node, RawText, Repeat, Seq
from grammars.regex import START, to_regex

CALL = Seq((Marker("<call>"), Literal('{"a": '), Json({"type": "boolean"}), Literal("}\n"), Marker("</call>")))


def test_markers_are_tokens_where_they_have_an_id_and_text_elsewhere() -> None:
    assert to_gbnf(CALL, {"<call>": 7}) == 'root ::= <[7]> "{\\"a\\": " ("true" | "false") "}\\n</call>"\n'
    assert to_lark(CALL, {"<call>": 7}).startswith('start: <[7]> "{\\"a\\": " json1 "}\\n</call>"\njson1: %json {')
    assert to_regex(CALL, {"<call>": "\U00100007"}) == f'{START}(?:\U00100007\\{{"a": (?:true|false)\\}}\n</call>)$'


def test_gbnf_names_are_letters_digits_and_dashes() -> None:
    schema = {"$ref": "#/$defs/my_tool.v2", "$defs": {"my_tool.v2": {"type": "string"}}}
    for line in to_gbnf(Seq((Json(schema), Json(schema))), {}).splitlines():
        assert re.match(r"[a-zA-Z0-9-]+ ::= ", line)


def test_gbnf_escapes_what_its_parser_would_read_otherwise() -> None:
    assert to_gbnf(Literal('"\\\n\t\x01\x7fé\u2028'), {}) == 'root ::= "\\"\\\\\\n\\t\\x01\\x7Fé\\u2028"\n'
    text = to_gbnf(Json({"type": "string", "pattern": "^[\\]a-c-]$"}), {})
    assert "[\\x2D\\x5Da-c]" in text


def test_gbnf_counts_beyond_its_limit_in_blocks() -> None:
    text = to_gbnf(Json({"type": "string", "maxLength": 5_000_000}), {})
    counts = [int(number) for number in re.findall(r"\{(?:\d+,)?(\d+)\}", text)]
    assert max(counts) == 1000


def test_gbnf_repeats_no_group_with_large_counts_inside() -> None:
    schema = {
        "type": "array",
        "items": {"type": "array", "items": {"type": "string", "maxLength": 900}, "maxItems": 900},
    }
    for line in to_gbnf(Json(schema), {}).splitlines():
        assert not re.search(r"\{\d+(,\d*)?\}.*\)[*+?{]", line)


def test_lark_asks_for_the_canonical_separators() -> None:
    text = to_lark(Json({"type": "object"}), {})
    assert '"whitespace_flexible": false, "item_separator": ", ", "key_separator": ": "' in text


def test_lark_writes_bounded_numbers_in_rules_of_its_own_and_the_rest_as_json() -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "number", "maximum": 0.25}, "s": {"type": "string", "maxLength": 3}},
        "required": ["n", "s"],
        "additionalProperties": False,
    }
    start, json_rule = to_lark(Json(schema), {}).splitlines()
    assert start.startswith('start: "{" "\\"n\\": " /') and start.endswith('/ ", " "\\"s\\": " json1 "}"')
    assert json_rule.endswith('"type": "string", "maxLength": 3}')


def test_lark_shares_equal_schemas() -> None:
    text = to_lark(Choice((Json({"type": "null"}), Seq((Literal("x"), Json({"type": "null"}))))), {})
    assert text.count("%json") == 1


def test_lark_includes_the_rules_of_any_object_once() -> None:
    text = to_lark(Choice((AnyJsonObject(), Seq((Literal("x"), AnyJsonObject())))), {})
    assert text.count("json_object:") == 1


def test_lark_needs_to_know_where_raw_text_ends() -> None:
    with pytest.raises(UnsupportedSchema, match="must be followed by the text or the token that ends it"):
        to_lark(Seq((RawText("</p>"), Literal("x"))), {})


@pytest.mark.parametrize("node", [RawText(""), Choice(())])
def test_gbnf_refuses_what_matches_nothing(node: Node) -> None:
    with pytest.raises(UnsupportedSchema):
        to_gbnf(node, {})


@pytest.mark.parametrize(
    ("node", "keyword"),
    [
        (AnyJsonObject(), "AnyJsonObject"),
        (Json({}), "type"),
        (Json({"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}}), "$ref"),
    ],
)
def test_a_regular_expression_cannot_nest_without_limit(node: Node, keyword: str) -> None:
    with pytest.raises(UnsupportedSchema) as caught:
        to_regex(Seq((Literal("x"), node)), {})
    assert (caught.value.backend, caught.value.keyword) == ("outlines", keyword)


def test_the_tool_of_a_refused_schema_is_named() -> None:
    for render in (to_gbnf, to_lark, to_regex):
        with pytest.raises(UnsupportedSchema, match="of the tool 'add'"):
            render(Json({"type": "array", "uniqueItems": True}, tool="add"), {})


def test_items_in_any_order_are_written_once() -> None:
    names = [f"item number {number}" for number in range(6)]
    node = AnyOrder(tuple(map(Literal, names)), (True, False) * 3)
    for text in (to_gbnf(node, {}), to_lark(node, {})):
        assert all(text.count(f'"{name}"') == 1 for name in names), text
    assert len(to_gbnf(node, {}).splitlines()) == 1 + 6 + 63, "and a rule for each set of items that may still come"
    assert len(to_lark(node, {})) < 700


def test_a_regular_expression_writes_every_order_of_three_out() -> None:
    pattern = re.compile(to_regex(AnyOrder(tuple(map(Literal, "abcd")), (True, False, False, True)), {}))
    found = {
        text
        for size in range(6)
        for letters in product("abcd", repeat=size)
        if pattern.match(START + (text := "".join(letters)))
    }
    assert found == {"ad", "abd", "bad", "acd", "cad", *("".join(order) + "d" for order in permutations("abc"))}


def test_a_regular_expression_that_would_be_too_large_has_fewer_in_any_order() -> None:
    letters = tuple(Json({"type": "string", "minLength": size, "maxLength": size}) for size in (1_501, 1_502, 1_503))
    found = to_regex(AnyOrder(letters, (True,) * 3), {})
    assert found == to_regex(Seq((AnyOrder(letters[:2], (True, True)), letters[2])), {})
    assert to_regex(AnyOrder(letters[:2], (True, True)), {}) != to_regex(Seq(letters[:2]), {})


def test_repetitions_share_the_rule_of_their_item() -> None:
    text = to_gbnf(Repeat(CALL, separator=Literal(", ")), {})
    assert text.count('{\\"a\\": ') == 1


def _in_each_other(key: str, depth: int) -> dict[str, object]:
    schema: dict[str, object] = {"type": "number", "minimum": 0, "maximum": 9}
    for _ in range(depth):
        schema = {"type": "array" if key == "items" else "object", key: schema}
    return schema


@pytest.mark.parametrize("key", ["items", "additionalProperties"])
def test_values_in_values_do_not_double_at_each_level(key: str) -> None:
    """Bounded numbers, which are no `%json`, in arrays or maps thirty levels deep."""
    started = time.process_time()
    for render in (to_gbnf, to_lark):
        assert len(render(Json(_in_each_other(key, 30)), {})) < 10_000
    with pytest.raises(UnsupportedSchema, match="its parts repeat each other"):
        to_regex(Json(_in_each_other(key, 30)), {})
    assert to_regex(Json(_in_each_other(key, 6)), {})
    assert time.process_time() - started < 5


@pytest.mark.parametrize("render", [to_gbnf, to_lark, to_regex])
@pytest.mark.parametrize("key", ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"])
@pytest.mark.parametrize("bound", [10**4000, 1.7976931348623157e308, -(10**100)], ids=["4001", "309", "101"])
def test_a_bound_of_too_many_digits_is_refused(render: Any, key: str, bound: float) -> None:
    """Each digit is within the one before it: no stack is deep enough for thousands, or for the largest double."""
    with pytest.raises(UnsupportedSchema, match="at most 100 digits") as caught:
        render(Json({"type": "object", "properties": {"n": {"type": "integer", key: bound}}, "required": ["n"]}), {})
    assert (caught.value.keyword, caught.value.path) == (key, "#/properties/n")


def test_a_bound_may_have_a_hundred_digits() -> None:
    schema = {"type": "integer", "minimum": int("2" + "1" * 99), "maximum": int("8" * 100)}
    for render in (to_gbnf, to_lark, to_regex):
        assert render(Json(schema), {})


def _listed(n: int, **others: Any) -> Json:
    """A list of `n` different items, which are no `%json`."""
    items = [{"type": "number", "minimum": 0, "maximum": number + 1} for number in range(n)]
    return Json({"type": "array", "prefixItems": items, "items": False, **others})


def test_a_list_may_have_many_items_each_of_which_may_be_missing() -> None:
    """Three hundred of them, each within the one before it, were more than Python's stack has room for."""
    for render in (to_gbnf, to_lark):
        assert render(_listed(300), {})
    with pytest.raises(UnsupportedSchema, match="more than 100 items that may be missing") as caught:
        to_regex(_listed(101), {})
    assert (caught.value.keyword, caught.value.path) == ("prefixItems", "#")
    assert to_regex(_listed(100), {})
    assert to_regex(_listed(300, minItems=200), {})


@pytest.mark.parametrize(
    ("keyword", "schema"),
    [
        ("maxLength", {"type": "string", "maxLength": 65_535}),
        ("minLength", {"type": "string", "minLength": 10**6}),
        ("maxItems", {"type": "array", "items": {"type": "null"}, "maxItems": 65_535}),
        ("minItems", {"type": "array", "items": {"type": "null"}, "minItems": 10**9}),
    ],
)
def test_a_regular_expression_counts_only_so_far(keyword: str, schema: dict[str, Any]) -> None:
    """A `maxLength` of 65,535, as databases have it, would take many gigabytes to compile."""
    with pytest.raises(UnsupportedSchema) as caught:
        to_regex(Json({"type": "array", "prefixItems": [schema], "items": False}), {})
    assert (caught.value.keyword, caught.value.path) == (keyword, "#/prefixItems/0")
    assert to_gbnf(Json(schema), {})


def test_what_is_counted_within_what_is_counted_is_as_large_as_both() -> None:
    schema = {"type": "array", "items": {"type": "string", "maxLength": 900}, "maxItems": 900}
    with pytest.raises(UnsupportedSchema, match="more than 100,000"):
        to_regex(Json(schema), {})
