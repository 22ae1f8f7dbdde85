"""What a worker notes of memory and energy, with made-up meters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bench.records import EpisodeEnd, ItemRecord, StepRecord
from bench.run.messages import Began, Energy, ItemFinished, Message, Reading
from bench.run.metering import Pass, Tally, readings
from engine.card import CardReading, DeviceGrowth
from engine.llama.params import Device
from engine.meter import Reading as Metered
from engine.types import Generation, Parsed, StopReason, Timings

CARDS = (CardReading(0, "Card", 3, 7, 10.0), CardReading(1, "Card", None, None, None))
READ = Metered(100, 200, 3, 7, "process", 10.0, CARDS)


class Script:
    """A meter that reads what it is told to."""

    def __init__(self, *found: Metered) -> None:
        self._found: Iterator[Metered] = iter(found)

    def start(self) -> None: ...

    def read(self) -> Metered:
        return next(self._found)

    def stop(self) -> None: ...


def grown(free: int) -> DeviceGrowth:
    """A device of 100 bytes of which 80 were free before."""
    now = [Device("Metal", "M9", "gpu", 80, 100)]
    growth = DeviceGrowth(lambda: now)
    now[0] = replace(now[0], free_bytes=free)
    return growth


def test_now_after_loading_and_peaks_at_a_peak() -> None:
    assert readings("loaded", READ) == (
        Reading("loaded", "rss", "", 100),
        Reading("loaded", "vram", "process", 3),
        Reading("loaded", "card", "0 Card", 3),
        Reading("loaded", "card", "1 Card", None),
    )
    assert [each.n_bytes for each in readings("parallel", READ)] == [200, 7, 7, None]


def test_llamas_own_figures_count_where_nvml_sees_no_card() -> None:
    alone = Metered(100, 200)
    assert readings("peak", alone, grown(30)) == (
        Reading("peak", "rss", "", 200),
        Reading("peak", "vram", "device", 50),
        Reading("peak", "card", "0 M9", 50),
    )
    assert readings("peak", READ, grown(30)) == readings("peak", READ)


def test_a_machine_without_cards_has_no_video_memory() -> None:
    expected = (Reading("peak", "rss", "", 200), Reading("peak", "vram", "", None))
    assert readings("peak", Metered(100, 200)) == expected
    assert readings("peak", Metered(100, 200), DeviceGrowth(lambda: [])) == expected


def finished(*n_tokens: int) -> ItemFinished:
    steps = tuple(
        StepRecord(Generation(tuple(range(n)), "", StopReason.EOG, 1, 0, 0, Timings()), Parsed()) for n in n_tokens
    )
    return ItemFinished("key", ItemRecord("case", steps, EpisodeEnd.REPLY), 1, 0.0)


def test_a_tally_counts_generations_and_passes_everything_on() -> None:
    sent: list[Message] = []
    tally = Tally(sent.append)
    for message in (Began("key"), finished(5, 7), finished()):
        tally(message)
    assert (tally.n_answers, tally.n_tokens, len(sent)) == (2, 12, 3)


def test_energy_of_a_pass_is_what_was_drawn_meanwhile() -> None:
    tally = Tally(lambda message: None)
    spent = Pass(Script(READ, replace(READ, joules=25.0, cards=(replace(CARDS[0], joules=25.0), CARDS[1]))), tally)
    tally(finished(5, 7))
    total, first = spent.end("parallel")
    assert total == Energy("parallel", "", 15.0, 2, 12, total.seconds)
    assert (first.device, first.joules) == ("0 Card", 15.0)
    assert total.seconds > 0


@pytest.mark.parametrize("cards", [(), CARDS[1:]])
def test_where_no_card_tells_there_is_no_energy(cards: tuple[CardReading, ...]) -> None:
    silent = Metered(1, 1, cards=cards)
    assert Pass(Script(silent, silent), Tally(lambda message: None)).end("peak") == ()
