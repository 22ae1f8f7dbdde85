"""The options that say which model runs and how, shared by the commands; llama.cpp's names where it has them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.shell import HOW, MEASURING, OUTPUT, WHAT

_MOST_THREADS = 512  # GGML_MAX_N_THREADS; of very many its process dies
_MOST_TEMPERATURE = 100  # far above what anybody means: every token is about as likely as any other there

# What to measure

ModelFile = Annotated[
    list[str] | None,
    typer.Option("-m", "--model", metavar="FILE", help="The same, as llama.cpp spells it.", rich_help_panel=WHAT),
]
HubModel = Annotated[
    list[str] | None,
    typer.Option(
        "-hf", "--hf-repo", metavar="ORG/REPO[:QUANT]", help="From the Hugging Face hub.", rich_help_panel=WHAT
    ),
]
Quants = Annotated[
    str,
    typer.Option(
        metavar="LIST",
        help="Levels to measure, these and no others, e.g. F16,Q8_0,Q4_K_M; missing ones are made from F16 or BF16,"
        " without an importance matrix.",
        rich_help_panel=WHAT,
    ),
]
Suites = Annotated[
    list[str] | None,
    typer.Option(
        "--suite",
        metavar="NAME|FILE",
        help="May be given several times.",
        show_default="quick",
        rich_help_panel=WHAT,
    ),
]
Modes = Annotated[
    str,
    typer.Option(
        metavar="LIST",
        help="native.free, native.schema, json.free, json.syntax, json.schema.",
        show_default="all but json.syntax",
        rich_help_panel=WHAT,
    ),
]
Backend = Annotated[
    str, typer.Option(help="Who computes a constraint's masks: llguidance, gbnf, outlines.", rich_help_panel=WHAT)
]
Tools = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|MODULE:NAMES",
        help="Your tools: JSON as OpenAI or MCP write it, or typed Python functions (which imports the module).",
        show_default="eight everyday tools",
        rich_help_panel=WHAT,
    ),
]
SuiteTools = Annotated[
    str | None,
    typer.Option(
        "--tools",
        metavar="FILE|MODULE:NAMES",
        help="For your own suites: these tools in place of those of the same names that a header names.",
        show_default="the suite's",
        rich_help_panel=WHAT,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Only N cases of each suite: for trying out.", rich_help_panel=WHAT),
]

# How the model runs

GpuLayers = Annotated[
    int, typer.Option("-ngl", "--n-gpu-layers", metavar="N", help="Layers on the GPU; -1: all.", rich_help_panel=HOW)
]
CtxSize = Annotated[
    int,
    typer.Option(
        "-c",
        "--ctx-size",
        min=0,
        metavar="N",
        help="Tokens of one answer's context; 0: as trained, at most 8192.",
        rich_help_panel=HOW,
    ),
]
BatchSize = Annotated[
    int, typer.Option("-b", "--batch-size", min=1, metavar="N", help="Most tokens in a batch.", rich_help_panel=HOW)
]
MicroBatchSize = Annotated[
    int,
    typer.Option("-ub", "--ubatch-size", min=1, metavar="N", help="Most tokens computed at once.", rich_help_panel=HOW),
]
CtxSizes = Annotated[
    str,
    typer.Option(
        "-c",
        "--ctx-size",
        metavar="LIST",
        help="Tokens of one answer's context; 0: as trained, at most 8192. Of several, each is measured.",
        rich_help_panel=HOW,
    ),
]
BatchSizes = Annotated[
    str,
    typer.Option(
        "-b", "--batch-size", metavar="LIST", help="Most tokens in a batch; one or several.", rich_help_panel=HOW
    ),
]
MicroBatchSizes = Annotated[
    str,
    typer.Option(
        "-ub",
        "--ubatch-size",
        metavar="LIST",
        help="Most tokens computed at once; one or several.",
        rich_help_panel=HOW,
    ),
]
Threads = Annotated[
    int,
    typer.Option(
        "-t", "--threads", min=0, max=_MOST_THREADS, metavar="N", help="0: the physical cores.", rich_help_panel=HOW
    ),
]
KvType = Annotated[
    str,
    typer.Option(
        metavar="TYPE[:TYPE]", help="Of the KV cache, or of K and V: f16, q8_0, q8_0:q4_0, ...", rich_help_panel=HOW
    ),
]
KvTypes = Annotated[
    str,
    typer.Option(
        "--kv-type",
        metavar="LIST",
        help="Of the KV cache: f16, q8_0, q4_0, ..., or q8_0:q4_0 of K and V. Several are held against f16.",
        rich_help_panel=HOW,
    ),
]
FlashAttn = Annotated[
    str,
    typer.Option(
        "-fa",
        "--flash-attn",
        metavar="auto|on|off",
        help="Flash attention; auto: as llama.cpp chooses, which is on, on a CPU, too.",
        rich_help_panel=HOW,
    ),
]
ChatTemplate = Annotated[
    Path | None, typer.Option(metavar="FILE", help="In place of the models' own.", rich_help_panel=HOW)
]
FormatId = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="ID",
        help="The native tool-call format, where the template does not tell; see `toolgauge formats`.",
        show_default="as detected",
        rich_help_panel=HOW,
    ),
]
Thinking = Annotated[
    str,
    typer.Option(
        metavar="auto|on|off",
        help="Reasoning, where the template can switch it; auto: as the template has it.",
        rich_help_panel=HOW,
    ),
]
ReasoningEffort = Annotated[
    str | None,
    typer.Option(
        metavar="low|medium|high",
        help="How much to reason, where the template asks (gpt-oss).",
        show_default="as the template has it",
        rich_help_panel=HOW,
    ),
]

# How it is measured

Seed = Annotated[
    int, typer.Option("-s", "--seed", metavar="N", help="Has no effect on greedy answers.", rich_help_panel=MEASURING)
]
Temperature = Annotated[
    float,
    typer.Option("--temp", min=0, max=_MOST_TEMPERATURE, metavar="T", help="0: greedy.", rich_help_panel=MEASURING),
]
TopP = Annotated[float, typer.Option(min=0, max=1, metavar="P", help="Of sampled answers.", rich_help_panel=MEASURING)]
Trials = Annotated[
    int, typer.Option(min=1, metavar="N", help="Answers to each case; needs a --temp.", rich_help_panel=MEASURING)
]
AnswerTokens = Annotated[
    int,
    typer.Option("-n", "--predict", min=1, metavar="N", help="Token budget of an answer.", rich_help_panel=MEASURING),
]
ReasoningTokens = Annotated[
    int,
    typer.Option(min=0, metavar="N", help="Token budget of the reasoning before it.", rich_help_panel=MEASURING),
]
Parallel = Annotated[
    str,
    typer.Option(
        "-np",
        "--parallel",
        metavar="N",
        help="Answers at a time, or auto: as many as fit the free memory and are worth it. 1 is the exact reference.",
        rich_help_panel=MEASURING,
    ),
]
Latency = Annotated[
    bool,
    typer.Option("--latency/--no-latency", help="Also measure times, one stream, apart.", rich_help_panel=MEASURING),
]
Draft = Annotated[
    bool,
    typer.Option(
        "--draft",
        help="Guess what is copied from the prompt and verify it in one batch: the same text, sooner."
        " Times are taken with and without.",
        rich_help_panel=MEASURING,
    ),
]

# Output, and which run

Resume = Annotated[
    str | None,
    typer.Option(metavar="RUN", help="Go on with this run, with its own settings.", rich_help_panel=OUTPUT),
]
New = Annotated[
    bool,
    typer.Option("--new", help="Start a new run even if the same one is unfinished.", rich_help_panel=OUTPUT),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Say what would run, and answer nothing; missing levels are made, for they are part of it.",
        rich_help_panel=OUTPUT,
    ),
]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask before a download.", rich_help_panel=OUTPUT)]
PrintReport = Annotated[
    bool, typer.Option("--report/--no-report", help="Print the report at the end.", rich_help_panel=OUTPUT)
]
