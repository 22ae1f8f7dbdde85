"""What llama.cpp allocates for given settings, those that toolgauge itself never uses included; by kind of buffer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from engine.llama import Model
from engine.llama.library import LOG, library
from engine.llama.log import BufferKind, BufferSize, buffer_sizes
from engine.llama.params import KV_TYPES
from engine.memory import Settings


def allocated(model: Model, settings: Settings) -> Counter[BufferKind]:
    binding = library()
    native = binding.llama_context_default_params()
    native.n_ctx = settings.n_cells or settings.n_ctx * settings.n_slots
    native.n_seq_max = settings.n_sequences
    native.n_outputs_max = settings.n_rows or settings.n_sequences
    native.n_batch, native.n_ubatch = settings.n_batch, settings.n_ubatch
    native.type_k, native.type_v = KV_TYPES[settings.type_k], KV_TYPES[settings.type_v]
    native.flash_attn_type = int(settings.flash_attn)
    native.kv_unified, native.swa_full = settings.unified, settings.swa_full
    native.n_threads = native.n_threads_batch = 1
    with LOG.collect() as lines:
        pointer = binding.llama_init_from_model(model.pointer, native)
    assert pointer, "; ".join(line.text for line in lines[-5:])
    binding.llama_free(pointer)
    return by_kind([*model.buffers, *buffer_sizes(lines)])


def by_kind(buffers: Iterable[BufferSize]) -> Counter[BufferKind]:
    total: Counter[BufferKind] = Counter()
    for buffer in buffers:
        total[buffer.kind] += buffer.n_bytes
    return total
