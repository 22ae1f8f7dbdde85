"""`toolgauge try`: one sentence, with your own tools, answered in every mode, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import options
from bench.shell import WHAT, Exit, Json, call_line, comma_list, emit, emit_json, examples, say

if TYPE_CHECKING:
    from bench.attempt import Attempt
    from bench.report.document import Block, Document, Tone

EXAMPLES = examples(
    'toolgauge try model-Q4_K_M.gguf "What\'s the weather in Oslo tomorrow?"',
    'toolgauge try nano --tools my_tools.json --modes native.free,native.schema "book a table for two at eight"',
)


def try_(
    model: Annotated[str, typer.Argument(help="A GGUF file, a name of models.toml, or org/repo:QUANT.")],
    sentence: Annotated[str, typer.Argument(help="What you would type.")],
    tools: options.Tools = None,
    system: Annotated[str, typer.Option(metavar="TEXT", help="A system message.", rich_help_panel=WHAT)] = "",
    quant: Annotated[str, typer.Option(help="The level, where the model has several.", rich_help_panel=WHAT)] = "",
    modes: options.Modes = "",
    backend: options.Backend = "llguidance",
    ngl: options.GpuLayers = -1,
    ctx_size: options.CtxSize = 0,
    threads: options.Threads = 0,
    kv_type: options.KvType = "f16",
    flash_attn: options.FlashAttn = "auto",
    chat_template: options.ChatTemplate = None,
    format_id: options.FormatId = None,
    thinking: options.Thinking = "auto",
    reasoning_effort: options.ReasoningEffort = None,
    seed: options.Seed = 0,
    temp: options.Temperature = 0.0,
    answer_tokens: options.AnswerTokens = 512,
    yes: options.Yes = False,
    as_json: Json = False,
) -> None:
    """Answer one sentence in every mode, side by side."""
    from bench.attempt import DEFAULT_TOOLS, answers, suite_of
    from bench.cli.person import Terminal
    from bench.models.resolve import ALL_QUANTS
    from bench.modes import DEFAULT_MODES
    from bench.run import settings
    from bench.run.config import LatencySettings, RunConfig
    from bench.run.plan import make_plan
    from bench.run.prepare import models_for
    from bench.suites.sources.tools import tools_from
    from engine.llama.params import LoadParams
    from engine.runtime import Limits
    from engine.types import Sampling
    from grammars.errors import ToolgaugeError

    levels = comma_list(quant)
    if len(levels) > 1 or ALL_QUANTS in levels:
        raise ToolgaugeError(f"--quant takes one level here, not '{quant}'; `toolgauge run` measures several")
    suite = suite_of(sentence, tools_from(tools or DEFAULT_TOOLS), system)
    config = RunConfig(
        models=(model,),
        quants=levels,
        modes=comma_list(modes) or DEFAULT_MODES,
        backend=backend,
        load=LoadParams(n_gpu_layers=ngl),
        context=settings.context_params(n_ctx=ctx_size, n_threads=threads, kv_type=kv_type, flash_attn=flash_attn),
        limits=Limits(answer_tokens),
        sampling=Sampling(temperature=temp, seed=seed),
        thinking=settings.thinking(thinking),
        reasoning_effort=settings.reasoning_effort(reasoning_effort),
        format=format_id,
        chat_template=str(chat_template) if chat_template else None,
        parallel=1,
        latency=LatencySettings(n_cases=1, repetitions=1, warm_repetitions=0),
    )
    plan = make_plan(config, models_for(config, Terminal(ask=not yes))[:1], (suite,))
    label, found = plan.models[0].label, answers(plan)
    for finding in found.findings:
        say(f"warning: {label}: {finding.message} ({finding.name})", "yellow")
    if as_json:
        emit_json([asdict(attempt) for attempt in found.attempts])
    else:
        emit(document(label, sentence, found.attempts))
    if any(attempt.error for attempt in found.attempts):
        raise typer.Exit(Exit.ERRORED_ITEMS)


def document(label: str, sentence: str, attempts: Sequence[Attempt]) -> Document:
    """Build the comparison; raw outputs follow where reading them left something out."""
    from bench import numbers
    from bench.report.document import Code, Column, Heading, Table, Text, cell

    rows = []
    for attempt in attempts:
        text, tone = _validity(attempt)
        generation = attempt.generation
        rows.append(
            (
                cell(attempt.mode, "strong"),
                cell("\n".join(_answer(attempt))),
                cell(text, tone),
                cell(numbers.duration(generation.timings.ttfc_s if generation else None)),
                cell(numbers.count(len(generation.tokens) if generation else None)),
            )
        )
    columns = (
        Column("mode"),
        Column("answer"),
        Column("calls"),
        Column("first\ncall", right=True),
        Column("tokens", right=True),
    )
    blocks: list[Block] = [Heading(label), Text(sentence), Table(columns, tuple(rows))]
    blocks += [
        Code(attempt.generation.text, f"{attempt.mode} wrote")
        for attempt in attempts
        if attempt.generation and attempt.generation.text and attempt.parsed and not attempt.parsed.is_readable
    ]
    return blocks


def _answer(attempt: Attempt) -> Iterator[str]:
    if attempt.error or attempt.parsed is None or attempt.generation is None:
        yield attempt.error or "no answer"
        return
    for call in attempt.parsed.calls:
        yield call_line(call)
    for fragment in attempt.parsed.fragments:
        yield f"not a call: {fragment.reason}"
    if attempt.parsed.open_reasoning:
        yield "it ended while still reasoning"
    if attempt.parsed.content:
        yield attempt.parsed.content
    if not attempt.generation.text:
        yield "(nothing)"
    if attempt.generation.stop != "eog":
        yield f"[stopped by {attempt.generation.stop}]"


def _validity(attempt: Attempt) -> tuple[str, Tone]:
    if attempt.error:
        return "error", "bad"
    if attempt.parsed and not attempt.parsed.is_readable:
        return "unreadable", "bad"
    if not attempt.violations:
        return "no call", "dim"
    wrong = sorted({name.replace("_", " ") for names in attempt.violations for name in names})
    return (", ".join(wrong), "bad") if wrong else ("valid", "good")
