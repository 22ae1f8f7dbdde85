"""Playing items on a loaded model: whatever goes wrong with one is told by name and costs no other."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bench.records import EpisodeEnd, ErrorKind, ItemRecord
from bench.results.rows import Stored
from bench.run.config import RunConfig
from bench.run.execute import model_spec
from bench.run.loading import LoadedModel, Opened, open_model
from bench.run.messages import Began, ItemFinished, Message
from bench.run.plan import Plan, make_plan
from bench.run.play import Player
from bench.run.todo import todo
from bench.suites.case import load
from bench.suites.simulate import Episode
from engine.constraint.protocol import Constraint
from engine.errors import ConstraintError, UnsupportedSchema
from engine.fake import TEMPLATE, FakeRuntime, fake_model
from engine.runtime import Finished, Request
from engine.types import Generation, Sampling, StopReason, Tool
from grammars.nodes import Node, Repeat, Seq
from tests.bench.episodes import raw_case, write_suite
from tests.bench.scripted import NO_LATENCY, Recorded, fake, plan_of, suite


@dataclass
class Played:
    records: dict[str, ItemRecord]  # by case and mode
    requests: list[Request]
    most_pending: int
    messages: list[Message]
    names: dict[str, str]  # the case and mode of each request, by its key


def played(plan: Plan, stored: Stored | None = None) -> Played:
    """The whole accuracy pass of a plan of one model, in this process."""
    messages: list[Message] = []
    spec = model_spec(plan, plan.models[0], open_model)
    left = todo(plan, plan.models[0], stored or Stored({}, frozenset(), frozenset()))
    model = open_model(spec, left.work())
    with model.runtime(single=False) as opened:
        assert isinstance(opened.runtime, FakeRuntime)
        runtime = Recorded(opened.runtime)
        Player(model, spec, messages.append).play(runtime, left.work().items)
    names = {job.key: f"{job.case.id} {job.mode}" for job in left.work().items}
    records = {names[m.key]: m.record for m in messages if isinstance(m, ItemFinished)}
    return Played(records, runtime.requests, runtime.most_pending, messages, names)


def test_every_item_comes_back_once_whole_and_after_it_began(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, n_cases=5, with_episode=True)
    outcome = played(plan)
    assert len(outcome.records) == plan.n_items
    began = [m.key for m in outcome.messages if isinstance(m, Began)]
    finished = [m.key for m in outcome.messages if isinstance(m, ItemFinished)]
    assert sorted(began) == sorted(finished) == sorted(item.key for cell in plan.cells for item in cell.items)
    assert all(record.error is None for record in outcome.records.values())


def test_an_episode_is_played_to_its_end(tmp_path: Path) -> None:
    outcome = played(plan_of(tmp_path, n_cases=1, with_episode=True))
    for mode in ("native.free", "json.free"):
        record = outcome.records[f"mine/episode {mode}"]
        assert [[call.name for call in step.parsed.calls] for step in record.steps] == [["add"], ["store"], []]
        assert [[result.ok for result in step.results] for step in record.steps] == [[True], [True], []]
        assert record.end is EpisodeEnd.REPLY
        assert "sum" in record.steps[1].prompt


class Dwindling(Episode):
    """Offers one tool less after each step."""

    @property
    def tools(self) -> tuple[Tool, ...]:
        return self.case.tools[self.step :]


def test_tools_may_change_from_step_to_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.run.play.begin", Dwindling)
    outcome = played(plan_of(tmp_path, n_cases=1, with_episode=True))
    for mode in ("native.free", "json.free"):
        prompts = [step.prompt for step in outcome.records[f"mine/episode {mode}"].steps]
        assert ["Add two numbers." in prompt for prompt in prompts] == [True, False, False]
        assert ["Store a number." in prompt for prompt in prompts] == [True, True, False]


def test_items_share_the_slots_of_the_runtime(tmp_path: Path) -> None:
    assert played(plan_of(tmp_path, n_cases=6, parallel=3)).most_pending == 3
    assert played(plan_of(tmp_path, n_cases=6, parallel=1)).most_pending == 1


def test_the_answers_do_not_depend_on_how_many_are_in_flight(tmp_path: Path) -> None:
    def texts(parallel: int) -> dict[str, list[str]]:
        outcome = played(plan_of(tmp_path, n_cases=4, with_episode=True, parallel=parallel))
        return {name: [step.generation.text for step in record.steps] for name, record in outcome.records.items()}

    assert texts(1) == texts(4)


def test_what_was_in_flight_at_a_crash_is_played_alone(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, n_cases=4, modes=["native.free"])
    crashed = {item.key for item in plan.cells[0].items}
    outcome = played(plan, Stored(dict.fromkeys(crashed, 1), frozenset(crashed), frozenset()))
    assert outcome.most_pending == 1
    assert {m.n_slots for m in outcome.messages if isinstance(m, ItemFinished)} == {1}


def test_a_prompt_that_does_not_fit_is_told_as_that(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, n_cases=2, modes=["native.free"])
    small = replace(plan, cells=tuple(replace(c, context=replace(c.context, n_ctx=64)) for c in plan.cells))
    for record in played(small).records.values():
        assert record.error is not None
        assert record.error.kind is ErrorKind.CONTEXT
        assert record.end is EpisodeEnd.ERROR


def test_a_template_that_refuses_costs_only_its_items(tmp_path: Path) -> None:
    source = "{%- if tools %}{{ raise_exception('no tools, please') }}{% endif -%}" + TEMPLATE.source
    records = played(plan_of(tmp_path, [replace(fake(), template=source)], n_cases=2)).records
    for name, record in records.items():
        if name.endswith("native.free"):
            assert record.error is not None
            assert record.error.kind is ErrorKind.TEMPLATE
            assert "no tools, please" in record.error.message
        else:
            assert record.error is None


@dataclass
class Refusing:
    """A backend that cannot build anything."""

    reason: Exception
    name: str = "llguidance"
    version: str = "0"
    n_asked: int = 0

    def compile(self, root: Node) -> Any:
        self.n_asked += 1
        raise self.reason


@pytest.mark.parametrize(
    "reason",
    [UnsupportedSchema("llguidance", "not", "/properties/a"), ConstraintError("no tools to call")],
    ids=["unsupported", "impossible"],
)
def test_a_constraint_that_cannot_be_built_is_never_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: Exception
) -> None:
    backend = Refusing(reason)
    monkeypatch.setattr(LoadedModel, "backend", lambda model, name: backend)
    records = played(plan_of(tmp_path, n_cases=2, modes=("native.free", "native.schema"))).records
    assert backend.n_asked == 1, "what is refused is not tried again"
    for name, record in records.items():
        if name.endswith("native.free"):
            assert record.error is None
        else:
            assert record.error is not None
            assert record.error.kind is ErrorKind.CONSTRAINT
            assert record.error.message == str(reason)
            assert record.steps == ()


class Anything:
    """A backend whose constraints are never asked: the script ignores them."""

    name, version, text = "llguidance", "0", ""

    def __init__(self) -> None:
        self.roots: list[Node] = []

    def compile(self, root: Node) -> Any:
        self.roots.append(root)
        return self

    def start(self) -> Constraint:
        raise AssertionError("the scripted runtime does not decode")


def test_without_tools_a_native_answer_is_free_unless_a_call_is_required(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing that a call could be held to, and what is stored says that there was no constraint."""
    monkeypatch.setattr(LoadedModel, "backend", lambda model, name: Anything())
    modes = ("native.free", "native.schema", "json.free", "json.schema")
    cases = [
        raw_case(id=f"mine/{choice}", tools=[], tool_choice=choice, expected={"calls": []})
        for choice in ("auto", "required")
    ]
    config = RunConfig(modes=modes, latency=NO_LATENCY)
    outcome = played(make_plan(config, (fake(),), (load(write_suite(tmp_path, *cases)),)))
    constrained = {outcome.names[str(request.key)] for request in outcome.requests if request.compiled}
    assert all(outcome.records[f"mine/auto {mode}"].error is None for mode in modes)
    assert constrained == {"mine/auto json.schema"}
    error = outcome.records["mine/required native.schema"].error
    assert error is not None
    assert error.kind is ErrorKind.CONSTRAINT
    assert "without tools" in error.message


def test_one_tool_set_is_compiled_once_for_each_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Anything()
    monkeypatch.setattr(LoadedModel, "backend", lambda model, name: backend)
    plan = plan_of(tmp_path, n_cases=4, modes=("native.schema", "json.schema", "json.syntax", "json.free"))
    outcome = played(plan)
    assert len(backend.roots) == 3
    assert len({repr(root) for root in backend.roots}) == 3
    assert [request.compiled is backend for request in outcome.requests].count(True) == 12
    assert {request.triggers for request in outcome.requests} == {("<tool_call>",), ()}


def test_a_case_that_wants_one_call_at_a_time_is_held_to_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Anything()
    monkeypatch.setattr(LoadedModel, "backend", lambda model, name: backend)
    plan = plan_of(tmp_path, n_cases=1, modes=["native.schema", "json.schema"])
    played(plan)
    played(make_plan(plan.config, plan.models, [suite(tmp_path, 1, parallel_tool_calls=False)]))
    assert [_most_calls(root) for root in backend.roots] == [None, None, 1, 1]


def _most_calls(node: Node) -> int | None:
    """The maximum of the first repetition in a tree, which is that of calls; a line break may follow them."""
    if isinstance(node, Repeat):
        return node.maximum
    assert isinstance(node, Seq)
    return next(part for part in node.parts if isinstance(part, Repeat)).maximum


def test_a_constraint_that_leaves_no_token_is_an_error_that_keeps_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stuck(FakeRuntime):
        def step(self) -> Sequence[Finished]:
            return [Finished(f.key, _stuck(f.generation)) for f in super().step()]

    stuck = Opened(Stuck(fake_model("fake:silent", perfect=None)))
    monkeypatch.setattr(LoadedModel, "runtime", lambda model, single: nullcontext(stuck))
    (record,) = played(plan_of(tmp_path, n_cases=1, modes=["native.free"])).records.values()
    assert record.error is not None
    assert record.error.kind is ErrorKind.CONSTRAINT
    assert len(record.steps) == 1


def _stuck(generation: Generation | None) -> Generation:
    assert generation is not None
    return replace(generation, stop=StopReason.CONSTRAINT)


@pytest.mark.parametrize("has_text", [True, False])
def test_a_constraint_that_breaks_off_is_never_the_models_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_text: bool
) -> None:
    class Broken(FakeRuntime):
        def step(self) -> Sequence[Finished]:
            found = super().step()
            return [
                Finished(f.key, f.generation if has_text else None, "no such state", constraint_failed=True)
                for f in found
            ]

    broken = Opened(Broken(fake_model("fake:silent", perfect=None)))
    monkeypatch.setattr(LoadedModel, "runtime", lambda model, single: nullcontext(broken))
    (record,) = played(plan_of(tmp_path, n_cases=1, modes=["native.free"])).records.values()
    assert record.error is not None
    assert (record.error.kind, record.error.message) == (ErrorKind.CONSTRAINT, "no such state")
    assert len(record.steps) == has_text


def test_seeds_differ_by_case_and_trial_and_agree_between_modes(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, n_cases=2, trials=2, sampling=Sampling(temperature=1.0, seed=5))
    seeds = [request.sampling.seed for request in played(plan).requests]
    assert len(seeds) == 8
    assert len(set(seeds)) == 4


@pytest.mark.parametrize("draft", [False, True])
def test_items_are_drafted_where_it_is_asked_for(tmp_path: Path, draft: bool) -> None:
    outcome = played(plan_of(tmp_path, n_cases=2, draft=draft))
    assert {request.draft for request in outcome.requests} == {draft}


def test_reading_the_vocabulary_is_no_part_of_compiling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(tmp_path, modes=("json.schema",), n_cases=2)
    spec, work = (
        model_spec(plan, plan.models[0], open_model),
        todo(plan, plan.models[0], Stored({}, frozenset(), frozenset())).work(),
    )
    model = open_model(spec, work)
    clock = [0.0]
    make_backend = model._make_backend

    def slow(name: str) -> Any:
        clock[0] += 0.7
        return make_backend(name)

    monkeypatch.setattr(model, "_make_backend", slow)
    monkeypatch.setattr("bench.run.play.time.perf_counter", lambda: clock[0])
    messages: list[Message] = []
    Player(model, spec, messages.append).play(FakeRuntime(fake_model("fake:silent", perfect=None)), work.items)
    records = [message.record for message in messages if isinstance(message, ItemFinished)]
    assert [record.steps[0].generation.timings.compile_s for record in records] == [0.0, 0.0]
    assert clock[0] == 0.7


def test_a_step_of_an_episode_goes_on_from_the_one_before(tmp_path: Path) -> None:
    steps: dict[object, list[Request]] = {}
    for request in played(plan_of(tmp_path, n_cases=2, with_episode=True, parallel=2)).requests:
        steps.setdefault(request.key, []).append(request)
    assert max(map(len, steps.values())) > 2
    for first, *others in steps.values():
        assert not first.goes_on
        assert all(other.goes_on for other in others)
