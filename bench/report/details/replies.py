"""What right answers say besides: how many replies ask, decline or mention what they should, case by case.

Proxies: patterns that the cases' authors wrote, held against the last reply; they never move a verdict. What is said
after a failure, claims and admissions, is in `bench.report.details.recovery`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench.rates import Rate, rate
from bench.report.document import Table
from bench.report.judged import Judged, is_right
from bench.report.layout import per_row, rate_of

if TYPE_CHECKING:
    from bench.report.values import Row

PROXIES = ("asks", "declines", "mentions")


def measure(judged: Judged) -> Mapping[str, Rate]:
    """Over the right answers to the cases that have such patterns; without a name that none of them has."""
    right = [(item.case_id, verdict.details["proxies"]) for item, verdict in judged.explained if is_right(verdict)]
    found = {name: rate((case_id, proxies.get(name)) for case_id, proxies in right) for name in PROXIES}
    return {name: share for name, share in found.items() if share}


def table(rows: Sequence[Row]) -> Table | None:
    """None where no row has a right answer to such a case."""
    names = [name for name in PROXIES if any(name in row.replies for row in rows)]
    if not names:
        return None
    return per_row(
        rows,
        "What the replies of right answers say",
        names,
        lambda row: [rate_of(row.replies.get(name)) for name in names],
        notes=(
            "of the right answers, where a case's author wrote patterns for it: replies that ask for what is missing,"
            " decline, or mention what they should; proxies, which never move a verdict",
        ),
    )
