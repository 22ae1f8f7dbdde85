"""Conversations with a made-up service behind the official names: the loop, its process apart, and the verdict."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.records import EpisodeEnd, ErrorKind, ItemError, ItemRecord, StepRecord
from bench.score import score
from bench.score.bfcl.multi_turn import verdict
from bench.suites.bfcl import dialogue, simulators
from bench.suites.bfcl.package import ENVIRONMENT
from bench.suites.bfcl.simulators import SERVER, SimulatorBroken, SimulatorDied, Simulators
from bench.suites.case import Case, load
from bench.suites.reference import played, reference_steps
from bench.suites.simulate import begin, offered, replays
from engine.fake import FakeModel
from engine.formats import get
from engine.prompt import PromptBuilder
from engine.template import ChatTemplate
from engine.types import Call, Fragment, Message, Parsed, StopReason
from tests.bench.bfcl.made_up import conversation, write_package
from tests.bench.episodes import generation

SCENARIO = {
    "classes": {
        "GorillaFileSystem": ["switch", "switched", "count", "name", "thing", "nap", "leave", "write", "start"]
    },
    "config": {"GorillaFileSystem": {"lamps": {"hall": False, "attic": True}}},
    "long_context": False,
}
ON = Call("switch", {"room": "hall"})
OFF = Call("switch", {"room": "hall", "on": False})
COUNT = Call("count", {})
NO_SILENCE = ChatTemplate(
    "{% for m in messages %}{% if not m.content and not m.tool_calls %}{{ raise_exception('empty') }}{% endif %}"
    "|{{ m.role }}:{{ m.content }}{% for c in m.tool_calls %}{{ c.function.arguments }}{% endfor %}{% endfor %}"
)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lamps = {"hall": False, "attic": True}
    rows = [
        conversation(
            "multi_turn_miss_func_0", "On!", None, "How many?", lamps=lamps, missed_function={"1": ["switch"]}
        ),
        conversation("multi_turn_miss_func_1", "Off!", "And?", lamps=lamps),
    ]
    truths = [
        {"id": rows[0]["id"], "ground_truth": [[], ["switch('hall', on=True)"], ["count()"]]},
        {"id": rows[1]["id"], "ground_truth": [["switch(room='hall', on=False)"], ["switch(room='attic', on=False)"]]},
    ]
    folder = tmp_path_factory.mktemp("made-up")
    return write_package(folder, {"multi_turn_miss_func": rows}, {"multi_turn_miss_func": truths})


@pytest.fixture
def services(package: Path) -> Iterator[Simulators]:
    made = Simulators(package, timeout_s=5)
    yield made
    made.close()


@pytest.fixture
def cases(package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Case, ...]]:
    monkeypatch.setenv(ENVIRONMENT, str(package))
    simulators.simulators.cache_clear()
    yield load("bfcl:multi_turn_miss_func").cases
    simulators.simulators().close()
    simulators.simulators.cache_clear()


def run(services: Simulators, *calls: tuple[str, dict[str, Any]]) -> list[tuple[str, bool]]:
    values = [(name, (), arguments) for name, arguments in calls]
    return [services.run(SCENARIO, values[:place], value) for place, value in enumerate(values)]


# The services


def test_a_call_has_its_effect_on_those_after_it(services: Simulators) -> None:
    found = run(services, ("switch", {"room": "hall"}), ("switch", {"room": "attic", "on": False}), ("count", {}))
    assert [json.loads(text) for text, _ in found] == [
        {"room": "hall", "on": True},
        {"room": "attic", "on": False},
        2,
    ]
    assert not any(failed for _, failed in found)


def test_no_conversation_sees_another_not_even_through_modules(services: Simulators) -> None:
    switch, switched = ("switch", (), {"room": "hall"}), ("switched", (), {})
    assert services.run(SCENARIO, [switch, switch], switched) == ("2", False)
    assert services.run(SCENARIO, [switch], switched) == ("1", False)
    assert services.run(SCENARIO, [], switched) == ("0", False)
    assert services.run(SCENARIO, [switch, switch], switched) == ("2", False)


@pytest.mark.parametrize(
    ("call", "shown", "fails"),
    [
        (("switch", {"room": "cellar"}), '{"error": "there is no cellar"}', True),
        (("name", {}), "lamps", False),
        (("nap", {"seconds": "x"}), "Error during execution: 'str' object cannot be interpreted as an integer", True),
        (("switch", {}), "missing 1 required positional argument: 'room'", True),
        (("switch", {"room": "hall", "colour": 1}), "got an unexpected keyword argument 'colour'", True),
        (("blink", {}), "Error during execution: name 'blink' is not defined", True),
        (("undocumented", {}), "name 'undocumented' is not defined", True),
        (("_load_scenario", {"scenario": {}}), "name '_load_scenario' is not defined", True),
        (("__class__", {}), "name '__class__' is not defined", True),
        (("switch.__globals__", {}), "is not defined", True),
        (("write", {"path": "/tmp/never-written"}), "Error during execution: open is not allowed here", True),
        (("start", {}), "is not allowed here", True),
    ],
)
def test_what_a_call_is_answered(
    services: Simulators, call: tuple[str, dict[str, Any]], shown: str, fails: bool
) -> None:
    ((text, failed),) = run(services, call)
    assert shown in text
    assert failed is fails


def test_a_result_that_is_no_json_is_shown_as_python_writes_it(services: Simulators) -> None:
    ((text, _),) = run(services, ("thing", {}))
    assert text.startswith("{'self': <class ")


def test_a_service_that_hangs_or_dies_is_ended_and_the_next_call_is_answered(package: Path) -> None:
    services = Simulators(package, timeout_s=0.5)
    assert run(services, ("count", {})) == [("2", False)]
    with pytest.raises(SimulatorDied, match="took longer"):
        run(services, ("nap", {"seconds": 60}))
    with pytest.raises(SimulatorDied, match="ended"):
        run(services, ("leave", {}))
    assert run(services, ("count", {})) == [("2", False)]
    services.close()


def test_a_missing_source_is_said(package: Path) -> None:
    services = Simulators(package)
    with pytest.raises(SimulatorBroken, match="MathAPI"):
        services.run({**SCENARIO, "classes": {"MathAPI": ["add"]}}, [], ("add", (), {}))
    services.close()


def test_the_process_knows_nothing_of_ours(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of ours")
    services = Simulators(package)
    started: list[Any] = []
    real = subprocess.Popen

    def popen(command: Sequence[str], **options: Any) -> Any:
        started.append((command, options))
        return real(command, **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    run(services, ("count", {}))
    services.close()
    ((command, options),) = started
    assert command[:4] == [sys.executable, "-I", "-S", "-X"]
    assert str(SERVER) in command
    assert "SECRET" not in options["env"] and "PATH" not in options["env"]
    assert os.environ["SECRET"]


# The loop


def played_with(case: Case, *answers: Sequence[Call] | str) -> ItemRecord:
    return played(case, [Parsed(content=a) if isinstance(a, str) else Parsed(calls=tuple(a)) for a in answers])


def test_a_turn_ends_at_the_first_answer_without_a_call(cases: tuple[Case, ...]) -> None:
    run = begin(cases[1])
    assert run.advance(Parsed(calls=(OFF,)))
    assert [message.role for message in run.messages] == ["user", "assistant", "tool"]
    assert run.advance(Parsed(content="It is off."))
    assert run.messages[-2:] == [Message("assistant", "It is off."), Message("user", "And?")]
    assert not run.advance(Parsed(content="Nothing."))
    assert run.end is EpisodeEnd.REPLY


def test_what_the_model_thought_and_a_turn_of_silence_stay_in_the_conversation(cases: tuple[Case, ...]) -> None:
    """Reasoning may run out of its budget; Ministral 3's template refuses the empty turn that is left of it."""
    run = begin(cases[1])
    assert run.advance(Parsed(calls=(OFF,), reasoning="Off, then."))
    assert run.messages[1] == Message("assistant", "", (OFF,), reasoning="Off, then.")
    assert run.advance(Parsed(reasoning="So"), StopReason.REASONING_LENGTH)
    assert run.messages[-2:] == [Message("assistant", reasoning="So"), Message("user", "And?")]
    prompt = PromptBuilder(FakeModel("fake:test", lambda *_: ""), NO_SILENCE, get("mistral_args"), "native")
    assert prompt.text(run.messages, run.tools).endswith("|assistant: |user:And?")


def test_an_answer_that_cannot_be_read_ends_the_turn_and_stays_in_the_conversation(cases: tuple[Case, ...]) -> None:
    run = begin(cases[1])
    assert run.advance(Parsed(content="Well:", fragments=(Fragment('{"name": swi', "not JSON", 0),)))
    assert run.messages[-2] == Message("assistant", 'Well:\n{"name": swi')
    assert run.messages[-1].role == "user"


def test_functions_held_back_come_at_their_turn(cases: tuple[Case, ...]) -> None:
    run = begin(cases[0])
    assert "switch" not in [tool.name for tool in run.tools]
    run.advance(Parsed(content="I cannot."))
    assert run.tools[-1].name == "switch"
    assert run.messages[-1] == Message(
        "user", "I have updated some more functions you can choose from. What about now?"
    )
    run.advance(Parsed(calls=(ON,)))
    record = played_with(cases[0], "No.", [ON], "Done.", [COUNT], "Two.")
    assert ["switch" in [tool.name for tool in tools] for tools in offered(cases[0], record)] == [False, *[True] * 4]


def test_a_turn_without_end_is_broken_off(cases: tuple[Case, ...]) -> None:
    record = played_with(cases[1], *[[COUNT]] * 40)
    assert record.end is EpisodeEnd.STEP_LIMIT
    assert len(record.steps) == 21
    found = verdict(cases[1], record)
    assert found.error_type == "multi_turn:force_terminated"
    assert score(cases[1], record).outcome == "wrong_count"


def test_a_full_context_ends_the_conversation(cases: tuple[Case, ...]) -> None:
    run = begin(cases[1])
    assert not run.advance(Parsed(content="and"), StopReason.CONTEXT)
    assert run.end is EpisodeEnd.CUT


def test_a_call_that_brings_the_services_down_is_told_and_forgotten(
    cases: tuple[Case, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = played_with(cases[1], [OFF, Call("leave", {}), COUNT], "Done.", "Done.")
    results = record.steps[0].results
    assert [result.ok for result in results] == [True, False, True]
    assert results[1].content.startswith("Error during execution: ")
    assert results[2].content == "2"
    assert verdict(cases[1], record).error_type == "toolgauge:services_died"


def test_a_stored_conversation_replays(cases: tuple[Case, ...]) -> None:
    record = played_with(cases[1], [OFF], "Done.", [COUNT], "Two.")
    assert replays(cases[1], record)
    again = played_with(cases[1], [ON], "Done.", [COUNT], "Two.")
    mixed = ItemRecord(record.case_id, (again.steps[0], *record.steps[1:]), record.end)
    assert replays(cases[1], mixed)  # its own results are stored with it
    other = StepRecord(record.steps[0].generation, again.steps[0].parsed, record.steps[0].results)
    assert not replays(cases[1], ItemRecord(record.case_id, (other, *record.steps[1:]), record.end))


# The verdict


def test_the_ideal_conversation_is_right(cases: tuple[Case, ...]) -> None:
    for case in cases:
        steps = reference_steps(case)
        record = played_with(case, *(step or "Done." for step in steps))
        judged = score(case, record)
        assert judged.outcome == "correct"
        assert judged.official is not None and judged.official.valid


CELLAR = Call("switch", {"room": "cellar"})
SWITCH_ATTIC = Call("switch", {"room": "attic", "on": False})


@pytest.mark.parametrize(
    ("answers", "error_type", "outcome"),
    [
        (("Done.", [SWITCH_ATTIC], "Done."), "multi_turn:empty_turn_model_response", "no_call"),
        (([ON], "Done.", [SWITCH_ATTIC], "Done."), "multi_turn:instance_state_mismatch", "wrong_arguments"),
        (([COUNT], "Done.", [COUNT], "Done."), "multi_turn:execution_response_mismatch", "wrong_tool"),
        (([CELLAR], "Done.", [SWITCH_ATTIC], "Done."), "multi_turn:execution_response_mismatch", "wrong_arguments"),
        (([OFF, OFF], "Done.", [SWITCH_ATTIC], "Done."), "", "correct"),
        (([OFF, COUNT], "Done.", [COUNT], [SWITCH_ATTIC], [COUNT], "Done."), "", "correct"),
        (([OFF], "Done.", [SWITCH_ATTIC], "Done."), "", "correct"),
    ],
)
def test_what_is_wrong_has_its_official_name_and_ours(
    cases: tuple[Case, ...], answers: tuple[Sequence[Call] | str, ...], error_type: str, outcome: str
) -> None:
    judged = score(cases[1], played_with(cases[1], *answers))
    assert judged.official is not None
    assert (judged.official.error_type, judged.outcome.value) == (error_type, outcome)


def test_a_cut_or_unreadable_answer_is_named_where_the_conversation_failed(cases: tuple[Case, ...]) -> None:
    broken = Parsed(fragments=(Fragment("{", "not JSON", 0),))
    record = played(cases[1], [broken, Parsed(content="Done.")])
    assert score(cases[1], record).outcome == "unparseable"
    cut = ItemRecord(
        cases[1].id,
        tuple(StepRecord(generation(step.parsed, StopReason.LENGTH), step.parsed) for step in record.steps),
        EpisodeEnd.REPLY,
    )
    assert score(cases[1], cut).outcome == "truncated"


def test_a_cut_answer_does_not_make_a_right_conversation_wrong(cases: tuple[Case, ...]) -> None:
    record = played_with(cases[1], [OFF], "Done.", [SWITCH_ATTIC], "Done.")
    last = record.steps[-1]
    cut = StepRecord(generation(last.parsed, StopReason.LENGTH), last.parsed)
    assert score(cases[1], ItemRecord(record.case_id, (*record.steps[:-1], cut), record.end)).outcome == "correct"


def test_an_item_that_ended_in_an_error_is_no_answer(cases: tuple[Case, ...]) -> None:
    record = ItemRecord(cases[1].id, (), EpisodeEnd.ERROR, ItemError(ErrorKind.CONTEXT, "too long"))
    judged = score(cases[1], record)
    assert judged.outcome == "context_exceeded"
    assert judged.official is not None and judged.official.error_type == "multi_turn:inference_error"


def test_the_loop_asks_the_services_once_for_each_call(
    cases: tuple[Case, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    real: Callable[..., Any] = simulators.simulators().run

    class Counting:
        def run(self, scenario: Any, before: Sequence[Any], call: Any) -> Any:
            asked.append((len(before), call[0]))
            return real(scenario, before, call)

    monkeypatch.setattr(dialogue, "simulators", lambda: Counting())
    played_with(cases[1], [OFF, COUNT], "Done.", "Done.")
    assert asked == [(0, "switch"), (1, "count")]
