"""The families whose calls are plain JSON: each knows its template, writes as it does, and reads long texts in time.

xLAM's and Hammer's templates are not at hand; theirs is told by sentences of the prompts that they are published with.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from engine.formats import get
from engine.template import ChatTemplate
from engine.turns import native_messages
from engine.types import Message, Parsed
from tests.engine.formats.prefixes import ADDED, ODD, PINGED, TOOLS

MAKERS = {
    "mistral_json": "mistralai-Mistral-Nemo-Instruct-2407",
    "mistral_args_id": "Mistral-Small-3.2-24B-Instruct-2506",
    "mistral_args": "mistralai-Ministral-3-14B-Reasoning-2512",
    "nemotron_json": "NVIDIA-Nemotron-Nano-v2",
    "deepseek_v31": "deepseek-ai-DeepSeek-V3.1",
    "llama3_json": "meta-llama-Llama-3.1-8B-Instruct",
}
FAMILIES = (*MAKERS, "json_list")


@pytest.mark.parametrize(
    ("template", "family"),
    [
        ("{{ '[TOOL_CALLS][' + call | tojson }}", "mistral_json"),
        ("{{ '[TOOL_CALLS]' + name + '[ARGS]' + arguments }}", "mistral_args"),
        ("{{ '[TOOL_CALLS]' + name + '[CALL_ID]' + id + '[ARGS]' + arguments }}", "mistral_args_id"),
        ("{{ '<TOOLCALL>[' + calls + ']</TOOLCALL>' }}", "nemotron_json"),
        ("{{ '<｜tool▁call▁begin｜>' + name + '<｜tool▁sep｜>' + arguments }}", "deepseek_v31"),
        ("{{ '<｜tool▁call▁begin｜>function<｜tool▁sep｜>' + name + '\\n```json\\n' + arguments }}", None),
        ('format {"name": function name, "parameters": dictionary of argument name and its value}.', "llama3_json"),
        ("When using tools, make calls in a single JSON array: ", "json_list"),
        ("If no function call is needed, please directly output an empty list '[]'", "json_list"),
        ('<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>', None),
        ("", None),
    ],
)
def test_a_signature_is_of_one_family(template: str, family: str | None) -> None:
    assert [each for each in FAMILIES if get(each).signature.matches(template)] == ([family] if family else [])


@pytest.mark.real
@pytest.mark.parametrize("family", FAMILIES)
def test_a_signature_matches_the_makers_template_and_no_other(family: str, real_data: Path) -> None:
    signature = get(family).signature
    paths = sorted((real_data / "templates").glob("*.jinja"))
    assert paths
    found = [path.stem for path in paths if signature.matches(path.read_text(encoding="utf-8"))]
    assert found == ([MAKERS[family]] if family in MAKERS else [])


@pytest.mark.real
@pytest.mark.parametrize("family", MAKERS)
def test_what_is_written_is_byte_for_byte_what_the_template_renders(family: str, real_data: Path) -> None:
    fmt = get(family)
    template = ChatTemplate((real_data / "templates" / f"{MAKERS[family]}.jinja").read_text(encoding="utf-8"))
    for calls in ([ADDED], [PINGED], [ODD], [PINGED, ADDED, ODD])[: 3 if fmt.max_calls == 1 else 4]:
        turns = native_messages([Message("user", "Hello."), Message("assistant", calls=tuple(calls))])
        text = template.render(
            messages=list(turns), tools=None, add_generation_prompt=False, bos_token="", eos_token="</s>"
        )
        expected = fmt.write(calls, ())  # no schema, so the order is that of the arguments
        before, found, after = text.rpartition(expected)
        assert found, (expected, text)
        assert before.count(fmt.markers[0]) == 0
        assert after.strip() in ("</s>", "<SPECIAL_12>", "<｜end▁of▁sentence｜>", "<|eot_id|>")


@pytest.mark.parametrize("family", (*FAMILIES, "hermes"))
@pytest.mark.parametrize(
    "broken",
    [
        '{"name": "f", "KEY": {"city": "Oslo",}}',
        '{"name": "f", "KEY": {"city": "Oslo"}',
        "{'name': 'f', 'KEY': {'city': 'Oslo'}}",
        '{"name": "f", "KEY": {"city": "Oslo",}}\n{"name": "f", "KEY": {"city": "Rome"}}',
    ],
)
def test_a_broken_call_in_prose_is_reported(family: str, broken: str) -> None:
    key = "parameters" if family == "llama3_json" else "arguments"
    broken = broken.replace("KEY", key)
    person = '{"name": "Bob", "age": 3,}'
    for before in ("Sure:\n", f"Of {person}: "):
        parsed = get(family).parse(f"{before}{broken}\nDone.", TOOLS)
        assert [(each.text, each.position) for each in parsed.fragments] == [(f"{broken}\nDone.", len(before))]
        assert parsed.fragments[0].reason.startswith("a call that cannot be read: ")
        assert parsed.calls == ()


@pytest.mark.parametrize("family", (*FAMILIES, "hermes"))
def test_a_broken_object_before_a_whole_call_in_prose_does_not_make_that_unreadable(family: str) -> None:
    key = "parameters" if family == "llama3_json" else "arguments"
    call = f'{{"name": "f", "{key}": {{"city": "Oslo"}}}}'
    (found,) = get(family).parse(f"I saw {{'name': 'Bob'}}.\n{call}", TOOLS).fragments
    assert found.text == call
    assert "cannot be read" not in found.reason


@pytest.mark.parametrize("family", (*FAMILIES, "hermes"))
@pytest.mark.parametrize("text", ['{"name": "Bob", "age": 3,}', "{'name': 'Bob', 'age': 3}", '{"name": "f", '])
def test_a_broken_object_in_prose_that_is_no_call_is_prose(family: str, text: str) -> None:
    assert get(family).parse(f"So: {text}", TOOLS) == Parsed(content=f"So: {text}".strip())


@pytest.mark.parametrize("family", FAMILIES)
def test_many_beginnings_of_calls_take_linear_time(family: str) -> None:
    fmt = get(family)
    call = fmt.write([ADDED], TOOLS)
    pieces = {
        *fmt.markers,
        '[{"name": "a", ',
        "{'name': 'a', ",
        '{"name": {',
        '{"name": "a", "arguments": {}} ',
        '{"',
        "[1] ",
        "[]",
    }
    pieces |= {f"{first}{middle}{last}" for first in fmt.markers for middle in ("", "a") for last in ('{"', '["', "{}")}
    pieces |= {call, call[:-1], call[: len(call) // 2]}
    begin = time.process_time()
    for piece in pieces:
        fmt.parse(piece * (100_000 // len(piece)) + "\U0001f600", TOOLS)
    assert time.process_time() - begin < 0.5 * len(pieces)
