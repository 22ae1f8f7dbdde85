"""How many answers at a time: for cards and machines that are not here, for models of true size, and in whole runs."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.fit.predict import Budget, candidates
from bench.results.store import Store
from bench.run import events, slots
from bench.run.config import AUTO, Slots
from bench.run.execute import execute
from bench.run.loading import open_model
from bench.run.plan import Plan, PlannedItem
from bench.run.slots import LADDER, UNKNOWN, Machine, choose, n_cells, prompt_tokens, with_slots
from engine.llama.params import ContextParams, LoadParams
from engine.memory import CannotPredict, Predictor
from engine.runtime import Limits
from grammars.errors import ToolgaugeError
from tests.bench.scripted import PROVENANCE, fake, open_without_memory, plan_of

GIB = 1 << 30
ONE_STEP = ("native.free", "native.schema", "json.free", "json.schema")


def machine(*cards: float, ram: float = 64, n_cores: int = 8) -> Machine:
    budget = Budget(tuple(int(size * GIB) for size in cards), None, GIB // 2, "free on Card") if cards else None
    return Machine(budget, int(ram * GIB), n_cores)


def predictor(name: str) -> Predictor:
    """Of a model of the registry at its true size, from its public configuration."""
    model, _, quant = name.partition(":")
    return candidates(model, [quant or "Q4_K_M"])[0].predictor


def chosen(
    monkeypatch: pytest.MonkeyPatch, folder: Path, here: Machine, *names: str, **settings: Any
) -> tuple[Plan, slots.Choice]:
    monkeypatch.setattr(slots, "_predictor", predictor)
    models = [replace(fake(name), path=name, n_ctx_train=131_072) for name in names]
    values: dict[str, Any] = {"parallel": AUTO, "modes": ONE_STEP, "n_cases": 40, "limits": Limits(512, 1024)}
    plan = plan_of(folder, models, **values | settings)
    return plan, choose(plan, lambda load: here)


# The cache


@pytest.mark.parametrize(
    ("n_ctx", "n_slots", "n_each", "cells"),
    [
        (8192, 1, 2048, 8192),  # one answer has its whole context
        (8192, 4, 2048, 8192),
        (8192, 16, 2048, 32_768),
        (8192, 16, 2000, 32_768),  # llama.cpp rounds up to 256
        (8192, 4, 100_000, 32_768),  # no answer gets more than its context
        (8192, 4, 0, 8192),
        (1000, 3, 700, 2304),
    ],
)
def test_the_cache_holds_what_most_answers_need_and_the_longest(
    n_ctx: int, n_slots: int, n_each: int, cells: int
) -> None:
    assert n_cells(n_ctx, n_slots, n_each) == cells


def test_a_few_long_cases_do_not_make_the_cache_large(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, n_cases=20, parallel=8)
    short = choose(plan).slots.n_each
    long = replace(plan.cells[0].items[0].case, content_hash="long", tools=plan.cells[0].items[0].case.tools * 500)

    def lengthened(n_long: int) -> int:
        def item_of(item: PlannedItem) -> PlannedItem:
            return replace(item, case=long) if item.position < n_long else item

        cells = tuple(replace(cell, items=tuple(map(item_of, cell.items))) for cell in plan.cells)
        return choose(replace(plan, cells=cells)).slots.n_each

    assert prompt_tokens(long) > 8192
    assert lengthened(2) == short
    assert lengthened(10) == 8192


def test_reasoning_is_counted_where_a_template_knows_it(tmp_path: Path) -> None:
    thinking = replace(fake(), template="{{ messages }}<think>")
    limits = Limits(answer=512, reasoning=4096)
    plain, on, off = (
        choose(plan_of(tmp_path, [model], limits=limits, **settings)).slots.n_each
        for model, settings in (
            (replace(fake(), template="{{ messages }}"), {}),
            (thinking, {}),
            (thinking, {"thinking": False}),
        )
    )
    assert on == plain + 4096
    assert off == plain


# The number


def test_a_given_number_is_taken_and_no_machine_is_looked_at(tmp_path: Path) -> None:
    def unasked(load: LoadParams) -> Machine:
        raise AssertionError(load)

    assert choose(plan_of(tmp_path, parallel=7), unasked).slots.n_slots == 7


@pytest.mark.parametrize(("n_cores", "expected"), [(1, 4), (2, 4), (6, 4), (8, 8), (12, 8), (64, 16)])
def test_without_a_card_it_is_a_few_by_the_cores(
    n_cores: int, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, choice = chosen(monkeypatch, tmp_path, machine(n_cores=n_cores), "qwen3-8b")
    assert choice.slots.n_slots == expected
    assert "core" in choice.slots.why
    assert not choice.warnings


@pytest.mark.parametrize(("n_cases", "expected"), [(1, 4), (2, 8), (3, 8), (9, 32)])
def test_no_more_than_there_are_answers(
    n_cases: int, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, choice = chosen(monkeypatch, tmp_path, machine(80), "qwen3-8b", n_cases=n_cases)  # in four modes
    assert choice.slots.n_slots == expected


def test_more_memory_never_means_fewer_and_what_is_chosen_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = []
    for vram in (7, 8, 9, 12, 16, 24, 80):
        plan, choice = chosen(monkeypatch, tmp_path, machine(vram), "qwen3-8b")
        n_slots, n_each = choice.slots.n_slots, choice.slots.n_each
        (way,), _ = slots._ways(plan, machine(vram))
        assert machine(vram).holds(way.estimate(n_slots, n_each))
        if n_slots < LADDER[-1]:
            assert not machine(vram).holds(way.estimate(2 * n_slots, n_each))
            assert "more answers of qwen3-8b" in choice.slots.why
        numbers.append(n_slots)
    assert all(less <= more for less, more in pairwise(numbers))
    assert numbers[0] < numbers[-1] == LADDER[-1]


def test_layers_left_in_memory_are_computed_by_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = LoadParams(n_gpu_layers=20)
    _, choice = chosen(monkeypatch, tmp_path, machine(80, n_cores=2), "qwen3-8b", load=load)
    assert choice.slots.n_slots == 4


def test_one_number_for_all_models_is_that_of_the_largest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine(12)
    alone = [chosen(monkeypatch, tmp_path, here, f"qwen3-8b:{quant}")[1].slots.n_slots for quant in ("Q4_K_M", "Q8_0")]
    assert alone[0] > alone[1]
    _, both = chosen(monkeypatch, tmp_path, here, "qwen3-8b:Q4_K_M", "qwen3-8b:Q8_0")
    assert both.slots.n_slots == alone[1]
    assert "qwen3-8b:Q8_0" in both.slots.why


def test_every_context_of_the_run_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"context": ContextParams(n_ctx=4096), "more_contexts": (ContextParams(n_ctx=131_072),)}
    _, choice = chosen(monkeypatch, tmp_path, machine(10), "qwen3-8b", **settings)
    (warning,) = choice.warnings
    assert "131,072 tokens" in warning
    assert choice.slots.n_slots == LADDER[-1]


def test_recurrent_states_are_counted_for_every_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Qwen3.6 27B keeps 150 MiB of state for each sequence, however short."""
    plan, _ = chosen(monkeypatch, tmp_path, machine(80), "qwen3.6-27b")
    (way,), _ = slots._ways(plan, machine(80))
    states = [way.estimate(count, 1024).on_devices.state_bytes for count in (1, 2, 16)]
    assert states[1] == 4 * states[0] > 0, "two answers, and two prefixes that they may share"
    assert states[2] == 18 * states[0]
    model = way.estimate(1, 1024).on_devices.total_bytes
    just = (model + 10 * states[0]) / GIB + 1
    _, choice = chosen(monkeypatch, tmp_path, machine(just), "qwen3.6-27b")
    assert choice.slots.n_slots <= 8


def test_what_cannot_be_predicted_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(path: str) -> Predictor:
        raise CannotPredict("rwkv6 keeps a state of its own kind")

    monkeypatch.setattr(slots, "_predictor", unknown)
    choice = choose(
        plan_of(tmp_path, [replace(fake("a"), path="a.gguf")], n_cases=40, parallel=AUTO), lambda _: machine(80)
    )
    assert choice.slots.n_slots == UNKNOWN
    assert "rwkv6 keeps a state" in choice.slots.why


# Where not even one fits


@pytest.mark.parametrize("here", [machine(5.3), machine(ram=6)])
def test_what_would_fit_is_said_and_does_fit(here: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ContextParams(n_ctx=16_384)
    with pytest.raises(ToolgaugeError, match=r"qwen3-8b needs about .* what would fit: .*-c \d") as error:
        chosen(monkeypatch, tmp_path, here, "qwen3-8b", context=context)
    told = str(error.value)
    assert "--parallel 1" in told
    n_ctx = int(re.findall(r"-c (\d+)", told)[0])
    shorter = replace(context, n_ctx=n_ctx)
    assert chosen(monkeypatch, tmp_path, here, "qwen3-8b", context=shorter)[1].slots.n_slots >= 1
    longer = replace(context, n_ctx=n_ctx + 256)
    with pytest.raises(ToolgaugeError):
        chosen(monkeypatch, tmp_path, here, "qwen3-8b", context=longer)
    if here.cards:
        layers = LoadParams(n_gpu_layers=int(re.findall(r"-ngl (\d+)", told)[0]))
        assert chosen(monkeypatch, tmp_path, here, "qwen3-8b", context=context, load=layers)[1].slots.n_slots >= 1
    else:
        assert "-ngl" not in told


def test_layers_for_the_card_are_named_where_fewer_would_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A card of 12 GiB and 7 GiB of memory hold this model with 41 to 45 layers on the card, and no other number."""
    here, asked = machine(12, ram=7), {"context": ContextParams(n_ctx=8192)}

    def fits(n_layers: int) -> bool:
        load = LoadParams(n_gpu_layers=n_layers)
        try:
            return bool(chosen(monkeypatch, tmp_path, here, "qwen3.6-27b", load=load, **asked)[1].slots.n_slots)
        except ToolgaugeError:
            return False

    with pytest.raises(ToolgaugeError, match=r"what would fit: -ngl \d+\.") as error:
        chosen(monkeypatch, tmp_path, here, "qwen3.6-27b", **asked)
    told = int(re.findall(r"-ngl (\d+)", str(error.value))[0])
    assert fits(told)
    assert not fits(told + 1)
    assert not fits(32), "here the search by halves began, and gave up"


def test_a_smaller_cache_is_offered_where_it_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine(7)
    with pytest.raises(ToolgaugeError, match="--kv-type q8_0"):
        chosen(monkeypatch, tmp_path, here, "qwen3-8b", context=ContextParams(n_ctx=16_384))
    context = ContextParams(n_ctx=16_384, type_k="q8_0", type_v="q8_0")
    assert chosen(monkeypatch, tmp_path, here, "qwen3-8b", context=context)[1].slots.n_slots >= 1


def test_one_that_does_not_fit_leaves_the_others_their_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine(10)
    _, alone = chosen(monkeypatch, tmp_path, here, "qwen3-8b:Q4_K_M")
    _, both = chosen(monkeypatch, tmp_path, here, "qwen3-8b:F16", "qwen3-8b:Q4_K_M")
    assert both.slots.n_slots == alone.slots.n_slots
    (warning,) = both.warnings
    assert warning.startswith("qwen3-8b:F16 needs about")


# In a run


def test_the_choice_changes_no_key_and_is_kept_with_the_settings(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, parallel=AUTO)
    made = with_slots(plan, Slots(3, 700, "a test"))
    assert made.key == plan.key
    assert {cell.context.n_cells for cell in made.cells} == {n_cells(8192, 3, 700)}
    assert [cell.model for cell in made.cells] == [cell.model for cell in plan.cells]
    assert type(made.config).from_json(made.config.to_json()) == made.config
    assert made.config.n_slots == 3


@pytest.mark.usefixtures("workers_here")
def test_a_run_is_gone_on_with_as_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, told = plan_of(tmp_path, n_cases=40, parallel=AUTO), []
    with Store.open(tmp_path / "results.db") as store:
        monkeypatch.setattr(slots, "machine_here", lambda load: machine(n_cores=8))
        with pytest.raises(ToolgaugeError):
            execute(store, plan, PROVENANCE, opener=open_without_memory, listener=told.append)
        monkeypatch.setattr(slots, "machine_here", lambda load: machine(n_cores=64))
        done = execute(store, plan, PROVENANCE, opener=open_model, listener=told.append)
        assert len(store.runs()) == 1
        assert done.config["slots"]["n_slots"] == 8
        assert done.config["parallel"] == AUTO
        cells = store.cells(done.id)
        assert {item.n_slots for cell in cells for item in store.items(cell.id)} == {8}
        assert {cell.model.context["context"]["n_cells"] for cell in cells} == {
            n_cells(8192, 8, done.config["slots"]["n_each"])
        }
        assert store.loads(done.id)[-1].n_slots == 8
    assert [event.slots.n_slots for event in told if isinstance(event, events.SlotsChosen)] == [8]


@pytest.mark.usefixtures("workers_here")
def test_another_number_may_be_asked_for_when_a_run_is_gone_on_with(tmp_path: Path) -> None:
    with Store.open(tmp_path / "results.db") as store:
        with pytest.raises(ToolgaugeError):
            execute(store, plan_of(tmp_path, parallel=4), PROVENANCE, opener=open_without_memory)
        done = execute(store, plan_of(tmp_path, parallel=2), PROVENANCE, opener=open_model)
        assert len(store.runs()) == 1
        assert {item.n_slots for cell in store.cells(done.id) for item in store.items(cell.id)} == {2}


@settings(max_examples=50, deadline=None)
@given(st.integers(256, 40_000), st.integers(1, 64), st.integers(0, 50_000))
def test_any_cache_holds_one_context_and_no_more_than_all_of_them(n_ctx: int, n_slots: int, n_each: int) -> None:
    cells = n_cells(n_ctx, n_slots, n_each)
    assert n_ctx <= cells <= n_slots * (n_ctx + 255)
    assert cells % 256 == 0
