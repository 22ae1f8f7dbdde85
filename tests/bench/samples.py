"""A made-up report with everything in it, for the tests of the renderers."""

from __future__ import annotations

from pathlib import Path

from bench.rates import Rate
from bench.report.details.categories import Category
from bench.report.details.latency import Latency, Parts, Warm
from bench.report.values import (
    Choice,
    Failure,
    Memory,
    Paired,
    Push,
    Report,
    Row,
    Rung,
    Section,
    Speed,
)
from bench.stats import Spread

BACKENDS = {"native.free": "none", "json.free": "none", "native.schema": "llguidance", "json.schema": "llguidance"}
MODES = ("native.free", "native.schema", "json.free", "json.schema")


def latency(*, constrained: bool) -> Latency:
    mask_s = 0.004 if constrained else 0.0
    return Latency(
        n=30,
        n_called=24,
        ttft_s=Spread(0.0512, 0.004, 30),
        ttfn_s=Spread(0.0911, 0.008, 24),
        ttfc_s=Spread(0.2104, 0.012, 24),
        total_s=Spread(0.2405, 0.018, 30),
        noise=0.031,
        compile_s=Spread(0.0021, 0.0003, 5) if constrained else None,
        parts=Parts(24, 0.05, 0.0, 0.011, 0.14, mask_s, 0.006, 0.207 + mask_s),
        warm=Warm(10, 0.81, Spread(0.05, 0.004, 10), Spread(0.012, 0.001, 10), Spread(0.2, 0.01, 8), None, 1),
    )


def row(quant: str, mode: str, hits: int, *, escapes: int = 0, vram: int | None = None) -> Row:
    constrained = mode.endswith("schema")
    n_truncated = 0 if constrained else 2
    return Row(
        quant=quant,
        mode=mode,
        backend="llguidance" if constrained else "none",
        n_planned=40,
        n_scored=39,
        not_scored={"runtime_error": 1},
        accuracy=Rate(hits, 39, max(0.0, hits / 39 - 0.13), min(1.0, hits / 39 + 0.13)),
        schema_valid=Rate(36 - escapes, 36, 0.9, 1.0) if constrained else Rate(33, 36, 0.77, 0.97),
        truncated=Rate(n_truncated, 39, 0.0, 0.1),
        n_escapes=escapes,
        outcomes={"correct": hits, "wrong_arguments": 37 - hits, "truncated": n_truncated, "runtime_error": 1},
        categories=(
            Category("selection", 20, 20, Rate(8, 20, 0.2, 0.6), {}),
            Category("restraint", 20, 19, Rate(3, 19, 0.06, 0.38), {"runtime_error": 1}),
        ),
        speed=Speed(
            ttfc_s=Spread(0.2104, 0.012, 30),
            ttft_s=Spread(0.0512, 0.004, 30),
            prefill_tok_per_s=Spread(5210.0, 80.0, 30),
            decode_tok_per_s=Spread(612.4, 20.0, 30),
            compile_s=Spread(0.0021, 0.0003, 30) if constrained else None,
        ),
        memory=Memory(vram_peak_bytes=vram, rss_peak_bytes=131_072_000),
        load_s=0.12,
        latency=latency(constrained=constrained),
        push=Push(0.72, 0.013, 0.41, 0.000031) if constrained else None,
    )


def report(*, escapes: int = 0, vram: int | None = None, suites: tuple[str, ...] = ("quick",)) -> Report:
    hits = {"F16": 29, "Q8_0": 29, "Q4_K_M": 28, "Q2_K": 21}
    rows = tuple(
        row(quant, mode, n + (mode == "native.schema"), escapes=escapes if mode == "json.schema" else 0, vram=vram)
        for quant, n in hits.items()
        for mode in MODES
    )
    paired = tuple(
        Paired(quant, f"{style}.free", f"{style}.schema", "llguidance", 39, 3, 2, n - 2, 36 - n, 1 / 39, 1.0)
        for quant, n in hits.items()
        for style in ("native", "json")
    )
    ladder = tuple(
        Rung(quant, "F16", mode, BACKENDS[mode], 39, gained, lost, (gained - lost) / 39, low, high, p, 0.05, verdict, n)
        for mode in MODES
        for quant, gained, lost, low, high, p, verdict, n in (
            ("Q8_0", 0, 0, -0.02, 0.02, 1.0, "not worse", None),
            ("Q4_K_M", 1, 2, -0.11, 0.06, 1.0, "cannot tell", 410),
            ("Q2_K", 1, 9, -0.35, -0.06, 0.0215, "worse", None),
        )
    )
    choices = tuple(Choice(mode, "llguidance", "F16", "Q8_0", 0.05) for mode in MODES)
    return Report(
        run_id=3,
        path=Path("toolgauge.db"),
        command="toolgauge run model-F16.gguf model-Q2_K.gguf",
        created_utc="2026-11-21 02:31",
        finished_utc="2026-11-21 02:35",
        facts={
            "software": "toolgauge 0.1.0, llama.cpp b9999, llguidance 1.9.1",
            "machine": "8 cores, 32.0 GiB, no GPU",
        },
        warnings=("Only the first 39 cases of each suite were run (--limit 39).",),
        sections=tuple(Section("nano", suite, 39, rows, paired, ladder, choices) for suite in suites),
        failures=(
            Failure(
                "quick/selection-1",
                "F16",
                "native.free",
                "wrong_arguments",
                "city: 'Lisboa'",
                "<script>alert(1)</script>",
            ),
        ),
    )
