"""The bundled model's data: what may never be in it, what is held out, and that it is what the runtime will see."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
import re
import tomllib

import pytest

from bench.nano import exclusions, render
from bench.nano.conversation import MIX, Conversation, Generator
from bench.nano.corpus import stored_tokenizer, with_pieces
from bench.nano.everyday import CATALOG, TRAINED, catalog, kin
from bench.nano.phrases import continued
from bench.nano.suite import SUITE, cases, text
from bench.nano.tools import Asked
from bench.nano.values import KINDS, make
from bench.nano.words import HELD_OUT, TRAIN, held_out_words, number_is_held_out

N_CONVERSATIONS = 2_000


@pytest.fixture(scope="module")
def conversations() -> list[Conversation]:
    return list(itertools.islice(Generator(987, TRAIN, exclusions.load()), N_CONVERSATIONS))


def names_of(conversation: Conversation) -> set[str]:
    return {tool["name"] for tool in conversation.tools}


def test_quick_is_on_the_exclusion_list() -> None:
    listed = exclusions.load()
    for line in (SUITE.parent / "quick.jsonl").read_text().splitlines():
        for message in json.loads(line).get("messages", ()):
            if message["role"] == "user":
                assert listed.has_sentence(message["content"])
    tools = json.loads((SUITE.parent / "quick_tools.json").read_text())
    assert {tool["name"] for tool in tools} <= listed.names


def test_the_exclusion_list_holds_a_leaderboards_worth_of_names() -> None:
    assert len(exclusions.load().names) > 1_500
    assert len(exclusions.load().sentences) > 4_000


def test_nothing_excluded_is_generated(conversations: list[Conversation]) -> None:
    listed = exclusions.load()
    for conversation in conversations:
        assert not names_of(conversation) & listed.names
        assert not any(listed.has_sentence(turn.content) for turn in conversation.turns if turn.role == "user")


def test_an_excluded_name_would_have_been_generated() -> None:
    """The exclusion is not vacuous: without the list, names of the leaderboard do come up."""
    nothing = exclusions.Exclusions(frozenset(), frozenset())
    free = itertools.islice(Generator(987, TRAIN, nothing), N_CONVERSATIONS)
    assert any(names_of(conversation) & exclusions.load().names for conversation in free)


@pytest.mark.parametrize("written", ["Dim  the lamp!", "dim the lamp", " DIM the, lamp. "])
def test_a_sentence_is_excluded_whatever_its_case_and_punctuation(written: str) -> None:
    listed = exclusions.Exclusions(frozenset(), frozenset({exclusions.sentence_hash("Dim the lamp.")}))
    assert listed.has_sentence(written)


def test_lexicons_share_no_word() -> None:
    for field in dataclasses.fields(TRAIN):
        if not isinstance(getattr(TRAIN, field.name), bool | float):
            assert not set(getattr(TRAIN, field.name)) & set(getattr(HELD_OUT, field.name)), field.name


def test_held_out_tools_are_not_trained_on(conversations: list[Conversation]) -> None:
    names = {tool["name"] for case in cases() for tool in case["tools"]}
    assert not names & set().union(*map(names_of, conversations))
    handwritten = {name for tool in catalog("heldout") for name in tool["names"]}
    assert not handwritten & {name for tool in catalog(*TRAINED) for name in tool["names"]}


def test_numbers_are_split() -> None:
    rng = random.Random(4)
    for kind in ("medium_int", "large_int", "percent"):
        for _ in range(200):
            trained, held_out = make(kind, rng, TRAIN).argument, make(kind, rng, HELD_OUT).argument
            assert isinstance(trained, int) and isinstance(held_out, int)
            assert trained < 10 or not number_is_held_out(trained)
            assert held_out < 10 or number_is_held_out(held_out)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_makes_json_values_with_a_surface(kind: str) -> None:
    rng = random.Random(5)
    for lexicon in (TRAIN, HELD_OUT):
        value = make(kind, rng, lexicon)
        assert value.surface
        assert isinstance(value.argument, str | int | float) and not isinstance(value.argument, bool)


def test_words_are_invented_of_any_token_and_never_held_out() -> None:
    lexicon, rng = with_pieces(TRAIN, stored_tokenizer(CATALOG.parent / "tokenizer.json")), random.Random(7)
    assert not set(lexicon.pieces) & held_out_words() and "gasket" in held_out_words()
    invented = [lexicon.invented(rng) for _ in range(20_000)]
    assert not set(invented) & held_out_words()
    # Each of the vocabulary's runs of letters is copied now and then, rare as it is in English.
    assert len(lexicon.pieces) > 1_000
    assert sum(any(piece in word for word in invented) for piece in lexicon.pieces[::50]) == len(lexicon.pieces[::50])


def test_no_held_out_word_is_put_together_by_chance() -> None:
    lexicon, rng = dataclasses.replace(TRAIN, pieces=("g", "asket", "mint")), random.Random(7)
    assert not {"gasket", "mint"} & {lexicon.invented(rng) for _ in range(300)}


def test_every_kind_that_the_catalogue_names_exists() -> None:
    for tool in catalog(*TRAINED, "heldout"):
        kinds = {spec.get("kind") for spec in tool.get("params", {}).values()} | set(tool.get("result", {}).values())
        assert kinds - {None} <= set(KINDS), tool["names"][0]


PLACEHOLDER = re.compile(r"\{(\w+)\}")


@pytest.mark.parametrize("name", TRAINED)
def test_every_request_says_what_its_tool_needs(name: str) -> None:
    for tool in catalog(name):
        params = tool.get("params", {})
        required = {key for key, spec in params.items() if spec["required"]}
        for request in tool["requests"]:
            written = request if isinstance(request, str) else request["t"]
            settled = {} if isinstance(request, str) else request.get("set", {})
            said = {*PLACEHOLDER.findall(written), *settled}
            assert required <= said <= params.keys(), (tool["names"][0], written)
            for key, value in settled.items():
                assert value in params[key].get("enum", [value]), (tool["names"][0], written)
        for asked in tool.get("ask", ()):
            assert not required <= set(PLACEHOLDER.findall(asked["t"])), (tool["names"][0], asked["t"])


def test_tools_of_one_name_are_meant_for_the_same() -> None:
    domains: dict[str, set[str]] = {}
    for tool in catalog(*TRAINED):
        for name in tool["names"]:
            domains.setdefault(name, set()).add(tool["domain"])
    for name, found in domains.items():
        assert all(found <= kin(domain) for domain in found), name


def test_domains_of_measuring_are_not_trained_on() -> None:
    trained = {tool["domain"] for tool in catalog(*TRAINED)}
    assert not trained & {tool["domain"].replace(" ", "_") for tool in catalog("heldout")}
    # A blank is what tells a made-up tool's domain, its verb and noun.
    assert not any(" " in domain for domain in trained)


def test_what_is_kin_exists() -> None:
    listed = set().union(*tomllib.loads((CATALOG / "kin.toml").read_text())["kin"])
    assert listed <= {tool["domain"] for tool in catalog(*TRAINED)}
    assert "taxi" in kin("transport") and "transport" in kin("taxi") and kin("no such") == {"no such"}


def test_calls_fit_their_tools(conversations: list[Conversation]) -> None:
    from jsonschema import Draft202012Validator

    for conversation in conversations[:500]:
        schemas = {tool["name"]: tool["parameters"] for tool in conversation.tools}
        for turn in conversation.turns:
            for name, arguments in turn.calls:
                errors = list(Draft202012Validator(schemas[name]).iter_errors(arguments))
                assert not errors, (name, arguments, errors)
                assert set(arguments) <= set(schemas[name]["properties"])


def test_no_placeholder_is_left_unfilled(conversations: list[Conversation]) -> None:
    for conversation in conversations:
        for turn in conversation.turns:
            if turn.role == "user":
                assert "{" not in turn.content, turn.content


def test_every_category_is_generated(conversations: list[Conversation]) -> None:
    assert {conversation.category for conversation in conversations} == set(MIX)


def test_a_seed_determines_the_stream() -> None:
    first, second = (list(itertools.islice(Generator(3, TRAIN, exclusions.load()), 50)) for _ in range(2))
    assert first == second


def test_the_committed_nano_suite_is_what_the_generator_writes() -> None:
    assert SUITE.read_text() == text()


def test_learned_text_is_what_the_assistant_says(conversations: list[Conversation]) -> None:
    for conversation in conversations[:200]:
        pieces = list(render.native(conversation))
        said = "".join(piece.text for piece in pieces if piece.learned)
        assert said.count("<|im_end|>") == sum(turn.role == "assistant" for turn in conversation.turns)
        assert not any("<|im_start|>" in piece.text for piece in pieces if piece.learned)


@pytest.mark.parametrize(
    ("text", "surfaces", "said"),
    [
        ("Fold the chair", {}, "fold the chair"),
        ("I want to fold a chair", {}, "I want to fold a chair"),
        ("I'd like a chair", {}, "I'd like a chair"),
        ("In the evening, fold a chair", {}, "in the evening, fold a chair"),
        ("Rowena Inglis is a cousin of mine", {"name": "Rowena Inglis"}, "Rowena Inglis is a cousin of mine"),
    ],
)
def test_in_the_middle_of_a_sentence_a_value_keeps_its_capital_letter(
    text: str, surfaces: dict[str, str], said: str
) -> None:
    assert continued(text, Asked(text, {}, surfaces)) == said
