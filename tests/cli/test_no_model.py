"""What looks at stored answers needs no model: its file may be gone, and llama.cpp may not even be installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.results.store import Store
from bench.shell import Exit
from tests.bench.episodes import raw_case, raw_episode, write_suite
from tests.tiny_gguf import write_tiny_model

ROOT = Path(__file__).resolve().parents[2]
CASE = "mine/0"
LIBRARIES = ("llama_cpp", "llguidance", "outlines_core", "pynvml")

# Any import of these fails, as on a machine without them.
CODE = """
import sys
for name in {libraries!r}:
    sys.modules[name] = None
from bench.cli.main import main
sys.exit(max(main([*command, "--db", {db!r}]) for command in {commands!r}))
"""


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a real GGUF with random weights, which is deleted afterwards."""
    folder = tmp_path_factory.mktemp("run")
    model = write_tiny_model(folder / "tiny.gguf")
    suite = write_suite(folder, raw_case(id=CASE, category="sums"), raw_episode(id="mine/episode", category="more"))
    path = folder / "results.db"
    settings = ["-c", "1024", "-n", "24", "-t", "1", "--format", "hermes", "--no-report"]
    modes = ["--modes", "native.free,json.schema"]
    assert main(["run", str(model), "--suite", str(suite), "--db", str(path), *settings, *modes]) == Exit.OK
    model.unlink()
    return path


def without_llama(db: Path, *commands: list[str]) -> subprocess.CompletedProcess[str]:
    code = CODE.format(libraries=LIBRARIES, db=str(db), commands=commands)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)


def test_reading_and_scoring_need_neither_the_file_nor_llama(db: Path, tmp_path: Path) -> None:
    before = outcomes(db)
    assert all(before)
    with Store.open(db) as store, store.transaction() as sql:
        sql.execute("DELETE FROM score")
    export = ["export", "--jsonl", str(tmp_path / "answers.jsonl")]
    done = without_llama(
        db, ["score"], ["report", "--details"], ["report", "--json"], ["show", "last", CASE], ["ls"], export
    )
    assert done.returncode == Exit.OK, done.stderr
    assert "Traceback" not in done.stderr
    assert outcomes(db) == before


def outcomes(db: Path) -> list[dict[int, str]]:
    """The verdicts of each cell."""
    with Store.read(db) as store:
        cells = [store.verdicts(cell.id) for cell in store.cells(1)]
    return [{item: score.outcome for item, score in cell.items()} for cell in cells]


def test_without_llama_a_run_ends_at_once(db: Path) -> None:
    """The hindrance is one: without this, the test above would prove nothing."""
    model = write_tiny_model(db.parent / "again.gguf")
    done = without_llama(db, ["run", str(model), "--format", "hermes", "--limit", "1", "--no-latency", "--new"])
    assert done.returncode == Exit.USAGE
    assert "llama-cpp-python cannot be loaded" in done.stderr
