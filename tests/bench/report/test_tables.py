"""The words and columns of the report, over made-up values."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from bench import numbers
from bench.rates import Rate
from bench.report import comparisons, markdown, tables, terminal
from bench.report.document import Document, Fold, Heading, Table, Text
from bench.report.headline import in_short
from bench.report.values import Choice, Memory, Report, Section, Speed, Verdict
from bench.stats import Pairs, Spread, is_not_inferior, paired_interval
from tests.bench import samples


def titles(document: Document) -> list[str]:
    return [block.title for block in document if isinstance(block, Table)]


def main_table(report: Report) -> Table:
    return next(block for block in tables.document(report) if isinstance(block, Table))


def headers(table: Table) -> list[str]:
    return [column.header.replace("\n", " ") for column in table.columns]


@pytest.mark.parametrize("width", [80, 100, 120])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_broken(width: int) -> None:
    report = samples.report(vram=13_000_000_000)
    stream = io.StringIO()
    terminal.render(tables.document(report, tables.DETAILS), Console(file=stream, width=width, highlight=False))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    rows = [line for line in lines if line.strip().startswith("native.schema ")]
    assert all("%" in line or "-> schema" in line or len(line.split()) >= 4 for line in rows)
    assert "cannot tell" in stream.getvalue()


@pytest.mark.parametrize("width", [50, 60])
def test_no_name_is_broken_on_a_narrow_terminal(width: int) -> None:
    """At 60 columns the table read "native.fr" and, below it, "ee"."""
    stream = io.StringIO()
    document = tables.document(samples.report(vram=13_000_000_000), tables.DETAILS)
    terminal.render(document, Console(file=stream, width=width, highlight=False))
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert set(re.findall(r"(?:native|json)\.\w*", text)) == set(samples.MODES)
    assert set(re.findall(r"Q\d\w*", text)) == {"Q8_0", "Q4_K_M", "Q2_K"}


@pytest.mark.parametrize("n", [40, 73, 175])  # 73: as many as settle it where no case changes
def test_an_interval_never_contradicts_the_verdict_beside_it(n: int) -> None:
    """Two gained of forty were "+5.0 (-5 to +17)" and not worse by five points."""
    (rung, *_) = samples.report().sections[0].ladder
    for pairs in (Pairs(n, up, down) for up in range(7) for down in range(7)):
        true = paired_interval(pairs)
        found = replace(rung, difference=pairs.difference, low=true.low, high=true.high, margin=0.05)
        low, high = map(float, re.findall(r"[-+][\d.]+(?= to|\))", comparisons.rung_cells(found)[3].text))
        assert (low > -5) == is_not_inferior(pairs, 0.05)
        assert (low > 0, low < 0, high > 0, high < 0) == (true.low > 0, true.low < 0, true.high > 0, true.high < 0)
        assert low <= 100 * true.low and 100 * true.high <= high


def test_the_main_table_says_what_a_person_decides_by() -> None:
    table = main_table(samples.report())
    assert headers(table) == [
        "quant", "mode", "n", "accuracy", "schema valid", "truncated", "not scored",
        "first call", "prefill tok/s", "decode tok/s", "peak VRAM", "peak RSS",
    ]  # fmt: skip
    first = [cell.text for cell in table.rows[0]]
    assert first == [
        "F16", "native.free", "39", "74.4% (61-88)", "91.7%", "5.1%", "1",
        "210 ms", "5,210", "612", "-", "125 MiB",
    ]  # fmt: skip


def test_drafts_get_columns_of_their_own_where_they_were_asked_for() -> None:
    (section,) = samples.report().sections
    first, *others = section.rows
    drafted = replace(first.speed, drafted_tok_per_s=Spread(901.0, 12.0, 30), drafts_accepted=0.625)
    report = replace(samples.report(), sections=(replace(section, rows=(replace(first, speed=drafted), *others)),))
    table = main_table(report)
    columns = [headers(table).index(name) for name in ("decode tok/s", "drafted tok/s", "drafts accepted")]
    assert [[row[column].text for column in columns] for row in table.rows[:2]] == [
        ["612", "901", "62.5%"],
        [table.rows[1][columns[0]].text, "-", "-"],
    ]
    assert any(note.startswith("drafted: ") for note in table.notes)


def test_a_note_says_how_many_of_the_truncated_repeated_themselves() -> None:
    (section,) = samples.report().sections
    first, second, *others = section.rows
    assert not any("repetition" in note for note in main_table(samples.report()).notes)
    rows = (replace(first, n_repeating=304), replace(second, n_repeating=1200), *others)
    table = main_table(replace(samples.report(), sections=(replace(section, rows=rows),)))
    (note,) = [note for note in table.notes if note.startswith("truncated: ")]
    assert note.endswith("; of these by repetition: 1,504")


def test_an_escape_gets_a_column_and_is_red() -> None:
    table = main_table(samples.report(escapes=2))
    column = headers(table).index("grammar escapes")
    assert {(row[column].text, row[column].tone) for row in table.rows} == {("0", "plain"), ("2", "bad")}
    assert any(isinstance(block, Text) and block.tone == "bad" for block in tables.document(samples.report(escapes=2)))


def test_the_backend_is_a_column_only_where_there_are_several() -> None:
    (section,) = samples.report().sections
    assert "backend" not in headers(main_table(samples.report()))
    mixed = tuple(replace(row, backend="gbnf") if row.mode == "json.schema" else row for row in section.rows)
    report = replace(samples.report(), sections=(replace(section, rows=mixed),))
    assert headers(main_table(report))[:3] == ["quant", "mode", "backend"]


def test_the_only_backend_is_said_below_the_main_table() -> None:
    assert "constrained by llguidance: native.schema, json.schema" in main_table(samples.report()).notes


def test_what_was_not_measured_is_a_sentence_and_no_columns() -> None:
    (section,) = samples.report().sections
    untimed = tuple(replace(row, speed=Speed()) for row in section.rows)
    table = main_table(replace(samples.report(), sections=(replace(section, rows=untimed),)))
    assert headers(table)[-3:] == ["not scored", "peak VRAM", "peak RSS"]
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert "times were not measured" in table.notes
    assert "times were not measured" not in main_table(samples.report()).notes
    bare = tuple(replace(row, memory=Memory()) for row in untimed)
    table = main_table(replace(samples.report(), sections=(replace(section, rows=bare),)))
    assert headers(table)[-1] == "not scored"
    assert all(len(row) == len(table.columns) for row in table.rows)


def test_more_tables_come_when_asked_for() -> None:
    plain, asked = tables.document(samples.report()), tables.document(samples.report(), tables.DETAILS)
    folds = [block for block in asked if isinstance(block, Fold)]
    assert [fold.title for fold in folds] == ["What was not scored", "Latency", "The constraint's push"]
    assert not any(isinstance(block, Fold) for block in plain)
    (hint,) = [block.text for block in plain if isinstance(block, Text) and "--details" in block.text]
    assert hint == "Closer looks: not-scored, latency, constraint. `toolgauge report 3 --details` has all."
    assert "--details" not in markdown.render(asked)


def test_every_suite_has_a_section_of_its_own() -> None:
    document = tables.document(samples.report(suites=("quick", "nano")))
    headings = [block.text for block in document if isinstance(block, Heading) and block.level == 2]
    assert headings == ["nano on quick, 39 cases", "nano on nano, 39 cases"]


def test_warnings_and_unfinished_runs_are_said_at_the_top() -> None:
    text = markdown.render(tables.document(replace(samples.report(), finished_utc=None)))
    assert text.startswith("## Run 3 of 2026-11-21 02:31 UTC, unfinished\n")
    assert "> **Only the first 39 cases of each suite were run (--limit 39).**" in text


def test_in_short_names_the_best_mode_and_what_each_level_costs_there() -> None:
    (section,) = samples.report().sections
    text = in_short(section)
    assert text.startswith("At F16 the most accurate mode is native.schema: 76.9%. ")
    assert (
        "Against F16 there: Q8_0 not worse by 5 points or more; Q4_K_M cannot be told from so few cases; Q2_K worse."
        in text
    )
    assert " The smallest shown to be not worse: Q8_0. " in text
    assert "native.schema against native.free: 3 rescued, 2 broken (p 1.00)." in text


def choosing(*verdicts: tuple[str, Verdict, int | None], smallest: str = "F16") -> str:
    """What is said of the smallest level where levels have these verdicts and cases that would settle them."""
    (section,) = samples.report().sections
    (rung, *_) = [rung for rung in section.ladder if rung.mode == "native.schema"]
    ladder = [replace(rung, quant=quant, verdict=verdict, n_to_settle=n) for quant, verdict, n in verdicts]
    choices = (Choice("native.schema", "llguidance", "F16", smallest, 0.05),)
    text = in_short(replace(section, ladder=tuple(ladder), choices=choices, paired=()))
    return text.split(". ", 2)[2]


def test_in_short_names_the_smallest_level_or_says_that_none_can_be_named_yet() -> None:
    """It stood in JSON alone."""
    assert choosing(("Q8_0", "not worse", None), ("Q2_K", "worse", None), smallest="Q8_0") == (
        "The smallest shown to be not worse: Q8_0."
    )
    assert choosing(("Q8_0", "worse", None)) == "The smallest that is not worse: F16 itself."
    assert choosing(("Q8_0", "cannot tell", 516), ("Q4_K_M", "cannot tell", 410), ("Q2_K", "worse", None)) == (
        "None smaller is shown to be not worse by 5 points or more yet; about 516 cases would settle it there."
    )
    assert choosing(("Q8_0", "cannot tell", None)) == ("None smaller is shown to be not worse by 5 points or more yet.")


def with_row(section: Section, mode: str, hits: int, n: int) -> Section:
    """The most precise level alone, with this many answers in one mode right, of so many that were scored."""
    rows = [
        replace(row, n_scored=n, accuracy=Rate(hits, n, 0.0, 1.0)) if row.mode == mode else row
        for row in section.rows
        if row.quant == "F16"
    ]
    return replace(section, rows=tuple(rows), ladder=(), choices=(), paired=())


def test_in_short_takes_no_mode_for_the_best_that_was_hardly_scored() -> None:
    """A constraint that could not be built for three quarters of the cases was "the most accurate mode"."""
    (section,) = samples.report().sections
    few = with_row(section, "native.schema", 10, 10)
    level = "native.free, json.free, json.schema"
    assert in_short(few) == f"At F16 answers are right most often in {level}: 29 of 40 each."
    one_less = with_row(section, "native.schema", 36, 38)
    assert in_short(one_less) == "At F16 answers are right most often in native.schema: 36 of 40."


def test_in_short_names_all_modes_that_are_level_and_which_of_them_the_ladder_is_of() -> None:
    """The bundled model on `quick`, four modes with nine right each: the first was "the most accurate"."""
    (section,) = samples.report().sections
    level = [
        replace(row, n_scored=40, accuracy=Rate(9, 40, 0.1, 0.4)) if row.quant == "F16" else row for row in section.rows
    ]
    text = in_short(replace(section, rows=tuple(level)))
    modes = ", ".join(row.mode for row in level if row.quant == "F16")
    assert text.startswith(f"At F16 the most accurate modes are {modes}: 22.5% each. Against F16 in {level[0].mode}: ")
    uneven = [replace(row, n_scored=39) if row is level[0] else row for row in level]
    assert in_short(replace(section, rows=tuple(uneven))).startswith(
        f"At F16 answers are right most often in {modes}: 9 of 40 each. "
    )


def test_in_short_is_silent_where_there_is_nothing_to_choose() -> None:
    (section,) = samples.report().sections
    assert in_short(replace(section, rows=section.rows[:1], paired=(), ladder=())) == ""
    wrong = tuple(replace(row, accuracy=Rate(0, 39, 0.0, 0.09)) for row in section.rows)
    assert in_short(replace(section, rows=wrong)) == "At F16 no mode got a single case right."
    nothing = tuple(replace(row, accuracy=None) for row in section.rows)
    assert in_short(Section("m", "s", 0, nothing)) == ""


@pytest.mark.parametrize(
    ("utc", "text"),
    [("2026-11-21T02:31:07+00:00", "2026-11-21 02:31 UTC"), ("2026-11-21 02:31", "2026-11-21 02:31 UTC")],
)
def test_when(utc: str, text: str) -> None:
    assert numbers.moment(utc) == text
