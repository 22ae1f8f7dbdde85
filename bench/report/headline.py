"""The report in short: which mode is best, which level is the smallest that is not worse, what constraining does.

Of the tables' values, in words; knows no table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench import numbers
from bench.report.values import Choice, Row, Rung, Section, Verdict


def in_short(section: Section) -> str:
    """Answer the two questions of a person who reads nothing else, from the most accurate mode of the best level."""
    judged = [row for row in section.rows if row.accuracy]
    if len(judged) < 2 and not section.unpaired:
        return ""
    # the most precise level; where it has no verdicts, another one is the reference
    references = {choice.reference for choice in section.choices} - {rung.quant for rung in section.ladder}
    smaller = {(each.rung.quant, each.rung.setting) for each in section.kv_ladder}
    candidates = [
        row for row in judged if (not references or row.quant in references) and (row.quant, row.setting) not in smaller
    ]
    best = max(candidates, key=_n_right, default=None)
    if best is None:
        return ""
    place = ", ".join(filter(None, (best.quant, best.setting)))
    if not _n_right(best):
        return f"At {place} no mode got a single case right."
    beside = [row for row in section.rows if (row.quant, row.setting) == (best.quant, best.setting)]
    where = f"in {best.mode}" if len(_level_with(best, beside)) > 1 else "there"
    return " ".join(
        [
            f"At {place} {_first(best, beside)}.",
            *_ladder_sentences(section, best, where),
            *_kv_sentences(section, best, where),
            *_pair_sentences(section, best),
        ]
    )


def _n_right(row: Row) -> int:
    """Of the same answers in each mode, be they scored or not: a high rate on a few that are left is none on all."""
    return row.accuracy.hits if row.accuracy else 0


def _first(best: Row, beside: Sequence[Row]) -> str:
    """Rates stand beside each other only where they are over as many answers.

    `beside`: all rows of the best one's place, those without a verdict among them.
    """
    level = _level_with(best, beside)
    modes, each = ", ".join(level), " each" if len(level) > 1 else ""
    if best.accuracy and len({row.n_scored for row in beside}) == 1:
        first = "the most accurate modes are" if each else "the most accurate mode is"
        return f"{first} {modes}: {numbers.share(best.accuracy.value)}{each}"
    right, planned = (numbers.count(n) for n in (_n_right(best), best.n_planned))
    return f"answers are right most often in {modes}: {right} of {planned}{each}"


def _level_with(best: Row, beside: Sequence[Row]) -> list[str]:
    """The modes that got as many answers right as the best one, itself among them."""
    return list(dict.fromkeys(row.mode for row in beside if _n_right(row) == _n_right(best)))


def _ladder_sentences(section: Section, best: Row, where: str) -> Iterable[str]:
    place = best.mode, best.backend, best.setting
    rungs = [rung for rung in section.ladder if (rung.mode, rung.backend, rung.setting) == place]
    if not rungs:
        return
    yield f"Against {best.quant} {where}: {_verdicts([(rung.quant, rung) for rung in rungs])}."
    for choice in section.choices:
        if (choice.mode, choice.backend, choice.setting) == place:
            yield _smallest(choice, rungs, where)


def _smallest(choice: Choice, rungs: Sequence[Rung], where: str) -> str:
    if choice.smallest != choice.reference:
        return f"The smallest shown to be not worse: {choice.smallest}."
    open_ones = [rung for rung in rungs if rung.verdict == "cannot tell" or _is_in_part(rung)]
    if not open_ones:
        return f"The smallest that is not worse: {choice.reference} itself."
    needed = max(rung.n_to_settle or 0 for rung in open_ones)
    settled = f"; about {numbers.count(needed)} cases would settle it {where}" if needed else ""
    return f"None smaller is shown to be not worse by {_points(choice.margin)} yet{settled}."


def _is_in_part(rung: Rung) -> bool:
    """Whether it is not worse on some of the reference's cases only."""
    return rung.verdict == "not worse" and rung.n_without_verdict > 0


def _points(margin: float) -> str:
    return f"{margin * 100:g} points or more"


def _kv_sentences(section: Section, best: Row, where: str) -> Iterable[str]:
    """Of the types that differ from the best row's in nothing else."""
    kept = {name: value for name, value in best.context.items() if name not in ("type_k", "type_v")}
    rows = {(row.quant, row.setting, row.mode, row.backend): row.context for row in section.rows}
    found = []
    for each in section.kv_ladder:
        rung = each.rung
        if (rung.quant, rung.mode, rung.backend) == (best.quant, best.mode, best.backend):
            context = rows[rung.quant, rung.setting, rung.mode, rung.backend]
            if kept.items() <= context.items():
                found.append((each.kv_type, rung))
    if found:
        yield f"Against a KV cache of {found[0][1].reference} {where}: {_verdicts(found)}."


def _verdicts(rungs: Sequence[tuple[str, Rung]]) -> str:
    by_verdict: dict[Verdict, list[str]] = {}
    for name, rung in rungs:
        if not _is_in_part(rung):
            by_verdict.setdefault(rung.verdict, []).append(name)
    words: dict[Verdict, str] = {
        "not worse": f"not worse by {_points(rungs[0][1].margin)}",
        "cannot tell": "cannot be told from so few cases",
        "worse": "worse",
    }
    found = [f"{', '.join(by_verdict[verdict])} {text}" for verdict, text in words.items() if verdict in by_verdict]
    found += [
        f"{name} not worse on {numbers.plural(rung.n, 'case')} and without a verdict on {rung.n_without_verdict:,}"
        for name, rung in rungs
        if _is_in_part(rung)
    ]
    return "; ".join(found)


def _pair_sentences(section: Section, best: Row) -> Iterable[str]:
    for pair in section.paired:
        if (pair.quant, pair.setting) == (best.quant, best.setting):
            gap = f", {numbers.count(pair.n_without_verdict)} without a verdict" if pair.n_without_verdict else ""
            yield (
                f"{pair.constrained} against {pair.free}: {numbers.count(pair.rescued)} rescued,"
                f" {numbers.count(pair.broken)} broken (p {numbers.p_value(pair.p)}){gap}."
            )
    for each in section.unpaired:
        if (each.quant, each.setting) == (best.quant, best.setting):
            yield f"{each.constrained} against {each.free}: no case has a verdict in both."
