"""Files of random weights: whole or not there, the same for the same arguments, as the shape says."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from engine.errors import ToolgaugeError
from engine.gguf_header import LongArray, read_header
from engine.shapes import writer
from engine.shapes.mix import header
from engine.shapes.tokens import made_up_tokens
from engine.shapes.writer import size_bytes, write
from tests.engine.shapes.every import N_TOKENS, TINY

TOKENS = made_up_tokens(N_TOKENS)


@pytest.mark.parametrize("arch", TINY)
def test_a_file_has_the_header_that_its_shape_foretells(arch: str, tmp_path: Path) -> None:
    shape = TINY[arch]
    expected = header(shape, "Q8_0")
    found = read_header(write(tmp_path / "model.gguf", shape, "Q8_0", TOKENS))
    assert found.tensors == expected.tensors
    for key, value in expected.metadata.items():
        assert found.metadata[key] == (pytest.approx(value) if isinstance(value, float) else value), key
    tokens = found.metadata["tokenizer.ggml.tokens"]
    assert isinstance(tokens, LongArray)
    assert tokens.n == N_TOKENS
    assert found.n_bytes >= expected.n_bytes
    assert found.n_bytes == pytest.approx(size_bytes(shape, "Q8_0"), rel=0.2)


def test_it_is_written_in_pieces_and_says_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = write(tmp_path / "whole.gguf", TINY["gpt-oss"], "MXFP4", TOKENS)
    monkeypatch.setattr(writer, "_CHUNK_BYTES", 4096)
    said: list[tuple[int, int]] = []
    pieces = write(
        tmp_path / "pieces.gguf", TINY["gpt-oss"], "MXFP4", TOKENS, progress=lambda *said_now: said.append(said_now)
    )
    assert len(said) > len(header(TINY["gpt-oss"], "MXFP4").tensors)
    assert [done for done, _total in said] == sorted(done for done, _total in said)
    assert said[-1][0] == said[-1][1]
    assert whole.stat().st_size == pieces.stat().st_size


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10, 10, 1000))
    with pytest.raises(ToolgaugeError, match=r"needs 0\.0 GB and .* has 0\.0 GB free; choose another folder"):
        write(tmp_path / "model.gguf", TINY["llama"], "F16", TOKENS)
    assert not list(tmp_path.iterdir())


def test_a_vocabulary_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the shape has 600 tokens, the vocabulary 500"):
        write(tmp_path / "model.gguf", TINY["llama"], "F16", made_up_tokens(500))


def test_the_first_layers_are_those_of_the_whole(tmp_path: Path) -> None:
    shape = TINY["nemotron_h"]
    names = [weight.name for weight in shape.weights()]
    assert [weight.name for weight in shape.first(3).weights()] == names[: len(list(shape.first(3).weights()))]
    with pytest.raises(ValueError, match="has 4 layers"):
        shape.first(5)
