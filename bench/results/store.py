"""The result file: one SQLite database in which a killed run loses nothing that was finished.

    with Store.read() as store:
        run = store.run("last")
        for cell in store.cells(run.id):
            print(cell.mode, len(store.items(cell.id)))

Only the parent process writes, one transaction for each item. Reading gives the frozen values of `bench.results.rows`
and `bench.records`. Knows neither models nor scoring rules; the conversions are in `bench.results.columns`.
"""

from __future__ import annotations

import re
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isinf
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from bench.records import ErrorKind, ItemRecord, StepRecord
from bench.results import columns
from bench.results.migrations import APPLICATION_ID, MIGRATIONS
from bench.results.place import command, database_path
from bench.results.rows import Cell, EnergyReading, Item, LatencySample, Load, MemoryReading, Run, Score, Stored
from grammars.errors import ToolgaugeError

T = TypeVar("T")

_CELLS = """
SELECT cell.*, model.position AS model_position, name, quant, path, gguf_sha256, gguf_bytes, template_sha256,
       architecture, format, context, findings, setting
FROM cell JOIN model ON model.id = cell.model_id
"""
_STEPS = "SELECT step.*, prompt.text AS prompt FROM step JOIN prompt ON prompt.sha256 = step.prompt_sha256"


class StoreError(ToolgaugeError):
    """The result file cannot be read or written; the message says why and what to do."""


class Store:
    """An open result file: `Store.open` for work, `Store.read` for commands that only look."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        connection.row_factory = sqlite3.Row
        self._sql, self.path = connection, path
        self._file = _file_at(path)

    @classmethod
    def open(cls, path: Path | None = None, *, timeout_s: float = 10.0) -> Self:
        """Open for writing; the file is made when missing and brought to the newest schema."""
        path = database_path(path)
        with _explained(path):
            # absolute: SQLite keeps what is called `:memory:` or `file:...` in memory, and nothing of it stays
            connection = sqlite3.connect(path.absolute(), timeout=timeout_s, isolation_level=None)
            with _closed_on_error(connection):
                _prepare(connection, path)
        return cls(connection, path)

    @classmethod
    def read(cls, path: Path | None = None) -> Self:
        """Open for reading only; works in a folder where nothing can be written, too."""
        path = database_path(path)
        if not path.is_file():
            raise StoreError(
                f"there are no results at {path} yet; make some with `{command(path, 'run')}`, or name a file with --db"
            )
        with _explained(path):
            try:
                connection, version = _open_read_only(path, "mode=ro")
            except sqlite3.OperationalError:
                # A database in WAL mode needs a -shm file beside it even for reading, which a read-only folder cannot
                # hold, unless it is declared immutable. That is true there, if no -wal file holds newer pages.
                if path.with_name(f"{path.name}-wal").exists():
                    raise
                connection, version = _open_read_only(path, "mode=ro&immutable=1")
        if version == len(MIGRATIONS):
            return cls(connection, path)
        connection.close()
        return cls.open(path)  # an older schema is brought up to date first

    def close(self) -> None:
        self._sql.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; for `bench.run.writer`."""
        if _file_at(self.path) != self._file:  # SQLite would go on writing into what has no name any more
            with _explained(self.path):
                # Its log stays under the old name: a moved file would not be whole, and the next one here not its own.
                self._sql.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            raise StoreError(
                f"{self.path} was deleted, moved or replaced while it was written to; a file that was moved holds all "
                "that was stored: move it back, and run the same command again"
            )
        with _explained(self.path):
            self._sql.execute("BEGIN IMMEDIATE")
            try:
                yield self._sql
            except BaseException:
                self._sql.execute("ROLLBACK")
                raise
            self._sql.execute("COMMIT")

    def _rows(self, make: Callable[[sqlite3.Row], T], sql: str, *values: object) -> list[T]:
        with _explained(self.path):
            return [self._made(make, row) for row in self._sql.execute(sql, values)]

    def _made(self, make: Callable[[sqlite3.Row], T], row: sqlite3.Row) -> T:
        try:
            if any(isinstance(value, float) and isinf(value) for value in row):
                raise ValueError("a number is infinite")
            return make(row)
        except columns.UNREADABLE as error:
            which = f"{make.__name__} {row['id']}" if "id" in row.keys() else make.__name__  # noqa: SIM118
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise StoreError(_FOREIGN.format(path=self.path, error=f"{which}: {what[:_MOST_SAID]}")) from error

    def runs(self) -> list[Run]:
        """Every run, newest first."""
        return self._rows(columns.run, "SELECT * FROM run ORDER BY id DESC")

    def run(self, reference: str = "last") -> Run:
        """A run by its number, or the newest by the word `last`."""
        runs = self.runs()
        if not runs:
            raise StoreError(f"there is no run in {self.path} yet; start one with `{command(self.path, 'run')}`")
        if reference == "last":
            return runs[0]
        for run in runs:
            if str(run.id) == reference:
                return run
        known = ", ".join(str(run.id) for run in runs[:10])
        raise StoreError(f"there is no run {reference!r} in {self.path}; known are: last, {known}")

    def cells(self, run_id: int) -> list[Cell]:
        """In the order of the plan: model, quant, suite, mode."""
        return self._rows(columns.cell, f"{_CELLS} WHERE cell.run_id = ? ORDER BY cell.position", run_id)

    def items(self, cell_id: int) -> list[Item]:
        """The accuracy pass of a cell, in the order of the suite; latency samples are never among them."""
        return self._rows(columns.item, "SELECT * FROM item WHERE cell_id = ? ORDER BY position, trial", cell_id)

    def steps(self, item_id: int) -> list[StepRecord]:
        return self._rows(columns.step, f"{_STEPS} WHERE item_id = ? ORDER BY step.position", item_id)

    def steps_of(self, cell_id: int) -> dict[int, list[StepRecord]]:
        """The steps of all items of a cell in one query, by item id."""
        sql = f"{_STEPS} JOIN item ON item.id = step.item_id WHERE item.cell_id = ? ORDER BY item_id, step.position"
        found: dict[int, list[StepRecord]] = defaultdict(list)

        def step(row: sqlite3.Row) -> tuple[int, StepRecord]:
            return row["item_id"], columns.step(row)

        for item_id, each in self._rows(step, sql, cell_id):
            found[item_id].append(each)
        return dict(found)

    def n_tokens(self, cell_id: int) -> dict[int, int]:
        """How many tokens were generated for each item of a cell, over all its steps."""
        sql = """
        SELECT item_id, sum(length(tokens) / 4) AS n_tokens FROM step JOIN item ON item.id = step.item_id
        WHERE item.cell_id = ? GROUP BY item_id
        """

        def counted(row: sqlite3.Row) -> tuple[int, int]:
            return row["item_id"], row["n_tokens"]

        return dict(self._rows(counted, sql, cell_id))

    def record(self, item: Item) -> ItemRecord:
        """The item as scoring wants it."""
        return columns.record(item, self.steps(item.id))

    def scores(self, item_id: int) -> list[Score]:
        """Every verdict on an item, newest first."""
        return self._rows(columns.score, "SELECT * FROM score WHERE item_id = ? ORDER BY id DESC", item_id)

    def verdicts(self, cell_id: int) -> dict[int, Score]:
        """The newest verdict of each item of a cell, by item id; a stale one says so itself."""
        sql = """
        SELECT score.* FROM score JOIN item ON item.id = score.item_id
        WHERE item.cell_id = ? ORDER BY score.id
        """
        return {score.item_id: score for score in self._rows(columns.score, sql, cell_id)}

    def latency_samples(self, cell_id: int, *, drafted: bool = False, warm: bool = False) -> list[LatencySample]:
        """The samples with drafts, or with a warm prefix, are measured beside the others, and never mixed with them."""
        sql = "SELECT * FROM latency_sample WHERE cell_id = ? AND drafted = ? AND warm = ? ORDER BY repetition, id"
        return self._rows(columns.latency_sample, sql, cell_id, drafted, warm)

    def loads(self, run_id: int) -> list[Load]:
        """Every start of a worker for a model of this run."""
        sql = "SELECT l.* FROM model_load AS l JOIN model ON model.id = l.model_id WHERE run_id = ? ORDER BY l.id"
        return self._rows(columns.load, sql, run_id)

    def readings(self, load_id: int) -> list[MemoryReading]:
        sql = "SELECT * FROM memory_reading WHERE load_id = ? ORDER BY id"
        return self._rows(columns.memory_reading, sql, load_id)

    def energy(self, load_id: int) -> list[EnergyReading]:
        sql = "SELECT * FROM energy_reading WHERE load_id = ? ORDER BY id"
        return self._rows(columns.energy_reading, sql, load_id)

    def stored(self, run_id: int) -> Stored:
        """What a run already has, for whoever resumes it."""
        items = self.query("SELECT key, attempt, error FROM item WHERE run_id = ?", (run_id,))
        samples = self.query("SELECT key FROM latency_sample WHERE run_id = ?", (run_id,))
        return Stored(
            attempts={item["key"]: item["attempt"] for item in items},
            crashed=frozenset(item["key"] for item in items if item["error"] == ErrorKind.RUNTIME),
            samples=frozenset(sample["key"] for sample in samples),
        )

    def n_errors(self, run_id: int) -> int:
        """Items that could not be judged."""
        sql = "SELECT count(*) AS n FROM item WHERE run_id = ? AND error IS NOT NULL"
        return int(self.query(sql, (run_id,))[0]["n"])

    def query(self, sql: str, values: Sequence[object] = ()) -> list[Mapping[str, Any]]:
        """A SELECT of one's own, for exports; values are always bound, never pasted."""
        return self._rows(dict, sql, *values)


def _file_at(path: Path) -> tuple[int, int] | None:
    """Which file it is; None: there is none."""
    try:
        found = path.absolute().stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    if _schema_version(connection, path) == len(MIGRATIONS):
        return
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    # Read again under the lock: another process may have been faster.
    for statements in MIGRATIONS[_schema_version(connection, path) :]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    connection.execute("COMMIT")


def _open_read_only(path: Path, options: str) -> tuple[sqlite3.Connection, int]:
    """The connection and the schema version of the file."""
    uri = f"{path.absolute().as_uri()}?{options}"
    connection = sqlite3.connect(uri, uri=True, timeout=10.0, isolation_level=None)
    with _closed_on_error(connection):
        return connection, _schema_version(connection, path)


def _schema_version(connection: sqlite3.Connection, path: Path) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    owner = int(connection.execute("PRAGMA application_id").fetchone()[0])
    n_tables = int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if n_tables and owner != APPLICATION_ID:
        raise StoreError(f"{path} is a database of another program; name a file of its own with --db")
    if version < 0:
        raise StoreError(_FOREIGN.format(path=path, error=f"its schema has the number {version}"))
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{path} was written by a newer toolgauge (schema {version}, this one knows {len(MIGRATIONS)}); "
            "upgrade toolgauge, or name another file with --db"
        )
    return version


@contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


_ELSEWHERE = "or name another file with --db"
_LOCKED = f"{{path}} is locked by another process; wait until it has finished, {_ELSEWHERE}"
_FOREIGN = f"{{path}} is damaged or from another toolgauge ({{error}}); restore a copy, {_ELSEWHERE}"
_MOST_SAID = 200  # characters of what a row holds
_OTHER_SCHEMA = re.compile(
    "no such (table|column)|has no column|already exists|duplicate column|Could not decode to UTF-8"
)
_READ_ONLY = f"{{path}} or its folder is read-only; make it writable, {_ELSEWHERE}"
_REASONS = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: f"{{path}} cannot be opened; check that its folder exists and is writable, {_ELSEWHERE}",
    sqlite3.SQLITE_NOTADB: f"{{path}} is not a SQLite database; move it away, {_ELSEWHERE}",
    sqlite3.SQLITE_CORRUPT: f"{{path}} is damaged; restore a copy, {_ELSEWHERE}",
    sqlite3.SQLITE_FULL: "the disk is full while writing {path}; free some space and run the same command again",
    sqlite3.SQLITE_IOERR: "{path} cannot be written ({error}); check the disk, then run the same command again",
}


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """SQLite's own errors as one sentence that says what to do; mistakes of ours stay visible as they are."""
    try:
        yield
    except UnicodeDecodeError as error:  # what Python makes of SQLite's own words about a damaged schema
        raise StoreError(_FOREIGN.format(path=path, error="its text is not UTF-8")) from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        reason = _REASONS.get(code & 0xFF) if code is not None else None
        if reason is None and _OTHER_SCHEMA.search(str(error)):
            reason = _FOREIGN
        if reason is None:
            raise
        raise StoreError(reason.format(path=path, error=error)) from error
