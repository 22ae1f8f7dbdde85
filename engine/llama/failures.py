"""From llama.cpp's log lines to one clear sentence: what is wrong with a file, what memory was missing and would fit.

Pure functions over lines and numbers; `model` and `context` call them when the library returned NULL.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.errors import ModelFileError, OutOfMemory, ToolgaugeError
from engine.llama.log import Line, complaints
from engine.llama.params import KV_BYTES, ContextParams, Device

MIB: Final = 1024 * 1024
# Part of a device's free memory that a suggestion plans with; drivers and scratch buffers take the rest.
_USABLE: Final = 0.9

_FAILURES: Final = (
    (re.compile(r"allocating (?P<bytes>[\d.]+) MiB on device (?P<device>\d+): cudaMalloc failed"), MIB),
    (re.compile(r"failed to allocate output buffer of size (?P<bytes>[\d.]+) MiB"), MIB),
    (re.compile(r"failed to allocate (?P<device>\S+) buffer of size (?P<bytes>\d+)"), 1),
    (re.compile(r"failed to allocate buffer of size (?P<bytes>\d+)"), 1),
    (re.compile(r"insufficient memory \(attempted to allocate +(?P<bytes>[\d.]+) MB\)"), MIB),
    (re.compile(r"failed to allocate +(?P<bytes>[\d.]+) MB"), MIB),
)
_SMALLER: Final = "use a shorter context (-c), fewer sequences (--parallel) or a smaller KV type"
_N_LAYER: Final = re.compile(r"print_info: n_layer +[^\d]*(\d+)")


@dataclass(frozen=True, slots=True)
class AllocationFailure:
    """What could not be allocated, and on which device, as far as the lines say it."""

    n_bytes: int
    device: str | None


def allocation_failure(lines: Sequence[Line]) -> AllocationFailure | None:
    """The first failed allocation in `lines`: the later ones are its consequences."""
    for line in lines:
        for pattern, unit in _FAILURES:
            if match := pattern.search(line.text):
                device = match["device"] if "device" in pattern.groupindex else None
                name = f"CUDA{device}" if device and device.isdigit() else device
                return AllocationFailure(round(float(match["bytes"]) * unit), name)
    return None


def load_failure(path: Path, lines: Sequence[Line], devices: Sequence[Device]) -> ModelFileError | OutOfMemory:
    """Why llama.cpp returned no model for a file that exists."""
    if failure := allocation_failure(lines):
        advice = "take a smaller quantization"
        if failure.device and (layers := _layers_that_fit(failure, lines, devices)) is not None:
            fit, total = layers
            advice = f"put at most about {fit} of its {total} layers there (-ngl {fit}), or take a smaller quantization"
        return OutOfMemory(f"{path.name} does not fit into memory: {_shortfall(failure, devices)}; {advice}")
    if _exhausted(lines):
        return OutOfMemory(f"{path.name} does not fit into the machine's main memory; take a smaller quantization")
    said = complaints(lines) or "it said nothing"
    return ModelFileError(f"{path} cannot be loaded by this llama.cpp, which said: {said}")


def context_failure(params: ContextParams, lines: Sequence[Line], devices: Sequence[Device]) -> ToolgaugeError:
    """Why llama.cpp returned no context."""
    failure = allocation_failure(lines)
    if failure is None and _exhausted(lines):
        return OutOfMemory("the machine's main memory is exhausted; " + _SMALLER)
    if failure is None:
        return ToolgaugeError(f"llama.cpp cannot build a context with these settings: {complaints(lines)}")
    of_cache = any("for kv cache" in line.text for line in lines)
    what = "KV cache" if of_cache else "scratch memory"
    advice = _smaller_cache(params, failure, devices) if of_cache else _smaller_scratch(params, failure)
    return OutOfMemory(f"the {what} does not fit into memory: {_shortfall(failure, devices)}; {advice}")


def _exhausted(lines: Sequence[Line]) -> bool:
    return any("std::bad_alloc" in line.text for line in lines)


def _shortfall(failure: AllocationFailure, devices: Sequence[Device]) -> str:
    needed = f"{_mib(failure.n_bytes)} MiB were asked for"
    device = _device(failure, devices)
    if device is None or device.free_bytes > failure.n_bytes:  # the free memory was taken and given back meanwhile
        return needed
    missing = failure.n_bytes - device.free_bytes
    return f"{needed} on {device.name}, {_mib(device.free_bytes)} MiB are free, {_mib(missing)} MiB are missing"


def _device(failure: AllocationFailure, devices: Sequence[Device]) -> Device | None:
    wanted = failure.device or "CPU"
    for device in devices:
        if device.name == wanted:
            return device
    return None


def _layers_that_fit(
    failure: AllocationFailure, lines: Sequence[Line], devices: Sequence[Device]
) -> tuple[int, int] | None:
    """Layers that the device would hold, if they are of equal size, and how many there are."""
    device = _device(failure, devices)
    counts = [int(match[1]) for line in lines if (match := _N_LAYER.search(line.text))]
    if device is None or device.kind == "cpu" or not counts:
        return None
    return min(counts[0], int(counts[0] * device.free_bytes * _USABLE / failure.n_bytes)), counts[0]


def _smaller_cache(params: ContextParams, failure: AllocationFailure, devices: Sequence[Device]) -> str:
    device = _device(failure, devices)
    if device is None or not params.n_ctx or device.free_bytes >= failure.n_bytes:  # what is lacking is not known
        return _SMALLER
    share = device.free_bytes * _USABLE / failure.n_bytes
    n_ctx = int(params.n_ctx * share) // 256 * 256
    options = [f"a context of {n_ctx:,} tokens (-c {n_ctx})"] if n_ctx >= 256 else []
    used = KV_BYTES.get(params.type_k, 2.0) + KV_BYTES.get(params.type_v, 2.0)
    smaller = [name for name in ("q8_0", "q4_0") if 2 * KV_BYTES[name] / used <= share]
    options += [f"KV type {name}" for name in smaller[:1]]
    if params.n_seq_max > 1:
        options.append("fewer sequences (--parallel)")
    options += ["fewer layers on the device (-ngl)"] if device.kind != "cpu" else []
    options.append("a smaller quantization")
    return "what would fit: " + ", or ".join(options)


def _smaller_scratch(params: ContextParams, failure: AllocationFailure) -> str:
    batch = f"use a smaller physical batch (-ub {max(32, params.n_ubatch // 2)})"
    if failure.device is None or failure.device.startswith("CPU"):
        return f"{batch}, a shorter context (-c) or a smaller quantization"
    return f"{batch}, a shorter context (-c) or fewer layers on the device (-ngl)"


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / MIB:,.0f}"
