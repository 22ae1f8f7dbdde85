"""The result file: what goes in comes out, and every way in which it cannot be used is one sentence."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from bench.records import EpisodeEnd, ErrorKind, ItemError, ItemRecord, StepRecord, ToolResult
from bench.results.migrations import APPLICATION_ID, MIGRATIONS
from bench.results.place import command, database_path
from bench.results.store import Store, StoreError
from bench.run import writer
from bench.run.messages import Reading
from bench.run.plan import Plan
from bench.run.writer import NewLoad, NewScore
from engine.types import Call, ConstraintStats, Finding, Fragment, Generation, Parsed, StopReason, Timings
from tests.bench.scripted import PROVENANCE, plan_of
from tests.bench.stored import RIGHT, WRONG, stored_run
from tests.privileges import unprivileged


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_of(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "results.db") as opened:
        yield opened


FULL_RECORD = ItemRecord(
    case_id="mine/0",
    steps=(
        StepRecord(
            Generation(
                tokens=(1, 70_000, 2**32 - 1),
                text="<tool_call>\n{…}",
                stop=StopReason.LENGTH,
                n_prompt=12,
                n_cached=4,
                n_reasoning=3,
                n_drafted=8,
                n_accepted=6,
                timings=Timings(prefill_s=0.5, ttft_s=0.75, total_s=2.0),
                constraint=ConstraintStats(n_masked=9, n_interventions=2, removed_mass=0.25, n_forced=5),
            ),
            Parsed(
                calls=(Call("add", {"a": 1, "note": "\ud800"}),),
                fragments=(Fragment("{", "broken", 3),),
                reasoning="hm",
                content="c",
                open_block=True,
            ),
            (ToolResult("add", '{"sum": 3}', ok=False, fault="timeout", error="timeout"),),
            prompt="<|im_start|>user\nhé",
        ),
        StepRecord(Generation((), "", StopReason.EOG, 1, 0), Parsed(), prompt="<|im_start|>user\nhé"),
    ),
    end=EpisodeEnd.CUT,
    error=ItemError(ErrorKind.RUNTIME, "it died", ("ggml: assert", "bye")),
    format_id="hermes",
    format_version="1",
    extra={"note": [1, None]},
)


def begun(store: Store, plan: Plan) -> tuple[int, int]:
    run_id = writer.begin_run(store, plan, PROVENANCE)
    return run_id, store.cells(run_id)[0].id


def test_a_record_comes_back_as_it_went_in(store: Store, plan: Plan) -> None:
    run_id, cell_id = begun(store, plan)
    item_id = writer.put_item(store, run_id, cell_id, plan.cells[0].items[0], FULL_RECORD, n_slots=4, total_s=1.5)
    (item,) = store.items(cell_id)
    assert store.record(item) == FULL_RECORD
    assert (item.id, item.n_slots, item.total_s, item.attempt) == (item_id, 4, 1.5, 1)
    assert store.steps_of(cell_id) == {item_id: list(FULL_RECORD.steps)}
    assert store.n_tokens(cell_id) == {item_id: sum(len(step.generation.tokens) for step in FULL_RECORD.steps)}


def test_a_prompt_that_several_steps_share_is_kept_once(store: Store, plan: Plan) -> None:
    run_id, cell_id = begun(store, plan)
    for item in plan.cells[0].items:
        writer.put_item(store, run_id, cell_id, item, FULL_RECORD)
    assert [row["n"] for row in store.query("SELECT count(*) AS n FROM prompt")] == [1]


def test_a_run_comes_back_with_its_models_and_cells_in_the_order_of_the_plan(store: Store, plan: Plan) -> None:
    run_id, _ = begun(store, plan)
    run = store.run("last")
    assert (run.id, run.n_items, run.argv, run.finished_utc) == (run_id, 6, ("run", "fake:perfect"), None)
    assert run.config["modes"] == ["native.free", "json.free"]
    cells = store.cells(run_id)
    assert [cell.mode for cell in cells] == ["native.free", "json.free"]
    assert {cell.model.path for cell in cells} == {"fake:perfect"}
    assert [cell.n_items for cell in cells] == [3, 3]


def test_a_key_is_stored_once_and_a_later_attempt_replaces_it(store: Store, plan: Plan) -> None:
    run_id, cell_id = begun(store, plan)
    item = plan.cells[0].items[0]
    crashed = ItemRecord("mine/0", (), EpisodeEnd.ERROR, ItemError(ErrorKind.RUNTIME, "died"))
    writer.put_item(store, run_id, cell_id, item, crashed)
    assert store.stored(run_id).crashed == {item.key}
    with pytest.raises(sqlite3.IntegrityError):
        writer.put_item(store, run_id, cell_id, item, crashed)
    writer.put_item(store, run_id, cell_id, item, FULL_RECORD, attempt=2)
    (only,) = store.items(cell_id)
    assert (only.attempt, len(store.steps(only.id))) == (2, 2)


def details() -> dict[str, Any]:
    """As much of a verdict's as every version wrote."""
    names = ("n_attempts", "n_calls", "n_parsed", "n_schema_valid")
    return {"adherence": dict.fromkeys(names, 0)}


def test_the_newest_verdict_counts_and_the_older_ones_stay(store: Store, plan: Plan) -> None:
    run_id, cell_id = begun(store, plan)
    old = NewScore("toolgauge", "1", "wrong_tool", details())
    item_id = writer.put_item(store, run_id, cell_id, plan.cells[0].items[0], FULL_RECORD, scores=[old])
    writer.put_scores(store, [(item_id, NewScore("toolgauge", "2", "correct", details(), stale=True))])
    assert [(s.scorer_version, s.outcome, s.stale) for s in store.scores(item_id)] == [
        ("2", "correct", True),
        ("1", "wrong_tool", False),
    ]
    assert store.verdicts(cell_id)[item_id].outcome == "correct"
    writer.put_scores(store, [(item_id, NewScore("toolgauge", "2", "no_call", details()))])
    assert [s.outcome for s in store.scores(item_id)] == ["no_call", "wrong_tool"]


def test_latency_samples_are_not_items(store: Store, plan: Plan) -> None:
    run_id, cell_id = begun(store, plan)
    sample = {"key": "k", "case_id": "mine/0", "repetition": 1, "error": None, "text": "\ud800t", "stop": "eog"}
    numbers = dict.fromkeys(("n_prompt", "n_tokens", "n_forced"), 3)
    times = dict.fromkeys(("prefill_s", "decode_s", "mask_s", "host_s", "compile_s", "total_s"), 0.5)
    moments = {"ttft_s": 0.1, "ttfn_s": None, "ttfc_s": None, "energy_j": None}
    writer.put_sample(store, run_id, cell_id, {**sample, **numbers, **times, **moments})
    assert store.items(cell_id) == []
    drafted = {"key": "d", "drafted": True, "n_first": 2, "n_drafted": 5, "n_accepted": 4}
    writer.put_sample(store, run_id, cell_id, {**sample, **numbers, **times, **moments, **drafted})
    (beside,) = store.latency_samples(cell_id, drafted=True)
    assert (beside.key, beside.drafted, beside.n_first, beside.n_drafted, beside.n_accepted) == ("d", True, 2, 5, 4)
    (found,) = store.latency_samples(cell_id)
    assert (found.key, found.drafted, found.n_drafted, found.n_accepted) == ("k", False, 0, 0)
    assert (found.text, found.ttft_s, found.ttfc_s, found.energy_j) == ("?t", 0.1, None, None)


def test_a_failed_latency_sample_may_have_said_half_a_surrogate_pair(store: Store, plan: Plan) -> None:
    run_id, cell_id = begun(store, plan)
    numbers = dict.fromkeys(("n_prompt", "n_tokens", "n_forced"), 0)
    times = dict.fromkeys(("prefill_s", "decode_s", "mask_s", "host_s", "compile_s", "total_s"), 0.0)
    moments = dict.fromkeys(("ttft_s", "ttfn_s", "ttfc_s", "energy_j"))
    failed = {"key": "k", "case_id": "mine/0", "repetition": 1, "error": "a\ud800b", "text": "", "stop": ""}
    writer.put_sample(store, run_id, cell_id, {**failed, **numbers, **times, **moments})
    assert [sample.error for sample in store.latency_samples(cell_id)] == ["a?b"]


def test_what_the_self_check_found_stays_with_the_model(store: Store, plan: Plan) -> None:
    run_id, _ = begun(store, plan)
    model = store.cells(run_id)[0].model
    assert model.findings == ()
    found = (Finding("call-text-differs", "other than expected", "\ud800 a", "b"), Finding("x", "y"))
    writer.put_findings(store, model.id, found)
    assert store.cells(run_id)[0].model.findings == found
    writer.put_findings(store, model.id, ())
    assert store.cells(run_id)[0].model.findings == ()


def test_results_of_the_first_version_are_read_on(tmp_path: Path, plan: Plan) -> None:
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as old:
        old.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        for statement in MIGRATIONS[0]:
            old.execute(statement)
        old.execute("PRAGMA user_version = 1")
    old.close()
    with Store.open(path) as store:
        run_id, _ = begun(store, plan)
        assert store.cells(run_id)[0].model.findings == ()


def test_what_came_with_the_first_token_of_older_samples_is_known_where_nothing_was_forced(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as old:
        old.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        for statement in (each for statements in MIGRATIONS[:7] for each in statements):
            old.execute(statement)
        for key, n_tokens, n_forced in (("free", 9, 0), ("forced", 9, 3), ("none", 0, 0)):
            old.execute(
                """
                INSERT INTO latency_sample (run_id, cell_id, key, case_id, repetition, text, stop, n_prompt, n_tokens,
                    n_forced, prefill_s, decode_s, mask_s, host_s, compile_s, total_s, created_utc)
                VALUES (1, 1, ?, 'a', 0, '', 'eog', 5, ?, ?, 1, 1, 0, 0, 0, 2, '')
                """,
                (key, n_tokens, n_forced),
            )
        old.execute("PRAGMA user_version = 7")
    old.close()
    with Store.read(path) as store:
        samples = store.latency_samples(1)
    assert {each.key: each.n_first for each in samples} == {"free": 1, "forced": None, "none": None}
    assert [each.n_masked for each in samples] == [None] * 3, "which nobody counted then"


def test_memory_readings_belong_to_a_load_and_unknown_is_not_zero(store: Store, plan: Plan) -> None:
    run_id, _ = begun(store, plan)
    model_id = store.cells(run_id)[0].model.id
    load_id = writer.put_load(store, run_id, model_id, NewLoad(1.5, 2048, 4, "build 1"))
    writer.put_readings(store, load_id, [Reading("peak", "rss", "", 5), Reading("peak", "vram", "", None)])
    (load,) = store.loads(run_id)
    assert (load.load_s, load.n_ctx, load.error) == (1.5, 2048, None)
    assert [(r.source, r.n_bytes) for r in store.readings(load_id)] == [("rss", 5), ("vram", None)]
    assert store.run("last").llama_build == "build 1"


def test_an_item_is_stored_whole_or_not_at_all(store: Store, plan: Plan) -> None:
    run_id, cell_id = begun(store, plan)
    unwritable = NewScore("toolgauge", "1", "CORRECT", {"a set": {1}})
    with pytest.raises(TypeError):
        writer.put_item(store, run_id, cell_id, plan.cells[0].items[0], FULL_RECORD, scores=[unwritable])
    assert store.items(cell_id) == []
    assert store.query("SELECT * FROM step") == []


def test_only_one_living_process_writes_a_run(store: Store, plan: Plan) -> None:
    run_id, _ = begun(store, plan)
    with pytest.raises(StoreError, match=f"being written by process {os.getpid()}"):
        writer.claim(store, run_id)
    with store.transaction() as sql:  # as a run whose process id is used by another program now
        sql.execute("UPDATE run SET owner_started = owner_started - 1000")
    writer.claim(store, run_id)


def test_runs_are_found_by_number_or_as_the_last(store: Store, plan: Plan) -> None:
    with pytest.raises(StoreError, match=r"no run in .* yet"):
        store.run("last")
    first, _ = begun(store, plan)
    second, _ = begun(store, plan)
    assert store.run("last").id == second
    assert store.run(str(first)).id == first
    with pytest.raises(StoreError, match=r"no run '7' in .*; known are: last, 2, 1"):
        store.run("7")


def test_the_file_is_named_by_option_then_environment_then_habit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOOLGAUGE_DB", raising=False)
    assert database_path() == Path("toolgauge.db")
    monkeypatch.setenv("TOOLGAUGE_DB", "/x/y.db")
    assert database_path() == Path("/x/y.db")
    assert database_path(Path("z.db")) == Path("z.db")


def test_a_command_names_the_file_only_where_another_would_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOOLGAUGE_DB", raising=False)
    assert command(Path("toolgauge.db"), "report", "3") == "toolgauge report 3"
    assert command(Path("my runs/x.db"), "show", "3", "CASE") == "toolgauge show 3 CASE --db 'my runs/x.db'"
    monkeypatch.setenv("TOOLGAUGE_DB", "x.db")
    assert command(Path("x.db"), "report") == "toolgauge report"
    assert command(Path("toolgauge.db"), "report") == "toolgauge report --db toolgauge.db"


def test_reading_does_not_make_a_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no results at .* yet; make some with `toolgauge run --db "):
        Store.read(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


def test_a_locked_file_is_one_sentence(store: Store, plan: Plan) -> None:
    with sqlite3.connect(store.path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with Store.open(store.path, timeout_s=0.05) as second, pytest.raises(StoreError, match="is locked by another"):
            begun(second, plan)
        other.execute("ROLLBACK")
    other.close()


@pytest.mark.parametrize("name", [":memory:", "file:x?mode=memory", "file::memory:?cache=shared"])
def test_whatever_it_is_called_it_is_a_file(
    name: str, tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite keeps what has such a name in memory, so that the answers of a whole run were nowhere."""
    monkeypatch.chdir(tmp_path)
    with Store.open(Path(name)) as store:
        begun(store, plan)
    assert (tmp_path / name).is_file()
    with Store.read(Path(name)) as store:
        assert store.run().n_items == 6


def _move(path: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))


def _replace(path: Path) -> None:
    shutil.copy(path, path.with_name("copy.db"))
    path.with_name("copy.db").replace(path)


@pytest.mark.parametrize("lose", [Path.unlink, _move, _replace])
def test_a_file_that_is_taken_away_is_not_written_to(
    lose: Callable[[Path], None], tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite goes on without a word, and closing the file loses everything."""
    monkeypatch.chdir(tmp_path)
    with Store.open(Path("results.db")) as store:
        run_id, cell_id = begun(store, plan)
        writer.put_item(store, run_id, cell_id, plan.cells[0].items[0], FULL_RECORD)
        lose(store.path)
        with pytest.raises(StoreError, match=r"results\.db was deleted, moved or replaced while it was written to"):
            writer.release(store, run_id, finished=True)


def test_a_file_that_was_moved_is_whole_and_another_in_its_place_stays_as_it_is(tmp_path: Path, plan: Plan) -> None:
    """SQLite's log stayed under the old name: the moved file lacked the newest answers, and the other one got them."""
    path, other = tmp_path / "results.db", tmp_path / "other.db"
    Store.open(other).close()
    with Store.open(path) as store:
        run_id, cell_id = begun(store, plan)
        writer.put_item(store, run_id, cell_id, plan.cells[0].items[0], FULL_RECORD)
        _move(path)
        other.rename(path)
        with pytest.raises(StoreError, match="move it back"):
            writer.release(store, run_id, finished=True)
    with Store.read(path) as store:
        assert list(store.runs()) == []
    with Store.read(tmp_path / "elsewhere.db") as store:
        assert len(store.items(cell_id)) == 1


def test_a_folder_that_is_missing_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened; check that its folder exists"):
        Store.open(tmp_path / "nowhere" / "results.db")


def test_a_read_only_folder_can_be_read_and_not_written(tmp_path: Path, plan: Plan) -> None:
    folder = tmp_path / "frozen"
    folder.mkdir()
    path = folder / "results.db"
    with Store.open(path) as store:
        begun(store, plan)
    path.chmod(0o444)
    folder.chmod(0o555)
    with unprivileged(folder):
        with Store.read(path) as store:
            assert store.run("last").n_items == 6
        with pytest.raises(StoreError, match="read-only"), Store.open(path) as store:
            begun(store, plan)
    folder.chmod(0o755)


@pytest.mark.parametrize("content", [b"GGUF and something else" * 100, b"SQLite format 3\0" + b"\xff" * 2000])
def test_a_file_that_is_no_database_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "results.db"
    path.write_bytes(content)
    for opened in (Store.open, Store.read):
        with pytest.raises(StoreError, match=r"not a SQLite database|is damaged"):
            opened(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("n_flipped", [5, 40, 300])
@pytest.mark.parametrize("seed", range(1, 6))
def test_a_file_with_flipped_bytes_is_read_or_one_sentence(tmp_path: Path, seed: int, n_flipped: int) -> None:
    path = stored_run(tmp_path, {("F16", "native.free"): [RIGHT, WRONG] * 5})
    content = bytearray(path.read_bytes())
    chosen = random.Random(seed)
    for _ in range(n_flipped):
        content[chosen.randrange(100, len(content))] ^= 255
    path.write_bytes(content)
    for opened in (Store.read, Store.open):
        with suppress(StoreError), opened(path) as store:
            run = store.run()
            for cell in store.cells(run.id):
                store.items(cell.id), store.steps_of(cell.id), store.verdicts(cell.id)
            writer.release(store, run.id, finished=False)


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE song (name TEXT)")
    other.close()
    with pytest.raises(StoreError, match="a database of another program"):
        Store.open(path)


def test_a_newer_schema_is_one_sentence(store: Store) -> None:
    with store.transaction() as sql:
        sql.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    for opened in (Store.open, Store.read):
        with pytest.raises(StoreError, match="written by a newer toolgauge"):
            opened(store.path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE run SET config = '{'", "run 1: Expecting property name"),
        ("UPDATE run SET config = '[]'", "run 1: 'config' has to be a dict, not a list"),
        ("UPDATE run SET config = '{}'", "run 1: 'suites' is missing"),
        ('UPDATE run SET config = \'{"suites": "quick"}\'', "run 1: 'config.suites' has to be a list, not a str"),
        ("UPDATE run SET host = 'null'", "run 1: 'host' has to be a dict"),
        ("UPDATE run SET findings = '[{\"x\": 1}]'", "unexpected keyword argument 'x'"),
        ("UPDATE model SET findings = '[7]'", "cell 1: "),
        ("UPDATE cell SET mode = 'native.evil'", "cell 1: unknown mode 'native.evil'"),
        ("UPDATE item SET episode_end = 'zzz'", "item 1: 'zzz' is not a valid EpisodeEnd"),
        ("UPDATE item SET extra = '7'", "item 1: 'extra' has to be a dict"),
        ("UPDATE item SET total_s = 9e999", "item 1: a number is infinite"),
        ("UPDATE step SET stop = 'zzz'", "step 1: 'zzz' is not a valid StopReason"),
        ("UPDATE step SET parsed = '{}'", "step 1: 'calls' is missing"),
        ("UPDATE step SET parsed = '[]'", "step 1: "),
        ("UPDATE step SET tokens = x'010203'", "step 1: unpack requires a buffer"),
        ("UPDATE score SET outcome = 'zzz'", "score 1: 'zzz' is not a valid Outcome"),
        ("UPDATE score SET details = '{}'", "score 1: 'adherence' is missing"),
        ("UPDATE score SET details = '{\"adherence\": null}'", "score 1: "),
        ("UPDATE item SET case_id = CAST(x'ff' AS TEXT)", "Could not decode to UTF-8"),
        ("DROP TABLE latency_sample", "no such table: latency_sample"),
        ("ALTER TABLE item DROP COLUMN trial", "no such column: trial"),
        ("ALTER TABLE item DROP COLUMN extra", "item 1: No item with that key"),
        ("PRAGMA user_version = -3", "its schema has the number -3"),
    ],
)
def test_a_file_that_is_not_quite_ours_is_one_sentence(store: Store, plan: Plan, change: str, reason: str) -> None:
    """From a damaged file, or from a toolgauge with one more mode, outcome or field: each was a traceback."""
    run_id, cell_id = begun(store, plan)
    scores = [NewScore("toolgauge", "1", "correct", details())]
    writer.put_item(store, run_id, cell_id, plan.cells[0].items[0], FULL_RECORD, scores=scores)
    store.close()
    with closing(sqlite3.connect(store.path)) as sql:
        sql.execute(change)
        sql.commit()
    with pytest.raises(StoreError) as caught, Store.read(store.path) as foreign:
        for cell in foreign.cells(foreign.run().id):
            (
                foreign.items(cell.id),
                foreign.steps_of(cell.id),
                foreign.verdicts(cell.id),
                foreign.latency_samples(cell.id),
            )
    told = str(caught.value)
    assert told.startswith(f"{store.path} is damaged or from another toolgauge (")
    assert reason in told
    assert told.endswith("; restore a copy, or name another file with --db")


def test_a_file_with_a_schema_below_zero_is_not_written_to(store: Store) -> None:
    """A negative number took the last steps of bringing a file up to date, and ran them."""
    store.close()
    with closing(sqlite3.connect(store.path)) as sql:
        sql.execute("PRAGMA user_version = -3")
    before = store.path.read_bytes()
    with pytest.raises(StoreError, match="number -3"):
        Store.open(store.path)
    assert store.path.read_bytes() == before


def test_opening_twice_migrates_once(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    with Store.open(path), Store.open(path) as second:
        assert second.query("PRAGMA user_version") == [{"user_version": len(MIGRATIONS)}]
        assert second.query("PRAGMA journal_mode") == [{"journal_mode": "wal"}]
