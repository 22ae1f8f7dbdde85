"""`toolgauge fit`: what a model would need in memory, and what fits this card, without loading or downloading it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import options
from bench.shell import HOW, WHAT, Database, Json, comma_list, emit, emit_json, examples
from grammars.errors import ToolgaugeError

if TYPE_CHECKING:
    from bench.fit.measured import Comparison
    from bench.fit.predict import Budget, Candidate, Row
    from bench.report.document import Block, Cell, Document, Table
    from engine.memory import Layout, Settings

EXAMPLES = examples(
    "toolgauge fit qwen3-8b --vram 16GiB",
    "toolgauge fit model-Q4_K_M.gguf -c 8192,32768,131072 --slots 1,4,16 --kv-type q8_0",
    "toolgauge fit unsloth/Qwen3.5-9B-GGUF --quants Q4_K_M,Q8_0 --vram 24GiB,24GiB --json",
)
_CONTEXTS = (8192, 32768)


def fit(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A GGUF file, a name of models.toml, or org/repo; nothing is downloaded."),
    ],
    quants: Annotated[
        str,
        typer.Option(metavar="LIST", help="Levels, e.g. Q8_0,Q4_K_M; * for all of them.", rich_help_panel=WHAT),
    ] = "",
    ctx_size: Annotated[
        str,
        typer.Option("-c", "--ctx-size", metavar="LIST", help="Tokens of one answer's context.", rich_help_panel=HOW),
    ] = "",
    slots: Annotated[
        str,
        typer.Option(
            "-np", "--slots", metavar="LIST", help="Answers at a time, each with that context.", rich_help_panel=HOW
        ),
    ] = "1",
    vram: Annotated[
        str,
        typer.Option(
            metavar="SIZE[,SIZE]",
            help="Video memory, e.g. 16GiB; one for each card.",
            show_default="what is free on the cards here, else in memory",
            rich_help_panel=HOW,
        ),
    ] = "",
    reserve: Annotated[
        str,
        typer.Option(metavar="SIZE", help="Kept free on each card, for the driver and libraries.", rich_help_panel=HOW),
    ] = "512MiB",
    ngl: options.GpuLayers = -1,
    batch_size: options.BatchSizes = "2048",
    ubatch_size: options.MicroBatchSizes = "512",
    kv_type: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Of the KV cache: f16, q8_0, q4_0, ..., or q8_0:q4_0 of K and V; a row for each.",
            rich_help_panel=HOW,
        ),
    ] = "f16",
    flash_attn: options.FlashAttn = "auto",
    swa_full: Annotated[
        bool,
        typer.Option(
            "--swa-full/--no-swa-full",
            help="Sliding layers keep the whole context, as toolgauge runs; or only their window.",
            rich_help_panel=HOW,
        ),
    ] = True,
    unified: Annotated[
        bool,
        typer.Option(
            "--kv-unified/--no-kv-unified", help="One cache for all answers, as toolgauge runs.", rich_help_panel=HOW
        ),
    ] = True,
    db: Database = None,
    as_json: Json = False,
) -> None:
    """Predict a model's memory by quant, context and slots, and say what fits.

    Reads a file's header, a repository's over the network, or the shape of a
    registry row; no weights. Earlier runs of the model stand beside it.
    """
    from bench.fit.predict import budget_here, candidates, parse_size, rows, settings_of
    from bench.run import settings

    contexts = settings.numbers("-c", ctx_size) if ctx_size else ()
    n_slots = settings.numbers("--slots", slots)
    grid = settings.context_grid(n_batch=batch_size, n_ubatch=ubatch_size, kv_type=kv_type, flash_attn=flash_attn)
    budget = budget_here([parse_size(text) for text in comma_list(vram)], parse_size(reserve, least=0))
    found = candidates(model, comma_list(quants))
    wanted = [
        replace(
            settings_of(params),
            unified=unified,
            swa_full=swa_full,
            n_gpu_layers=ngl,
            devices=budget.shares,
        )
        for params in grid
    ]
    predicted = [
        row
        for candidate in found
        for row in rows(candidate, _settings(wanted, contexts, n_slots, candidate.predictor.layout), budget)
    ]
    measured = [pair for candidate in found for pair in _measured(db, candidate)]
    if as_json:
        emit_json(
            {
                "budget": budget.to_json(),
                "rows": [row.to_json() for row in predicted],
                "measured": [pair.to_json() for pair in measured],
            }
        )
    else:
        emit(document(found, predicted, measured, budget))


def _settings(
    wanted: Sequence[Settings], contexts: Sequence[int], slots: Sequence[int], layout: Layout
) -> list[Settings]:
    """Each with every context and number of slots; contexts that nobody asked for stay within what was trained."""
    from bench.fit.predict import with_slots

    lengths = contexts or sorted({min(length, layout.n_ctx_train) for length in _CONTEXTS})
    return [
        with_slots(replace(settings, n_ctx=length), count)
        for length in lengths
        for settings in wanted
        for count in slots
    ]


def _measured(db: Path | None, candidate: Candidate) -> Iterator[Comparison]:
    """What the result file has of this model; there may be none yet."""
    from bench.fit.measured import comparisons
    from bench.results.place import command, database_path
    from bench.results.store import Store

    if not database_path(db).exists():
        if db is not None:
            raise ToolgaugeError(f"there is no result file {db}; a run makes one: {command(db, 'run')}")
        return
    with Store.read(db) as store:
        yield from comparisons(store, candidate)


def document(
    found: Sequence[Candidate], predicted: Sequence[Row], measured: Sequence[Comparison], budget: Budget
) -> Document:
    """Build the page: predictions, what they were made from, and the same for runs that were measured."""
    from bench.fit.predict import ORIGINS
    from bench.report.document import Heading, Text

    blocks: list[Block] = [Heading(found[0].name), _table(predicted, budget), Text(budget.sentence)]
    for origin in dict.fromkeys(candidate.origin for candidate in found):
        quants = ", ".join(candidate.quant for candidate in found if candidate.origin == origin)
        blocks.append(Text(f"{quants}: from {ORIGINS[origin]}.", "dim"))
    blocks += [Text(note, "dim") for note in _notes(found, predicted)]
    if measured:
        blocks += [Heading("Predicted and measured", 2), _comparison(measured)]
    return blocks


def _notes(found: Sequence[Candidate], predicted: Sequence[Row]) -> Iterator[str]:
    from bench.run.axes import beyond_training

    layout, settings = found[0].predictor.layout, predicted[0].settings
    if layout.window and settings.swa_full:
        yield (
            f"The layers that look back only {layout.window:,} tokens keep the whole context here, so that answers can"
            " share prefixes; --no-swa-full shows what a cache of the window's size saves."
        )
    longest = max(row.settings.n_ctx for row in predicted)
    if longest > layout.n_ctx_train:
        source = "public configuration" if found[0].origin == "shape" else "file"
        yield f"{found[0].name} {beyond_training(longest, layout.n_ctx_train, source)}."
    yield "Weights, KV cache and state are exact; the scratch is a rule of thumb (docs/memory.md)."


def _table(predicted: Sequence[Row], budget: Budget) -> Table:
    from bench.report.document import Column, Table
    from bench.run.axes import axes, label

    has_state = any(row.estimate.everywhere.state_bytes for row in predicted)
    varying = axes([[replace(row.settings, n_ctx=0) for row in predicted]])  # the context has a column of its own
    numbers = ["weights", "KV cache", *(["state"] if has_state else []), "scratch", "total"]
    columns = (
        *(Column("quant"), Column("context", right=True)),
        *([Column("setting")] if varying else []),
        Column("slots", right=True),
        *(Column(name, right=True, part="bytes") for name in numbers),
        *([Column("in memory", right=True, part="bytes")] if budget.cards else []),
        *(Column("fits", part="limits"), Column("longest context", right=True, part="limits")),
        Column("most slots", right=True, part="limits"),
        *([Column("-ngl that fits", right=True, part="limits")] if budget.cards else []),
    )
    rows = tuple(
        tuple(_cells(row, label(row.settings, varying), has_state=has_state, has_cards=bool(budget.cards)))
        for row in predicted
    )
    return Table(columns, rows, n_group=1)


def _cells(row: Row, setting: str, *, has_state: bool, has_cards: bool) -> Iterator[Cell]:
    from bench import numbers
    from bench.report.document import cell

    place = row.estimate.on_devices if has_cards else row.estimate.host
    settings, n_ctx_train = row.settings, row.candidate.predictor.layout.n_ctx_train
    yield cell(row.candidate.quant, "strong")
    yield cell(numbers.count(settings.n_ctx), "warn" if settings.n_ctx > n_ctx_train else "plain")
    if setting:
        yield cell(setting)
    yield cell(numbers.count(settings.n_slots))
    yield cell(numbers.size(place.weights_bytes))
    yield cell(numbers.size(place.kv_bytes))
    if has_state:
        yield cell(numbers.size(place.state_bytes))
    yield cell(numbers.size(place.compute_bytes + place.output_bytes))
    yield cell(numbers.size(place.total_bytes), "strong")
    if has_cards:
        yield cell(numbers.size(row.estimate.host.total_bytes))
    yield cell("yes", "good") if row.fits else cell("no", "bad")
    longest = f"{numbers.count(row.longest_ctx)}{' (all)' if row.longest_ctx == n_ctx_train else ''}"
    yield cell(longest if row.longest_ctx else "none", "plain" if row.longest_ctx else "bad")
    yield cell(numbers.count(row.most_slots) if row.most_slots else "none", "plain" if row.most_slots else "bad")
    if row.most_layers is not None:
        is_all = row.most_layers > row.candidate.predictor.layout.n_blocks
        yield cell("all" if is_all else numbers.count(row.most_layers))


def _comparison(measured: Sequence[Comparison]) -> Table:
    from bench import numbers
    from bench.fit.measured import PARTS
    from bench.report.document import Column, Table, cell

    columns = (
        *(Column("run", right=True), Column("quant"), Column("context", right=True), Column("slots", right=True)),
        *(Column(name, right=True, part="bytes") for name in ("weights", "KV cache", "state", "scratch", "logits")),
        *(Column(name, right=True, part="card") for name in ("NVML's peak", "unexplained")),
    )
    rows = tuple(
        (
            *(cell(str(pair.run_id)), cell(pair.quant)),
            *(cell(numbers.count(pair.settings.n_ctx)), cell(numbers.count(pair.settings.n_slots))),
            *(cell(_pair(*pair.pair(part, kind))) for part, kind in PARTS),
            cell(numbers.size(pair.footprint.vram_peak_bytes)),
            cell(numbers.size(pair.footprint.unexplained_bytes)),
        )
        for pair in measured
    )
    notes = (
        "Predicted / as llama.cpp allocated it; on the cards, or in memory where no weights lie on one.",
        "Unexplained: NVML's peak of the process without llama.cpp's buffers; the driver's and libraries' own.",
    )
    return Table(columns, rows, n_group=2, notes=notes)


def _pair(predicted: int, measured: int) -> str:
    from bench import numbers

    return f"{numbers.size(predicted)} / {numbers.size(measured)}"
