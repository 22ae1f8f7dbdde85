"""The replay of reference calls: that it says what it is to say, with and without drafts, and what it counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

import bench.nano
from bench.perf.__main__ import main
from bench.perf.methods import DRAFTED, FORCED, FREE, LLAMA_BENCH, Run
from bench.perf.native_tools import missing
from bench.perf.replay import Replay, open_replay, references
from bench.suites.case import load
from engine.decoder import CANNOT_DRAFT
from engine.errors import ToolgaugeError
from engine.shapes.tokens import made_up_tokens
from engine.shapes.writer import write
from engine.types import StopReason
from tests.engine.shapes.every import N_TOKENS, TINY
from tests.tiny_gguf import CHAT_TEMPLATE, write_tiny_model


@pytest.fixture(autouse=True)
def no_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever llama.cpp tools this machine has are not found."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture(scope="module", params=["bundled", "noise"])
def replay(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    path = Path(bench.nano.__file__).with_name("nano-f16.gguf")
    if request.param == "noise":
        path = write_tiny_model(tmp_path_factory.mktemp("noise") / "noise.gguf", context=8192)
    with open_replay(path, "nano", n_gpu_layers=0, n_threads=1) as opened:  # its prompts are short
        yield opened


def test_any_model_says_the_references_and_drafts_change_no_token(replay: Replay) -> None:
    texts = {case.id: case.text for case in references(replay.suite, 2)}
    measured = replay.measure("quick")
    assert {(each.method, each.skipped) for each in measured.missing} == {(LLAMA_BENCH, True)}
    said = {(sample.method, sample.case): sample.run for sample in measured.samples}
    assert {method for method, _ in said} == {FREE, FORCED, DRAFTED}
    for case, text in texts.items():
        plain, drafted = said[FORCED, case], said[DRAFTED, case]
        assert plain.tokens == drafted.tokens
        assert replay.model.vocabulary().text(plain.tokens) == text
        assert plain.stop is drafted.stop is StopReason.EOG
        assert plain.n_drafted == 0 < drafted.n_drafted
        assert plain.n_forced == drafted.n_forced
    assert sum(run.n_accepted for run in said.values()) > 0


def test_references_are_calls_of_every_category() -> None:
    suite = load("quick")
    found = references(suite, 1000)
    by_id = {case.id: case for case in suite.cases}
    assert len(found) > 20
    assert all("<tool_call>" in each.text and by_id[each.id].expected for each in found)
    assert len({by_id[each.id].category for each in references(suite, 4)}) == 4


def test_it_prints_the_same_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_tiny_model(tmp_path / "noise.gguf", context=8192)
    assert main(["--replay", "--quick", "--model", str(path), "-t", "1", "-ngl", "0"]) == 0
    document = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert document["replay"] == {"suite": "quick", "sha256": load("quick").content_hash, "size": "quick"}
    assert [method["method"] for method in document["methods"]] == [FREE, FORCED, DRAFTED, LLAMA_BENCH]
    assert document["counts"] == {"passed": 6, "skipped": 2, "excluded": 0}
    drafted = document["methods"][-2]
    assert 0 < drafted["accepted_share"]["median"] <= 1
    claims = {claim["what"]: claim["at_least"] for claim in document["claims"]}
    assert claims["llguidance, drafted / free"] == 1.6


def test_a_model_that_cannot_rewind_is_skipped_with_the_reason(tmp_path: Path) -> None:
    shape = TINY["qwen35"].changed({"max_position_embeddings": 8192})
    path = write(tmp_path / "hybrid.gguf", shape, "F16", made_up_tokens(N_TOKENS, chat_template=CHAT_TEMPLATE))
    with open_replay(path, "nano", n_gpu_layers=0, n_threads=1) as opened:
        measured = opened.measure("quick")
    assert {(each.method, each.reason) for each in measured.missing if each.skipped} == {
        (DRAFTED, CANNOT_DRAFT),
        (LLAMA_BENCH, missing("llama-bench")),
    }
    assert {sample.method for sample in measured.samples} == {FREE, FORCED}


class Broken:
    """A llama-bench that is there, and prints what nobody understands."""

    name, budget = LLAMA_BENCH, "free"

    def prepare(self, _case: object) -> None:
        """It is there."""

    def run(self, _prompted: object, _n_tokens: int) -> Run:
        raise ToolgaugeError("is it another version?")


def test_a_tool_that_fails_in_the_warm_up_is_left_out(tmp_path: Path) -> None:
    with open_replay(write_tiny_model(tmp_path / "noise.gguf", context=8192), "nano", n_threads=1) as opened:
        opened._native = cast(Any, Broken())
        measured = opened.measure("quick")
    assert {sample.method for sample in measured.samples} == {FREE, FORCED, DRAFTED}
    assert [(each.method, each.reason, each.n_runs, each.skipped) for each in measured.missing] == 2 * [
        (LLAMA_BENCH, "is it another version?", 1, True)
    ]


def test_a_prompt_that_does_not_fit_is_skipped_by_all(tmp_path: Path) -> None:
    with open_replay(write_tiny_model(tmp_path / "short.gguf", context=256), "quick", n_threads=1) as opened:
        measured = opened.measure("quick")
    assert not measured.samples and not measured.n_rounds
    assert {each.method for each in measured.missing} == {FREE, FORCED, DRAFTED, LLAMA_BENCH}
    assert all("do not fit the context" in each.reason for each in measured.missing)
