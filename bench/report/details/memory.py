"""Where a model's memory went and what its answers drew: llama.cpp's buffers, NVML's figures, energy, predictions.

Of a level at one setting, with one answer at a time and with several; energy of single answers by mode, too. A
prediction is made where the file's header can still be read; no weights are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench import numbers
from bench.fit.footprint import BUFFERS, Footprint, footprints, on_host
from bench.report.document import Cell, Column, Table, cell
from bench.report.layout import Line, per_line, right, value
from bench.results.rows import EnergyReading, LatencySample, Load, MemoryReading, ModelRow, Run
from bench.results.store import Store

if TYPE_CHECKING:
    from bench.report.values import Row
    from engine.memory import Estimate, Predictor

_KINDS = {"model": "model", "kv": "KV\ncache", "rs": "recurrent\nstate", "compute": "compute", "output": "output"}
_PARTS = {"model": "weights", "kv": "kv", "rs": "state", "compute": "compute", "output": "output"}
PREDICTED_ON_CARDS, PREDICTED_ON_HOST = "cards, predicted", "memory, predicted"


@dataclass(frozen=True, slots=True)
class Energy:
    """`n_answers` generations, and what they drew together."""

    joules: float
    n_answers: int
    n_tokens: int

    @property
    def per_answer(self) -> float | None:
        return self.joules / self.n_answers if self.n_answers else None

    @property
    def per_token(self) -> float | None:
        return self.joules / self.n_tokens if self.n_tokens else None


@dataclass(frozen=True, slots=True)
class DeviceBytes:
    """Buffers by kind: model, kv, rs, compute, output. `name`: llama.cpp's of the device, or a prediction's place."""

    name: str
    model: int | None = None
    kv: int | None = None
    rs: int | None = None
    compute: int | None = None
    output: int | None = None

    @property
    def total(self) -> int:
        return sum(getattr(self, kind) or 0 for kind in BUFFERS)


@dataclass(frozen=True, slots=True)
class CardBytes:
    """What one card's use grew by, as NVML or llama.cpp tells."""

    name: str
    loaded_bytes: int | None
    peak_bytes: int | None


@dataclass(frozen=True, slots=True)
class MemoryAt:
    """One way in which a level ran. `vram_*` as in `bench.fit.footprint`; `predicted` is empty where it cannot be."""

    name: str  # single, parallel
    n_at_a_time: int | None
    buffers: tuple[DeviceBytes, ...]
    predicted: tuple[DeviceBytes, ...]
    cards: tuple[CardBytes, ...]
    vram_scope: str | None
    vram_before_bytes: int | None
    vram_loaded_bytes: int | None
    vram_peak_bytes: int | None
    unexplained_bytes: int | None
    rss_before_bytes: int | None
    rss_loaded_bytes: int | None
    rss_peak_bytes: int | None
    energy: Energy | None = None  # of a pass with several answers at a time


def measure(store: Store, run: Run, model: ModelRow) -> tuple[MemoryAt, ...]:
    """Of the loads that got there, the one that took most counts; energy is that of all of them together."""
    loads = [load for load in store.loads(run.id) if load.model_id == model.id and load.load_s is not None]
    found: dict[str, tuple[Load, Footprint]] = {}
    for load in loads:
        for footprint in footprints(store.readings(load.id)):
            best = found.get(footprint.moment)
            if best is None or _size(footprint) > _size(best[1]):
                found[footprint.moment] = load, footprint
    energy = [each for load in loads for each in store.energy(load.id) if not each.device]
    predictor = _predictor(model) if any(footprint.buffers for _, footprint in found.values()) else None
    return tuple(
        _at(store, run, load, footprint, predictor, [each for each in energy if each.moment == footprint.moment])
        for load, footprint in found.values()
    )


def energy_of(samples: Sequence[LatencySample]) -> Energy | None:
    """Of single answers; None unless all of them were measured, and the counter moved."""
    known = [sample.energy_j for sample in samples if sample.energy_j is not None]
    if not known or len(known) < len(samples) or not sum(known):
        return None
    return Energy(sum(known), len(known), sum(sample.n_tokens for sample in samples))


def _size(footprint: Footprint) -> tuple[int, int]:
    return footprint.vram_peak_bytes or 0, footprint.rss_peak_bytes or 0


def _predictor(model: ModelRow) -> Predictor | None:
    """From the header of the file that was measured, if it is still there."""
    from engine.errors import ModelFileError
    from engine.gguf_file import read_gguf
    from engine.memory import CannotPredict, Predictor

    if not Path(model.path).is_file():
        return None
    try:
        file = read_gguf(Path(model.path))
        if file.n_bytes != model.gguf_bytes:
            return None  # another file by now
        return Predictor.of(file.metadata, file.tensors)
    except (CannotPredict, ModelFileError, OSError):
        return None  # told as "-", as everything that is not known


def _at(
    store: Store,
    run: Run,
    load: Load,
    footprint: Footprint,
    predictor: Predictor | None,
    energy: Sequence[EnergyReading],
) -> MemoryAt:
    is_single = footprint.moment == "peak" and run.config["latency"]["enabled"]
    return MemoryAt(
        name="single" if is_single else "parallel",
        n_at_a_time=1 if is_single else load.n_slots,
        buffers=tuple(_of_device(footprint, device) for device in dict.fromkeys(name for name, _ in footprint.buffers)),
        predicted=_predicted(store, load, footprint, predictor) if predictor else (),
        cards=tuple(_cards(store.readings(load.id), footprint.moment)),
        energy=_together(energy),
        **{
            name: getattr(footprint, name)
            for name in MemoryAt.__dataclass_fields__
            if name == "unexplained_bytes" or name.startswith(("vram_", "rss_"))
        },
    )


def _of_device(footprint: Footprint, device: str) -> DeviceBytes:
    return DeviceBytes(device, *(footprint.buffers.get((device, kind)) for kind in BUFFERS))


def _predicted(store: Store, load: Load, footprint: Footprint, predictor: Predictor) -> tuple[DeviceBytes, ...]:
    from bench.fit.measured import predicted
    from engine.memory import CannotPredict

    try:
        estimate: Estimate = predicted(store, load.id, predictor, footprint)
    except CannotPredict:
        return ()
    places = [(PREDICTED_ON_HOST, estimate.host)]
    if footprint.on_cards():
        places.insert(0, (PREDICTED_ON_CARDS, estimate.on_devices))
    return tuple(
        DeviceBytes(name, *(getattr(place, f"{_PARTS[kind]}_bytes") or None for kind in BUFFERS))
        for name, place in places
    )


def _cards(readings: Sequence[MemoryReading], moment: str) -> Iterator[CardBytes]:
    found = {(each.moment, each.device): each.n_bytes for each in readings if each.source == "card"}
    for name in (name for at, name in found if at == moment):
        yield CardBytes(name, found.get(("loaded", name)), found[moment, name])


def _together(energy: Sequence[EnergyReading]) -> Energy | None:
    if not energy:
        return None
    return Energy(
        sum(each.joules for each in energy),
        sum(each.n_answers for each in energy),
        sum(each.n_tokens for each in energy),
    )


# Tables


def tables(rows: Sequence[Row]) -> list[Table]:
    """By device, of the process and its cards, and what answers drew; each where something was measured."""
    levels = {(row.quant, row.setting): row for row in rows if row.footprints}.values()
    found = [(row, at) for row in levels for at in row.footprints]
    made = (_by_device(found), _of_process(found), _by_card(found), _energy(rows, found))
    return [table for table in made if table]


_Found = Sequence[tuple["Row", MemoryAt]]


def _table(
    found: _Found,
    title: str,
    names: Sequence[str],
    headers: Sequence[str],
    lines: list[list[Cell]],
    notes: Sequence[str] = (),
) -> Table:
    has_settings = any(row.setting for row, _ in found)
    keys = ["quant", *(["setting"] if has_settings else []), "answers\nat a time", *names]
    rows = []
    for line in lines:
        quant, setting, *rest = line
        rows.append(tuple([quant, *([setting] if has_settings else []), *rest]))
    columns = (*map(Column, keys), *(right(header, f"column {index}") for index, header in enumerate(headers)))
    return Table(columns, tuple(rows), title=title, n_group=len(keys) - len(names), notes=tuple(notes))


def _keys(row: Row, at: MemoryAt) -> list[Cell]:
    times = numbers.MISSING if at.n_at_a_time is None else numbers.count(at.n_at_a_time)
    return [cell(row.quant, "strong"), cell(row.setting), cell(times)]


def _by_device(found: _Found) -> Table | None:
    devices = [(row, at, device) for row, at in found for device in (*at.buffers, *at.predicted)]
    kinds = [kind for kind in BUFFERS if any(getattr(device, kind) for _, _, device in devices)]
    if not kinds:
        return None
    lines = []
    for row, at, device in devices:
        sizes = [value(numbers.size(getattr(device, kind))) for kind in kinds]
        name = cell(device.name, "dim" if device in at.predicted else "plain")
        lines.append([*_keys(row, at), name, *sizes, value(numbers.size(device.total))])
    notes = ["as llama.cpp names and counts them; weights in CPU_Mapped are the file itself, mapped"]
    if any(at.predicted for _, at in found):
        notes.append("predicted: by `toolgauge fit`, with the run's own settings")
    headers = [*(_KINDS[kind] for kind in kinds), "together"]
    return _table(found, "Buffers by device", ["device"], headers, lines, notes)


def _of_process(found: _Found) -> Table | None:
    names = ("vram_before_bytes", "vram_loaded_bytes", "vram_peak_bytes", "unexplained_bytes")
    on_cards = any(getattr(at, name) is not None for _, at in found for name in names)
    lines = []
    for row, at in found:
        cards = sum(device.total for device in at.buffers if not on_host(device.name))
        predicted = next((each.total for each in at.predicted if each.name == PREDICTED_ON_CARDS), None)
        vram = [getattr(at, name) for name in names]
        sizes = [*vram[:3], cards or None, predicted, vram[3]] if on_cards else []
        sizes += [at.rss_before_bytes, at.rss_loaded_bytes, at.rss_peak_bytes]
        lines.append([*_keys(row, at), *(value(numbers.size(size)) for size in sizes)])
    headers = ["VRAM\nbefore", "VRAM\nloaded", "VRAM\npeak", "buffers\non cards", "predicted", "not\nexplained"]
    headers = [*(headers if on_cards else []), "RSS\nbefore", "RSS\nloaded", "RSS\npeak"]
    notes = []
    if on_cards:
        notes.append("VRAM over what was used before; not explained: its peak without llama.cpp's buffers")
    if any(at.vram_scope == "device" for _, at in found):
        notes.append(
            "processes are not told apart here: VRAM is the growth of the whole card, other programs' included"
        )
    return _table(found, "The process", [], headers, lines, notes) if lines else None


def _by_card(found: _Found) -> Table | None:
    """Where there are several; one card's figures are those of the process."""
    if not any(len(at.cards) > 1 for _, at in found):
        return None
    lines = [
        [*_keys(row, at), cell(card.name), *map(value, map(numbers.size, (card.loaded_bytes, card.peak_bytes)))]
        for row, at in found
        for card in at.cards
    ]
    return _table(found, "Cards", ["card"], ["loaded", "peak"], lines)


def _energy(rows: Sequence[Row], found: _Found) -> Table | None:
    together = {(row.quant, row.setting): at.energy for row, at in found if at.energy}
    if not together and not any(row.energy for row in rows):
        return None
    lines = []
    for row in rows:
        several = together.get((row.quant, row.setting))
        texts = [joules(each) for found in (row.energy, several) for each in _figures(found)]
        lines.append(Line(row, [value(text) for text in texts]))
    return per_line(
        lines,
        "Energy",
        ["alone:\nper answer", "alone:\nper token", "several:\nper answer", "several:\nper token"],
        notes=(
            "drawn by the cards, idling too; alone: the latency pass; several at a time: the level's accuracy pass",
        ),
    )


def _figures(energy: Energy | None) -> tuple[float | None, float | None]:
    return (energy.per_answer, energy.per_token) if energy else (None, None)


def joules(amount: float | None) -> str:
    """Joules, or thousandths of one where that reads better."""
    if amount is None:
        return numbers.MISSING
    return f"{numbers.significant(amount * 1e3)} mJ" if 0 < amount < 1 else f"{numbers.significant(amount)} J"
