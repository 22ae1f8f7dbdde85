"""What the protocol promises, held by every backend on the small vocabulary."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from gguf import TokenType

from engine.constraint import BACKENDS, backend
from engine.constraint.tokens import TokenKinds, clear_bits, empty_mask, has_bit, set_bits, set_tokens, utf8_tail
from engine.constraint.walk import accepts, walk
from engine.errors import ConstraintError
from engine.llama import LoadParams, Model, load_model
from grammars.errors import UnsupportedSchema
from grammars.nodes import AnyJsonObject, Choice, Json, Literal, Marker, Node, RawText, Repeat, Seq
from grammars.schema import normalise_parameters
from tests.tiny_gguf import write_tiny_vocab

OPEN, CLOSE = Marker("<tool_call>"), Marker("</tool_call>")
STRING = {"type": "string"}
CALL = Seq((OPEN, Literal('\n{"name": "add", "arguments": {"a": '), Json({"type": "integer"}), Literal("}}\n"), CLOSE))
CALLS = Repeat(CALL, separator=Literal("\n"))
TEXT = '<tool_call>\n{"name": "add", "arguments": {"a": 12}}\n</tool_call>'


# as pydantic names what it refers to; a bounded number is written in rules of its own
POINTS = normalise_parameters(
    {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/Point"}, "b": {"$ref": "#/$defs/point"}},
        "required": ["a", "b"],
        "$defs": {
            "Point": {"type": "object", "properties": {"x": {"type": "number", "maximum": 9}}, "required": ["x"]},
            "point": {"type": "number", "minimum": 1, "maximum": 5},
        },
    }
)


# of which one branch is written in rules of its own; the other must be too, or its keys are lost
_KINDS = {
    "card": {"properties": {"kind": {"const": "card"}, "of": {"type": "number", "maximum": 9}}, "required": ["kind"]},
    "bank": {"properties": {"kind": {"const": "bank"}, "of": {"type": "integer"}}, "required": ["kind"]},
}
CARD_OR_BANK = normalise_parameters(
    {"properties": {"by": {"anyOf": [*_KINDS.values()]}}, "type": "object", "required": ["by"]}
)


def _optional(name: str, kind: str) -> dict[str, Any]:
    return normalise_parameters({"type": "object", "properties": {name: {"type": kind}}})


@pytest.mark.parametrize(
    ("node", "valid", "invalid"),
    [
        (Literal('é"\\\n\t\x01/'), ['é"\\\n\t\x01/'], ["é", ""]),
        (
            Choice((Literal("a"), Literal("ab"), Seq((Literal("abc"), Marker("<think>"))))),
            ["a", "ab", "abc<think>"],
            ["abc"],
        ),
        (Repeat(Literal("ab"), Literal(","), 1, 3), ["ab", "ab,ab", "ab,ab,ab"], ["", "ab,", "ab,ab,ab,ab"]),
        (Seq((Literal("x"), Repeat(Literal("ab"), Literal(","), 0, 1))), ["x", "xab"], ["xab,ab", ""]),
        (Seq((Literal("x"), Repeat(Literal("ab"), Literal(","), 0, 0))), ["x"], ["xab"]),
        (Repeat(Literal("ab"), Literal(""), 2), ["abab", "ababab"], ["ab", ""]),
        (
            Seq((Literal("<p>"), RawText("</p>"), Literal("</p>x"))),
            ["<p></p>x", "<p>é\n</</p>x"],
            ["<p></p></p>x", "<p>"],
        ),
        (Seq((RawText("\n</p>\n"), Literal("\n</p>\n"))), ["\n</p>\n", "a\n\n</p>\n", "\n</p\n</p>\n"], ["a", ""]),
        (Seq((RawText("</tool_call>"), CLOSE)), ["</tool_call>", "<é></tool_call>"], ["a", ""]),
        (Seq((Literal("a"), RawText("END"))), ["a", "aENEN"], ["aEND", "aENDx"]),
        (Seq((Marker("[TOOL_CALLS]"), Json({"type": "boolean"}))), ["[TOOL_CALLS]true"], ["[TOOL_CALLS]1", "true"]),
        (Seq((Marker("<no such token>"), Literal("x"))), ["<no such token>x"], ["x"]),
        (Seq((Marker('", "arguments": {"'), Literal("x"))), ['", "arguments": {"x'], ["x"]),
        (
            Json(CARD_OR_BANK),
            ['{"by": {"kind": "bank"}}', '{"by": {"kind": "bank", "of": 10}}', '{"by": {"kind": "card", "of": 1.5}}'],
            ['{"by": {"kind": "card", "of": 10}}', '{"by": {"of": 1}}'],
        ),
        (Json(POINTS), ['{"a": {"x": 7}, "b": 5}'], ['{"a": 7, "b": {"x": 5}}', '{"a": {"x": 10}, "b": 5}']),
        (CALLS, [TEXT, f"{TEXT}\n{TEXT}"], [f"{TEXT}\n", TEXT[:-1], "", TEXT.replace("12", '"a"')]),
    ],
)
def test_a_format_tree_means_the_same_everywhere(engine: Any, node: Node, valid: list[str], invalid: list[str]) -> None:
    compiled = engine.compile(node)
    for text in valid:
        assert accepts(compiled.start(), engine.kinds, text), text
    for text in invalid:
        assert not accepts(compiled.start(), engine.kinds, text), text


def test_an_answer_may_be_empty(engine: Any) -> None:
    constraint = engine.compile(Repeat(Literal("ab"), Literal(","), 0, 2)).start()
    assert constraint.complete and not constraint.finished
    assert accepts(constraint, engine.kinds, "ab,ab")


def test_any_json_object(engine: Any) -> None:
    if engine.name == "outlines":
        with pytest.raises(UnsupportedSchema, match="AnyJsonObject"):
            engine.compile(AnyJsonObject())
        return
    compiled = engine.compile(AnyJsonObject())
    good = ["{}", "{ }", '{"a":1}', '{\n  "a": [1, 2,3],\n  "b": {"c": null}\n}', '{"a": [ ]}', '{"\\u00e9\\/": 1e9}']
    good += ['{"a": "\\ud83d\\ude00"}', '{"a": "<tool_call>"}']
    bad = ["[]", '{"a":1,}', '{"a":  1}', ' {"a":1}', '{"a": "\\ud83d"}', '{"a": 01}', '{"a": "\n"}', '{"a"}']
    bad.append('{"a":\n' + " " * 21 + "1}")
    assert [text for text in good + bad if accepts(compiled.start(), engine.kinds, text)] == good


def test_the_end_is_allowed_exactly_when_complete(engine: Any) -> None:
    constraint = engine.compile(CALLS).start()
    end = engine.kinds.end.tolist()
    assert len(end) == 2
    for token in (*engine.kinds.spelled(b""), *_tokens(engine, TEXT)):
        assert [constraint.allows(one) for one in end] == [False, False]
        assert not (constraint.complete or constraint.finished)
        constraint.accept(token)
    assert [constraint.allows(one) for one in end] == [True, True]
    assert all(has_bit(constraint.mask(), one) for one in end)
    assert constraint.complete and not constraint.finished  # another call may follow


def test_an_answer_that_must_end_is_finished(engine: Any) -> None:
    constraint = engine.compile(CALL).start()
    for token in _tokens(engine, TEXT):
        constraint.accept(token)
    assert constraint.complete and constraint.finished
    assert set_tokens(constraint.mask()).tolist() == engine.kinds.end.tolist()
    assert constraint.forced() == []


def test_a_mask_is_what_is_allowed_one_by_one(engine: Any) -> None:
    compiled = engine.compile(CALLS)
    masked, checked = compiled.start(), compiled.start()
    for token in _tokens(engine, TEXT):
        allowed = [one for one in range(engine.kinds.vocabulary.n_tokens) if checked.allows(one)]
        assert set_tokens(masked.mask()).tolist() == allowed
        masked.accept(token)
        checked.accept(token)


def test_two_sequences_of_one_grammar_do_not_meet(engine: Any) -> None:
    compiled = engine.compile(CALL)
    first, second = compiled.start(), compiled.start()
    opening = engine.kinds.vocabulary.token_of("<tool_call>")
    first.accept(opening)
    assert second.allows(opening) and not first.allows(opening)


def test_a_copy_goes_on_from_there_and_moves_nothing_else(engine: Any) -> None:
    """At each token one copy goes the same way to the end, and one goes another way as soon as there is one."""
    answer = Seq((RawText("</tool_call>"), CLOSE, Choice((CALLS, Literal("é")))))
    constraint = engine.compile(answer).start()
    tokens = _tokens(engine, f"sé<</tool_call>{TEXT}")
    for place, token in enumerate(tokens):
        same, other = constraint.copy(), constraint.copy()
        before = constraint.mask().copy(), constraint.forced(), constraint.complete, constraint.finished
        for each in tokens[place:]:
            assert same.allows(each)
            same.accept(each)
        assert same.complete
        ways = [one for one in set_tokens(other.mask()).tolist() if one not in (token, *engine.kinds.end.tolist())]
        if ways:
            other.accept(ways[0])
        after = constraint.mask(), constraint.forced(), constraint.complete, constraint.finished
        assert before[0].tolist() == after[0].tolist() and before[1:] == after[1:]
        constraint.accept(token)


def test_what_is_not_allowed_is_refused_without_harm_to_the_process(engine: Any) -> None:
    constraint = engine.compile(CALL).start()
    with pytest.raises(ConstraintError, match="allow token"):
        constraint.accept(engine.kinds.by_piece[b"x"])


def test_forced_tokens_are_allowed_and_the_only_way(engine: Any) -> None:
    constraint = engine.compile(CALL).start()
    forced = constraint.forced()
    text = engine.kinds.vocabulary.text(forced)
    assert TEXT.startswith(text)
    for token in forced:
        assert constraint.allows(token)
        constraint.accept(token)
    if engine.name == "llguidance":
        assert text.rstrip() == '<tool_call>\n{"name": "add", "arguments": {"a":'  # a blank may be part of " 1"
    elif engine.name == "outlines":
        assert text.startswith("<tool_call>\n")


def test_forced_tokens_are_segmented_as_the_tokenizer_does(engines: dict[str, Any], vocabulary_model: Model) -> None:
    forced = engines["llguidance"].compile(CALL).start().forced()
    assert forced == vocabulary_model.tokenize(TEXT)[: len(forced)]


@pytest.mark.parametrize("inside", ["<tool_call>", "</tool_call>", "<|im_start|>", "[TOOL_CALLS]", "<think>"])
def test_no_structural_token_is_part_of_a_string(engine: Any, inside: str) -> None:
    node = Seq((OPEN, Json(STRING), CLOSE))
    constraint = engine.compile(node).start()
    opening = engine.kinds.vocabulary.token_of("<tool_call>")
    assert constraint.allows(opening)
    constraint.accept(opening)
    constraint.accept(engine.kinds.by_piece[b'"'])
    token = engine.kinds.vocabulary.token_of(inside)
    assert not constraint.allows(token)
    assert not has_bit(constraint.mask(), token)
    assert accepts(engine.compile(node).start(), engine.kinds, f'<tool_call>"{inside}"</tool_call>')  # as text it is


@pytest.mark.parametrize("inside", ["<tool_call>", "a<tool_call>b", "<|im_start|>", "</think></think>"])
@pytest.mark.parametrize("keyword", ["enum", "pattern"])
def test_a_certain_text_that_looks_like_a_marker_is_spelled(engine: Any, inside: str, keyword: str) -> None:
    rule = {"enum": [f"{first}{inside}" for first in "xy"]}
    if keyword == "pattern":
        rule = {"type": "string", "pattern": f"^[xy]{inside}$".replace("|", "\\|")}
    constraint = engine.compile(Seq((OPEN, Json(rule), CLOSE))).start()
    assert accepts(constraint, engine.kinds, f'<tool_call>"x{inside}"</tool_call>')
    masked = engine.compile(Seq((Literal(f"x{inside}y"), CLOSE))).start()
    written = b""
    while not masked.complete:
        (token, *_) = set_tokens(masked.mask()).tolist()
        assert masked.allows(token)
        masked.accept(token)
        written += engine.kinds.vocabulary.pieces[token]
        assert (token in engine.kinds.structural) == masked.complete
    assert written.decode() == f"x{inside}y</tool_call>"


def test_a_user_defined_piece_of_text_is_text(engine: Any) -> None:
    """The bundled model's vocabulary has such tokens for common pieces of JSON."""
    constraint = engine.compile(CALL).start()
    for token in _tokens(engine, '<tool_call>\n{"name": "add'):
        constraint.accept(token)
    piece = engine.kinds.vocabulary.token_of('", "arguments": {"')
    assert constraint.allows(piece) and has_bit(constraint.mask(), piece)


LONG_PIECES = ('", "arguments": {}', "-eyed whistling duck", "thing that is certain</")


@pytest.fixture(scope="module", params=BACKENDS)
def long_pieces(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Any, Model]]:
    """A backend on a vocabulary whose long pieces begin with texts of more than four of its other tokens."""
    more = dict.fromkeys(LONG_PIECES, TokenType.USER_DEFINED)
    path = write_tiny_vocab(tmp_path_factory.mktemp("long") / "vocab.gguf", more)
    with load_model(path, LoadParams(vocab_only=True)) as model:
        yield backend(request.param, model), model


@pytest.mark.parametrize(
    ("node", "texts"),
    [
        (
            Seq((OPEN, Literal('{"name": "add", "arguments": '), Json(_optional("a", "integer")), Literal("}"), CLOSE)),
            [f'<tool_call>{{"name": "add", "arguments": {given}}}</tool_call>' for given in ("{}", '{"a": 1}')],
        ),
        (
            Json({"enum": ["white-eyed whistling duck", "white-eyed whistling dog", "black-eyed one"]}),
            ['"white-eyed whistling duck"', '"white-eyed whistling dog"', '"black-eyed one"'],
        ),
        (
            Choice((Literal("one thing that is certain</i>"), Literal("one thing that is certain."))),
            ["one thing that is certain</i>", "one thing that is certain."],
        ),
    ],
)
def test_a_long_token_may_write_what_is_certain_and_go_on(
    long_pieces: tuple[Any, Model], node: Node, texts: list[str]
) -> None:
    """A call without arguments was never written where `", "arguments": {}` is one token of the bundled model's."""
    engine, model = long_pieces
    compiled = engine.compile(node)
    for text in texts:
        constraint, checked = compiled.start(), compiled.start()
        for token in model.tokenize(text):
            allowed = [one for one in range(engine.kinds.vocabulary.n_tokens) if checked.allows(one)]
            assert token in allowed
            assert constraint.forced()[:1] in ([], [token])
            assert set_tokens(constraint.mask()).tolist() == allowed
            constraint.accept(token)
            checked.accept(token)
        assert constraint.complete


@pytest.mark.parametrize(
    "ill_formed", [b"\xc3(", b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90", b"\xe0\x80", b"\xff"]
)
def test_ill_formed_utf8_is_never_text(engine: Any, ill_formed: bytes) -> None:
    constraint = engine.compile(Json(STRING)).start()
    constraint.accept(engine.kinds.by_piece[b'"'])
    for byte in ill_formed:
        token = engine.kinds.by_piece[bytes((byte,))]
        if not constraint.allows(token):
            assert not has_bit(constraint.mask(), token)
            return
        constraint.accept(token)
    pytest.fail(f"{ill_formed!r} was accepted")


def test_characters_may_be_written_byte_by_byte(engine: Any) -> None:
    constraint = engine.compile(Json({"const": "é😀"})).start()
    for byte in '"é😀"'.encode():
        assert not constraint.complete
        constraint.accept(engine.kinds.by_piece[bytes((byte,))])
    assert constraint.finished


@pytest.mark.parametrize("text", ["è", "\ud000", "\U0010fffd", "\u07ff\uffff"])
def test_characters_near_forbidden_ones_may_be_written_byte_by_byte(engine: Any, text: str) -> None:
    """Beside a property `é`, another one named `è` begins with the same byte; U+D000 begins like a surrogate."""
    null = {"type": "null"}
    schema = {"type": "object", "properties": {"é": null}, "additionalProperties": null}
    constraint = engine.compile(Json(schema)).start()
    if engine.name == "outlines" and text > "\U000fffff":  # characters of the last private plane stand for markers
        assert walk(constraint, engine.kinds, f'{{"{text}').n_bytes == 2
        return
    for byte in f'{{"{text}": null}}'.encode():
        constraint.accept(engine.kinds.by_piece[bytes((byte,))])
    assert constraint.complete


def test_a_marker_that_ends_generation_is_refused(engine: Any) -> None:
    with pytest.raises(ConstraintError, match="ends generation"):
        engine.compile(Seq((Literal("a"), Marker("<|im_end|>"))))


def test_the_text_of_a_grammar_is_there_to_read(engine: Any) -> None:
    assert "add" in engine.compile(CALL).text


@pytest.mark.parametrize("length", [2000, 2001, 4999])
def test_long_repetitions_are_counted_exactly(engine: Any, length: int) -> None:
    compiled = engine.compile(Json({"type": "string", "minLength": length - 1, "maxLength": length}))
    for size in (length - 2, length - 1, length, length + 1):
        expected = length - 1 <= size <= length
        assert accepts(compiled.start(), engine.kinds, '"' + "a" * size + '"') == expected, size


def test_a_grammar_knows_many_tools(engine: Any) -> None:
    calls = [
        Seq((Literal(f'{{"name": "tool_{n}", "arguments": '), Json({"type": "null"}), Literal("}"))) for n in range(80)
    ]
    compiled = engine.compile(Choice(tuple(calls)))
    assert accepts(compiled.start(), engine.kinds, '{"name": "tool_7", "arguments": null}')
    assert not accepts(compiled.start(), engine.kinds, '{"name": "tool_80", "arguments": null}')


def test_counted_alternatives_stay_small_for_outlines(engines: dict[str, Any]) -> None:
    """Searched for anywhere, as outlines_core does unless kept from it, this grows tenfold with each digit."""
    compiled = engines["outlines"].compile(Json({"type": "integer", "minimum": 2**62}))
    assert accepts(compiled.start(), engines["outlines"].kinds, str(2**62))
    assert not accepts(compiled.start(), engines["outlines"].kinds, str(2**62 - 1))


def test_a_walk_tells_how_far_it_came(engine: Any) -> None:
    end = walk(engine.compile(CALL).start(), engine.kinds, TEXT.replace("12", "1x"))
    assert TEXT.encode()[: end.n_bytes].endswith(b'"a": 1')
    assert not end.complete


def test_an_unknown_backend_is_named(vocabulary_model: Model) -> None:
    with pytest.raises(ConstraintError, match="'xgrammar'; choose one of llguidance, gbnf, outlines"):
        backend("xgrammar", vocabulary_model)


def test_masks_hold_bits() -> None:
    mask = empty_mask(70)
    set_bits(mask, np.array([0, 31, 32, 69, 69], dtype=np.int32))
    clear_bits(mask, np.array([31], dtype=np.int32))
    assert set_tokens(mask).tolist() == [0, 32, 69]
    assert [has_bit(mask, token) for token in (0, 1, 31, 32, 69)] == [True, False, False, True, True]


@pytest.mark.parametrize(
    ("pending", "piece", "tail"),
    [
        (b"", b"abc", b""),
        (b"", b"a\xc3", b"\xc3"),
        (b"\xc3", b"\xa9b", b""),
        (b"\xf0\x9f", b"\x98", b"\xf0\x9f\x98"),
        (b"", b"\x80", None),
        (b"\xc3", b"a", None),
        (b"", b"\xed\xa0", None),
        (b"", b"\xed\x9f", b"\xed\x9f"),
        (b"", b"\xf5", None),
    ],
)
def test_utf8_tail(pending: bytes, piece: bytes, tail: bytes | None) -> None:
    assert utf8_tail(pending, piece) == tail


def _tokens(engine: Any, text: str) -> list[int]:
    """`text` as llama.cpp would tokenize it, near enough: markers as tokens, the rest in the longest pieces."""
    kinds: TokenKinds = engine.kinds
    tokens: list[int] = []
    for part in text.replace("<tool_call>", "|<tool_call>|").replace("</tool_call>", "|</tool_call>|").split("|"):
        special = kinds.vocabulary.token_of(part)
        tokens += [special] if special is not None else kinds.spelled(part.encode()) or []
    return tokens
