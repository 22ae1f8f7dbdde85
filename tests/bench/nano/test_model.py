"""The bundled GGUF: what it was trained on is what the engine shows it, token for token."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.nano import exclusions, render
from bench.nano.conversation import Conversation, Generator, Turn
from bench.nano.words import HELD_OUT, TRAIN
from engine.formats import ENVELOPE, get
from engine.gguf_file import read_gguf
from engine.llama import LoadParams, Model, load_model
from engine.prompt import PromptBuilder
from engine.template import ChatTemplate
from engine.types import Call, Message, PromptStyle, Tool
from grammars.schema import normalise_tool

NANO = Path(render.__file__).with_name("nano-f16.gguf")


@pytest.fixture(scope="module")
def vocabulary() -> Iterator[Model]:
    model = load_model(NANO, LoadParams(vocab_only=True))
    yield model
    model.close()


@pytest.fixture(scope="module")
def conversations() -> list[Conversation]:
    trained = itertools.islice(Generator(31, TRAIN, exclusions.load()), 60)
    held_out = itertools.islice(Generator(32, HELD_OUT, exclusions.load(), catalogs=("heldout",)), 30)
    return [*trained, *held_out]


def message(turn: Turn) -> Message:
    calls = tuple(Call(name, arguments) for name, arguments in turn.calls)
    return Message(turn.role, turn.content, calls, turn.name)  # type: ignore[arg-type]


@pytest.mark.parametrize("style", ["native", "json"])
def test_the_engine_prompts_with_the_tokens_of_training(
    vocabulary: Model, conversations: list[Conversation], style: PromptStyle
) -> None:
    template = ChatTemplate(str(vocabulary.chat_template()))
    builder = PromptBuilder(vocabulary, template, get("hermes") if style == "native" else ENVELOPE, style)
    rendered = render.native if style == "native" else render.enveloped
    for conversation in conversations:
        schemas = [normalise_tool(tool) for tool in conversation.tools]
        tools = [Tool(tool.name, tool.description, tool.parameters, tool.written) for tool in schemas]
        last = max(index for index, turn in enumerate(conversation.turns) if turn.role == "assistant")
        prompt = builder.build([message(turn) for turn in conversation.turns[:last]], tools)
        pieces = list(rendered(conversation))
        final = max(index for index, piece in enumerate(pieces) if piece.learned)
        trained = [token for piece in pieces[:final] for token in vocabulary.tokenize(piece.text)]
        assert prompt.tokens == tuple(trained)


def test_a_word_has_the_same_tokens_wherever_it_stands(vocabulary: Model) -> None:
    rng = random.Random(8)
    for _ in range(200):
        word = rng.choice((TRAIN.invented(rng), rng.choice(TRAIN.nouns), rng.choice(HELD_OUT.last_names)))
        alone = vocabulary.tokenize(word)
        for before, after in ((" ", " "), ('": "', '"}}'), ("_", "_"), ("\n", "."), ('["', '", "')):
            tokens = vocabulary.tokenize(before + word + after)
            outer = len(vocabulary.tokenize(before))
            assert tokens[outer : outer + len(alone)] == alone, before + word + after


def test_tokenizing_and_back_is_the_identity(vocabulary: Model) -> None:
    pieces = vocabulary.vocabulary()
    for text in ('{"a": "é \\u0007", "日本": [1, -2.5e3]}', "naïve\r\n\tcafé 🙂", "  two  spaces", "don't 1,249.90"):
        assert pieces.text(vocabulary.tokenize(text)) == text


def test_the_file_says_what_it_is() -> None:
    facts = read_gguf(NANO)
    assert facts.arch == "qwen3"
    assert facts.n_ctx_train == 2048
    assert NANO.stat().st_size < 16 * 2**20


def test_the_template_is_recognised(vocabulary: Model) -> None:
    from engine.formats import detect

    found = detect(str(vocabulary.chat_template()), vocabulary.vocabulary().kind_of)
    assert found.format is not None and found.format.id == "hermes"
    assert {marker.kind for marker in found.markers} == {"user-defined"}


def test_template_vocabulary_and_format_agree(vocabulary: Model) -> None:
    from engine.selfcheck import check

    assert check(ChatTemplate(str(vocabulary.chat_template())), get("hermes"), vocabulary) == ()
