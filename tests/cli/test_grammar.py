"""`toolgauge grammar`: the constraint's text, and what it says of an answer."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from gguf import TokenType

from bench.audit import trial
from bench.audit.trial import Trial, Tried, Verdict
from bench.cli.grammar import document
from bench.cli.main import main
from bench.report import markdown
from bench.shell import Exit
from engine.types import Tool
from tests.tiny_gguf import write_tiny_vocab

Captured = pytest.CaptureFixture[str]
WEATHER = Tool(
    "get_weather",
    "The weather.",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "unit": {"enum": ["celsius", "fahrenheit"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 16},
        },
        "required": ["city"],
        "additionalProperties": False,
    },
)
START = '<tool_call>\n{"name": "get_weather", "arguments": '
GOOD = START + '{"city": "Oslo"}}\n</tool_call>'
BACKENDS = ("llguidance", "gbnf", "outlines")


def judged(
    vocab: Path, answer: str, mode: str = "native.schema", backend: str = "llguidance", required: bool = False
) -> Tried:
    """As the command does it, in this process."""
    asked = Trial(vocab, "hermes", (WEATHER,), mode, backend, required, answer)
    return trial._try(asked, Path())


def verdict(vocab: Path, answer: str, mode: str = "native.schema", **more: object) -> Verdict:
    found = judged(vocab, answer, mode, **more).verdict  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("answer", "begins"),
    [
        (GOOD, 0),
        (f"{GOOD}\n{GOOD}", 0),
        (f"Let me look. {GOOD}", 13),
        (f"<think>hm</think>\n\n{GOOD}", 19),
        (f"<think>hm, {GOOD}", 11),  # the call ends reasoning
        ("<think>I use <tool_call> and", None),
        (f"{GOOD}<|im_end|>", 0),
        (GOOD.replace("Oslo", 'Osløo\\n\\"<tool_call>'), 0),
        ("It will rain.", None),
    ],
    ids=[
        "a call",
        "two",
        "prose before",
        "reasoning before",
        "reasoning not closed",
        "a mark in it",
        "its end",
        "hard text",
        "no call",
    ],
)
def test_what_is_accepted(answer: str, begins: int | None, backend: str, tiny_vocab: Path) -> None:
    found = verdict(tiny_vocab, answer, backend=backend)
    assert (found.accepted, found.begins, found.stopped) == (True, begins, None)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("answer", "stopped", "next_"),
    [
        (START + '{"city": "Oslo", "unit": "kelvin"}}\n</tool_call>', "kelvin", "celsius"),
        (START + '{"city":"Oslo"}}\n</tool_call>', '"Oslo"', " "),
        (START.replace("get_weather", "get_news"), "news", "weather"),
        (START + '{"city": "Oslo", "days": 17}}\n</tool_call>', "7}}", "6"),
        (f"Hm. {START}{{}}}}\n</tool_call>", "}}", '"'),
    ],
    ids=["enum", "spaces", "name", "bound", "required"],
)
def test_what_is_refused_is_refused_at_its_character(
    answer: str, stopped: str, next_: str, backend: str, tiny_vocab: Path
) -> None:
    found = verdict(tiny_vocab, answer, backend=backend)
    assert not found.accepted
    assert found.stopped is not None
    assert answer[found.stopped :].startswith(stopped)
    assert any(next_.startswith(text) or text.startswith(next_) for text in found.allowed), found.allowed


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_answer_that_ends_early_stops_at_its_end(backend: str, tiny_vocab: Path) -> None:
    cut = GOOD[:-5]
    found = verdict(tiny_vocab, cut, backend=backend)
    assert (found.accepted, found.stopped, found.may_end) == (False, len(cut), False)
    assert found.allowed


@pytest.mark.parametrize(
    ("mode", "answer", "accepted"),
    [
        ("json.schema", '{"calls": [], "reply": "Hello"}', True),
        ("json.schema", '{"calls": [{"name": "get_weather", "arguments": {"city": "x"}}], "reply": ""}', True),
        ("json.schema", '{"calls": [{"name": "get_weather", "arguments": {}}], "reply": ""}', False),
        ("json.schema", '<think>hm</think> {"calls": [], "reply": ""}', True),
        ("json.syntax", '{"anything": [1, {"x": null}]}', True),
        ("json.syntax", "[1]", False),
    ],
)
def test_the_json_modes(mode: str, answer: str, accepted: bool, tiny_vocab: Path) -> None:
    assert verdict(tiny_vocab, answer, mode).accepted == accepted


def test_a_required_call_leaves_no_room_for_prose(tiny_vocab: Path) -> None:
    assert verdict(tiny_vocab, "It will rain.").accepted
    refused = verdict(tiny_vocab, "It will rain.", required=True)
    assert (refused.accepted, refused.begins, refused.stopped) == (False, 0, 0)
    assert refused.allowed == ("<tool_call>",)
    assert verdict(tiny_vocab, f"hm</think>\n{GOOD}", required=True).accepted  # the prompt has opened reasoning


CLOSED = '<tool_call>\n{"name": "get_weather", "arguments": {"town": "it ends with </think>"}}\n</tool_call>'


@pytest.mark.parametrize(
    ("mode", "answer"),
    [
        ("native.schema", CLOSED),
        ("native.schema", f"Let me see. {CLOSED}"),
        ("json.schema", '{"calls": [], "reply": "it ends with </think>", "more": 1}'),
        ("json.syntax", '{"reply": "it ends with </think>",}'),
    ],
)
def test_a_mark_within_an_answer_closes_no_reasoning(mode: str, answer: str, tiny_vocab: Path) -> None:
    found = judged(tiny_vocab, answer, mode)
    assert found.verdict and found.reading
    assert not found.verdict.accepted
    assert found.reading.reasoning == ""


def test_the_end_of_a_message_closes_no_reasoning(tiny_vocab: Path) -> None:
    """gpt-oss: a preamble, and a call to a tool that nobody offered."""
    call = '<|start|>assistant to=functions.get_news<|channel|>commentary json<|message|>{"city": "Oslo"}'
    asked = Trial(
        tiny_vocab,
        "harmony",
        (WEATHER,),
        "native.schema",
        "gbnf",
        answer=f"<|channel|>commentary<|message|>I look it up.<|end|>{call}",
    )
    found = trial._try(asked, Path())
    assert found.verdict and found.reading
    assert (found.reading.reasoning, found.reading.content) == ("", "I look it up.")
    assert not found.verdict.accepted


def test_an_answer_may_end_with_a_token_that_only_its_format_ends_at(tmp_path: Path) -> None:
    """GLM's, where the file does not say that generation ends there."""
    vocab = write_tiny_vocab(tmp_path / "vocab.gguf", more={"<|observation|>": TokenType.CONTROL})
    call = "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Oslo</arg_value></tool_call>"
    for end in ("<|observation|>", "<|im_end|>", ""):
        asked = Trial(vocab, "glm_xml", (WEATHER,), "native.schema", "gbnf", answer=call + end)
        found = trial._try(asked, Path())
        assert found.verdict is not None
        assert found.verdict.accepted, end


def test_text_behind_the_end_is_refused_where_it_begins(tiny_vocab: Path) -> None:
    found = verdict(tiny_vocab, '{"a": 1} and more', "json.syntax")
    assert (found.stopped, found.may_end, found.allowed) == (8, True, ())


def test_the_parser_reads_beside_the_grammar(tiny_vocab: Path) -> None:
    found = judged(tiny_vocab, START + '{"city": "Oslo", "unit": "kelvin"}}\n</tool_call>')
    assert found.reading is not None
    assert [call.arguments for call in found.reading.calls] == [{"city": "Oslo", "unit": "kelvin"}]
    assert found.violations == (frozenset({"not_in_enum"}),)


def test_the_page_points_at_the_character(tiny_vocab: Path) -> None:
    answer = START + '{"city": "Oslo", "unit": "kelvin"}}\n</tool_call>'
    text = markdown.render(document(judged(tiny_vocab, answer), answer))
    assert f"it stopped at character {answer.index('kelvin')}" in text
    line, mark = text.split("```\n")[1].splitlines()
    assert line[mark.index("^") :].startswith("kelvin")
    assert '"c", "f"' in text  # the tokens of this vocabulary with which the values begin
    assert 'call get_weather({"city": "Oslo", "unit": "kelvin"}): not in enum' in text


def test_the_page_says_that_another_spelling_is_valid_all_the_same(tiny_vocab: Path) -> None:
    answer = GOOD.replace('"city": ', '"city":')
    text = markdown.render(document(judged(tiny_vocab, answer), answer))
    assert "Valid all the same" in text
    for other in (GOOD, f"{GOOD}\nDone.", f"{GOOD}  {GOOD}"):  # accepted, or refused for what is no value
        assert "Valid all the same" not in markdown.render(document(judged(tiny_vocab, other), other))


# The command


def test_the_grammar_alone_is_on_standard_output(tiny_vocab: Path, tmp_path: Path, capsys: Captured) -> None:
    tools = tmp_path / "tools.json"
    tools.write_text(json.dumps([{"name": "add", "parameters": {"type": "object", "properties": {}}}]))
    command = ["grammar", str(tiny_vocab), "--tools", str(tools), "--backend", "gbnf"]
    assert main(command) == Exit.OK
    captured = capsys.readouterr()
    assert captured.out.startswith("root ::= ")
    assert "add" in captured.out
    assert "begins with '<tool_call>'" in captured.err


@pytest.mark.parametrize(("answer", "code"), [(GOOD, Exit.OK), (GOOD[:-1], Exit.ERRORED_ITEMS)])
def test_an_answer_from_a_file_decides_the_exit_code(
    answer: str, code: Exit, tiny_vocab: Path, tmp_path: Path, capsys: Captured
) -> None:
    path = tmp_path / "answer.txt"
    path.write_text(f"{answer}\n")
    assert main(["grammar", str(tiny_vocab), "--answer-file", str(path), "--json"]) == code
    values = json.loads(capsys.readouterr().out)
    assert values["verdict"]["accepted"] == (code == Exit.OK)
    assert values["mode"] == "native.schema"
    assert values["markers"]["<tool_call>"] > 0
    assert "get_weather" in values["grammar"]


def test_an_answer_from_standard_input(tiny_vocab: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{GOOD}\n"))
    assert main(["grammar", str(tiny_vocab), "--answer-file", "-"]) == Exit.OK
    assert capsys.readouterr().out.startswith("Accepted.\n")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--mode", "native.free"], "native.free has no grammar, its answers are free; choose one of: native.schema"),
        (["--mode", "wild"], "unknown mode 'wild'; choose one of: native.schema, json.syntax, json.schema"),
        (["--backend", "magic"], "unknown constraint backend 'magic'"),
        (["--format", "wild"], "there is no format 'wild'; choose one of: "),
        (["--format", "json"], "'json' is not a model's own format"),
        (["--tools", "none.json"], "cannot read none.json"),
        (["--tools", "broken.json"], "broken.json is not JSON"),
        (["--tools", "unique.json"], "the llguidance backend cannot express 'uniqueItems'"),
        (["--answer", "a", "--answer-file", "b"], "--answer and --answer-file both give the answer"),
        (["--answer-file", "none.txt"], "cannot read the answer none.txt: no such file or directory"),
        (["--chat-template", "none.jinja"], "cannot read the chat template none.jinja"),
        (["--chat-template", "strange.jinja"], "in a format that toolgauge does not recognise; name the format with"),
    ],
)
def test_mistakes_are_one_sentence_and_code_two(
    flags: list[str], sentence: str, tiny_vocab: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.json").write_text("[{")
    (tmp_path / "strange.jinja").write_text("{{ messages }}")
    unique = {"type": "object", "properties": {"x": {"type": "array", "uniqueItems": True}}}
    (tmp_path / "unique.json").write_text(json.dumps([{"name": "pick", "parameters": unique}]))
    assert main(["grammar", str(tiny_vocab), *flags]) == Exit.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert sentence in captured.err


def test_what_is_no_model_is_a_sentence(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "text.gguf"
    path.write_text("a model, I think\n" * 10)
    assert main(["grammar", str(path)]) == Exit.USAGE
    assert "is not a GGUF file" in capsys.readouterr().err
