"""`toolgauge profile` at the prompt: what it refuses, what it asks, and one profile of a tiny shape."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.models import shapes
from bench.profile import profiler
from bench.shell import Exit

TINY = """
[[shape]]
name = "tiny"
source = "made up"
[shape.config]
arch = "qwen3"
hidden_size = 64
intermediate_size = 128
num_hidden_layers = 3
num_attention_heads = 2
num_key_value_heads = 1
head_dim = 32
vocab_size = 1500
max_position_embeddings = 2048
"""
QUICK = ["-c", "1024", "-t", "1", "-ngl", "0", "--tokens", "16", "--prompt", "32", "--repetitions", "1", "--batch", "2"]


@pytest.fixture(autouse=True)
def tiny_shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "shapes.toml"
    file.write_text(TINY, encoding="utf-8")
    monkeypatch.setattr(shapes, "default_path", lambda: file)
    monkeypatch.delenv("TOOLGAUGE_REAL_DATA", raising=False)


def test_a_quick_look_at_some_layers_is_one_json_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "files"
    arguments = ["profile", "--shape", "TINY", "--quant", "q8_0", "--layers", "2", "--folder", str(folder), "--json"]
    assert main([*arguments, *QUICK]) == Exit.OK
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert (document["shape"], document["quant"]) == ("tiny", "Q8_0")
    assert (document["n_layers"], document["is_whole"]) == (2, False)
    assert document["settings"]["context"]["n_ctx"] == 1024
    assert document["rates"][0]["what"] == "prompt"
    assert "Writing" in captured.err
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--shape", "tinny"], "did you mean tiny?"),
        (["--shape", "tiny", "--quant", "UD-Q4_K_XL"], "the types of a level 'UD-Q4_K_XL' are not known"),
        (["--shape", "tiny", "--layers", "4"], "--layers 4: the model has 3 layers"),
        (["--shape", "tiny", "--batch", "4,x"], "--batch is a list of numbers up to 256"),
        (["--shape", "tiny", "--prompt", "5000"], "a prompt of 5,000 tokens does not fit a context of 4,096"),
    ],
)
def test_a_mistake_is_one_sentence(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", *arguments]) == Exit.USAGE
    captured = capsys.readouterr()
    assert complaint in " ".join(captured.err.split())
    assert not captured.out


def test_a_large_file_is_not_written_unasked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiler, "ASK_ABOVE_BYTES", 1000)
    assert main(["profile", "--shape", "tiny", "--folder", str(tmp_path / "files")]) == Exit.USAGE
    assert "add --yes to say that this is wanted" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "files").exists()
