"""llama.cpp's settings as a person types them, checked: KV-cache types, flash attention."""

from __future__ import annotations

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
