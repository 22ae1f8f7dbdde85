"""`toolgauge run`: measure models on suites, at each level and in each mode; store everything; print the report."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli import options
from bench.shell import Database, Exit, Json, comma_list, emit, emit_json, examples, say, typed
from grammars.errors import ToolgaugeError

if TYPE_CHECKING:
    from bench.results.rows import Run
    from bench.results.store import Store
    from bench.run.config import RunConfig
    from bench.run.execute import Which
    from bench.run.plan import Plan, PlannedModel
    from engine.types import Finding

EXAMPLES = examples(
    "toolgauge run model-F16.gguf --quants F16,Q8_0,Q4_K_M",
    "toolgauge run model-Q4_K_M.gguf --kv-type f16,q8_0 -c 8192,32768",
    "toolgauge run -hf org/repo:Q4_K_M -ngl 99 -c 8192 --suite quick --limit 10",
)

_BESIDE_RESUME = ("resume", "dry_run", "yes", "print_report", "db", "as_json")


def run(
    context: typer.Context,
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            show_default=False,
            help="GGUF files, names of models.toml, or org/repo:QUANT. Several files of one model are a ladder."
            " Without any: the bundled model at F16, Q8_0, Q4_K_M and Q2_K on the suites quick and nano.",
        ),
    ] = None,
    model: options.ModelFile = None,
    hf: options.HubModel = None,
    quants: options.Quants = "",
    suite: options.Suites = None,
    tools: options.SuiteTools = None,
    modes: options.Modes = "",
    backend: options.Backend = "llguidance",
    limit: options.Limit = None,
    ngl: options.GpuLayers = -1,
    ctx_size: options.CtxSizes = "0",
    batch_size: options.BatchSizes = "2048",
    ubatch_size: options.MicroBatchSizes = "512",
    threads: options.Threads = 0,
    kv_type: options.KvTypes = "f16",
    flash_attn: options.FlashAttn = "auto",
    chat_template: options.ChatTemplate = None,
    format_id: options.FormatId = None,
    thinking: options.Thinking = "auto",
    reasoning_effort: options.ReasoningEffort = None,
    seed: options.Seed = 0,
    temp: options.Temperature = 0.0,
    top_p: options.TopP = 1.0,
    trials: options.Trials = 1,
    answer_tokens: options.AnswerTokens = 512,
    reasoning_tokens: options.ReasoningTokens = 1024,
    parallel: options.Parallel = "auto",
    latency: options.Latency = True,
    draft: options.Draft = False,
    resume: options.Resume = None,
    new: options.New = False,
    dry_run: options.DryRun = False,
    yes: options.Yes = False,
    print_report: options.PrintReport = True,
    db: Database = None,
    as_json: Json = False,
) -> None:
    """Measure models: accuracy, constraint, speed and memory for each level and mode."""
    from bench.cli.suite import known_anywhere, tools_for
    from bench.modes import DEFAULT_MODES
    from bench.run import settings
    from bench.run.config import LatencySettings, RunConfig
    from bench.run.prepare import BUNDLED, BUNDLED_QUANTS, BUNDLED_SUITES
    from engine.llama.params import LoadParams
    from engine.runtime import Limits
    from engine.types import Sampling

    if resume and not new and (idle := typed(context, but=_BESIDE_RESUME)):
        raise ToolgaugeError(f"--resume goes on with a run and its own settings; leave {idle} out, or --resume")
    named = (*(models or ()), *(model or ()), *(f"hf:{repo}" for repo in hf or ()))
    setting, *more_settings = settings.context_grid(
        n_ctx=ctx_size,
        n_batch=batch_size,
        n_ubatch=ubatch_size,
        n_threads=threads,
        kv_type=kv_type,
        flash_attn=flash_attn,
    )
    config = RunConfig(
        models=named or (BUNDLED,),
        quants=comma_list(quants) or (() if named else BUNDLED_QUANTS),
        suites=tuple(map(known_anywhere, suite or (("quick",) if named else BUNDLED_SUITES))),
        tools=tools_for(suite or (), tools),
        modes=comma_list(modes) or DEFAULT_MODES,
        backend=backend,
        load=LoadParams(n_gpu_layers=ngl),
        context=setting,
        more_contexts=tuple(more_settings),
        limits=Limits(answer_tokens, reasoning_tokens),
        sampling=Sampling(temperature=temp, top_p=top_p, seed=seed),
        thinking=settings.thinking(thinking),
        reasoning_effort=settings.reasoning_effort(reasoning_effort),
        format=format_id,
        chat_template=str(chat_template) if chat_template else None,
        trials=trials,
        limit=limit,
        parallel=settings.parallel(parallel),
        draft=draft,
        latency=LatencySettings(enabled=latency),
    )
    _run(config, Asked(db, resume, new, dry_run, yes, print_report, as_json))


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked beside the settings of the run itself."""

    db: Path | None
    resume: str | None
    new: bool
    dry_run: bool
    yes: bool
    print_report: bool
    as_json: bool


def _run(config: RunConfig, asked: Asked) -> None:
    from bench.cli.audit import say_warnings
    from bench.cli.person import Terminal
    from bench.results.place import database_path
    from bench.results.store import Store
    from bench.run.prepare import plan_for

    if asked.resume and asked.new:
        raise ToolgaugeError("--resume goes on with a run and --new starts one; give one of them")
    which: Which = "new" if asked.new else "auto"
    if asked.resume:
        with Store.read(asked.db) as store:
            stored = store.run(asked.resume)
        which, config = stored.id, type(config).from_json(stored.config)
    elif database_path(asked.db).exists():
        Store.open(asked.db).close()  # what is wrong with it should be known before anything is downloaded
    plan = plan_for(config, Terminal(ask=not asked.yes, may_download=not asked.dry_run))
    findings = say_warnings(plan)
    if asked.dry_run:
        _show_plan(plan, as_json=asked.as_json)
        return
    with Store.open(asked.db) as store:
        done = execute_plan(store, plan, which, findings)
        n_errors = store.n_errors(done.id)
        _finish(store, done, asked)
    if n_errors:
        raise typer.Exit(Exit.ERRORED_ITEMS)


def execute_plan(store: Store, plan: Plan, which: Which, findings: Sequence[Finding] = ()) -> Run:
    """Run or resume it with progress for a person; an interruption says how to go on. `findings` go with a new run."""
    from bench.cli.progress import RunProgress
    from bench.run.execute import Interrupted, execute
    from bench.run.judge import verdict
    from bench.run.loading import open_model
    from bench.run.prepare import provenance

    try:
        with RunProgress() as progress:
            return execute(
                store,
                plan,
                provenance(["toolgauge", *sys.argv[1:]], findings),
                opener=open_model,
                scorer=verdict,
                which=which,
                listener=progress,
            )
    except Interrupted as stop:
        say(str(stop), "yellow")
        raise typer.Exit(Exit.INTERRUPTED) from stop


def _finish(store: Store, run: Run, asked: Asked) -> None:
    from bench.results.place import command

    if not (asked.print_report or asked.as_json):
        say(f"Run {run.id} is finished; `{command(store.path, 'report', str(run.id))}` prints what it found.")
        return
    from bench.cli.report import print_report
    from bench.report.build import build

    values = build(store, run)
    if asked.as_json:
        emit_json(values.to_json())
    else:
        print_report(values)


def _show_plan(plan: Plan, *, as_json: bool) -> None:
    from bench import numbers
    from bench.cli.progress import describe
    from bench.report.document import Column, Table, Text, cell

    if as_json:
        emit_json({"config": plan.config.to_json(), "models": [_model_values(plan, model) for model in plan.models]})
        return
    setting = ("setting",) if plan.settings else ()
    columns = (
        *(Column(name) for name in ("model", "quant", *setting, "size", "format")),
        *(Column(name, right=True) for name in ("context", "answers", "timings")),
        Column("file"),
    )
    rows = []
    for model in plan.models:
        values = _model_values(plan, model)
        named = (model.name, model.quant, *((model.setting,) if setting else ()))
        texts = (*named, numbers.size(model.gguf_bytes), model.format_id or "none known")
        counts = (values["n_ctx"], values["n_items"], values["n_samples"])
        rows.append(tuple(map(cell, (*texts, *map(numbers.count, counts), model.path))))
    emit([Text(describe(plan)), Table(columns, tuple(rows))])


def _model_values(plan: Plan, model: PlannedModel) -> dict[str, Any]:
    from bench.run.axes import stored

    cells = plan.cells_of(model)
    return {
        "model": model.name,
        "quant": model.quant,
        "setting": model.setting,
        "path": model.path,
        "bytes": model.gguf_bytes,
        "sha256": model.gguf_sha256,
        "format": model.format_id,
        **stored(plan.context_of(model)),
        "n_items": sum(len(cell.items) for cell in cells),
        "n_samples": sum(len(cell.samples) for cell in cells),
    }
