"""One sentence of a person's own, with their own tools, answered in every mode: what `toolgauge try` shows.

Nothing is judged as right or wrong, since nobody wrote down what is right, and nothing is stored. The model lives in a
process of its own, as in a run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bench.apart import apart
from bench.modes import MODES
from bench.run.execute import model_spec
from bench.run.latency import answer
from bench.run.loading import open_model
from bench.run.messages import ModelSpec, SampleJob, Work
from bench.run.plan import Plan
from bench.run.play import NotScored, Player, opened
from bench.score.adherence import violations
from bench.suites.case import FOLDER, Case, Suite
from engine.runtime import Limits
from engine.types import Finding, Generation, Message, Parsed, Tool

DEFAULT_TOOLS = FOLDER / "quick_tools.json"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One mode's answer; `violations` names what is wrong with each call, empty if it is valid. Or the error."""

    mode: str
    generation: Generation | None
    parsed: Parsed | None
    violations: tuple[frozenset[str], ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """All modes' answers, and what the self-check found about the model."""

    attempts: tuple[Attempt, ...]
    findings: tuple[Finding, ...]


def suite_of(sentence: str, tools: Sequence[Tool], system: str = "") -> Suite:
    """A suite of this one request, so that the same planning serves it."""
    digest = hashlib.sha256(json.dumps([sentence, system, [tool.name for tool in tools]]).encode()).hexdigest()
    case = Case(
        id="try",
        category="try",
        tools=tuple(tools),
        messages=((Message("system", system),) if system else ()) + (Message("user", sentence),),
        tool_choice="auto",
        expected=(),
        reply={},
        fault=None,
        results=(),
        max_steps=1,
        content_hash=digest,
    )
    return Suite("try", "", "", (case,), digest, DEFAULT_TOOLS)


def answers(plan: Plan) -> Answers:
    """Ask the only model of the plan, in every mode; raises the reason why it cannot be loaded."""
    (model,) = plan.models
    jobs = tuple(
        SampleJob(sample.key, sample.case, cell.mode.id, cell.backend, sample.repetition)
        for cell in plan.cells
        for sample in cell.samples
    )
    return apart(partial(_answer_all, model_spec(plan, model, open_model), jobs), what=model.label)


def _answer_all(spec: ModelSpec, jobs: Sequence[SampleJob], log: Path) -> Answers:
    """In the new process: one answer in each mode, after a token of warming up."""
    spec = replace(spec, log_path=log)
    model = spec.opener(spec, Work((), tuple(jobs)))
    player = Player(model, spec, lambda message: None)
    found = []
    with model.runtime(single=True) as place:
        for job in jobs:
            try:
                request, prompt = player.request(
                    job, job.case.messages, job.case.tools, required=False, seed_of=("try",), watched=True
                )
            except NotScored as reason:
                found.append(Attempt(job.mode, None, None, error=reason.error.message))
                continue
            request = replace(request, n_shared=0)
            answer(place.runtime, replace(request, watcher=None, compiled=None, triggers=(), limits=Limits(1, 1)))
            finished = answer(place.runtime, request)
            if finished.generation is None or finished.error:
                found.append(Attempt(job.mode, None, None, error=finished.error))
                continue
            text = finished.generation.text
            parsed = model.format_of(MODES[job.mode].style).parse(text, job.case.tools, reasoning_opened=opened(prompt))
            tools = {tool.name: tool for tool in job.case.tools}
            wrong = tuple(violations(call, tools) for call in parsed.calls)
            found.append(Attempt(job.mode, finished.generation, parsed, wrong))
    return Answers(tuple(found), model.findings())
