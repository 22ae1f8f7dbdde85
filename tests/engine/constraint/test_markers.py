"""Markers of every shape, as converters old and new type them: one token in a grammar, and never part of a text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from gguf import TokenType

from engine.constraint import BACKENDS, backend
from engine.constraint.walk import accepts
from engine.llama import LoadParams, load_model
from grammars.automaton import automaton
from grammars.nodes import Choice, Json, Literal, Marker, QuotedDict, RawString, Seq, with_markers
from tests.tiny_gguf import write_tiny_vocab

MARKERS = ("[ARGS]", "[/THINK]", '<|"|>', "<|tool_call>", "<arg_key>", "<｜tool▁sep｜>", "｜DSML｜")
PLAIN = "TOOL:"
STRING = {"type": "string"}


@pytest.fixture(scope="module", params=[TokenType.CONTROL, TokenType.USER_DEFINED], ids=["control", "user defined"])
def typed_engines(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    path = tmp_path_factory.mktemp("markers") / "vocab.gguf"
    write_tiny_vocab(path, dict.fromkeys(MARKERS, request.param) | {PLAIN: TokenType.USER_DEFINED})
    with load_model(path, LoadParams(vocab_only=True)) as model:
        yield {name: backend(name, model) for name in BACKENDS}


@pytest.fixture(params=BACKENDS)
def typed_engine(request: pytest.FixtureRequest, typed_engines: dict[str, Any]) -> Any:
    return typed_engines[request.param]


def token_of(engine: Any, text: str) -> int:
    found: int | None = engine.kinds.vocabulary.token_of(text)
    assert found is not None
    return found


@pytest.mark.parametrize("marker", MARKERS)
def test_a_marker_is_its_token(typed_engine: Any, marker: str) -> None:
    kinds, token = typed_engine.kinds, token_of(typed_engine, marker)
    node = Seq((Literal("x"), Marker(marker), Choice((Literal("abc"), Literal("abd"))), Marker(marker)))
    constraint = typed_engine.compile(node).start()
    constraint.accept(kinds.by_piece[b"x"])
    assert not constraint.allows(kinds.by_piece[marker.encode()[:1]])
    assert constraint.forced()[:1] in ([], [token])
    constraint.accept(token)
    for letter in (b"a", b"b", b"c"):
        assert not constraint.allows(token)
        constraint.accept(kinds.by_piece[letter])
    constraint.accept(token)
    assert constraint.finished


@pytest.mark.parametrize("marker", MARKERS)
def test_inside_of_a_text_a_marker_is_spelled(typed_engine: Any, marker: str) -> None:
    kinds, token = typed_engine.kinds, token_of(typed_engine, marker)
    node = Seq((Marker(marker), RawString(STRING, "\n"), Literal("\n"), Json({"const": f"{marker}."}), Marker(marker)))
    compiled = typed_engine.compile(node)
    constraint = compiled.start()
    constraint.accept(token)
    assert not constraint.allows(token)
    for part in kinds.spelled(f"{marker}\n".encode()):
        constraint.accept(part)
    quoted = f"{marker}.".replace('"', '\\"')
    assert accepts(compiled.start(), kinds, f'{marker}a{marker}\n"{quoted}"{marker}')


def test_a_text_may_contain_a_marker(typed_engine: Any) -> None:
    end = "</｜DSML｜parameter>\n"
    node = Seq(
        (with_markers("<｜DSML｜a>", "｜DSML｜"), RawString(STRING, "</｜DSML｜"), with_markers(end, "｜DSML｜"))
    )
    compiled, token = typed_engine.compile(node), token_of(typed_engine, "｜DSML｜")
    assert not accepts(compiled.start(), typed_engine.kinds, f"<｜DSML｜a></｜DSML｜b>{end}")
    for text in ("", "b", "</", "</a>\n</｜DSML"):
        constraint = compiled.start()
        for part in (f"<｜DSML｜a>{text}", end):
            for index, piece in enumerate(part.split("｜DSML｜")):
                for each in ([token] if index else []) + (typed_engine.kinds.spelled(piece.encode()) or []):
                    constraint.accept(each)
        assert constraint.finished


def test_a_quote_is_a_token_between_which_text_stands(typed_engine: Any) -> None:
    kinds, quote = typed_engine.kinds, token_of(typed_engine, '<|"|>')
    schema = {"type": "object", "properties": {"a": STRING}, "additionalProperties": False}
    constraint = typed_engine.compile(QuotedDict(schema, '<|"|>')).start()
    for token in (*kinds.spelled(b"{a:"), quote, *kinds.spelled(b'<|"|,}'), quote, *kinds.spelled(b"}")):
        constraint.accept(token)
    assert constraint.finished


def test_a_user_defined_token_of_another_shape_is_text(typed_engine: Any) -> None:
    compiled, token = typed_engine.compile(Seq((Marker(PLAIN), Json(STRING)))), token_of(typed_engine, PLAIN)
    constraint = compiled.start()
    for each in (token, *typed_engine.kinds.spelled(b'"a'), token, *typed_engine.kinds.spelled(b'"')):
        constraint.accept(each)
    assert constraint.finished
    if typed_engine.name != "llguidance":  # which forces the canonical segmentation
        assert compiled.start().allows(typed_engine.kinds.by_piece[b"T"])


def test_a_bounded_text_is_made_rules_of_once(typed_engines: dict[str, Any]) -> None:
    """The grammar with markers and the one that spells them share what takes long."""
    text = RawString({"type": "string", "maxLength": 7}, "\n")
    automaton.cache_clear()
    typed_engines["gbnf"].compile(Seq((Marker("<arg_key>"), text, Literal("\n"), text, Literal("\n"))))
    assert automaton.cache_info().misses == 1
    assert automaton.cache_info().hits == 1
