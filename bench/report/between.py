"""Two runs side by side: the same cases in the same mode, before and after something was changed.

A row of the later run is held against the one of the earlier run that it most resembles; what else differs between the
two runs (files, templates, settings, software, machine) is told beside it, for that is what a difference can be due to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import numbers
from bench.report import about, compare
from bench.report.counterparts import matched
from bench.report.decide import MARGIN, Level
from bench.report.decide import compare as held_against
from bench.report.judged import Judged, judged, suites_of
from bench.report.machine import decode_tok_per_s, prefill_tok_per_s
from bench.report.values import Rung
from bench.results.place import command
from bench.results.rows import Run
from bench.results.store import Store
from bench.stats import Middle
from grammars.errors import ToolgaugeError

SCHEMA = "toolgauge.compare/2"
"""2: `p` and `n_to_settle` as in `toolgauge.report/4`."""

_MACHINE = ("cpu", "cores", "memory_bytes", "os", "gpu", "gpu_memory_bytes", "driver")
# What names the files and suites themselves; the rows say which of them were held against each other.
_NAMES = ("models", "quants", "suites", "modes")
_REASONS = ("slots.why",)


@dataclass(frozen=True, slots=True)
class Side:
    """A row of one of the two runs, over the cases that both have. A scripted model has no quant."""

    model: str
    quant: str
    setting: str
    n_right: int


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a row. `rung` compares the two as levels are compared; its reference is the earlier run's level.

    `differs`: what else is not the same about the two rows. `first_call`: how many times as long it takes as before;
    `prefill`, `decode`: how many times as many tokens a second.
    `n_without_verdict`: cases that had a verdict before, with their fault or without it, and have none now.
    """

    suite: str
    before: Side
    after: Side
    rung: Rung
    differs: tuple[str, ...] = ()
    first_call: Middle | None = None
    prefill: Middle | None = None
    decode: Middle | None = None
    n_without_verdict: int = 0


@dataclass(frozen=True, slots=True)
class Missing:
    """A row of the earlier run that has verdicts, and nothing in the later one that it could be held against."""

    suite: str
    model: str
    quant: str
    setting: str
    mode: str


@dataclass(frozen=True, slots=True)
class Between:
    """`settings`: name -> what it was and what it is. `left_out`: sentences on rows that were not compared.

    `before_model` and `after_model`: whose rows alone were taken; "": those of all the run's models.
    `missing`: of what was left out that which had verdicts before; what the later run alone has is not among it.
    """

    before: int
    after: int
    margin: float
    settings: Mapping[str, tuple[str, str]]
    changes: tuple[Change, ...]
    left_out: tuple[str, ...]
    missing: tuple[Missing, ...] = ()
    warnings: tuple[str, ...] = ()  # of either run, as its own report has them
    before_model: str = ""
    after_model: str = ""

    @property
    def worse(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.rung.verdict == "worse")

    @property
    def not_shown(self) -> tuple[Change, ...]:
        """Those for which a loss of the margin or more is not ruled out, be it a loss of verdicts."""
        return tuple(c for c in self.changes if c.rung.verdict != "not worse" or c.n_without_verdict)

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self)}


def between(
    store: Store, before: Run, after: Run, margin: float = MARGIN, models: tuple[str, str] = ("", "")
) -> Between:
    """`models`: the one of each run whose rows are taken, "" for all, so that two models of one run can be compared.

    Raises `ToolgaugeError` where no row of the one side has a counterpart in the other.
    """
    changed = _has_other_suite(store, before, after)
    whole = _rows(store, before, with_cases=changed), _rows(store, after, with_cases=changed)
    old, new = (_of(model, rows, run) for model, rows, run in zip(models, whole, (before, after), strict=True))
    if before.id == after.id and (models[0] == models[1] or "" in models):
        raise ToolgaugeError(_both_alike(before, whole[0], store.path))
    names = (f"run {called(before.id, models[0])}", f"run {called(after.id, models[1])}")
    without: list[tuple[str, Judged]] = []
    both = list(matched(old, new, names, without))
    left_out = tuple(_left_out(without))
    if not both:
        why = "; ".join(left_out) or "neither has a verdict"
        raise ToolgaugeError(f"{names[0]} and {names[1]} have nothing that could be compared: {why}")
    levels = [(_level(first, first), _level(second, first)) for first, second in both]
    compared = held_against(levels, margin=margin)
    return Between(
        before=before.id,
        after=after.id,
        margin=margin,
        settings=dict(_settings(dict(_flat(before, old)), dict(_flat(after, new)))),
        changes=tuple(
            Change(
                suite=second.cell.suite,
                before=_side(first, second),
                after=_side(second, first),
                rung=compare.rung(found, second, second.level, first.level, margin),
                differs=tuple(_differs(first, second)),
                first_call=compare.times_as_much(first, second),
                prefill=compare.times_as_much(first, second, prefill_tok_per_s),
                decode=compare.times_as_much(first, second, decode_tok_per_s),
                n_without_verdict=found.n_without_verdict,
            )
            for (first, second), found in zip(both, compared, strict=True)
        ),
        left_out=left_out,
        missing=tuple(_missing(old, {first.cell.id for first, _ in both})),
        warnings=tuple(_warnings([(before, whole[0]), (after, whole[1])], store.path)),
        before_model=models[0],
        after_model=models[1],
    )


def called(run_id: int, model: str) -> str:
    """One side of a comparison as a person names it: a run, or a model of it."""
    return f"{run_id}:{model}" if model else str(run_id)


def _of(model: str, rows: Sequence[Judged], run: Run) -> list[Judged]:
    found = [row for row in rows if model in ("", row.cell.model.name)]
    if not found and rows:
        names = ", ".join(_models(rows))
        raise ToolgaugeError(f"run {run.id} has no model '{model}'; those it has are: {names}")
    return found


def _models(rows: Iterable[Judged]) -> list[str]:
    return list(dict.fromkeys(row.cell.model.name for row in rows))


def _both_alike(run: Run, rows: Sequence[Judged], path: Path) -> str:
    names = _models(rows)
    two = command(path, "compare", *(called(run.id, name) for name in names[:2]))
    models = f", or two of its models: `{two}`" if len(names) > 1 else ""
    return f"both are run {run.id}; name two, `{command(path, 'ls', 'runs')}` lists them{models}"


def _has_other_suite(store: Store, before: Run, after: Run) -> bool:
    """Whether a suite of one name is not the same in both: then its cases tell what is not."""
    old, new = ({cell.suite: cell.suite_sha256 for cell in store.cells(run.id)} for run in (before, after))
    return any(old.get(name, sha256) != sha256 for name, sha256 in new.items())


def _rows(store: Store, run: Run, *, with_cases: bool) -> list[Judged]:
    with_cases = with_cases or bool(run.config.get("limit"))  # they tell whether it left any out
    suites = suites_of(run) if with_cases else {}
    return [judged(store, run, cell, suites.get(cell.suite)) for cell in store.cells(run.id)]


def _warnings(runs: Sequence[tuple[Run, Sequence[Judged]]], path: Path) -> Iterator[str]:
    """What a reader of either run is warned of, once where it is true of both."""
    of: dict[str, list[int]] = {}
    for run, rows in {run.id: (run, rows) for run, rows in runs}.values():
        disagreements = map(about.in_words, about.disagreements(rows))
        found = (*disagreements, *about.warnings(run, rows, path, with_looks=False))
        for sentence in found:
            of.setdefault(sentence, []).append(run.id)
    for sentence, ids in of.items():
        yield f"{'Both runs' if len(ids) > 1 else f'Run {ids[0]}'}: {sentence}"


def _level(row: Judged, reference: Judged) -> Level:
    return compare.level_of(row, reference, row.level, row.cell.model.gguf_bytes)


def _side(row: Judged, other: Judged) -> Side:
    n_right = sum(compare.comparable(row, other).values())
    return Side(row.cell.model.name, row.cell.model.quant, row.cell.model.setting, n_right)


def _missing(old: Iterable[Judged], compared: Container[int]) -> Iterator[Missing]:
    for row in old:
        if row.right and row.cell.id not in compared:
            model = row.cell.model
            yield Missing(row.cell.suite, model.name, model.quant, model.setting, row.cell.mode)


def _left_out(without: Iterable[tuple[str, Judged]]) -> Iterator[str]:
    """One sentence for what was left out of a level for one reason."""
    modes: dict[tuple[str, str], dict[str, list[str]]] = {}
    for reason, row in without:
        model = row.cell.model
        setting = f" ({model.setting})" if model.setting else ""
        level = f"{model.name} {model.quant}".strip() + setting
        modes.setdefault((level, reason), {}).setdefault(row.cell.suite, []).append(row.cell.mode)
    for (level, reason), by_suite in modes.items():
        suites: dict[str, list[str]] = {}
        for suite, found in by_suite.items():
            suites.setdefault(", ".join(found), []).append(suite)
        places = "; ".join(f"{found} on {', '.join(named)}" for found, named in suites.items())
        yield f"{level} in {places}: {reason}"


def _differs(first: Judged, second: Judged) -> Iterator[str]:
    old, new = first.cell.model, second.cell.model
    if old.gguf_sha256 != new.gguf_sha256:
        yield "file"
    if first.cell.suite_sha256 != second.cell.suite_sha256:
        yield "tools" if first.cases != second.cases else "suite's version"  # others are not compared
    if old.template_sha256 != new.template_sha256:
        yield "chat template"
    if old.format != new.format:
        yield "format"
    if (first.cell.backend, first.cell.backend_version) != (second.cell.backend, second.cell.backend_version):
        yield "constraint backend"
    if first.at != second.at:
        yield "context settings"
    if first.scorers != second.scorers:
        yield "scorer"


def _settings(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, str]]]:
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name) and name not in _REASONS:
            yield name, (_shown(old.get(name)), _shown(new.get(name)))


def _flat(run: Run, rows: Iterable[Judged]) -> Iterator[tuple[str, Any]]:
    """All that determines or colours a run's answers and what is said of them, under one name each."""
    yield from _leaves({name: value for name, value in run.config.items() if name not in (*_NAMES, "tools")}, ())
    yield "tools", _definitions(run.config.get("tools", ()))
    yield from run.versions.items()
    yield "llama.cpp", run.llama_build
    yield "scorer", sorted({version for row in rows for version in row.scorers}) or None
    yield from ((name, run.host.get(name)) for name in _MACHINE)


def _definitions(tools: Sequence[Any]) -> str | None:
    """Those that were given in place of the suites' own; None: none were."""
    if not tools:
        return None
    digest = hashlib.sha256(json.dumps(tools).encode()).hexdigest()
    return f"{numbers.plural(len(tools), 'definition')}, sha256 {digest[:8]}"


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, (*path, str(name)))
    else:
        yield ".".join(path), value


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
