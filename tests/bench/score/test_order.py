"""Order: dependent calls later, independent ones together. Graphs and transcripts are written as short texts.

A graph `B<A` says that B needs A; in a transcript `A C | B` A and C come in one step and B in the next, `B!` carries a
made-up value, and `A?` fails because its own argument is wrong.
"""

from __future__ import annotations

import time
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.authoring.check import problems
from bench.score import Outcome, Score, score
from bench.score.arguments import pair
from bench.suites.case import Case, ExpectedCall
from bench.suites.match import OneOf
from bench.suites.reference import reference_steps
from engine.types import Call, Tool
from tests.bench.episodes import Answer, case_from, play, raw_case, raw_episode


def graph_case(folder: Path, graph: str, **changes: Any) -> Case:
    """Each letter is a tool that takes its producers' letters as `given`, and gives its own."""
    needs = {node.partition("<")[0]: list(node.partition("<")[2]) for node in graph.split()}
    parameters = {"type": "object", "properties": {"given": {"type": "string"}}, "required": ["given"]}
    calls = [
        {
            "id": name,
            "name": name,
            "arguments": {"given": ["".join(producers)] if producers else ["start"]},
            "after": producers,
            "threads": {"given": producers} if producers else {},
        }
        for name, producers in needs.items()
    ]
    return case_from(
        folder,
        raw_case(
            tools=[{"name": name, "description": "", "parameters": parameters} for name in needs],
            expected={"calls": calls},
            results=[
                {"name": name, "arguments": {"given": call["arguments"]["given"]}, "result": name}
                for name, call in zip(needs, calls, strict=True)
            ],
            max_steps=20,
        )
        | changes,
    )


def answers(case: Case, transcript: str) -> list[Answer]:
    ideal = {call.name: call for step in reference_steps(case) for call in step}
    wrong = {"!": "made up", "?": "elsewhere"}
    steps = [
        [Call(token[0], {"given": wrong[token[1]]}) if token[1:] else ideal[token[0]] for token in step.split()]
        for step in transcript.split("|")
    ]
    return [*steps, "Done."]


def judge(folder: Path, graph: str, transcript: str, **changes: Any) -> Score:
    case = graph_case(folder, graph, **changes)
    return score(case, play(case, answers(case, transcript)))


@pytest.mark.parametrize(
    ("graph", "transcript", "outcome", "goal", "order"),
    [
        # n_dependent, n_premature, n_placeholder, n_threads, n_threaded
        ("A B<A", "A | B", Outcome.CORRECT, True, (1, 0, 0, 1, 1)),
        ("A B<A", "A B", Outcome.WRONG_ORDER, False, (1, 1, 0, 0, 0)),
        ("A B<A", "B A", Outcome.WRONG_ORDER, False, (1, 1, 0, 0, 0)),
        ("A B<A", "B | A", Outcome.WRONG_ORDER, False, (1, 1, 0, 0, 0)),
        ("A B<A", "A B!", Outcome.WRONG_ARGUMENTS, False, (1, 1, 1, 0, 0)),
        ("A B<A", "A | B!", Outcome.WRONG_ARGUMENTS, False, (1, 0, 0, 1, 0)),
        ("A B<A", "B!", Outcome.WRONG_COUNT, False, (1, 1, 1, 0, 0)),
        ("A B<A", "A", Outcome.WRONG_COUNT, False, (0, 0, 0, 0, 0)),
        ("A B<A", "A | B! | B", Outcome.WRONG_COUNT, True, (1, 0, 0, 1, 1)),
        ("A B<A", "A | B | A", Outcome.WRONG_COUNT, True, (1, 0, 0, 1, 1)),
        # made too early and then again: the first attempt is what shows the habit
        ("A B<A", "A B! | B", Outcome.WRONG_COUNT, True, (1, 1, 1, 0, 0)),
        ("A B<A", "B! | A | B", Outcome.WRONG_COUNT, True, (1, 1, 1, 0, 0)),
        # after a producer that failed nothing is known either
        ("A B<A", "A? | B!", Outcome.WRONG_ARGUMENTS, False, (1, 1, 1, 0, 0)),
        ("A B<A", "A? | A | B", Outcome.WRONG_COUNT, True, (1, 0, 0, 1, 1)),
        # a chain of three made at once, with and without invention
        ("A B<A C<B", "A B! C!", Outcome.WRONG_ARGUMENTS, False, (2, 2, 2, 0, 0)),
        ("A B<A C<B", "A | B C!", Outcome.WRONG_ARGUMENTS, False, (2, 1, 1, 1, 1)),
        ("A B<A C<B", "A | B | C", Outcome.CORRECT, True, (2, 0, 0, 2, 2)),
        # a diamond: D needs both
        ("A B<A C<A D<BC", "A | B C | D", Outcome.CORRECT, True, (3, 0, 0, 3, 3)),
        ("A B<A C<A D<BC", "A | B | C D", Outcome.WRONG_ORDER, False, (3, 1, 0, 2, 2)),
        ("A B<A C<A D<BC", "A | B C D!", Outcome.WRONG_ARGUMENTS, False, (3, 1, 1, 2, 2)),
    ],
)
def test_dependent_calls(
    tmp_path: Path, graph: str, transcript: str, outcome: Outcome, goal: bool, order: tuple[int, ...]
) -> None:
    result = judge(tmp_path, graph, transcript)
    o = result.order
    assert (result.outcome, result.goal_reached) == (outcome, goal)
    assert (o.n_dependent, o.n_premature, o.n_placeholder, o.n_threads, o.n_threaded) == order


@pytest.mark.parametrize(
    ("graph", "transcript", "outcome", "order"),
    [
        # n_independent_pairs, n_parallel_pairs, n_split_pairs, n_steps, n_fewest_steps
        ("A B", "A B", Outcome.CORRECT, (1, 1, 0, 1, 1)),
        ("A B", "B | A", Outcome.CORRECT, (1, 0, 1, 2, 1)),
        ("A B", "B", Outcome.WRONG_COUNT, (1, 0, 0, 1, 1)),
        ("A B C", "A B | C", Outcome.CORRECT, (3, 1, 2, 2, 1)),
        # a chain beside an independent call: A and C are a pair, B and C are none
        ("A B<A C", "A C | B", Outcome.CORRECT, (1, 1, 0, 2, 2)),
        ("A B<A C", "A | B C", Outcome.CORRECT, (1, 0, 1, 2, 2)),
        ("A B<A C", "A | B | C", Outcome.CORRECT, (1, 0, 1, 3, 2)),
        ("A B<A C", "C | A | B", Outcome.CORRECT, (1, 0, 1, 3, 2)),
        # a diamond
        ("A B<A C<A D<BC", "A | B C | D", Outcome.CORRECT, (1, 1, 0, 3, 3)),
        ("A B<A C<A D<BC", "A | C | B | D", Outcome.CORRECT, (1, 0, 1, 4, 3)),
        # two chains side by side: D could not come with B where C came too late, which is told once
        ("A B<A C D<C", "A C | B D", Outcome.CORRECT, (2, 2, 0, 2, 2)),
        ("A B<A C D<C", "A | B | C | D", Outcome.CORRECT, (2, 0, 1, 4, 2)),
        ("A B<A C D<C", "A C | B | D", Outcome.CORRECT, (2, 1, 1, 3, 2)),
        ("A B<A C D<C", "A | B C | D", Outcome.CORRECT, (2, 0, 1, 3, 2)),
        # what is missing in the middle of a chain does not make its ends independent
        ("A B<A C<B", "A | B! | C", Outcome.WRONG_ARGUMENTS, (0, 0, 0, 2, 2)),
    ],
)
def test_independent_calls(
    tmp_path: Path, graph: str, transcript: str, outcome: Outcome, order: tuple[int, ...]
) -> None:
    result = judge(tmp_path, graph, transcript)
    o = result.order
    assert result.outcome is outcome
    assert (o.n_independent_pairs, o.n_parallel_pairs, o.n_split_pairs, o.n_steps, o.n_fewest_steps) == order


def test_a_call_that_may_have_been_meant_for_another_is_not_called_early(tmp_path: Path) -> None:
    """Two expected calls of one tool, the second needs the first: a wrong one in between is no sign of haste."""
    add = [
        {"id": "one", "name": "add", "arguments": {"a": [1], "b": [2]}},
        {"id": "two", "name": "add", "arguments": {"a": [3], "b": [4]}, "after": ["one"], "threads": {"a": "one"}},
    ]
    results = [{"name": "add", "arguments": {}, "result": 3}]
    case = case_from(tmp_path, raw_episode(expected={"calls": add}, results=results))
    right, wrong, next_ = (Call("add", {"a": a, "b": b}) for a, b in ((1, 2), (2, 1), (3, 4)))
    assert score(case, play(case, [[wrong], [right], [next_], "ok"])).order.n_premature == 0
    assert score(case, play(case, [[right, next_], "ok"])).order.n_premature == 1


def two_of_each(folder: Path, *, backwards: bool = False) -> Case:
    """Find Ann and Bob, then write to each."""
    calls = []
    for who in ("ann", "bob"):
        find = {"id": f"find-{who}", "name": "find", "arguments": {"given": [who]}}
        address = {"given": [f"{who}@x"]}
        mail = {"name": "mail", "arguments": address, "after": [find["id"]], "threads": {"given": find["id"]}}
        calls += [find, mail]
    found = [{"name": "find", "arguments": {"given": [who]}, "result": f"{who}@x"} for who in ("ann", "bob")]
    parameters = {"type": "object", "properties": {"given": {"type": "string"}}, "required": ["given"]}
    raw = raw_case(
        tools=[{"name": name, "parameters": parameters} for name in ("find", "mail")],
        expected={"calls": calls[::-1] if backwards else calls},
        results=[*found, {"name": "mail", "result": "sent"}],
        max_steps=20,
    )
    return case_from(folder, raw)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(
    ("transcript", "order"),
    [
        # n_dependent, n_premature, n_placeholder, n_threads, n_threaded
        ("mail:guess", (1, 1, 1, 0, 0)),
        ("mail:guess mail:other", (2, 2, 2, 0, 0)),
        ("find:ann find:bob | mail:guess", (1, 0, 0, 1, 0)),
        ("find:ann find:bob | mail:guess mail:other", (2, 0, 0, 2, 0)),
        ("find:ann find:bob | mail:ann@x", (1, 0, 0, 1, 1)),
        ("mail:guess | find:ann find:bob | mail:ann@x mail:bob@x", (2, 1, 1, 1, 1)),
        # the one that was possible by then is meant, whichever stands first in the file
        ("find:ann | mail:guess | find:bob | mail:other", (2, 0, 0, 2, 0)),
        ("find:bob | mail:guess | find:ann | mail:other", (2, 0, 0, 2, 0)),
    ],
)
def test_a_call_is_an_attempt_at_one_expected_call_at_most(
    tmp_path: Path, transcript: str, order: tuple[int, ...], backwards: bool
) -> None:
    """Two expected calls of one tool, and one call that is right for neither."""
    steps = [
        [Call(name, {"given": value}) for name, _, value in (token.partition(":") for token in step.split())]
        for step in transcript.split(" | ")
    ]
    case = two_of_each(tmp_path, backwards=backwards)
    o = score(case, play(case, [*steps, "Done."])).order
    assert (o.n_dependent, o.n_premature, o.n_placeholder, o.n_threads, o.n_threaded) == order


def test_a_wrong_call_is_an_attempt_at_the_one_whose_value_it_carries_over(tmp_path: Path) -> None:
    """The right address with a needless argument is right for nobody; the address was carried over all the same."""
    case = two_of_each(tmp_path)
    finds = [Call("find", {"given": who}) for who in ("ann", "bob")]
    wrong = Call("mail", {"given": "bob@x", "subject": "Hello"})
    o = score(case, play(case, [finds, [wrong], "Done."])).order
    assert (o.n_dependent, o.n_threads, o.n_threaded) == (1, 1, 1)


def test_a_call_that_failed_by_the_fault_was_attempted(tmp_path: Path) -> None:
    fault = {"on": "B", "kind": "transient", "times": 1, "seed": 0}
    gave_up = judge(tmp_path, "A B<A", "A | B", fault=fault).order
    assert (gave_up.n_dependent, gave_up.n_premature, gave_up.n_threads, gave_up.n_threaded) == (1, 0, 1, 1)
    hasty = judge(tmp_path, "A B<A", "A B | B", fault=fault).order
    assert (hasty.n_dependent, hasty.n_premature) == (1, 1)
    went_on = judge(tmp_path, "A B<A", "A | B! | A | B", fault=fault | {"on": "A"}).order
    assert (went_on.n_premature, went_on.n_placeholder) == (1, 1)


def told_twice(folder: Path) -> Case:
    """Tell the team that the deploy starts, deploy, tell them when it is done."""
    tell = {"name": "notify", "parameters": {"type": "object", "properties": {"text": {"type": "string"}}}}
    calls = [
        {"id": "start", "name": "notify", "arguments": {"text": {"contains": ["start"]}}},
        {"id": "run", "name": "deploy", "after": ["start"]},
        {"id": "done", "name": "notify", "arguments": {"text": {"contains": ["done"]}}, "after": ["run"]},
    ]
    results = [{"name": name, "result": "ok"} for name in ("notify", "deploy")]
    tools = [tell, {"name": "deploy", "parameters": {"type": "object"}}]
    return case_from(folder, raw_case(tools=tools, expected={"calls": calls}, results=results))


def test_a_call_that_fits_a_later_expectation_too_is_not_taken_for_it(tmp_path: Path) -> None:
    """ "... I write again when it is done", says the first of two messages."""
    case = told_twice(tmp_path)
    first, last = (
        Call("notify", {"text": text})
        for text in ("The deploy is starting, I write when it is done.", "The deploy that I started is done.")
    )
    deploy = Call("deploy", {})
    result = score(case, play(case, [[first], [deploy], [last], "ok"]))
    assert (result.outcome, result.goal_reached, result.order.n_premature) == (Outcome.CORRECT, True, 0)
    assert score(case, play(case, [[first], [last], [deploy], "ok"])).outcome is Outcome.WRONG_ORDER


def test_look_change_and_look_again_can_be_right(tmp_path: Path) -> None:
    """The same call is expected before the change and after it."""
    order = {"order_id": ["OR-3355"]}
    calls = [
        {
            "id": "order",
            "name": "place_order",
            "arguments": {"item_id": ["lamp"], "customer": ["ann@example.com"], "quantity": [2]},
        },
        {"id": "before", "name": "get_order", "arguments": order, "after": ["order"]},
        {"id": "cancel", "name": "cancel_order", "arguments": order, "after": ["before"]},
        {"id": "again", "name": "get_order", "arguments": order, "after": ["cancel"]},
    ]
    raw = {key: value for key, value in raw_case(expected={"calls": calls}).items() if key != "tools"}
    case = case_from(tmp_path, raw | {"world": {"name": "stock", "seed": 7}})
    assert problems(case) == []
    order_, before, cancel, again = (step[0] for step in reference_steps(case)[:-1])
    o = score(case, play(case, [[order_], [before], [cancel], [again], "Done."])).order
    assert (o.n_dependent, o.n_premature) == (3, 0)
    assert score(case, play(case, [[order_], [before, cancel], [again], "ok"])).outcome is Outcome.WRONG_ORDER


GET = {"get": Tool("get", "", {"type": "object", "properties": {"n": {"type": "integer"}}})}


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_working_order_is_found_if_there_is_one(data: st.DataObject) -> None:
    """Of up to five calls each may fit any of the expectations; against all ways there are."""
    n = data.draw(st.integers(2, 5))
    steps = sorted(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    fits = [data.draw(st.lists(st.integers(0, n - 1), min_size=1, unique=True)) for _ in range(n)]
    after = [data.draw(st.lists(st.integers(0, i - 1), max_size=2, unique=True)) if i else [] for i in range(n)]
    expected = [
        ExpectedCall(f"e{i}", "get", {"n": OneOf(tuple(fits[i]))}, after=tuple(f"e{p}" for p in after[i]))
        for i in range(n)
    ]
    calls = [Call("get", {"n": i}) for i in range(n)]
    ways = [way for way in permutations(range(n)) if all(way[i] in fits[i] for i in range(n))]
    working = [way for way in ways if all(steps[way[p]] < steps[way[i]] for i in range(n) for p in after[i])]
    found = pair(data.draw(st.permutations(expected)), calls, GET, steps)
    assert found.is_perfect is bool(ways)
    if working:
        assert tuple(found.pairs[e.id] for e in expected) in working


def test_many_equal_calls_in_an_impossible_order_take_no_time() -> None:
    """Twelve times the same call, each in a step of its own, and what needs all of them first."""
    same = [ExpectedCall(f"e{i}", "get", {"n": OneOf((1,))}) for i in range(12)]
    last = ExpectedCall("last", "get", {"n": OneOf((2,))}, after=tuple(e.id for e in same))
    calls = [Call("get", {"n": 2}), *[Call("get", {"n": 1})] * 12]
    began = time.process_time()
    assert pair([*same, last], calls, GET, range(13)).is_perfect
    assert time.process_time() - began < 5


GRAPHS = ("A", "A B", "A B<A", "A B<A C", "A B<A C<A D<BC", "A B<A C D<C", "A B<A C<B D E", "A B<A C<B D<C E<D")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(GRAPHS), st.data())
def test_every_possible_order_is_correct_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, graph: str, data: st.DataObject
) -> None:
    """Any assignment of calls to steps: correct exactly if each call comes later than what it needs."""
    case = graph_case(tmp_path_factory.mktemp("graph"), graph)
    ids = [e.id for e in case.expected]
    step_of = {call_id: data.draw(st.integers(0, 3), label=call_id) for call_id in ids}
    steps = [data.draw(st.permutations([i for i in ids if step_of[i] == n])) for n in sorted(set(step_of.values()))]
    result = score(case, play(case, answers(case, " | ".join(" ".join(step) for step in steps))))
    is_possible = all(step_of[producer] < step_of[e.id] for e in case.expected for producer in e.after)
    assert result.outcome is (Outcome.CORRECT if is_possible else Outcome.WRONG_ORDER)
    o = result.order
    assert (o.n_premature == 0) is is_possible
    assert o.n_parallel_pairs + o.n_split_pairs <= o.n_independent_pairs
    assert o.n_steps == len(steps)
    if is_possible:
        assert o.n_steps >= o.n_fewest_steps
        assert o.n_threads == o.n_threaded == sum(bool(e.threads) for e in case.expected)


def test_the_ideal_answer_takes_the_fewest_steps_and_splits_nothing(tmp_path: Path) -> None:
    for graph in GRAPHS:
        case = graph_case(tmp_path, graph)
        o = score(case, play(case, [*reference_steps(case)[:-1], "Done."])).order
        assert o.n_steps == o.n_fewest_steps
        assert (o.n_parallel_pairs, o.n_split_pairs) == (o.n_independent_pairs, 0)
