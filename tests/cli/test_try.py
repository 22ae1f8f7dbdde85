"""`toolgauge try`: one sentence in every mode."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.attempt import Attempt
from bench.cli.main import main
from bench.cli.try_ import document
from bench.report import markdown
from bench.shell import Exit
from engine.types import Call, Fragment, Generation, Parsed, StopReason, Timings
from tests.tiny_gguf import CHAT_TEMPLATE, write_tiny_model

Captured = pytest.CaptureFixture[str]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def generation(text: str, ttfc_s: float | None = None, stop: StopReason = StopReason.EOG) -> Generation:
    return Generation((1, 2, 3), text, stop, n_prompt=9, n_cached=0, timings=Timings(ttfc_s=ttfc_s))


def test_the_modes_stand_side_by_side_with_calls_validity_and_time() -> None:
    call = Call("weather", {"city": "Oslo"})
    attempts = [
        Attempt("native.free", generation("<tool_call>", 0.25), Parsed(calls=(call,)), (frozenset(),)),
        Attempt("native.schema", generation("x"), Parsed(calls=(call,)), (frozenset({"invented_tool"}),)),
        Attempt(
            "json.free", generation("{no", stop=StopReason.LENGTH), Parsed(fragments=(Fragment("{no", "broken", 0),))
        ),
        Attempt("json.schema", None, None, error="the gbnf backend cannot express 'pattern' at #/x"),
        Attempt("json.syntax", generation("Hello!"), Parsed(content="Hello!")),
    ]
    text = markdown.render(document("tiny F16", "Weather in Oslo?", attempts))
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| ")}
    assert 'weather({"city": "Oslo"})' in rows["native.free"]
    assert "| valid " in rows["native.free"]
    assert "250 ms" in rows["native.free"]
    assert "invented tool" in rows["native.schema"]
    assert "unreadable" in rows["json.free"]
    assert "stopped by length" in rows["json.free"]
    assert "cannot express 'pattern'" in rows["json.schema"]
    assert "| error " in rows["json.schema"]
    assert "Hello!" in rows["json.syntax"]
    assert "| no call " in rows["json.syntax"]
    assert "**json.free wrote**" in text


def test_a_real_file_answers_in_every_mode(tmp_path: Path, capsys: Captured) -> None:
    model = write_tiny_model(tmp_path / "tiny-F16.gguf")
    tools = tmp_path / "tools.json"
    tools.write_text(json.dumps([{"name": "weather", "parameters": PARAMETERS}]))
    command = ["try", str(model), "Weather in Oslo?", "--tools", str(tools), "--predict", "200", "-t", "1", "--json"]
    assert main(command) == Exit.OK
    attempts = json.loads(capsys.readouterr().out)
    assert [attempt["mode"] for attempt in attempts] == ["native.free", "native.schema", "json.free", "json.schema"]
    assert all(attempt["error"] is None and attempt["generation"]["n_prompt"] > 10 for attempt in attempts)


@pytest.mark.parametrize("levels", ["F16,Q2_K", "*"])
def test_it_takes_one_level(levels: str, capsys: Captured) -> None:
    assert main(["try", "nano", "Weather in Oslo?", "--quant", levels]) == Exit.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"--quant takes one level here, not '{levels}'; `toolgauge run` measures several" in captured.err


def test_a_template_that_does_not_fit_is_a_warning_beside_the_answers(tmp_path: Path, capsys: Captured) -> None:
    template = tmp_path / "xml.jinja"
    template.write_text(CHAT_TEMPLATE.replace('{"name": "', "<function=").replace('", "arguments": ', ">"))
    tools = tmp_path / "tools.json"
    tools.write_text(json.dumps([{"name": "weather", "parameters": PARAMETERS}]))
    flags = [
        "--tools",
        str(tools),
        "--chat-template",
        str(template),
        "--format",
        "hermes",
        "--thinking",
        "on",
        "--modes",
        "native.free",
    ]
    model = write_tiny_model(tmp_path / "tiny-F16.gguf")
    assert main(["try", str(model), "hello", *flags, "--predict", "8", "-t", "1", "--json"]) == Exit.OK
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)) == 1
    for name in ("call-text-differs", "thinking-ignored"):
        assert f"({name})" in captured.err


def test_a_model_that_takes_its_process_with_it_is_a_sentence(capsys: Captured) -> None:
    assert main(["try", "fake:crash:1", "hello"]) == Exit.USAGE
    assert "the process of fake:crash:1 ended" in capsys.readouterr().err
