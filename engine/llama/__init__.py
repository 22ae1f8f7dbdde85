"""llama.cpp, through the low-level API: loading, contexts, batches, memory, tokens, logits, grammars, log lines.

The only package that imports `llama_cpp` (in `library`, and not before the first call). It knows no prompt, no tool
and no constraint protocol; what a request is, and when an answer ends, is `engine.decoder`'s business.

    model = load_model(Path("model.gguf"), LoadParams(n_gpu_layers=0))
    context = model.context(ContextParams(n_ctx=2048))
    batch = context.batch()
    row = batch.add(model.tokenize("Hello"), position=0, sequence=0, n_outputs=1)
    context.decode(batch)
    context.logits(row).argmax()
"""

from __future__ import annotations

from engine.llama.context import Batch, Context
from engine.llama.grammar import GrammarSampler
from engine.llama.library import build_info, devices, has_amx, last_log_lines, log_to_file, supports_gpu, system_info
from engine.llama.log import BufferSize
from engine.llama.model import Model, load_model
from engine.llama.params import KV_TYPES, ContextParams, Device, LoadParams

__all__ = [
    "KV_TYPES",
    "Batch",
    "BufferSize",
    "Context",
    "ContextParams",
    "Device",
    "GrammarSampler",
    "LoadParams",
    "Model",
    "build_info",
    "devices",
    "has_amx",
    "last_log_lines",
    "load_model",
    "log_to_file",
    "supports_gpu",
    "system_info",
]
