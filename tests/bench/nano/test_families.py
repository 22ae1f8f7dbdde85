"""Families: the conversations of one share their prompt, and packed they are the tokens of each rendered alone."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest

from bench.nano import exclusions, render
from bench.nano.conversation import Conversation
from bench.nano.corpus import LONGEST, LONGEST_PACKED, packed, rendered, shard
from bench.nano.families import MIX, Families
from bench.nano.words import TRAIN
from engine.llama import LoadParams, load_model

N_FAMILIES, N_BRANCHES = 250, 4
NANO = Path(exclusions.__file__).with_name("nano-f16.gguf")
Family = tuple[Conversation, ...]


@pytest.fixture(scope="module")
def families() -> list[Family]:
    source = Families(77, TRAIN, exclusions.load(), n_branches=N_BRANCHES)
    return list(itertools.islice(source.families(), N_FAMILIES))


def opening(conversation: Conversation) -> str | None:
    return conversation.turns[0].content if conversation.turns[0].role == "system" else None


def test_a_family_shares_its_tools_and_its_system_message(families: list[Family]) -> None:
    for family in families:
        assert 1 <= len(family) <= N_BRANCHES
        assert all(other.tools == family[0].tools for other in family)
        assert len({opening(conversation) for conversation in family}) == 1


def test_the_system_message_is_one_piece_and_the_same_in_all(families: list[Family]) -> None:
    for style in (render.native, render.enveloped):
        for family in families:
            shared = {next(iter(style(conversation))) for conversation in family}
            assert len(shared) == 1
            assert not shared.pop().learned


def test_what_is_called_is_offered_and_what_is_wanted_in_vain_is_not(families: list[Family]) -> None:
    for conversation in itertools.chain.from_iterable(families):
        offered = {tool["name"] for tool in conversation.tools}
        called = {name for turn in conversation.turns for name, _ in turn.calls}
        assert called <= offered
        assert bool(called) or conversation.category in ("abstain", "ask")


def test_of_what_is_said_about_results_some_is_learned_and_calls_always(families: list[Family]) -> None:
    every = itertools.chain.from_iterable(families)
    turns = [turn for conversation in every for turn in conversation.turns if turn.role == "assistant"]
    assert all(turn.learned for turn in turns if turn.calls)
    assert {turn.learned for turn in turns} == {True, False}


def test_nothing_excluded_is_in_a_family(families: list[Family]) -> None:
    listed = exclusions.load()
    for conversation in itertools.chain.from_iterable(families):
        assert not {tool["name"] for tool in conversation.tools} & listed.names
        assert not any(listed.has_sentence(turn.content) for turn in conversation.turns if turn.role == "user")


def test_categories_keep_their_shares(families: list[Family]) -> None:
    counts = Counter(conversation.category for family in families for conversation in family)
    for category, share in MIX.items():
        assert counts[category] / counts.total() == pytest.approx(share, abs=0.045), category


def test_a_packed_family_is_the_tokens_of_each_conversation_alone(families: list[Family]) -> None:
    model = load_model(NANO, LoadParams(vocab_only=True))
    try:
        for index, family in enumerate(families[:60]):
            as_json = index % 3 == 0
            document = packed(family, model.tokenize, as_json=as_json)
            assert document is not None
            branches = {
                number: [t for t, branch in zip(document.tokens, document.branch, strict=True) if branch in (0, number)]
                for number in range(1, max(document.branch) + 1)
            }
            alone = [
                [token for piece in rendered(conversation, as_json=as_json) for token in model.tokenize(piece.text)]
                for conversation in family
            ]
            assert all(branch in alone for branch in branches.values())
            assert all(len(branch) <= LONGEST for branch in branches.values())
            n_own = len(document.tokens) - document.branch.count(0)
            assert n_own <= max(LONGEST_PACKED, document.branch.count(1))
            assert list(document.branch) == sorted(document.branch)
    finally:
        model.close()


def test_a_shards_arrays_fit_each_other() -> None:
    model = load_model(NANO, LoadParams(vocab_only=True))
    try:
        arrays = shard(5, 12, model.tokenize, 3)
    finally:
        model.close()
    tokens, learned, branch, ends = (arrays[name] for name in ("tokens", "learned", "branch", "ends"))
    assert len(tokens) == len(learned) == len(branch) == ends[-1]
    assert not learned[branch == 0].any()
    assert learned.any()
    assert all(branch[start] == 0 for start in (0, *ends[:-1]))


def test_parallel_is_several_calls(families: list[Family]) -> None:
    for conversation in itertools.chain.from_iterable(families):
        if conversation.category == "parallel":
            assert len(conversation.turns[-1].calls) > 1


def test_easy_families_have_one_tool() -> None:
    source = Families(78, TRAIN, exclusions.load(), n_branches=N_BRANCHES, easy=True)
    for family in itertools.islice(source.families(), 40):
        assert all(len(conversation.tools) == 1 for conversation in family)
