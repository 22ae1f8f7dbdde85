"""The commands that look into a result file: report, show, ls, score."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.text import Text

from bench.cli.main import main
from bench.cli.show import _match, _prompt
from bench.report.document import Code
from bench.results.store import Store
from bench.shell import Exit
from engine.types import Call, Parsed
from grammars.errors import ToolgaugeError
from tests.bench.episodes import case_from, play, raw_episode
from tests.bench.stored import BROKEN, CUT, RIGHT, WRONG, stored_run

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    answers = {
        ("F16", "native.free"): [RIGHT, RIGHT, RIGHT, WRONG, BROKEN],
        ("F16", "native.schema"): [RIGHT, RIGHT, RIGHT, RIGHT, WRONG],
        ("Q2_K", "native.free"): [RIGHT, WRONG, WRONG, WRONG, CUT],
        ("Q2_K", "native.schema"): [RIGHT, WRONG, WRONG, WRONG, WRONG],
    }
    return stored_run(tmp_path_factory.mktemp("run"), answers)


def test_a_pipe_gets_markdown_and_nothing_else(db: Path, capsys: Captured) -> None:
    assert main(["report", "--db", str(db)]) == Exit.OK
    captured = capsys.readouterr()
    assert captured.out.startswith("## Run 1 of ")
    assert "| F16   | native.free   |" in captured.out
    assert captured.err == ""


def test_a_terminal_gets_tables(db: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["report", "--db", str(db)]) == Exit.OK
    text = capsys.readouterr().out
    assert "──────" in text
    assert "\x1b[" in text
    assert "| F16" not in text


def test_no_color_takes_the_colours_away(db: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(["report", "--db", str(db)]) == Exit.OK
    text = capsys.readouterr().out
    assert "──────" in text
    for colour in ("\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[36m", "\x1b[1;31m", "\x1b[1;36m"):
        assert colour not in text


def test_json_is_one_document(db: Path, capsys: Captured) -> None:
    assert main(["report", "last", "--json", "--db", str(db)]) == Exit.OK
    values = json.loads(capsys.readouterr().out)
    assert values["run_id"] == 1
    assert [row["quant"] for row in values["sections"][0]["rows"]] == ["F16", "F16", "Q2_K", "Q2_K"]


def test_files_are_written_beside_the_table(db: Path, tmp_path: Path, capsys: Captured) -> None:
    names = {kind: tmp_path / f"report.{kind}" for kind in ("html", "md", "csv")}
    flags = [word for kind, path in names.items() for word in (f"--{kind}", str(path))]
    assert main(["report", *flags, "--db", str(db)]) == Exit.OK
    captured = capsys.readouterr()
    assert captured.out == names["md"].read_text()
    assert names["html"].read_text().startswith("<!doctype html>")
    assert names["csv"].read_text().startswith("run,model,suite")
    assert captured.err.count("Wrote ") == 3


def test_a_dash_prints_the_file_instead_of_the_table(db: Path, capsys: Captured) -> None:
    assert main(["report", "--csv", "-", "--db", str(db)]) == Exit.OK
    assert capsys.readouterr().out.startswith("run,model,suite")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--csv", "-", "--json"], "only one of --json and --csv - can print to standard output"),
        (["--csv", "same", "--md", "same"], "--md and --csv would be written to one file, same; give each its own"),
        (["--html", "nowhere/report.html"], "there is no folder nowhere"),
        (["--section", "weather"], "--section knows not-scored, changed, no-call, bfcl"),
    ],
)
def test_what_cannot_be_written_is_said_first(flags: list[str], sentence: str, db: Path, capsys: Captured) -> None:
    assert main(["report", *flags, "--db", str(db)]) == Exit.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert sentence in captured.err


def test_sections_add_tables(db: Path, capsys: Captured) -> None:
    assert main(["report", "--section", "order,constraint", "--db", str(db)]) == Exit.OK
    text = capsys.readouterr().out
    assert "Accuracy by category" in text
    assert "How hard the constraint had to push" in text


@pytest.mark.parametrize("command", [["report"], ["show", "last", "x"], ["ls"], ["score"]])
def test_no_result_file_is_a_sentence(command: list[str], tmp_path: Path, capsys: Captured) -> None:
    assert main([*command, "--db", str(tmp_path / "none.db")]) == Exit.USAGE
    assert "make some with `toolgauge run --db " in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_unknown_run_is_a_sentence(db: Path, capsys: Captured) -> None:
    assert main(["report", "7", "--db", str(db)]) == Exit.USAGE
    assert "there is no run '7'" in capsys.readouterr().err


def test_show_prints_prompt_output_parse_and_verdict(db: Path, capsys: Captured) -> None:
    assert main(["show", "last", "mine/0", "--db", str(db)]) == Exit.OK
    text = capsys.readouterr().out
    assert "4 of 4 answers are correct" in text
    assert text.count("<|im_start|>user") == 1  # shared by all four
    assert "F16 native.free, F16 native.schema, Q2_K native.free, Q2_K native.schema" in text
    assert "verdict: correct" in text
    assert 'call add({"a": 1, "b": 2})' in text
    assert "␛[31m<tool_call> right" in text  # what the model wrote is shown, and not obeyed
    assert "\x1b" not in text


def test_show_explains_what_went_wrong(db: Path, capsys: Captured) -> None:
    assert (
        main(["show", "1", "3", "--quant", "f16", "--mode", "native.free", "--no-prompt", "--db", str(db)]) == Exit.OK
    )
    text = capsys.readouterr().out
    assert "mine/3" in text
    assert "verdict: wrong\\_arguments" in text or "verdict: wrong_arguments" in text
    assert "b: 3, right is 2" in text
    assert "im_start" not in text


def test_show_prints_the_reason_of_an_item_that_was_not_scored(db: Path, capsys: Captured) -> None:
    assert main(["show", "1", "mine/4", "--quant", "F16", "--db", str(db)]) == Exit.OK
    assert "the gbnf backend cannot express 'pattern' at #/a" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("following", "title", "text"),
    [
        ("system, tools, user|add(1, 2)|the sum is 3|", "step 2: new in the prompt, now 9 tokens", "|the sum is 3|"),
        ("system, tools, user|add( 1,2 )|3|", "step 2: new in the prompt, now 9 tokens", "add( 1,2 )|3|"),
        ("system, tools, user, add(1, 2)|3|", "step 2: prompt, 9 tokens", "system, tools, user, add(1, 2)|3|"),
    ],
)
def test_show_repeats_no_prompt(following: str, title: str, text: str, tmp_path: Path) -> None:
    """Six steps were 910 lines, with every tool in each; a template may write the answer in another way, or all."""
    played = play(case_from(tmp_path, raw_episode()), [[Call("add", {"a": 1, "b": 2})], Parsed(content="3")])
    first, second = (replace(step, generation=replace(step.generation, n_prompt=9)) for step in played.steps)
    first = replace(first, prompt="system, tools, user|", generation=replace(first.generation, text="add(1, 2)"))
    shown = _prompt(replace(second, prompt=following), first, "step 2: ")
    assert isinstance(shown, Code)
    assert (shown.title, shown.text) == (title, text)


def test_show_gives_everything_as_json(db: Path, capsys: Captured) -> None:
    assert main(["show", "1", "mine/4", "--mode", "native.free", "--json", "--db", str(db)]) == Exit.OK
    f16, q2 = json.loads(capsys.readouterr().out)
    assert (f16["outcome"], q2["outcome"]) == ("constraint_error", "truncated")
    assert q2["record"]["steps"][0]["generation"]["stop"] == "length"
    assert q2["score"]["details"]["cut_at"] == "in_call"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["mine/44"], "did you mean mine/4?"),
        (
            ["mine/0", "--quant", "Q9"],
            "with this quant and mode; `toolgauge report 1 --db {db}` says what was measured",
        ),
        (["zebra"], "its cases are mine/0, mine/1, mine/2, ... (5); `toolgauge export 1 --csv - --db {db}` lists all"),
    ],
)
def test_show_says_what_it_did_not_find(arguments: list[str], sentence: str, db: Path, capsys: Captured) -> None:
    assert main(["show", "last", *arguments, "--db", str(db)]) == Exit.USAGE
    assert sentence.format(db=db) in capsys.readouterr().err


def test_show_tells_a_case_that_the_limit_left_out_from_one_that_is_not_there(tmp_path: Path, capsys: Captured) -> None:
    """With `--limit 8` of 30 it asked whether mine/27 was meant, though mine/7 is in the suite."""
    suites = (str(tmp_path / "mine.jsonl"),)
    path = stored_run(tmp_path, {("F16", "native.free"): [RIGHT] * 4}, limit=2, suites=suites)
    for wanted in ("mine/3", "3"):
        assert main(["show", "last", wanted, "--db", str(path)]) == Exit.USAGE
        assert (
            f"no answer to a case {wanted!r}; mine/3 is in the suite; --limit 2 left it out" in capsys.readouterr().err
        )
    assert main(["show", "last", "mine/44", "--db", str(path)]) == Exit.USAGE
    assert "did you mean mine/" in capsys.readouterr().err


def test_show_names_the_cases_that_end_alike() -> None:
    """`recovery-1` in a run of `core`, which holds the cases of `quick`, was said to have no answer."""
    known = ["core/recovery-1", "other/recovery-10", "quick/recovery-1"]
    with pytest.raises(ToolgaugeError, match=r"core/recovery-1 and quick/recovery-1 end in .*; write the whole id"):
        _match("recovery-1", known)
    assert _match("recovery-10", known) == "other/recovery-10"


def test_ls_lists_runs(db: Path, capsys: Captured) -> None:
    assert main(["ls", "--json", "--db", str(db)]) == Exit.OK
    (run,) = json.loads(capsys.readouterr().out)
    assert (run["run"], run["state"], run["models"], run["quants"]) == (1, "finished", ["tiny"], ["F16", "Q2_K"])
    assert main(["ls", "--db", str(db)]) == Exit.OK
    text = capsys.readouterr().out
    assert "| tiny   | F16, Q2_K |" in text
    assert "|      20 |" in text


def test_ls_tells_answers_from_planned_ones(tmp_path: Path, capsys: Captured) -> None:
    """An unfinished run with none was shown with all that it had planned."""
    path = stored_run(tmp_path, {("F16", "native.free"): [RIGHT, RIGHT], ("F16", "json.free"): [RIGHT]}, finished=False)
    assert main(["ls", "--db", str(path)]) == Exit.OK
    assert "|  3 of 4 |" in capsys.readouterr().out
    with Store.open(path) as store, store.transaction() as sql:
        sql.execute("DELETE FROM item")
    assert main(["ls", "--db", str(path)]) == Exit.OK
    assert "|  0 of 4 |" in capsys.readouterr().out
    assert main(["ls", "--json", "--db", str(path)]) == Exit.OK
    (run,) = json.loads(capsys.readouterr().out)
    assert (run["n_answered"], run["n_items"]) == (0, 4)


@pytest.mark.parametrize(
    ("what", "name", "field"),
    [("suites", "quick", "suite"), ("formats", "hermes", "format"), ("models", "nano", "name")],
)
def test_ls_lists_what_there_is(what: str, name: str, field: str, capsys: Captured) -> None:
    assert main(["ls", what, "--json"]) == Exit.OK
    assert name in [value[field] for value in json.loads(capsys.readouterr().out)]
    assert main(["ls", what]) == Exit.OK
    assert f"| {name}" in capsys.readouterr().out


def test_the_list_of_suites_is_readable_in_eighty_columns(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["ls", "suites"]) == Exit.OK
    lines = [Text.from_ansi(line).plain.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert max(map(cell_len, lines)) <= 80
    assert len(lines) < 60, "a suite takes a line or a few, not a screen"
    (quick,) = [line.split() for line in lines if line.startswith("  quick ")]
    assert quick[:4] == ["quick", "2", "40", "5"]
    assert any(line.split()[:1] == ["bfcl:multi_turn_long_context"] for line in lines)


def test_a_wide_list_is_cut_rather_than_squeezed(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["ls", "models"]) == Exit.OK
    lines = capsys.readouterr().out.splitlines()
    assert max(map(cell_len, (Text.from_ansi(line).plain for line in lines))) <= 80
    for word in ("mistral-small-3.2", "unsloth/gemma-4-31B-it-GGUF", "mistral_args_id"):
        assert any(word in line for line in lines)


def test_scoring_again_changes_nothing_while_the_scorer_is_the_same(tmp_path: Path, capsys: Captured) -> None:
    path = stored_run(tmp_path, {("F16", "native.free"): [RIGHT, WRONG, CUT]}, suites=(str(tmp_path / "mine.jsonl"),))
    assert main(["score", "--json", "--db", str(path)]) == Exit.OK
    counts = json.loads(capsys.readouterr().out)
    assert (counts["n_items"], counts["n_changed"], counts["n_stale"]) == (3, 0, 0)
    assert main(["score", "last", "--db", str(path)]) == Exit.OK
    assert "Judged 3 answers of run 1" in capsys.readouterr().out


def test_a_changed_suite_is_refused_rather_than_judged(tmp_path: Path, capsys: Captured) -> None:
    suite = tmp_path / "mine.jsonl"
    path = stored_run(tmp_path, {("F16", "native.free"): [RIGHT, WRONG]}, suites=(str(suite),))
    suite.write_text(suite.read_text().replace("what is 1 and 2?", "what is 1 plus 2?"))
    assert main(["score", "--db", str(path)]) == Exit.USAGE
    assert "another version of the suite mine" in capsys.readouterr().err
    with Store.read(path) as store:
        assert all(store.verdicts(cell.id) for cell in store.cells(1))
