"""What is true of a run as a whole: software, machine and formats, and what a reader has to be warned of."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from bench import numbers
from bench.records import ErrorKind
from bench.report.judged import Judged
from bench.report.values import Disagreement
from bench.results.place import command
from bench.results.rows import Cell, Item, Run
from bench.results.rows import Score as Verdict
from bench.run.resume import has_own_versions
from bench.run.todo import MAX_ATTEMPTS
from bench.score import SCORER, VERSION
from engine.types import Finding

_MOST_REASONS = 3
_MOST_AUDITED = 4


def facts(run: Run) -> dict[str, str]:
    named = {"toolgauge": "toolgauge", "llama-cpp-python": "llama-cpp-python", "llguidance": "llguidance"}
    software = [f"{name} {run.versions[key]}" for key, name in named.items() if run.versions.get(key)]
    if run.llama_build:
        software[1:2] = [run.llama_build]
    host = run.host
    machine = [
        str(host[key]) if key in ("cpu", "os") else f"{host[key]} cores" if key == "cores" else numbers.size(host[key])
        for key in ("cpu", "cores", "memory_bytes", "os")
        if host.get(key)
    ]
    gpu = host.get("gpu")
    machine.append(f"{gpu} ({numbers.size(host.get('gpu_memory_bytes'))})" if gpu else "no GPU")
    return {"software": ", ".join(software), "machine": ", ".join(machine)}


def formats(run: Run, cells: Sequence[Judged]) -> dict[str, str]:
    """The native format that each model was taken to write, and what a person has put in the place of its own."""
    by_model = {judged.cell.model.name: judged.cell.model.format or "none known" for judged in cells}
    alike = len(set(by_model.values())) == 1
    found = list(dict.fromkeys(by_model.values())) if alike else [f"{name} {fmt}" for name, fmt in by_model.items()]
    settings = {"format": "--format", "chat_template": "--chat-template", "reasoning_effort": "--reasoning-effort"}
    found += [f"{option} {run.config[key]}" for key, option in settings.items() if run.config.get(key)]
    thinking = run.config.get("thinking")
    if thinking is not None:
        found.append(f"--thinking {'on' if thinking else 'off'}")
    return {"format": ", ".join(found)} if found else {}


def disagreements(cells: Sequence[Judged]) -> Iterator[Disagreement]:
    """Each finding of the self-check once, with all the levels of the model that have it."""
    quants: dict[tuple[str, Finding], list[str]] = {}
    for judged in cells:
        for finding in judged.cell.model.findings:
            found = quants.setdefault((judged.cell.model.name, finding), [])
            if judged.level not in found:
                found.append(judged.level)
    for (model, finding), levels in quants.items():
        yield Disagreement(model, tuple(levels), finding.name, finding.message, finding.rendered, finding.expected)


def in_words(found: Disagreement) -> str:
    stop = "" if found.message.endswith(".") else "."  # a template may end its own words with one
    return f"Self-check of {found.model}, {found.name}: {found.message}{stop}"


def warnings(run: Run, cells: Sequence[Judged], path: Path, *, with_looks: bool = True) -> Iterable[str]:
    """`path`: of the result file.

    `with_looks`: also what keeps the closer looks from being told, which a comparison of two runs does not have.
    """
    n_cases = {judged.cell.suite: None if judged.cases is None else len(judged.cases) for judged in cells}
    yield from incomplete(run, [judged.cell for judged in cells], n_cases, sum(len(judged.items) for judged in cells))
    yield from _audited(run, command(path, "report", str(run.id), "--json"))
    score = command(path, "score", str(run.id))
    if with_looks:
        yield from _left_out(cells, score)
    n_unjudged = sum(len(judged.items) - len(judged.verdicts) - len(judged.stale) for judged in cells)
    if n_unjudged:
        yield f"{numbers.plural(n_unjudged, 'answer')} not judged yet: `{score}` does it."
    n_crashed = sum(_can_be_tried_again(item) for judged in cells for item in judged.items)
    if n_crashed:
        ended = f"{numbers.plural(n_crashed, 'answer')} ended in a runtime error"
        them = "it" if n_crashed == 1 else "them"
        if has_own_versions(run):
            yield f"{ended}: `{command(path, 'run', '--resume', str(run.id))}` tries {them} once more."
        else:
            yield f"{ended}; only the versions that made the run would try {them} once more."
    yield from _reasons(item.error.message for judged in cells for item in judged.items if item.error)


def _can_be_tried_again(item: Item) -> bool:
    return item.error is not None and item.error.kind is ErrorKind.RUNTIME and item.attempt < MAX_ATTEMPTS


def incomplete(run: Run, cells: Iterable[Cell], n_cases: Mapping[str, int | None], n_answers: int) -> Iterator[str]:
    """What was left out of the run, and what is still to come; `n_cases` of whole suites, None: not known any more."""
    limit = run.config.get("limit")
    if limit:
        cut = {cell.suite: _is_cut(run, cell, limit, n_cases[cell.suite]) for cell in cells}
        names = [suite for suite, is_cut in cut.items() if is_cut]
        if names:
            of = "of each suite" if len(names) == len(cut) else " and ".join(f"of {name}" for name in names)
            cases = numbers.plural(limit, "case")
            yield f"Only {cases} {of} ran (--limit {limit}): for trying out, not for deciding."
    if run.finished_utc is None:
        done = f"{numbers.count(n_answers)} of {numbers.count(run.n_items)}"
        yield f"The run is unfinished, with {done} answers; running the same command again goes on."


def _is_cut(run: Run, cell: Cell, limit: int, n_cases: int | None) -> bool:
    """Whether the limit left cases out; of a suite that has as many as the limit, or more, only its cases tell."""
    if n_cases is not None:
        return limit < n_cases
    return cell.n_items >= limit * int(run.config.get("trials", 1))


def _audited(run: Run, names_all: str) -> Iterator[str]:
    """What was known before the run; of many the first, which are the worst. `names_all`: the command that does."""
    sentences = [finding.message for finding in run.findings]
    yield from (f"Known before the run: {text}." for text in sentences[:_MOST_AUDITED])
    if len(sentences) > _MOST_AUDITED:
        rest = numbers.plural(len(sentences) - _MOST_AUDITED, "more finding")
        yield f"{rest} before the run; `{names_all}` has all."


def _left_out(cells: Sequence[Judged], score: str) -> Iterator[str]:
    """What stored verdicts or missing suites keep from being told. `score`: the command that judges again."""
    n_older = sum(len(judged.verdicts) - len(judged.detailed) for judged in cells)
    if n_older:
        yield (
            f"{numbers.plural(n_older, 'verdict')} of an older scorer: counted here, but not in the closer looks;"
            f" `{score}` judges these answers again."
        )
    other = Counter(_scorer(verdict) for judged in cells for _, verdict in judged.detailed)
    del other[SCORER, VERSION]
    if other:
        versions = ", ".join(sorted(version for _, version in other))
        yield (
            f"{numbers.plural(other.total(), 'verdict')} of another scorer ({versions}, and this is {VERSION}), which"
            f" may have judged otherwise; `{score}` judges these answers again."
        )
    gone = list(dict.fromkeys(judged.cell.suite for judged in cells if judged.cases is None))
    if gone:
        yield (
            f"The cases of {', '.join(gone)} are not here as they were in the run, so it is not told which of them want"
            " no call, and which are the same without a fault."
        )


def _scorer(verdict: Verdict) -> tuple[str, str]:
    return verdict.scorer, verdict.scorer_version


def _reasons(messages: Iterable[str]) -> Iterator[str]:
    """The commonest reasons for having no verdict; those that differ in their numbers only are one reason."""
    alike: dict[str, list[str]] = {}
    for message in messages:
        alike.setdefault(re.sub(r"[\d,.]+", "0", message), []).append(message)
    for found in sorted(alike.values(), key=len, reverse=True)[:_MOST_REASONS]:
        example = "" if len(set(found)) == 1 else ", for example"
        yield f"Not scored, {numbers.plural(len(found), 'answer')}{example}: {found[0]}"
