"""`toolgauge drift`: the page, the JSON document, and errors in one sentence."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bench.cli.drift import document, nats
from bench.cli.main import main
from bench.drift import measure as drift
from bench.drift.values import summarise
from bench.report.document import Table
from bench.shell import Exit
from engine.quantize import quantize
from tests.tiny_gguf import write_tiny_model

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("models")
    source = write_tiny_model(folder / "tiny-F16.gguf", width=256, context=8192)
    return [str(source), *(str(quantize(source, level, folder / "made")) for level in ("Q8_0", "Q2_K"))]


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting processes takes longer than what is tested here is about."""
    monkeypatch.setattr(drift, "apart", lambda work, *, what, progress=None: work(Path(what)))


@pytest.mark.usefixtures("in_this_process")
def test_the_page_says_how_far_each_level_is_and_where(
    files: list[str], tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[drift.Drift] = []
    measure = drift.measure

    def kept(*asked: Any) -> drift.Drift:
        measured.append(measure(*asked))
        return measured[0]

    monkeypatch.setattr(drift, "measure", kept)
    copy, broken = tmp_path / "copy.gguf", tmp_path / "broken-Q8_0.gguf"
    copy.write_bytes(Path(files[0]).read_bytes())
    bytes_ = bytearray(Path(files[1]).read_bytes())
    place = bytes_.index(b"qwen3.attention.layer_norm_rms_epsilon")
    bytes_[place : place + 5] = b"qwen9"  # a key that llama.cpp cannot do without
    broken.write_bytes(bytes_)
    assert main(["drift", *files, str(copy), str(broken), "--limit", "2", "-t", "1"]) == Exit.ERRORED_ITEMS
    captured = capsys.readouterr()
    assert captured.out.startswith("## Drift of tiny, copy and broken from F16 (tiny)\n")
    told = "are taken for different models"
    assert f"tiny, copy and broken {told}; what follows is the distance between them." in captured.out
    assert f"tiny-F16.gguf, copy.gguf and broken-Q8_0.gguf {told}: F16 is there twice" in captured.err
    assert "of the right answers to 2 cases of quick, written as hermes" in captured.out
    verdicts = re.findall(r"^(Q\w+)[^:\n]*: ([\d.]+) nats a token, most on (\w+)", captured.out, re.MULTILINE)
    assert [quant for quant, *_ in verdicts] == ["Q8_0", "Q2_K"]
    assert float(verdicts[0][1]) < float(verdicts[1][1])
    for column in ("marker n=", "name n=", "key n=", "value n=", "punctuation n=", "95% interval", "turn wrong"):
        assert column in captured.out
    assert "**Where it is worst**" in captured.out
    figures = summarise(measured[0])
    tables = [block for block in document(measured[0], figures) if isinstance(block, Table)]
    repeated = [[column.header for column in table.columns if column.part == "key"] for table in tables[:2]]
    assert repeated == [["quant"], ["quant"]], "a table that is cut for a narrow terminal repeats nothing else"
    assert "F16 (copy): no drift at all; every distribution is the same." in captured.out
    for text in (captured.out, captured.err):
        assert "Q8_0 (broken) was not measured: " in text
    assert "the logits of tiny F16 (tiny) take" in captured.err


def test_the_json_document_holds_every_place(files: list[str], capsys: Captured) -> None:
    assert main(["drift", files[0], files[2], "--limit", "2", "-t", "1", "--json"]) == Exit.OK
    found = json.loads(capsys.readouterr().out)
    assert (found["reference"]["quant"], found["format"], found["n_cases"]) == ("F16", "hermes", 2)
    (level,) = found["levels"]
    for case, shifts in zip(found["cases"], level["shifts"], strict=True):
        assert len(case["tokens"]) == len(shifts)
    places = [shift for shifts in level["shifts"] for shift in shifts]
    whole = level["roles"]["all"]
    assert whole["n_tokens"] == len(places) == found["n_tokens"]
    assert whole["kl"]["mean"] == pytest.approx(sum(place["kl"] for place in places) / len(places))
    assert whole["kl"]["low"] <= whole["kl"]["mean"] <= whole["kl"]["high"]
    agreeing = sum(place["best_before"] == place["best_after"] for place in places)
    assert whole["agreement"]["value"] == pytest.approx(agreeing / len(places))


@pytest.mark.usefixtures("in_this_process")
def test_of_one_case_alone_there_is_no_interval(files: list[str], capsys: Captured) -> None:
    """Resampling one case can only draw that one: the interval would have no width."""
    command = ["drift", files[0], files[2], "--limit", "1", "-t", "1"]
    assert main(command) == Exit.OK
    assert re.search(r"^\| Q2_K +\| +[\d.]+ \| +- \|", capsys.readouterr().out, re.MULTILINE)
    assert main([*command, "--json"]) == Exit.OK
    kl = json.loads(capsys.readouterr().out)["levels"][0]["roles"]["all"]["kl"]
    assert kl["mean"] > 0
    assert (kl["low"], kl["high"]) == (None, None)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere.gguf", "--quants", "F16,Q8_0"], "nowhere.gguf"),
        (["fake:perfect", "--quants", "F16,Q8_0"], "a scripted model has no distributions"),
        (["FILE"], "name at least two"),
        (["FILE", "--quants", "F16,Q99"], "there is no quantization level 'Q99'"),
        (["FILE", "--quants", "F16,Q8_0", "--style", "xml"], "--style is native or json, not 'xml'"),
        (["FILE", "--quants", "F16,Q8_0", "--suite", "nothing"], "cannot read suite 'nothing'"),
    ],
)
def test_a_mistake_is_one_sentence(arguments: list[str], sentence: str, files: list[str], capsys: Captured) -> None:
    assert main(["drift", *(files[0] if word == "FILE" else word for word in arguments)]) == Exit.USAGE
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert captured.err.count("error:") == 1 and "Traceback" not in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (3e-8, "<0.000001"), (0.00262, "0.00262"), (0.0357, "0.0357"), (5.674, "5.67")]
)
def test_divergences_are_written_to_the_digits_that_matter(value: float, text: str) -> None:
    assert nats(value) == text
