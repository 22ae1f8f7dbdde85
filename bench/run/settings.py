"""Settings as a person types them, checked: KV-cache types, flash attention, reasoning."""

from __future__ import annotations

from typing import Literal

from bench.run.config import AUTO
from engine.llama.params import FLASH_ATTENTION, KV_TYPES, ContextParams
from grammars.errors import ToolgaugeError


def context_params(
    *, n_ctx: int = 0, n_batch: int = 2048, n_ubatch: int = 512, n_threads: int = 0, kv_type: str, flash_attn: str
) -> ContextParams:
    """`kv_type`: one type for keys and values, or two joined by a comma."""
    if flash_attn not in FLASH_ATTENTION:
        raise ToolgaugeError(f"--flash-attn is one of {', '.join(FLASH_ATTENTION)}, not {flash_attn!r}")
    type_k, comma, type_v = (part.strip() for part in kv_type.partition(","))
    for name in (type_k, type_v) if comma else (type_k,):
        if name not in KV_TYPES:
            raise ToolgaugeError(f"unknown KV-cache type {name!r}; known are: {', '.join(KV_TYPES)}")
    return ContextParams(
        n_ctx=n_ctx,
        n_batch=n_batch,
        n_ubatch=min(n_ubatch, n_batch),
        n_threads=n_threads,
        flash_attn=flash_attn,
        type_k=type_k,
        type_v=type_v or type_k,
    )


def parallel(text: str) -> int | Literal["auto"]:
    """How many answers at a time."""
    if text == AUTO:
        return AUTO
    if not text.isdecimal() or int(text) < 1:
        raise ToolgaugeError(f"--parallel is a number of answers, 1 or more, or {AUTO}; not '{text}'")
    return int(text)


_THINKING = {"auto": None, "on": True, "off": False}
_EFFORTS = ("low", "medium", "high")


def thinking(text: str) -> bool | None:
    """Whether to reason; None: as the template has it."""
    if text not in _THINKING:
        raise ToolgaugeError(f"--thinking is one of {', '.join(_THINKING)}, not {text!r}")
    return _THINKING[text]


def reasoning_effort(text: str | None) -> str | None:
    """How much to reason; None: as the template has it."""
    if text is not None and text not in _EFFORTS:
        raise ToolgaugeError(f"--reasoning-effort is one of {', '.join(_EFFORTS)}, not {text!r}")
    return text
