"""Two runs side by side: which rows are held against each other, over which cases, and what is said to differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.report.between import Between, Missing, Side, between
from bench.results.store import Store
from bench.run import writer
from bench.run.judge import verdict
from bench.run.plan import Plan, PlannedModel
from bench.score import VERSION
from engine.llama.params import ContextParams
from grammars.errors import ToolgaugeError
from tests.bench.scripted import PROVENANCE, fake, plan_of
from tests.bench.stored import BROKEN, INVALID, RIGHT, WRONG, record

Answers = Mapping[tuple[str, str], Sequence[str]]  # quant and mode -> the kinds of answer, case by case


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "results.db") as opened:
        yield opened


def level(quant: str, name: str = "tiny", **more: Any) -> PlannedModel:
    return replace(fake(quant=quant), name=name, **more)


def planned(folder: Path, answers: Answers, models: Sequence[PlannedModel] = (), **settings: Any) -> Plan:
    quants, modes = (list(dict.fromkeys(place)) for place in zip(*answers, strict=True))
    n_cases = max(map(len, answers.values()))
    return plan_of(folder, models or [level(quant) for quant in quants], n_cases=n_cases, modes=modes, **settings)


def stored(store: Store, plan: Plan, answers: Answers, *, finished: bool = True) -> int:
    run_id = writer.begin_run(store, plan, PROVENANCE)
    for cell, wanted in zip(store.cells(run_id), plan.cells, strict=True):
        for item, kind in zip(wanted.items, answers[wanted.model.quant, wanted.mode.id], strict=False):
            found = record(item.case, kind, constrained=wanted.mode.constrained)
            writer.put_item(store, run_id, cell.id, item, found, scores=[verdict(item.case, found)])
    writer.release(store, run_id, finished=finished)
    return run_id


def compared(store: Store, first: int, second: int, margin: float = 0.05) -> Between:
    found = between(store, store.run(str(first)), store.run(str(second)), margin)
    json.dumps(found.to_json(), allow_nan=False)
    return found


OLD = {
    ("F16", "native.free"): [RIGHT] * 90,
    ("Q4", "native.free"): [RIGHT] * 80 + [WRONG] * 10,
}
NEW = {
    ("F16", "native.free"): [RIGHT] * 90,
    ("Q4", "native.free"): [WRONG] * 20 + [RIGHT] * 65 + [INVALID] * 5,
}


def test_each_level_is_held_against_itself_over_the_same_cases(store: Store, tmp_path: Path) -> None:
    first, second = (stored(store, planned(tmp_path, answers), answers) for answers in (OLD, NEW))
    found = compared(store, first, second)
    assert (found.before, found.after) == (first, second)
    same, lost = found.changes
    assert (same.before.quant, same.after.quant) == ("F16", "F16")
    assert (same.rung.n, same.rung.gained, same.rung.lost, same.rung.verdict) == (90, 0, 0, "not worse")
    assert (lost.before.quant, lost.after.quant) == ("Q4", "Q4")
    assert (lost.rung.n, lost.rung.gained, lost.rung.lost, lost.rung.verdict) == (90, 5, 20, "worse")
    assert (lost.before.n_right, lost.after.n_right) == (80, 65)
    assert found.worse == found.not_shown == (lost,)
    assert lost.rung.p == pytest.approx(0.0040773, rel=1e-3)  # exact McNemar of 5 and 20: the other row is no test
    assert compared(store, second, first).worse == ()
    assert not found.settings
    assert not found.left_out


def test_only_cases_with_a_verdict_in_both_runs_count(store: Store, tmp_path: Path) -> None:
    place = ("F16", "native.free")
    old, new = {place: [RIGHT, RIGHT, BROKEN, WRONG]}, {place: [WRONG, BROKEN, RIGHT, WRONG]}
    first, second = (stored(store, planned(tmp_path, answers), answers) for answers in (old, new))
    (change,) = compared(store, first, second).changes
    assert (change.rung.n, change.rung.gained, change.rung.lost) == (2, 0, 1)
    assert (change.before.n_right, change.after.n_right) == (1, 0)
    assert change.rung.verdict == "cannot tell"
    assert change.n_without_verdict == 1, "the second case had one, and the third one has it now alone"


def test_the_warnings_of_both_runs_stand_beside_what_changed(store: Store, tmp_path: Path) -> None:
    """A baseline that was killed at 4 of 12 answers was held against a whole run without a word."""
    place = ("F16", "native.free")
    plan = planned(tmp_path, {place: [RIGHT] * 12})
    first = stored(store, plan, {place: [RIGHT] * 4}, finished=False)
    second = stored(store, plan, {place: [RIGHT] * 11 + [BROKEN]})
    found = compared(store, first, second)
    unfinished, reason = found.warnings
    assert unfinished == (
        f"Run {first}: The run is unfinished, with 4 of 12 answers; running the same command again goes on."
    )
    assert reason.startswith(f"Run {second}: Not scored, 1 answer: ")
    assert found.to_json()["warnings"] == found.warnings


def test_cases_and_rows_that_lost_their_verdicts_are_not_shown_to_be_not_worse(store: Store, tmp_path: Path) -> None:
    """A mended template with which a constraint can no longer be built: what is left is right as before."""
    whole = [RIGHT] * 90
    old = {("F16", "native.free"): whole, ("F16", "native.schema"): whole, ("F16", "json.schema"): whole}
    new = {**old, ("F16", "native.schema"): [RIGHT] * 80 + [BROKEN] * 10, ("F16", "json.schema"): [BROKEN] * 90}
    first, second = (stored(store, planned(tmp_path, answers), answers) for answers in (old, new))
    found = compared(store, first, second)
    free, schema = found.changes
    assert [change.rung.verdict for change in found.changes] == ["not worse", "not worse"]
    assert (free.n_without_verdict, schema.n_without_verdict, schema.rung.n) == (0, 10, 80)
    assert (found.worse, found.not_shown) == ((), (schema,))
    assert found.missing == (Missing("mine", "tiny", "F16", "", "json.schema"),)
    back = compared(store, second, first)
    assert (back.not_shown, back.missing) == ((), ()), "what gained verdicts has lost nothing"


def test_another_model_or_level_is_compared_where_it_is_the_only_one(store: Store, tmp_path: Path) -> None:
    old, new = {("F16", "native.free"): [RIGHT] * 3}, {("Q4", "native.free"): [RIGHT, RIGHT, WRONG]}
    first = stored(store, planned(tmp_path, old), old)
    other = level("Q4", "small", gguf_sha256="b" * 64, template="{{ other }}")
    second = stored(store, planned(tmp_path, new, [other]), new)
    (change,) = compared(store, first, second).changes
    assert [(side.model, side.quant) for side in (change.before, change.after)] == [("tiny", "F16"), ("small", "Q4")]
    assert change.differs == ("file", "chat template")


def test_two_models_of_one_run_are_compared_level_by_level(store: Store, tmp_path: Path) -> None:
    """There was no way: one run is the same run."""
    quants = ("F16", "Q4")
    answers = {(quant, "native.free"): [RIGHT] * 3 for quant in quants}
    both = [level(quant, name, gguf_sha256=f"{name} {quant}") for name in ("base", "my tune") for quant in quants]
    run_id = stored(store, planned(tmp_path, answers, both), answers)
    run = store.run(str(run_id))
    found = between(store, run, run, models=("base", "my tune"))
    assert [(change.before, change.after) for change in found.changes] == [
        (Side("base", quant, "", 3), Side("my tune", quant, "", 3)) for quant in quants
    ]
    assert (found.settings, found.missing, found.left_out, found.warnings) == ({}, (), (), ())
    assert (found.before_model, found.after_model) == ("base", "my tune")
    with pytest.raises(ToolgaugeError, match="run 1 has no model 'bas'; those it has are: base, my tune"):
        between(store, run, run, models=("bas", "base"))
    for models in (("", ""), ("base", "base"), ("base", "")):
        with pytest.raises(ToolgaugeError, match="two of its models: `toolgauge compare 1:base '1:my tune' --db "):
            between(store, run, run, models=models)


def test_what_has_no_counterpart_is_said(store: Store, tmp_path: Path) -> None:
    old = {("F16", "native.free"): [RIGHT], ("F16", "json.free"): [RIGHT]}
    new = {("F16", "native.free"): [RIGHT], ("Q4", "native.free"): [RIGHT]}
    first, second = (stored(store, planned(tmp_path, answers), answers) for answers in (old, new))
    found = compared(store, first, second)
    assert [(change.after.quant, change.rung.mode) for change in found.changes] == [("F16", "native.free")]
    assert found.left_out == (
        "tiny Q4 in native.free on mine: run 2 alone has it",
        "tiny F16 in json.free on mine: run 1 alone has it",
    )
    assert found.missing == (Missing("mine", "tiny", "F16", "", "json.free"),)


def test_other_cases_under_the_same_name_are_not_compared(store: Store, tmp_path: Path) -> None:
    answers = {("F16", "native.free"): [RIGHT] * 3}
    first = stored(store, planned(tmp_path, answers), answers)
    with store.transaction() as sql:
        sql.execute("UPDATE cell SET suite_sha256 = 'other' WHERE run_id = ?", (first,))
    second = stored(store, planned(tmp_path, answers), answers)
    with pytest.raises(ToolgaugeError, match=r"nothing that could be compared: .*mine is not the same in both"):
        compared(store, first, second)


def test_what_differs_between_the_runs_is_named(store: Store, tmp_path: Path) -> None:
    answers = {("F16", "native.free"): [RIGHT] * 3}
    plans = [
        planned(tmp_path, answers, context=ContextParams(type_k=type_k, type_v=type_k)) for type_k in ("f16", "q8_0")
    ]
    first, second = (stored(store, plan, answers) for plan in plans)
    found = compared(store, first, second)
    assert found.settings == {"context.type_k": ("f16", "q8_0"), "context.type_v": ("f16", "q8_0")}
    assert found.changes[0].differs == ("context settings",)


def test_verdicts_of_two_scorers_are_named_in_the_run_and_in_the_row(store: Store, tmp_path: Path) -> None:
    """An interrupted `toolgauge score`: one row of a run was judged by the older scorer, with the same details."""
    answers = {("F16", "native.free"): [RIGHT] * 3, ("F16", "json.free"): [RIGHT] * 3}
    first, second, third = (stored(store, planned(tmp_path, answers), answers) for _ in range(3))
    with store.transaction() as sql:
        ids = "SELECT item.id FROM item JOIN cell ON cell.id = cell_id WHERE cell.run_id = ? AND mode = 'native.free'"
        sql.execute(f"UPDATE score SET scorer_version = '0' WHERE item_id IN ({ids})", (first,))
    found = compared(store, first, second)
    assert found.settings == {"scorer": (f"0, {VERSION}", VERSION)}
    assert [change.differs for change in found.changes] == [("scorer",), ()]
    assert not compared(store, second, third).settings
