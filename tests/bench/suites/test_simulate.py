from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.records import EpisodeEnd, ErrorKind, ItemError, ToolResult
from bench.suites.simulate import Episode, Simulation, replays
from engine.types import Call, Message, Parsed, StopReason
from tests.bench.episodes import broken, case_from, play, raw_case, raw_episode

SUM, KEEP = Call("add", {"a": 1, "b": 2}), Call("store", {"value": 3})
RETRY = {"on": "sum", "kind": "transient", "times": 1, "result": {"error": "503"}}


def test_a_case_without_results_has_one_step(tmp_path: Path) -> None:
    episode = Episode(case_from(tmp_path, raw_case()))
    assert episode.advance(Parsed(calls=(SUM,))) is False
    assert (episode.end, episode.results, episode.step) == (EpisodeEnd.SINGLE, (), 1)
    with pytest.raises(ValueError, match="is over"):
        episode.advance(Parsed())


def test_calls_are_answered_until_the_reply(tmp_path: Path) -> None:
    case = case_from(tmp_path, raw_episode())
    episode = Episode(case)
    assert episode.messages == list(case.messages)
    assert episode.advance(Parsed(calls=(SUM,), content="Adding."))
    assert episode.messages[1:] == [
        Message("assistant", "Adding.", (SUM,)),
        Message("tool", '{"sum": 3}', name="add"),
    ]
    assert episode.advance(Parsed(calls=(KEEP,)))
    assert episode.advance(Parsed(content="Stored.")) is False
    assert (episode.end, episode.results) == (EpisodeEnd.REPLY, ())


def test_what_the_model_thought_stays_in_the_conversation(tmp_path: Path) -> None:
    """From the second step on, models that reason were shown a past in which they never did."""
    episode = Episode(case_from(tmp_path, raw_episode()))
    assert episode.advance(Parsed(calls=(SUM,), reasoning="I have to add."))
    assert episode.messages[1] == Message("assistant", "", (SUM,), reasoning="I have to add.")


def test_parallel_calls_are_answered_in_their_order(tmp_path: Path) -> None:
    episode = Episode(case_from(tmp_path, raw_episode()))
    episode.advance(Parsed(calls=(KEEP, SUM)))
    assert [(m.name, m.content) for m in episode.messages[-2:]] == [
        ("store", '{"status": "stored"}'),
        ("add", '{"sum": 3}'),
    ]


@pytest.mark.parametrize(
    ("parsed", "stop"),
    [
        (Parsed(calls=(SUM,)), StopReason.LENGTH),
        (Parsed(content="So"), StopReason.REPETITION),
        (broken("{", SUM), StopReason.EOG),
        (Parsed(open_block=True), StopReason.EOG),
    ],
)
def test_what_was_cut_or_unreadable_is_not_executed(tmp_path: Path, parsed: Parsed, stop: StopReason) -> None:
    episode = Episode(case_from(tmp_path, raw_episode()))
    assert episode.advance(parsed, stop) is False
    assert (episode.end, episode.results) == (EpisodeEnd.CUT, ())


def test_the_step_limit_ends_an_episode_after_the_tools_answered(tmp_path: Path) -> None:
    episode = Episode(case_from(tmp_path, raw_episode(max_steps=2)))
    assert episode.advance(Parsed(calls=(SUM,)))
    assert not episode.advance(Parsed(calls=(SUM,)))
    assert (episode.end, len(episode.results)) == (EpisodeEnd.STEP_LIMIT, 1)


@pytest.mark.parametrize(
    ("call", "error", "field"),
    [
        (Call("subtract", {}), "unknown_tool", None),
        (Call("add", {"a": 1}), "validation", "arguments"),
        (Call("add", {"a": "1", "b": 2}), "validation", "a"),
        (Call("add", {"a": 1, "b": 2, "c": 3}), "validation", "arguments"),
        (Call("store", {"value": 3, "where": "moon"}), "validation", "where"),
        (Call("add", {"a": 2, "b": 2}), "no_result", None),
    ],
)
def test_wrong_calls_fail_the_way_an_interface_would(tmp_path: Path, call: Call, error: str, field: str | None) -> None:
    result = Simulation(case_from(tmp_path, raw_episode())).run(call)
    body = json.loads(result.content)["error"]
    assert (result.ok, result.fault, result.error, body["type"], body.get("field")) == (
        False,
        None,
        error,
        error,
        field,
    )


@pytest.mark.parametrize(
    ("times", "fired"), [(1, [True, False, False]), (2, [True, True, False]), (None, [True, True, True])]
)
def test_a_fault_fires_as_often_as_it_should(tmp_path: Path, times: int | None, fired: list[bool]) -> None:
    tools = Simulation(case_from(tmp_path, raw_episode(fault=RETRY | {"times": times})))
    assert [tools.run(SUM).fault is not None for _ in fired] == fired
    assert tools.run(KEEP).ok


def test_a_fault_waits_for_the_expected_call(tmp_path: Path) -> None:
    tools = Simulation(case_from(tmp_path, raw_episode(fault=RETRY)))
    assert tools.run(Call("add", {"a": 2, "b": 2})).fault is None
    with_default = tools.run(Call("add", {"b": 2.0, "a": 1, "note": "none"}))
    assert with_default == ToolResult("add", '{"error": "503"}', ok=False, fault="transient", error="transient")


def test_a_malformed_result_is_shown_as_it_stands(tmp_path: Path) -> None:
    fault = {"on": "sum", "kind": "malformed", "content": '{"sum": '}
    episode = Episode(case_from(tmp_path, raw_episode(fault=fault)))
    episode.advance(Parsed(calls=(SUM,)))
    assert episode.messages[-1].content == '{"sum": '
    assert episode.fault_step == 1


def test_the_first_matching_result_counts(tmp_path: Path) -> None:
    results: list[dict[str, Any]] = [
        {"name": "add", "arguments": {"a": [1]}, "result": "first"},
        {"name": "add", "arguments": {}, "result": "any"},
    ]
    tools = Simulation(case_from(tmp_path, raw_episode(results=results)))
    assert [tools.run(Call("add", {"a": a, "b": 2})).content for a in (1, 7)] == ['"first"', '"any"']


@pytest.mark.parametrize(
    ("note", "given_", "is_answered"),
    [
        (["none"], {}, True),  # the default spelled out in the entry, as a log spells it
        (["none"], {"note": "none"}, True),
        (["none"], {"note": "why"}, False),
        ({"absent": True}, {"note": "none"}, True),
        ({"absent": True}, {"note": "why"}, False),
        (["why"], {}, False),
    ],
)
def test_an_argument_at_its_default_and_one_left_out_get_the_same_answer(
    tmp_path: Path, note: Any, given_: dict[str, Any], is_answered: bool
) -> None:
    results = [{"name": "add", "arguments": {"a": [1], "note": note}, "result": 3}]
    tools = Simulation(case_from(tmp_path, raw_episode(results=results)))
    assert tools.run(Call("add", {"a": 1, "b": 2, **given_})).ok is is_answered


def test_a_default_within_an_argument_and_one_left_out_get_the_same_answer(tmp_path: Path) -> None:
    """As models write whose classes have defaults: weekly, every one week."""
    every = {"type": "object", "properties": {"unit": {"type": "string"}, "n": {"type": "integer", "default": 1}}}
    tool = {"name": "repeat", "parameters": {"type": "object", "properties": {"every": every}}}
    results = [{"name": "repeat", "arguments": {"every": [{"unit": "week"}]}, "result": "ok"}]
    tools = Simulation(case_from(tmp_path, raw_case(tools=[tool], expected={"calls": []}, results=results)))
    answered = [tools.run(Call("repeat", {"every": {"unit": "week", **n}})).ok for n in ({}, {"n": 1}, {"n": 2})]
    assert answered == [True, True, False]


def test_a_transcript_replays_only_with_the_parses_that_led_to_it(tmp_path: Path) -> None:
    case = case_from(tmp_path, raw_episode())
    record = play(case, [[SUM], [KEEP], "Stored."])
    add, keep, reply = record.steps
    assert replays(case, record)
    changed = [
        (add, keep),  # it would have gone on
        (add, reply, reply),  # it would have ended before
        (replace(add, parsed=Parsed(calls=(KEEP,))), keep, reply),  # the tools would have said something else
        (add, keep, replace(reply, parsed=broken("{"))),  # it would have ended otherwise
        (),
    ]
    for steps in changed:
        assert not replays(case, replace(record, steps=steps))


def test_a_transcript_with_an_error_replays_up_to_it(tmp_path: Path) -> None:
    case = case_from(tmp_path, raw_episode())
    record = play(case, [[SUM], [KEEP], "Stored."])
    error = ItemError(ErrorKind.CONTEXT, "it does not fit")
    cut = replace(record, steps=record.steps[:1], end=EpisodeEnd.ERROR, error=error)
    assert replays(case, cut)
    assert not replays(case, replace(cut, steps=(record.steps[2], record.steps[0])))
