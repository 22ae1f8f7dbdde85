"""What a model would need, before it is loaded or even downloaded: by quant, context and slots, and what fits a card.

    candidates("qwen3-8b", ["Q4_K_M"])          # from a file's header, a repository's, or a registry row's shape
    rows(candidate, wanted, budget)

The arithmetic is `engine.memory`; here a MODEL argument becomes what that needs, and a machine becomes a budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, cast

import psutil

from bench import numbers
from bench.models import shapes
from bench.models.registry import Model, Registry, load
from bench.models.remote import read_remote
from bench.models.resolve import (
    ALL_QUANTS,
    DEFAULT_QUANT,
    Hub,
    ModelNotFound,
    RepoFile,
    chosen,
    is_path,
    path_of,
    repository,
    resolve,
)
from engine.decoder import N_PREFIXES
from engine.gguf_file import GgufFile, read_gguf
from engine.gguf_header import Tensor
from engine.llama import devices
from engine.llama.context import MAX_SEQUENCES
from engine.llama.params import ContextParams, Device
from engine.memory import CannotPredict, Estimate, Layout, Predictor, Settings, largest, largest_of_any, read_layout
from engine.meter import gpus
from engine.shapes import Shape, Weight
from engine.shapes.mix import LEVELS, is_quantized, level, same_level, tensors
from grammars.errors import ToolgaugeError

MOST_SLOTS: Final = MAX_SEQUENCES - N_PREFIXES
_KNOWN_LEVELS: Final = frozenset(name.upper() for name in (*LEVELS, "MXFP4"))
Origin = Literal["file", "header", "rules", "shape"]
_NO_SIZE: Final = 1 << 63  # bytes
_LEAST_PLAIN: Final = 1 << 20  # without a unit, less than this was not meant as bytes
ORIGINS: Final[dict[Origin, str]] = {
    "file": "the file's own header",
    "header": "the header of the file in the repository; nothing else was downloaded",
    "rules": "the file's tensors, with the types that llama.cpp's quantizer would choose",
    "shape": "the model's public configuration, with the types that llama.cpp's quantizer would choose",
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model at one level, and whatever its memory follows from."""

    name: str
    quant: str
    origin: Origin
    predictor: Predictor
    n_file_bytes: int | None = None  # of a file that exists


@dataclass(frozen=True, slots=True)
class Budget:
    """What there is to fit into: cards, or the computer's memory where there are none."""

    cards: tuple[int, ...]  # bytes of each
    ram_bytes: int | None
    reserve_bytes: int  # left free on each card, or in memory
    source: str  # whose memory it is; beside no cards: the GPU that is here and does not say how much it has

    @property
    def shares(self) -> tuple[float, ...]:
        """How llama.cpp spreads layers over several cards: by their free memory."""
        return tuple(float(n_bytes) for n_bytes in self.cards)

    @property
    def sentence(self) -> str:
        """For people."""
        spare = f"{numbers.size(self.reserve_bytes)} of it are kept free"
        if self.cards:
            sizes = " + ".join(numbers.size(n_bytes) for n_bytes in self.cards)
            on_each = " on each card" if len(self.cards) > 1 else ""
            return f"The limit is {sizes} of video memory ({self.source}); {spare}{on_each}."
        memory = f"{numbers.size(self.ram_bytes)} are free, and {spare}"
        if self.source:
            return (
                f"The GPU here ({self.source}) does not say how much memory it has, so the computer's memory is the"
                f" limit: {memory}. If the GPU has memory of its own, give --vram."
            )
        return (
            f"There is no GPU here, so everything lies in the computer's memory: {memory}. For a card that is not here,"
            " give --vram."
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def holds(self, estimate: Estimate) -> bool:
        if self.cards:
            places = zip(estimate.devices, self.cards, strict=True)
            return all(place.total_bytes + self.reserve_bytes <= n_bytes for place, n_bytes in places)
        assert self.ram_bytes is not None, "a budget is of cards or of memory"
        return estimate.host.total_bytes + self.reserve_bytes <= self.ram_bytes


@dataclass(frozen=True, slots=True)
class Row:
    """`longest_ctx` with this many slots, and `most_slots` with this context; 0: not even one fits.

    `most_layers`: the largest -ngl that fits the cards with these settings; None where there is no card.
    """

    candidate: Candidate
    settings: Settings
    estimate: Estimate
    fits: bool
    longest_ctx: int
    most_slots: int
    most_layers: int | None

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.candidate.name,
            "quant": self.candidate.quant,
            "origin": self.candidate.origin,
            "n_ctx": self.settings.n_ctx,
            "n_slots": self.settings.n_slots,
            **{name: getattr(self.settings, name) for name in ("type_k", "type_v", "n_batch", "n_ubatch")},
            "devices": [_place(place) for place in self.estimate.devices],
            "host": _place(self.estimate.host),
            "fits": self.fits,
            "longest_ctx": self.longest_ctx,
            "most_slots": self.most_slots,
            "most_layers": self.most_layers,
        }


def rows(candidate: Candidate, wanted: Iterable[Settings], budget: Budget) -> Iterator[Row]:
    predict, n_ctx_train = candidate.predictor.estimate, candidate.predictor.layout.n_ctx_train
    for settings in wanted:
        estimate = predict(settings)

        def fits_ctx(n_ctx: int, settings: Settings = settings) -> bool:
            return budget.holds(predict(replace(settings, n_ctx=n_ctx)))

        def fits_slots(n_slots: int, settings: Settings = settings) -> bool:
            return budget.holds(predict(with_slots(settings, n_slots)))

        def fits_layers(n_layers: int, settings: Settings = settings) -> bool:
            return budget.holds(predict(replace(settings, n_gpu_layers=n_layers)))

        yield Row(
            candidate,
            settings,
            estimate,
            fits=budget.holds(estimate),
            longest_ctx=largest(fits_ctx, n_ctx_train),
            most_slots=largest(fits_slots, MOST_SLOTS),
            most_layers=_most_layers(fits_layers, candidate.predictor.layout.n_blocks + 1, len(budget.cards)),
        )


def _most_layers(fits: Callable[[int], bool], most: int, n_cards: int) -> int | None:
    if n_cards > 1:  # another layer may move one to the card that has more room
        return largest_of_any(fits, most) or 0
    return largest(fits, most) if n_cards else None


def settings_of(context: ContextParams) -> Settings:
    """What memory depends on of a context's settings; how many answers and which cards are the caller's to say."""
    return Settings(
        n_ctx=context.n_ctx,
        type_k=context.type_k,
        type_v=context.type_v,
        flash_attn=context.flash_attn != "off",
        n_batch=context.n_batch,
        n_ubatch=context.n_ubatch,
        swa_full=context.swa_full,
        offload_kv=context.offload_kqv,
    )


def with_slots(settings: Settings, n_slots: int) -> Settings:
    """As a run has them: beside several answers it keeps sequences for the prefixes that they share.

    Answers with a cache each share nothing.
    """
    if n_slots > MOST_SLOTS:
        raise ToolgaugeError(f"llama.cpp decodes at most {MOST_SLOTS} answers at a time, not {n_slots:,}")
    return replace(settings, n_slots=n_slots, n_spare=N_PREFIXES if n_slots > 1 and settings.unified else 0)


def candidates(
    argument: str, quants: Sequence[str] = (), *, registry: Registry | None = None, hub: Hub | None = None
) -> tuple[Candidate, ...]:
    """Raises `ModelNotFound`, `RegistryError`, `ModelFileError` or `CannotPredict`."""
    hub = hub or Hub()
    if is_path(argument):
        path = path_of(argument)
        return tuple(_of_file(path.stem, read_gguf(path), quants))
    if "/" in argument:
        repo, wanted = repository(argument, quants)
        return tuple(_of_repository(repo, repo, wanted, hub))
    name, _, own = argument.partition(":")
    if own and quants:
        raise ModelNotFound(f"'{argument}' names a quant and --quants does too; give it in one place")
    return tuple(_of_name(name, (own,) if own else tuple(quants), registry or load(), hub))


def _of_name(name: str, wanted: Sequence[str], registry: Registry, hub: Hub) -> Iterator[Candidate]:
    """A model of the registry, or one whose shape is known though nobody has said where its files are."""
    shape = shapes.load().find(name)
    row = registry.find(name) if shape else registry.get(name)
    if row is not None and row.bundled_path is not None:
        yield from _of_file(row.name, read_gguf(row.bundled_path), wanted)
        return
    if ALL_QUANTS in wanted:
        wanted = row.quants if row else tuple(LEVELS)
    for quant in wanted or (row.default_quant if row else DEFAULT_QUANT,):
        if shape is not None and (row is None or quant.upper() in _KNOWN_LEVELS):
            yield _of_shape(shape.name, shape.config, level(quant))
        else:  # a mix of the publisher's own, which only the file itself can tell
            assert row is not None, "a name has a row or a shape"
            assert row.repo is not None, "a row has a file or a repository"
            yield from _of_repository(row.repo, row.name, (quant,), hub, row)


def _of_shape(name: str, shape: Shape, quant: str) -> Candidate:
    metadata = {"general.architecture": shape.arch, **shape.metadata()}
    found = tensors(shape, quant)
    return Candidate(name, quant, "shape", Predictor.of(metadata, found))


def _of_file(name: str, file: GgufFile, quants: Sequence[str]) -> Iterator[Candidate]:
    layout = read_layout(file.metadata, file.tensors)
    for quant in quants or (file.quant,):
        if quant == ALL_QUANTS or same_level(quant, file.quant):
            yield Candidate(name, file.quant, "file", Predictor(layout, file.tensors), file.n_bytes)
        else:
            yield Candidate(name, level(quant), "rules", Predictor(layout, _requantized(file, layout, quant)))


def _of_repository(
    repo: str, name: str, wanted: Sequence[str], hub: Hub, row: Model | None = None
) -> Iterator[Candidate]:
    """Headers only; when offline, those of files that were downloaded before."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        for resolved in resolve(repo, wanted, hub=hub, from_hub=True):
            yield from _of_file(name, read_gguf(resolved.path), ())
        return
    listing = hub.list(repo)
    for model in chosen(repo, listing, wanted, row):
        file = read_remote(hub, repo, _in_order(model), listing.revision)
        quant = model.quant or file.quant
        yield Candidate(name, quant, "header", Predictor.of(file.metadata, file.tensors), file.n_bytes)


def _in_order(model: RepoFile) -> Sequence[str]:
    return sorted(model.names)


def _requantized(file: GgufFile, layout: Layout, quant: str) -> tuple[Tensor, ...]:
    """The file's tensors as llama.cpp would quantize them; what it leaves alone stays as it is."""
    made = {tensor.name: tensor for tensor in tensors(cast(Shape, _FileShape(file, layout)), quant)}
    return tuple(made.get(tensor.name, tensor) for tensor in file.tensors)


class _FileShape:
    """As much of a shape as choosing types asks for, from a file that exists."""

    def __init__(self, file: GgufFile, layout: Layout) -> None:
        self._file = file
        self.arch = file.arch
        self.num_attention_heads = self._n_heads()
        self.num_hidden_layers = layout.n_blocks
        self.tie_word_embeddings = not any(tensor.name == "output.weight" for tensor in file.tensors)

    def metadata(self) -> dict[str, Any]:
        heads = f"{self.arch}.attention.head_count_kv"
        return {heads: self.num_attention_heads, **self._file.metadata}

    def weights(self) -> Iterator[Weight]:
        return filter(is_quantized, (Weight(tensor.name, tensor.shape) for tensor in self._file.tensors))

    def _n_heads(self) -> int:
        """Of the first layer, as llama.cpp looks at it."""
        key = "attention.head_count"
        value = self._file.metadata.get(f"{self.arch}.{key}")
        if isinstance(value, list) and value:
            value = value[0]
        if not isinstance(value, int):
            raise CannotPredict(f"{self._file.path} does not say its {key}, so other levels of it cannot be predicted")
        return value


def _place(place: Any) -> dict[str, int]:
    return {**asdict(place), "total_bytes": place.total_bytes}


def parse_size(text: str, *, least: int = 1) -> int:
    """`16GiB`, `16G`, `16GB` or plain bytes; units are binary, as everywhere here.

    A small number without a unit is refused: it was meant in GiB or MiB, and as bytes it would pass for an answer.
    """
    units = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
    cleaned = text.strip().lower().removesuffix("b").removesuffix("i").strip()
    unit = cleaned[-1:] if cleaned[-1:] in "kmgt" and not cleaned[-1:].isdigit() else ""
    try:
        value = float(cleaned.removesuffix(unit)) * units[unit]
    except ValueError:
        value = -1.0
    if not least <= value < _NO_SIZE:
        raise ToolgaugeError(f"'{text}' is no size; write for example 16GiB or 800MiB")
    if 0 < value < _LEAST_PLAIN and cleaned == text.strip() and not unit:
        raise ToolgaugeError(f"'{text}' is no size: without a unit it is bytes; write {cleaned}GiB or {cleaned}MiB")
    return int(value)


def budget_here(vram: Sequence[int], reserve_bytes: int) -> Budget:
    """The given cards; else those that NVML or llama.cpp finds here, by what is free; else the memory that is free."""
    if vram:
        return Budget(tuple(vram), None, reserve_bytes, "as given")
    nvml = tuple((gpu.name, gpu.free_bytes) for gpu in gpus().devices if gpu.free_bytes)
    if nvml:
        return Budget(tuple(free for _name, free in nvml), None, reserve_bytes, _names(nvml))
    found = _used_devices()
    cards = tuple((card.description, card.free_bytes) for card in found if card.total_bytes)
    if cards:
        return Budget(tuple(free for _name, free in cards), None, reserve_bytes, _names(cards))
    silent = ", ".join(card.description for card in found)
    return Budget((), int(psutil.virtual_memory().available), reserve_bytes, silent)


def _used_devices() -> list[Device]:
    """Those that llama.cpp puts layers on: a processor's own GPU only where there is no card beside it."""
    found = devices()
    return [each for each in found if each.kind == "gpu"] or [each for each in found if each.kind == "igpu"]


def _names(cards: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"free on {name}" for name, _free in cards)
