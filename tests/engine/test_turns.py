"""What templates are given of a conversation: ids and names, one call a turn where a format has no more, switches."""

from __future__ import annotations

from typing import Any

import pytest

from engine.turns import (
    divided,
    native_messages,
    with_joined_results,
    with_reasoning,
    with_system_beside_user,
    with_thinking_words,
)
from engine.types import Call, Message

ASK = Message("user", "Both, please.")
FIRST, SECOND = Call("add", {"a": 1}), Call("now", {})
BOTH = Message("assistant", "Sure.", (FIRST, SECOND))
SUM, NOON = Message("tool", "3", name="add"), Message("tool", "noon", name="now")


def ids(messages: list[Message]) -> list[Any]:
    """For each turn the ids of its calls, or the id that its result answers."""
    turns = native_messages(messages)
    return [turn.get("tool_call_id") or [call["id"] for call in turn.get("tool_calls", ())] for turn in turns]


def test_turns_are_what_transformers_takes() -> None:
    turns = list(native_messages([ASK, BOTH, SUM]))
    (first, second) = turns[1]["tool_calls"]
    assert turns[0] == {"role": "user", "content": "Both, please."}
    assert first == {"id": first["id"], "type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    assert second["function"] == {"name": "now", "arguments": {}}
    assert turns[2] == {"role": "tool", "content": "3", "name": "add", "tool_call_id": first["id"]}


def test_ids_are_nine_letters_and_digits_and_the_same_every_time() -> None:
    conversation = [ASK, BOTH, SUM, NOON, ASK, BOTH]
    _, first, *_, again = ids(conversation)
    assert all(len(each) == 9 and each.isalnum() for each in (*first, *again))
    assert len({*first, *again}) == 4
    assert ids(conversation) == ids(conversation)
    assert ids(conversation[:2]) == ids(conversation)[:2]  # what is added later changes nothing before it


@pytest.mark.parametrize(
    ("results", "answered"),
    [
        ([SUM, NOON], [0, 1]),
        ([NOON, SUM], [1, 0]),  # by name, whatever their order
        ([NOON], [1]),
        ([Message("tool", "?", name="other"), NOON], [0, 1]),
    ],
)
def test_a_result_answers_the_call_of_its_name(results: list[Message], answered: list[int]) -> None:
    _, calls, *found = ids([ASK, BOTH, *results])
    assert [calls.index(each) for each in found] == answered


def test_two_calls_of_one_tool_are_answered_in_order() -> None:
    twice = Message("assistant", calls=(FIRST, FIRST))
    _, calls, *found = ids([ASK, twice, SUM, SUM])
    assert found == calls


def test_a_result_of_nothing_has_an_id_of_its_own() -> None:
    _, result, calls = ids([ASK, SUM, BOTH])
    assert len(result) == 9
    assert result not in calls


# One call a turn


def test_a_turn_with_two_calls_becomes_two_turns_with_their_results() -> None:
    assert list(divided([ASK, BOTH, NOON, SUM, ASK], 1)) == [
        ASK,
        Message("assistant", "Sure.", (FIRST,)),
        SUM,
        Message("assistant", "", (SECOND,)),
        NOON,
        ASK,
    ]


@pytest.mark.parametrize("max_calls", [None, 2, 3])
def test_what_a_turn_can_hold_stays_together(max_calls: int | None) -> None:
    conversation = [ASK, BOTH, SUM, NOON]
    assert list(divided(conversation, max_calls)) == conversation


def test_results_without_a_call_and_calls_without_a_result_are_kept() -> None:
    stray = Message("tool", "?", name="other")
    first, second = Message("assistant", "Sure.", (FIRST,)), Message("assistant", "", (SECOND,))
    assert list(divided([ASK, BOTH, stray, NOON], 1)) == [ASK, first, second, NOON, stray]
    assert list(divided([ASK, BOTH], 1)) == [ASK, first, second]


# What a template wants elsewhere


def test_a_system_message_moves_to_the_users_last_words_where_there_are_any() -> None:
    brief = Message("system", "Be brief.")
    asked, again, call, result = native_messages([ASK, ASK, BOTH, SUM])
    moved = with_system_beside_user(list(native_messages([brief, ASK, ASK, BOTH, SUM])))
    assert moved == [asked, again | {"content": "Be brief.\n\nBoth, please."}, call, result]
    alone = list(native_messages([brief, BOTH, SUM]))
    assert with_system_beside_user(alone) == alone


def test_results_and_what_follows_them_join_the_turn_of_their_calls() -> None:
    silent, done = Message("assistant", calls=(FIRST, SECOND)), Message("assistant", "Done.")
    asked, calls, *_ = turns = list(native_messages([ASK, silent, SUM, NOON, done, ASK]))
    responses = [{"name": "add", "response": "3"}, {"name": "now", "response": "noon"}]
    assert with_joined_results(turns) == [asked, calls | {"tool_responses": responses, "content": "Done."}, asked]
    # Calls behind a result are a turn of their own, and so is whatever follows a turn that has words or no result.
    again = list(native_messages([silent, SUM, silent, NOON, BOTH]))
    assert [len(turn.get("tool_responses", ())) for turn in with_joined_results(again)] == [1, 1, 0]
    for kept in ([BOTH, SUM, done], [silent, done], [ASK, SUM]):
        assert with_joined_results(list(native_messages(kept)))[-1]["content"] == (kept[-1].content)


# Past reasoning, which episodes used to lose


def test_reasoning_stands_with_the_first_part_of_a_divided_turn() -> None:
    thought = Message("assistant", "Sure.", (FIRST, SECOND), reasoning="Hm.")
    assert [turn.reasoning for turn in divided([ASK, thought, SUM, NOON], 1)] == ["", "Hm.", "", "", ""]
    assert "reasoning_content" not in next(native_messages([BOTH]))


@pytest.mark.parametrize(
    ("template", "words", "has_call", "given"),
    [
        ("{{ m.reasoning_content }}", "Sure.", True, {"content": "Sure.", "reasoning_content": "Hm."}),
        ("{{ message['reasoning_content'] }}", "", False, {"content": "", "reasoning_content": "Hm."}),
        ("{% if enable_thinking or thinking %}<think>{% endif %}", "Sure.", True, {"content": "Sure."}),
        ("{{ messages | tojson }}", "", True, {"content": ""}),  # it would show a key that nobody asked for
        # gpt-oss
        ("{% if 'thinking' in message %}{{ message.thinking }}", "", True, {"content": "", "thinking": "Hm."}),
        ("{{ message['thinking'] }}", "Sure.", False, {"content": "Sure.", "thinking": "Hm."}),
        ("{{ message.thinking }}", "Sure.", True, {"content": "", "thinking": "Hm.\n\nSure."}),
        # Ministral 3
        (
            "{% if block['type'] == 'thinking' %}",
            "Sure.",
            True,
            {"content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Sure."}]},
        ),
        ('{% if block.type == "thinking" %}', " ", False, {"content": [{"type": "thinking", "thinking": "Hm."}]}),
    ],
)
def test_reasoning_stands_where_the_template_reads_it(
    template: str, words: str, has_call: bool, given: dict[str, Any]
) -> None:
    calls = (FIRST,) if has_call else ()
    turns = list(native_messages([ASK, Message("assistant", words, calls, reasoning="Hm.")]))
    asked, answered = with_reasoning(turns, template)
    assert asked == turns[0]
    assert answered == {key: turns[1][key] for key in turns[1] if key in ("role", "tool_calls")} | given


# Reasoning, switched by words


@pytest.mark.parametrize(
    ("template", "thinking", "system"),
    [
        ("...'/think' in content ... '/no_think' in content", True, "/think"),
        ("...'/think' in content ... '/no_think' in content", False, "/no_think"),
        ("...'/think' in content ... '/no_think' in content", None, None),
        ("'detailed thinking on' ...", True, "detailed thinking on"),
        ("'detailed thinking on' ...", False, "detailed thinking off"),
        ("enable_thinking", False, None),  # a variable is enough, a word would only be read by the model
    ],
)
def test_words_switch_only_where_the_template_looks_for_them(
    template: str, thinking: bool | None, system: str | None
) -> None:
    user = {"role": "user", "content": "Hi."}
    added = [] if system is None else [{"role": "system", "content": system}]
    assert with_thinking_words([user], template, thinking) == [*added, user]
    mine = {"role": "system", "content": "Be brief."}
    content = "Be brief." if system is None else f"Be brief.\n\n{system}"
    assert with_thinking_words([mine, user], template, thinking) == [{"role": "system", "content": content}, user]
