from __future__ import annotations

import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from bench.report import html, markdown, terminal
from bench.report.document import Code, Column, Document, Heading, Table, Text, cell, code, visible


def wide_table() -> Table:
    columns = (
        Column("quant"),
        Column("mode"),
        Column("accuracy", right=True, part="accuracy"),
        Column("truncated", right=True, part="accuracy"),
        Column("decode tok/s", right=True, part="speed"),
    )
    rows = (
        (cell("F16"), cell("native.free"), cell("90.0%", "good"), cell("0"), cell("12.0")),
        (cell("F16"), cell("native.schema"), cell("95.0%"), cell("0"), cell("15.0")),
        (cell("Q2_K"), cell("native.free"), cell("70.0%", "bad"), cell("3"), cell("22.0")),
    )
    return Table(columns, rows, title="Results", n_group=1, notes=("n = 40",))


def printed(document: Document, width: int, *, colour: bool = False) -> str:
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, force_terminal=colour, color_system="standard" if colour else None, highlight=False
    )
    terminal.render(document, console)
    return stream.getvalue()


def test_a_table_that_fits_is_one_table_with_its_groups_written_once() -> None:
    text = printed([wide_table()], 80)
    assert text.count("F16") == 1
    assert text.count("Q2_K") == 1
    assert [line.strip() for line in text.splitlines() if "90.0%" in line] == [
        "F16    native.free       90.0%          0          12.0"
    ]
    assert text.rstrip().endswith("n = 40")


def test_a_table_that_is_too_wide_is_cut_at_its_parts_and_repeats_its_keys() -> None:
    text = printed([wide_table()], 48)
    assert max(len(line) for line in text.splitlines()) <= 48
    assert text.count("native.schema") == 2
    assert text.index("truncated") < text.index("decode tok/s")
    accuracy, speed = text.split("decode tok/s")
    assert "95.0%" in accuracy
    assert "15.0" in speed


def test_parts_share_a_table_where_they_fit_together() -> None:
    table = wide_table()
    assert terminal.split(table, 200) == [[0, 1, 2, 3, 4]]
    assert terminal.split(table, 48) == [[0, 1, 2, 3], [0, 1, 4]]
    three = Table((*table.columns, Column("x", part="third")), tuple((*row, cell("1")) for row in table.rows))
    assert terminal.split(three, 48) == [[0, 1, 2, 3], [0, 1, 4, 5]]


def test_colours_carry_the_tone_and_vanish_without_a_terminal() -> None:
    assert re.search(r"\x1b\[1;31m *70\.0%", printed([wide_table()], 80, colour=True))
    assert "\x1b" not in printed([wide_table()], 80)


def test_markdown_writes_every_cell() -> None:
    assert markdown.render([Heading("Run 1"), wide_table(), Text("Careful.", "warn")]) == (
        "## Run 1\n\n"
        "**Results**\n\n"
        "| quant | mode          | accuracy | truncated | decode tok/s |\n"
        "| ----- | ------------- | -------: | --------: | -----------: |\n"
        "| F16   | native.free   |    90.0% |         0 |         12.0 |\n"
        "| F16   | native.schema |    95.0% |         0 |         15.0 |\n"
        "| Q2_K  | native.free   |    70.0% |         3 |         22.0 |\n\n"
        "- n = 40\n\n"
        "> **Careful.**\n"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a | b", "a \\| b"),
        ("two\nlines", "two lines"),
        ("<script>", "&lt;script>"),
        ("</script>", "&lt;/script>"),
        ("<!-- x", "&lt;!-- x"),
        ("free -> constrained", "free -> constrained"),
        ("p <0.001", "p <0.001"),
        ("> quoted", "\\> quoted"),
        ("native_free Q4_K_M", "native_free Q4_K_M"),
        ("*bold* `code` [link](x)", "\\*bold\\* \\`code\\` [link]\\(x)"),
        ("[link][x] and [x]: y", "[link]\\[x] and [x]\\: y"),
        ("see `toolgauge score 3 --json`, *now*", "see `toolgauge score 3 --json`, \\*now\\*"),
        ("`toolgauge score 3 --db '../my runs/~a@b.db'`", "`toolgauge score 3 --db '../my runs/~a@b.db'`"),
        ("`toolgauge <b>` `toolgauge", "\\`toolgauge &lt;b>\\` \\`toolgauge"),
        ('[TOOL_CALLS]add[ARGS]{"a": [1]}', '[TOOL_CALLS]add[ARGS]{"a": [1]}'),
        (r"C:\new [day]", r"C:\new [day]"),
        (r"\[x\] \ end" + "\\", r"\\[x\\] \ end" + "\\\\"),
    ],
)
def test_a_markdown_cell_cannot_break_its_table(text: str, expected: str) -> None:
    rendered = markdown.render([Table((Column("x"),), ((cell(text),),))])
    assert f"| {expected} |" in rendered
    assert len(rendered.strip().splitlines()) == 3


def test_a_line_break_cannot_end_what_has_one_line() -> None:
    """As the name of a file may have, or what a chat template says of itself."""
    text = "a\n\n# b"
    table = Table((Column("x"),), ((cell("1"),),), title=text, notes=(text,))
    lines = markdown.render([Heading(text), Text(text, "warn"), Code("code", title=text), table]).splitlines()
    assert [line for line in lines if "b" in line] == [
        "## a  # b",
        "> **a  # b**",
        "**a  # b**",
        "**a  # b**",
        "- a  # b",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<tool_call>", "`<tool_call>`"),
        ("<|tool_call>call:", "`<\\|tool_call>call:`"),
        ("a\nb", "`a↵b`"),
        ("`", "`` ` ``"),
        ("", ""),
    ],
)
def test_code_in_a_cell_is_shown_as_it_is(text: str, expected: str) -> None:
    table = Table((Column("x"),), ((code(text),),))
    assert f"| {expected.ljust(3)} |" in markdown.render([table])
    assert visible(text).partition("\n")[0] in printed([table], 80)


def test_code_in_a_page_is_marked_and_harmless() -> None:
    page = html.render("page", [Table((Column("x"),), ((code("<tool_call>"),),))])
    assert "<code>&lt;tool_call&gt;</code>" in page


def test_a_fence_is_longer_than_any_in_the_text() -> None:
    assert markdown.render([Code("a\n```\nb", title="raw")]) == "**raw**\n\n````\na\n```\nb\n````\n"


@settings(max_examples=60)
@given(st.text(alphabet=st.characters(codec=None, min_codepoint=0, max_codepoint=0x2070), max_size=40))
def test_no_control_character_of_a_model_reaches_the_screen(text: str) -> None:
    shown = visible(text)
    assert not any(ord(c) < 0x20 and c not in "\n\t" for c in shown)
    assert not any(0x7F <= ord(c) < 0xA0 or 0x202A <= ord(c) <= 0x202E for c in shown)
    assert visible(shown) == shown


def test_a_column_is_as_wide_as_what_is_shown() -> None:
    """A category named with an escape sequence stands in a header, and is wider on the screen than in the file."""
    columns = (Column("mode"), Column("\u202ea", part="one"), Column("\u202eb", part="other"))
    table = Table(columns, ((cell("native.free"), cell("1"), cell("2")),))
    assert terminal.split(table, 24) == [[0, 1], [0, 2]]
    assert "\\u202ea" in printed([table], 24)


def test_an_escape_sequence_is_shown_not_obeyed() -> None:
    for text in ("\x1b[31mred", "\ud800", "\u202eevil"):
        document = [Code(text), Text(text), Heading(text), Table((Column(text),), ((cell(text),),))]
        for output in (printed(document, 80), markdown.render(document)):
            assert text not in output
            output.encode("utf-8")
