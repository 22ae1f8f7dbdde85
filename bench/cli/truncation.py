"""`toolgauge truncation`: what smaller token budgets would cost, where they cut and why, from one set of answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import options
from bench.shell import WHAT, Database, Exit, Json, comma_list, emit, emit_json, examples, say, typed
from grammars.errors import ToolgaugeError

if TYPE_CHECKING:
    from bench.report.document import Block, Cell, Document, Table
    from bench.results.store import Store
    from bench.run.config import RunConfig
    from bench.truncation.sweep import CellSweep, Level, Sweep

EXAMPLES = examples(
    "toolgauge truncation model-Q4_K_M.gguf --budgets 32,64,128,256,512",
    "toolgauge truncation model-F16.gguf --quants F16,Q4_K_M --suite core --modes native.free,native.schema -ngl 99",
    "toolgauge truncation --run 3 --budgets 100,200,300",
)
_DEFAULT_BUDGETS = (32, 64, 128, 256, 512)
_BESIDE_RUN = ("run", "budgets", "yes", "db", "as_json")


def truncation(
    context: typer.Context,
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            show_default=False,
            help="A GGUF file, a name of models.toml, or org/repo:QUANT; or several. None with --run.",
        ),
    ] = None,
    budgets: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Token budgets of an answer; answers are generated once, with the largest.",
            show_default="32,64,128,256,512",
            rich_help_panel=WHAT,
        ),
    ] = "",
    run: Annotated[
        str | None,
        typer.Option(
            "--run",
            metavar="RUN",
            help="Generate nothing: cut the answers of this run, a number or `last`.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    quants: options.Quants = "",
    suite: options.Suites = None,
    modes: options.Modes = "",
    backend: options.Backend = "llguidance",
    limit: options.Limit = None,
    ngl: options.GpuLayers = -1,
    ctx_size: options.CtxSize = 0,
    batch_size: options.BatchSize = 2048,
    ubatch_size: options.MicroBatchSize = 512,
    threads: options.Threads = 0,
    kv_type: options.KvType = "f16",
    flash_attn: options.FlashAttn = "auto",
    chat_template: options.ChatTemplate = None,
    format_id: options.FormatId = None,
    thinking: options.Thinking = "auto",
    reasoning_effort: options.ReasoningEffort = None,
    reasoning_tokens: options.ReasoningTokens = 1024,
    parallel: options.Parallel = "1",
    new: options.New = False,
    yes: options.Yes = False,
    db: Database = None,
    as_json: Json = False,
) -> None:
    """Say how many answers each token budget would cut, where and why.

    Every answer is generated once, greedily, with the largest budget, and stored
    as a run; what a smaller budget would have left of it follows exactly.
    """
    from bench.cli.suite import known_anywhere
    from bench.modes import DEFAULT_MODES
    from bench.results.store import Store
    from bench.run import settings
    from bench.run.config import LatencySettings, RunConfig
    from engine.llama.params import LoadParams
    from engine.runtime import Limits

    asked = read_budgets(budgets)
    if run is not None:
        if idle := typed(context, but=_BESIDE_RUN):
            raise ToolgaugeError(f"--run takes the answers that are there already, all of them; leave {idle} out")
        with Store.read(db) as store:
            _finish(store, run, asked, as_json=as_json)
        return
    if not models:
        raise ToolgaugeError("name a model to generate answers with, or a run whose answers are there with --run RUN")
    asked = asked or _DEFAULT_BUDGETS
    config = RunConfig(
        models=tuple(models),
        quants=comma_list(quants),
        suites=tuple(map(known_anywhere, suite or ("quick",))),
        modes=comma_list(modes) or DEFAULT_MODES,
        backend=backend,
        load=LoadParams(n_gpu_layers=ngl),
        context=settings.context_params(
            n_ctx=ctx_size,
            n_batch=batch_size,
            n_ubatch=ubatch_size,
            n_threads=threads,
            kv_type=kv_type,
            flash_attn=flash_attn,
        ),
        limits=Limits(asked[-1], reasoning_tokens),
        thinking=settings.thinking(thinking),
        reasoning_effort=settings.reasoning_effort(reasoning_effort),
        format=format_id,
        chat_template=str(chat_template) if chat_template else None,
        limit=limit,
        parallel=settings.parallel(parallel),
        latency=LatencySettings(enabled=False),
    )
    _generate(config, asked, db, new=new, yes=yes, as_json=as_json)


def _generate(
    config: RunConfig, budgets: tuple[int, ...], db: Path | None, *, new: bool, yes: bool, as_json: bool
) -> None:
    from bench.cli.audit import say_warnings
    from bench.cli.person import Terminal
    from bench.cli.run import execute_plan
    from bench.results.place import command
    from bench.results.store import Store
    from bench.run.prepare import plan_for

    plan = plan_for(config, Terminal(ask=not yes))
    findings = say_warnings(plan)
    with Store.open(db) as store:
        done = execute_plan(store, plan, "new" if new else "auto", findings)
        _finish(store, str(done.id), budgets, as_json=as_json)
        n_errors = store.n_errors(done.id)
    again = command(store.path, "truncation", "--run", str(done.id), "--budgets", "...")
    say(f"Other budgets from the same answers: {again}", "dim")
    if n_errors:
        raise typer.Exit(Exit.ERRORED_ITEMS)


def _finish(store: Store, run: str, budgets: tuple[int, ...], *, as_json: bool) -> None:
    """Cut and print; without budgets all the usual ones that the run had tokens for, and its own."""
    from bench.truncation.sweep import sweep

    stored = store.run(run)
    own = int(stored.config["limits"]["answer"])
    found = sweep(store, stored, budgets or (*(budget for budget in _DEFAULT_BUDGETS if budget < own), own))
    if as_json:
        emit_json(found.to_json())
    else:
        emit(document(found, store.path))


def read_budgets(text: str) -> tuple[int, ...]:
    """The budgets in rising order; none were asked for: none."""
    parts = comma_list(text)
    wrong = next((part for part in parts if not part.isdecimal() or int(part) < 1), None)
    if wrong is not None:
        raise ToolgaugeError(f"--budgets are numbers of tokens such as 64,128,256, not {wrong!r}")
    return tuple(sorted({int(part) for part in parts}))


def document(found: Sweep, path: Path) -> Document:
    """Build the page: a table for each level and suite, and what would have been enough; `path` of the result file."""
    from bench.report.document import Heading, Text
    from bench.results.place import command

    blocks: list[Block] = [
        Heading(f"Answers of run {found.run_id} cut to {', '.join(map(str, found.budgets))} tokens"),
        Text(_exactness(found), "dim"),
        *(Text(warning, "warn") for warning in found.warnings),
    ]
    for (model, quant, setting, suite), cells in groupby(
        found.cells, key=lambda cell: (cell.model, cell.quant, cell.setting, cell.suite)
    ):
        group = list(cells)
        at = f" ({setting})" if setting else ""
        blocks.append(Heading(f"{f'{model} {quant}'.strip()}{at} on {suite}", 2))
        blocks.append(_table(group, command(path, "score", str(found.run_id))))
        if sentence := _enough(group, found.budgets[-1]):
            blocks.append(Text(sentence, "strong"))
    return blocks


def _exactness(found: Sweep) -> str:
    from bench import numbers

    exact = f"generated once, with {numbers.count(found.generated_at)} tokens"
    if found.n_parallel == 1:
        return f"{exact}, one at a time: what is cut is what a run with that budget gives."
    return (
        f"{exact}, {found.n_parallel} at a time: exact for these answers; a run with another budget decodes in other"
        " batches, and may differ where two tokens are equally likely."
    )


def _table(cells: Sequence[CellSweep], score: str) -> Table:
    from bench.report.document import Column, Table
    from bench.score.outcome import CutAt
    from bench.score.truncation import TruncationCause

    levels = [level for cell in cells for level in cell.levels]
    positions = [position for position in CutAt if any(level.n_at(position) for level in levels)]
    causes = [cause for cause in TruncationCause if any(level.n_by(cause) for level in levels)]
    columns = [
        Column("mode"),
        Column("tokens", right=True),
        *(Column(name, right=True, part="accuracy") for name in ("n", "accuracy", "truncated")),
        *(Column(_header("cut", position), right=True, part="position") for position in positions),
        *(Column(_header("by", cause), right=True, part="cause") for cause in causes),
    ]
    rows = tuple(tuple(_cells(cell, level, positions, causes)) for cell in cells for level in cell.levels)
    return Table(tuple(columns), rows, n_group=1, notes=tuple(_notes(cells, score)))


def _header(word: str, name: str) -> str:
    """In two lines; an early end is nobody else's doing."""
    text = name.replace("_", " ")
    return text.replace(" ", "\n") if text == "early end" else f"{word}\n{text}"


def _cells(cell_: CellSweep, level: Level, positions: Sequence[str], causes: Sequence[str]) -> Iterator[Cell]:
    from bench import numbers
    from bench.report.document import cell
    from bench.report.layout import DASH, rate_with_interval

    yield cell(cell_.mode, "strong")
    yield cell(numbers.count(level.budget))
    yield cell(numbers.count(level.n_scored))
    yield rate_with_interval(level.accuracy)
    if level.n_scored:
        yield cell(numbers.share(level.n_truncated / level.n_scored), "warn" if level.n_truncated else "plain")
    else:
        yield DASH
    for n in (*map(level.n_at, positions), *map(level.n_by, causes)):
        yield cell(numbers.count(n), "plain" if n else "dim")


def _notes(cells: Sequence[CellSweep], score: str) -> Iterator[str]:
    """`score`: the command that judges what has no verdict."""
    from bench import numbers
    from bench.score.truncation import TruncationCause

    if any(level.n_truncated for cell in cells for level in cell.levels):
        yield "each truncated answer counts once by place and once by cause; docs/truncation.md says what they mean"
    n_still_cut = sum(cell.levels[-1].n_by(TruncationCause.BUDGET) for cell in cells)
    if n_still_cut:
        yield f"{numbers.plural(n_still_cut, 'answer')} cut by the largest budget, too: a larger one would tell more"
    n_not_scored = max(level.n_not_scored for cell in cells for level in cell.levels)
    if n_not_scored:
        yield f"up to {numbers.plural(n_not_scored, 'answer')} of a mode not scored, and in no column"
    n_not_answered = sum(cell.n_not_answered for cell in cells)
    if n_not_answered:
        yield f"{numbers.plural(n_not_answered, 'planned answer')} still missing, so rows may stand on different cases"
    n_left_out = sum(cell.n_left_out for cell in cells)
    if n_left_out:
        yield f"{numbers.plural(n_left_out, 'answer')} left out, which no verdict is there for: see `{score}`"


def _enough(cells: Sequence[CellSweep], largest: int) -> str:
    from bench import numbers

    found = [f"{cell.mode} {numbers.count(cell.enough)}" for cell in cells if cell.enough is not None]
    return (
        f"Tokens enough for as many right answers as with {numbers.count(largest)}: {', '.join(found)}."
        if found
        else ""
    )
