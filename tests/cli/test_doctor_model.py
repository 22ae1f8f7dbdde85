"""`toolgauge doctor MODEL`: do a model's template, format and vocabulary fit together?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gguf import TokenType

from bench.cli.doctor import model_document
from bench.cli.main import main
from bench.doctor import checkup
from bench.doctor.checkup import Examined, Look, Reasons, look_at
from bench.doctor.diagnosis import diagnose
from bench.doctor.machine import Check, usable
from bench.report import markdown
from bench.shell import Exit
from tests.tiny_gguf import CHAT_TEMPLATE, write_tiny_model

Captured = pytest.CaptureFixture[str]
# The tiny model's template with calls as XML: what a wrong --format, or a wrong template in a file, looks like.
XML_CALLS = CHAT_TEMPLATE.replace('{"name": "', "<function=").replace('", "arguments": ', ">")
REASONING = CHAT_TEMPLATE.replace(
    "<|im_start|>assistant\\n' }}{% endif %}",
    "<|im_start|>assistant\\n' }}{% if enable_thinking is defined and not enable_thinking %}"
    "{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{% endif %}",
)


def examined(look: Look) -> Examined:
    """As the command does it, in this process."""
    return checkup._examine(look.path, look.template, look.format_id, Path())


def checks_of(model: Path, template: str | None = None, format_id: str | None = None) -> dict[str, Check]:
    given = None
    if template is not None:
        given = model.with_suffix(".jinja")
        given.write_text(template)
    look = look_at(str(model), format_id=format_id, chat_template=given)
    return {check.name: check for check in diagnose(look, examined(look))}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny-F16.gguf")


def test_a_model_in_which_everything_fits(model: Path) -> None:
    checks = checks_of(model)
    assert usable(list(checks.values()))
    assert "qwen3, F16" in checks["file"].detail
    assert "the file's own, " in checks["chat template"].detail
    assert "hermes, because the chat template has <tool_call> and arguments" in checks["format"].detail
    assert checks["markers"].detail == "<tool_call> (user-defined), </tool_call> (user-defined)"
    assert checks["BOS, EOS"].detail.startswith("none; <|im_end|> (")
    assert "<|im_end|>" in checks["answers end at"].detail
    assert checks["reasoning"].detail == "none"
    assert checks["self-check"].state == "ok"


def test_the_tokens_at_which_only_the_format_ends_an_answer_are_listed(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny-F16.gguf", more={"<|observation|>": TokenType.CONTROL})
    assert "<|observation|>" in checks_of(path, format_id="glm_xml")["answers end at"].detail
    assert "<|observation|>" not in checks_of(path)["answers end at"].detail


def test_how_a_model_reasons_is_found_out_by_rendering(model: Path) -> None:
    assert REASONING != CHAT_TEMPLATE
    found = checks_of(model, REASONING)["reasoning"]
    assert found.detail == "between <think> ... </think>: the model may open it; --thinking off: none"


@pytest.mark.parametrize(
    ("states", "text"),
    [
        (("none", "none", "none"), "none"),
        (("opened", "opened", "opened"), "between <think> ... </think>: the prompt opens it"),
        (("opened", "opened", "none"), "between <think> ... </think>: the prompt opens it; --thinking off: none"),
        (("none", "possible", "none"), "between <think> ... </think>: none; --thinking on: the model may open it"),
    ],
)
def test_the_line_about_reasoning(states: tuple[Any, ...], text: str, model: Path) -> None:
    look = look_at(str(model))
    names: tuple[Any, ...] = ("auto", "on", "off")
    reasons = tuple(Reasons(name, state) for name, state in zip(names, states, strict=True))
    found = Examined(examined(look).tokens, reasons, ())
    assert {check.name: check for check in diagnose(look, found)}["reasoning"].detail == text


def test_a_template_that_writes_calls_otherwise_is_a_failure_with_both_texts(model: Path) -> None:
    given = model.with_suffix(".jinja")
    given.write_text(XML_CALLS)
    look = look_at(str(model), format_id="hermes", chat_template=given)
    found = examined(look)
    checks = diagnose(look, found)
    states = {check.name: check.state for check in checks}
    assert (states["call-text-differs"], states["does-not-parse-back"], states["format"]) == ("fail", "fail", "fail")
    text = markdown.render(model_document(look.name, checks, found.findings))
    assert text.count("<function=get_weather>") == 1  # the same texts are not shown for each finding
    assert text.index("**the chat template writes**") < text.index("**the format writes**")
    assert '{"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}' in text
    assert "may be the plumbing, not the model" in text


def test_a_result_that_is_not_shown_is_a_failure(model: Path) -> None:
    silent = CHAT_TEMPLATE.replace("message.content\n + '\\n</tool_response>", "'\\n</tool_response>")
    assert silent != CHAT_TEMPLATE
    assert checks_of(model, silent)["result-not-shown"].state == "fail"


def test_a_model_without_a_template_or_with_a_strange_one_says_what_to_give(tmp_path: Path) -> None:
    bare = write_tiny_model(tmp_path / "bare.gguf", chat_template=None)
    checks = checks_of(bare)
    assert (checks["chat template"].state, checks["format"].state) == ("fail", "fail")
    assert "--chat-template" in checks["chat template"].fix
    strange = checks_of(bare, "{{ messages[0].content }}")
    assert (strange["chat template"].state, strange["format"].state) == ("ok", "fail")
    assert "--format ID" in strange["format"].fix


def test_a_format_named_by_a_person_is_held_against_the_template(model: Path) -> None:
    checks = checks_of(model, format_id="gemma4")
    assert checks["format"].detail == "--format says gemma4, and the chat template looks like hermes."
    assert checks["markers"].state == "note"
    assert "no token of its own" in checks["markers"].detail


# The command


def test_the_page_and_the_exit_code(model: Path, capsys: Captured) -> None:
    assert main(["doctor", str(model)]) == Exit.OK
    text = capsys.readouterr().out
    assert text.startswith("## tiny-F16\n")
    assert "Its calls are read as it writes them." in text


def test_what_disagrees_is_code_one_and_in_the_json(model: Path, tmp_path: Path, capsys: Captured) -> None:
    template = tmp_path / "xml.jinja"
    template.write_text(XML_CALLS)
    command = ["doctor", str(model), "--format", "hermes", "--chat-template", str(template), "--json"]
    assert main(command) == Exit.ERRORED_ITEMS
    values = json.loads(capsys.readouterr().out)
    assert values["agrees"] is False
    assert values["template"]["from"] == str(template)
    assert values["format"] == {"id": "hermes", "decided_by": "--format"}
    names = [finding["name"] for finding in values["findings"]]
    assert "call-text-differs" in names
    (finding,) = [each for each in values["findings"] if each["name"] == "call-text-differs"]
    assert "<function=" in finding["rendered"]
    assert finding["expected"].startswith("<tool_call>")
    assert {reasons["thinking"] for reasons in values["reasoning"]} == {"auto", "on", "off"}
    assert "<|im_end|>" in [token["text"] for token in values["tokens"]["ends"]]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["none.gguf"], "there is no file none.gguf"),
        (["text.gguf"], "is not a GGUF file"),
        (["zebra"], "models.toml has no model 'zebra'"),
        (["nano", "--format", "wild"], "there is no format 'wild'; choose one of: "),
        (["--format", "hermes"], "--format and --chat-template are a model's; name one: toolgauge doctor MODEL"),
    ],
)
def test_what_cannot_be_examined_is_code_two(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.gguf").write_text("a model, I think\n" * 10)
    assert main(["doctor", *arguments]) == Exit.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert sentence in captured.err
