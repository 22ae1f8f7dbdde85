"""`toolgauge truncation` over the scripted models: a run, its sweep, and the sweep of a run that is there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.cli.truncation import document, read_budgets
from bench.rates import rate
from bench.report import markdown
from bench.results.store import Store
from bench.shell import Exit
from bench.truncation.sweep import CellSweep, Level, Sweep
from grammars.errors import ToolgaugeError
from tests.bench.episodes import raw_case, raw_episode, write_suite

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def fixed(tmp_path: Path) -> list[str]:
    """A suite of two sums and an episode, and a result file of its own."""
    cases = [raw_case(id=f"mine/{number}", category="sums") for number in range(2)]
    suite = write_suite(tmp_path, *cases, raw_episode(id="mine/episode", category="episodes"))
    return ["--suite", str(suite), "--db", str(tmp_path / "results.db")]


@pytest.mark.usefixtures("workers_here")
def test_a_sweep_generates_once_and_can_be_taken_again(fixed: list[str], capsys: Captured) -> None:
    modes = ["--modes", "native.free,json.schema"]
    assert main(["truncation", "fake:perfect", "--budgets", "200,40,8", *modes, *fixed]) == Exit.OK
    captured = capsys.readouterr()
    assert "1 model file in 2 modes on mine: 6 answers." in captured.err
    assert "Answers of run 1 cut to 8, 40, 200 tokens" in captured.out
    assert "| native.free |    200 |   3 | 100.0%" in captured.out
    assert "Tokens enough for as many right answers as with 200: native.free 200, json.schema 200." in captured.out
    assert "truncation --run 1" in captured.err

    assert main(["truncation", "--run", "1", "--budgets", "100", "--json", *fixed[2:]]) == Exit.OK
    captured = capsys.readouterr()
    assert captured.err == ""  # nothing was generated
    values = json.loads(captured.out)
    assert (values["run_id"], values["budgets"], values["generated_at"]) == (1, [100], 200)
    assert [cell["mode"] for cell in values["cells"]] == ["native.free", "json.schema"]

    assert main(["truncation", "--run", "last", *fixed[2:]]) == Exit.OK
    assert "cut to 32, 64, 128, 200 tokens" in capsys.readouterr().out

    assert main(["truncation", "--run", "1", "--budgets", "300", *fixed[2:]]) == Exit.USAGE
    assert "run 1 had 200 tokens for an answer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "name a model to generate answers with, or a run whose answers are there with --run RUN"),
        (["m.gguf", "--run", "3"], "--run takes the answers that are there already, all of them; leave MODEL out"),
        (
            ["--run", "1", "--modes", "json.free", "--limit", "1", "--quants", "F16", "--suite", "core", "--new"],
            "all of them; leave --quants, --suite, --modes, --limit, --new out",
        ),
        (["m.gguf", "--budgets", "64,many"], "--budgets are numbers of tokens such as 64,128,256, not 'many'"),
        (["m.gguf", "--budgets", "0"], "not '0'"),
        (["--run", "3", "--db", "none.db"], "there are no results at none.db yet"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str], sentence: str, capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["truncation", *arguments]) == Exit.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert sentence in captured.err


@pytest.mark.usefixtures("workers_here")
def test_a_run_can_be_judged_and_cut_from_another_folder(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_suite(tmp_path, raw_case(category="sums"))
    db = ["--db", str(tmp_path / "results.db")]
    monkeypatch.chdir(tmp_path)
    command = ["truncation", "fake:perfect", "--suite", "mine.jsonl", "--modes", "native.free", "--budgets", "40,80"]
    assert main([*command, *db]) == Exit.OK
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["truncation", "--run", "1", *db]) == Exit.OK
    assert main(["score", "1", *db]) == Exit.OK
    assert "Judged 1 answer of run 1" in capsys.readouterr().out


@pytest.mark.usefixtures("workers_here")
def test_the_sweep_of_an_unfinished_run_says_so(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted after 2 of 4 answers: one row has a case, the other none, and neither said why."""
    monkeypatch.chdir(tmp_path)
    cases = [raw_case(id=f"mine/{number}", messages=[{"role": "user", "content": f"{number}?"}]) for number in range(3)]
    write_suite(tmp_path, *cases)
    modes = "native.free,json.free"
    command = ["truncation", "fake:perfect", "--suite", "mine.jsonl", "--modes", modes, "--budgets", "40,80"]
    assert main([*command, "--limit", "2", "--db", "r.db"]) == Exit.OK
    assert "unfinished" not in capsys.readouterr().out
    with Store.open(Path("r.db")) as store, store.transaction() as sql:
        sql.execute("DELETE FROM item WHERE cell_id = (SELECT max(id) FROM cell)")
        sql.execute("UPDATE run SET finished_utc = NULL")
    assert main(["truncation", "--run", "1", "--db", "r.db"]) == Exit.OK
    text = capsys.readouterr().out
    warnings = [
        "Only 2 cases of each suite ran (--limit 2): for trying out, not for deciding.",
        "The run is unfinished, with 2 of 4 answers; running the same command again goes on.",
    ]
    assert all(warning in text[: text.index("| mode")] for warning in warnings)
    assert "2 planned answers still missing" in text
    assert main(["truncation", "--run", "1", "--json", "--db", "r.db"]) == Exit.OK
    values = json.loads(capsys.readouterr().out)
    assert values["warnings"] == warnings
    assert [cell["n_not_answered"] for cell in values["cells"]] == [0, 2]


def test_budgets_are_read_in_order_and_once() -> None:
    assert read_budgets("64, 32,64") == (32, 64)
    assert read_budgets("") == ()
    with pytest.raises(ToolgaugeError):
        read_budgets("-3")


def swept(*levels: Level, parallel: int = 1, quants: tuple[str, ...] = ("Q4_K_M",), left_out: int = 0) -> str:
    cells = tuple(CellSweep("tiny", quant, "quick", "native.free", "none", left_out, levels) for quant in quants)
    budgets = tuple(level.budget for level in levels)
    return markdown.render(document(Sweep(3, budgets, budgets[-1], parallel, cells), Path("toolgauge.db")))


def level(
    budget: int, n_scored: int, n_not_scored: int, n_correct: int, truncated: Mapping[tuple[str, str], int]
) -> Level:
    accuracy = rate((str(number), number < n_correct) for number in range(n_scored))
    return Level(budget, accuracy, n_not_scored, truncated)


def test_the_page_has_a_column_for_what_happened_and_for_nothing_else() -> None:
    cut = {("in_call", "budget"): 3, ("prose", "repetition"): 1}
    text = swept(level(32, 10, 0, 5, cut), level(64, 10, 2, 9, {("in_call", "early_end"): 1}))
    header = next(line for line in text.splitlines() if line.startswith("| mode"))
    names = [name.strip() for name in header.strip("|").split("|")]
    assert names[:5] == ["mode", "tokens", "n", "accuracy", "truncated"]
    assert names[5:] == ["cut in call", "cut prose", "by budget", "by repetition", "early end"]
    assert "40.0%" in text
    assert "up to 2 answers of a mode not scored" in text
    assert "Tokens enough for as many right answers as with 64: native.free 64." in text


def test_each_level_has_a_block_of_its_own() -> None:
    text = swept(level(32, 10, 0, 5, {}), quants=("F16", "Q2_K"))
    assert text.index("### tiny F16 on quick") < text.index("### tiny Q2_K on quick")


def test_what_is_not_exact_or_not_enough_is_said() -> None:
    assert "one at a time: what is cut is what a run with that budget gives" in swept(level(32, 1, 0, 1, {}))
    assert "4 at a time: exact for these answers" in swept(level(32, 1, 0, 1, {}), parallel=4)
    assert "1 answer cut by the largest budget, too" in swept(level(32, 9, 0, 1, {("prose", "budget"): 1}))
    assert "2 answers left out, which no verdict is there for: see `toolgauge score 3`" in swept(
        level(32, 9, 0, 1, {}), left_out=2
    )
    assert "Tokens enough" not in swept(level(32, 9, 0, 0, {}))
