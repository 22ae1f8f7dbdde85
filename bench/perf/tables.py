"""The results as a document for people. Measures nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.numbers import MISSING, duration, plural, rate, share, significant
from bench.perf.measure import Measured
from bench.perf.results import Claim, MethodResult, Results, TextResult
from bench.perf.texts import VERDICTS
from bench.report.document import Cell, Column, Document, Heading, Table, Text, Tone, cell
from bench.stats import Middle


def document(results: Results, measured: Measured, about: str, warnings: Sequence[str] = ()) -> Document:
    """`about`: model, machine and workload in one line; `warnings`: why the figures are not to be trusted."""
    blocks: list[Heading | Text | Table] = [Heading("Decoding speed"), Text(about, "dim")]
    blocks += [Text(warning, "warn") for warning in warnings]
    return [*blocks, _claims(results), _methods(results, measured), _texts(results)]


def _claims(results: Results) -> Table:
    tones: dict[str, Tone] = {"yes": "good", "no": "bad", "cannot tell": "warn"}
    rows = []
    for claim in results.claims:
        met = claim.met or MISSING
        rows.append(
            (cell(claim.what), *_both(claim.measured, claim), cell(_bound(claim)), cell(met, tones.get(met, "plain")))
        )
    columns = (Column("figure"), Column("median", True), Column("interval", True), Column("promised"), Column("met"))
    return Table(columns, tuple(rows), "Ratios of tokens per second, taken within each round")


def _both(middle: Middle | None, claim: Claim) -> tuple[Cell, Cell]:
    if claim.below is not None:
        return cell(share(middle.median if middle else None)), cell(_interval(middle, share))
    return cell(_times(middle.median) if middle else MISSING), cell(_interval(middle, _times))


def _times(factor: float) -> str:
    return f"{significant(factor)}x"


def _interval(middle: Middle | None, write: Callable[[float], str]) -> str:
    return f"{write(middle.low)} to {write(middle.high)}" if middle else MISSING


def _bound(claim: Claim) -> str:
    if claim.at_least is not None:
        return f"at least {_times(claim.at_least)}"
    return MISSING if claim.below is None else f"below {share(claim.below)}"


def _methods(results: Results, measured: Measured) -> Table:
    columns = (
        Column("method"),
        Column("tok/s", True, "speed"),
        Column("interval", True, "speed"),
        Column("x free", True, "speed"),
        Column("interval", True, "speed"),
        Column("forced", True, "cost"),
        Column("accepted", True, "cost"),
        Column("mask/token", True, "cost"),
        Column("host", True, "cost"),
        Column("compile", True, "cost"),
        Column("n", True, "count"),
        Column("skipped", True, "count"),
        Column("excluded", True, "count"),
    )
    notes = (
        f"Intervals cover the median of the {plural(results.n_rounds, 'round')} with 95%, or as much as they can.",
        "forced: tokens appended unsampled. accepted: of the choices that were drafted.",
        "mask/token: all time in the constraint. host: time outside llama.cpp.",
        *_reasons(measured),
    )
    return Table(columns, tuple(_method(method) for method in results.methods), "Methods", notes=notes)


def _reasons(measured: Measured) -> list[str]:
    """Why answers are missing; what is the same for several cases is said once."""
    cases: dict[tuple[str, str], list[str]] = {}
    for each in measured.missing:
        named = cases.setdefault((each.method, each.reason), [])
        if each.case not in named:
            named.append(each.case)
    return [f"{method} ({', '.join(named)}): {reason}" for (method, reason), named in cases.items()]


def _method(method: MethodResult) -> tuple[Cell, ...]:
    speed, to_free = method.tok_per_s, method.to_free
    return (
        cell(method.method),
        cell(rate(speed.median if speed else None)),
        cell(_interval(speed, rate)),
        cell(_times(to_free.median) if to_free else MISSING),
        cell(_interval(to_free, significant)),
        cell(share(_median(method.forced_share))),
        cell(share(_median(method.accepted_share))),
        cell(duration(_median(method.mask_s_per_token))),
        cell(share(_median(method.host_share))),
        cell(duration(_median(method.compile_s))),
        cell(str(method.n_timed)),
        cell(str(method.n_skipped)),
        cell(str(method.n_excluded)),
    )


def _median(middle: Middle | None) -> float | None:
    return middle.median if middle else None


def _texts(results: Results) -> Table:
    columns = (Column("texts of"), Column("and"), Column("n", True), *(Column(verdict, True) for verdict in VERDICTS))
    notes = (
        "same text: only cut into other tokens.",
        "segmentation: parted where the first cut a forced text as the tokenizer does, and the second otherwise.",
        "noise: parted where two logits are closer than the kernels are exact.",
        f"Methods that wrote other tokens in another repetition: {results.n_unrepeatable}.",
    )
    return Table(columns, tuple(_text(text) for text in results.texts), "Is it the same text?", notes=notes)


def _text(text: TextResult) -> tuple[Cell, ...]:
    counts = (
        cell(str(text.counts[verdict]), "bad" if verdict == "unexplained" and text.counts[verdict] else "plain")
        for verdict in VERDICTS
    )
    return cell(text.first), cell(text.second), cell(str(text.n)), *counts
