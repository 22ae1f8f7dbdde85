"""Rows side by side: what several trials of a case count for, and what is compared where a level has no verdicts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from bench.rates import rate
from bench.records import EpisodeEnd
from bench.report import compare, tables
from bench.report.between import between
from bench.report.build import build
from bench.report.decide import Verdict as Decided
from bench.report.details import categories
from bench.report.document import Table, Text
from bench.report.headline import in_short
from bench.report.judged import Judged
from bench.report.values import Section, Unpaired
from bench.results.rows import Cell, Item, ModelRow
from bench.results.rows import Score as Verdict
from bench.results.store import Store
from bench.run import writer
from bench.run.config import RunConfig
from bench.run.judge import verdict
from bench.run.plan import Plan, PlannedCell, PlannedModel
from bench.run.prepare import Nobody, models_for
from bench.score import SCORER, VERSION, Outcome
from bench.suites.case import TWIN_SUFFIX
from engine.llama.params import ContextParams
from engine.types import Sampling
from tests.bench import samples
from tests.bench.scripted import PROVENANCE, fake, plan_of
from tests.bench.stored import BROKEN, CUT, INVALID, RIGHT, WRONG, record
from tests.tiny_gguf import write_tiny_model

Kinds = Callable[[PlannedCell], Sequence[str]]


def sections(folder: Path, plan: Plan, kinds: Kinds) -> tuple[Section, ...]:
    """The report of a run with these kinds of answer, in each cell in the order of its items."""
    path = folder / "results.db"
    path.unlink(missing_ok=True)
    with Store.open(path) as store:
        run_id = writer.begin_run(store, plan, PROVENANCE)
        for cell, planned in zip(store.cells(run_id), plan.cells, strict=True):
            for item, kind in zip(planned.items, kinds(planned), strict=False):
                found = record(item.case, kind, constrained=planned.mode.constrained)
                writer.put_item(store, run_id, cell.id, item, found, scores=[verdict(item.case, found)])
        writer.release(store, run_id, finished=True)
        return build(store, store.run(str(run_id))).sections


def levels(*quants: str) -> list[PlannedModel]:
    """From the most precise one down."""
    return [replace(fake(quant=quant), name="tiny", gguf_bytes=1000 - place) for place, quant in enumerate(quants)]


def table(section: Section, title: str) -> Table:
    """The first one that is called so; the main table has no title."""
    document = tables.document(replace(samples.report(), sections=(section,)))
    return next(block for block in document if isinstance(block, Table) and block.title.startswith(title))


# Several trials


def with_trials(folder: Path, n_trials: int, answers: dict[tuple[str, str], Sequence[str]]) -> Section:
    """Each case answered so often; `answers` are those of all trials, one trial after the other."""
    modes = list(dict.fromkeys(mode for _, mode in answers))
    plan = plan_of(
        folder,
        levels(*dict.fromkeys(quant for quant, _ in answers)),
        n_cases=max(map(len, answers.values())) // n_trials,
        modes=modes,
        trials=n_trials,
        sampling=Sampling(temperature=0.7),
    )
    (section,) = sections(folder, plan, lambda cell: answers[cell.model.quant, cell.mode.id])
    return section


def intervals(value: Any) -> Iterator[tuple[float, float]]:
    """The ends of every rate's interval within a row."""
    if isinstance(value, dict) and value.keys() == {"hits", "n", "low", "high"}:
        yield value["low"], value["high"]
    elif isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from intervals(inner)


FEW = {
    ("F16", "native.free"): [RIGHT] * 15,
    ("F16", "native.schema"): [RIGHT] * 12 + [WRONG, INVALID, BROKEN],
    ("Q4", "native.free"): [RIGHT] * 12 + [WRONG, CUT, INVALID],
    ("Q4", "native.schema"): [RIGHT] * 15,
}


def test_five_trials_that_all_agree_tell_no_more_than_one(tmp_path: Path) -> None:
    """Counted as cases, they would turn "cannot tell" of fifteen cases into "not worse" or "worse"."""
    once = with_trials(tmp_path, 1, FEW)
    often = with_trials(tmp_path, 5, {place: [*kinds] * 5 for place, kinds in FEW.items()})
    assert {rung.verdict for rung in once.ladder} == {"cannot tell"}
    assert (often.paired, often.ladder, often.choices) == (once.paired, once.ladder, once.choices)
    assert (once.n_trials, often.n_trials) == (1, 5)
    for one, five in zip(once.rows, often.rows, strict=True):
        assert one.accuracy and five.accuracy
        assert (five.accuracy.hits, five.accuracy.n) == (5 * one.accuracy.hits, 5 * one.accuracy.n)
        found = list(intervals(asdict(one)))
        assert len(found) > 5
        assert list(intervals(asdict(five))) == [pytest.approx(ends) for ends in found]


def test_a_case_is_right_if_more_than_half_of_its_scored_trials_are(tmp_path: Path) -> None:
    """Columns are cases, lines are trials: all right, two of three, a tie of the two that were scored, one of three."""
    trials = [
        [RIGHT, RIGHT, RIGHT, RIGHT],
        [RIGHT, RIGHT, WRONG, WRONG],
        [RIGHT, WRONG, BROKEN, WRONG],
    ]
    answers = {
        ("F16", "native.free"): [kind for trial in trials for kind in trial],
        ("F16", "native.schema"): [RIGHT] * 12,
    }
    section = with_trials(tmp_path, 3, answers)
    (pair,) = section.paired
    assert (pair.n, pair.same_right, pair.rescued, pair.broken, pair.same_wrong) == (4, 2, 2, 0, 0)
    accuracy = section.rows[0].accuracy
    assert accuracy and (accuracy.hits, accuracy.n) == (7, 11)


def test_a_case_that_no_trial_scored_is_not_compared(tmp_path: Path) -> None:
    answers = {("F16", "native.free"): [RIGHT, BROKEN] * 2, ("F16", "native.schema"): [RIGHT] * 4}
    (pair,) = with_trials(tmp_path, 2, answers).paired
    assert (pair.n, pair.same_right) == (1, 1)


def test_what_trials_count_for_is_said_below_the_table(tmp_path: Path) -> None:
    told = "3 answers to each case: rates are over all of them, intervals as wide as with one"
    often, once = (with_trials(tmp_path, n, {("F16", "native.free"): [RIGHT] * 6}) for n in (3, 1))
    assert any(note.startswith(told) for note in table(often, "").notes)
    assert not any("answers to each case" in note for note in table(once, "").notes)


# A case and its twin


def with_twins(
    n_alone: int, n_twice: int, wrong: Collection[str], *, quant: str = "F16", mode: str = "native.free"
) -> Judged:
    """Answers to cases, some of them also in the suite without their fault; all right but the `wrong`."""
    twice = [f"mine/twice-{number}" for number in range(n_twice)]
    ids = [*(f"mine/alone-{number}" for number in range(n_alone)), *twice, *(each + TWIN_SUFFIX for each in twice)]
    outcomes = [Outcome.WRONG_TOOL if case_id in wrong else Outcome.CORRECT for case_id in ids]
    model = ModelRow(1, 0, "tiny", quant, "tiny.gguf", "", 1000 if quant == "F16" else 500, "", "", "hermes", {})
    return Judged(
        Cell(1, 1, 0, model, mode, "none", "", "mine", "", len(ids)),
        tuple(
            Item(n, 1, str(n), case_id, "sums", 0, EpisodeEnd.REPLY, None, "", "", 1, 1, 0.0, {}, "")
            for n, case_id in enumerate(ids)
        ),
        {n: Verdict(n, SCORER, VERSION, str(outcome), False, {}, "") for n, outcome in enumerate(outcomes)},
        frozenset(),
        (),
    )


def test_a_case_and_its_twin_without_the_fault_have_one_vote() -> None:
    """`core` has 43 recovery cases twice: five causes, each lost with the fault and without, were p 0.002."""
    causes = [f"mine/twice-{number}" for number in range(5)]
    lost = {*causes, *(each + TWIN_SUFFIX for each in causes)}
    before = with_twins(316, 43, ())
    (pair,) = compare.paired([before, with_twins(316, 43, lost, mode="native.schema")])
    assert (pair.n, pair.broken, pair.same_right, pair.p) == (359, 5, 354, 0.0625)
    ((_, decision),) = compare.decisions([before, with_twins(316, 43, lost, quant="Q4")])
    (level,) = decision.comparisons
    assert (level.pairs.n, level.pairs.broken, level.p_value) == (359, 5, 0.0625)
    assert [*with_twins(0, 1, ()).right.values(), *with_twins(0, 1, causes).right.values()] == [True, False]


def test_a_rate_counts_both_answers_and_is_no_surer_of_them() -> None:
    found = rate((case_id, True) for case_id in ("a", "a" + TWIN_SUFFIX, "b", "b" + TWIN_SUFFIX))
    twice = rate((case_id, True) for case_id in ("a", "b"))
    assert found and twice
    assert (found.hits, found.n, found.low) == (4, 4, twice.low)


def test_what_twins_count_for_is_said_below_the_table() -> None:
    (section,) = samples.report().sections
    twins = categories.Category("recovery" + TWIN_SUFFIX, 1, 1, None, {})
    with_them = replace(section, rows=tuple(replace(row, categories=(twins,)) for row in section.rows))
    told = "a case with its fault and without it is one case"
    assert any(note.startswith(told) for note in table(with_them, "").notes)
    assert not any(note.startswith(told) for note in table(section, "").notes)


# Levels and KV types without verdicts


def with_levels(folder: Path, answers: dict[tuple[str, str], Sequence[str]]) -> Section:
    return with_trials(folder, 1, answers)


GOOD, BAD, NONE = [RIGHT] * 40, [RIGHT] * 10 + [WRONG] * 30, [BROKEN] * 40


@pytest.mark.parametrize("missing", [[], NONE], ids=["not answered", "not scored"])
def test_where_the_most_precise_level_did_not_run_the_next_one_is_the_reference(
    missing: list[str], tmp_path: Path
) -> None:
    """A card on which F16 does not fit, and Q8_0 and Q2_K do."""
    answers = {("F16", "native.free"): missing, ("Q8_0", "native.free"): GOOD, ("Q2_K", "native.free"): BAD}
    section = with_levels(tmp_path, answers)
    (rung,) = section.ladder
    assert (rung.quant, rung.reference, rung.n, rung.lost, rung.verdict) == ("Q2_K", "Q8_0", 40, 30, "worse")
    assert [(choice.reference, choice.smallest) for choice in section.choices] == [("Q8_0", "Q8_0")]
    found = table(section, "What does a smaller level cost? Each against Q8_0")
    assert found.notes[-1] == "without a verdict, and so not compared: F16 in native.free"
    assert in_short(section) == (
        "At Q8_0 the most accurate mode is native.free: 100.0%. Against Q8_0 there: Q2_K worse."
        " The smallest that is not worse: Q8_0 itself."
    )


def test_a_smaller_level_without_verdicts_is_named_and_not_compared(tmp_path: Path) -> None:
    answers = {("F16", "native.free"): GOOD, ("Q8_0", "native.free"): NONE, ("Q2_K", "native.free"): BAD}
    section = with_levels(tmp_path, answers)
    assert [(rung.quant, rung.reference) for rung in section.ladder] == [("Q2_K", "F16")]
    assert section.ladder[0].p == pytest.approx(2 / 2**30), "one comparison, and not one of two"
    assert "not compared: Q8_0 in native.free" in table(section, "What does a smaller level").notes[-1]


def test_an_unquantized_level_is_more_precise_by_its_type_and_not_by_its_size() -> None:
    """An F16 file with more metadata is a few bytes larger than the BF16 it was made from."""
    rows = [with_twins(10, 0, (), quant=quant) for quant in ("Q8_0", "F16", "BF16")]
    sizes = {"BF16": 1000, "F16": 1016, "Q8_0": 600}
    models = [replace(row.cell.model, gguf_bytes=sizes[row.level]) for row in rows]
    rows = [replace(row, cell=replace(row.cell, model=model)) for row, model in zip(rows, models, strict=True)]
    ((reference, decision),) = compare.decisions(rows)
    assert (reference.level, decision.reference) == ("BF16", "BF16")
    assert [found.level for found in decision.comparisons] == ["F16", "Q8_0"]


def test_a_level_that_lost_verdicts_is_never_the_smallest(tmp_path: Path) -> None:
    """Q2_K crashed on 160 of 400 cases; what was left of it is right, and it was chosen."""
    whole = [RIGHT] * 200
    answers = {
        ("F16", "native.free"): whole,
        ("Q4", "native.free"): whole,
        ("Q2_K", "native.free"): [RIGHT] * 120 + [BROKEN] * 80,
    }
    section = with_levels(tmp_path, answers)
    assert [(rung.quant, rung.n, rung.verdict, rung.n_without_verdict) for rung in section.ladder] == [
        ("Q4", 200, "not worse", 0),
        ("Q2_K", 120, "not worse", 80),
    ]
    assert [choice.smallest for choice in section.choices] == ["Q4"]
    assert in_short(section) == (
        "At F16 the most accurate mode is native.free: 100.0%. Against F16 there: Q4 not worse by 5 points or more;"
        " Q2_K not worse on 120 cases and without a verdict on 80. The smallest shown to be not worse: Q4."
    )
    found = table(section, "What does a smaller level cost?")
    column = [column.header for column in found.columns].index("no\nverdict")
    assert [row[column].text for row in found.rows] == ["0", "80"]
    assert "no verdict: cases that have one at F16 and none here; of them nothing is ruled out" in found.notes
    alone = with_levels(tmp_path, {place: kinds for place, kinds in answers.items() if place[0] != "Q4"})
    assert [choice.smallest for choice in alone.choices] == ["F16"]
    assert in_short(alone).endswith("None smaller is shown to be not worse by 5 points or more yet.")


def test_cases_that_a_constraint_leaves_without_a_verdict_are_counted_beside_the_pair(tmp_path: Path) -> None:
    answers = {("F16", "native.free"): [RIGHT] * 9 + [BROKEN], ("F16", "native.schema"): [RIGHT] * 6 + [BROKEN] * 4}
    section = with_levels(tmp_path, answers)
    (pair,) = section.paired
    assert (pair.n, pair.n_without_verdict) == (6, 3), "the last case has none either way"
    assert in_short(section) == (
        "At F16 answers are right most often in native.free: 9 of 10."
        " native.schema against native.free: 0 rescued, 0 broken (p 1.00), 3 without a verdict."
    )
    found = table(section, "Does constraining help?")
    column = [column.header for column in found.columns].index("no\nverdict")
    assert [row[column].text for row in found.rows] == ["3"]
    assert any(note.startswith("no verdict: ") for note in found.notes)


def test_a_constraint_without_any_verdict_is_told_and_outdoes_no_other(tmp_path: Path) -> None:
    """One verdict of ten left was told; with none the free mode was "the most accurate", and no pair was there."""
    answers = {
        ("F16", "native.free"): [RIGHT] * 9 + [WRONG],
        ("F16", "native.schema"): [BROKEN] * 10,
        ("F16", "json.free"): [RIGHT] * 8 + [WRONG] * 2,
        ("F16", "json.schema"): [RIGHT] * 8 + [WRONG] * 2,
    }
    section = with_levels(tmp_path, answers)
    assert [pair.constrained for pair in section.paired] == ["json.schema"]
    assert section.unpaired == (Unpaired("F16", "native.free", "native.schema", "llguidance"),)
    assert in_short(section) == (
        "At F16 answers are right most often in native.free: 9 of 10."
        " json.schema against json.free: 0 rescued, 0 broken (p 1.00)."
        " native.schema against native.free: no case has a verdict in both."
    )
    told = "without a case that has a verdict in both, and so not compared: F16 in native.free -> schema"
    assert told in table(section, "Does constraining help?").notes
    alone = with_levels(tmp_path, {place: kinds for place, kinds in answers.items() if "native" in place[1]})
    assert alone.paired == ()
    assert in_short(alone).endswith(" native.schema against native.free: no case has a verdict in both.")


def left(row: Judged, gone: Collection[str]) -> Judged:
    """The row without a verdict on these."""
    return replace(row, items=tuple(item for item in row.items if item.case_id not in gone))


def test_half_of_a_case_and_its_twin_is_not_all_of_it() -> None:
    before, after = with_twins(200, 3, ()), with_twins(200, 3, (), quant="Q4")
    ((_, decision),) = compare.decisions([before, left(after, ["mine/twice-0"])])
    (level,) = decision.comparisons
    assert (level.pairs.n, level.verdict, level.n_without_verdict) == (202, Decided.NOT_WORSE, 1)
    assert decision.smallest == "F16"
    ((_, decision),) = compare.decisions([left(before, ["mine/twice-0"]), after])
    (level,) = decision.comparisons
    assert (level.pairs.n, level.n_without_verdict, decision.smallest) == (202, 0, "Q4"), "the level lacks nothing"


def test_a_case_that_was_scored_in_part_is_held_against_nothing_but_the_same_part() -> None:
    """Twelve faulted answers without a verdict, all else being alike: "gained 12, p <0.001", and "rescued 12"."""
    faulted = [f"mine/twice-{number}" for number in range(12)]
    before = with_twins(316, 43, faulted)
    smaller, constrained = (
        with_twins(316, 43, faulted, **place) for place in ({"quant": "Q4"}, {"mode": "native.schema"})
    )
    ((_, decision),) = compare.decisions([before, left(smaller, faulted)])
    (level,) = decision.comparisons
    assert (level.pairs.n, level.gained, level.lost, level.n_without_verdict) == (347, (), (), 12)
    (pair,) = compare.paired([before, left(constrained, faulted)])
    assert (pair.n, pair.rescued, pair.broken, pair.n_without_verdict) == (347, 0, 0, 12)
    assert (pair.same_right, pair.same_wrong, pair.rescued_cases) == (347, 0, ())
    (pair,) = compare.paired([left(before, faulted), left(constrained, faulted)])
    assert (pair.n, pair.same_right, pair.n_without_verdict) == (359, 359, 0), "the twins, which both have"


def test_the_margin_is_a_persons_choice(tmp_path: Path) -> None:
    answers = {("F16", "native.free"): [RIGHT] * 100, ("Q4", "native.free"): [RIGHT] * 100}
    with_levels(tmp_path, answers)
    with Store.read(tmp_path / "results.db") as store:
        found = {margin: build(store, store.run(), margin=margin).sections[0] for margin in (0.02, 0.05)}
    assert {margin: section.ladder[0].verdict for margin, section in found.items()} == {
        0.02: "cannot tell",
        0.05: "not worse",
    }
    assert [section.choices[0].smallest for section in found.values()] == ["F16", "Q4"]
    assert "a loss of 2 points or more is ruled out" in table(found[0.02], "What does a smaller level").notes[0]


def test_one_level_with_verdicts_is_no_ladder(tmp_path: Path) -> None:
    section = with_levels(tmp_path, {("F16", "native.free"): [], ("Q8_0", "native.free"): GOOD})
    assert (section.ladder, section.choices) == ((), ())


def test_where_the_reference_differs_between_modes_the_table_has_a_column_for_it(tmp_path: Path) -> None:
    answers = {
        ("F16", "native.free"): GOOD,
        ("F16", "native.schema"): NONE,
        ("Q8_0", "native.free"): BAD,
        ("Q8_0", "native.schema"): GOOD,
        ("Q2_K", "native.free"): BAD,
        ("Q2_K", "native.schema"): BAD,
    }
    section = with_levels(tmp_path, answers)
    title = "What does a smaller level cost? Each against the most precise level with verdicts"
    found = table(section, title)
    assert [[cell.text for cell in row[:3]] for row in found.rows] == [
        ["native.free", "Q8_0", "F16"],
        ["native.free", "Q2_K", "F16"],
        ["native.schema", "Q2_K", "Q8_0"],
    ]
    assert "gained: wrong at the reference, right here" in found.notes[0]
    assert "F16 in native.schema" in found.notes[-1]
    assert in_short(section) == (
        "At F16 answers are right most often in native.free: 40 of 40. Against F16 there: Q8_0, Q2_K worse."
        " The smallest that is not worse: F16 itself. native.schema against native.free: no case has a verdict in both."
    )


def with_types(folder: Path, answers: dict[str, Sequence[str]]) -> Section:
    first, *others = [ContextParams(type_k=name, type_v=name) for name in answers]
    plan = plan_of(folder, levels("Q4"), n_cases=40, modes=["native.free"], context=first, more_contexts=tuple(others))
    (section,) = sections(folder, plan, lambda cell: answers[cell.context.type_k])
    return section


def test_where_f16_did_not_run_the_most_precise_kv_type_that_did_is_the_reference(tmp_path: Path) -> None:
    section = with_types(tmp_path, {"f16": [], "q8_0": GOOD, "q4_0": BAD})
    (each,) = section.kv_ladder
    assert (each.kv_type, each.rung.reference, each.rung.n, each.rung.verdict) == ("q4_0", "q8_0", 40, "worse")
    assert "not compared: Q4 (KV f16) in native.free" in table(section, "What does a smaller KV cache cost").notes[-1]
    assert "Against a KV cache of q8_0 there: q4_0 worse." in in_short(section)
    assert with_types(tmp_path, {"f16": [], "q8_0": GOOD}).kv_ladder == ()


# Models


def test_different_models_of_one_file_name_are_no_ladder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As converters write them: llama/ggml-model-f16.gguf beside qwen/ggml-model-q8_0.gguf."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    paths = [tmp_path / name for name in ("llama/ggml-model-f16.gguf", "qwen/ggml-model-q8_0.gguf")]
    for path, width in zip(paths, (64, 128), strict=True):
        path.parent.mkdir()
        write_tiny_model(path, width=width)
    found = models_for(RunConfig(models=tuple(map(str, paths))), Nobody())
    plan = plan_of(tmp_path, found, n_cases=40, modes=["native.free"])
    both = sections(tmp_path, plan, lambda cell: GOOD if "llama" in cell.model.path else BAD)
    assert [(section.model, len(section.rows), section.ladder) for section in both] == [
        ("llama/ggml-model", 1, ()),
        ("qwen/ggml-model", 1, ()),
    ]


TWO_KV_TYPES = {"more_contexts": (ContextParams(type_k="q8_0", type_v="q8_0"),)}


@pytest.mark.parametrize(
    ("levels", "more", "hint"),
    [
        ([("base", "F16"), ("base", "Q4"), ("tune", "Q4")], {}, "toolgauge compare 1:base 1:tune"),
        ([("base", "F16"), ("my tune", "Q4")], {}, "toolgauge compare 1:base '1:my tune'"),
        ([("base", "F16"), ("tune", "Q4")], TWO_KV_TYPES, "toolgauge compare 1:base 1:tune"),
        ([("base", "F16"), ("broken", "F16"), ("tune", "F16")], {}, "toolgauge compare 1:base 1:tune"),
        ([("base", "F16"), ("broken", "F16")], {}, None),
        ([("base", "F16"), ("base", "Q8_0"), ("tune", "Q4")], {}, None),
        ([("base", "F16"), ("base", "Q8_0")], {}, None),
    ],
)
def test_how_to_compare_two_models_is_said_where_they_can_be(
    tmp_path: Path, levels: list[tuple[str, str]], more: dict[str, Any], hint: str | None
) -> None:
    """And what is said works."""
    found = [replace(fake(f"{name} {quant}", quant=quant), name=name) for name, quant in levels]
    plan = plan_of(tmp_path, found, n_cases=1, modes=["native.free"], **more)
    sections(tmp_path, plan, lambda cell: (NONE if cell.model.name == "broken" else GOOD)[:1])
    path = tmp_path / "results.db"
    with Store.read(path) as store:
        report = build(store, store.run())
        if hint:
            one, other = report.comparable_models
            both = between(store, store.run(), store.run(), models=(one, other))
            assert len(both.changes) == 1 + len(more)
    texts = [block.text for block in tables.document(report) if isinstance(block, Text)]
    said = [text for text in texts if text.startswith("Two models side by side")]
    assert said == ([f"Two models side by side, on the same cases: `{hint} --db {path}`."] if hint else [])
