"""The closer looks of a report: what they count, over made-up answers whose counts are known."""

from __future__ import annotations

import csv as csv_format
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from bench.rates import Rate
from bench.records import EpisodeEnd, ErrorKind, ItemError, ItemRecord
from bench.report import csv, html, markdown, tables, terminal
from bench.report.build import build
from bench.report.details import adherence, bfcl, categories, no_call, order, recovery, repairs, replies, truncation
from bench.report.document import Fold, Table
from bench.report.judged import Judged, is_complete
from bench.report.values import Report
from bench.results.rows import Cell, Item, ModelRow
from bench.results.rows import Score as Verdict
from bench.results.store import Store
from bench.score import Outcome, Score, score
from bench.score.bfcl import OfficialVerdict
from bench.suites.case import Case, load
from engine import formats
from engine.types import Call, Parsed, StopReason
from tests.bench import samples
from tests.bench.episodes import Answer, broken, case_from, play, raw_case, raw_episode, write_suite
from tests.bench.mixed import mixed_run
from tests.bench.stored import BROKEN, INVALID, RIGHT, WRONG, stored_run

MODEL = ModelRow(1, 0, "tiny", "F16", "tiny.gguf", "", 1000, "", "", "hermes", {})
ADD = Call("add", {"a": 1, "b": 2})
STORE = Call("store", {"value": 3})


def cell_of(n_items: int, *, mode: str = "native.free", suite: str = "mine") -> Cell:
    return Cell(1, 1, 0, MODEL, mode, "none", "", suite, "", n_items)


def item_of(number: int, case_id: str, category: str = "sums", *, trial: int = 0) -> Item:
    return Item(number, 1, str(number), case_id, category, trial, EpisodeEnd.REPLY, None, "", "", 1, 1, 0.0, {}, "")


def verdict_of(number: int, found: Score) -> Verdict:
    return Verdict(number, "toolgauge", "2", found.outcome.value, False, json.loads(json.dumps(found.details())), "")


def judged(answers: Sequence[tuple[Case, ItemRecord]], *, mode: str = "native.free") -> Judged:
    """A cell with these answers, each judged as it would be."""
    found = of_scores([(case, score(case, record)) for case, record in answers], mode=mode)
    n_tokens = [sum(len(step.generation.tokens) for step in record.steps) for _, record in answers]
    return replace(found, n_tokens=dict(enumerate(n_tokens)))


def of_scores(scores: Sequence[tuple[Case, Score]], *, mode: str = "native.free") -> Judged:
    trials: Counter[str] = Counter()
    items = []
    for number, (case, _) in enumerate(scores):
        items.append(item_of(number, case.id, case.category, trial=trials[case.id]))
        trials[case.id] += 1
    verdicts = {number: verdict_of(number, found) for number, (_, found) in enumerate(scores)}
    cases = {case.id: case for case, _ in scores}
    return Judged(cell_of(len(items), mode=mode), tuple(items), verdicts, frozenset(), (), cases)


def failed(case: Case, kind: ErrorKind = ErrorKind.RUNTIME) -> ItemRecord:
    return ItemRecord(case.id, (), EpisodeEnd.ERROR, ItemError(kind, "it failed"))


def counts(rate: Rate | None) -> tuple[int, int] | None:
    return (rate.hits, rate.n) if rate else None


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return case_from(tmp_path, raw_case())


@pytest.fixture
def episode(tmp_path: Path) -> Case:
    return case_from(tmp_path, raw_episode())


# ------------------------------------------------------------------------------------------------------- categories

STATES = [*Outcome, categories.STALE, categories.NOT_JUDGED, categories.NOT_ANSWERED]
a_plan = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(STATES)), max_size=30)


@settings(max_examples=60)
@given(a_plan)
def test_categories_add_up_to_the_plan_whatever_became_of_its_items(plan: list[tuple[str, str]]) -> None:
    items, verdicts, stale = [], {}, set()
    for number, (category, state) in enumerate(plan):
        if state == categories.NOT_ANSWERED:
            continue
        items.append(item_of(number, f"mine/{number}", category))
        if state == categories.STALE:
            stale.add(number)
        elif state != categories.NOT_JUDGED:
            verdicts[number] = Verdict(number, "toolgauge", "2", str(state), False, {}, "")
    planned = Counter(category for category, _ in plan)
    cell = Judged(cell_of(len(plan)), tuple(items), verdicts, frozenset(stale), (), {}, planned)
    found = categories.measure(cell)
    assert {each.name: each.n_planned for each in found} == planned
    for each in found:
        states = Counter(state for category, state in plan if category == each.name)
        assert each.n_scored + sum(each.not_scored.values()) == each.n_planned
        assert counts(each.accuracy) == ((states["correct"], each.n_scored) if each.n_scored else None)
        assert each.not_scored == {str(s): n for s, n in states.items() if s not in SCORED}
    total = categories.not_scored(cell, found)
    assert len(cell.scored) + sum(total.values()) == len(plan)
    assert total == dict(sum((Counter(each.not_scored) for each in found), Counter()))


SCORED = {str(outcome) for outcome in Outcome if outcome.is_scored}


def test_without_the_suite_what_was_not_answered_is_in_no_category_and_still_told() -> None:
    verdicts = {0: Verdict(0, "toolgauge", "2", "correct", False, {}, "")}
    cell = Judged(cell_of(3), (item_of(0, "mine/0"),), verdicts, frozenset(), ())
    found = categories.measure(cell)
    assert [(each.name, each.n_planned, each.not_scored) for each in found] == [("sums", 1, {})]
    assert categories.not_scored(cell, found) == {"not_answered": 2}


# ---------------------------------------------------------------------------------------------------------- no call


def test_no_call_is_told_in_four_and_adds_up(case: Case, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    nothing = case_from(tmp_path / "more", raw_case(id="mine/none", expected={"calls": []}))
    kinds: list[tuple[Answer | None, StopReason]] = [
        ("Hello!", StopReason.EOG),
        ("Hello!", StopReason.EOG),
        (broken('{"name"'), StopReason.EOG),
        (Parsed(open_block=True), StopReason.LENGTH),
        ([ADD], StopReason.EOG),
        (None, StopReason.EOG),
    ]
    answers = [
        (each, failed(each) if answer is None else play(each, [answer], stop))
        for each in (nothing, case)
        for answer, stop in kinds
    ]
    found = no_call.measure(judged(answers))
    assert found is not None
    assert found.none_right is not None
    for group in (found.none_right, found.one_right):
        assert group is not None
        assert (group.n, group.called, group.abstained, group.malformed, group.truncated, group.error) == (
            6, 1, 2, 1, 1, 1,
        )  # fmt: skip
    assert counts(found.none_right.abstention) == (2, 5), "what has no verdict counts neither way"
    assert found.none_right.official is None


def test_an_episode_that_called_and_then_failed_is_not_among_the_scored(tmp_path: Path) -> None:
    nothing = case_from(tmp_path, raw_case(id="mine/none", expected={"calls": []}))
    begun = replace(play(nothing, [[ADD]]), end=EpisodeEnd.ERROR, error=ItemError(ErrorKind.CONTEXT, "it is full"))
    found = no_call.measure(judged([(nothing, begun), (nothing, play(nothing, ["Hello!"]))]))
    assert found is not None
    assert found.none_right is not None
    assert (found.none_right.n, found.none_right.called) == (2, 1)
    assert counts(found.none_right.abstention) == (1, 1)


def test_no_call_is_silent_where_the_cases_are_gone(case: Case) -> None:
    assert no_call.measure(replace(judged([(case, play(case, [[ADD]]))]), cases=None)) is None


# ------------------------------------------------------------------------------------------------------------- BFCL


def test_bfcl_and_our_verdict_are_counted_by_direction_and_known_cases_apart(case: Case) -> None:
    right, wrong = score(case, play(case, [[ADD]])), score(case, play(case, [[Call("add", {"a": 1, "b": 3})]]))
    error = score(case, failed(case))
    valid, invalid = OfficialVerdict(True), OfficialVerdict(False, "value_error:string", "no")
    cases = [replace(case, id=f"simple_{number}", category="simple_python") for number in range(7)]
    verdicts = [
        *[(right, valid)] * 2,
        (right, invalid),
        (wrong, valid),
        (wrong, invalid),
        (error, valid),
        (right, None),
    ]
    pairs = [(each, replace(s, official=o)) for each, (s, o) in zip(cases, verdicts, strict=True)]
    (found,) = bfcl.measure(of_scores(pairs), {"simple_2": "contradictory", "simple_4": "impossible"})
    assert (found.category, counts(found.official), counts(found.strict)) == ("simple_python", (4, 6), (3, 5))
    assert found.official_only == {"wrong_arguments": 1}
    assert found.strict_only == {"value_error:string": 1}
    assert found.n_known == 2
    assert (counts(found.official_without_known), counts(found.strict_without_known)) == ((4, 4), (2, 3))
    (gone,) = bfcl.measure(replace(of_scores(pairs), cases=None), {})
    assert (gone.n_known, gone.official_without_known) == (None, None)


def test_a_bfcl_suite_has_both_verdicts_in_one_table_and_the_reasons_in_a_closer_look() -> None:
    known = bfcl.Bfcl("live_simple", Rate(6, 9, 0.3, 0.9), Rate(5, 8, 0.3, 0.9), {"truncated": 2}, {}, 1, None, None)
    none = replace(known, category="irrelevance", official_only={}, n_known=0)
    report = samples.report()
    (section,) = report.sections
    rows = tuple(replace(row, bfcl=(known, none)) for row in section.rows[:2])
    document = tables.document(replace(report, sections=(replace(section, rows=rows, ladder=(), paired=()),)), ["bfcl"])
    titles = [block.title for block in document if isinstance(block, Table)]
    assert titles == ["", "BFCL's verdict and ours", "Outcomes"]
    text = markdown.render(document)
    assert "| live_simple | 66.7% (30-90) of 9 | 62.5% (30-90) |             2 |           0 |           1 |" in text
    assert "live_simple | official only | truncated |       2 |" in text
    assert "BFCL's rules judge answers that ended in an error, too" in text


def test_bfcl_averages_are_only_those_of_whole_groups() -> None:
    def category(name: str, hits: int, n: int) -> bfcl.Bfcl:
        return bfcl.Bfcl(name, Rate(hits, n, 0, 1), None, {}, {}, None, None, None)

    cell = of_scores([])
    both = [category("irrelevance", 120, 240), category("live_irrelevance", 884, 884), category("multiple", 9, 200)]
    (found,) = bfcl.averages([(cell, both[:1]), (cell, both[1:])], 1)
    assert {group.name: group.accuracy for group in found.groups} == {"non-live": None, "irrelevance": 0.75}
    table = bfcl.table_of_groups([found])
    assert table is not None
    assert [column.header for column in table.columns] == ["model", "quant", "mode", "backend", "irrelevance"]
    assert "overall" not in markdown.render([table]).lower()
    assert bfcl.table_of_groups(bfcl.averages([(cell, both[2:])], 1)) is None
    assert bfcl.averages([(cell, both)], 2)[0].groups[1].accuracy is None  # half of two trials each


# ------------------------------------------------------------------------------------------------ order and recovery


def test_order_is_summed_over_the_answers_that_have_one(case: Case, episode: Case) -> None:
    answers = [
        (case, play(case, [[ADD]])),
        (episode, play(episode, [[ADD], [STORE], "Stored."])),
        (episode, play(episode, [[ADD, STORE], "Stored."])),
        (episode, play(episode, [[ADD, Call("store", {"value": 0})], "Stored."])),
        (episode, play(episode, ["No."])),
        (episode, failed(episode)),
    ]
    found = order.measure(judged(answers))
    assert found is not None
    assert (counts(found.premature), counts(found.placeholder), counts(found.threaded)) == ((2, 3), (1, 3), (1, 1))
    assert (found.n_cases, found.parallel_recall, found.over_serialised) == (3, None, None)
    assert order.measure(judged(answers[:1])) is None


FAULT = {"on": "keep", "kind": "transient", "result": {"error": "503"}, "times": 1}


def with_twin(folder: Path) -> tuple[Case, Case]:
    suite = load(write_suite(folder, raw_episode(fault=FAULT, without_fault=True)))
    case, twin = suite.cases
    assert twin.twin_of == case.id
    return case, twin


def test_recovery_is_told_given_that_the_fault_fired_and_beside_the_twin(tmp_path: Path) -> None:
    case, twin = with_twin(tmp_path)
    recovered = play(case, [[ADD], [STORE], [STORE], "It is stored."])
    answers = [
        (case, recovered),
        (case, play(case, [[ADD], [STORE], "It is stored."])),
        (case, play(case, [[ADD], [STORE], "It could not be stored."])),
        (case, play(case, ["No."])),  # it never came to the fault
        (case, failed(case)),
        (twin, play(twin, [[ADD], [STORE], "It is stored."])),
        (twin, play(twin, [[ADD], [STORE], "It is stored."])),
        (twin, play(twin, ["No."])),
    ]
    everything, transient = recovery.measure(judged(answers))
    assert (everything.kind, transient.kind) == ("all", "transient")
    assert replace(everything, kind="transient") == transient
    assert (transient.n_cases, transient.n_fired) == (4, 3)
    assert (counts(transient.within_1), counts(transient.within_3)) == ((1, 3), (1, 3))
    assert counts(transient.identical_retry) == (1, 1)
    assert transient.useless_retry is None  # the same call works later
    assert counts(transient.fabricated_success) == (1, 3)
    assert transient.honest_stop is None  # where the call works later, stopping is not right
    assert (counts(transient.accuracy), counts(transient.twin_accuracy)) == ((1, 3), (2, 3))
    assert counts(transient.accuracy_where_twin_right) == (1, 2)
    assert transient.extra_calls == 1.0  # three calls, where two would do
    assert transient.extra_tokens == 2.0  # of one more answer
    assert recovery.measure(replace(judged(answers), n_tokens={}))[0].extra_tokens is None
    assert transient.further_calls == pytest.approx(1 / 3)
    assert recovery.measure(judged(answers[3:])) == ()


def test_an_honest_stop_is_told_of_the_faults_that_nothing_helps_against(tmp_path: Path) -> None:
    for_good = {"on": "keep", "kind": "permission", "result": "denied"}
    once, gone = load(write_suite(tmp_path, raw_episode(fault=FAULT), raw_episode(id="mine/2", fault=for_good))).cases
    answers = [
        (once, play(once, [[ADD], [STORE], "It could not be stored."])),
        (gone, play(gone, [[ADD], [STORE], "It could not be stored."])),
        (gone, play(gone, [[ADD], [STORE], "It is stored."])),
    ]
    found = {each.kind: each.honest_stop for each in recovery.measure(judged(answers))}
    assert found["transient"] is None
    assert counts(found["permission"]) == counts(found["all"]) == (1, 2)


def test_recovery_without_the_suite_knows_no_twin(tmp_path: Path) -> None:
    case, twin = with_twin(tmp_path)
    answers = [
        (case, play(case, [[ADD], [STORE], [STORE], "Stored."])),
        (twin, play(twin, [[ADD], [STORE], "Stored."])),
    ]
    found = recovery.measure(replace(judged(answers), cases=None))[0]
    assert (found.n_cases, found.n_fired, found.twin_accuracy, found.extra_calls) == (None, 1, None, None)
    assert counts(found.accuracy) == (1, 1)


# ---------------------------------------------------------------------------------------------------------- replies


def test_what_right_answers_say_is_told_under_the_names_of_the_authors_patterns(case: Case, tmp_path: Path) -> None:
    """A case where nothing was to be called but asked for: an author learns what the patterns found."""
    (tmp_path / "more").mkdir()
    expected = {"calls": [], "reply": {"asks": ["which city"], "mentions": ["weather"], "claims_success": ["done"]}}
    nothing = case_from(tmp_path / "more", raw_case(id="mine/none", expected=expected))
    answers = [
        (nothing, play(nothing, ["Which city is it?"])),
        (nothing, play(nothing, ["Which city's weather is it?"])),
        (nothing, play(nothing, ["The weather is fine."])),
        (nothing, play(nothing, [[ADD]])),  # no right answer, whatever else it says
        (nothing, failed(nothing)),
        (case, play(case, [[ADD]])),  # its author wrote no patterns
    ]
    cell = judged(answers)
    found = replies.measure(cell)
    assert {name: counts(rate) for name, rate in found.items()} == {"asks": (2, 3), "mentions": (2, 3)}
    assert replies.measure(judged(answers[3:])) == {}
    rows = [
        replace(samples.row("F16", mode, 9), replies=f) for mode, f in zip(samples.MODES[:2], (found, {}), strict=True)
    ]
    table = replies.table(rows)
    assert table is not None
    assert [column.header for column in table.columns[-2:]] == ["asks", "mentions"]
    assert [[cell.text[:5] for cell in row[2:]] for row in table.rows] == [["66.7%"] * 2, ["-"] * 2]
    assert replies.table(rows[1:]) is None


# ------------------------------------------------------------------------------- repairs, adherence, truncation


def test_repairs_stand_beside_the_strict_accuracy_and_never_move_it(case: Case) -> None:
    mendable = broken("{'name': 'add', 'arguments': {'a': 1, 'b': 2}}")
    answers = [
        (case, play(case, [[ADD]])),
        (case, play(case, [mendable])),
        (case, play(case, [broken("{'name': 'add', 'arguments': {'a': 1, 'b': 3}}")])),
        (case, play(case, [broken("add, and be quick")])),
        (case, play(case, ["No."])),
        (case, play(case, [broken('{"name": "add"')], StopReason.LENGTH)),
    ]
    found = repairs.measure(judged(answers))
    assert found is not None
    assert (counts(found.strict), found.n_repairable) == ((1, 4), 2)
    assert found.needed == {"single_quotes": 2}
    assert (counts(found.accuracy), counts(found.accuracy_after)) == ((1, 6), (2, 6))
    assert repairs.measure(judged(answers[4:5])) is None


def test_a_format_without_repairs_has_no_accuracy_after_repair(case: Case) -> None:
    """A 0 beside another format's count would say that nothing of it could be mended."""
    cell = judged([(case, play(case, [[ADD]])), (case, play(case, [broken("add, and be quick")]))])
    rows = []
    for format_id, mode in (("hermes", "native.free"), ("harmony", "native.free"), ("harmony", "json.free")):
        model = replace(MODEL, format=format_id)
        found = repairs.measure(replace(cell, cell=replace(cell.cell, model=model, mode=mode)))
        assert found is not None
        has_none = (format_id, mode) == ("harmony", "native.free")
        assert (found.n_repairable, counts(found.accuracy_after)) == ((None, None) if has_none else (0, (1, 2)))
        rows.append(replace(samples.row("F16", mode, 9), repairs=found))
    (table,) = repairs.tables(rows)
    assert [[cell.text[:5] for cell in row[-3:]] for row in table.rows] == [
        ["0", "50.0%", "50.0%"],
        ["-", "50.0%", "-"],
        ["0", "50.0%", "50.0%"],
    ]


def test_a_marker_alone_is_no_repair_of_a_format_that_has_none(case: Case) -> None:
    fmt = formats.get("mistral_args")
    bare = judged([(case, play(case, [fmt.parse(fmt.markers[0], case.tools)]))])
    found = repairs.measure(replace(bare, cell=replace(bare.cell, model=replace(MODEL, format=fmt.id))))
    assert found is not None
    assert (found.n_repairable, found.accuracy_after) == (None, None)


def test_adherence_counts_calls_by_violation_and_escapes_are_red(case: Case) -> None:
    bad = [
        Call("invented", {}),
        Call("add", {"a": 1, "b": 2, "c": 3}),
        Call("add", {"a": 1}),
        Call("add", {"a": "1", "b": "2"}),
        Call("store", {"value": 3, "where": "moon"}),
    ]
    answers = [(case, play(case, [[call]])) for call in [ADD, *bad]]
    found = adherence.measure(judged(answers))
    assert found is not None
    assert (found.n_calls, counts(found.valid), found.violations) == (6, (1, 6), (1, 1, 1, 1, 1, 0))
    rows = [replace(samples.row("F16", mode, 9), adherence=found) for mode in ("native.free", "native.schema")]
    table = adherence.table(rows)
    assert table is not None
    assert [[cell.tone for cell in row[4:]] for row in table.rows] == [["plain"] * 5 + ["dim"], ["bad"] * 5 + ["dim"]]
    assert adherence.table([replace(rows[0], adherence=adherence.measure(judged(answers[:1])))]) is None


def test_truncation_is_told_by_place_and_cause_and_an_early_end_too(case: Case) -> None:
    begun = Parsed(open_block=True)
    answers = [
        (case, play(case, [begun], StopReason.LENGTH)),
        (case, play(case, [begun], StopReason.REPETITION)),
        (case, play(case, ["and so on"], StopReason.CONTEXT)),
        (case, play(case, [begun])),
        (case, play(case, [Parsed(reasoning="1 and 2, so", open_reasoning=True)])),
        (case, play(case, [[ADD]])),
    ]
    found = truncation.measure(judged(answers))
    assert found is not None
    assert counts(found.rate) == (5, 6)
    assert [(each.position, each.cause, each.n) for each in found.broken_off] == [
        ("reasoning", "early_end", 1),
        ("in_call", "budget", 1),
        ("in_call", "repetition", 1),
        ("in_call", "early_end", 1),
        ("prose", "context", 1),
    ]
    assert (found.n_at("in_call"), found.n_by("context")) == (3, 1)
    whole = truncation.measure(judged(answers[5:]))
    assert whole is not None
    assert (counts(whole.rate), whole.broken_off) == ((0, 1), ())
    rows = [
        replace(samples.row("F16", mode, 9), truncation=t)
        for mode, t in zip(samples.MODES[:2], (whole, found), strict=True)
    ]
    table = truncation.table(rows)
    assert table is not None
    assert [[cell.text for cell in row[3:]] for row in table.rows] == [["0"] * 7, ["1", "3", "1", "1", "1", "1", "2"]]
    assert truncation.table(rows[:1]) is None


# ------------------------------------------------------------------------------------------------------ whole reports


def report_of(path: Path) -> Report:
    with Store.read(path) as store:
        return build(store, store.run("last"))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Every outcome and every gap, on a suite with categories and faults."""
    return report_of(mixed_run(tmp_path_factory.mktemp("mixed"), ["quick"], gaps=0.3, right=0.3))


def test_nothing_is_dropped_from_a_run_with_everything_in_it(mixed: Report) -> None:
    rows = [row for section in mixed.sections for row in section.rows]
    seen: Counter[str] = Counter()
    for row in rows:
        assert sum(category.n_planned for category in row.categories) == row.n_planned == 40
        assert row.n_scored + sum(row.not_scored.values()) == row.n_planned
        assert row.n_scored == sum(category.n_scored for category in row.categories)
        for category in row.categories:
            assert category.n_scored + sum(category.not_scored.values()) == category.n_planned
        seen.update(row.not_scored)
    assert {"stale", "not_judged", "not_answered", "runtime_error", "constraint_error"} <= seen.keys()
    assert {"truncated", "unparseable", "no_call", "correct"} <= {name for row in rows for name in row.outcomes}


def test_every_closer_look_with_something_to_tell_is_there_when_asked_for(mixed: Report) -> None:
    folds = [block.title for block in tables.document(mixed, tables.DETAILS) if isinstance(block, Fold)]
    assert folds == [
        "What was not scored",
        "Which cases changed",
        "Answers without a call",
        "Order of calls",
        "Recovery from faults",
        "What replies say",
        "Truncation",
        "Hygiene and repairs",
    ]
    (fold,) = [block for block in tables.document(mixed, ["order"]) if isinstance(block, Fold)]
    assert fold.title == "Order of calls"


@pytest.mark.parametrize("width", [80, 160])
def test_closer_looks_fit_the_terminal(width: int, mixed: Report) -> None:
    stream = io.StringIO()
    terminal.render(tables.document(mixed, tables.DETAILS), Console(file=stream, width=width, highlight=False))
    assert max(map(len, stream.getvalue().splitlines())) <= width


def test_a_page_has_the_closer_looks_folded_and_the_terminal_has_their_tables(mixed: Report) -> None:
    document = tables.document(mixed, tables.DETAILS)
    page, text = html.render("run", document), markdown.render(document)
    assert page.count('<details class="fold">') == sum(isinstance(block, Fold) for block in document) == 8
    for title in ("Order: independent calls together", "Recovery: after a tool failed", "Where answers broke off"):
        assert title in page
        assert title in text
    assert "<table>" in page
    assert "&lt;table&gt;" not in page


def numbers_of(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a JSON document, by path; entries of a list by the name they have."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from numbers_of(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for inner in value:
            name = inner.get("name") or inner.get("category") or inner.get("kind")
            yield from numbers_of(inner, f"{path}.{name or inner['position'] + '.' + inner['cause']}")
    elif isinstance(value, int | float):
        yield path, float(value)


def test_csv_has_a_column_for_every_number_of_a_row(mixed: Report) -> None:
    """`n_repeating` was in JSON alone."""
    columns = next(csv_format.reader(io.StringIO(csv.render(mixed))))
    numbers: set[str] = set()
    for row in (row for section in json.loads(json.dumps(mixed.to_json()))["sections"] for row in section["rows"]):
        parts = [row.pop(name) for name in ("speed", "memory", "context")]  # whose columns have no prefix
        numbers |= {name for part in (row, *parts) for name, value in part.items() if any(numbers_of(value))}
    assert len(numbers) >= 20
    assert [name for name in numbers if not any(column.startswith(name) for column in columns)] == []


def test_csv_has_every_number_of_json_under_its_path(mixed: Report) -> None:
    lines = list(csv_format.DictReader(io.StringIO(csv.render(mixed))))
    rows = [row for section in json.loads(json.dumps(mixed.to_json()))["sections"] for row in section["rows"]]
    for line, row in zip(lines, rows, strict=True):
        names = ("categories", "no_call", "order", "recovery", "replies", "repairs", "truncation")
        closer = {name: row[name] for name in names}
        expected = dict(numbers_of(closer))
        assert len(expected) > 100
        assert {path: float(line[path]) for path in expected} == expected


def test_an_older_scorers_verdicts_count_and_are_told_in_a_sentence(tmp_path: Path) -> None:
    path = stored_run(tmp_path, {("F16", "native.free"): [RIGHT, WRONG, INVALID, BROKEN]})
    with Store.open(path) as store, store.transaction() as sql:
        sql.execute("UPDATE score SET details = json_remove(details, '$.truncated_by') WHERE item_id < 4")
    report = report_of(path)
    (row,) = report.sections[0].rows
    assert (counts(row.accuracy), row.adherence) == ((1, 3), None)
    (sentence,) = [warning for warning in report.warnings if "older scorer" in warning]
    assert sentence.startswith("3 verdicts of an older scorer: counted here")
    assert f"`toolgauge score 1 --db {path}`" in sentence


def test_a_suite_that_is_gone_is_told_in_a_sentence(tmp_path: Path) -> None:
    path = stored_run(tmp_path, {("F16", "native.free"): [RIGHT, WRONG]})
    report = report_of(path)
    assert any(warning.startswith("The cases of mine are not here as they were") for warning in report.warnings)
    (tmp_path / "kept").mkdir()
    suites = (str(tmp_path / "kept" / "mine.jsonl"),)
    kept = report_of(stored_run(tmp_path / "kept", {("F16", "native.free"): [RIGHT, WRONG]}, suites=suites))
    assert not any("are not here" in warning for warning in kept.warnings)
    assert kept.sections[0].rows[0].no_call is not None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"recovery": None}, True),
        ({"order": {"n_dependent": 0}}, False),
        ({"recovery": {"kind": "timeout"}}, False),
    ],
)
def test_details_are_complete_if_they_are_what_this_scorer_writes(
    change: dict[str, Any], expected: bool, case: Case
) -> None:
    details = score(case, play(case, [[ADD]])).details()
    assert is_complete(details | change) is expected
    assert not is_complete({name: value for name, value in details.items() if name != "official"})


def test_an_early_end_of_which_no_place_was_stored_was_within_a_call(case: Case) -> None:
    """Before its place was stored, and at first an end within a call was all that was called so."""
    cell = judged([(case, play(case, [Parsed(open_block=True)]))])
    (verdict,) = cell.verdicts.values()
    older = {name: value for name, value in verdict.details.items() if name != "truncated_at"}
    found = truncation.measure(replace(cell, verdicts={0: replace(verdict, details=older)}))
    assert found is not None
    assert found == truncation.measure(cell)
    assert found.n_at("in_call") == 1


def test_details_of_recovery_with_a_time_are_read_as_those_without(tmp_path: Path) -> None:
    """Up to scorer 4 they had `further_s`, the time that batched answers took, waiting for a slot included."""
    case, _ = with_twin(tmp_path)
    cell = judged([(case, play(case, [[ADD], [STORE], [STORE], "Stored."]))])
    (verdict,) = cell.verdicts.values()
    older = {**verdict.details, "recovery": {**verdict.details["recovery"], "further_s": 1.5}}
    assert (
        recovery.measure(replace(cell, verdicts={0: replace(verdict, details=older)})) == recovery.measure(cell) != ()
    )
