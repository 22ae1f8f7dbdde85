"""Context settings as axes of the grid: what tells the settings of one run apart, in the words a person typed them in.

    found = axes([contexts_of_a_model, ...])
    label(context, found)  # "KV q8_0, -c 8192"; "" where every file has one setting only

Plain functions over values; knows no model, no store and no command line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from bench import numbers


class Context(Protocol):
    """What `engine.llama.params.ContextParams` and `engine.memory.Settings` both have."""

    @property
    def n_ctx(self) -> int: ...
    @property
    def n_batch(self) -> int: ...
    @property
    def n_ubatch(self) -> int: ...
    @property
    def type_k(self) -> str: ...
    @property
    def type_v(self) -> str: ...


KV: Final = "KV"
CONTEXT: Final = "-c"
BATCH: Final = "-b"
MICRO_BATCH: Final = "-ub"

_VALUES: Final[Mapping[str, Callable[[Context], str]]] = {
    KV: lambda context: kv_name(context.type_k, context.type_v),
    CONTEXT: lambda context: str(context.n_ctx),
    BATCH: lambda context: str(context.n_batch),
    MICRO_BATCH: lambda context: str(context.n_ubatch),
}
STORED: Final = ("n_ctx", "n_batch", "n_ubatch", "type_k", "type_v", "flash_attn")
"""The settings that reports and exports repeat beside each figure."""


def kv_name(type_k: str, type_v: str) -> str:
    """One name where keys and values are alike, else two, as `--kv-type` takes them."""
    return type_k if type_k == type_v else f"{type_k}:{type_v}"


def axes(groups: Iterable[Sequence[Context]]) -> tuple[str, ...]:
    """The settings that differ within a group; a group is what one file is measured with."""
    varying = {axis for contexts in groups for axis in _VALUES if _varies(axis, contexts)}
    return tuple(axis for axis in _VALUES if axis in varying)


def _varies(axis: str, contexts: Sequence[Context]) -> bool:
    values = {(_VALUES[axis](context), context.n_batch) for context in contexts}
    if axis == MICRO_BATCH:  # a smaller batch alone makes it smaller, too
        return len(values) > len({n_batch for _, n_batch in values})
    return len({value for value, _ in values}) > 1


def label(context: Context, varying: Iterable[str]) -> str:
    return ", ".join(f"{axis} {_VALUES[axis](context)}" for axis in varying)


def stored(context: Mapping[str, Any]) -> dict[str, Any]:
    """Of a stored model's context settings those that can tell results apart; None: an older file does not say."""
    settings = context.get("context", {})
    return {name: settings.get(name) for name in STORED}


def beyond_training(n_ctx: int, n_ctx_train: int, source: str = "file") -> str:
    """The end of a sentence about a model in a longer context than its `source` names."""
    learned, asked = numbers.count(n_ctx_train), numbers.count(n_ctx)
    return (
        f"was trained on contexts of up to {learned} tokens, its {source} says, and may be lost in one of {asked} (-c)"
    )
