"""The front door: quick to open, clear when something is wrong."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from bench.cli import main as cli
from bench.cli.main import main
from bench.cli.verbs import VERBS, load
from bench.results.store import Store
from bench.shell import Exit, comma_list
from grammars.errors import ToolgaugeError

ROOT = Path(__file__).resolve().parents[2]
SUITE_COMMANDS = ("check", "show", "new", "import", "tools")
HEAVY = (
    *("llama_cpp", "llguidance", "outlines_core", "pynvml", "numpy", "scipy", "gguf", "pyarrow", "psutil"),
    *("jsonschema", "jinja2", "httpx", "huggingface_hub", "bench.run", "bench.score", "bench.report.build"),
)


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Let the application itself raise this."""

    def install(error: BaseException) -> None:
        def fail(*args: object, **kwargs: object) -> None:
            raise error

        monkeypatch.setattr(cli, "app", fail)

    return install


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        ("--version", ["rich", "pydantic", "sqlite3", "asyncio", "bench.cli.run"]),
        ("--help", ["pydantic", "sqlite3", "asyncio", "bench.cli.run", "bench.cli.options"]),
        ("report --help", ["sqlite3", "asyncio", "bench.cli.run", "bench.cli.options"]),
        ("ls --db {db}", ["bench.cli.run", "bench.cli.options"]),
    ],
)
def test_what_a_command_does_without_is_not_imported(arguments: str, more: list[str], tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    Store.open(db).close()
    code = f"""
import sys
from bench.cli.main import main
code = main({arguments.format(db=db).split()!r})
print([name for name in {[*HEAVY, *more]!r} if name in sys.modules], code)
"""
    assert python(code).stdout.splitlines()[-1] == "[] 0"


@pytest.mark.parametrize("name", VERBS)
def test_the_list_of_verbs_says_what_their_own_help_says(name: str) -> None:
    verb, command = VERBS[name], load(name)
    assert command.name == name
    assert command.rich_help_panel == verb.panel
    assert command.help.splitlines()[0] == verb.summary


def test_help_comes_at_once() -> None:
    """Its time is that of its imports, 331 modules; their number is the same on a busy machine."""
    code = "import sys; from bench.cli.main import main; main(['--help']); print(len(sys.modules))"
    assert int(python(code).stdout.split()[-1]) < 400


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == Exit.OK
    text = capsys.readouterr().out
    for command in VERBS:
        assert f" {command} " in text
    for panel in ("Measure", "Read results", "Models and formats", "This machine"):
        assert panel in text


@pytest.mark.parametrize("command", VERBS)
def test_every_command_explains_itself_with_two_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == Exit.OK
    assert capsys.readouterr().out.count(f"$ toolgauge {command}") >= 2


@pytest.mark.parametrize("command", [*([verb] for verb in VERBS), *(["suite", name] for name in SUITE_COMMANDS)])
def test_no_name_is_cut_in_a_help_of_80_columns(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--reasoning-toke…` cannot be typed, and `<float range>` is nobody's word."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*command, "--help"]) == Exit.OK
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert [word for word in ("…", "range>") if word in text] == []


def test_no_arguments_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == Exit.USAGE
    captured = capsys.readouterr()
    assert "Usage: toolgauge" in captured.out + captured.err


@pytest.mark.parametrize(
    "arguments", [["rnu"], ["run", "--limt", "3"], ["report", "--section"], ["run", "--limit", "0"]]
)
def test_a_mistyped_command_line_is_code_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == Exit.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Error" in captured.err


def test_an_error_is_one_sentence_without_a_traceback(
    failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(ToolgaugeError("the moon is missing; hang it up again"))
    assert main(["run"]) == Exit.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: the moon is missing; hang it up again\n"


@pytest.mark.parametrize("arguments", [["--debug", "run"], ["run", "--debug"]])
def test_debug_shows_the_traceback_wherever_it_stands(
    arguments: list[str], failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(ToolgaugeError("the moon is missing"))
    assert main(arguments) == Exit.USAGE
    captured = capsys.readouterr()
    assert "Traceback" in captured.err
    assert captured.err.endswith("error: the moon is missing\n")


def test_debug_can_be_a_word_of_the_sentence_to_try() -> None:
    assert cli._debug_wanted(["try", "m", "--", "--debug"]) == (False, ["try", "m", "--", "--debug"])
    assert cli._debug_wanted(["try", "--debug", "m", "--", "x"]) == (True, ["try", "m", "--", "x"])


def test_debug_can_be_switched_on_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLGAUGE_DEBUG", "1")
    assert cli._debug_wanted(["run"]) == (True, ["run"])


def test_a_full_disk_is_a_sentence_too(
    failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "report.html"))
    assert main(["report"]) == Exit.USAGE
    assert (
        capsys.readouterr().err == "error: report.html: the disk is full; make room, then run the same command again\n"
    )


def test_a_mistake_of_ours_is_not_dressed_up(failing: Callable[[BaseException], None]) -> None:
    failing(OSError(errno.EINVAL, "what?"))
    with pytest.raises(OSError, match="what"):
        main(["report"])


def test_an_interrupt_is_code_130(failing: Callable[[BaseException], None]) -> None:
    failing(KeyboardInterrupt())
    assert main(["run"]) == Exit.INTERRUPTED


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: f"{name}-9")
    assert main(["--version"]) == Exit.OK
    assert capsys.readouterr().out == "toolgauge toolgauge-9\n"


def test_the_version_is_that_of_the_folder_where_nothing_is_installed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", version)
    assert main(["--version"]) == Exit.OK
    written = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert capsys.readouterr().out == f"toolgauge {written}\n"


@pytest.mark.parametrize(
    ("text", "parts"),
    [(None, ()), ("", ()), ("Q8_0", ("Q8_0",)), (" Q8_0 , Q4_K_M,,", ("Q8_0", "Q4_K_M"))],
)
def test_comma_list(text: str | None, parts: tuple[str, ...]) -> None:
    assert comma_list(text) == parts


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m bench.cli.main ls formats | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout.strip() == "0"
    assert done.stderr == ""
