"""What a worker notes of memory and energy, and when: as messages for its parent. Knows no model and no file."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.run.messages import Energy, ItemFinished, Message, Reading
from engine.card import CardReading, DeviceGrowth
from engine.meter import Meter
from engine.meter import Reading as Metered

PEAKS = ("peak", "parallel")


def readings(moment: str, reading: Metered, growth: DeviceGrowth | None = None) -> tuple[Reading, ...]:
    """Resident and video memory, of each card and of all; at a peak the peaks so far.

    `growth`: llama.cpp's own figures of its devices, which count where NVML sees no card.
    """
    at_peak = moment in PEAKS
    rss = reading.rss_peak_bytes if at_peak else reading.rss_bytes
    vram, scope, cards = reading.vram_peak_bytes if at_peak else reading.vram_bytes, reading.vram_scope, reading.cards
    if not cards and growth is not None and (cards := growth.read()):
        known = [n_bytes for card in cards if (n_bytes := _bytes(card, at_peak=at_peak)) is not None]
        vram, scope = sum(known), "device"
    each = (Reading(moment, "card", _name(card), _bytes(card, at_peak=at_peak)) for card in cards)
    return (Reading(moment, "rss", "", rss), Reading(moment, "vram", scope or "", vram), *each)


def _bytes(card: CardReading, *, at_peak: bool) -> int | None:
    return card.vram_peak_bytes if at_peak else card.vram_bytes


def _name(card: CardReading) -> str:
    """Two cards of one name stay two."""
    return f"{card.index} {card.name}"


@dataclass(slots=True)
class Tally:
    """Passes messages on, and counts what was generated on the way."""

    send: Callable[[Message], None]
    n_answers: int = 0
    n_tokens: int = 0

    def __call__(self, message: Message) -> None:
        if isinstance(message, ItemFinished):
            self.n_answers += len(message.record.steps)
            self.n_tokens += sum(len(step.generation.tokens) for step in message.record.steps)
        self.send(message)


@dataclass(slots=True)
class Pass:
    """The energy of one pass, from when this is made until `end`."""

    meter: Meter
    tally: Tally
    _before: Metered = field(init=False)
    _started_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._before, self._started_s = self.meter.read(), time.perf_counter()

    def end(self, moment: str) -> tuple[Energy, ...]:
        """Of all cards together and of each; nothing where no card tells."""
        after = self.meter.read()
        spent = {"": _difference(self._before.joules, after.joules)}
        for before, card in zip(self._before.cards, after.cards, strict=True):
            spent[_name(card)] = _difference(before.joules, card.joules)
        seconds = time.perf_counter() - self._started_s
        return tuple(
            Energy(moment, device, joules, self.tally.n_answers, self.tally.n_tokens, seconds)
            for device, joules in spent.items()
            if joules is not None
        )


def _difference(before: float | None, after: float | None) -> float | None:
    """Where power is added up, there is nothing before the first moment of it."""
    return None if after is None else after - (before or 0.0)
