"""A profile for people: speed, memory beside its prediction, and what the figures do not say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from bench import numbers
from bench.fit.footprint import on_host
from bench.fit.predict import settings_of
from bench.perf.methods import FORCED, FREE, UNFORCED
from bench.profile.profiler import Asked
from bench.profile.values import FORCED_BATCHED, FREE_BATCHED, Job, Memory, Profiled, Rate
from bench.report.document import Block, Cell, Column, Heading, Table, Text, cell
from bench.stats import middle
from engine.memory import CannotPredict, Estimate, Predictor
from engine.shapes.mix import header

NOTE = "The weights are random: this says how fast the model would be and what it would need. Accuracy is not measured."
_WORDS = {
    "prompt": "reading a prompt",
    FREE: "one answer, free",
    FORCED: "one answer, constrained (llguidance)",
    UNFORCED: "one answer, constrained, nothing forced",
    FREE_BATCHED: "at a time, free",
    FORCED_BATCHED: "at a time, constrained (llguidance)",
}
_KINDS = (("model", "weights"), ("kv", "KV cache"), ("rs", "state"), ("compute", "compute"), ("output", "output"))


def document(asked: Asked, job: Job, found: Profiled, source: str) -> Sequence[Block]:
    return [*_blocks(asked, job, found, source)]


def _blocks(asked: Asked, job: Job, found: Profiled, source: str) -> Iterator[Block]:
    yield Heading(f"Profile of the shape of {asked.name} at {asked.level}")
    yield Text(NOTE, "strong")
    if asked.n_layers is not None:
        total = numbers.plural(asked.shape.num_hidden_layers, "layer")
        yield Text(
            f"Only the first {asked.n_layers} of {total}, for a quick look: nothing is extrapolated to the whole.",
            "warn",
        )
    n_threads = numbers.plural(found.n_threads, "thread")
    flash = "with" if found.flash_attention else "without"
    yield Text(
        f"{found.description}, {numbers.size(asked.n_bytes)}, {asked.cut.n_params / 1e9:.2f} billion parameters; "
        f"loaded in {numbers.duration(found.load_s)} by {found.build} with {n_threads}; {flash} flash attention. "
        f"Sizes: {source}."
    )
    yield _speed(job, found.rates)
    yield _memory(asked, job, found)


def _speed(job: Job, rates: Sequence[Rate]) -> Table:
    free = next((middle(rate.tok_per_s) for rate in rates if rate.what == FREE), None)
    columns = (
        Column("what"),
        Column("tok/s", right=True),
        Column("range", right=True),
        Column("against free", right=True),
        Column("mask/token", right=True),
        Column("host", right=True),
        Column("J/token", right=True),
    )
    notes = [f"{_name(rate)}: {rate.problem}" for rate in rates if rate.problem]
    notes.append(
        f"Medians of {numbers.plural(job.repetitions, 'repetition')}, of two prompts where one answer is written. "
        f"A prompt of {job.n_prompt:,} tokens, answers of {job.n_tokens:,}; answers at a time are counted together."
    )
    return Table(
        columns, tuple(_rate_row(rate, free.median if free else None) for rate in rates), "Speed", 0, tuple(notes)
    )


def _name(rate: Rate) -> str:
    words = _WORDS[rate.what]
    return f"{numbers.plural(rate.n_slots, 'answer')} {words}" if rate.what in (FREE_BATCHED, FORCED_BATCHED) else words


def _rate_row(rate: Rate, free: float | None) -> tuple[Cell, ...]:
    found = middle(rate.tok_per_s)
    compared = free is not None and found is not None and rate.what not in ("prompt", FREE)
    return (
        cell(_name(rate)),
        cell(numbers.rate(found.median if found else None), "strong" if found else "dim"),
        cell(f"{numbers.rate(found.low)}-{numbers.rate(found.high)}" if found else numbers.MISSING),
        cell(numbers.ratio(found.median / free) if compared and found and free else ""),
        cell(numbers.duration(rate.mask_s) if rate.mask_s is not None else ""),
        cell(numbers.share(rate.host_share) if rate.host_share is not None else ""),
        cell(numbers.significant(rate.joules) if rate.joules is not None else ""),
    )


def _memory(asked: Asked, job: Job, found: Profiled) -> Table:
    columns = (
        Column("answers x tokens"),
        Column("where"),
        *(Column(words, right=True) for _kind, words in _KINDS),
        Column("together", right=True),
        Column("predicted", right=True),
        Column("process", right=True),
    )
    rows = [row for memory in found.memory for row in _memory_rows(asked, job, memory)]
    scope = next((memory.vram_scope for memory in found.memory if memory.vram_scope), None)
    notes = ["Buffers as llama.cpp reports them; predicted as toolgauge fit does it, before anything was loaded."]
    if any(buffer.device == "CPU_REPACK" for memory in found.memory for buffer in memory.buffers):
        notes.append("llama.cpp counts weights twice that it rearranged for this processor: in the file and in memory.")
    if scope is None:
        notes.append("No video memory was seen; the process's is its resident memory, mapped weights included.")
    elif scope == "device":
        notes.append("The driver does not name this process: its video memory is the growth of the whole card's.")
    return Table(columns, tuple(rows), "Memory", 2, tuple(notes))


def _memory_rows(asked: Asked, job: Job, memory: Memory) -> Iterator[tuple[Cell, ...]]:
    by_place: dict[bool, dict[str, int]] = {}
    for buffer in memory.buffers:
        kinds = by_place.setdefault(not on_host(buffer.device), {})
        kinds[buffer.kind] = kinds.get(buffer.kind, 0) + buffer.n_bytes
    predicted = predict(asked, job, memory)
    for on_card, kinds in sorted(by_place.items(), reverse=True):
        place = predicted and (predicted.on_devices if on_card else predicted.host)
        measured = memory.vram_bytes if on_card else memory.rss_bytes
        yield (
            cell(f"{memory.n_slots} x {memory.n_ctx:,}"),
            cell("card" if on_card else "host"),
            *(cell(numbers.size(kinds.get(kind, 0))) for kind, _words in _KINDS),
            cell(numbers.size(sum(kinds.values())), "strong"),
            cell(numbers.size(place.total_bytes if place else None)),
            cell(numbers.size(measured)),
        )


def predict(asked: Asked, job: Job, memory: Memory) -> Estimate | None:
    """What `toolgauge fit` would have said; None where it does not know the architecture."""
    head = header(asked.cut, asked.level)
    cards = [buffer.device for buffer in memory.buffers if not on_host(buffer.device) and buffer.kind == "model"]
    try:
        return Predictor.of(head.metadata, head.tensors).estimate(
            replace(
                settings_of(job.context),
                n_ctx=memory.n_ctx,
                n_slots=memory.n_slots,
                n_gpu_layers=job.load.n_gpu_layers if cards else 0,
                devices=tuple(1 / len(cards) for _card in cards),
            )
        )
    except CannotPredict:
        return None


def to_json(asked: Asked, job: Job, found: Profiled, source: str) -> dict[str, Any]:
    memory = []
    for each, raw in zip(found.memory, found.to_json()["memory"], strict=True):
        predicted = predict(asked, job, each)
        places = predicted and {
            "card_bytes": predicted.on_devices.total_bytes,
            "host_bytes": predicted.host.total_bytes,
        }
        memory.append(raw | {"predicted": places})
    return {
        "shape": asked.name,
        "quant": asked.level,
        "n_layers": asked.cut.num_hidden_layers,
        "is_whole": asked.n_layers is None,
        "n_params": asked.cut.n_params,
        "n_bytes": asked.n_bytes,
        "source": source,
        "accuracy": None,
        "note": NOTE,
        "settings": job.to_json(),
        **found.to_json(),
        "memory": memory,
    }
