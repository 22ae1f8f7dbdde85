"""`toolgauge score RUN`: judge stored answers again; no model is loaded."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from bench.shell import Database, Json, emit, emit_json, examples

EXAMPLES = examples("toolgauge score last", "toolgauge score 3 --json")


def score(
    run: Annotated[str, typer.Argument(help="The run's number, or `last`.")] = "last",
    db: Database = None,
    as_json: Json = False,
) -> None:
    """Judge a run's stored answers with this version's scorer; old verdicts are kept."""
    from bench import numbers
    from bench.report.document import Text
    from bench.results.store import Store
    from bench.run.judge import rescore
    from bench.score import VERSION

    Store.read(db).close()  # a file that is missing is said to be, not made
    with Store.open(db) as store:
        found = store.run(run)
        counts = rescore(store, found)
    if as_json:
        emit_json({"run": found.id, "scorer_version": VERSION, **asdict(counts)})
        return
    judged = f"Judged {numbers.plural(counts.n_items, 'answer')} of run {found.id} with scorer {VERSION}"
    changed = f"{numbers.plural(counts.n_changed, 'verdict')} changed, {numbers.count(counts.n_stale)} stale"
    emit([Text(f"{judged}: {changed}.")])
