"""Whether a run can be gone on with by this version, and which one a plan would have been."""

from __future__ import annotations

import json

from bench.results.columns import to_json
from bench.results.rows import Run
from bench.results.store import Store
from bench.run.plan import Plan, version_of

_KEYED = ("toolgauge", "llama-cpp-python")  # with other versions of these no answer has the same key


def has_own_versions(run: Run) -> bool:
    """Whether it was made by what is installed here; a run of other versions is not gone on with."""
    return all(run.versions.get(name) == version_of(name) for name in _KEYED)


def of_other_versions(store: Store, plan: Plan) -> int | None:
    """The newest unfinished run with the settings, files, suites and modes of a plan that has no run to go on with."""
    asked = json.loads(to_json(plan.config.to_json() | {"slots": None}))  # which are chosen after it is looked for
    planned = {
        (cell.model.gguf_sha256, cell.model.template_sha256, cell.mode.id, cell.suite.content_hash)
        for cell in plan.cells
    }
    for run in store.runs():
        # What was no setting yet when that run began is no difference.
        if run.finished_utc is None and asked | dict(run.config) | {"slots": None} == asked:
            cells = store.cells(run.id)
            if planned == {(c.model.gguf_sha256, c.model.template_sha256, c.mode, c.suite_sha256) for c in cells}:
                return run.id
    return None
