"""A result file with one load whose memory was measured, from lines as llama.cpp prints them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.results.store import Store
from bench.run import writer
from bench.run.messages import Reading
from bench.run.writer import NewLoad
from engine.llama.log import INFO, Line, buffer_sizes
from tests.bench.scripted import NO_LATENCY, PROVENANCE, fake, plan_of

# Llama 3.1 8B at Q4_K_M over two cards. The sums are those of published logs of one card; how they are shared is not.
TWO_CARDS = """\
load_tensors:   CPU_Mapped model buffer size =   281.81 MiB
load_tensors:        CUDA0 model buffer size =  1400.00 MiB
load_tensors:        CUDA1 model buffer size =  3003.49 MiB
llama_context:  CUDA_Host  output buffer size =     2.94 MiB
llama_kv_cache:      CUDA0 KV buffer size =   352.00 MiB
llama_kv_cache:      CUDA1 KV buffer size =   672.00 MiB
sched_reserve:      CUDA0 compute buffer size =   124.01 MiB
sched_reserve:      CUDA1 compute buffer size =   124.01 MiB
sched_reserve:  CUDA_Host compute buffer size =    16.01 MiB
"""


def readings(lines: str, moment: str = "peak", **others: int | None) -> list[Reading]:
    """`others`: NVML's and the system's figures, as `loaded_vram=...`."""
    buffers = buffer_sizes(Line(INFO, line) for line in lines.splitlines())
    found = [Reading(moment, buffer.kind, buffer.device, buffer.n_bytes) for buffer in buffers]
    for name, n_bytes in others.items():
        when, _, source = name.partition("_")
        found.append(Reading(when, source, "process" if source == "vram" else "", n_bytes))
    return found


def measured_run(
    folder: Path,
    found: list[Reading],
    *,
    name: str = "llama-3.1-8b",
    quant: str = "Q4_K_M",
    n_ctx: int = 2048,
    n_slots: int = 4,
    **settings: object,
) -> Path:
    """The file. Its run has no latency pass, so its peak is that of all slots."""
    plan = plan_of(folder, [replace(fake(quant=quant), name=name)], latency=NO_LATENCY, **settings)
    path = folder / "results.db"
    with Store.open(path) as store:
        run_id = writer.begin_run(store, plan, PROVENANCE)
        load_id = writer.put_load(
            store, run_id, store.cells(run_id)[0].model.id, NewLoad(0.5, n_ctx, n_slots, "llama.cpp b1")
        )
        writer.put_readings(store, load_id, found)
        writer.release(store, run_id, finished=True)
    return path
