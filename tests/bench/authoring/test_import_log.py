"""Cases out of logs: which shapes are read, what becomes of a turn, and what is said of the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.authoring.chat_log import conversation_in
from bench.authoring.check import problems
from bench.authoring.examine import examine
from bench.authoring.import_log import Imported, Turns, cases_from
from bench.authoring.turns import turns_of
from bench.suites.case import Case, load
from engine.turns import native_messages

WEATHER = {
    "name": "weather",
    "description": "",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
FIND = {
    "name": "find",
    "description": "",
    "parameters": {"type": "object", "properties": {"who": {"type": "string"}, "n": {"type": "integer"}}},
}
MAIL = {
    "name": "mail",
    "description": "",
    "parameters": {"type": "object", "properties": {"to": {"type": "string"}, "text": {"type": "string"}}},
}
TOOLS = [{"type": "function", "function": tool} for tool in (WEATHER, FIND, MAIL)]


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def calls(*wanted: tuple[str, str, dict[str, Any]]) -> dict[str, Any]:
    written = [
        {"id": id_, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for id_, name, arguments in wanted
    ]
    return {"role": "assistant", "content": None, "tool_calls": written}


def result(id_: str, content: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id_, "content": content}


def body(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages), "tools": TOOLS, **more}


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


OSLO = calls(("c1", "weather", {"city": "Oslo"}))
BOTH = calls(("a", "find", {"n": 1}), ("b", "find", {"n": 2}))
ANSWERED = {"choices": [{"index": 0, "message": OSLO}]}
ASKED = body(user("Weather in Oslo?"), OSLO)


def beside(response: Any) -> dict[str, Any]:
    return {"request": body(user("Weather in Oslo?")), "response": response}


def imported(folder: Path, *entries: Any, turns: Turns = Turns.ALL, tools: Any = ()) -> Imported:
    log = folder / "log.jsonl"
    lines = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return cases_from(log, suite="mine", tools=tools, turns=turns, tools_file="mine.tools.json")


def suite_of(folder: Path, found: Imported) -> tuple[Case, ...]:
    """The cases as they are read from the file that was made, in which `suite check` finds nothing wrong."""
    (folder / "mine.jsonl").write_text(found.text, encoding="utf-8")
    (folder / "mine.tools.json").write_text(json.dumps(found.tools), encoding="utf-8")
    assert examine(folder / "mine.jsonl").problems == ()
    return load(folder / "mine.jsonl").cases


@pytest.mark.parametrize(
    "entry",
    [
        ASKED,
        ASKED | {"messages": [user([{"type": "text", "text": "Weather in Oslo?"}]), OSLO]},
        body(user("Weather in Oslo?")) | ANSWERED,
        {"request": body(user("Weather in Oslo?")), "response": ANSWERED},
        {
            "custom_id": "1",
            "body": body(user("Weather in Oslo?")),
            "response": {"body": {"choices": [{"message": OSLO}]}},
            "error": None,
        },
        beside(json.dumps(ANSWERED)),
        beside({"model": "m", "message": OSLO, "done": True, "done_reason": "stop"}),
        beside(OSLO),
        {"request": body(user("Weather in Oslo?")), "output": ANSWERED},
        {
            "messages": [
                user("Weather in Oslo?"),
                {"role": "assistant", "function_call": {"name": "weather", "arguments": '{"city": "Oslo"}'}},
            ],
            "functions": [WEATHER],
        },
        {
            "messages": [
                user("Weather in Oslo?"),
                {
                    "role": "assistant",
                    "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Oslo"}}}],
                },
            ],
            "tools": [WEATHER],
        },
    ],
)
def test_the_shapes_that_are_read(tmp_path: Path, entry: dict[str, Any]) -> None:
    (case,) = suite_of(tmp_path, imported(tmp_path, entry))
    assert [message.content for message in case.messages] == ["Weather in Oslo?"]
    assert [call.name for call in case.expected] == ["weather"]
    assert (case.category, case.is_episode, case.id) == ("one call", False, "mine/1")
    assert problems(case) == []


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("{", "it is not JSON ("),
        ([1], "it is no JSON object; a log has one JSON object on each line"),
        ({"prompt": "x"}, 'it has no "messages"; a line is'),
        ({"input": "x", "tools": TOOLS}, "as the Responses API writes it"),
        (body(user("x"), {"role": "robot"}), "messages.1: the role 'robot' is not known"),
        (body({"role": ["user"]}), "messages.0: the role ['user'] is not known"),
        (body(user("x"), said("y"), tool_choice=1e999), "it is not JSON (Infinity is no JSON value)"),
        (json.dumps(ASKED).replace("Oslo?", "1e999?").replace('"m"', "1e999"), "the number 1e999 is out of range"),
        (body(user("Weather? \ud83d"), OSLO), "it is not JSON (it has half of a surrogate pair"),
        (body(user("x"), calls(("c", "find", {"who": nested(260)}))), "arguments of find are not JSON (it is nested"),
        (body(user("x"), calls(("c", "find", {"who": nested(62)}))), "the case could not be read again: it is nested"),
        (body(7), "messages.0: it is no JSON object"),
        (
            body(user([{"type": "image_url", "image_url": {}}])),
            "messages.0: its content has a part of type 'image_url'",
        ),
        (body(user(5)), "messages.0: its content is neither text"),
        (body(user("x"), {"role": "assistant", "content": [{"type": "tool_use"}]}), "a part of type 'tool_use'"),
        (body(user("x"), {"role": "assistant", "tool_calls": [{}]}), "messages.1: a call has no function with a name"),
        (
            body(user("x"), {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}),
            "messages.1: the arguments of f are not JSON",
        ),
        (
            body(user("x"), {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[]"}}]}),
            "messages.1: the arguments of f are no JSON object",
        ),
        (body(user("x"), OSLO, result("c9", "")), "messages.2: it answers the call 'c9', which is not there"),
        (body(user("x"), BOTH, {"role": "tool", "content": "x"}), "messages.2: a result has to say"),
        (body(user("x"), BOTH, {"role": "tool", "name": "mail", "content": "x"}), "messages.2: a result has to say"),
        (body(user("x"), OSLO, result("c1", "1"), result("c1", "2")), "'c1', which is not there or has its result"),
        (body(user("x"), BOTH, result("b", "2"), said("y")), "the log has no result of an earlier call of find"),
        (body(user("x"), OSLO, said("one moment"), result("c1", "1")), "a result of weather does not stand below"),
        (beside({"error": {"message": "rate limit"}}), 'its "response" is an error'),
        (beside(None) | {"error": "rate limit"}, 'it has an "error" in place of an answer'),
        (beside([{"choices": [{"delta": {}}]}]), 'its "response" is no answer that is known'),
        (beside({}), 'its "response" is no answer that is known'),
        (beside("Sunny."), 'its "response" is a text and not JSON'),
        (
            beside({"role": "assistant", "content": [{"type": "tool_use"}]}),
            "messages.1: its content has a part of type",
        ),
        (beside({"choices": [{"message": said("It"), "finish_reason": "length"}]}), '"finish_reason" is "length"'),
        (beside({"message": said("It"), "done_reason": "length"}), '"done_reason" is "length"'),
        (beside({"message": said("It"), "done": False}), "one piece of a stream"),
        (beside(said("It") | {"stop_reason": "max_tokens"}), '"stop_reason" is "max_tokens"'),
        (ASKED | {"system": "Be brief."}, 'it has a "system" beside its messages'),
        (ASKED | {"tools": [{"type": "web_search_preview"}]}, "which only a service can run"),
        (body(user("x") | {"tool_calls": [{}]}), "messages.0: only the assistant calls tools"),
        (body(user("x"), said("y"), tool_choice="none"), '"tool_choice" is "none"'),
        (body(user("x"), OSLO, tool_choice={"function": {"name": "weather"}}), '"tool_choice" names the tool'),
        (body(user("x")) | {"choices": [{"text": "old"}]}, 'the answer\'s "choices" hold no "message"'),
        (body(user("x"), said("y"), tools="all"), 'its "tools" are no list'),
        (body(user("x")), "it has no answer of the assistant"),
        ({"messages": [user("x"), said("y")]}, "it names no tools; give --tools"),
        (body(user("x"), calls(("c", "fly", {}))), "expected.calls.0.name: the case offers no tool 'fly'"),
        (body(user("x"), calls(("c", "weather", {"town": "Oslo"}))), "weather has no parameter 'town'"),
        (body(user("x"), calls(("c", "weather", {"city": 5}))), "cannot be 5: "),
        (body(user("x"), calls(("c", "weather", {}))), "judged schema_invalid"),
        (
            body(
                user("x"), calls(("a", "find", {"n": 1}), ("b", "find", {"n": 1})), result("a", "1"), result("b", "2")
            ),
            "find was called twice with the same arguments",
        ),
        (
            body(user("x"), calls(("a", "find", {"n": 1}), ("b", "find", {"n": 2})), result("a", "1")),
            "the log has no result of find",
        ),
        (
            body(user("x"), OSLO, tools=[{"name": "weather", "parameters": {"type": "colour"}}]),
            "tools.0: tool 'weather'",
        ),
    ],
)
def test_what_is_left_out_is_said_with_its_line(tmp_path: Path, entry: Any, reason: str) -> None:
    found = imported(tmp_path, ASKED, entry)
    assert len(found.cases) == 1
    ((line, said_of),) = [(each.line, each.reason) for each in found.left_out]
    assert line == 2
    assert reason in said_of
    assert "\n" not in said_of


CHAIN = body(
    {"role": "developer", "content": "Be brief."},
    user("Write to Mia about her order 4711."),
    calls(("a", "find", {"who": "Mia"})),
    result("a", '{"address": "mia@x.org", "last": 88231}'),
    calls(("b", "mail", {"to": "mia@x.org", "text": "Order 4711"}), ("c", "find", {"n": 88231})),
    result("b", "sent"),
    result("c", '{"error": "gone"}'),
    said("Done."),
    user("Thanks!"),
    said("Welcome."),
)


def test_a_turn_of_several_steps_with_its_results_and_what_was_carried_over(tmp_path: Path) -> None:
    found = imported(tmp_path, CHAIN)
    chain, thanks = suite_of(tmp_path, found)
    assert [(e.name, e.after, dict(e.threads)) for e in chain.expected] == [
        ("find", (), {}),
        ("mail", ("call-1",), {"to": ("call-1",)}),
        ("find", ("call-1",), {"n": ("call-1",)}),
    ]
    assert [rule.content for rule in chain.results if rule.name == "mail"] == ["sent"]
    assert chain.messages[0].role == "system"
    assert (thanks.id, thanks.category, thanks.expected, len(thanks.messages)) == ("mine/1-2", "no call", (), 9)
    assert [problems(case) for case in (chain, thanks)] == [[], []]
    look = {case.id: case.look for case in found.cases}
    assert look["mine/1-1"] == ("find answered with an error; should it have been called so?",)
    assert look["mine/1-2"] == ("no tool was called; is that right, or should one have been?",)
    assert found.text.count("// look: ") == 2


def noted(value: str, first: str) -> dict[str, Any]:
    """The user says the value; the first tool echoes it, and the second is given it."""
    return body(
        user(f"Find {value}, and also write {value} to Mia."),
        calls(("a", "find", {"who": value})),
        result("a", first),
        calls(("b", "mail", {"text": value})),
        result("b", "sent"),
    )


@pytest.mark.parametrize("value", ["She said no", 'She said "no"', "Müller\n& Co"])
@pytest.mark.parametrize("in_ascii", [True, False])
def test_what_the_user_said_is_not_carried_over_from_a_result(tmp_path: Path, value: str, in_ascii: bool) -> None:
    echoed = json.dumps({"saved": value}, ensure_ascii=in_ascii)
    (case,) = suite_of(tmp_path, imported(tmp_path, noted(value, echoed)))
    assert [e.after for e in case.expected] == [(), ()]


@pytest.mark.parametrize("value", ["Jürgen Müller", 'Jo "JJ" Lee', "two\nlines"])
@pytest.mark.parametrize("in_ascii", [True, False])
def test_a_value_from_a_result_in_any_spelling_was_carried_over(tmp_path: Path, value: str, in_ascii: bool) -> None:
    entry = body(
        user("Write to the boss."),
        calls(("a", "find", {"who": "boss"})),
        result("a", json.dumps({"name": value}, ensure_ascii=in_ascii)),
        calls(("b", "mail", {"to": value})),
        result("b", "sent"),
    )
    (case,) = suite_of(tmp_path, imported(tmp_path, entry))
    assert (case.expected[1].after, dict(case.expected[1].threads)) == (("call-1",), {"to": ("call-1",)})
    assert problems(case) == []


def test_a_later_call_without_a_value_from_a_result_is_pointed_out(tmp_path: Path) -> None:
    long = "Dear Mia, it was good to see you at the fair the other day."
    entry = body(
        user("Find Mia, then say hello to mia@x.org."),
        calls(("a", "find", {"who": "Mia"})),
        result("a", "found mia@x.org"),
        calls(("b", "mail", {"to": "mia@x.org", "text": long})),
        result("b", "sent"),
    )
    (case,) = (found := imported(tmp_path, entry)).cases
    assert "text of mail: only this very text is right" in case.look[0]
    assert "mail came after results and has no value from them" in case.look[1]
    assert suite_of(tmp_path, found)[0].expected[1].after == ()


def test_the_most_particular_result_answers_first(tmp_path: Path) -> None:
    both = calls(("a", "find", {"n": 1}), ("b", "find", {"n": 1, "who": "Mia"}))
    (case,) = suite_of(tmp_path, imported(tmp_path, body(user("x"), both, result("a", "all"), result("b", "Mia"))))
    assert [rule.content for rule in case.results] == ["Mia", "all"]


def test_a_turn_that_ends_in_a_result_says_so(tmp_path: Path) -> None:
    """A logged answer was not recognised, and what was left of the turn passed for all of it."""
    (case,) = imported(tmp_path, body(user("x"), OSLO, result("c1", "rain"))).cases
    assert case.look == ("the turn ends with a tool's answer; what the assistant did next is not in the log",)


SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("messages", "n_cases", "reason"),
    [
        ([user("x"), OSLO, result("c1", "rain"), SYSTEM, BOTH], 0, "a system message stands between"),
        ([user("x"), SYSTEM, OSLO], 0, "a system message stands between"),
        ([user("x"), OSLO, result("c1", "rain"), said("y"), SYSTEM, user("z"), BOTH], 2, ""),
        ([SYSTEM, OSLO, result("c1", "rain"), said("y"), user("z"), BOTH], 1, "before the user has asked"),
        ([user("x"), OSLO, user("z"), result("c1", "rain"), BOTH], 1, "a result of weather does not stand below"),
    ],
)
def test_no_call_is_lost_without_a_word(
    tmp_path: Path, messages: list[dict[str, Any]], n_cases: int, reason: str
) -> None:
    found = imported(tmp_path, body(*messages))
    assert len(found.cases) == n_cases
    assert [reason in each.reason for each in found.left_out] == ([True] if reason else [])


def paired(case: Case) -> dict[Any, str]:
    """What each call of the conversation was answered, as a chat template is told."""
    told = list(native_messages(case.messages))
    results = {turn["tool_call_id"]: turn["content"] for turn in told if turn["role"] == "tool"}
    made = [call for turn in told for call in turn.get("tool_calls", ())]
    return {next(iter(call["function"]["arguments"].values())): results[call["id"]] for call in made}


@pytest.mark.parametrize(
    ("ids", "results"),
    [
        ("ab", [result("b", "two"), result("a", "one")]),
        (("", ""), [result("", "one"), result("", "two")]),
        (("c", "c"), [result("c", "one"), result("c", "two")]),
        (("", ""), [{"role": "tool", "content": "one"}, {"role": "tool", "content": "two"}]),
        (("", ""), [{"role": "tool", "tool_name": "find", "content": text} for text in ("one", "two")]),
    ],
)
@pytest.mark.parametrize("second", ["find", "mail"])
def test_each_result_stays_with_its_call(
    tmp_path: Path, ids: Sequence[str], results: list[dict[str, Any]], second: str
) -> None:
    """In order of completion, or without ids of their own: in the turn itself, and in a later one."""
    if second == "mail" and "tool_name" in results[1]:
        results = [results[0], results[1] | {"tool_name": "mail"}]
    key = "who" if second == "find" else "to"
    both = calls((ids[0], "find", {"who": "Mia"}), (ids[1], second, {key: "Jo"}))
    again = calls((ids[0], "weather", {"city": "Rome"}))
    entry = body(user("x"), both, *results, said("y"), user("z"), again, result(ids[0], "20C"), said("20C"))
    first, later = suite_of(tmp_path, imported(tmp_path, entry))
    assert [rule.content for rule in first.results] == ["one", "two"]
    assert paired(later) == {"Mia": "one", "Jo": "two"}


def test_what_the_application_allowed_is_kept(tmp_path: Path) -> None:
    asked = ASKED | {"tool_choice": "required", "parallel_tool_calls": False}
    (case,) = suite_of(tmp_path, imported(tmp_path, asked))
    assert (case.tool_choice, case.parallel_tool_calls) == ("required", False)


@pytest.mark.parametrize(("turns", "ids"), [(Turns.FIRST, ["1-1"]), (Turns.LAST, ["1-2"]), (Turns.ALL, ["1-1", "1-2"])])
def test_first_last_or_all(tmp_path: Path, turns: Turns, ids: list[str]) -> None:
    assert [case.id for case in imported(tmp_path, CHAIN, turns=turns).cases] == [f"mine/{id_}" for id_ in ids]


def test_a_log_of_requests_tells_a_turn_again_and_again(tmp_path: Path) -> None:
    whole = CHAIN["messages"]
    growing = [CHAIN | {"messages": whole[:n]} for n in (3, 4, 8, 10)]
    found = imported(tmp_path, *growing)
    assert (len(found.cases), found.n_repeated) == (2, 3)
    assert [len(case.expected) for case in suite_of(tmp_path, found)] == [3, 0]


def test_two_answers_to_one_request_do_not_both_count(tmp_path: Path) -> None:
    found = imported(tmp_path, ASKED, body(user("Weather in Oslo?"), said("Sunny.")))
    assert [case.line for case in found.cases] == [1]
    assert found.left_out[0].reason.startswith("line 1 asks the same and was answered otherwise")


def test_what_the_application_allowed_is_part_of_what_was_asked(tmp_path: Path) -> None:
    """Without a call where one may be left out, with one where it may not: both answers count."""
    free = body(user("Weather in Oslo?"), said("Sunny."))
    found = imported(tmp_path, free, ASKED | {"tool_choice": "required"}, ASKED | {"parallel_tool_calls": False})
    assert ([case.line for case in found.cases], found.n_repeated, found.left_out) == ([1, 2, 3], 0, ())


def test_a_tool_that_changed_within_the_log_stays_with_its_case(tmp_path: Path) -> None:
    changed = WEATHER | {"description": "New words."}
    found = imported(
        tmp_path, ASKED, body(user("And in Rome?"), calls(("c", "weather", {"city": "Rome"})), tools=[changed])
    )
    first, second = suite_of(tmp_path, found)
    assert (first.tools[0].description, second.tools[0].description) == ("", "New words.")


def test_tools_from_elsewhere_where_the_log_names_none(tmp_path: Path) -> None:
    bare = {"messages": ASKED["messages"]}
    (case,) = suite_of(tmp_path, imported(tmp_path, bare, tools=[WEATHER]))
    assert [tool.name for tool in case.tools] == ["weather"]


MESSAGES = st.one_of(
    st.builds(user, st.sampled_from(["a", "b mia@x.org", ""])),
    st.builds(said, st.sampled_from(["yes", ""])),
    st.just({"role": "system", "content": "s"}),
    st.builds(
        lambda ids, values: calls(*((id_, "find", {"who": value}) for id_, value in zip(ids, values, strict=False))),
        st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=2, unique=True),
        st.lists(st.sampled_from(["Mia", "mia@x.org", "4711"]), min_size=2, max_size=2),
    ),
    st.builds(result, st.sampled_from(["a", "b"]), st.sampled_from(["mia@x.org", '{"n": 4711}', "error"])),
)

EXCHANGES = st.builds(  # a request, two calls with ids that may be the same or none, their results in any order
    lambda ids, tools, order: [
        user("c"),
        calls(*((id_, tool, {}) for id_, tool in zip(ids, tools, strict=True))),
        *(result(ids[place], str(place)) for place in order),
    ],
    st.sampled_from(["ab", ("c", "c"), ("", "")]),
    st.permutations(["find", "mail"]),
    st.permutations(range(2)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(MESSAGES.map(lambda message: [message]) | EXCHANGES, min_size=1, max_size=8))
def test_whatever_a_log_holds_the_suite_is_sound_and_nothing_is_lost(
    tmp_path: Path, parts: list[list[dict[str, Any]]]
) -> None:
    messages = [message for part in parts for message in part]
    found = imported(tmp_path, body(*messages))
    try:
        told = conversation_in(body(*messages)).messages
    except ValueError:
        told = ()
    turns = turns_of(told)
    assert [c for turn in turns for each in turn.messages for c in each.calls] == [
        c for each in told for c in each.calls
    ]
    n_turns = len(turns)
    assert len(found.cases) + len(found.left_out) == max(n_turns, 1)
    if found.cases:
        assert [problems(case) for case in suite_of(tmp_path, found)] == [[]] * len(found.cases)
