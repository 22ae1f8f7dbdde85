"""`toolgauge formats`: the list, and why a model or a template is taken to write a format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.shell import Exit
from engine.formats import NATIVE, get
from tests.tiny_gguf import CHAT_TEMPLATE, write_tiny_model

Captured = pytest.CaptureFixture[str]
STRANGE = "{% for message in messages %}{{ message.content }}{% endfor %}"
NEARLY = "<tool_call> arguments <function="


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOOLGAUGE_MODELS", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def values(capsys: Captured, *arguments: str, code: Exit = Exit.OK) -> dict[str, object]:
    assert main(["formats", "detect", *arguments, "--json"]) == code
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_the_list_has_every_format_with_a_call_that_its_own_parser_reads(capsys: Captured) -> None:
    assert main(["formats", "--json"]) == Exit.OK
    entries = json.loads(capsys.readouterr().out)
    assert [entry["id"] for entry in entries] == [*NATIVE, "json"]
    for entry in entries:
        (call,) = get(entry["id"]).parse(entry["one_call"], ()).calls
        assert call.name == "get_weather"
        assert "llguidance" in entry["constrained_by"]
        assert entry["title"]


def test_the_list_for_people_shows_the_calls_as_they_are_written(capsys: Captured) -> None:
    assert main(["formats"]) == Exit.OK
    text = capsys.readouterr().out
    assert '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}\n</tool_call>' in text
    assert "| hermes " in text
    assert "`<think> ... </think>`" in text
    assert "toolgauge formats detect MODEL" in text


def test_ls_formats_agrees_and_points_to_it(capsys: Captured) -> None:
    assert main(["ls", "formats", "--json"]) == Exit.OK
    assert [entry["format"] for entry in json.loads(capsys.readouterr().out)] == [*NATIVE, "json"]
    assert main(["ls", "formats"]) == Exit.OK
    assert "toolgauge formats" in capsys.readouterr().out


def test_a_model_is_explained_by_its_template_and_its_tokens(tmp_path: Path, capsys: Captured) -> None:
    model = write_tiny_model(tmp_path / "tiny-F16.gguf")
    assert main(["formats", "detect", str(model)]) == Exit.OK
    text = capsys.readouterr().out
    assert text.startswith("## tiny-F16 writes hermes\n")
    assert "decided by: the chat template" in text
    line = next(no for no, line in enumerate(CHAT_TEMPLATE.splitlines(), start=1) if "<tool_call>" in line)
    assert f"| in the template | `<tool_call>`  | line {line}" in text
    assert "| marker          | `</tool_call>` | one user-defined token |" in text


def test_the_same_as_json(tmp_path: Path, capsys: Captured) -> None:
    model = write_tiny_model(tmp_path / "tiny-F16.gguf")
    found = values(capsys, str(model))
    assert (found["format"], found["decided_by"], found["detected"]) == ("hermes", "the chat template", "hermes")
    assert found["texts"] == ["<tool_call>", "arguments"]
    assert found["markers"] == [
        {"text": "<tool_call>", "kind": "user-defined"},
        {"text": "</tool_call>", "kind": "user-defined"},
    ]
    assert found["disagreement"] is None


def test_a_name_of_the_registry_is_decided_by_it_and_held_against_the_template(capsys: Captured) -> None:
    found = values(capsys, "nano")
    assert (found["format"], found["decided_by"], found["detected"]) == ("hermes", "models.toml", "hermes")
    assert main(["formats", "detect", "nano"]) == Exit.OK
    assert "decided by: models.toml, and its chat template agrees" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["chat.jinja", "chat.txt"])
def test_a_template_alone_is_enough_and_says_nothing_of_tokens(name: str, folder: Path, capsys: Captured) -> None:
    (folder / name).write_text(CHAT_TEMPLATE)
    found = values(capsys, name)
    assert (found["format"], found["markers"], found["path"]) == ("hermes", None, None)
    assert main(["formats", "detect", name]) == Exit.OK
    assert "not known without a vocabulary" in capsys.readouterr().out


def test_where_nothing_matches_it_says_what_to_do_and_is_code_one(folder: Path, capsys: Captured) -> None:
    (folder / "strange.jinja").write_text(STRANGE)
    assert main(["formats", "detect", "strange.jinja"]) == Exit.ERRORED_ITEMS
    text = capsys.readouterr().out
    assert "## strange.jinja: no format recognised" in text
    assert "--format ID" in text
    assert "--chat-template FILE" in text
    assert values(capsys, "strange.jinja", code=Exit.ERRORED_ITEMS)["format"] is None


def test_what_came_near_is_named_with_what_speaks_against_it(folder: Path, capsys: Captured) -> None:
    (folder / "near.jinja").write_text(f"one\ntwo {NEARLY}")
    assert main(["formats", "detect", "near.jinja"]) == Exit.ERRORED_ITEMS
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert ["not hermes", "`<function=`", "line 2"] in rows


def test_a_model_without_a_template_has_no_format(tmp_path: Path, capsys: Captured) -> None:
    model = write_tiny_model(tmp_path / "bare.gguf", chat_template=None)
    assert main(["formats", "detect", str(model)]) == Exit.ERRORED_ITEMS
    assert "chat template: none" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("none.jinja", "cannot read the chat template none.jinja: no such file or directory"),
        ("none.gguf", "there is no file none.gguf"),
        ("text.gguf", "is not a GGUF file"),
        ("latin.jinja", "is not UTF-8 text"),
        ("zebra", "models.toml has no model 'zebra'"),
        ("someone/Tiny-GGUF", "nothing of someone/Tiny-GGUF has been downloaded, and looking at a model downloads"),
        ("qwen3-8b", "(models.toml says that qwen3-8b writes hermes)"),
    ],
)
def test_what_cannot_be_looked_at(argument: str, sentence: str, folder: Path, capsys: Captured) -> None:
    (folder / "text.gguf").write_text("a model, I think\n" * 10)
    (folder / "latin.jinja").write_bytes(b"\xff\xfe")
    assert main(["formats", "detect", argument]) == Exit.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert sentence in captured.err


def test_both_commands_have_examples(capsys: Captured) -> None:
    for command in (["formats"], ["formats", "detect"]):
        assert main([*command, "--help"]) == Exit.OK
        assert capsys.readouterr().out.count(f"$ toolgauge {' '.join(command)}") >= 2
