"""Gemma 4's calls: what is read, what is refused and why, what is written, against literal tables."""

from __future__ import annotations

import math
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ConstraintError
from engine.formats import envelope, gemma_dict
from engine.formats.gemma4 import Gemma4Format
from engine.formats.protocol import CannotCarry
from engine.formats.strict import Broken, Value
from engine.types import Call, Fragment, Parsed, Tool
from grammars.nodes import Choice, Literal, Marker, QuotedDict, Repeat, Seq
from grammars.validation import validator
from tests.engine.formats.prefixes import is_thinking

FORMAT = Gemma4Format()
Q = '<|"|>'
WEATHER = Tool(
    "get_weather",
    "The weather.",
    {
        "type": "object",
        "properties": {"days": {"type": "integer"}, "City": {"type": "string"}, "at": {"type": "object"}},
        "required": ["days", "City"],
        "additionalProperties": False,
    },
)
ADD = Tool("add", "Add.", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
TOOLS = (WEATHER, ADD)


def call(name: str, body: str) -> str:
    return f"<|tool_call>call:{name}{body}<tool_call|>"


ONE = call("get_weather", f"{{City:{Q}Paris{Q},days:2}}")
PARIS = Call("get_weather", {"City": "Paris", "days": 2})


# Reading values


@pytest.mark.parametrize(
    ("body", "arguments"),
    [
        ("{}", {}),
        (f"{{city:{Q}Paris{Q},days:2}}", {"city": "Paris", "days": 2}),
        (f"{{a:{Q}{Q}}}", {"a": ""}),
        (f'{{a:{Q}two\nlines, "so", {{not}}: [a] \\n dict{Q}}}', {"a": 'two\nlines, "so", {not}: [a] \\n dict'}),
        (f"{{a:{Q}<|\"|{Q},b:{Q}|>{Q}}}", {"a": '<|"|', "b": "|>"}),
        (f"{{a:{Q}<tool_call|><|tool_call>call:f{{{Q}}}", {"a": "<tool_call|><|tool_call>call:f{"}),
        (f"{{a:{Q}2{Q},b:{Q}null{Q},c:{Q} {Q}}}", {"a": "2", "b": "null", "c": " "}),
        ("{a:true,b:false,c:null,d:None}", {"a": True, "b": False, "c": None, "d": None}),
        ("{a:0,b:-0,c:-12.50,d:1e-07,e:1E+2}", {"a": 0, "b": 0, "c": -12.5, "d": 1e-7, "e": 100.0}),
        ("{a:1000000000000000000000000000000}", {"a": 10**30}),
        (f"{{o:{{}},l:[],n:[[1],{{k:[{Q}x{Q},null]}}]}}", {"o": {}, "l": [], "n": [[1], {"k": ["x", None]}]}),
        ("{first name:1,größe:2,a-b:3,x_1:4,a.b:5,$ref:6,don't:7}",
         {"first name": 1, "größe": 2, "a-b": 3, "x_1": 4, "a.b": 5, "$ref": 6, "don't": 7}),
        (f"{{ a: 1,\n b:\t[ 1 , {Q}x{Q} ] , c:{{ }} }}", {"a": 1, "b": [1, "x"], "c": {}}),
    ],
)  # fmt: skip
def test_arguments_are_read(body: str, arguments: dict[str, Any]) -> None:
    assert FORMAT.parse(call("f", body), TOOLS) == Parsed((Call("f", arguments),))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{city:Paris}", "'Paris' is neither a number nor true, false or null; strings stand between <|\"|>"),
        ('{city:"Paris"}', "'\"' where a value should be; strings stand between <|\"|>"),
        ("{city:'Paris'}", '"\'Paris\'" is neither a number nor true, false or null; strings stand between <|"|>'),
        (f"{{{Q}city{Q}:1}}", "a key is missing before '<'"),
        ('{"city":1}', "a key is missing before '\"'"),
        ("{a:1,}", "a key is missing before '}'"),
        ("{:1}", "a key is missing before ':'"),
        ("{a}", 'a colon is missing after the key "a"'),
        ("{a :1}", 'a colon is missing after the key "a"'),
        ("{a:}", "'}' where a value should be; strings stand between <|\"|>"),
        ("{a:1 b:2}", "'b' where a comma or } should be"),
        ("{a:[1,]}", "']' where a value should be; strings stand between <|\"|>"),
        ("{a:[1;2]}", "'1;2' is neither a number nor true, false or null; strings stand between <|\"|>"),
        ("{a:[1}", "'}' where a comma or ] should be"),
        ("{a:{b:[1]}", "'<' where a comma or } should be"),
        ("{a:1,a:2}", 'the key "a" is there twice'),
        ("{a:01}", "'01' is neither a number nor true, false or null; strings stand between <|\"|>"),
        ("{a:1.}", "'1.' is neither a number nor true, false or null; strings stand between <|\"|>"),
        ("{a:NaN}", "'NaN' is neither a number nor true, false or null; strings stand between <|\"|>"),
        ("{a:True}", "'True' is neither a number nor true, false or null; strings stand between <|\"|>"),
        ("{a:1e999}", "a number out of range"),
        (f"{{a:{'9' * 5000}}}", "a number out of range"),
        (f"{{a:{Q}\ud800{Q}}}", "half of a surrogate pair"),
        ("{a:" + "[" * 64 + "]" * 64 + "}", "nested too deeply, more than 64 levels"),
        ("{} ok", "<tool_call|> is missing after the arguments"),
        ("{}}", "<tool_call|> is missing after the arguments"),
        ("(a=1)", "call:NAME{ is missing after <|tool_call>"),
        ("", "call:NAME{ is missing after <|tool_call>"),
    ],
)
def test_a_closed_block_that_is_no_call_is_reported(body: str, reason: str) -> None:
    text = call("f", body)
    parsed = FORMAT.parse(f"Hm. {text} So. {ONE}", TOOLS)
    assert parsed == Parsed((PARIS,), (Fragment(text, reason, 4),), content="Hm.  So.")


def test_the_deepest_value_is_read() -> None:
    body = "{a:" + "[" * 63 + "]" * 63 + "}"
    assert len(FORMAT.parse(call("f", body), TOOLS).calls) == 1


@pytest.mark.parametrize(
    "begun",
    ["{", "{a", "{a ", "{a:", "{a: ", "{a:1", "{a:-", "{a:1.", "{a:1e", "{a:1e-", "{a:tr", "{a:N", "{a:<", f"{{a:{Q}x",
     f"{{a:{Q}x<|", f"{{a:{Q}x{Q}", "{a:1,", "{a:1 ", "{a:[", "{a:[1", "{a:[1,", "{a:[]", "{a:{", "{a:{}"],
)  # fmt: skip
def test_a_cut_value_is_told_from_a_broken_one(begun: str) -> None:
    assert gemma_dict.read(begun, 0) == Broken("the arguments end early", unfinished=True)


@pytest.mark.parametrize("broken", ["{a:tx", "{a:-x", "{a:1.x", "{a:Nil", "{a:<x", "{a:1.5.", "{1:2,,", "{a:[}"])
def test_a_broken_value_is_told_from_a_cut_one(broken: str) -> None:
    found = gemma_dict.read(broken, 0)
    assert isinstance(found, Broken)
    assert not found.unfinished


# Reading answers


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        (ONE, Parsed((PARIS,))),
        (ONE + call("add", "{a:1}"), Parsed((PARIS, Call("add", {"a": 1})))),
        (f"Let me see.\n{ONE}\n", Parsed((PARIS,), content="Let me see.")),
        (f"<|channel>thought\nHm {ONE}\n<channel|>{ONE}", Parsed((PARIS,), reasoning=f"Hm {ONE}")),
        ("<|channel>thought\n<channel|>Just words.", Parsed(content="Just words.")),
        ("<|channel>thought\nHm", Parsed(reasoning="Hm", open_reasoning=True)),
        (f"<|channel>thought\nHm {ONE}", Parsed((PARIS,), reasoning="Hm")),
        (f"<|channel>thought<channel|>{ONE}", Parsed((PARIS,))),
        (f"<|channel><|channel>thought\nHm<channel|>{ONE}", Parsed((PARIS,), reasoning="Hm")),
        ("Just words.<|channel>thought\n<channel|><channel|>", Parsed(content="Just words.")),
        (f"{ONE}<channel|>", Parsed((PARIS,))),
        ("Just words: call me {a:1}", Parsed(content="Just words: call me {a:1}")),
        ("", Parsed()),
        (call("ns:tool", "{}"), Parsed((Call("ns:tool", {}),))),
        (call('say "hi" é', "{}"), Parsed((Call('say "hi" é', {}),))),
        (call("f", "{} \n"), Parsed((Call("f", {}),))),
    ],
)
def test_answers_are_read(text: str, parsed: Parsed) -> None:
    assert FORMAT.parse(text, TOOLS) == parsed


@pytest.mark.parametrize(
    "before", ["", "<channel|>", "<|channel>thought<channel|>", "<|channel><|channel>thought\nHm<channel|>"]
)
@pytest.mark.parametrize(
    "behind", ["", "<channel|>", "\n<|channel>thought\n<channel|>\n", "<|channel><channel|><channel|>"]
)
def test_channel_marks_around_an_envelope_say_nothing(before: str, behind: str) -> None:
    parsed = envelope(FORMAT).parse(f'{before}{{"calls": [], "reply": "a <channel|>"}}{behind}', TOOLS)
    assert parsed == Parsed(content="a <channel|>", reasoning="Hm" if "Hm" in before else "")


def test_reasoning_that_the_prompt_opened_is_split_off() -> None:
    assert FORMAT.parse(f"Hm.\n<channel|>{ONE}", TOOLS, reasoning_opened=True) == Parsed((PARIS,), reasoning="Hm.")


@pytest.mark.parametrize(
    "block",
    ["<|tool_call>f{}<tool_call|>", "<|tool_call>call:{}<tool_call|>", "<|tool_call>call: f{}<tool_call|>",
     "<|tool_call>call:f {}<tool_call|>", "<|tool_call>call:f\n{}<tool_call|>", "<|tool_call>{}<tool_call|>",
     "<|tool_call>call:f<tool_call|>", "<|tool_call><tool_call|>", "<|tool_call>call:f\ud800{}<tool_call|>"],
)  # fmt: skip
def test_a_block_without_a_clean_name_is_no_call(block: str) -> None:
    reason = "call:NAME{ is missing after <|tool_call>"
    assert FORMAT.parse(block, TOOLS) == Parsed(fragments=(Fragment(block, reason, 0),))


@pytest.mark.parametrize("cut", range(len("<|tool_call>"), len(ONE)))
def test_a_cut_block_is_open(cut: int) -> None:
    parsed = FORMAT.parse(ONE + ONE[:cut], TOOLS)
    assert parsed.calls == (PARIS,)
    assert [(fragment.text, fragment.position) for fragment in parsed.fragments] == [(ONE[:cut], len(ONE))]
    assert parsed.open_block


def test_a_block_that_is_not_closed_before_the_next_is_not_guessed() -> None:
    begun = ONE.removesuffix("<tool_call|>")
    parsed = FORMAT.parse(begun + ONE, TOOLS)
    assert parsed == Parsed((PARIS,), (Fragment(begun, "<tool_call|> is missing after the arguments", 0),))


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("call:f{a:1}", [("call:f{a:1}", "a call without <|tool_call>", 0)]),
        ("\n call:f{}<tool_call|>", [("call:f{}", "a call without <|tool_call>", 2),
                                     ("<tool_call|>", "<tool_call|> without <|tool_call>", 10)]),
        (ONE + "<tool_call|>", [("<tool_call|>", "<tool_call|> without <|tool_call>", len(ONE))]),
        ("<tool_call|> or <tool_call|>?", [("<tool_call|> or <tool_call|>", "<tool_call|> without <|tool_call>", 0)]),
        ("call:f{a:Paris}", []),
    ],
)  # fmt: skip
def test_what_looks_like_a_call_is_reported(text: str, fragments: list[tuple[str, str, int]]) -> None:
    found = FORMAT.parse(text, TOOLS).fragments
    assert [(fragment.text, fragment.reason, fragment.position) for fragment in found] == fragments


# Writing


@pytest.mark.parametrize(
    ("calls", "text"),
    [
        ([], ""),
        ([Call("get_weather", {"days": 2, "City": "Paris"})], ONE),
        ([PARIS, Call("add", {"a": 1})], ONE + "<|tool_call>call:add{a:1}<tool_call|>"),
        ([Call("f", {})], "<|tool_call>call:f{}<tool_call|>"),
        ([Call("f", {"b": [1, "x", None, True], "a": {"z": 1, "B": 2, "a": {}}})],
         f"<|tool_call>call:f{{a:{{a:{{}},B:2,z:1}},b:[1,{Q}x{Q},null,true]}}<tool_call|>"),
        ([Call("f", {"x": 1e-7, "y": 1e20, "z": 2.5})],
         "<|tool_call>call:f{x:0.0000001,y:100000000000000000000.0,z:2.5}<tool_call|>"),
        ([Call("get_weather", {"days": 2.0, "City": 'é "x" \\ \n😀', "at": {"y": 1, "X": 2}})],
         f"<|tool_call>call:get_weather{{at:{{X:2,y:1}},City:{Q}é \"x\" \\ \n😀{Q},days:2}}<tool_call|>"),
    ],
)  # fmt: skip
def test_calls_are_written_with_sorted_keys(calls: list[Call], text: str) -> None:
    assert FORMAT.write(calls, TOOLS) == text


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (Call("f", {"a": f"x{Q}y"}), 'f: a string contains <|"|>'),
        (Call("f", {"a": ["\0"]}), "f: a string contains a NUL character"),
        *(
            (Call("f", {"o": {key: 1}}), "cannot stand without quotes")
            for key in ("", "a:b", "a,b", "{", "]", 'a"b', "<x", " a", "a ", "a\nb", "a\0b")
        ),
        (Call("f", {"a": math.inf}), "f: inf is not a JSON value"),
        (Call("f", {"a": 10**5000}), "f: "),
        (Call("f", {"a": "\ud800"}), "f: half of a surrogate pair"),
        *((Call(name, {}), "the tool's name") for name in ("", " f", "f ", "a{b", "a<b", "a\nb")),
    ],
)
def test_what_cannot_be_written_is_refused(made: Call, reason: str) -> None:
    with pytest.raises(CannotCarry) as refused:
        FORMAT.write([made], TOOLS)
    assert reason in str(refused.value)


def test_a_value_that_is_too_deep_is_refused() -> None:
    deep: Any = 1
    for _ in range(64):
        deep = [deep]
    with pytest.raises(CannotCarry, match="nested too deeply"):
        FORMAT.write([Call("f", {"a": deep})], TOOLS)


KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4) | st.sampled_from(["a", "b c", "K"])
STRINGS = st.text(st.sampled_from('<|">{}[]:,ab \n\\é') | st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | STRINGS | st.just(f"a{Q},b:{Q}"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100)
@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_what_is_written_is_read_back_whatever_follows(arguments: dict[str, Any]) -> None:
    try:
        text = gemma_dict.write(arguments)
    except gemma_dict.Unwritable:
        return
    for behind in ("", "<tool_call|>", "}", ",a:1}", Q):
        assert gemma_dict.read(text + behind, 0) == Value(arguments, len(text))


@settings(max_examples=100)
@given(st.lists(st.sampled_from([Q, *"{}[]:,a1 -."]), max_size=12).map("".join))
def test_a_value_is_cut_exactly_where_more_text_could_complete_it(tail: str) -> None:
    """No text that was called broken becomes a value."""
    text = "{a:" + tail
    verdicts = [gemma_dict.read(text[:end], 0) for end in range(1, len(text) + 1)]
    for before, after in pairwise(verdicts):
        if isinstance(before, Broken) and not before.unfinished:
            assert isinstance(after, Broken) and not after.unfinished
        if isinstance(before, Value):
            assert after == before


# Constraining, watching, detecting


def test_the_grammar_names_each_tool_with_its_schema_in_the_templates_order() -> None:
    spec = FORMAT.constraint(TOOLS, required=False)
    assert spec.triggers == ("<|tool_call>",)
    match spec.root:
        case Seq((Marker("<|tool_call>"), Repeat(body, Marker("<|tool_call>"), 1, None))):
            pass
        case _:
            pytest.fail(f"unexpected root {spec.root}")
    match body:
        case Seq((Choice((Seq((Literal(first), QuotedDict(schema, quote))), Seq((Literal(second), _)))), Marker(end))):
            assert (first, second, quote, end) == ("call:get_weather", "call:add", Q, "<tool_call|>")
            assert list(schema["properties"]) == ["at", "City", "days"]
            assert schema["required"] == ["City", "days"]
        case _:
            pytest.fail(f"unexpected body {body}")


def test_a_required_call_begins_at_once_and_may_be_the_only_one() -> None:
    spec = FORMAT.constraint([ADD], required=True, several=False)
    assert spec.triggers == ()
    match spec.root:
        case Seq((Marker("<|tool_call>"), Repeat(maximum=1))):
            pass
        case _:
            pytest.fail(f"unexpected root {spec.root}")


def test_properties_are_sorted_at_every_level_and_values_that_are_named_too() -> None:
    schema = {
        "type": "object",
        "properties": {
            "b": {"$ref": "#/$defs/pair"},
            "A": {"enum": [{"y": 1, "x": [{"d": 1, "c": 2}]}, "s"]},
            "properties": {"items": {"anyOf": [{"properties": {"z": {}, "Y": {"const": {"b": 1, "a": 2}}}}]}},
        },
        "$defs": {"pair": {"type": "object", "properties": {"right": {}, "left": {}}, "required": ["right", "left"]}},
    }  # fmt: skip
    match FORMAT.constraint([Tool("f", "", schema)], required=True, several=False).root:
        case Seq((_, Repeat(Seq((Choice((Seq((_, QuotedDict(found))),)), _))))):
            assert validator(found).is_valid({"b": {"left": 1, "right": 2}, "A": {"x": [{"c": 2, "d": 1}], "y": 1}})
            assert list(found["properties"]) == ["A", "b", "properties"]
            assert [list(one) for one in found["properties"]["A"]["enum"][:1]] == [["x", "y"]]
            assert list(found["$defs"]["pair"]["properties"]) == ["left", "right"]
            (inner,) = found["properties"]["properties"]["items"]["anyOf"]
            assert list(inner["properties"]) == ["Y", "z"]
            assert list(inner["properties"]["Y"]["const"]) == ["a", "b"]
        case root:
            pytest.fail(f"unexpected root {root}")


@pytest.mark.parametrize("tools", [[], [Tool("a{b", "", {"type": "object"})]])
def test_tools_that_cannot_be_constrained_are_an_error(tools: list[Tool]) -> None:
    with pytest.raises(ConstraintError):
        FORMAT.constraint(tools, required=False)


@pytest.mark.parametrize(
    "text",
    [
        f"<|channel>thought\nHm {ONE}<channel|>Let me see. {ONE}{ONE}",
        f"<|tool_call>call:f{{a:x}}<tool_call|>{ONE}",
        f"call:f{{}}<tool_call|> {ONE}",
        call("f", f"{{a:{Q}<tool_call|>{Q},b:[{{}}]}}"),
    ],
)
def test_the_watcher_agrees_with_the_parser_at_every_prefix(text: str) -> None:
    watcher = FORMAT.watcher(TOOLS)
    known = False
    for end in range(1, len(text) + 1):
        watcher.feed(text[end - 1])
        calls = () if is_thinking(FORMAT, text[:end]) else FORMAT.parse(text[:end], TOOLS).calls
        assert watcher.call_complete == bool(calls), text[:end]
        assert watcher.name_known >= max(known, watcher.call_complete)
        known = watcher.name_known
    assert watcher.call_complete


def test_the_name_is_known_with_the_brace_behind_it() -> None:
    watcher = FORMAT.watcher(TOOLS)
    watcher.feed("<|tool_call>call:get_weather")
    assert not watcher.name_known
    watcher.feed("{City")
    assert watcher.name_known
    assert not watcher.call_complete


def test_the_signature_is_gemmas_own() -> None:
    assert FORMAT.signature.matches("{{- '<|tool_call>call:' + function['name'] + '{' -}}")
    assert not FORMAT.signature.matches("{{- '<tool_call>' }}{{ '<|channel|>commentary' }} <|tool_call|>")


HOSTILE = ("<|tool_call>", "<tool_call|>", "<|tool_call>call:f{", f"<|tool_call>call:f{{a:{Q}", f"{Q},{Q}",
           "<|tool_call>call:f{a:" + "[" * 70, "<|tool_call>call:f ", "call:f{", " ",
           "call:f{}<|tool_call>")  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
@pytest.mark.parametrize("begun", ["", "<|tool_call>call:f{a:[", f"<|tool_call>call:f{{a:{Q}", "<|tool_call>call:"])
def test_hostile_text_takes_linear_time(begun: str, piece: str) -> None:
    text = begun + piece * (250_000 // len(piece))
    started = time.process_time()
    FORMAT.parse(text, TOOLS)
    assert time.process_time() - started < 5
