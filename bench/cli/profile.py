"""`toolgauge profile`: how fast a model would be here and what memory it would take, before it is downloaded."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import options
from bench.shell import HOW, MEASURING, OUTPUT, WHAT, Exit, Json, comma_list, emit, emit_json, examples, say
from grammars.errors import ToolgaugeError

if TYPE_CHECKING:
    from bench.profile.profiler import Asked
    from engine.shapes import Shape

EXAMPLES = examples(
    "toolgauge profile --shape qwen3-8b --quant Q4_K_M -ngl 99",
    "toolgauge profile --shape gpt-oss-20b --quant MXFP4 -c 16384 --batch 1,4,16,64 --yes --json",
    "toolgauge profile --shape qwen3.6-27b --layers 4",
)
_BATCHES = "4,16"


def profile(
    shape: Annotated[
        str,
        typer.Option(metavar="NAME", help="A model of shapes.toml, e.g. qwen3-8b.", rich_help_panel=WHAT),
    ],
    quant: Annotated[
        str,
        typer.Option(metavar="LEVEL", help="One of llama.cpp's own levels.", rich_help_panel=WHAT),
    ] = "Q4_K_M",
    layers: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Only the first N layers, for a quick look; nothing is extrapolated.",
            show_default="all",
            rich_help_panel=WHAT,
        ),
    ] = None,
    batch: Annotated[
        str,
        typer.Option(metavar="LIST", help="Answers at a time, each number measured.", rich_help_panel=WHAT),
    ] = _BATCHES,
    prompt: Annotated[
        int, typer.Option(min=1, metavar="N", help="Tokens of the prompt that is read.", rich_help_panel=MEASURING)
    ] = 512,
    tokens: Annotated[
        int, typer.Option(min=8, metavar="N", help="Tokens of each answer.", rich_help_panel=MEASURING)
    ] = 64,
    repetitions: Annotated[
        int, typer.Option(min=1, metavar="N", help="Of everything, after a warm-up.", rich_help_panel=MEASURING)
    ] = 3,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of the weights.", rich_help_panel=MEASURING)] = 0,
    ngl: options.GpuLayers = -1,
    ctx_size: Annotated[
        int,
        typer.Option("-c", "--ctx-size", min=64, metavar="N", help="Tokens of context.", rich_help_panel=HOW),
    ] = 4096,
    batch_size: options.BatchSize = 2048,
    ubatch_size: options.MicroBatchSize = 512,
    threads: options.Threads = 0,
    kv_type: options.KvType = "f16",
    flash_attn: options.FlashAttn = "auto",
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where the file is written meanwhile.",
            show_default="toolgauge's cache folder",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the file for a further profile.", rich_help_panel=OUTPUT)
    ] = False,
    yes: Annotated[
        bool, typer.Option("-y", "--yes", help="Do not ask before a large file is written.", rich_help_panel=OUTPUT)
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure speed and memory of a model that you have not downloaded.

    A file of the model's true shape, vocabulary size and quantization is written
    with random weights, measured, and deleted. Accuracy is not measured.
    """
    from bench.cli.person import Terminal
    from bench.models import shapes
    from bench.profile import page
    from bench.profile.profiler import Asked, default_folder, profile_shape
    from bench.profile.values import Job
    from bench.run import settings
    from engine.llama.params import LoadParams
    from engine.shapes.mix import level

    row = shapes.load().get(shape)
    asked = Asked(
        row.name, row.config, level(quant), folder or default_folder(), _checked(row.config, layers), seed, keep
    )
    if prompt > ctx_size:
        raise ToolgaugeError(f"a prompt of {prompt:,} tokens does not fit a context of {ctx_size:,}; see -c")
    context = settings.context_params(
        n_ctx=ctx_size,
        n_batch=batch_size,
        n_ubatch=ubatch_size,
        n_threads=threads,
        kv_type=kv_type,
        flash_attn=flash_attn,
    )
    job = Job(str(asked.path), LoadParams(n_gpu_layers=ngl), context, _numbers(batch), prompt, tokens, repetitions)
    _announce(asked, yes=yes)
    found = profile_shape(asked, job, Terminal().progress)
    if keep:
        say(f"kept: {asked.path}", "dim")
    if as_json:
        emit_json(page.to_json(asked, job, found, row.source))
    else:
        emit(page.document(asked, job, found, row.source))


def _checked(shape: Shape, n_layers: int | None) -> int | None:
    """Raises `ToolgaugeError` where the first so many layers are no model."""
    if n_layers is not None:
        try:
            shape.first(n_layers)
        except ValueError as error:
            raise ToolgaugeError(f"--layers {n_layers}: {error}") from error
    return n_layers


def _numbers(text: str) -> tuple[int, ...]:
    from engine.llama.context import MAX_SEQUENCES

    parts = comma_list(text)
    if not all(part.isdecimal() and 1 <= int(part) <= MAX_SEQUENCES for part in parts):
        raise ToolgaugeError(f"--batch is a list of numbers up to {MAX_SEQUENCES}, e.g. 1,4,16, not {text!r}")
    return tuple(int(part) for part in parts)


def _announce(asked: Asked, *, yes: bool) -> None:
    """Say what will be written and about how long that takes; ask where it is much."""
    from bench import numbers
    from bench.profile.profiler import ASK_ABOVE_BYTES

    if asked.path.exists():
        say(f"using {asked.path}, which an earlier profile kept", "dim")
        return
    what = f"{numbers.size(asked.n_bytes)} of random weights to {asked.folder}"
    if yes or asked.n_bytes <= ASK_ABOVE_BYTES:
        say(f"Writing {what}, in {numbers.roughly(asked.write_s)} or more", "dim")
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ToolgaugeError(f"this writes {what}, for a while; add --yes to say that this is wanted")
    try:
        if typer.confirm(
            f"Write {what}, which takes {numbers.roughly(asked.write_s)} or more?", default=True, err=True
        ):
            return
    except typer.Abort:  # how typer reports Ctrl-C at a question
        raise KeyboardInterrupt from None
    raise typer.Exit(Exit.OK)
