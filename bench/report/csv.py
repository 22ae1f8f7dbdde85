"""The rows of a report as CSV: raw numbers, one for each quant, setting, mode and suite; empty: not measured, or none.

The closer looks follow the main columns, each value under the path that it has in JSON, e.g. `order.premature.hits`;
what has a name stands under it, e.g. `categories.selection.accuracy.low`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from bench.rates import Rate
from bench.report.values import Report, Row, Section
from bench.stats import Spread

_DETAILS = (
    *("not_scored", "outcomes", "categories", "no_call", "bfcl", "order", "recovery", "replies"),
    *("repairs", "adherence", "truncation", "latency", "push", "footprints", "energy", "batched"),
)
_NAMES = ("name", "category", "kind")  # what an entry of a list is called by


def render(report: Report) -> str:
    """Return the whole file, with a header line."""
    stream = io.StringIO()
    rows = [(section, row) for section in report.sections for row in section.rows]
    lines = [_line(report, section, row) for section, row in rows]
    details = [
        {path: value for name in _DETAILS for path, value in _leaves(name, getattr(row, name))} for _, row in rows
    ]
    columns = dict.fromkeys([*(lines[0] if lines else ["run"]), *(path for found in details for path in found)])
    writer = csv.DictWriter(stream, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(line | found for line, found in zip(lines, details, strict=True))
    return stream.getvalue()


def _line(report: Report, section: Section, row: Row) -> dict[str, Any]:
    return {
        "run": report.run_id,
        "model": section.model,
        "suite": section.suite,
        "quant": row.quant,
        "setting": row.setting,
        "mode": row.mode,
        "backend": row.backend,
        **row.context,
        "n_planned": row.n_planned,
        "n_scored": row.n_scored,
        "n_not_scored": sum(row.not_scored.values()),
        **_rate("accuracy", row.accuracy),
        **_rate("schema_valid", row.schema_valid),
        **_rate("truncated", row.truncated),
        "n_repeating": row.n_repeating,
        "n_escapes": row.n_escapes,
        "load_s": row.load_s,
        **_spread("ttfc_s", row.speed.ttfc_s),
        **_spread("ttft_s", row.speed.ttft_s),
        **_spread("prefill_tok_per_s", row.speed.prefill_tok_per_s),
        **_spread("decode_tok_per_s", row.speed.decode_tok_per_s),
        **_spread("drafted_tok_per_s", row.speed.drafted_tok_per_s),
        "drafts_accepted": row.speed.drafts_accepted,
        "vram_peak_bytes": row.memory.vram_peak_bytes,
        "rss_peak_bytes": row.memory.rss_peak_bytes,
        "kv_bytes": row.memory.kv_bytes,
    }


def _rate(name: str, rate: Rate | None) -> dict[str, Any]:
    names = (name, f"{name}_low", f"{name}_high")
    values = (rate.value, rate.low, rate.high) if rate else (None, None, None)
    return dict(zip(names, values, strict=True))


def _spread(name: str, spread: Spread | None) -> dict[str, Any]:
    return {name: spread.median if spread else None, f"{name}_mad": spread.mad if spread else None}


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Every number below a value, with the path to it; nothing for what was not measured."""
    if isinstance(value, Mapping):
        inner = list(value.items())
    elif isinstance(value, tuple):
        inner = [(_name(entry), entry) for entry in value]
    elif is_dataclass(value):
        inner = [(field.name, getattr(value, field.name)) for field in fields(value)]
    else:
        if value is not None and not isinstance(value, str):
            yield path, value
        return
    for name, found in inner:
        yield from _leaves(f"{path}.{name}", found)


def _name(entry: Any) -> str:
    named = next((str(getattr(entry, name)) for name in _NAMES if hasattr(entry, name)), None)
    return named or f"{entry.position}.{entry.cause}"
