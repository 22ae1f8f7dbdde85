"""The prediction: bytes by device for one way of running a model, and the largest setting that still fits.

Pure arithmetic over a `Layout` and a list of tensors; a few thousand estimates a second, so that limits are found by
trying. What is exact and what is a rule of thumb is said in `docs/memory.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.gguf_header import Tensor
from engine.memory import cache, compute
from engine.memory.layout import Layout, read_layout
from engine.memory.weights import HOST, placement, weight_bytes


@dataclass(frozen=True, slots=True)
class Settings:
    """How a model is to be run. `n_ctx` is the room of one sequence, as everywhere in toolgauge.

    `devices`: the shares of the cards; none: all of it on the host. `n_spare` sequences have no room of their own:
    toolgauge keeps shared prefixes in them.
    """

    n_ctx: int
    n_slots: int = 1
    n_spare: int = 0
    n_cells: int = 0  # of all sequences together; 0: `n_ctx` for each slot
    type_k: str = "f16"
    type_v: str = "f16"
    flash_attn: bool = True
    n_batch: int = 2048
    n_ubatch: int = 512
    n_rows: int = 0  # logits rows in one batch; 0: one for each sequence
    unified: bool = True
    swa_full: bool = True
    offload_kv: bool = True
    n_gpu_layers: int = -1
    devices: tuple[float, ...] = (1.0,)

    @property
    def n_sequences(self) -> int:
        return self.n_slots + self.n_spare


@dataclass(frozen=True, slots=True)
class Place:
    """What one device holds, or the host."""

    weights_bytes: int = 0
    kv_bytes: int = 0
    state_bytes: int = 0
    compute_bytes: int = 0
    output_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.kv_bytes + self.state_bytes + self.compute_bytes + self.output_bytes

    def __add__(self, other: Place) -> Place:
        return Place(
            self.weights_bytes + other.weights_bytes,
            self.kv_bytes + other.kv_bytes,
            self.state_bytes + other.state_bytes,
            self.compute_bytes + other.compute_bytes,
            self.output_bytes + other.output_bytes,
        )


@dataclass(frozen=True, slots=True)
class Estimate:
    host: Place
    devices: tuple[Place, ...]

    @property
    def on_devices(self) -> Place:
        return sum(self.devices, Place())

    @property
    def everywhere(self) -> Place:
        return self.on_devices + self.host


class Predictor:
    """Estimates for one model; the tensors are gone through once for each way of placing them."""

    def __init__(self, layout: Layout, tensors: Iterable[Tensor]) -> None:
        self.layout, self.tensors = layout, tuple(tensors)
        self._weights: dict[tuple[int, ...], Mapping[int, int]] = {}

    @classmethod
    def of(cls, metadata: Mapping[str, Any], tensors: Sequence[Tensor]) -> Predictor:
        """From a header. Raises `CannotPredict` for an architecture that is not known."""
        return cls(read_layout(metadata, tensors), tensors)

    def estimate(self, settings: Settings) -> Estimate:
        """Raises `CannotPredict` for a cache that llama.cpp would refuse."""
        layout = self.layout
        places = placement(layout, settings.n_gpu_layers, settings.devices)
        if places not in self._weights:
            self._weights[places] = weight_bytes(layout, self.tensors, places)
        size = cache.room(
            layout,
            n_cells=settings.n_cells or settings.n_ctx * settings.n_slots,
            n_sequences=settings.n_sequences,
            n_batch=settings.n_batch,
            n_ubatch=settings.n_ubatch,
            unified=settings.unified,
            swa_full=settings.swa_full,
        )
        kv = cache.kv_bytes(
            layout, size, type_k=settings.type_k, type_v=settings.type_v, flash_attn=settings.flash_attn
        )
        state = cache.state_bytes(layout, settings.n_sequences)
        scratch = compute.compute_bytes(
            layout,
            size,
            n_sequences=settings.n_sequences,
            n_rows=settings.n_rows or settings.n_sequences,
            flash_attn=settings.flash_attn,
        )
        on_device, on_host = compute.split(scratch, places)
        cached = places if settings.offload_kv else (HOST,) * len(places)

        def place(which: int) -> Place:
            return Place(
                weights_bytes=self._weights[places].get(which, 0),
                kv_bytes=sum(n_bytes for layer, n_bytes in kv.items() if cached[layer] == which),
                state_bytes=sum(n_bytes for layer, n_bytes in state.items() if cached[layer] == which),
                compute_bytes=on_host if which == HOST else on_device if which in places else 0,
                output_bytes=cache.output_bytes(layout, settings.n_sequences) if which == HOST else 0,
            )

        return Estimate(place(HOST), tuple(place(index) for index in range(len(settings.devices))))


def largest(fits: Callable[[int], bool], most: int) -> int:
    """The largest number up to `most` for which `fits` holds, or 0; if a number fits, every smaller one has to."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low


def largest_of_any(fits: Callable[[int], bool], most: int) -> int | None:
    """The largest number up to `most` for which `fits` holds, whether or not smaller ones fit; None: not even 0."""
    return next(filter(fits, range(most, -1, -1)), None)
