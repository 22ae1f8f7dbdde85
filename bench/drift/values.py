"""Drift in figures: what a person is told of the shifts of each level, by role, with intervals; the worst places.

    figures = summarise(drift)
    figures[0].roles["value"].kl.mean

Intervals of means resample cases, because tokens of one case resemble each other. Knows no renderer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any

from bench.drift.measure import Drift, Lesson, Level
from bench.rates import Rate, case_of
from bench.run.plan import PlannedModel
from bench.stats import grouped_bootstrap, wilson
from engine.drift import Shift
from engine.formats.roles import TokenRole

ALL = "all"
N_WORST = 10


@dataclass(frozen=True, slots=True)
class Mean:
    """In nats a token."""

    mean: float
    low: float | None  # of the 95% interval; None where there is one case alone
    high: float | None
    median: float


@dataclass(frozen=True, slots=True)
class RoleDrift:
    """All tokens of one role. `share` is their part of the level's whole drift; None where there is none at all.

    `agreement`: how often the likeliest token is the reference level's.
    """

    n_tokens: int
    n_cases: int
    kl: Mean
    share: float | None
    agreement: Rate
    n_right: int  # tokens of the answers that are the reference's likeliest ones
    n_flips: int  # of these, those that are this level's likeliest no longer
    n_rescues: int  # the other way round
    logp_change: float  # of the answers' tokens, on average


@dataclass(frozen=True, slots=True)
class Place:
    """One token of one answer, and what became of it."""

    suite: str
    case_id: str
    position: int  # within the answer
    role: TokenRole
    before: str  # the answer up to here
    text: str  # the answer's token
    best_before: str
    best_after: str
    shift: Shift


@dataclass(frozen=True, slots=True)
class Figures:
    """One level; `roles` has "all" first, then those roles that occur. Without any where the level failed."""

    model: PlannedModel
    roles: Mapping[str, RoleDrift]
    worst: tuple[Place, ...] = ()
    error: str | None = None


def summarise(drift: Drift) -> tuple[Figures, ...]:
    """The figures of every level, in the order of the levels."""
    return tuple(_figures(drift, level) for level in drift.levels)


def _figures(drift: Drift, level: Level) -> Figures:
    if level.error is not None:
        return Figures(level.model, {}, error=level.error)
    total = sum(shift.kl for shifts in level.shifts for shift in shifts)
    found = {}
    for role in (None, *TokenRole):
        of_cases: dict[tuple[str, str], list[Shift]] = {}  # a case and its twin are one: their prompt is the same
        for lesson, shifts in _pairs(drift, level):
            if its := _of_role(lesson, shifts, role):
                of_cases.setdefault((lesson.suite, case_of(lesson.case_id)), []).extend(its)
        if of_cases:
            found[role.value if role else ALL] = _role_drift(list(of_cases.values()), total)
    return Figures(level.model, found, _worst(drift, level))


def _pairs(drift: Drift, level: Level) -> list[tuple[Lesson, tuple[Shift, ...]]]:
    return list(zip(drift.lessons, level.shifts, strict=True))


def _of_role(lesson: Lesson, shifts: Sequence[Shift], role: TokenRole | None) -> list[Shift]:
    return [shift for shift, its in zip(shifts, lesson.roles, strict=True) if role in (None, its)]


def _role_drift(of_cases: Sequence[Sequence[Shift]], total: float) -> RoleDrift:
    shifts = [shift for case in of_cases for shift in case]
    n, n_same = len(shifts), sum(shift.agrees for shift in shifts)
    kl_sum = sum(shift.kl for shift in shifts)
    kl = grouped_bootstrap([sum(shift.kl for shift in case) for case in of_cases], [len(case) for case in of_cases])
    agreement = wilson(n_same, n)
    return RoleDrift(
        n_tokens=n,
        n_cases=len(of_cases),
        kl=Mean(kl_sum / n, kl.low if kl else None, kl.high if kl else None, median(shift.kl for shift in shifts)),
        share=kl_sum / total if total else None,
        agreement=Rate(n_same, n, agreement.low, agreement.high),
        n_right=sum(shift.best_before == shift.token for shift in shifts),
        n_flips=sum(shift.is_flip for shift in shifts),
        n_rescues=sum(shift.is_rescue for shift in shifts),
        logp_change=fmean(shift.logp_after - shift.logp_before for shift in shifts),
    )


def _worst(drift: Drift, level: Level) -> tuple[Place, ...]:
    """The places of the largest shifts, flips before all others; none of those that did not shift."""
    places = [
        (shift, lesson, position)
        for lesson, shifts in _pairs(drift, level)
        for position, shift in enumerate(shifts)
        if shift.kl > 0
    ]
    places.sort(key=lambda place: (-place[0].is_flip, -place[0].kl))
    return tuple(_place(drift, *place) for place in places[:N_WORST])


def _place(drift: Drift, shift: Shift, lesson: Lesson, position: int) -> Place:
    return Place(
        lesson.suite,
        lesson.case_id,
        position,
        lesson.roles[position],
        "".join(lesson.texts[:position]),
        lesson.texts[position],
        _text(drift, shift.best_before),
        _text(drift, shift.best_after),
        shift,
    )


def _text(drift: Drift, token: int) -> str:
    return drift.pieces[token].decode("utf-8", errors="replace")


def to_json(drift: Drift, figures: Sequence[Figures]) -> dict[str, Any]:
    """Everything, every place of every level included."""
    return {
        "reference": _model_values(drift.reference),
        "format": drift.format_id,
        "n_cases": len(drift.lessons),
        "n_tokens": drift.n_tokens,
        "cases": [_lesson_values(lesson) for lesson in drift.lessons],
        "left_out": [{"suite": each.suite, "case": each.case_id, "reason": each.reason} for each in drift.left_out],
        "levels": [
            {
                **_model_values(level.model),
                "error": level.error,
                "roles": {role: _role_values(found) for role, found in its.roles.items()},
                "worst": [_place_values(place) for place in its.worst],
                "shifts": [[asdict(shift) for shift in shifts] for shifts in level.shifts],
            }
            for level, its in zip(drift.levels, figures, strict=True)
        ],
    }


def _model_values(model: PlannedModel) -> dict[str, Any]:
    return {"model": model.name, "quant": model.quant, "path": model.path, "sha256": model.gguf_sha256}


def _lesson_values(lesson: Lesson) -> dict[str, Any]:
    tokens = zip(lesson.forced.answer, lesson.texts, lesson.roles, strict=True)
    return {
        "suite": lesson.suite,
        "case": lesson.case_id,
        "n_prompt": len(lesson.forced.prompt),
        "joined": lesson.forced.is_joined,
        "tokens": [{"token": token, "text": text, "role": role} for token, text, role in tokens],
    }


def _role_values(found: RoleDrift) -> dict[str, Any]:
    return asdict(found) | {"agreement": asdict(found.agreement) | {"value": found.agreement.value}}


def _place_values(place: Place) -> dict[str, Any]:
    return {"suite": place.suite, "case": place.case_id, "position": place.position, "role": place.role} | {
        "before": place.before,
        "text": place.text,
        "best_before": place.best_before,
        "best_after": place.best_after,
        "shift": asdict(place.shift),
    }
