"""The figures of a whole suite as a document for people, and as JSON. Measures nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.numbers import MISSING, count, duration, plural, ratio
from bench.perf.results import Claim
from bench.perf.whole_figures import Row, SideFigures, Texts, WholeResults
from bench.perf.whole_suite import Measured, Share
from bench.report.document import Cell, Column, Document, Heading, Table, Text, Tone, cell
from bench.stats import Middle

_DIFFERS = (
    "Ours: the accuracy pass of a run: several answers at a time, in the order of a run, constraints and what they "
    "remove measured. Its contexts are opened before the clock runs; constraints are compiled while it does.",
    "The binding's: create_chat_completion case after case in the order of the suite, greedy, the model's own chat "
    "template, its grammars made once for each set of tools. It keeps its own cache of the last prompt.",
    "Both: the same file, threads, context and batch size; the same cases, parsers and simulated tools; nothing kept "
    "from one share to the next; loading not counted. Ours gives up answers that repeat themselves, the binding writes "
    "them to the limit; the ratio for each token leaves that out.",
    "Constraints: in native.schema the binding gets our grammar as a text, which holds from the first token; in "
    "json.schema what its converter makes of the envelope's schema, which bounds less and orders spaces otherwise.",
)


def document(results: WholeResults, measured: Measured, about: str, warnings: Sequence[str] = ()) -> Document:
    """`about`: model, machine and settings in one line; `warnings`: why the figures are not to be trusted."""
    blocks: list[Heading | Text | Table] = [Heading("A whole suite, and the same with the binding"), Text(about, "dim")]
    blocks += [Text(warning, "warn") for warning in warnings]
    blocks += [_claim(results.claim), _times(results, measured), _work(results), _texts(results)]
    return [*blocks, *(Text(sentence, "dim") for sentence in _DIFFERS)]


def facts(results: WholeResults, measured: Measured) -> dict[str, Any]:
    """Everything that was made of it and, without the prompts and texts, everything that was seen."""
    return {
        "n_cases": measured.n_cases,
        "n_cases_in_suite": measured.n_cases_in_suite,
        "claims": [{**asdict(results.claim), "met": results.claim.met}],
        "rows": [asdict(row) for row in results.rows],
        "texts": [asdict(text) for text in results.texts],
        "n_unrepeatable": results.n_unrepeatable,
        "left_out": [asdict(each) for each in measured.left_out],
        "shares": [_share(share) for share in measured.shares],
    }


def _share(share: Share) -> Mapping[str, Any]:
    items = [
        {
            "mode": mode,
            "case": case,
            "error": share.failed.get((mode, case)),
            "steps": [
                {name: value for name, value in asdict(step).items() if name not in ("prompt", "text")}
                for step in steps
            ],
        }
        for (mode, case), steps in share.steps.items()
    ]
    named = {"side": share.side, "mode": share.mode, "repetition": share.repetition, "seconds": share.seconds}
    return {**named, "items": items}


def _claim(claim: Claim) -> Table:
    tones: Mapping[str, Tone] = {"yes": "good", "no": "bad", "cannot tell": "warn"}
    met = claim.met or MISSING
    bound = f"at least {ratio(claim.at_least)}" if claim.at_least else MISSING
    row = (
        cell(claim.what),
        cell(ratio(claim.measured.median if claim.measured else None)),
        cell(_interval(claim.measured)),
        cell(bound),
        cell(met, tones.get(met, "plain")),
    )
    columns = (Column("figure"), Column("median", True), Column("interval", True), Column("promised"), Column("met"))
    return Table(columns, (row,), "How many times as fast, taken within each repetition")


def _times(results: WholeResults, measured: Measured) -> Table:
    columns = (
        Column("mode"),
        Column("ours", True),
        Column("binding", True),
        Column("ratio", True),
        Column("interval", True),
        Column("for each token", True),
        Column("n", True),
    )
    return Table(columns, tuple(map(_time, results.rows)), "Time", notes=tuple(_left_out(measured)))


def _time(row: Row) -> tuple[Cell, ...]:
    return (
        cell(row.what),
        cell(duration(_median(row.ours.seconds))),
        cell(duration(_median(row.theirs.seconds))),
        cell(ratio(_median(row.faster))),
        cell(_interval(row.faster)),
        cell(ratio(_median(row.faster_per_token))),
        cell(str(row.faster.n if row.faster else 0)),
    )


def _left_out(measured: Measured) -> list[str]:
    """What neither side was asked, and how many of the suite's cases were asked at all."""
    notes = []
    if measured.n_cases < measured.n_cases_in_suite:
        asked = f"{count(measured.n_cases)} of the suite's {plural(measured.n_cases_in_suite, 'case')}"
        notes.append(f"Asked: {asked}, spread over its categories.")
    for each in measured.left_out:
        what = f"{each.mode}, {each.case}" if each.case else each.mode
        notes.append(f"Left out on both sides: {what}: {each.reason}")
    return notes


def _work(results: WholeResults) -> Table:
    columns = (
        Column("mode"),
        Column("side"),
        Column("answers", True),
        Column("tokens written", True),
        Column("prompt tokens", True),
        Column("of these decoded", True),
        Column("cut", True),
        Column("broke off", True),
    )
    rows = [(row, name, side) for row in results.rows for name, side in (("ours", row.ours), ("binding", row.theirs))]
    cells = tuple((cell(row.what), cell(name), *_counts(side)) for row, name, side in rows)
    return Table(columns, cells, "Work, in the first repetition", n_group=1)


def _counts(side: SideFigures) -> tuple[Cell, ...]:
    numbers = (side.n_answers, side.n_tokens, side.n_prompt, side.n_decoded, side.n_cut, side.n_failed)
    return tuple(cell(count(number)) for number in numbers)


def _texts(results: WholeResults) -> Table:
    columns = (Column("mode"), Column("n", True), Column("same prompt", True), Column("same text", True))
    notes = (
        "same prompt: of the first step. same text: of all steps, from end to end.",
        f"Items that a side wrote otherwise in another repetition or beside other modes: {results.n_unrepeatable}.",
    )
    return Table(columns, tuple(map(_text, results.texts)), "Is it the same text?", notes=notes)


def _text(texts: Texts) -> tuple[Cell, ...]:
    return cell(texts.mode), cell(str(texts.n)), cell(str(texts.n_same_prompt)), cell(str(texts.n_same_text))


def _median(middle: Middle | None) -> float | None:
    return middle.median if middle else None


def _interval(middle: Middle | None) -> str:
    return f"{ratio(middle.low)} to {ratio(middle.high)}" if middle else MISSING
