"""Memory and energy of this process: RSS everywhere, and what NVML says where there is an NVIDIA card.

The only importer of pynvml. What a machine cannot tell is None and never 0, and nothing here raises: a measurement that
is missing must not cost a run. Knows no model; the caller reads before and after what it wants to know about.

    meter = make_meter()
    meter.start()        # the baseline, before anything is loaded
    ...
    meter.read().vram_peak_bytes
    meter.stop()
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

SAMPLE_EVERY_S = 0.05
Scope = Literal["process", "device"]


@dataclass(frozen=True, slots=True)
class Reading:
    """Video memory and energy count from `start`; RSS is of the whole process, its peak since the process began.

    `vram_scope`: `process` where the driver names this process; `device` where it does not (it runs in a container of
    its own process ids, say) and the figure is the growth of the cards' use, other programs' included.
    """

    rss_bytes: int | None
    rss_peak_bytes: int | None
    vram_bytes: int | None = None
    vram_peak_bytes: int | None = None
    vram_scope: Scope | None = None
    joules: float | None = None


class Meter(Protocol):
    def start(self) -> None:
        """Take the baseline and begin to follow peaks."""

    def read(self) -> Reading:
        """Everything as of now."""

    def stop(self) -> None:
        """End following; `read` keeps the last values."""


@dataclass(frozen=True, slots=True)
class Gpu:
    index: int
    name: str
    total_bytes: int | None
    free_bytes: int | None


@dataclass(frozen=True, slots=True)
class Gpus:
    """What NVML sees; `problem` says why it sees nothing."""

    devices: tuple[Gpu, ...] = ()
    driver: str | None = None
    problem: str | None = None


def make_meter() -> Meter:
    """The best meter that this machine has."""
    nvml, _problem = _load_nvml()
    if nvml is not None:
        handles = _visible_handles(nvml)
        if handles:
            return NvmlMeter(nvml, handles)
    return RssMeter()


def gpus() -> Gpus:
    """The cards that programs started here may use."""
    nvml, problem = _load_nvml()
    if nvml is None:
        return Gpus(problem=problem)
    devices = []
    for index, handle in enumerate(_visible_handles(nvml)):
        memory = _ask(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
        devices.append(
            Gpu(
                index,
                _decoded(_ask(nvml, nvml.nvmlDeviceGetName, handle)) or "unknown",
                None if memory is None else int(memory.total),
                None if memory is None else int(memory.free),
            )
        )
    driver = _decoded(_ask(nvml, nvml.nvmlSystemGetDriverVersion))
    _ask(nvml, nvml.nvmlShutdown)
    return Gpus(tuple(devices), driver, None if devices else "the driver shows no GPU to this process")


class RssMeter:
    """A machine without an NVIDIA card: the resident memory of this process."""

    def start(self) -> None:
        """The system keeps the peak itself."""

    def read(self) -> Reading:
        return Reading(_rss_bytes(), _rss_peak_bytes())

    def stop(self) -> None:
        """Nothing was started."""


class NvmlMeter:
    """RSS, and the cards through NVML, looked at by a thread many times a second: NVML keeps no peak."""

    def __init__(self, nvml: Any, handles: Sequence[Any], *, sample_every_s: float = SAMPLE_EVERY_S) -> None:
        self._nvml, self._handles, self._sample_every_s = nvml, tuple(handles), sample_every_s
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._baseline_device: int | None = None
        self._baseline_process = 0
        self._process: int | None = None
        self._device: int | None = None
        self._process_peak: int | None = None
        self._device_peak: int | None = None
        self._energy_start: int | None = None
        self._joules: float | None = None
        self._power: tuple[float, int] | None = None  # when, milliwatts; where the card has no energy counter

    def start(self) -> None:
        self._baseline_device = self._device_bytes()
        self._baseline_process = self._process_bytes() or 0
        self._energy_start = self._millijoules()
        self._sample()
        self._thread = threading.Thread(target=self._follow, name="nvml-meter", daemon=True)
        self._thread.start()

    def read(self) -> Reading:
        if self._thread is not None and not self._ended.is_set():
            self._sample()
        with self._lock:
            now, peak = self._process, self._process_peak
            scope: Scope | None = None if peak is None else "process"
            if peak is None and self._device_peak:  # a card that nothing was put on says nothing about this process
                now, peak, scope = self._device, self._device_peak, "device"
            return Reading(_rss_bytes(), _rss_peak_bytes(), now, peak, scope, self._joules)

    def stop(self) -> None:
        if self._thread is None or self._ended.is_set():
            return
        self._sample()
        self._ended.set()
        self._thread.join()
        _ask(self._nvml, self._nvml.nvmlShutdown)

    def _follow(self) -> None:
        while not self._ended.wait(self._sample_every_s):
            self._sample()

    def _sample(self) -> None:
        with self._lock:
            process, device = self._process_bytes(), self._device_bytes()
            if process is not None:
                self._process = max(process - self._baseline_process, 0)
                self._process_peak = max(self._process_peak or 0, self._process)
            elif self._process is not None:
                self._process = 0  # it was there and has let go of everything
            if device is not None and self._baseline_device is not None:
                self._device = max(device - self._baseline_device, 0)
                self._device_peak = max(self._device_peak or 0, self._device)
            self._sample_energy()

    def _sample_energy(self) -> None:
        if self._energy_start is not None:
            energy = self._millijoules()
            if energy is not None:
                self._joules = (energy - self._energy_start) / 1e3
            return
        power, now = self._milliwatts(), time.monotonic()
        if power is None:
            return
        if self._power is not None:
            before, power_before = self._power
            self._joules = (self._joules or 0.0) + (now - before) * (power + power_before) / 2e3
        self._power = (now, power)

    def _process_bytes(self) -> int | None:
        """Of this process on all cards; None where the driver does not name it or keeps its figure to itself."""
        total: int | None = None
        for handle in self._handles:
            for process in _ask(self._nvml, self._nvml.nvmlDeviceGetComputeRunningProcesses, handle) or ():
                if process.pid == self._pid:
                    if process.usedGpuMemory is None:
                        return None
                    total = (total or 0) + int(process.usedGpuMemory)
        return total

    def _device_bytes(self) -> int | None:
        return self._total(self._nvml.nvmlDeviceGetMemoryInfo, lambda memory: int(memory.used))

    def _millijoules(self) -> int | None:
        return self._total(self._nvml.nvmlDeviceGetTotalEnergyConsumption, int)

    def _milliwatts(self) -> int | None:
        return self._total(self._nvml.nvmlDeviceGetPowerUsage, int)

    def _total(self, function: Callable[[Any], Any], number: Callable[[Any], int]) -> int | None:
        """Over all cards; None if one of them does not answer, because a partial sum would look like a whole one."""
        answers = [_ask(self._nvml, function, handle) for handle in self._handles]
        return None if None in answers else sum(number(answer) for answer in answers)


def _load_nvml() -> tuple[Any | None, str | None]:
    """The initialised module, or why there is none."""
    try:
        import pynvml
    except ImportError:
        return None, "the Python package nvidia-ml-py is not installed"
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return None, f"NVML does not start: {error}"
    return pynvml, None


def _visible_handles(nvml: Any) -> list[Any]:
    """The cards that CUDA will use here: all, or those that CUDA_VISIBLE_DEVICES names by number or UUID."""
    count = _ask(nvml, nvml.nvmlDeviceGetCount) or 0
    handles = [_ask(nvml, nvml.nvmlDeviceGetHandleByIndex, index) for index in range(count)]
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        uuids = [_decoded(_ask(nvml, nvml.nvmlDeviceGetUUID, handle)) or "" if handle else "" for handle in handles]
        visible = []
        for name in (part.strip() for part in chosen.split(",")):
            if name.isdecimal() and int(name) < count:
                visible.append(handles[int(name)])
            elif name.startswith("GPU-") and any(uuid.startswith(name) for uuid in uuids):
                visible += [handle for handle, uuid in zip(handles, uuids, strict=True) if uuid.startswith(name)]
            else:
                break  # CUDA, too, ignores everything after the first name that it does not know
        handles = visible
    return [handle for handle in handles if handle is not None]


def _ask(nvml: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    """The driver's answer; None where this card or driver does not give it."""
    try:
        return function(*arguments)
    except nvml.NVMLError:
        return None


def _decoded(text: str | bytes | None) -> str | None:
    return text.decode(errors="replace") if isinstance(text, bytes) else text


def _rss_bytes() -> int | None:
    import psutil

    try:
        return int(psutil.Process().memory_info().rss)
    except (psutil.Error, OSError):
        return None


def _rss_peak_bytes(status: Path = Path("/proc/self/status")) -> int | None:
    """Linux first, from where `exec` resets it: getrusage would report the peak of the process we were forked from."""
    try:
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass  # not Linux, or a sandbox without this file: ask getrusage below
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
