"""Whatever a constraint's masks allow is an answer that the parser reads whole and whose calls are valid.

A few walks for each format and engine; `make walks` takes many more, on real vocabularies with outlines too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from engine.constraint import BACKENDS, backend
from engine.formats import FORMATS
from engine.formats.protocol import ToolFormat
from engine.llama import LoadParams, load_model
from grammars.nodes import Marker, RawString, Seq
from tests.engine.formats.drawing import marker_texts
from tests.engine.formats.walking import BUNDLED, VOCABULARIES, walk_all, write_with_markers

N_BUNDLED, N_REAL = 6, 2
formats = pytest.mark.parametrize("fmt", FORMATS.values(), ids=lambda fmt: fmt.id)
# What nests without limit is beyond an automaton.
ENDLESS = {"store", "tree"}


@pytest.fixture(scope="module", params=["markers as text", "markers as tokens"])
def engine_of(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Any]]:
    path = BUNDLED  # it has its own family's markers alone
    if request.param == "markers as tokens":
        path = write_with_markers(BUNDLED, tmp_path_factory.mktemp("vocab") / BUNDLED.name, marker_texts())
    with load_model(path, LoadParams(vocab_only=True)) as model:
        yield cache(lambda name: backend(name, model))


@pytest.mark.parametrize("name", BACKENDS)
@formats
def test_walks_on_a_small_vocabulary(engine_of: Callable[[str], Any], fmt: ToolFormat, name: str) -> None:
    tally = walk_all(fmt, engine_of(name), N_BUNDLED)
    assert tally.complaints == []
    assert set(tally.refused) == (ENDLESS if name == "outlines" else set()), tally.refused
    assert tally.n_good == N_BUNDLED


@pytest.mark.parametrize("name", BACKENDS)
def test_a_marker_is_not_due_before_a_text_that_begins_like_it(engine_of: Callable[[str], Any], name: str) -> None:
    """llama.cpp's own check says so, and its `accept` then ends the process."""
    engine = engine_of(name)
    opening, end = Marker("<arg_value>"), Marker("</arg_value>")
    value = RawString({"type": "string", "minLength": 1}, end.text)
    constraint = engine.compile(Seq((opening, value, end))).start()
    vocabulary = engine.kinds.vocabulary
    for text, is_due in (("", False), ("<", True), ("x", True)):
        for token in engine.kinds.spelled(text.encode()) if text else [vocabulary.token_of(opening.text)]:
            if token is None:
                pytest.skip("here a marker is text")
            assert constraint.allows(token)
            constraint.accept(token)
        assert constraint.allows(vocabulary.token_of(end.text)) is is_due


@pytest.fixture(scope="module", params=VOCABULARIES)
def real_engine_of(
    request: pytest.FixtureRequest, real_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Any]]:
    source = real_data / "vocab" / f"ggml-vocab-{request.param}.gguf"
    path = write_with_markers(source, tmp_path_factory.mktemp("vocab") / source.name, marker_texts())
    with load_model(path, LoadParams(vocab_only=True)) as model:
        vocabulary = model.vocabulary()
        assert all(vocabulary.token_of(marker) is not None for marker in marker_texts())
        yield cache(lambda name: backend(name, model))


@pytest.mark.real
@pytest.mark.parametrize("name", [name for name in BACKENDS if name != "outlines"])  # seconds for each grammar
@formats
def test_walks_on_a_real_vocabulary(real_engine_of: Callable[[str], Any], fmt: ToolFormat, name: str) -> None:
    tally = walk_all(fmt, real_engine_of(name), N_REAL)
    assert tally.complaints == []
    assert tally.n_good == N_REAL
