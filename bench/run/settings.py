"""Settings as a person types them, checked: KV-cache types, context and batch sizes, flash attention, reasoning."""

from __future__ import annotations

from itertools import product
from typing import Literal

from bench.fit.predict import MOST_SLOTS
from bench.run.config import AUTO
from engine.llama.params import FLASH_ATTENTION, KV_TYPES, ContextParams, FlashAttention
from grammars.errors import ToolgaugeError

MOST = 2**31 - 1  # llama.cpp's numbers have 32 bits
_FLOATS = ("f32", "f16", "bf16")  # what values may be kept in without flash attention


def context_params(
    *, n_ctx: int = 0, n_batch: int = 2048, n_ubatch: int = 512, n_threads: int = 0, kv_type: str, flash_attn: str
) -> ContextParams:
    """`kv_type`: one type for keys and values, or two joined by a colon."""
    if "," in kv_type:
        raise ToolgaugeError(
            f"--kv-type takes one type here, not '{kv_type}'; keys and values of two types are q8_0:q4_0"
        )
    (found,) = context_grid(
        n_ctx=str(n_ctx),
        n_batch=str(n_batch),
        n_ubatch=str(n_ubatch),
        n_threads=n_threads,
        kv_type=kv_type,
        flash_attn=flash_attn,
    )
    return found


def context_grid(
    *, n_ctx: str = "0", n_batch: str, n_ubatch: str, n_threads: int = 0, kv_type: str, flash_attn: str
) -> tuple[ContextParams, ...]:
    """Every combination of what the lists name, each once; the KV types change slowest, then the contexts."""
    flash = _flash_attention(flash_attn)
    lists = (
        tuple(_kv_types(text, flash) for text in _parts("--kv-type", kv_type)),
        numbers("-c", n_ctx, least=0),
        numbers("-b", n_batch),
        numbers("-ub", n_ubatch),
    )
    combinations = (
        ContextParams(
            n_ctx=context,
            n_batch=batch,
            n_ubatch=min(micro_batch, batch),
            n_threads=n_threads,
            flash_attn=flash,
            type_k=type_k,
            type_v=type_v,
        )
        for (type_k, type_v), context, batch, micro_batch in product(*lists)
    )
    return tuple(dict.fromkeys(combinations))


def numbers(option: str, text: str, *, least: int = 1) -> tuple[int, ...]:
    """A list such as `8192,32768`, each number once."""
    parts = _parts(option, text)
    found = [number for number in map(_number, parts) if number is not None and number >= least]
    if len(found) < len(parts):
        raise ToolgaugeError(f"{option} takes whole numbers such as 8192,32768, not '{text}' (at most {MOST})")
    return tuple(dict.fromkeys(found))


def _number(text: str) -> int | None:
    """None: no number, or more than llama.cpp can be told."""
    if not text.isdecimal() or len(text) > len(str(MOST)):
        return None
    return number if (number := int(text)) <= MOST else None


def _parts(option: str, text: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in text.split(",") if part.strip())
    if not parts:
        raise ToolgaugeError(f"{option} names nothing; give a value, several joined by commas, or leave it out")
    return parts


def _kv_types(text: str, flash_attn: FlashAttention) -> tuple[str, str]:
    type_k, _, type_v = (part.strip() for part in text.partition(":"))
    type_v = type_v or type_k
    for name in (type_k, type_v):
        if name not in KV_TYPES:
            raise ToolgaugeError(f"unknown KV-cache type {name!r}; known are: {', '.join(KV_TYPES)}")
    if flash_attn == "off" and type_v not in _FLOATS:
        raise ToolgaugeError(
            f"values of type {type_v} in the KV cache need flash attention; leave --flash-attn off out,"
            f" or keep the values in f16 (--kv-type {type_k}:f16)"
        )
    return type_k, type_v


def _flash_attention(text: str) -> FlashAttention:
    found = next((known for known in FLASH_ATTENTION if known == text), None)
    if found is None:
        raise ToolgaugeError(f"--flash-attn is one of {', '.join(FLASH_ATTENTION)}, not {text!r}")
    return found


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


def parallel(text: str) -> int | Literal["auto"]:
    """How many answers at a time."""
    if text == AUTO:
        return AUTO
    number = _number(text)
    if not number or number > MOST_SLOTS:
        raise ToolgaugeError(f"--parallel is a number of answers from 1 to {MOST_SLOTS}, or {AUTO}; not '{text}'")
    return number
