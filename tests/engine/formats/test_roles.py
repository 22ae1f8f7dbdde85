"""The role of each character of an answer, drawn under it; and that it can be told for whatever a format can write."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from engine.formats import ENVELOPE, FORMATS, NATIVE
from engine.formats.protocol import CannotCarry, ToolFormat
from engine.formats.roles import RolesUnknown, TokenRole, roles, token_roles
from engine.types import Call, Tool
from grammars.schema import normalise_parameters
from tests.engine.formats.drawing import Conversation, hostile, plain, wild

LETTERS = {"m": "marker", "N": "name", "k": "key", "v": "value", ".": "punctuation", "o": "other"}
FEW = settings(max_examples=25, suppress_health_check=list(HealthCheck))


def tool(name: str, /, **properties: Any) -> Tool:
    return Tool(name, "", normalise_parameters({"type": "object", "properties": properties}))


WEATHER = tool("get_weather", city={"type": "string"}, days={"type": "integer"})
CALL = Call("get_weather", {"city": "Rome", "days": 2})
# Each answer, and below each character the letter of its role; "/" stands for a line break in both.
DRAWN = {
    "hermes": (
        '<tool_call>/{"name": "get_weather", "arguments": {"city": "Rome", "days": 2}}/</tool_call>',
        "mmmmmmmmmmm...mmmm....NNNNNNNNNNN....mmmmmmmmm.....kkkk....vvvv....kkkk...v...mmmmmmmmmmmm",
    ),
    "qwen_xml": (
        "<tool_call>/<function=get_weather>/<parameter=city>/Rome/</parameter>/<parameter=days>/2/</parameter>/"
        "</function>/</tool_call>",
        "mmmmmmmmmmm.mmmmmmmmmmNNNNNNNNNNNm.mmmmmmmmmmmkkkkm.vvvv.mmmmmmmmmmmm.mmmmmmmmmmmkkkkm.v.mmmmmmmmmmmm."
        "mmmmmmmmmmm.mmmmmmmmmmmm",
    ),
    "glm_xml": (
        "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Rome</arg_value>"
        "<arg_key>days</arg_key><arg_value>2</arg_value></tool_call>",
        "mmmmmmmmmmmNNNNNNNNNNNmmmmmmmmmkkkkmmmmmmmmmmmmmmmmmmmmmvvvvmmmmmmmmmmmm"
        "mmmmmmmmmkkkkmmmmmmmmmmmmmmmmmmmmmvmmmmmmmmmmmmmmmmmmmmmmmm",
    ),
    "deepseek_dsml": (
        '//<｜DSML｜function_calls>/<｜DSML｜invoke name="get_weather">/'
        '<｜DSML｜parameter name="city" string="true">Rome</｜DSML｜parameter>/'
        '<｜DSML｜parameter name="days" string="false">2</｜DSML｜parameter>/</｜DSML｜invoke>/'
        "</｜DSML｜function_calls>",
        "..mmmmmmmmmmmmmmmmmmmmmm.mmmmmmmmmmmmmmmmmmmmNNNNNNNNNNNmm."
        "mmmmmmmmmmmmmmmmmmmmmmmkkkkmmmmmmmmmmmmmmmmvvvvmmmmmmmmmmmmmmmmmm."
        "mmmmmmmmmmmmmmmmmmmmmmmkkkkmmmmmmmmmmmmmmmmmvmmmmmmmmmmmmmmmmmm.mmmmmmmmmmmmmmm.mmmmmmmmmmmmmmmmmmmmmmm",
    ),
    "harmony": (
        ' to=functions.get_weather<|channel|>commentary json<|message|>{"city": "Rome", "days": 2}',
        ".mmmmmmmmmmmmmNNNNNNNNNNNmmmmmmmmmmmmmmmmmmmmm.mmmmmmmmmmmmmmm..kkkk....vvvv....kkkk...v.",
    ),
    "gemma4": (
        '<|tool_call>call:get_weather{city:<|"|>Rome<|"|>,days:2}<tool_call|>',
        "mmmmmmmmmmmmmmmm.NNNNNNNNNNN.kkkk......vvvv......kkkk.v.mmmmmmmmmmmm",
    ),
    "mistral_json": (
        '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Rome", "days": 2}, "id": "5feceb66f"}]',
        "mmmmmmmmmmmm...mmmm....NNNNNNNNNNN....mmmmmmmmm.....kkkk....vvvv....kkkk...v....mm....ooooooooo...",
    ),
    "mistral_args_id": (
        '[TOOL_CALLS]get_weather[CALL_ID]5feceb66f[ARGS]{"city": "Rome", "days": 2}',
        "mmmmmmmmmmmmNNNNNNNNNNNmmmmmmmmmooooooooommmmmm..kkkk....vvvv....kkkk...v.",
    ),
    "mistral_args": (
        '[TOOL_CALLS]get_weather[ARGS]{"city": "Rome", "days": 2}',
        "mmmmmmmmmmmmNNNNNNNNNNNmmmmmm..kkkk....vvvv....kkkk...v.",
    ),
    "nemotron_json": (
        '<TOOLCALL>[{"name": "get_weather", "arguments": {"city": "Rome", "days": 2}}]</TOOLCALL>',
        "mmmmmmmmmm...mmmm....NNNNNNNNNNN....mmmmmmmmm.....kkkk....vvvv....kkkk...v...mmmmmmmmmmm",
    ),
    "deepseek_v31": (
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>"
        '{"city": "Rome", "days": 2}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
        "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmNNNNNNNNNNNmmmmmmmmmmmm"
        "..kkkk....vvvv....kkkk...v.mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm",
    ),
    "llama3_json": (
        '{"name": "get_weather", "parameters": {"city": "Rome", "days": 2}}',
        "..mmmm....NNNNNNNNNNN....mmmmmmmmmm.....kkkk....vvvv....kkkk...v..",
    ),
    "json_list": (
        '[{"name": "get_weather", "arguments": {"city": "Rome", "days": 2}}]',
        "...mmmm....NNNNNNNNNNN....mmmmmmmmm.....kkkk....vvvv....kkkk...v...",
    ),
    "json": (
        '{"calls": [{"name": "get_weather", "arguments": {"city": "Rome", "days": 2}}], "reply": ""}',
        "..mmmmm......mmmm....NNNNNNNNNNN....mmmmmmmmm.....kkkk....vvvv....kkkk...v......mmmmm......",
    ),
}


def drawn(text: str, fmt: ToolFormat, *tools: Tool) -> str:
    letter_of = {role: letter for letter, role in LETTERS.items()}
    return "".join(letter_of[role] for role in roles(text, fmt, tools))


def test_every_format_is_drawn() -> None:
    assert set(DRAWN) == set(FORMATS)


@pytest.mark.parametrize("format_id", DRAWN)
def test_each_character_has_the_role_that_is_drawn_below_it(format_id: str) -> None:
    fmt = FORMATS[format_id]
    text, letters = DRAWN[format_id]
    written = fmt.write([CALL], [WEATHER])
    assert written == text.replace("</", "\0").replace("/", "\n").replace("\0", "</")
    assert drawn(written, fmt, WEATHER) == letters


def test_another_family_s_frame_around_the_envelope_is_a_marker() -> None:
    from engine.formats import envelope

    fmt = envelope(NATIVE["harmony"])
    text = fmt.write([CALL], [WEATHER])
    head = "<|channel|>final<|message|>"
    assert text == head + ENVELOPE.write([CALL], [WEATHER])
    assert drawn(text, fmt, WEATHER) == "m" * len(head) + DRAWN["json"][1]


NESTED = tool("f", o={"type": "object", "properties": {"a": {"type": "array", "items": {}}, "b": {"type": "boolean"}}})
DEEP = Call("f", {"o": {"a": ["x", -1.5, None], "b": True}})


@pytest.mark.parametrize(
    ("format_id", "text", "letters"),
    [
        ("harmony", '{"o": {"a": ["x", -1.5, null], "b": true}}', "..k.....k.....v...vvvv..vvvv....k...vvvv.."),
        ("qwen_xml", '{"a": ["x", -1.5, null], "b": true}', "..k.....v...vvvv..vvvv....k...vvvv."),
        ("gemma4", '{o:{a:[<|"|>x<|"|>,-1.5,null],b:true}}', ".k..k.......v......vvvv.vvvv..k.vvvv.."),
    ],
)
def test_keys_and_values_within_values_are_told_apart(format_id: str, text: str, letters: str) -> None:
    fmt = FORMATS[format_id]
    written = fmt.write([DEEP], [NESTED])
    start = written.index(text)
    assert drawn(written, fmt, NESTED)[start : start + len(text)] == letters


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=lambda fmt: fmt.id)
@pytest.mark.parametrize(
    "word", ["name", "arguments", "id", "function", "parameter", "call", "json", "string", "reply"]
)
def test_a_name_key_or_value_may_be_a_word_of_the_format(fmt: ToolFormat, word: str) -> None:
    same = tool(word, **{word: {"type": "string"}, "zone": {"type": "string"}})
    calls = [Call(word, {word: word, "zone": f"{word}: {word}"})] * min(2, fmt.max_calls or 2)
    text = fmt.write(calls, [same])
    letters = drawn(text, fmt, same)
    for letter, expected in (("N", word), ("k", word + "zone"), ("v", word + f"{word}: {word}")):
        found = "".join(character for character, role in zip(text, letters, strict=True) if role == letter)
        assert found == expected * len(calls)


def checked(fmt: ToolFormat, drawn_calls: Conversation) -> bool:
    """Whether the format can carry the calls; that names are where they are said to be."""
    tools, calls = drawn_calls
    calls = calls[: fmt.max_calls]
    try:
        text = fmt.write(calls, tools)
    except CannotCarry:
        return False
    found = roles(text, fmt, tools)
    assert len(found) == len(text)
    names = "".join(char for char, role in zip(text, found, strict=True) if role is TokenRole.NAME)
    if all(call.name.isascii() and '"' not in call.name for call in calls):
        assert names == "".join(call.name for call in calls)
    keys = "".join(char for char, role in zip(text, found, strict=True) if role is TokenRole.KEY)
    assert all(key in keys for call in calls for key in call.arguments if key.isidentifier())
    return True


@FEW
@given(conversation=plain())
def test_plain_calls_have_roles_in_every_format(conversation: Conversation) -> None:
    assert any([checked(fmt, conversation) for fmt in FORMATS.values()])


@FEW
@given(conversation=hostile())
def test_calls_full_of_markers_have_roles_in_every_format(conversation: Conversation) -> None:
    for fmt in FORMATS.values():
        checked(fmt, conversation)


@FEW
@given(conversation=wild())
def test_calls_under_any_schema_have_roles_in_every_format(conversation: Conversation) -> None:
    for fmt in FORMATS.values():
        checked(fmt, conversation)


def test_an_answer_that_the_format_writes_otherwise_is_an_error() -> None:
    with pytest.raises(RolesUnknown):
        roles('<tool_call>\n{"arguments": {}, "name": "f"}\n</tool_call>', FORMATS["hermes"], ())
    with pytest.raises(RolesUnknown):
        roles(FORMATS["hermes"].write([CALL], [WEATHER]) + "\nOf course.", FORMATS["hermes"], [WEATHER])


@pytest.mark.parametrize(
    ("pieces", "letters"),
    [
        (['{"', "city", '":', ' "', "Rö", "me", '"}'], ".k..vv."),
        (['{"city', '": "', "Röme", '"}'], "..v."),
        (['{"', "city", '": ', '"Röme"}'], ".k.."),
        (['{"', "", "city", '":', " ", '"', "Röme", '"', "}"], ".ok...v.."),
    ],
)
def test_a_token_has_the_role_of_its_first_character_that_is_no_white_space(pieces: list[str], letters: str) -> None:
    text = '{"city": "Röme"}'
    found = tuple(TokenRole(LETTERS[letter]) for letter in "..kkkk....vvvv..")
    got = token_roles([piece.encode() for piece in pieces], found, text)
    assert [role.value for role in got] == [LETTERS[letter] for letter in letters]


def test_white_space_gives_way_to_the_word_behind_it_and_half_a_character_counts_as_the_whole() -> None:
    found = tuple(TokenRole(LETTERS[letter]) for letter in ".v.v")
    half = "ö".encode()
    assert token_roles([b" " + half[:1], half[1:], b" \nx"], found[:2] + found[2:3] * 2 + found[3:], " ö \nx") == (
        TokenRole.VALUE,
        TokenRole.VALUE,
        TokenRole.VALUE,
    )
    assert token_roles([b" ", b"x"], found[:2], " x") == (TokenRole.PUNCTUATION, TokenRole.VALUE)


def test_tokens_that_write_another_text_are_refused() -> None:
    with pytest.raises(ValueError, match="do not write"):
        token_roles([b"x"], (TokenRole.VALUE,), "y")
