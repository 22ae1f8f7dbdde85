"""Every command that is printed as advice finds the result file that it is about."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.results.store import Store
from bench.shell import Exit
from engine.types import Finding
from tests.bench.stored import BROKEN, INVALID, RIGHT, WRONG, stored_run

_COMMAND = re.compile(r"toolgauge (?:run|report|score|export|show|compare|truncation|ls)\b[^`]*")

Told = Callable[[], list[str]]


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run with everything that a report has advice for."""
    answers = {
        ("F16", "native.free"): [RIGHT, WRONG, INVALID, RIGHT, BROKEN, WRONG],
        ("F16", "native.schema"): [WRONG, RIGHT, RIGHT, RIGHT, RIGHT, WRONG],
    }
    path = stored_run(tmp_path_factory.mktemp("run"), answers)
    findings = [asdict(Finding(name, name)) for name in ("one", "two", "three", "four", "five")]
    with Store.open(path) as store, store.transaction() as sql:
        sql.execute("DELETE FROM score WHERE item_id = 1")
        sql.execute("UPDATE score SET details = json_remove(details, '$.truncated_by') WHERE item_id = 2")
        sql.execute("UPDATE score SET scorer_version = '2' WHERE item_id = 3")
        sql.execute("UPDATE item SET error = 'runtime' WHERE error IS NOT NULL")
        sql.execute("UPDATE run SET findings = ?", [json.dumps(findings)])
    return path


@pytest.fixture
def told(db: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Told:
    """The commands that a report, its page and two errors name."""
    monkeypatch.setattr("bench.report.html._MOST_FAILURES", 1)

    def found() -> list[str]:
        page = tmp_path / "page.html"
        assert main(["report", "--db", str(db)]) == Exit.OK
        assert main(["report", "--details", "--html", str(page), "--db", str(db)]) == Exit.OK
        assert main(["show", "last", "zebra", "--db", str(db)]) == Exit.USAGE
        assert main(["compare", "1", "1", "--db", str(db)]) == Exit.USAGE
        said = capsys.readouterr()
        places = re.findall(r"`([^`]*)`", said.out + said.err + html.unescape(page.read_text(encoding="utf-8")))
        elsewhere = re.findall(r"in the result file: (.*) lists all", html.unescape(page.read_text(encoding="utf-8")))
        return [text for text in (*places, *elsewhere) if _COMMAND.fullmatch(text)]

    return found


def test_a_command_names_the_result_file(db: Path, told: Told) -> None:
    """`toolgauge report` after `run --db other.db` said that there are no results."""
    commands = told()
    assert {command.split()[1] for command in commands} == {"report", "score", "export", "show", "ls"}
    assert [command for command in commands if not command.endswith(f" --db {db}")] == []


def test_a_command_does_not_name_the_file_that_is_taken_anyway(
    db: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLGAUGE_DB", str(db))
    commands = told()
    assert len(commands) > 5
    assert [command for command in commands if "--db" in command] == []
