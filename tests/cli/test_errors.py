"""A person's mistakes, through the real command line: one sentence that says what to do next, code 2, nothing lost."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.results.store import Store
from bench.shell import Exit
from tests.bench.episodes import ADD, raw_case, write_suite
from tests.bench.hub import serving
from tests.bench.stored import RIGHT, WRONG, stored_run
from tests.privileges import unprivileged
from tests.tiny_gguf import write_tiny_model

ROOT = Path(__file__).resolve().parents[2]
Captured = pytest.CaptureFixture[str]
Fails = Callable[..., str]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result file that holds a run, with its suite beside it."""
    here = tmp_path_factory.mktemp("results")
    return stored_run(here, {("F16", "native.free"): [RIGHT, WRONG]}, suites=(str(here / "mine.jsonl"),))


@pytest.fixture(autouse=True)
def folder(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a result file that holds a run."""
    shutil.copy(results, tmp_path / "toolgauge.db")
    shutil.copy(results.with_name("mine.jsonl"), tmp_path)
    for name in ("TOOLGAUGE_DB", "TOOLGAUGE_MODELS", "TOOLGAUGE_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def fails(folder: Path, capsys: Captured) -> Fails:
    """Run a command that has to fail as a person's mistake does; returns its sentence."""

    def run(*arguments: str) -> str:
        before = stored(folder / "toolgauge.db")
        assert main(list(arguments)) == Exit.USAGE
        captured = capsys.readouterr()
        assert captured.out == ""
        *told, sentence = captured.err.splitlines()
        assert sentence.startswith("error: "), captured.err
        assert not [line for line in told if "Traceback" in line or line.startswith("error")], captured.err
        assert stored(folder / "toolgauge.db") == before
        return sentence

    return run


def stored(path: Path) -> list[tuple[object, ...]]:
    with Store.read(path) as store:
        return [
            (run.id, run.finished_utc, len(store.items(cell.id)))
            for run in store.runs()
            for cell in store.cells(run.id)
        ]


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "tiny-F16.gguf").read_bytes()


# Models


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path, gguf: None, "there is no file"),
        (lambda path, gguf: path.mkdir(), "is a folder"),
        (lambda path, gguf: path.write_text("a model, I think\n" * 10), "is not a GGUF file"),
        (lambda path, gguf: path.write_bytes(b""), "is empty"),
        (lambda path, gguf: path.write_bytes(gguf[:100]), "cut short"),
        (lambda path, gguf: path.write_bytes(gguf[: len(gguf) // 2]), "cut short"),
    ],
    ids=["missing", "folder", "text", "empty", "half a header", "half the tensors"],
)
@pytest.mark.parametrize("command", ["run", "try", "quantize"])
def test_what_is_no_model(
    command: str, make: Callable[[Path, bytes], object], sentence: str, gguf: bytes, folder: Path, fails: Fails
) -> None:
    make(folder / "model.gguf", gguf)
    more = {"run": (), "try": ("hello",), "quantize": ("Q8_0",)}[command]
    said = fails(command, "model.gguf", *more)
    assert "model.gguf" in said
    assert sentence in said


@pytest.mark.parametrize("command", ["run", "try"])
def test_a_path_that_is_not_utf_8(command: str, gguf: bytes, folder: Path, fails: Fails) -> None:
    """Such as a disk of an older system has; neither llama.cpp nor SQLite takes it."""
    name = os.fsdecode(b"caf\xe9-F16.gguf")
    try:
        (folder / name).write_bytes(gguf)
    except OSError:
        pytest.skip("this file system has no such names")
    said = fails(command, name, *(("hello",) if command == "try" else ()))
    assert "-F16.gguf is not UTF-8 text; rename the file or its folder" in said


@pytest.mark.parametrize("seed", [2**63, -(2**63) - 1])
def test_a_seed_that_no_result_file_can_keep(seed: int, fails: Fails) -> None:
    assert f"the seed must be from -9223372036854775808 to 9223372036854775807, not {seed}" in fails(
        "run", "fake:perfect", "--seed", str(seed)
    )


def test_more_answers_at_a_time_than_llama_decodes(fails: Fails) -> None:
    """It failed when its run was stored already, and so did the command that was right."""
    said = fails("run", "fake:perfect", "--parallel", "255")
    assert "--parallel is a number of answers from 1 to 254, or auto; not '255'" in said


@pytest.mark.parametrize(
    ("option", "value", "most"),
    [("-t", "513", 512), ("-t", "100000", 512), *(("--temp", value, 100) for value in ("101", "inf", "1e400", "nan"))],
)
@pytest.mark.parametrize("command", ["run", "try"])
def test_a_number_that_no_answer_can_be_made_with(
    command: str, option: str, value: str, most: int, folder: Path, capsys: Captured
) -> None:
    """A process that died within llama.cpp, or answers drawn from noise; a run was stored in either case."""
    before = stored(folder / "toolgauge.db")
    sentence = ("hello",) if command == "try" else ()
    assert main([command, "fake:perfect", *sentence, option, value]) == Exit.USAGE
    told = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert f"Invalid value for '{option}'" in told
    assert f"less than or equal to {most}" in told
    assert stored(folder / "toolgauge.db") == before


@pytest.mark.parametrize("template", [None, "", " \n"], ids=["none", "empty", "white space"])
@pytest.mark.parametrize("command", ["run", "try", "drift"])
def test_a_model_without_a_chat_template(command: str, template: str | None, folder: Path, fails: Fails) -> None:
    """Its format was asked for, and then the whole run was answers that could not be scored."""
    write_tiny_model(folder / "bare-F16.gguf", chat_template=template)
    said = fails(command, "bare-F16.gguf", *(("hello",) if command == "try" else ()))
    assert "bare-F16.gguf has no chat template; give one with --chat-template FILE" in said


@pytest.mark.parametrize("text", ["", " \n\t\n"], ids=["nothing", "white space"])
@pytest.mark.parametrize("command", ["run", "try", "drift", "doctor", "formats"])
def test_an_empty_chat_template(command: str, text: str, gguf: bytes, folder: Path, fails: Fails) -> None:
    """The model's own was taken in its place without a word."""
    (folder / "tiny-F16.gguf").write_bytes(gguf)
    (folder / "mine.jinja").write_text(text)
    given = ("tiny-F16.gguf", "--chat-template", "mine.jinja")
    arguments = {"try": (*given, "hello"), "formats": ("detect", "mine.jinja")}.get(command, given)
    said = fails(command, *arguments)
    assert "the chat template mine.jinja is empty; name another file, or leave it out" in said


@pytest.mark.parametrize(
    "arguments", [("run", "tiny-F16.gguf", "--quants", "Q4_XXL"), ("quantize", "tiny-F16.gguf", "Q4_XXL")]
)
def test_an_unknown_level(arguments: Sequence[str], gguf: bytes, folder: Path, fails: Fails) -> None:
    (folder / "tiny-F16.gguf").write_bytes(gguf)
    said = fails(*arguments)
    assert "there is no quantization level 'Q4_XXL'" in said
    assert "Q4_K_M" in said


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("someone/Tiny-GGUF:Q2_K", "someone/Tiny-GGUF has no Q2_K; it has BF16, Q4_K_M, Q8_0, UD-Q4_K_XL"),
        ("someone/Nothing-GGUF", "the Hub has no repository someone/Nothing-GGUF"),
        ("someone/Weights", "has no GGUF files"),
    ],
)
def test_a_repository_that_has_not_what_was_asked_for(
    argument: str, sentence: str, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    downloads: list[str] = []
    with serving(downloads) as address:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        assert sentence in fails("run", "-hf", argument)
        assert sentence in fails("run", argument)
    assert downloads == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--modes", "native.free,native.wild"], "unknown mode 'native.wild'; known modes are"),
        (["--backend", "magic"], "unknown constraint backend 'magic'; known backends are"),
        (["--format", "wild"], "there is no format 'wild'; choose one of: "),
        (["--format", "json"], "'json' is not a model's own format"),
        (["--thinking", "maybe"], "--thinking is one of auto, on, off, not 'maybe'"),
        (["--reasoning-effort", "endless"], "--reasoning-effort is one of low, medium, high, not 'endless'"),
        (
            ["--suite", "slow"],
            "cannot read suite 'slow' (No such file or directory); give a path or one of: core, nano, quick",
        ),
    ],
)
@pytest.mark.parametrize("flags", [[], ["--dry-run"]], ids=["run", "dry run"])
def test_an_unknown_name(arguments: Sequence[str], sentence: str, flags: Sequence[str], fails: Fails) -> None:
    assert sentence in fails("run", "fake:perfect", *arguments, *flags)


def test_a_path_that_looks_like_a_repository(fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with serving([]) as address:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        said = fails("run", "models/mine")
        assert "there is no file 'models/mine' here, and the Hub has no repository models/mine" in said
        assert "there is no file" not in fails("run", "-hf", "models/mine")


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "~nouser/x.gguf"),
        ("run", "fake:perfect", "--chat-template", "~nouser/x.jinja"),
        ("formats", "detect", "~nouser/x.gguf"),
        ("fit", "~nouser/x.gguf"),
    ],
)
def test_a_home_that_nobody_has(arguments: Sequence[str], fails: Fails) -> None:
    assert "~nouser/x" in fails(*arguments)


INLINE = json.dumps([{"name": "add", "description": "Adds. " * 60}])


@pytest.mark.parametrize(
    "arguments",
    [
        ("try", "fake:silent", "hello", "--tools", INLINE),
        ("try", INLINE, "fake:silent"),
        ("run", "fake:perfect", "--suite", INLINE),
        ("suite", "check", INLINE),
    ],
    ids=["tools", "swapped", "suite", "check"],
)
def test_a_text_in_the_place_of_a_file(arguments: Sequence[str], fails: Fails) -> None:
    said = fails(*arguments)
    assert "is too long for the name of a file; give a file's path" in said
    assert len(said) < 160


ROW = """\
# my models
[[model]]
name = "mine"
title = "Mine"
repo = "someone/Tiny-GGUF"
files = "Tiny-{quant}.gguf"
quants = ["Q4_K_M"]
default_quant = "Q4_K_M"
format = "hermes"
n_ctx = 4096
license = "MIT"
verified = false
sources = { repo = "a", files = "b", format = "c", n_ctx = "d", license = "e" }
"""


@pytest.mark.parametrize(
    ("text", "place", "sentence"),
    [
        (ROW + "[[model]\n", "my.toml", "(at line 14, column"),
        (ROW + 'colour = "green"\n', "my.toml:14:", "colour: extra inputs are not permitted"),
        (ROW.replace("4096", '"many"'), "my.toml:10:", "n_ctx: input should be a valid integer"),
        (ROW.replace('"hermes"', '"hermse"'), "my.toml:9:", "format: is no model's own format; choose one of"),
        (ROW + ROW, "my.toml:16:", "the name 'mine' is taken"),
        (ROW + "\xff", "my.toml", "is not UTF-8"),
    ],
    ids=["syntax", "unknown key", "wrong type", "unknown format", "twice", "encoding"],
)
@pytest.mark.parametrize("command", [["run", "mine"], ["ls", "models"]], ids=["run", "ls"])
def test_a_broken_models_file(
    command: Sequence[str],
    text: str,
    place: str,
    sentence: str,
    folder: Path,
    fails: Fails,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (folder / "my.toml").write_bytes(text.encode("latin-1"))
    monkeypatch.setenv("TOOLGAUGE_MODELS", "my.toml")
    said = fails(*command)
    assert place in said
    assert sentence in said


# Suites and tools


def test_two_suites_of_one_name(folder: Path, fails: Fails) -> None:
    (folder / "other").mkdir()
    write_suite(folder / "other", raw_case(id="mine/another"))
    said = fails("run", "fake:perfect", "--suite", "mine.jsonl", "--suite", "other/mine.jsonl")
    assert f"{folder}/mine.jsonl and {folder}/other/mine.jsonl are different suites with one name, 'mine'; give" in said


def with_parameters(parameters: object) -> dict[str, object]:
    return raw_case(tools=[{"name": "add", "parameters": parameters}])


@pytest.mark.parametrize(
    ("second", "place", "sentence"),
    [
        (
            with_parameters({"type": "strange"}),
            "tools.0",
            "tool 'add': parameters at #/type: 'strange' is no JSON type",
        ),
        (with_parameters([1]), "tools.0", "parameters must be a JSON object"),
        (raw_case(id="mine/2", messages=[]), "messages", "has to be a list with at least one element"),
        (raw_case(id="mine/2", expected={"calls": [{"name": "divide"}]}), "expected.calls.0.name", "no tool 'divide'"),
        (raw_case(id="mine/2", colour="green"), "colour", "there is no such field"),
        (raw_case(), "id", "'mine/1' is used twice"),
    ],
    ids=["schema", "no schema", "no message", "unknown tool", "unknown key", "twice"],
)
def test_a_broken_suite(second: dict[str, object], place: str, sentence: str, folder: Path, fails: Fails) -> None:
    write_suite(folder, raw_case(), second)
    said = fails("run", "fake:perfect", "--suite", "mine.jsonl")
    assert f"mine.jsonl:3: {place}: " in said
    assert sentence in said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "cannot read tools.json: no such file or directory"),
        ("[{", "tools.json is not JSON"),
        ("[]", "it holds no tools; write a JSON list of tools"),
        ('["add"]', "tool 1 is no JSON object"),
        (json.dumps([ADD, ADD]), "two tools are named 'add'; give each its own name"),
        (json.dumps([{"name": "add", "parameters": {"type": 5}}]), "tool 'add': parameters at #/type"),
    ],
    ids=["missing", "syntax", "empty", "no object", "twice", "schema"],
)
def test_broken_tools_to_try(text: str | None, sentence: str, folder: Path, fails: Fails) -> None:
    if text is not None:
        (folder / "tools.json").write_text(text)
    said = fails("try", "fake:silent", "hello", "--tools", "tools.json")
    assert "tools.json" in said
    assert sentence in said


# Result files

RUN = ("run", "fake:perfect", "--suite", "mine.jsonl", "--no-latency")


def test_a_locked_database(folder: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    other = connect("toolgauge.db", isolation_level=None)
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **more: connect(*args, **(more | {"timeout": 0.05})))
    other.execute("BEGIN IMMEDIATE")
    assert "toolgauge.db is locked by another process; wait until it has finished, or name another" in fails(*RUN)
    assert "is locked by another process" in fails("score")
    other.execute("ROLLBACK")
    other.close()


@pytest.mark.parametrize("command", [RUN, ("score",)], ids=["run", "score"])
def test_a_database_that_is_read_only(command: Sequence[str], folder: Path, fails: Fails) -> None:
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    try:
        with unprivileged(folder):
            assert "read-only; make it writable, or name another file with --db" in fails(*command)
    finally:
        folder.chmod(0o755)


def test_a_read_only_database_can_be_read(folder: Path, capsys: Captured) -> None:
    assert main(["report"]) == Exit.OK  # so that everything is imported while that is permitted
    (folder / "toolgauge.db").chmod(0o444)
    folder.chmod(0o555)
    try:
        with unprivileged(folder):
            assert main(["report"]) == Exit.OK
    finally:
        folder.chmod(0o755)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("command", [RUN, ("report",), ("score",), ("show", "last", "0"), ("ls",)])
def test_a_database_in_a_folder_that_is_missing(command: Sequence[str], folder: Path, fails: Fails) -> None:
    said = fails(*command, "--db", "nowhere/results.db")
    assert "nowhere/results.db" in said
    assert "folder" in said or "toolgauge run" in said
    assert not (folder / "nowhere").exists()


@pytest.mark.parametrize("command", [RUN, ("report",), ("score",), ("ls",)])
@pytest.mark.parametrize("content", [b"dear diary\n" * 200, b"SQLite format 3\0" + b"\xff" * 2000])
def test_a_file_that_is_no_database_is_left_alone(
    command: Sequence[str], content: bytes, folder: Path, fails: Fails
) -> None:
    path = folder / "notes.db"
    path.write_bytes(content)
    said = fails(*command, "--db", "notes.db")
    assert "notes.db is not a SQLite database; move it away" in said or "notes.db is damaged; restore" in said
    assert path.read_bytes() == content


@pytest.mark.parametrize("command", [RUN, ("report",), ("ls",)])
def test_a_database_of_another_program_is_left_alone(command: Sequence[str], folder: Path, fails: Fails) -> None:
    other = sqlite3.connect("photos.db")
    other.execute("CREATE TABLE photo (id INTEGER)")
    other.commit()
    other.close()
    before = (folder / "photos.db").read_bytes()
    assert "is a database of another program; name a file of its own with --db" in fails(*command, "--db", "photos.db")
    assert (folder / "photos.db").read_bytes() == before


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("report", "7"), "there is no run '7' in toolgauge.db; known are: last, 1"),
        (("show", "7", "0"), "there is no run '7'"),
        (("score", "seven"), "there is no run 'seven'"),
        (("run", "--resume", "7"), "there is no run '7'"),
        (("show", "last", "mine/9"), "run 1 has no answer to a case 'mine/9'; did you mean mine/"),
        (("show", "last", "zebra"), "run 1 has no answer to a case 'zebra'"),
        (("show", "last", "0", "--mode", "json.wild"), "with this quant and mode"),
    ],
)
def test_a_run_or_a_case_that_is_not_there(command: Sequence[str], sentence: str, fails: Fails) -> None:
    assert sentence in fails(*command)


# Full disks


@contextmanager
def file_size_limit(n_bytes: int) -> Iterator[None]:
    """The nearest thing to a full disk that everybody can have: child processes inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("flags", [(), ("--out", "levels")], ids=["into the cache", "into a folder"])
def test_a_disk_that_is_full_while_quantizing_keeps_no_part(
    flags: Sequence[str], gguf: bytes, folder: Path, fails: Fails
) -> None:
    (folder / "tiny-F16.gguf").write_bytes(gguf)
    (folder / "levels").mkdir()
    with file_size_limit(len(gguf) // 4):
        said = fails("quantize", "tiny-F16.gguf", "Q8_0", *flags)
    assert "quantizing tiny-F16.gguf to Q8_0 failed" in said
    assert "the disk is full" in said
    made = [path.name for place in ("cache", "levels") for path in (folder / place).rglob("*") if path.is_file()]
    assert [name for name in made if name.endswith((".gguf", ".part"))] == []


def test_a_disk_that_is_full_while_a_report_is_written(
    folder: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.report.html.render", lambda *values, **more: "x" * 200_000)
    (folder / "report.html").write_text("the old report")
    with file_size_limit(100_000):
        said = fails("report", "--html", "report.html")
    assert "report.html: the file gets too large; make room" in said
    assert (folder / "report.html").read_text() == "the old report"
    assert not list(folder.glob(".*.part"))


def test_a_disk_that_is_full_in_the_middle_of_a_run_costs_nothing_that_was_stored(folder: Path) -> None:
    cases = [raw_case(id=f"mine/{number}") for number in range(12)]
    write_suite(folder, *cases)
    command = [*RUN, "--modes", "native.free", "--parallel", "1", "--db", "full.db"]
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))\n"
        f"from bench.cli.main import main; sys.exit(main({command!r}))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == Exit.USAGE, done.stderr
    assert "Traceback" not in done.stderr
    assert "run the same command again" in done.stderr.splitlines()[-1]
    with Store.read(folder / "full.db") as store:
        (cell,) = store.cells(1)
        n_stored = len(store.items(cell.id))
    assert 0 < n_stored < len(cases)
    assert main(command) == Exit.OK
    with Store.read(folder / "full.db") as store:
        assert [(run.id, len(store.items(cell.id))) for run in store.runs()] == [(1, len(cases))]


# What a backend or a context has no room for is an outcome, and no failed run

UNIQUE = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
PICK = {"name": "pick", "parameters": {"type": "object", "properties": {"from": UNIQUE}}}


def tiny_run(folder: Path, gguf: bytes, modes: str, *flags: str) -> int:
    (folder / "tiny-F16.gguf").write_bytes(gguf)
    fixed = ("-t", "1", "-n", "16", "--no-latency", "--parallel", "1", "--db", "tiny.db")
    return main(["run", "tiny-F16.gguf", "--suite", "mine.jsonl", "--modes", modes, *fixed, *flags])


@pytest.mark.usefixtures("workers_here")
@pytest.mark.parametrize("backend", ["llguidance", "gbnf", "outlines"])
def test_a_constraint_that_cannot_be_built_is_told_with_its_place_and_never_left_out(
    backend: str, gguf: bytes, folder: Path, capsys: Captured
) -> None:
    write_suite(folder, raw_case(), raw_case(id="mine/2", tools=[ADD, PICK]))
    assert tiny_run(folder, gguf, "json.free,json.schema", "--backend", backend) == Exit.ERRORED_ITEMS
    reason = f"the {backend} backend cannot express 'uniqueItems' at #/properties/from of the tool 'pick'"
    report = capsys.readouterr().out
    assert f"Not scored, 1 answer: {reason}" in report
    assert "constraint error" in report
    assert main(["show", "last", "mine/2", "--json", "--db", "tiny.db"]) == Exit.OK
    free, constrained = json.loads(capsys.readouterr().out)
    assert free["record"]["error"] is None
    assert len(free["record"]["steps"]) == 1
    assert constrained["outcome"] == "constraint_error"
    assert constrained["record"]["error"]["message"] == reason
    assert constrained["record"]["steps"] == []
    assert main(["show", "last", "mine/1", "--json", "--db", "tiny.db"]) == Exit.OK
    assert [answer["record"]["error"] for answer in json.loads(capsys.readouterr().out)] == [None, None]
    assert main(["show", "last", "mine/2", "--mode", "json.schema", "--db", "tiny.db"]) == Exit.OK
    assert reason in capsys.readouterr().out


@pytest.mark.usefixtures("workers_here")
def test_a_case_that_does_not_fit_the_context_is_counted_and_costs_no_other(
    gguf: bytes, folder: Path, capsys: Captured
) -> None:
    long = raw_case(id="mine/2", messages=[{"role": "user", "content": "What is 1 and 2? " * 100}])
    write_suite(folder, raw_case(), long)
    assert tiny_run(folder, gguf, "json.free", "-c", "768") == Exit.ERRORED_ITEMS
    report = capsys.readouterr().out
    assert "leave no room for an answer in a context of 768" in report
    assert "context exceeded" in report
    assert main(["report", "--json", "--db", "tiny.db"]) == Exit.OK
    (row,) = json.loads(capsys.readouterr().out)["sections"][0]["rows"]
    assert (row["n_scored"], row["not_scored"], row["outcomes"]["context_exceeded"]) == (1, {"context_exceeded": 1}, 1)


# Memory


def test_memory_that_is_not_there_is_a_sentence_with_what_to_change(gguf: bytes, folder: Path) -> None:
    """A context of four million tokens, in a process that may not have the memory for it."""
    (folder / "tiny-F16.gguf").write_bytes(gguf)
    write_suite(folder, raw_case())
    command = ["run", "tiny-F16.gguf", "--suite", "mine.jsonl", "--modes", "json.free", "--no-latency", "-t", "1"]
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (3_000_000_000, resource.RLIM_INFINITY))\n"
        "from bench.cli.main import main\n"
        f"if __name__ == '__main__': sys.exit(main({[*command, '-c', '4000000', '--db', 'memory.db']!r}))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stdout) == (Exit.USAGE, ""), done.stderr
    *told, sentence = done.stderr.splitlines()
    assert told[-1] == "1 model file in 1 mode on mine: 1 answer."
    assert sentence.startswith("error: the ")
    assert " does not fit into memory: " in sentence
    assert "a shorter context (-c)" in sentence
