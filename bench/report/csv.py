"""The rows of a report as CSV: raw numbers, a line for each quant, mode and suite; empty means "not measured"."""

from __future__ import annotations

import csv
import io
from typing import Any

from bench.report.values import Rate, Report, Row, Section
from bench.stats import Spread


def render(report: Report) -> str:
    """Return the whole file, with a header line."""
    stream = io.StringIO()
    lines = [_line(report, section, row) for section in report.sections for row in section.rows]
    writer = csv.DictWriter(stream, list(lines[0]) if lines else ["run"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return stream.getvalue()


def _line(report: Report, section: Section, row: Row) -> dict[str, Any]:
    return {
        "run": report.run_id,
        "model": section.model,
        "suite": section.suite,
        "quant": row.quant,
        "mode": row.mode,
        "backend": row.backend,
        "n_planned": row.n_planned,
        "n_scored": row.n_scored,
        "n_not_scored": row.n_not_scored,
        **_rate("accuracy", row.accuracy),
        **_rate("schema_valid", row.schema_valid),
        **_rate("truncated", row.truncated),
        "n_escapes": row.n_escapes,
        "load_s": row.load_s,
        **_spread("ttfc_s", row.speed.ttfc_s),
        **_spread("ttft_s", row.speed.ttft_s),
        **_spread("prefill_tok_per_s", row.speed.prefill_tok_per_s),
        **_spread("decode_tok_per_s", row.speed.decode_tok_per_s),
        "vram_peak_bytes": row.memory.vram_peak_bytes,
        "rss_peak_bytes": row.memory.rss_peak_bytes,
    }


def _rate(name: str, rate: Rate | None) -> dict[str, Any]:
    names = (name, f"{name}_low", f"{name}_high")
    values = (rate.value, rate.low, rate.high) if rate else (None, None, None)
    return dict(zip(names, values, strict=True))


def _spread(name: str, spread: Spread | None) -> dict[str, Any]:
    return {name: spread.median if spread else None, f"{name}_mad": spread.mad if spread else None}
