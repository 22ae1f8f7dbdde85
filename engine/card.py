"""One graphics card while this process uses it: memory and energy since a baseline, each time as NVML tells them.

The same from llama.cpp's own figures, for devices that NVML does not know (Metal, ROCm, Vulkan). Imports neither
library; what a card or its driver keeps to itself is None and never 0. Knows no thread and no peak over several cards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from engine.llama.params import Device

Scope = Literal["process", "device"]


@dataclass(frozen=True, slots=True)
class CardReading:
    """Since the baseline. `index` counts the cards that this process may use; a peak is the card's own."""

    index: int
    name: str
    vram_bytes: int | None = None
    vram_peak_bytes: int | None = None
    joules: float | None = None


@dataclass(slots=True)
class _Level:
    """A quantity over its baseline, now and at its highest."""

    baseline: int | None = 0  # None: it was not told, and nothing can be said of what comes after
    now: int | None = None
    peak: int | None = None

    def see(self, value: int | None) -> None:
        if value is not None and self.baseline is not None:
            self.now = max(value - self.baseline, 0)
            self.peak = max(self.peak or 0, self.now)


class Card:
    """A card as NVML shows it. `sample` looks at it now."""

    def __init__(self, nvml: Any, handle: Any, index: int, pid: int) -> None:
        self._nvml, self._handle, self._pid = nvml, handle, pid
        self.index, self.name = index, decoded(ask(nvml, nvml.nvmlDeviceGetName, handle)) or "unknown"
        self.process: int | None = None  # of this process, in all; None where the driver does not name it
        self.device: int | None = None  # of everybody
        self.is_secret = False  # the driver names this process and keeps its figure to itself
        self.joules: float | None = None
        self._process_level, self._device_level = _Level(), _Level()
        self._millijoules_at_start: int | None = None
        self._power: tuple[float, int] | None = None  # when, milliwatts; where there is no counter of energy

    def start(self) -> None:
        """Take the baseline."""
        self._look()
        self._process_level = _Level(self.process or 0)
        self._device_level = _Level(self.device)
        self._millijoules_at_start = self._ask("nvmlDeviceGetTotalEnergyConsumption")

    def sample(self) -> None:
        self._look()
        was_named = self._process_level.now is not None
        let_go = was_named and self.process is None and not self.is_secret
        self._process_level.see(0 if let_go else self.process)
        self._device_level.see(self.device)
        self._sample_energy()

    def reading(self, scope: Scope | None) -> CardReading:
        """In the scope of the whole measurement: a process that is named on another card holds nothing on this one."""
        level = self._process_level if scope == "process" else self._device_level
        if scope == "process" and level.peak is None and not self.is_secret:
            level = _Level(now=0, peak=0)
        if scope is None:
            level = _Level()
        return CardReading(self.index, self.name, level.now, level.peak, self.joules)

    def _look(self) -> None:
        memory = self._ask("nvmlDeviceGetMemoryInfo")
        self.device = None if memory is None else int(memory.used)
        processes = self._ask("nvmlDeviceGetComputeRunningProcesses") or ()
        mine = [process.usedGpuMemory for process in processes if process.pid == self._pid]
        self.is_secret = None in mine
        self.process = sum(map(int, mine)) if mine and not self.is_secret else None

    def _sample_energy(self) -> None:
        if self._millijoules_at_start is not None:
            energy = self._ask("nvmlDeviceGetTotalEnergyConsumption")
            if energy is not None:
                self.joules = (energy - self._millijoules_at_start) / 1e3
            return
        power, now = self._ask("nvmlDeviceGetPowerUsage"), time.monotonic()
        if power is None:
            return
        if self._power is not None:
            before, power_before = self._power
            self.joules = (self.joules or 0.0) + (now - before) * (power + power_before) / 2e3
        self._power = (now, power)

    def _ask(self, name: str) -> Any:
        return ask(self._nvml, getattr(self._nvml, name), self._handle)


class DeviceGrowth:
    """How much more of each device is used than when this was made, in llama.cpp's own figures.

    `look` gives the devices as they are now. The figures are of the whole device; Metal tells those of this process.
    A device that does not tell how much is free, and the processor, are left out.
    """

    def __init__(self, look: Callable[[], Sequence[Device]]) -> None:
        self._look = look
        self._before = self._used()
        self._peaks = dict.fromkeys(self._before, 0)

    def read(self) -> tuple[CardReading, ...]:
        """The peak is the highest that has been read: nothing looks in between."""
        readings = []
        for (index, name), used in self._used().items():
            before = self._before.get((index, name))
            if before is None:
                continue
            grown = max(used - before, 0)
            self._peaks[index, name] = max(self._peaks[index, name], grown)
            readings.append(CardReading(index, name, grown, self._peaks[index, name]))
        return tuple(readings)

    def _used(self) -> dict[tuple[int, str], int]:
        cards = [device for device in self._look() if device.kind in ("gpu", "igpu")]
        return {
            (index, device.description): device.total_bytes - device.free_bytes
            for index, device in enumerate(cards)
            if device.total_bytes
        }


def ask(nvml: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    """The driver's answer; None where this card or driver does not give it."""
    try:
        return function(*arguments)
    except nvml.NVMLError:
        return None


def decoded(text: str | bytes | None) -> str | None:
    return text.decode(errors="replace") if isinstance(text, bytes) else text
