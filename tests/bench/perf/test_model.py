"""The random-weight model: its vocabulary is a real byte-pair encoding, and llama.cpp writes noise with it for ever."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from bench.perf import random_model
from bench.perf.random_model import default_model, main, write_random_model
from engine.decoder import LlamaRuntime
from engine.llama import ContextParams, LoadParams, Model, load_model
from engine.runtime import Limits, Request
from engine.shapes import blocks
from engine.shapes.vocabulary import byte_letters, synthesise
from engine.types import StopReason
from tests.bench.perf.small import SHAPE


@pytest.fixture(autouse=True)
def no_real_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(random_model.REAL_DATA, raising=False)


def cut(text: str, merges: Sequence[str]) -> list[str]:
    """Byte-pair encoding as its inventors describe it: the merge that was learned first, everywhere it applies."""
    parts = list(text)
    ranks = {tuple(merge.split(" ")): rank for rank, merge in enumerate(merges)}
    while True:
        pairs = [(ranks[pair], at) for at, pair in enumerate(pairwise(parts)) if pair in ranks]
        if not pairs:
            return parts
        at = min(pairs)[1]
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


@pytest.mark.parametrize("n_tokens", [400, 1500])
def test_a_made_up_vocabulary_is_a_byte_pair_encoding(n_tokens: int) -> None:
    made = synthesise(n_tokens, words=("weather", "city", "country"))
    assert len(made.tokens) == len(set(made.tokens)) == n_tokens
    assert made.tokens[:256] == byte_letters()
    known = {*byte_letters()}
    for merge in made.merges:
        left, right = merge.split(" ")
        assert {left, right} <= known
        known.add(left + right)
    assert known == {*made.tokens}
    unreachable = [token for token in made.tokens if cut(token, made.merges) != [token]]
    assert not unreachable


def test_the_words_that_it_is_given_become_tokens() -> None:
    made = synthesise(1500, words=("weather", "city"))
    assert {"weather", "Ġweather", "_weather", "city", "Ġcity", "_city"} <= {*made.tokens}


def test_the_same_arguments_make_the_same_vocabulary_and_another_seed_another() -> None:
    assert synthesise(1500, seed=3) == synthesise(1500, seed=3)
    assert synthesise(1500, seed=3) != synthesise(1500, seed=4)


def test_a_vocabulary_too_small_for_its_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        synthesise(256)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.delenv(random_model.REAL_DATA, raising=False)
        return write_random_model(tmp_path_factory.mktemp("random") / "small.gguf", 3000, SHAPE)


@pytest.fixture(scope="module")
def model(small: Path) -> Model:
    return load_model(small, LoadParams(n_gpu_layers=0))


def test_llama_cpp_reads_the_vocabulary_as_it_was_made(model: Model) -> None:
    vocabulary = model.vocabulary()
    assert vocabulary.n_tokens == 3000
    markers = {vocabulary.pieces[token] for token in vocabulary.user_defined}
    assert markers == {b"<tool_call>", b"</tool_call>"}
    assert {vocabulary.pieces[token] for token in vocabulary.eog} == {b"<|im_end|>", b"<|endoftext|>"}
    text = '{"name": "create_shipment", "arguments": {"weight_grams": 12}}'
    assert vocabulary.text(model.tokenize(text)) == text
    assert len(model.tokenize(text)) < len(text) / 2


def test_its_free_text_does_not_end_and_does_not_stand_still(model: Model) -> None:
    with LlamaRuntime(model, ContextParams(n_ctx=512, n_threads=1), n_slots=1) as runtime:
        for number in range(3):
            prompt = tuple(model.tokenize(f"The weather in city number {number}"))
            runtime.submit(Request(number, prompt, limits=Limits(answer=96)))
            while not (finished := runtime.step()):
                pass
            generation = finished[0].generation
            assert generation is not None
            assert generation.stop is StopReason.LENGTH
            assert len(generation.tokens) == 96
            assert len(set(generation.tokens)) > 10


def test_the_tokens_that_end_a_text_have_no_logit(model: Model) -> None:
    with model.context(ContextParams(n_ctx=256, n_threads=1)) as context:
        batch = context.batch()
        row = batch.add(model.tokenize("Hello"), position=0, sequence=0, n_outputs=1)
        context.decode(batch)
        logits = context.logits(row)
        assert all(logits[token] == 0 for token in model.vocabulary().eog)
        assert logits.max() > 0


def test_the_same_command_writes_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_model, "write_random_model", lambda *args, seed: write_random_model(*args, SHAPE, seed))
    files = [tmp_path / "new folder" / name for name in ("a.gguf", "b.gguf", "c.gguf")]
    for file, seed in zip(files, ("1", "1", "2"), strict=True):
        main(["--vocab", "1000", "--seed", seed, "--out", str(file)])
    first, again, other = (file.read_bytes() for file in files)
    assert first == again
    assert first != other
    assert len(first) == len(other)


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(blocks, "random_rows", fail)
    with pytest.raises(OSError, match="no space left"):
        write_random_model(tmp_path / "model.gguf", 1000, SHAPE)
    assert not list(tmp_path.iterdir())


def test_the_default_model_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path)
    monkeypatch.setattr(random_model, "N_VOCAB", 1000)
    monkeypatch.setattr(random_model, "write_random_model", lambda path: write_random_model(path, 1000, SHAPE))
    written: list[str] = []
    first = default_model(lambda: written.append("once"))
    assert first.is_relative_to(tmp_path)
    assert first.exists()
    assert default_model(lambda: written.append("twice")) == first
    assert written == ["once"]


@pytest.mark.real
def test_qwen2s_own_vocabulary_gets_the_markers(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(random_model.REAL_DATA, str(real_data))
    path = write_random_model(tmp_path / "model.gguf", shape=SHAPE)
    with load_model(path, LoadParams(vocab_only=True)) as model:
        vocabulary = model.vocabulary()
        assert vocabulary.n_tokens == random_model.N_VOCAB
        assert vocabulary.token_of("<tool_call>") == 151_657
        assert model.tokenize("<tool_call>") == [151_657]
        assert not any(
            piece.startswith(b"[PAD") for piece in map(vocabulary.pieces.__getitem__, vocabulary.user_defined)
        )
