"""Were calls made in an order in which they could work? The counts of all answers of a row, as rates.

The definitions are those of docs/suites.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import numbers
from bench.rates import Rate, share
from bench.report.document import Cell, Table, cell
from bench.report.judged import Judged
from bench.report.layout import Line, per_line, rate_of

if TYPE_CHECKING:
    from bench.report.values import Row


@dataclass(frozen=True, slots=True)
class Order:
    n_cases: int  # scored answers to cases with calls that belong together, or after one another
    parallel_recall: Rate | None  # of independent pairs: made in one step
    over_serialised: Rate | None  # of independent pairs: made in two, though one would have done
    premature: Rate | None  # of dependent calls: made before what they need was there
    placeholder: Rate | None  # of dependent calls: premature, with a made-up value
    threaded: Rate | None  # of values to be carried over: carried over right
    n_steps: int
    n_fewest_steps: int  # in which the same calls could have been made


def measure(judged: Judged) -> Order | None:
    """None where no answer was to a case that has an order."""
    total: Counter[str] = Counter()
    answers = []
    for item, verdict in judged.explained:
        counts = verdict.details["order"]
        if counts["n_independent_pairs"] or counts["n_dependent"]:
            answers.append(item.case_id)
            total.update(counts)
    if not answers:
        return None
    pairs, dependent = total["n_independent_pairs"], total["n_dependent"]
    return Order(
        len(answers),
        parallel_recall=share(total["n_parallel_pairs"], pairs, answers),
        over_serialised=share(total["n_split_pairs"], pairs, answers),
        premature=share(total["n_premature"], dependent, answers),
        placeholder=share(total["n_placeholder"], dependent, answers),
        threaded=share(total["n_threaded"], total["n_threads"], answers),
        n_steps=total["n_steps"],
        n_fewest_steps=total["n_fewest_steps"],
    )


def table(rows: Sequence[Row]) -> Table | None:
    lines = [Line(row, _cells(row.order)) for row in rows if row.order]
    if not lines:
        return None
    return per_line(
        lines,
        "Order: independent calls together, dependent ones after what they need",
        ["cases", "parallel\nrecall", "over-serialised", "premature", "placeholder", "threaded"],
        notes=(
            "parallel recall, over-serialised: of pairs of independent calls, made in one step, or needlessly in two;"
            " premature, placeholder: of dependent calls, made before what they need was there, and with a made-up"
            " value; threaded: of values to be carried over. Each interval takes what it counts as independent",
        ),
    )


def _cells(order: Order) -> list[Cell]:
    early = (order.premature, order.placeholder)
    return [
        cell(numbers.count(order.n_cases)),
        rate_of(order.parallel_recall),
        rate_of(order.over_serialised),
        *(rate_of(rate, "warn" if rate and rate.hits else "plain") for rate in early),
        rate_of(order.threaded),
    ]
