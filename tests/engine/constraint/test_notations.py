"""Raw strings and Gemma's dictionaries in every backend, against the validator and a small writer of our own."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from engine.constraint.walk import accepts
from engine.errors import UnsupportedSchema
from grammars.canonical import arranged, dumps
from grammars.nodes import Choice, Json, Literal, Marker, Node, QuotedDict, RawString, RawText, Repeat, Seq
from grammars.validation import validator
from tests.engine.constraint.test_language import N_EXAMPLES, random_walk
from tests.grammars.schemas import PATTERNS, TEXT, instances, strings, tool_parameters

FEW = settings(max_examples=N_EXAMPLES // 2, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
OPEN, END = "<p>\n", "\n</p>\n"
QUOTES = ('<|"|>', "<tool_call>")  # plain text in the small vocabulary, and a token


BARE = re.compile(r"""[^\s:,{}\[\]<>"\x00-\x1f](?:[^:,{}\[\]<>"\x00-\x1f]*[^\s:,{}\[\]<>"\x00-\x1f])?""")


# A small writer


class Unsayable(Exception):
    """The notation has no way of writing the value."""


def written(value: Any, quote: str) -> str:
    match value:
        case str():
            if quote in value or "\0" in value:
                raise Unsayable
            return f"{quote}{value}{quote}"
        case list():
            return f"[{','.join(written(item, quote) for item in value)}]"
        case dict():
            if not all(BARE.fullmatch(key) for key in value):
                raise Unsayable
            return f"{{{','.join(f'{key}:{written(item, quote)}' for key, item in value.items())}}}"
    return dumps(value)


def is_raw(text: str, end: str) -> bool:
    return "\0" not in text and (text + end).find(end) == len(text)


def with_plain_names(schema: dict[str, Any]) -> dict[str, Any]:
    """The same schema with names that may stand without quotes."""
    text = json.dumps(schema).replace(r"q\"uote", "q-uote").replace(r"\u00e9\n", r"\u00e9 n").replace('""', '"k"')
    found: dict[str, Any] = json.loads(text)
    return found


# Raw strings


@FEW
@given(data=st.data())
def test_a_raw_string_is_accepted_if_and_only_if_it_is_valid(engine: Any, data: st.DataObject) -> None:
    schema = data.draw(strings() | st.lists(TEXT, min_size=1, max_size=4).map(lambda texts: {"enum": texts}))
    try:
        compiled = engine.compile(Seq((Literal(OPEN), RawString(schema, END), Literal(END))))
    except UnsupportedSchema as error:
        event(f"refused: {error.keyword}")
        assert error.keyword != "enum" or not any(is_raw(text, END) for text in schema["enum"])
        return
    for _ in range(4):
        text = data.draw(instances(schema) | TEXT | st.text(st.sampled_from("a\n</p>x"), max_size=9))
        if isinstance(text, str):
            expected = validator(schema).is_valid(text) and is_raw(text, END)
            event(f"valid: {expected}")
            assert accepts(compiled.start(), engine.kinds, f"{OPEN}{text}{END}") == expected, compiled.text


@FEW
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_walks_through_raw_strings_end_in_valid_ones(engine: Any, data: st.DataObject, seed: int) -> None:
    schema = data.draw(strings())
    try:
        compiled = engine.compile(Seq((Literal(OPEN), RawString(schema, END), Literal(END))))
    except UnsupportedSchema:
        return
    text = random_walk(compiled.start(), engine.kinds, random.Random(seed))
    if text is not None:
        assert text.startswith(OPEN) and text.endswith(END)
        inside = text[len(OPEN) : -len(END)]
        assert is_raw(inside, END) and validator(schema).is_valid(inside)


STRING = {"type": "string"}
CITY = RawString({"enum": ["null", "Rome", "null\n", "[1"]}, END)
NUMBERS = Json({"type": "array", "items": {"type": "integer"}})


@pytest.mark.parametrize("schema", [STRING, {**STRING, "pattern": "^[^a]*$"}, {**STRING, "maxLength": 5}])
def test_the_tag_of_its_end_has_no_place_in_a_raw_string(engine: Any, schema: dict[str, Any]) -> None:
    compiled = engine.compile(Seq((Literal("\n"), RawString(schema, "\n</p>", tag="</p>"), Literal("\n</p>;"))))
    for text in ("", "x", "</p>", "</p", "\n", "x</p>", "x\n", "\n</p>", "<", "<\n", "x</p>y", "xx\n</p>"):
        expected = validator(schema).is_valid(text) and "</p>" not in text
        assert accepts(compiled.start(), engine.kinds, f"\n{text}\n</p>;") == expected, (text, compiled.text)


@pytest.mark.parametrize(
    ("node", "valid", "invalid"),
    [
        (Choice((CITY, Json({"type": ["null", "integer"]}))), ["null", "Rome", "null\n", "12"], ["Rom", "1.5", "nul"]),
        (Choice((RawString(STRING, END), NUMBERS)), ["", "[1, 2]", "[1, 2", "{"], ["\0", "\n</p>\n"]),
        (
            Choice((RawString({"enum": ["a"]}, END), NUMBERS, Literal("None"), Seq((Literal("<"), RawText(END))))),
            ["a", "[]", "None", "<", "<\n\n"],
            ["b", "Non", "{}"],
        ),
        (Repeat(RawString({"enum": ["a", "b\n"]}, END), Literal(f"{END},"), 1, 3), ["a", f"a{END},b\n"], ["", "b"]),
        (Choice((Seq((Literal("x"), RawString(STRING, END))), Literal("y"))), ["x", "xx", "y"], ["", "yy"]),
        (Seq((Choice((RawText(";"), Literal("-"))), Literal(";"), RawText(END))), [";", "-;\n", "a;b;"], ["", "a"]),
    ],
)
def test_raw_strings_stand_anywhere_before_their_end(
    engine: Any, node: Node, valid: list[str], invalid: list[str]
) -> None:
    for opening, closing in ((Literal(OPEN), Literal(f"{END}<x>")), (Marker("<tool_call>"), Literal(END))):
        compiled = engine.compile(Seq((opening, node, closing)))
        for text in valid + invalid:
            whole = f"{opening.text}{text}{closing.text}"
            assert accepts(compiled.start(), engine.kinds, whole) == (text in valid), whole


def test_a_token_may_end_a_choice_of_raw_strings(engine: Any) -> None:
    end = "</tool_call>"
    value = Choice((RawString({"enum": ["null", "Rome"]}, end), Json({"type": ["null", "integer"]})))
    compiled = engine.compile(Seq((Literal("<"), value, Marker(end), Literal("\n"))))
    for text, expected in (("null", True), ("Rome", True), ("-7", True), ("Ro", False), ("", False)):
        assert accepts(compiled.start(), engine.kinds, f"<{text}{end}\n") == expected


def test_a_token_may_be_a_part_of_what_ends_a_raw_string(engine: Any) -> None:
    compiled = engine.compile(
        Seq((Literal("<p>"), RawString(STRING, "</<think>"), Literal("</"), Marker("<think>"), Literal("p>")))
    )
    for text, expected in (("", True), ("</", True), ("a</p>", True), ("</<think>", False)):
        assert accepts(compiled.start(), engine.kinds, f"<p>{text}</<think>p>") == expected, text


@pytest.mark.parametrize("length", [20, 90])
def test_lengths_of_raw_strings(engine: Any, length: int) -> None:
    node = Seq((Literal(OPEN), RawString({**STRING, "minLength": length - 1, "maxLength": length}, END), Literal(END)))
    if engine.name == "outlines" and length > 20:
        with pytest.raises(UnsupportedSchema, match="'maxLength' at #"):
            engine.compile(node)
        return
    compiled = engine.compile(node)
    for size in (length - 2, length - 1, length, length + 1):
        text = ("\n</p" * length)[:size]
        assert accepts(compiled.start(), engine.kinds, f"{OPEN}{text}{END}") == (length - 1 <= size <= length), size


# Dictionaries


@FEW
@given(data=st.data(), quote=st.sampled_from(QUOTES))
def test_a_dictionary_is_accepted_if_and_only_if_it_is_valid(engine: Any, data: st.DataObject, quote: str) -> None:
    schema = with_plain_names(data.draw(tool_parameters(flat=engine.name == "outlines"), label="schema"))
    try:
        compiled = engine.compile(QuotedDict(schema, quote))
    except UnsupportedSchema as error:
        event(f"refused: {error.keyword}")
        return
    for _ in range(4):
        value = data.draw(instances(schema), label="value")
        try:
            text = written(arranged(value, schema), quote)
        except Unsayable:
            continue
        valid = validator(schema).is_valid(value)
        event(f"valid: {valid}")
        assert accepts(compiled.start(), engine.kinds, text) == valid, f"{text} under\n{compiled.text}"


CALL = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 5},
        "unit": {"enum": ["c", "°F", '<|"|>', 2.5, None, [1, {"a": "b"}], {"x:": 1}]},
        "at": {"type": "array", "items": {"type": "number", "minimum": 0}, "maxItems": 2},
        "code": {"type": "string", "pattern": "^<"},
    },
    "required": ["city"],
    "additionalProperties": False,
}
TREE = {
    "type": "object",
    "properties": {"v": {}, "next": {"$ref": "#"}},
    "additionalProperties": {"type": "boolean"},
}


@pytest.mark.parametrize("quote", QUOTES)
@pytest.mark.parametrize(
    ("schema", "valid", "invalid"),
    [
        (
            CALL,
            [
                *("{city:''}", "{city:'a{,'}", "{city:'ab',unit:'c'}", "{city:'é',unit:[1,{a:'b'}],at:[0,1.5]}"),
                *("{city:'a',unit:null}", "{city:'a',code:'<|'}"),
            ],
            [
                *("{}", "{city:'abcdef'}", "{city:'a', unit:'c'}", "{unit:'c',city:'a'}", "{city:'a',at:[-1]}"),
                *("{city:a}", "{city:'a',unit:{x::1}}", "{city:'a',code:'x'}", "{\"city\":'a'}", "{city:'a',unit:'d'}"),
            ],
        ),
        (
            TREE,
            ["{}", "{v:[{},{a b:'x'},-1e5]}", "{next:{next:{v:null}},x:true}", "{x:true,y-1:false}", "{v:{v:1}}"],
            ["{x:1}", "{v:x}", "{:true}", "{ x:true}", "{x :true}", "{a<b:true}", "{v:{a[b:1}}", "{next:1}"],
        ),
        ({"type": "object"}, ["{}", "{a:[],b:{c:'}'}}"], ["[]", "{a}", "{a:1,}", "''"]),
    ],
)
def test_the_notation_of_dictionaries(
    engine: Any, quote: str, schema: dict[str, Any], valid: list[str], invalid: list[str]
) -> None:
    node = Seq((Literal("call:f"), QuotedDict(schema, quote), Literal("<end>")))
    if engine.name == "outlines" and schema is not CALL:
        with pytest.raises(UnsupportedSchema, match="nest without limit"):
            engine.compile(node)
        return
    compiled = engine.compile(node)
    for text in valid + invalid:
        whole = f"call:f{text}<end>".replace("'", quote)
        assert accepts(compiled.start(), engine.kinds, whole) == (text in valid), whole


@pytest.mark.parametrize("name", ["", "a:b", " a", "a\n", "x<", '"a"', "[0]"])
def test_a_name_that_needs_quotes_is_refused(engine: Any, name: str) -> None:
    schema = {"type": "object", "properties": {"o": {"type": "object", "properties": {name: STRING}}}}
    with pytest.raises(UnsupportedSchema, match=r"'properties' at #/properties/o of the tool 't'.*without quotes"):
        engine.compile(QuotedDict({**schema, "additionalProperties": False}, '<|"|>', tool="t"))


def test_an_enum_of_which_nothing_can_be_written_is_refused(engine: Any) -> None:
    with pytest.raises(UnsupportedSchema, match="'enum'"):
        engine.compile(QuotedDict({"enum": ['<|"|>', {"a:": 1}]}, '<|"|>'))
    with pytest.raises(UnsupportedSchema, match=r"'enum' at # of the tool 't'.*every value holds"):
        engine.compile(RawString({"enum": ["<p>"]}, "<p>", tool="t"))


def test_no_structural_token_is_part_of_a_raw_string(engine: Any) -> None:
    for node in (Seq((Literal("<p>"), RawString(STRING, END), Literal(END))), QuotedDict(STRING, '<|"|>')):
        compiled = engine.compile(node)
        constraint = compiled.start()
        opening = "<p>" if isinstance(node, Seq) else '<|"|>'
        for token in engine.kinds.spelled(opening.encode()):
            constraint.accept(token)
        for token in engine.kinds.structural:
            assert not constraint.allows(token)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_and_a_length_that_cuts_it(engine: Any, pattern: str) -> None:
    schema = {"type": "string", "pattern": pattern, "maxLength": 3}
    compiled = engine.compile(Json(schema))
    for text in ("", "a", "x", "abc", "\\", '"?.', "éa", "1234", "123", "abab", "z", "xxxx", " .\n", "abcx"):
        assert accepts(compiled.start(), engine.kinds, dumps(text)) == validator(schema).is_valid(text), text
