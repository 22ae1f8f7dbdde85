"""Whether this version would go on with a run, which one a plan would have been, and why it is not that one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from bench.results.columns import to_json
from bench.results.rows import Run
from bench.results.store import Store
from bench.run.plan import Plan, version_of

_KEYED = ("toolgauge", "llama-cpp-python")  # with other versions of these no answer has the same key
_FREE = ("parallel", "slots")  # settings that no key knows


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


def differences(store: Store, run: Run, plan: Plan) -> str:
    """What a run was made with that is not what its plan has now; completes `was made with ... than now`."""
    found = dict.fromkeys((*_other_versions(store, run, plan), *_other_files(store, run, plan)))
    if names := _other_settings(run, plan):
        found[f"other settings ({', '.join(names)})"] = None
    return " and ".join(found) or "other settings, files or versions"


def _other_versions(store: Store, run: Run, plan: Plan) -> Iterator[str]:
    for name in _KEYED:
        if run.versions.get(name) != version_of(name):
            yield f"another {name} ({run.versions.get(name, 'unknown')})"
    here = {cell.backend: cell.backend_version for cell in plan.cells}
    for cell in store.cells(run.id):
        if here.get(cell.backend, cell.backend_version) != cell.backend_version:
            yield f"another {cell.backend} ({cell.backend_version})"


def _other_files(store: Store, run: Run, plan: Plan) -> Iterator[str]:
    models = {model.path: model for model in plan.models}
    suites = {cell.suite.name: cell.suite.content_hash for cell in plan.cells}
    for cell in store.cells(run.id):
        model, name = models.get(cell.model.path), Path(cell.model.path).name
        if model is None or model.gguf_sha256 != cell.model.gguf_sha256:
            yield f"another file {name}"
        elif model.template_sha256 != cell.model.template_sha256:
            yield f"another chat template of {name}"
        elif (model.format_id or "") != cell.model.format:
            yield f"another format of {name} ({cell.model.format or 'none known'})"
        if suites.get(cell.suite) != cell.suite_sha256:
            yield f"another suite {cell.suite}"


def _other_settings(run: Run, plan: Plan) -> list[str]:
    asked = json.loads(to_json(plan.config.to_json()))
    return [name for name, value in run.config.items() if name not in _FREE and asked.get(name, value) != value]
