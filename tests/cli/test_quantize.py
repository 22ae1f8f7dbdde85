"""`toolgauge quantize`: a ladder from one file, in the cache or in a folder of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.shell import Exit
from engine.gguf_file import read_gguf
from tests.tiny_gguf import write_tiny_model

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a-cache-in-a-folder-whose-path-is-longer-than-a-screen"))
    return write_tiny_model(tmp_path / "tiny-F16.gguf")


def test_the_files_are_named_and_their_folder_can_be_copied_whole(
    source: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["quantize", str(source), "Q8_0,q4_0", "--json"]) == Exit.OK
    made = json.loads(capsys.readouterr().out)
    assert [(one["level"], read_gguf(Path(one["path"])).quant) for one in made] == [("Q8_0", "Q8_0"), ("Q4_0", "Q4_0")]
    assert main(["quantize", str(source), "Q8_0,Q4_0"]) == Exit.OK
    shown = capsys.readouterr().out
    assert "tiny-Q8_0.gguf" in shown
    assert "tiny-Q4_0.gguf" in shown
    assert str(Path(made[0]["path"]).parent) in shown


def test_a_folder_gets_the_files_under_plain_names(source: Path, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "levels").mkdir()
    for _ in range(2):  # the second time they are there already
        assert main(["quantize", str(source), "Q8_0", "--out", str(tmp_path / "levels")]) == Exit.OK
        assert [path.name for path in (tmp_path / "levels").iterdir()] == ["tiny-Q8_0.gguf"]
        assert f"{tmp_path / 'levels'}/" in capsys.readouterr().out


@pytest.mark.usefixtures("source")
def test_a_model_may_be_named_as_elsewhere(tmp_path: Path, capsys: Captured) -> None:
    """`quantize nano Q8_0` said that there is no file nano, and to name a model of the registry."""
    (tmp_path / "levels").mkdir()
    assert main(["quantize", "nano", "Q8_0", "--out", str(tmp_path / "levels"), "--json"]) == Exit.OK
    (made,) = json.loads(capsys.readouterr().out)
    assert (Path(made["path"]).name, read_gguf(Path(made["path"])).quant) == ("nano-Q8_0.gguf", "Q8_0")


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("gone.gguf", "there is no file gone.gguf; check the path\n"),
        ("nona", "models.toml has no model 'nona'; choose one of: nano, "),
    ],
)
def test_a_model_that_is_not_here_is_said(model: str, sentence: str, source: Path, capsys: Captured) -> None:
    assert main(["quantize", model, "Q8_0", "--out", str(source.parent)]) == Exit.USAGE
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [([",", "--out", "."], "name at least one level"), (["Q8_0", "--out", "nowhere"], "there is no folder nowhere")],
)
def test_what_is_missing_is_said_first(arguments: list[str], sentence: str, source: Path, capsys: Captured) -> None:
    assert main(["quantize", str(source), *arguments]) == Exit.USAGE
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["quantize", "run"])
def test_the_help_says_that_levels_have_no_importance_matrix(verb: str, capsys: Captured) -> None:
    """A level that is made here is not the file of that name that a publisher made with one."""
    assert main([verb, "--help"]) == Exit.OK
    assert "without an importance matrix" in " ".join(capsys.readouterr().out.replace("│", " ").split())
