"""Answers that were given twice, alone and among others: how many read otherwise in a batch.

A batch of another shape moves the last bits of logits, and where two tokens are all but equally likely the answer may
then be another. The latency pass has the first steps of some cases alone, the accuracy pass all of them in a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import numbers
from bench.report.judged import Judged
from bench.results.rows import Run
from bench.results.store import Store

if TYPE_CHECKING:
    from bench.report.values import Row

_FIRST_STEPS_SQL = """
SELECT item.case_id, item.n_slots, step.n_prompt, step.text FROM item JOIN step ON step.item_id = item.id
WHERE item.cell_id = ? AND item.trial = 0 AND step.position = 0
AND item.case_id IN (SELECT case_id FROM latency_sample WHERE cell_id = item.cell_id)
"""


@dataclass(frozen=True, slots=True)
class Batched:
    """`n`: cases with the first answer in both passes, of which `n_differ` have other texts."""

    n: int
    n_differ: int
    n_slots: int  # answers that were decoded at a time, at most


def measure(store: Store, run: Run, judged: Judged) -> Batched | None:
    """None where nothing was answered twice, or where texts differ by chance."""
    if run.config.get("sampling", {}).get("temperature"):
        return None
    alone: dict[tuple[str, int], set[str]] = {}
    for sample in judged.samples:
        alone.setdefault((sample.case_id, sample.n_prompt), set()).add(sample.text)
    found = [
        (step["n_slots"], alone[place] != {step["text"]})
        for step in store.query(_FIRST_STEPS_SQL, (judged.cell.id,))
        if (place := (step["case_id"], step["n_prompt"])) in alone
    ]
    if not found:
        return None
    return Batched(len(found), sum(differs for _, differs in found), max(n_slots for n_slots, _ in found))


def note(rows: Sequence[Row]) -> str:
    """What is said below the main table; "" where all texts are the same."""
    found = [row.batched for row in rows if row.batched]
    n_differ = sum(each.n_differ for each in found)
    if not n_differ:
        return ""
    n = sum(each.n for each in found)
    n_slots = max(each.n_slots for each in found)
    among = f"among {n_slots} at a time" if n_slots > 1 else "in the accuracy pass"
    return (
        f"of {numbers.plural(n, 'answer')} that were also timed alone, {numbers.count(n_differ)} read otherwise"
        f" {among}: the shape of a batch can decide between tokens that are all but equally likely"
    )
