"""The latency pass: what one user waits for. One request at a time, warm model, nothing cached of the prompt.

Each sample is the first step of a case. Some are taken with the prompt's prefix (system message and tools) decoded
beforehand, as a second request of the same agent finds it; they are marked `warm`. The samples are raw and go to a
table of their own; nothing here is ever judged for accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from bench.run.messages import Began, SampleFinished, SampleJob
from bench.run.plan import PlannedSample
from bench.run.play import NotScored, Player
from engine.meter import Meter
from engine.runtime import Finished, Request, Runtime
from engine.types import FirstCall
from grammars.errors import ToolgaugeError

NOTHING_SHARED = "the prompt has no beginning that requests with the same system message and tools share"
_PARTS = tuple(field.name for field in fields(FirstCall))


def take_samples(player: Player, runtime: Runtime, meter: Meter, jobs: Sequence[SampleJob]) -> None:
    """Take all samples in the order given, after one unrecorded answer of each kind."""
    warmed: set[tuple[str, str, bool, bool]] = set()
    for job in jobs:
        kind = job.mode, job.backend, job.drafted, job.warm
        if kind not in warmed:
            warmed.add(kind)
            player.send(Began(job.key))  # it may be what the process dies of
            _sample(player, runtime, meter, job)
    for job in jobs:
        player.send(Began(job.key))
        player.send(SampleFinished(job.key, _sample(player, runtime, meter, job)))


def _sample(player: Player, runtime: Runtime, meter: Meter, job: SampleJob) -> dict[str, Any]:
    base = kind_of(job)
    try:
        request, _ = player.request(
            job,
            job.case.messages,
            job.case.tools,
            required=job.case.tool_choice == "required",
            seed_of=("sample", job.repetition, 0),
            watched=True,
        )
    except NotScored as reason:
        return base | nothing(reason.error.message)
    if not job.warm:
        request = replace(request, n_shared=0)
    elif request.n_shared == 0:
        return base | nothing(NOTHING_SHARED)
    try:
        if job.warm:
            runtime.read_ahead(request.prompt[: request.n_shared])
    except ToolgaugeError as error:
        return base | nothing(str(error))
    before = meter.read().joules
    finished = answer(runtime, request)
    after = meter.read().joules
    generation = finished.generation
    if generation is None or finished.error:
        return base | nothing(finished.error or "no answer")
    return base | {
        "error": None,
        "text": generation.text,
        "stop": generation.stop.value,
        "n_prompt": generation.n_prompt,
        "n_cached": generation.n_cached,
        "n_tokens": len(generation.tokens),
        "n_first": generation.n_first,
        "n_forced": generation.constraint.n_forced if generation.constraint else 0,
        "n_masked": generation.constraint.n_masked if generation.constraint else 0,
        "n_drafted": generation.n_drafted,
        "n_accepted": generation.n_accepted,
        **asdict(generation.timings),
        **(asdict(generation.first_call) if generation.first_call else dict.fromkeys(_PARTS)),
        "energy_j": after - before if after is not None and before is not None else None,
    }


def answer(runtime: Runtime, request: Request) -> Finished:
    """The answer to one request that has the runtime to itself."""
    runtime.submit(request)
    while not (finished := runtime.step()):
        pass
    (only,) = finished
    return only


def kind_of(sample: SampleJob | PlannedSample) -> dict[str, Any]:
    """The columns that say which sample it is."""
    return {
        "case_id": sample.case.id,
        "repetition": sample.repetition,
        "drafted": sample.drafted,
        "warm": sample.warm,
    }


def nothing(error: str) -> dict[str, Any]:
    """The columns of a sample that gave no answer."""
    counts = dict.fromkeys(("n_prompt", "n_cached", "n_tokens", "n_forced", "n_drafted", "n_accepted"), 0)
    durations = dict.fromkeys(("prefill_s", "decode_s", "mask_s", "host_s", "compile_s", "total_s"), 0.0)
    moments = dict.fromkeys(("ttft_s", "ttfn_s", "ttfc_s", *_PARTS, "energy_j"))
    return {"error": error, "text": "", "stop": "", "n_first": None, "n_masked": None, **counts, **durations, **moments}
