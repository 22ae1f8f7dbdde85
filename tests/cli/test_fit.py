"""`toolgauge fit`: a table for people, a document for programs, and a sentence for mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.fit import predict as fit
from bench.shell import Exit
from engine.meter import Gpus
from tests.bench.measured import TWO_CARDS, measured_run, readings
from tests.engine.memory.sizes import SHAPES, write_hollow

Captured = pytest.CaptureFixture[str]
MIB, GIB = 1 << 20, 1 << 30


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a card, in a folder without results."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fit, "gpus", lambda: Gpus(problem="none"))
    monkeypatch.setattr(fit, "devices", list)


def test_a_table_with_every_combination(capsys: Captured) -> None:
    command = "fit qwen3-8b --quants Q4_K_M,Q8_0 -c 8192,32768 --slots 1,4 --vram 16GiB"
    assert main(command.split()) == Exit.OK
    text = capsys.readouterr().out
    lines = [line for line in text.splitlines() if line.startswith(("| Q4_K_M", "| Q8_0"))]
    assert len(lines) == 8
    assert "4.35 GiB" in lines[0]
    assert "1.12 GiB" in lines[0]
    assert "40,960 (all)" in lines[0]
    assert "The limit is 16.0 GiB of video memory (as given); 512 MiB of it are kept free." in text
    assert "public configuration" in text
    assert "docs/memory.md" in text
    assert "state" not in lines[0]


def test_one_document_for_programs(capsys: Captured) -> None:
    command = "fit qwen3.5-9b -c 4096 --slots 2 --vram 8G,8G --reserve 1GiB --kv-type q8_0 --json"
    assert main(command.split()) == Exit.OK
    found = json.loads(capsys.readouterr().out)
    assert found["budget"]["cards"] == [8 * GIB, 8 * GIB]
    assert found["budget"]["reserve_bytes"] == GIB
    (row,) = found["rows"]
    assert [row[key] for key in ("quant", "origin", "n_ctx", "n_slots", "fits")] == ["Q4_K_M", "shape", 4096, 2, True]
    kv = sum(device["kv_bytes"] for device in row["devices"])
    assert kv == 136 * MIB  # 8 layers x 4 heads x 256 x 2 x 34/32 bytes x 8192
    # of the two answers, and of two prefixes that they may share
    assert sum(device["state_bytes"] for device in row["devices"]) == 4 * 24 * (3 * 8192 + 128 * 4096) * 4
    assert found["measured"] == []


def test_contexts_that_nobody_named_stay_within_what_was_trained(tmp_path: Path, capsys: Captured) -> None:
    assert main(["fit", "nano", "--json"]) == Exit.OK
    assert [row["n_ctx"] for row in json.loads(capsys.readouterr().out)["rows"]] == [2048]
    assert main(["fit", "nano", "-c", "9999", "--json"]) == Exit.OK
    assert [row["n_ctx"] for row in json.loads(capsys.readouterr().out)["rows"]] == [9999]
    assert main(["fit", "nano", "-c", "2048,9999"]) == Exit.OK
    assert "nano was trained on contexts of up to 2,048 tokens" in capsys.readouterr().out
    assert main(["fit", "nano", "-c", "2048"]) == Exit.OK
    assert "trained on" not in capsys.readouterr().out


def test_a_model_without_a_file_is_not_said_to_have_one(capsys: Captured) -> None:
    assert main(["fit", "qwen3-8b", "--vram", "16GiB", "-c", "1000000"]) == Exit.OK
    printed = " ".join(capsys.readouterr().out.split())
    assert "its public configuration says, and may be lost in one of 1,000,000 (-c)" in printed
    assert "its file says" not in printed


def test_without_a_card_it_is_said_that_memory_counts(capsys: Captured) -> None:
    assert main(["fit", "nano"]) == Exit.OK
    text = capsys.readouterr().out
    assert "no GPU here" in text
    assert "give --vram" in text
    assert "-ngl" not in text


def test_sliding_layers_are_named_and_can_be_cut(tmp_path: Path, capsys: Captured) -> None:
    path = str(write_hollow(tmp_path / "window.gguf", SHAPES["gpt-oss"]))
    assert main(["fit", path, "-c", "8192", "--vram", "1GiB"]) == Exit.OK
    assert "look back only 128 tokens" in capsys.readouterr().out
    sizes = []
    for option in ("--swa-full", "--no-swa-full"):
        assert main(["fit", path, "-c", "8192", "--vram", "1GiB", option, "--json"]) == Exit.OK
        sizes.append(json.loads(capsys.readouterr().out)["rows"][0]["devices"][0]["kv_bytes"])
    assert sizes == [32 * MIB, 16 * MIB + 16 * MIB * 768 // 8192]


def test_runs_stand_beside_the_prediction(tmp_path: Path, capsys: Captured) -> None:
    path = measured_run(tmp_path, readings(TWO_CARDS, peak_vram=6200 * MIB))
    command = ["fit", "llama-3.1-8b", "--vram", "24GiB", "--db", str(path)]
    assert main(command) == Exit.OK
    text = capsys.readouterr().out
    assert "Predicted and measured" in text
    assert "4.30 GiB / 4.30 GiB" in text
    assert "1.00 GiB / 1.00 GiB" in text
    assert "6.05 GiB" in text
    assert main([*command, "--json"]) == Exit.OK
    (one,) = json.loads(capsys.readouterr().out)["measured"]
    assert one["parts"]["kv"] == {"predicted_bytes": GIB, "measured_bytes": GIB}


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("fit", "Missing argument 'MODEL'"),
        ("fit lama", "models.toml has no model 'lama'"),
        ("fit none.gguf", "there is no file"),
        ("fit qwen3-8b -c long", "-c takes whole numbers"),
        ("fit qwen3-8b --slots 0", "--slots takes whole numbers"),
        ("fit qwen3-8b --slots 300", "at most 254 answers"),
        ("fit qwen3-8b --vram much", "is no size"),
        ("fit qwen3-8b --vram 1e308T", "is no size"),
        ("fit qwen3-8b --reserve -1", "is no size"),
        ("fit qwen3-8b --kv-type q3", "unknown KV-cache type"),
        ("fit qwen3-8b --kv-type q8_0 -fa off", "need flash attention"),
        ("fit glm-4.7-flash --kv-type q8_0:f16", "the same --kv-type"),
        ("fit qwen3-8b --db none.db", "there is no result file"),
        ("fit nano --quants Q9_9", "not known"),
    ],
)
def test_mistakes_are_one_sentence(command: str, why: str, capsys: Captured) -> None:
    assert main(command.split()) == Exit.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert why in captured.err.replace("\n", " ")
    assert "Traceback" not in captured.err


def test_nothing_may_be_reserved(capsys: Captured) -> None:
    assert main(["fit", "qwen3-8b", "--vram", "16GiB", "--reserve", "0", "--json"]) == Exit.OK
    assert json.loads(capsys.readouterr().out)["budget"]["reserve_bytes"] == 0


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("llama.block_count", 4_000_000_000, "at most 512"),
        ("llama.attention.head_count_kv", [float("nan"), 1.0], "not a number for each of 4 layers"),
    ],
)
def test_a_hostile_file_is_one_sentence(
    key: str, value: int | list[float], why: str, tmp_path: Path, capsys: Captured
) -> None:
    path = write_hollow(tmp_path / "hostile.gguf", SHAPES["llama"], more={key: value})
    assert main(["fit", str(path)]) == Exit.USAGE
    captured = capsys.readouterr()
    assert why in captured.err.replace("\n", " ")
    assert "Traceback" not in captured.err


def test_the_help_promises_no_comparison_of_cache_types(capsys: Captured) -> None:
    """It had the words of `run`, where several are held against f16."""
    assert main(["fit", "--help"]) == Exit.OK
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "held against" not in text
    assert "a row for each" in text
