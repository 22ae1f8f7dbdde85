from __future__ import annotations

import io
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bench.rates import Rate
from bench.report import csv, html, markdown, tables, terminal
from bench.report.about import incomplete
from bench.report.build import build
from bench.report.values import Report, Row
from bench.results.store import Store
from bench.run import writer
from bench.run.plan import versions
from bench.score import VERSION
from engine.types import Finding
from tests.bench.stored import BROKEN, CUT, INVALID, RIGHT, WRONG, stored_run

LADDER = {
    ("F16", "native.free"): [RIGHT] * 8 + [WRONG, CUT],
    ("F16", "native.schema"): [RIGHT] * 7 + [WRONG, RIGHT, RIGHT],
    ("Q2_K", "native.free"): [RIGHT] * 2 + [WRONG] * 6 + [INVALID, BROKEN],
    ("Q2_K", "native.schema"): [RIGHT] * 3 + [WRONG] * 6 + [INVALID],
}


def report_of(path: Path, *, with_failures: bool = False) -> Report:
    with Store.read(path) as store:
        return build(store, store.run("last"), with_failures=with_failures)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return report_of(stored_run(tmp_path_factory.mktemp("run"), LADDER), with_failures=True)


def row(report: Report, quant: str, mode: str) -> Row:
    (found,) = [row for row in report.sections[0].rows if (row.quant, row.mode) == (quant, mode)]
    return found


def counts(rate: Rate | None) -> tuple[int, int] | None:
    return (rate.hits, rate.n) if rate else None


def test_a_row_for_each_quant_and_mode_in_the_order_of_the_plan(report: Report) -> None:
    (section,) = report.sections
    assert (section.model, section.suite, section.n_cases) == ("tiny", "mine", 10)
    assert [(row.quant, row.mode, row.backend) for row in section.rows] == [
        ("F16", "native.free", "none"),
        ("F16", "native.schema", "llguidance"),
        ("Q2_K", "native.free", "none"),
        ("Q2_K", "native.schema", "llguidance"),
    ]


def test_the_command_can_be_given_again_as_it_is_printed(tmp_path: Path) -> None:
    path = stored_run(tmp_path, {("F16", "native.free"): [RIGHT]})
    argv = ["toolgauge", "run", "my models/tiny F16.gguf", "--suite", "it's mine.jsonl"]
    with Store.open(path) as store, store.transaction() as sql:
        sql.execute("UPDATE run SET argv = ?", [json.dumps(argv)])
    assert shlex.split(report_of(path).command) == argv


def test_accuracy_counts_what_was_scored_and_nothing_else(report: Report) -> None:
    assert counts(row(report, "F16", "native.free").accuracy) == (8, 10)
    q2 = row(report, "Q2_K", "native.free")
    assert counts(q2.accuracy) == (2, 9)
    assert (q2.n_scored, q2.not_scored, q2.n_planned) == (9, {"constraint_error": 1}, 10)
    assert q2.outcomes == {"constraint_error": 1, "schema_invalid": 1, "wrong_arguments": 6, "correct": 2}
    assert q2.accuracy is not None
    assert 0.05 < q2.accuracy.low < 2 / 9 < q2.accuracy.high < 0.6


def test_truncation_has_its_own_column_and_does_not_count_as_a_broken_schema(report: Report) -> None:
    f16 = row(report, "F16", "native.free")
    assert counts(f16.truncated) == (1, 10)
    assert counts(f16.schema_valid) == (9, 9)


def test_truncated_answers_that_repeated_themselves_are_counted_apart(tmp_path: Path) -> None:
    path = stored_run(tmp_path, {("F16", "native.free"): [RIGHT, CUT, CUT]})
    assert row(report_of(path), "F16", "native.free").n_repeating == 0
    with Store.open(path) as store, store.transaction() as sql:
        sql.execute("UPDATE score SET details = json_set(details, '$.truncated_by', 'repetition') WHERE item_id < 3")
    f16 = row(report_of(path), "F16", "native.free")
    assert (counts(f16.truncated), f16.n_repeating) == ((2, 3), 1)


def test_an_invalid_call_is_an_escape_only_where_a_schema_was_enforced(report: Report) -> None:
    free, schema = row(report, "Q2_K", "native.free"), row(report, "Q2_K", "native.schema")
    assert counts(free.schema_valid) == (8, 9)
    assert counts(schema.schema_valid) == (9, 10)
    assert (free.n_escapes, schema.n_escapes) == (0, 1)


def test_times_come_from_the_latency_samples_and_memory_from_the_peaks(report: Report) -> None:
    found = row(report, "F16", "native.free")
    assert found.speed.ttfc_s is not None
    assert (found.speed.ttfc_s.median, found.speed.ttfc_s.n) == (pytest.approx(0.3), 2)
    assert found.speed.prefill_tok_per_s is not None
    assert found.speed.prefill_tok_per_s.median == pytest.approx((1000 + 500) / 2)
    assert found.speed.decode_tok_per_s is not None
    assert found.speed.decode_tok_per_s.median == pytest.approx((20 - 1) / 0.5)
    assert (found.memory.rss_peak_bytes, found.memory.vram_peak_bytes, found.load_s) == (1000, None, 0.5)


def test_how_hard_the_constraint_pushed(report: Report) -> None:
    assert row(report, "F16", "native.free").push is None
    push = row(report, "F16", "native.schema").push
    assert push is not None
    assert (push.interventions_per_answer, push.removed_mass, push.forced_share) == (1.0, 0.25, 6 / 20)
    assert push.mask_s_per_token == pytest.approx(0.0002), "five of ten chosen tokens had a mask, the others were prose"


def test_the_time_in_masks_of_an_older_run_is_not_told_by_token(tmp_path: Path) -> None:
    """It was divided by all tokens that were chosen, those before a call began among them."""
    path = stored_run(tmp_path, LADDER)
    with Store.open(path) as store, store.transaction() as sql:
        sql.execute("UPDATE latency_sample SET n_masked = NULL")
    found = report_of(path)
    push = row(found, "F16", "native.schema").push
    assert push is not None and push.mask_s_per_token is None
    (table,) = tables.DETAILS["constraint"][1](found.sections[0])
    column = [column.header for column in table.columns].index("mask\nper token")
    assert table.rows[0][column].text == "-"


def test_pairs_count_the_cases_that_both_rows_scored(report: Report) -> None:
    f16, q2 = report.sections[0].paired
    assert (f16.quant, f16.n, f16.rescued, f16.broken, f16.same_right, f16.same_wrong) == ("F16", 10, 2, 1, 7, 0)
    assert (len(f16.rescued_cases), len(f16.broken_cases)) == (2, 1)
    assert (f16.difference, f16.p) == (pytest.approx(0.1), 1.0)
    assert (q2.quant, q2.n, q2.rescued, q2.broken, q2.same_right, q2.same_wrong) == ("Q2_K", 9, 1, 0, 2, 6)


def test_the_ladder_holds_each_level_against_the_most_precise_one(report: Report) -> None:
    free, schema = report.sections[0].ladder
    assert (free.mode, free.quant, free.reference, free.n, free.gained, free.lost) == (
        "native.free", "Q2_K", "F16", 9, 0, 6,
    )  # fmt: skip
    assert free.verdict == "worse"
    assert free.p == pytest.approx(2 / 2**6)
    assert schema.verdict == "worse"
    assert [choice.smallest for choice in report.sections[0].choices] == ["F16", "F16"]


FINDING = Finding("call-text-differs", "the chat template writes a call otherwise", "<call>add</call>", "[add]")


def checked(path: Path, *findings: Finding) -> Path:
    """The run with findings of the self-check for its first model."""
    with Store.open(path) as store:
        writer.put_findings(store, store.cells(1)[0].model.id, findings)
    return path


def test_what_the_self_check_found_is_a_named_warning_in_every_rendering(tmp_path: Path) -> None:
    unread = Finding("thinking-ignored", "--thinking on has no effect")
    refused = Finding("template-refuses", "a call: the chat template failed: No filter named 'x'.")
    report = report_of(checked(stored_run(tmp_path, LADDER), FINDING, unread, refused))
    assert report.warnings[:3] == (
        "Self-check of tiny, call-text-differs: the chat template writes a call otherwise.",
        "Self-check of tiny, thinking-ignored: --thinking on has no effect.",
        "Self-check of tiny, template-refuses: a call: the chat template failed: No filter named 'x'.",
    )
    document = tables.document(report)
    text = markdown.render(document)
    stream = io.StringIO()
    terminal.render(document, Console(file=stream, width=100))
    page = html.render("report", document)
    for output in (text, stream.getvalue(), page):
        assert "call-text-differs" in output
        assert "[add]" in output
    assert text.index("call-text-differs") < text.index("| quant")
    assert "<call>add</call>" in text
    assert "&lt;call&gt;add" in page
    (first, second, _) = report.to_json()["disagreements"]
    assert (first["quants"], first["rendered"], first["expected"]) == (("F16",), "<call>add</call>", "[add]")
    assert second["name"] == "thinking-ignored"


def test_a_finding_of_two_levels_is_said_once(tmp_path: Path) -> None:
    path = checked(stored_run(tmp_path, LADDER), FINDING)
    with Store.open(path) as store:
        for cell in store.cells(1):
            writer.put_findings(store, cell.model.id, [FINDING])
    (found,) = report_of(path).disagreements
    assert found.quants == ("F16", "Q2_K")


def test_the_formats_and_what_replaced_them_are_facts(tmp_path: Path) -> None:
    assert report_of(stored_run(tmp_path, LADDER)).facts["format"] == "hermes"
    settings = {"thinking": True, "reasoning_effort": "low", "format": "hermes", "chat_template": "mine.jinja"}
    (tmp_path / "more").mkdir()
    facts = report_of(stored_run(tmp_path / "more", LADDER, **settings)).facts
    assert facts["format"] == (
        "hermes, --format hermes, --chat-template mine.jinja, --reasoning-effort low, --thinking on"
    )


def test_warnings_name_what_a_reader_must_know(tmp_path: Path) -> None:
    path = stored_run(tmp_path, {("F16", "native.free"): [RIGHT, BROKEN, RIGHT]}, finished=False, limit=2)
    warnings = "\n".join(report_of(path).warnings)
    assert "--limit 2" in warnings
    assert "unfinished" in warnings
    assert "Not scored, 1 answer: the gbnf backend cannot express 'pattern' at #/a" in warnings


def test_answers_that_ended_in_a_crash_are_said_to_be_tried_again_by_a_resume(tmp_path: Path) -> None:
    """The run is finished, so the same command begins a new one, and the second attempt never came."""
    (tmp_path / "my runs").mkdir()
    path = stored_run(tmp_path / "my runs", {("F16", "native.free"): [RIGHT, BROKEN, BROKEN]})

    def told() -> list[str]:
        return [warning for warning in report_of(path).warnings if "runtime error" in warning]

    assert told() == [], "a constraint that cannot be built is no crash"
    with Store.open(path) as store, store.transaction() as sql:
        sql.execute("UPDATE item SET error = 'runtime' WHERE error IS NOT NULL")
    ended = "2 answers ended in a runtime error"
    assert told() == [f"{ended}; only the versions that made the run would try them once more."]
    with Store.open(path) as store, store.transaction() as sql:
        sql.execute("UPDATE run SET versions = ?", (json.dumps(dict(versions())),))
    assert told() == [f"{ended}: `toolgauge run --resume 1 --db '{path}'` tries them once more."]
    with Store.open(path) as store, store.transaction() as sql:
        sql.execute("UPDATE item SET attempt = 2")
    assert told() == []


@pytest.mark.parametrize("is_known", [True, False], ids=["cases known", "suite gone"])
def test_a_limit_that_left_nothing_out_is_no_warning(is_known: bool, tmp_path: Path) -> None:
    """A suite of three with --limit 3 was called "for trying out"; where the suite is gone, only fewer cases tell."""
    answers = {("F16", "native.free"): [RIGHT] * 3}
    for limit, is_told in ((2, True), (3, not is_known), (100, False)):
        (folder := tmp_path / str(limit)).mkdir()
        suite = str(folder / ("mine.jsonl" if is_known else "gone.jsonl"))
        warnings = report_of(stored_run(folder, answers, limit=limit, suites=(suite,))).warnings
        assert any(f"--limit {limit}" in warning for warning in warnings) == is_told


def test_of_two_suites_the_one_that_a_limit_cut_is_named(tmp_path: Path) -> None:
    """`--suite quick,core --limit 100` of 40 cases and of 402."""
    path = stored_run(tmp_path, {("F16", "native.free"): [RIGHT, RIGHT]}, limit=100)
    with Store.open(path) as store:
        run, (cell,) = store.run(), store.cells(1)
    cells = [replace(cell, suite="quick"), replace(cell, suite="core")]
    (sentence,) = incomplete(run, cells, {"quick": 40, "core": 402}, 2)
    assert sentence.startswith("Only 100 cases of core ran (--limit 100)")


def test_verdicts_of_another_scorer_are_named_though_their_details_are_complete(tmp_path: Path) -> None:
    """Scorer 3 judged otherwise than scorer 2, and wrote the same fields."""
    path = stored_run(tmp_path, {("F16", "native.free"): [RIGHT, WRONG, RIGHT]})
    assert not any("scorer" in warning for warning in report_of(path).warnings)
    with Store.open(path) as store, store.transaction() as sql:
        sql.execute("UPDATE score SET scorer_version = '2' WHERE item_id < 3")
    report = report_of(path)
    (sentence,) = [warning for warning in report.warnings if "scorer" in warning]
    assert sentence.startswith(f"2 verdicts of another scorer (2, and this is {VERSION})")
    assert f"`toolgauge score 1 --db {path}`" in sentence
    assert report.sections[0].rows[0].adherence is not None


def test_one_level_alone_has_no_ladder_and_one_mode_alone_no_pairs(tmp_path: Path) -> None:
    (section,) = report_of(stored_run(tmp_path, {("F16", "native.free"): [RIGHT, WRONG]})).sections
    assert (section.ladder, section.paired, section.choices) == ((), (), ())


def test_json_is_the_values_without_texts(report: Report) -> None:
    values = report.to_json()
    assert values["schema"] == "toolgauge.report/4"
    assert "failures" not in values
    assert values["sections"][0]["rows"][0]["memory"]["vram_peak_bytes"] is None
    assert values["sections"][0]["rows"][0]["accuracy"]["hits"] == 8


def test_csv_has_a_line_for_each_row_and_nothing_for_what_was_not_measured(report: Report) -> None:
    header, first, *rest = csv.render(report).splitlines()
    values = dict(zip(header.split(","), first.split(","), strict=True))
    assert len(rest) == 3
    assert (values["quant"], values["accuracy"], values["vram_peak_bytes"], values["n_scored"]) == (
        "F16",
        "0.8",
        "",
        "10",
    )


def test_the_document_says_escape_in_words_and_in_its_own_column(report: Report) -> None:
    text = markdown.render(tables.document(report, ("constraint",)))
    assert "Grammar escape: 1 answer of a schema mode broke the schema." in text
    assert "grammar escapes" in text
    assert "Accuracy by category" in text
    assert "How hard the constraint had to push" in text


def test_the_page_shows_what_models_wrote_and_obeys_none_of_it(report: Report) -> None:
    page = html.render("Run 1", tables.document(report), report.failures)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "\x1b" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert page.count("<details>") == len(report.failures) == 18


def test_a_page_of_a_thousand_failures_stays_openable(report: Report) -> None:
    page = html.render("Run 1", [], report.failures * 60)
    assert page.count("<details>") == 300
    assert "780 more" in page


def test_the_cases_behind_the_counts_are_named(tmp_path: Path) -> None:
    """The README promises which cases a constraint rescued, and no output named one."""
    answers = {
        ("F16", "native.free"): [RIGHT, WRONG, RIGHT, RIGHT, BROKEN],
        ("F16", "native.schema"): [WRONG, RIGHT, RIGHT, RIGHT, RIGHT],
        ("Q2_K", "native.free"): [RIGHT, RIGHT, WRONG, CUT, RIGHT],
        ("Q2_K", "native.schema"): [RIGHT, RIGHT, RIGHT, RIGHT, RIGHT],
    }
    found = report_of(stored_run(tmp_path, answers))
    section = found.to_json()["sections"][0]
    pair, rung = section["paired"][0], section["ladder"][0]
    assert (pair["rescued_cases"], pair["broken_cases"]) == (("mine/1",), ("mine/0",))
    assert (rung["gained_cases"], rung["lost_cases"]) == (("mine/1",), ("mine/2", "mine/3"))
    text = markdown.render(tables.document(found, ("changed",)))
    assert re.search(r"\| F16 +\| native.free -> native.schema +\| broken +\| mine/0 ", text)
    assert re.search(r"\| lost +\| mine/3 ", text)


def test_of_many_changed_cases_ten_are_printed(tmp_path: Path) -> None:
    answers = {("F16", "native.free"): [RIGHT] * 13, ("Q2_K", "native.free"): [WRONG] * 13}
    found = report_of(stored_run(tmp_path, answers))
    text = markdown.render(tables.document(found, ("changed",)))
    assert len(re.findall(r"\| lost +\| mine/", text)) == 10
    assert "and 3 more" in text
    assert len(found.sections[0].ladder[0].lost_cases) == 13


def test_the_page_has_wrong_answers_of_every_level(report: Report) -> None:
    """Three hundred were the first level's, where it alone had as many."""
    one = report.failures[0]
    many = [
        *(replace(one, quant="F16", item=f"mine/{n}") for n in range(400)),
        *(replace(one, quant="Q4_K_M", item=f"mine/{n}") for n in range(400)),
        *(replace(one, quant="Q2_K", item=f"mine/{n}") for n in range(10)),
    ]
    page = html.render("Run 1", [], many, elsewhere="toolgauge export 1 --csv -")
    shown = re.findall(r"</span> (F16|Q4_K_M|Q2_K) ", page)
    assert [shown.count(quant) for quant in ("F16", "Q4_K_M", "Q2_K")] == [145, 145, 10]
    assert shown == sorted(shown, key=["F16", "Q4_K_M", "Q2_K"].index), "in the order of the levels"
    assert "510 more are in the result file: toolgauge export 1 --csv - lists all." in page


def test_levels_that_were_made_are_said_to_have_no_importance_matrix(tmp_path: Path) -> None:
    """`--quants F16,Q4_K_M` was read as a verdict about the file of that name that publishers offer."""
    path = stored_run(tmp_path, {(quant, "native.free"): [RIGHT] for quant in ("F16", "Q4_K_M", "Q2_K")})
    assert "importance matrix" not in markdown.render(tables.document(report_of(path)))
    made = "/cache/quantized/0123456789abcdef/b1-x/tiny.gguf"
    with Store.open(path) as store, store.transaction() as sql:
        sql.execute("UPDATE model SET path = ? WHERE quant <> 'F16'", (made,))
    found = report_of(path)
    assert found.sections[0].made == ("Q4_K_M", "Q2_K")
    assert "- Q4_K_M, Q2_K: made by toolgauge without an importance matrix" in markdown.render(tables.document(found))
