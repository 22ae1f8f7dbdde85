"""`toolgauge drift`: how far each level is from the most precise one, on the tokens of right calls, and where."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import options
from bench.shell import WHAT, Exit, Json, comma_list, emit, emit_json, examples, say
from grammars.errors import ToolgaugeError

if TYPE_CHECKING:
    from bench.drift.measure import Drift
    from bench.drift.values import Figures, Mean, Place, RoleDrift
    from bench.report.document import Block, Cell, Column, Document, Table, Tone
    from bench.run.plan import PlannedModel
    from engine.types import PromptStyle

EXAMPLES = examples(
    "toolgauge drift model-F16.gguf --quants F16,Q8_0,Q4_K_M,Q2_K",
    "toolgauge drift model-BF16.gguf model-Q6_K.gguf model-IQ4_XS.gguf --suite core --limit 100 -ngl 99",
)
_N_SHOWN = 3  # worst places of each level
_CONTEXT = 16  # characters of the answer that are shown before a place
_PLURALS = {"name": "names", "key": "keys", "value": "values", "marker": "markers"}  # the others have none


def drift(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            show_default=False,
            help="A GGUF file, a name of models.toml, or org/repo:QUANT; or several files that are levels of one model."
            " Without any: the bundled model at F16, Q8_0, Q4_K_M and Q2_K on the suites quick and nano.",
        ),
    ] = None,
    quants: options.Quants = "",
    suite: options.Suites = None,
    style: Annotated[
        str,
        typer.Option(
            metavar="native|json",
            help="Answers in the model's own format, or as the JSON object of the json.* modes.",
            rich_help_panel=WHAT,
        ),
    ] = "native",
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
    thinking: options.Thinking = "off",
    reasoning_effort: options.ReasoningEffort = None,
    yes: options.Yes = False,
    as_json: Json = False,
) -> None:
    """Say how far each level drifts from the most precise one on right calls, and where."""
    from bench.cli.person import Terminal
    from bench.drift.measure import Settings, measure
    from bench.drift.values import summarise, to_json
    from bench.run import settings
    from bench.run.config import RunConfig
    from bench.run.plan import doubts
    from bench.run.prepare import BUNDLED, BUNDLED_QUANTS, BUNDLED_SUITES, models_for
    from bench.suites.unwritten import load_to_measure
    from engine.fake import PREFIX
    from engine.llama.params import LoadParams

    named = tuple(models or ())
    if any(name.startswith(PREFIX) for name in named):
        raise ToolgaugeError("a scripted model has no distributions that could drift; name a GGUF file")
    config = RunConfig(
        models=named or (BUNDLED,),
        quants=comma_list(quants) or (() if named else BUNDLED_QUANTS),
        suites=tuple(suite or (("quick",) if named else BUNDLED_SUITES)),
        format=format_id,
        chat_template=str(chat_template) if chat_template else None,
        limit=limit,
    )
    how = Settings(
        style=_style(style),
        load=LoadParams(n_gpu_layers=ngl),
        context=settings.context_params(
            n_ctx=ctx_size,
            n_batch=batch_size,
            n_ubatch=ubatch_size,
            n_threads=threads,
            kv_type=kv_type,
            flash_attn=flash_attn,
        ),
        thinking=settings.thinking(thinking),
        reasoning_effort=settings.reasoning_effort(reasoning_effort),
        limit=limit,
    )
    suites = [load_to_measure(name) for name in config.suites]
    person = Terminal(ask=not yes)
    planned = _named(models_for(config, person, then=""))  # they are measured against each other all the same
    for doubt in doubts(planned):
        say(f"warning: {doubt}", "yellow")
    found = measure(planned, suites, how, person)
    figures = summarise(found)
    if as_json:
        emit_json(to_json(found, figures))
    else:
        emit(document(found, figures))
    for each in figures:
        if each.error:
            say(f"{each.model.label} was not measured: {each.error}", "bold red")
    if any(each.error for each in figures):
        raise typer.Exit(Exit.ERRORED_ITEMS)


def _named(models: Sequence[PlannedModel]) -> tuple[PlannedModel, ...]:
    """Add a model's name to its level where more than one is named; tables tell rows apart by the level."""
    if len({model.name for model in models}) == 1:
        return tuple(models)
    return tuple(replace(model, quant=f"{model.quant} ({model.name})") for model in models)


def _style(text: str) -> PromptStyle:
    match text:
        case "native" | "json":
            return text
    raise ToolgaugeError(f"--style is native or json, not {text!r}")


def document(found: Drift, figures: Sequence[Figures]) -> Document:
    """Build the page: the verdicts, drift and agreement by role, and the worst places to read."""
    from bench import numbers
    from bench.report.document import Heading, Text

    suites = ", ".join(dict.fromkeys(lesson.suite for lesson in found.lessons))
    n_cases = numbers.plural(len(found.lessons), "case")
    names = _names(found)
    blocks: list[Block] = [Heading(f"Drift of {names} from {found.reference.quant}")]
    if names != found.reference.name:
        sentence = f"{names} are taken for different models; what follows is the distance between them."
        blocks.append(Text(sentence, "warn"))
    facts = f"{found.n_tokens:,} tokens of the right answers to {n_cases} of {suites}, written as {found.format_id}"
    blocks.append(Text("\n".join([facts, *_omissions(found)]), "dim"))
    measured = [each for each in figures if not each.error]
    for each in measured:
        blocks.append(Text(verdict(each), "strong"))
    if measured:
        blocks += [_kl_table(found, measured), _agreement_table(found, measured)]
        blocks += _worst_tables(found, measured)
    blocks += [Text(f"{each.model.quant} was not measured: {each.error}", "bad") for each in figures if each.error]
    return blocks


def _names(found: Drift) -> str:
    """Of all models that are measured against each other, of which more than one is not what drift is meant for."""
    *most, last = dict.fromkeys([found.reference.name, *(level.model.name for level in found.levels)])
    return f"{', '.join(most)} and {last}" if most else last


def _omissions(found: Drift) -> Iterable[str]:
    """What is not in the figures, and what is in them with a reservation."""
    from bench import numbers

    for reason, n in Counter(each.reason for each in found.left_out).most_common():
        yield f"left out: {numbers.plural(n, 'case')}; {reason}"
    n_apart = sum(not lesson.forced.is_joined for lesson in found.lessons)
    if n_apart:
        yield (
            f"in {numbers.plural(n_apart, 'case')} a token of the whole text would lie across prompt and answer;"
            " the answer is cut on its own there"
        )


def verdict(figures: Figures) -> str:
    """Say in one sentence how far the level is, and where it falls."""
    from bench import numbers
    from bench.drift.values import ALL

    whole, quant = figures.roles[ALL], figures.model.quant
    if whole.share is None:
        return f"{quant}: no drift at all; every distribution is the same."
    parts = [(_PLURALS.get(role, role), its) for role, its in figures.roles.items() if role != ALL]
    parts.sort(key=lambda part: -part[1].kl.mean)
    steepest, its = parts[0]
    shares = _enumerated((numbers.share(part.share), role) for role, part in sorted(parts, key=_share, reverse=True))
    sentences = [
        f"{quant}: {nats(whole.kl.mean)} nats a token, most on {steepest} ({nats(its.kl.mean)}).",
        f"Of all drift, {shares}.",
    ]
    if whole.n_flips:
        flips = _enumerated((numbers.count(part.n_flips), role) for role, part in parts if part.n_flips)
        sentences.append(f"{whole.n_flips:,} of {whole.n_right:,} right choices turn wrong: {flips}.")
    else:
        sentences.append(f"None of {whole.n_right:,} right choices turns wrong.")
    return " ".join(sentences)


def _share(part: tuple[str, RoleDrift]) -> float:
    return part[1].share or 0.0


def _enumerated(amounts: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{amount} in {role}" for amount, role in amounts)


def nats(value: float) -> str:
    """Write a divergence: three significant digits, and what is smaller than can be written so as such."""
    from bench import numbers

    return "<0.000001" if 0 < value < 1e-6 else numbers.significant(value)


def _roles(figures: Sequence[Figures]) -> list[str]:
    return list(figures[0].roles)  # all levels have the same answers


def _kl_table(found: Drift, figures: Sequence[Figures]) -> Table:
    from bench.report.document import Column, Table, cell

    roles = _roles(figures)
    columns = [Column("quant")]
    for role in roles:
        columns.append(_role_column(role, figures[0].roles[role]))
        if role == "all":
            columns.append(Column("95% interval", right=True, part=f"role {role}"))
    rows = []
    for each in figures:
        cells = [cell(each.model.quant, "strong")]
        for role in roles:
            kl = each.roles[role].kl
            cells.append(cell(nats(kl.mean)))
            if role == "all":
                cells.append(cell(_interval(kl)))
        rows.append(tuple(cells))
    reference = found.reference.quant
    notes = (
        f"mean over the tokens of KL({reference} || level) in nats, by what a token of the answer is there for",
        "0 is the same distribution; the interval resamples cases",
    )
    return Table(tuple(columns), tuple(rows), title=f"How far each level is from {reference}", notes=notes)


def _interval(kl: Mean) -> str:
    from bench import numbers

    return numbers.MISSING if kl.low is None or kl.high is None else f"{nats(kl.low)} - {nats(kl.high)}"


def _role_column(role: str, drift: RoleDrift) -> Column:
    from bench.report.document import Column

    return Column(f"{role}\nn={drift.n_tokens:,}", right=True, part=f"role {role}")


def _agreement_table(found: Drift, figures: Sequence[Figures]) -> Table:
    from bench import numbers
    from bench.report.document import Column, Table, cell

    roles = _roles(figures)
    columns = [Column("quant")]
    columns += [_role_column(role, figures[0].roles[role]) for role in roles]
    columns += [Column(name, right=True, part="choices") for name in ("turn\nwrong", "turn\nright")]
    rows = []
    for each in figures:
        cells = [cell(each.model.quant, "strong")]
        for role in roles:
            share = each.roles[role].agreement
            text = numbers.share(share.value)
            cells.append(cell(f"{text} ({numbers.interval(share.low, share.high)})" if role == "all" else text))
        whole = each.roles["all"]
        cells += [_count(whole.n_flips, "bad"), _count(whole.n_rescues, "good")]
        rows.append(tuple(cells))
    notes = (
        f"share of places at which the likeliest token is {found.reference.quant}'s, with its 95% interval for all",
        "turn wrong: the answer's own token was the likeliest, and is no longer; turn right: the other way round",
    )
    return Table(tuple(columns), tuple(rows), title="How often the first choice stays the same", notes=notes)


def _count(n: int, tone: Tone) -> Cell:
    from bench import numbers
    from bench.report.document import cell

    return cell(numbers.count(n), tone if n else "dim")


def _worst_tables(found: Drift, figures: Sequence[Figures]) -> Iterable[Table]:
    from bench.report.document import Column, Table, cell

    rows = tuple(
        (cell(each.model.quant, "strong"), *_place_cells(place)) for each in figures for place in each.worst[:_N_SHOWN]
    )
    if not rows:
        return
    columns = (
        *(Column(name) for name in ("quant", "case", "role", "after", "right", "likeliest\nnow")),
        *(Column(name, right=True) for name in ("probability\nof right", "KL")),
    )
    notes = (f"probability of the answer's token, at {found.reference.quant} -> at the level",)
    yield Table(columns, rows, title="Where it is worst", n_group=1, notes=notes)


def _place_cells(place: Place) -> Iterable[Cell]:
    from bench.report.document import cell, code

    shift = place.shift
    before = place.before if len(place.before) <= _CONTEXT else f"...{place.before[-_CONTEXT:]}"
    yield cell(place.case_id)
    yield cell(place.role)
    yield code(_in_one_line(before))
    yield code(_in_one_line(place.text))
    yield code(_in_one_line(place.best_after)) if shift.best_after != shift.token else cell("the same", "dim")
    yield cell(f"{_probability(math.exp(shift.logp_before))} -> {_probability(math.exp(shift.logp_after))}")
    yield cell(nats(shift.kl))


def _probability(value: float) -> str:
    return f"{value:.3f}" if value >= 0.0005 else "<0.001"


def _in_one_line(text: str) -> str:
    return text.replace("\n", "\u23ce")
