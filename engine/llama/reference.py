"""The reference loop for `bench.perf`: the binding's own high-level API, decoding as its documentation shows.

Nothing else uses it. It has the settings of the loop that it is compared with, and keeps no prompt from one run to the
next. Its tokens are counted by what its cache holds, because a chunk of its stream may be several tokens or none.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from engine.llama.context import Context
from engine.llama.grammar import GrammarSampler
from engine.llama.library import has_amx, library
from engine.llama.model import Model
from engine.llama.params import KV_TYPES, default_threads


def open_binding(model: Model, context: Context) -> Any:
    """The binding's `Llama` on the file of `model`, loaded again, with the settings of `context`."""
    library()
    from llama_cpp import Llama

    params = context.params
    n_threads = params.n_threads or default_threads()
    with _defaults(use_extra_bufts=not has_amx()):
        return Llama(
            str(model.path),
            n_gpu_layers=model.params.n_gpu_layers,
            use_mmap=model.params.use_mmap,
            n_ctx=context.n_ctx,
            n_batch=params.n_batch,
            n_ubatch=min(params.n_ubatch, params.n_batch),
            n_threads=n_threads,
            n_threads_batch=params.n_threads_batch or n_threads,
            flash_attn=context.flash_attention,
            type_k=KV_TYPES[params.type_k],
            type_v=KV_TYPES[params.type_v],
            verbose=False,
        )


@contextmanager
def _defaults(**settings: Any) -> Iterator[None]:
    """Settings of a model that the binding's `Llama` has no argument for."""
    llama_cpp = library()
    defaults = llama_cpp.llama_model_default_params

    def changed() -> Any:
        params = defaults()
        for name, value in settings.items():
            setattr(params, name, value)
        return params

    llama_cpp.llama_model_default_params = changed
    try:
        yield
    finally:
        llama_cpp.llama_model_default_params = defaults


@dataclass(frozen=True, slots=True)
class ReferenceRun:
    """Seconds are counted from the call."""

    tokens: tuple[int, ...]  # without the last one, which the binding does not decode
    n_tokens: int  # sampled, an end-of-generation token included
    n_first: int  # of these, when the first chunk arrived
    first_s: float
    last_s: float


class ReferenceLoop:
    """`llama_cpp.Llama.create_completion` over token ids, greedy, streamed."""

    def __init__(self, model: Model, context: Context) -> None:
        """Loads the file of `model` again, with the settings of `context`."""
        self._model, self._llama = model, open_binding(model, context)

    def close(self) -> None:
        self._llama.close()

    def grammar(self, schema: Mapping[str, Any]) -> Any:
        """What the binding's own converter makes of a schema; `ConstraintError` where that is no grammar.

        Used all the same, such a grammar would be a segmentation fault.
        """
        from llama_cpp import LlamaGrammar

        grammar = LlamaGrammar.from_json_schema(json.dumps(schema), verbose=False)
        GrammarSampler(self._model, grammar._grammar)
        return grammar

    def run(self, prompt: Sequence[int], n_tokens: int, grammar: Any = None) -> ReferenceRun:
        """Answer once, with at most `n_tokens`."""
        llama, n_prompt = self._llama, len(prompt)
        llama.reset()
        started = time.perf_counter()
        chunks = llama.create_completion(
            list(prompt), max_tokens=n_tokens, temperature=0.0, stream=True, grammar=grammar
        )
        first_s, n_first = 0.0, 0
        for _ in chunks:
            if not n_first:
                first_s, n_first = time.perf_counter() - started, llama.n_tokens - n_prompt + 1
        last_s = time.perf_counter() - started
        n_decoded = llama.n_tokens - n_prompt
        tokens = tuple(int(token) for token in llama.input_ids[n_prompt : n_prompt + n_decoded])
        return ReferenceRun(tokens, n_decoded + 1, n_first, first_s, last_s)
