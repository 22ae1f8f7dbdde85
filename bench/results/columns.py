"""Rows of the result file to values and back. Knows the column names and nothing about when or why they are used.

A row that this toolgauge did not write may hold anything: reading it raises an `UNREADABLE`, which says what is wrong.
"""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import struct
from collections.abc import Sequence
from typing import Any

from bench.modes import MODES
from bench.records import EpisodeEnd, ErrorKind, ItemError, ItemRecord, StepRecord, ToolResult
from bench.results.rows import Cell, EnergyReading, Item, LatencySample, Load, MemoryReading, ModelRow, Run, Score
from engine.json_limits import without_lone_surrogates
from engine.types import Call, ConstraintStats, Finding, Fragment, Generation, Parsed, StopReason, Timings

_TIMINGS = [field.name for field in dataclasses.fields(Timings)]
_CONSTRAINT = [field.name for field in dataclasses.fields(ConstraintStats)]
_COUNTED = ("n_attempts", "n_calls", "n_parsed", "n_schema_valid")  # in every verdict, whichever version gave it

UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, RecursionError, struct.error)


def to_json(value: object) -> str:
    """ASCII only: model output may hold lone surrogates, which a UTF-8 file cannot."""
    return json.dumps(value, separators=(",", ":"))


def pack_tokens(tokens: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(tokens)}I", *tokens)


def unpack_tokens(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(data) // 4}I", data)


def _plain(kind: type, row: sqlite3.Row) -> dict[str, Any]:
    return {field.name: row[field.name] for field in dataclasses.fields(kind)}


def _json(row: sqlite3.Row, name: str, kind: type) -> Any:
    return _checked(name, json.loads(row[name]), kind)


def _checked(name: str, value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"'{name}' has to be a {kind.__name__}, not a {type(value).__name__}")
    return value


def run(row: sqlite3.Row) -> Run:
    values = _plain(Run, row)
    for name, kind in {"config": dict, "argv": list, "versions": dict, "host": dict, "findings": list}.items():
        values[name] = _json(row, name, kind)
    _checked("config.suites", values["config"]["suites"], list)
    findings = tuple(Finding(**finding) for finding in values["findings"])
    return Run(**values | {"argv": tuple(values["argv"]), "findings": findings})


def cell(row: sqlite3.Row) -> Cell:
    columns = {field.name: field.name for field in dataclasses.fields(ModelRow)}
    columns |= {"id": "model_id", "position": "model_position"}
    values = {name: row[column] for name, column in columns.items()}
    findings = tuple(Finding(**finding) for finding in _json(row, "findings", list))
    model = ModelRow(**values | {"context": _json(row, "context", dict), "findings": findings})
    if row["mode"] not in MODES:
        raise ValueError(f"unknown mode {row['mode']!r}")
    own = {field.name: row[field.name] for field in dataclasses.fields(Cell) if field.name != "model"}
    return Cell(**own, model=model)


def item(row: sqlite3.Row) -> Item:
    error = None
    if row["error"] is not None:
        error = ItemError(ErrorKind(row["error"]), row["error_message"], tuple(json.loads(row["error_log"])))
    same = (field.name for field in dataclasses.fields(Item) if field.name not in ("end", "error", "extra"))
    values = {name: row[name] for name in same}
    return Item(**values, end=EpisodeEnd(row["episode_end"]), error=error, extra=_json(row, "extra", dict))


def record(item: Item, steps: Sequence[StepRecord]) -> ItemRecord:
    return ItemRecord(
        case_id=item.case_id,
        steps=tuple(steps),
        end=item.end,
        error=item.error,
        format_id=item.format_id,
        format_version=item.format_version,
        extra=item.extra,
    )


def step_values(step: StepRecord) -> dict[str, object]:
    """The columns of a step, apart from its item, position and prompt."""
    generation = step.generation
    stats = generation.constraint
    return {
        "tokens": pack_tokens(generation.tokens),
        "text": without_lone_surrogates(generation.text),
        "stop": generation.stop.value,
        "n_prompt": generation.n_prompt,
        "n_cached": generation.n_cached,
        "n_reasoning": generation.n_reasoning,
        "n_drafted": generation.n_drafted,
        "n_accepted": generation.n_accepted,
        **dataclasses.asdict(generation.timings),
        **(dataclasses.asdict(stats) if stats else dict.fromkeys(_CONSTRAINT)),
        "parsed": to_json(dataclasses.asdict(step.parsed)),
        "results": to_json([dataclasses.asdict(result) for result in step.results]),
    }


def step(row: sqlite3.Row) -> StepRecord:
    stats = {name: row[name] for name in _CONSTRAINT}
    parsed = json.loads(row["parsed"])
    parsed["calls"] = tuple(Call(**call) for call in parsed["calls"])
    parsed["fragments"] = tuple(Fragment(**fragment) for fragment in parsed["fragments"])
    return StepRecord(
        generation=Generation(
            tokens=unpack_tokens(row["tokens"]),
            text=row["text"],
            stop=StopReason(row["stop"]),
            n_prompt=row["n_prompt"],
            n_cached=row["n_cached"],
            n_reasoning=row["n_reasoning"],
            n_drafted=row["n_drafted"],
            n_accepted=row["n_accepted"],
            timings=Timings(**{name: row[name] for name in _TIMINGS}),
            constraint=None if stats["n_masked"] is None else ConstraintStats(**stats),
        ),
        parsed=Parsed(**parsed),
        results=tuple(ToolResult(**result) for result in json.loads(row["results"])),
        prompt=row["prompt"],
    )


def score(row: sqlite3.Row) -> Score:
    from bench.score.outcome import Outcome  # brings all of scoring, which a list of runs does without

    values = _plain(Score, row)
    details = _json(row, "details", dict)
    for name in _COUNTED:
        _checked(f"details.adherence.{name}", details["adherence"][name], int)
    return Score(**values | {"outcome": Outcome(row["outcome"]).value, "stale": bool(row["stale"]), "details": details})


def latency_sample(row: sqlite3.Row) -> LatencySample:
    values = _plain(LatencySample, row)
    return LatencySample(**values | {"drafted": bool(values["drafted"]), "warm": bool(values["warm"])})


def load(row: sqlite3.Row) -> Load:
    return Load(**_plain(Load, row))


def memory_reading(row: sqlite3.Row) -> MemoryReading:
    return MemoryReading(**_plain(MemoryReading, row))


def energy_reading(row: sqlite3.Row) -> EnergyReading:
    return EnergyReading(**_plain(EnergyReading, row))
