"""The machine in a few lasting facts, stored with every run: what a time or a memory figure belongs to.

Only what stays the same from run to run stands here, since runs on the same machine are found by comparing it.
"""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path
from typing import Any


@cache
def host() -> dict[str, Any]:
    """Keys: os, cpu, cores, memory_bytes, gpu, gpu_memory_bytes, driver; the last three are None without a GPU."""
    import psutil

    from engine.llama.params import default_threads
    from engine.meter import gpus

    found = gpus()
    names = [gpu.name for gpu in found.devices]
    sizes = [gpu.total_bytes for gpu in found.devices if gpu.total_bytes is not None]
    return {
        "os": f"{platform.system()} {platform.release()}",
        "cpu": cpu_name(),
        "cores": default_threads(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpu": " + ".join(names) or None,
        "gpu_memory_bytes": sum(sizes) if sizes else None,
        "driver": found.driver if names else None,
    }


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name as its maker prints it, where the system tells."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine() or os.name
