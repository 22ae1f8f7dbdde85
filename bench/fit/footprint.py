"""What a run measured of a model's memory: llama.cpp's buffers by device, NVML's figures, and what neither explains.

    for footprint in footprints(store.readings(load.id)): footprint.on_cards("kv"), footprint.unexplained_bytes

Reads the store's memory readings; measures nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from bench.results.rows import MemoryReading

Moment = Literal["peak", "parallel"]

BUFFERS: Final = ("model", "kv", "rs", "compute", "output")
_MOMENTS: Final[tuple[Moment, ...]] = ("peak", "parallel")


@dataclass(frozen=True, slots=True)
class Footprint:
    """One way in which a loaded model ran: one answer at a time (`peak`), or several (`parallel`).

    `vram_*` are NVML's figures over the baseline that was taken before loading; of this process, or of the whole card
    where `vram_scope` is "device". What could not be measured is None.
    """

    moment: Moment
    buffers: Mapping[tuple[str, str], int]  # (llama.cpp's name of the device, kind of buffer) -> bytes
    vram_before_bytes: int | None = None
    vram_loaded_bytes: int | None = None
    vram_peak_bytes: int | None = None
    vram_scope: str | None = None
    rss_before_bytes: int | None = None
    rss_loaded_bytes: int | None = None
    rss_peak_bytes: int | None = None

    def on_cards(self, kind: str | None = None) -> int:
        """Bytes of all cards together, of one kind of buffer or of all."""
        return sum(n for (device, each), n in self.buffers.items() if not on_host(device) and kind in (None, each))

    def on_host(self, kind: str | None = None) -> int:
        """Bytes in the computer's memory. Weights that were rearranged are counted once: their file is only mapped."""
        return sum(self._host(each) for each in (BUFFERS if kind is None else (kind,)))

    def _host(self, kind: str) -> int:
        sizes = {device: n for (device, each), n in self.buffers.items() if each == kind and on_host(device)}
        copies = sum(n for device, n in sizes.items() if is_copy(device))
        mapped = sum(sizes.values()) - copies
        return max(mapped, copies)

    @property
    def cards(self) -> tuple[str, ...]:
        """llama.cpp's names of the cards that hold something."""
        return tuple(dict.fromkeys(device for device, _kind in self.buffers if not on_host(device)))

    @property
    def unexplained_bytes(self) -> int | None:
        """NVML's peak without llama.cpp's buffers: the driver's context, libraries, pools. None: no such figure."""
        return None if self.vram_peak_bytes is None else self.vram_peak_bytes - self.on_cards()

    def to_json(self) -> dict[str, Any]:
        return {
            "moment": self.moment,
            "buffers": [
                {"device": device, "kind": kind, "bytes": n_bytes} for (device, kind), n_bytes in self.buffers.items()
            ],
            "vram_scope": self.vram_scope,
            **{
                f"{name}_bytes": getattr(self, f"{name}_bytes")
                for name in (
                    *("vram_before", "vram_loaded", "vram_peak", "unexplained"),
                    *("rss_before", "rss_loaded", "rss_peak"),
                )
            },
        }


def footprints(readings: Iterable[MemoryReading]) -> tuple[Footprint, ...]:
    """Those of one load (`Store.readings`): with one answer at a time, and with several."""
    readings = list(readings)
    found = []
    for moment in _MOMENTS:
        here = [reading for reading in readings if reading.moment == moment]
        if not here:
            continue
        buffers = {(each.device, each.source): each.n_bytes for each in here if each.source in BUFFERS}
        found.append(
            Footprint(
                moment=moment,
                buffers={place: n_bytes for place, n_bytes in buffers.items() if n_bytes is not None},
                vram_before_bytes=_total(readings, "before", "vram"),
                vram_loaded_bytes=_total(readings, "loaded", "vram"),
                vram_peak_bytes=_total(readings, moment, "vram"),
                vram_scope=next((each.device for each in here if each.source == "vram" and each.device), None),
                rss_before_bytes=_total(readings, "before", "rss"),
                rss_loaded_bytes=_total(readings, "loaded", "rss"),
                rss_peak_bytes=_total(readings, moment, "rss"),
            )
        )
    return tuple(found)


def on_host(device: str) -> bool:
    """Whether a buffer with this name lies in the computer's own memory: CPU, CPU_Mapped, CUDA_Host, ..."""
    return device.startswith(("CPU", "BLAS", "AMX", "KleidiAI")) or device.endswith("_Host")


def is_copy(device: str) -> bool:
    """Weights that llama.cpp rearranges for the processor, beside the mapping of the file they came from."""
    return device in ("CPU_REPACK", "CPU_AARCH64", "CPU_KLEIDIAI", "AMX")


def _total(readings: Iterable[MemoryReading], moment: str, source: str) -> int | None:
    values = [each.n_bytes for each in readings if each.moment == moment and each.source == source]
    known = [value for value in values if value is not None]
    return sum(known) if known else None
