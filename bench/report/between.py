"""Two runs side by side: the same cases in the same mode, before and after something was changed.

A row of the later run is held against the one of the earlier run that it most resembles; what else differs between the
two runs (files, templates, settings, software, machine) is told beside it, for that is what a difference can be due to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.report import compare
from bench.report.decide import MARGIN, Level, Verdict
from bench.report.decide import compare as held_against
from bench.report.judged import Judged, judged
from bench.results.rows import Run
from bench.results.store import Store
from bench.stats import Middle
from grammars.errors import ToolgaugeError

SCHEMA = "toolgauge.compare/1"

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
    """What became of a row; `gained` were wrong before and are right now.

    `differs`: what else is not the same about the two rows. `first_call`: how many times as long it takes as before.
    """

    suite: str
    mode: str
    backend: str
    before: Side
    after: Side
    n: int
    gained: int
    lost: int
    difference: float
    low: float
    high: float
    p: float  # exact McNemar, after Holm over all rows
    verdict: str
    n_to_settle: int | None
    differs: tuple[str, ...] = ()
    first_call: Middle | None = None


@dataclass(frozen=True, slots=True)
class Between:
    """`settings`: name -> what it was and what it is. `left_out`: sentences on rows that were not compared."""

    before: int
    after: int
    margin: float
    settings: Mapping[str, tuple[str, str]]
    changes: tuple[Change, ...]
    left_out: tuple[str, ...]

    @property
    def worse(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.verdict == "worse")

    @property
    def not_shown(self) -> tuple[Change, ...]:
        """Those for which a loss of the margin or more is not ruled out."""
        return tuple(change for change in self.changes if change.verdict != "not worse")

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self)}


def between(store: Store, before: Run, after: Run, margin: float = MARGIN) -> Between:
    """Raises `ToolgaugeError` where no row of the one run has a counterpart in the other."""
    old, new = _rows(store, before), _rows(store, after)
    left_out: list[str] = []
    both = list(_matched(old, new, before, after, left_out))
    if not both:
        why = "; ".join(left_out) or "neither has a verdict"
        raise ToolgaugeError(f"runs {before.id} and {after.id} have nothing that could be compared: {why}")
    compared = held_against([(_level(first), _level(second)) for first, second in both], margin=margin)
    return Between(
        before=before.id,
        after=after.id,
        margin=margin,
        settings={name: pair for name, pair in _settings(before, after)},
        changes=tuple(
            Change(
                suite=second.cell.suite,
                mode=second.cell.mode,
                backend=second.cell.backend,
                before=_side(first, second),
                after=_side(second, first),
                n=found.pairs.n,
                gained=found.pairs.rescued,
                lost=found.pairs.broken,
                difference=found.difference,
                low=found.interval.low,
                high=found.interval.high,
                p=found.p_value,
                verdict=compare.VERDICTS[found.verdict],
                n_to_settle=found.n_to_settle if found.verdict is Verdict.CANNOT_TELL else None,
                differs=tuple(_differs(first, second)),
                first_call=compare.times_as_long(first, second),
            )
            for (first, second), found in zip(both, compared, strict=True)
        ),
        left_out=tuple(left_out),
    )


def _rows(store: Store, run: Run) -> list[Judged]:
    return [judged(store, run, cell, None) for cell in store.cells(run.id)]


def _level(row: Judged) -> Level:
    return Level(row.level, row.cell.model.gguf_bytes, row.right)


def _side(row: Judged, other: Judged) -> Side:
    right = row.right
    n_right = sum(right[case_id] for case_id in right if case_id in other.right)
    return Side(row.cell.model.name, row.cell.model.quant, row.cell.model.setting, n_right)


def _matched(
    old: Sequence[Judged], new: Sequence[Judged], before: Run, after: Run, left_out: list[str]
) -> Iterator[tuple[Judged, Judged]]:
    """Each row of the later run with its counterpart; a sentence for each that has none."""
    for row in new:
        alike = [each for each in old if (each.cell.suite, each.cell.mode) == (row.cell.suite, row.cell.mode)]
        beside = [each for each in new if (each.cell.suite, each.cell.mode) == (row.cell.suite, row.cell.mode)]
        first = _closest(row, alike, alone=len(alike) == len(beside) == 1)
        if first is None:
            left_out.append(f"{_named(row)} of run {after.id} has no counterpart in run {before.id}")
        elif first.cell.suite_sha256 != row.cell.suite_sha256:
            left_out.append(f"{_named(row)}: the cases of {row.cell.suite} are not the same in both runs")
        elif not first.right.keys() & row.right.keys():
            left_out.append(f"{_named(row)}: no case has a verdict in both runs")
        else:
            yield first, row
    modes = {(row.cell.suite, row.cell.mode) for row in new}
    for row in old:
        if (row.cell.suite, row.cell.mode) not in modes:
            left_out.append(f"{_named(row)} of run {before.id} has no counterpart in run {after.id}")


def _closest(row: Judged, found: Iterable[Judged], *, alone: bool) -> Judged | None:
    """The row of the same model, level and setting, else of the same level and setting, else the only one there is."""
    model = row.cell.model
    same_level = [each for each in found if (each.level, each.cell.model.setting) == (row.level, model.setting)]
    same = [each for each in same_level if each.cell.model.name == model.name]
    for candidates in (same, same_level, list(found) if alone else []):
        if len(candidates) == 1:
            return candidates[0]
    return None


def _named(row: Judged) -> str:
    model = row.cell.model
    level = f"{model.name} {model.quant}".strip()
    setting = f" ({model.setting})" if model.setting else ""
    return f"{level}{setting} in {row.cell.mode} on {row.cell.suite}"


def _differs(first: Judged, second: Judged) -> Iterator[str]:
    old, new = first.cell.model, second.cell.model
    if old.gguf_sha256 != new.gguf_sha256:
        yield "file"
    if old.template_sha256 != new.template_sha256:
        yield "chat template"
    if old.format != new.format:
        yield "format"
    if (first.cell.backend, first.cell.backend_version) != (second.cell.backend, second.cell.backend_version):
        yield "constraint backend"
    if first.at != second.at:
        yield "context settings"


def _settings(before: Run, after: Run) -> Iterator[tuple[str, tuple[str, str]]]:
    old, new = dict(_flat(before)), dict(_flat(after))
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name) and name not in _REASONS:
            yield name, (_shown(old.get(name)), _shown(new.get(name)))


def _flat(run: Run) -> Iterator[tuple[str, Any]]:
    """All that determines or colours a run's answers, under one name each."""
    yield from _leaves({name: value for name, value in run.config.items() if name not in _NAMES}, ())
    yield from run.versions.items()
    yield "llama.cpp", run.llama_build
    yield from ((name, run.host.get(name)) for name in _MACHINE)


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
