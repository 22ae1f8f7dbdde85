"""Everything that is ever written into the result file, each piece in one transaction.

Only the process that runs a plan uses this. Reading is `bench.results.store`.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any

from bench.records import ItemRecord
from bench.results.columns import step_values, to_json
from bench.results.store import Store, StoreError
from bench.run.messages import Energy, Reading
from bench.run.plan import Plan, PlannedItem
from engine.json_limits import without_lone_surrogates
from engine.types import Finding


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where and by what a run is made."""

    argv: tuple[str, ...]
    versions: Mapping[str, str]
    host: Mapping[str, Any]
    findings: tuple[Finding, ...] = ()  # of cases and constraints, before anything ran


@dataclass(frozen=True, slots=True)
class NewScore:
    scorer: str
    scorer_version: str
    outcome: str
    details: Mapping[str, Any]
    stale: bool = False


@dataclass(frozen=True, slots=True)
class NewLoad:
    """One start of a worker."""

    load_s: float | None
    n_ctx: int | None = None
    n_slots: int | None = None
    llama_build: str | None = None
    error: str | None = None  # why there is no `load_s`


def begin_run(store: Store, plan: Plan, provenance: Provenance) -> int:
    """A new run with its models and cells; it belongs to this process until `release`."""
    with store.transaction() as sql:
        run_id = _insert(
            sql,
            "run",
            plan_key=plan.key,
            config=to_json(plan.config.to_json()),
            argv=to_json(provenance.argv),
            versions=to_json(provenance.versions),
            host=to_json(provenance.host),
            findings=to_json([asdict(finding) for finding in provenance.findings]),
            seed=plan.config.sampling.seed,
            n_items=plan.n_items,
            n_samples=plan.n_samples,
            created_utc=utc_now(),
        )
        _own(sql, run_id)
        _put_models(sql, run_id, plan)
    return run_id


def _put_models(sql: sqlite3.Connection, run_id: int, plan: Plan) -> None:
    positions = count()
    for model_position, model in enumerate(plan.models):
        cells = plan.cells_of(model)
        model_id = _insert(
            sql,
            "model",
            run_id=run_id,
            position=model_position,
            name=model.name,
            quant=model.quant,
            path=model.path,
            gguf_sha256=model.gguf_sha256,
            gguf_bytes=model.gguf_bytes,
            template_sha256=model.template_sha256,
            architecture=model.architecture,
            format=model.format_id or "",
            context=to_json(plan.context_of(model)),
            setting=model.setting,
        )
        for cell in cells:
            _insert(
                sql,
                "cell",
                run_id=run_id,
                model_id=model_id,
                position=next(positions),
                mode=cell.mode.id,
                backend=cell.backend,
                backend_version=cell.backend_version,
                suite=cell.suite.name,
                suite_sha256=cell.suite.content_hash,
                n_items=len(cell.items),
            )


def claim(store: Store, run_id: int) -> None:
    """Take over an unfinished run; refused while another living process writes it."""
    with store.transaction() as sql:
        row = sql.execute("SELECT owner_pid, owner_started FROM run WHERE id = ?", (run_id,)).fetchone()
        if row["owner_pid"] is not None and _is_alive(row["owner_pid"], row["owner_started"]):
            raise StoreError(
                f"run {run_id} is being written by process {row['owner_pid']}; wait until it has finished, "
                "or start another with --new"
            )
        _own(sql, run_id)
        sql.execute("UPDATE run SET finished_utc = NULL WHERE id = ?", (run_id,))


def release(store: Store, run_id: int, *, finished: bool) -> None:
    """Give a run up, finished or to be resumed."""
    with store.transaction() as sql:
        sql.execute(
            "UPDATE run SET owner_pid = NULL, owner_started = NULL, finished_utc = ? WHERE id = ?",
            (utc_now() if finished else None, run_id),
        )


def put_load(store: Store, run_id: int, model_id: int, load: NewLoad) -> int:
    with store.transaction() as sql:
        values = {name: getattr(load, name) for name in ("load_s", "n_ctx", "n_slots", "llama_build", "error")}
        load_id = _insert(sql, "model_load", model_id=model_id, created_utc=utc_now(), **values)
        if load.llama_build is not None:
            sql.execute(
                "UPDATE run SET llama_build = ? WHERE id = ? AND llama_build IS NULL", (load.llama_build, run_id)
            )
    return load_id


def put_readings(store: Store, load_id: int, readings: Iterable[Reading], energy: Iterable[Energy] = ()) -> None:
    with store.transaction() as sql:
        for reading in readings:
            _insert(sql, "memory_reading", load_id=load_id, **asdict(reading))
        for spent in energy:
            _insert(sql, "energy_reading", load_id=load_id, **asdict(spent))


def put_findings(store: Store, model_id: int, findings: Sequence[Finding]) -> None:
    """What the self-check of a model found; a later check of the same model in the run takes its place."""
    with store.transaction() as sql:
        text = to_json([asdict(finding) for finding in findings])
        sql.execute("UPDATE model SET findings = ? WHERE id = ?", (text, model_id))


def put_load_error(store: Store, load_id: int, error: str) -> None:
    """How a worker that had loaded its model ended early."""
    with store.transaction() as sql:
        sql.execute("UPDATE model_load SET error = ? WHERE id = ?", (error, load_id))


def put_item(
    store: Store,
    run_id: int,
    cell_id: int,
    item: PlannedItem,
    record: ItemRecord,
    *,
    attempt: int = 1,
    n_slots: int = 1,
    total_s: float = 0.0,
    scores: Iterable[NewScore] = (),
) -> int:
    """A whole item with its steps and verdicts; a later attempt takes the place of a crashed one."""
    error = record.error
    with store.transaction() as sql:
        sql.execute("DELETE FROM item WHERE run_id = ? AND key = ? AND attempt < ?", (run_id, item.key, attempt))
        item_id = _insert(
            sql,
            "item",
            run_id=run_id,
            cell_id=cell_id,
            key=item.key,
            position=item.position,
            case_id=item.case.id,
            category=item.case.category,
            trial=item.trial,
            episode_end=record.end.value,
            error=error.kind.value if error else None,
            error_message=without_lone_surrogates(error.message) if error else None,
            error_log=to_json(error.log) if error else None,
            format_id=record.format_id,
            format_version=record.format_version,
            attempt=attempt,
            n_slots=n_slots,
            total_s=total_s,
            extra=to_json(record.extra),
            created_utc=utc_now(),
        )
        for position, step in enumerate(record.steps):
            prompt = without_lone_surrogates(step.prompt)
            digest = hashlib.sha256(prompt.encode()).hexdigest()
            sql.execute("INSERT OR IGNORE INTO prompt (sha256, text) VALUES (?, ?)", (digest, prompt))
            _insert(sql, "step", item_id=item_id, position=position, prompt_sha256=digest, **step_values(step))
        for score in scores:
            _put_score(sql, item_id, score)
    return item_id


def put_scores(store: Store, scores: Iterable[tuple[int, NewScore]]) -> None:
    """Verdicts on stored items, all or none; the same scorer's own earlier verdict is replaced."""
    with store.transaction() as sql:
        for item_id, score in scores:
            _put_score(sql, item_id, score)


def put_sample(store: Store, run_id: int, cell_id: int, values: Mapping[str, Any]) -> None:
    """One raw sample of the latency pass; `values` are the columns of `bench.results.rows.LatencySample`."""
    with store.transaction() as sql:
        cleaned = {
            name: without_lone_surrogates(value) if isinstance(value, str) else value for name, value in values.items()
        }
        _insert(sql, "latency_sample", run_id=run_id, cell_id=cell_id, created_utc=utc_now(), **cleaned)


def utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _insert(sql: sqlite3.Connection, table: str, **values: object) -> int:
    """Table and column names are ours; every value is bound."""
    names, places = ", ".join(values), ", ".join("?" * len(values))
    cursor = sql.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", tuple(values.values()))  # noqa: S608
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _put_score(sql: sqlite3.Connection, item_id: int, score: NewScore) -> None:
    same = (item_id, score.scorer, score.scorer_version)
    sql.execute("DELETE FROM score WHERE item_id = ? AND scorer = ? AND scorer_version = ?", same)
    _insert(
        sql,
        "score",
        item_id=item_id,
        scorer=score.scorer,
        scorer_version=score.scorer_version,
        outcome=score.outcome,
        stale=int(score.stale),
        details=to_json(score.details),
        created_utc=utc_now(),
    )


def _own(sql: sqlite3.Connection, run_id: int) -> None:
    import psutil

    me = psutil.Process()
    sql.execute("UPDATE run SET owner_pid = ?, owner_started = ? WHERE id = ?", (os.getpid(), me.create_time(), run_id))


def _is_alive(pid: int, started: float) -> bool:
    """Whether that very process still runs; pids are used again, start times are not."""
    import psutil

    try:
        process = psutil.Process(pid)
        return bool(abs(process.create_time() - started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
