"""A GGUF loaded by llama.cpp: its weights, its tokens and its facts. Contexts are made from it."""

from __future__ import annotations

import ctypes
import os
import time
import weakref
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.errors import ModelFileError, ToolgaugeError
from engine.llama.context import Context
from engine.llama.failures import load_failure
from engine.llama.library import LOG, devices, has_amx, library
from engine.llama.log import BufferSize, Line, buffer_sizes
from engine.llama.params import SPLIT_MODES, ContextParams, LoadParams
from engine.llama.stack import on_stack
from engine.llama.vocab import read_vocabulary
from engine.vocabulary import Vocabulary

Progress = Callable[[float], None]

# enum llama_load_mode by (mmap, mlock); -1 lets llama.cpp choose by device, and maps files on all common ones
_LOAD_MODES: Final = {(True, False): -1, (False, False): 0, (False, True): 2, (True, True): 3}

# Characters that can be tokenized on the stack that any thread has (8 MiB end between 20,000 and 30,000), and the bytes
# for each character of a longer text: an unbroken run takes 300 to 400.
_SHORT: Final = 10_000
_STACK_PER_CHARACTER: Final = 1024


def load_model(path: Path, params: LoadParams | None = None, progress: Progress | None = None) -> Model:
    """Load a GGUF, or the first part of a split one; `progress` gets fractions.

    Raises `ModelFileError` when the file is missing, truncated, not a GGUF or not known to this llama.cpp, and
    `OutOfMemory` with what was missing and what would fit. An exception raised by `progress` stops the loading.
    """
    params = params or LoadParams()
    _check_file(path)
    raised: list[BaseException] = []
    native, kept = _native_params(params, progress, raised)
    started = time.perf_counter()
    with LOG.collect() as lines:
        pointer = library().llama_model_load_from_file(os.fsencode(path), native)
    del kept  # the arrays and callbacks that `native` points to had to live until here
    if raised:
        if pointer:
            library().llama_model_free(pointer)
        raise raised[0]
    if not pointer:
        raise load_failure(path, lines, devices())
    return Model(path, params, pointer, time.perf_counter() - started, lines)


def _check_file(path: Path) -> None:
    try:
        if not path.exists():
            raise ModelFileError(f"there is no model file {path}")
        if not path.is_file():
            raise ModelFileError(f"{path} is not a file; name a .gguf file (of a split model, the first part)")
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ModelFileError(f"{path} cannot be read ({reason}); check its permissions and the disk") from error
    if magic != b"GGUF":
        raise ModelFileError(f"{path} is not a GGUF file: it does not begin with the letters GGUF")


def _native_params(params: LoadParams, progress: Progress | None, raised: list[BaseException]) -> tuple[Any, list[Any]]:
    """llama.cpp's structure, and what must outlive the call that takes it."""
    binding = library()
    native, kept = binding.llama_model_default_params(), []
    native.n_gpu_layers = params.n_gpu_layers
    native.main_gpu = params.main_gpu
    native.split_mode = SPLIT_MODES[params.split_mode]
    native.load_mode = _LOAD_MODES[params.use_mmap, params.use_mlock]
    native.check_tensors = params.check_tensors
    native.vocab_only = params.vocab_only
    native.use_extra_bufts = not has_amx()  # no way to refuse AMX alone: without, weights stay as they are in the file
    if params.tensor_split:
        n_devices = binding.llama_max_devices()
        if len(params.tensor_split) > n_devices:
            raise ToolgaugeError(f"tensor_split names {len(params.tensor_split)} devices; this build has {n_devices}")
        # always the full length: llama.cpp reads llama_max_devices() values
        shares = (ctypes.c_float * n_devices)(*params.tensor_split)
        native.tensor_split = shares
        kept.append(shares)

    def on_progress(fraction: float, _user_data: object) -> bool:
        try:
            if progress is not None:
                progress(fraction)
        except BaseException as error:  # an exception cannot cross C: carried over it, and raised on the other side
            raised.append(error)
        return not raised

    callback = binding.llama_progress_callback(on_progress)
    native.progress_callback = callback
    kept.append(callback)
    return native, kept


class Model:
    """Loaded weights. Made by `load_model`; `close` frees them, after the contexts that were made from it."""

    def __init__(self, path: Path, params: LoadParams, pointer: int, load_s: float, lines: list[Line]) -> None:
        self.path, self.params, self.load_s = path, params, load_s
        self.pointer = pointer
        self.buffers: tuple[BufferSize, ...] = buffer_sizes(lines)
        self._contexts: weakref.WeakSet[Context] = weakref.WeakSet()
        binding = library()
        self._free = weakref.finalize(self, binding.llama_model_free, pointer)
        self._free.atexit = False  # at exit the library may be gone before its callers
        self.vocab_ptr: int = binding.llama_model_get_vocab(pointer)
        self.n_vocab: int = binding.llama_vocab_n_tokens(self.vocab_ptr)
        self.n_ctx_train: int = binding.llama_model_n_ctx_train(pointer)
        self.n_layer: int = binding.llama_model_n_layer(pointer)
        self.n_params: int = binding.llama_model_n_params(pointer)
        self.size_bytes: int = binding.llama_model_size(pointer)
        self.is_recurrent: bool = binding.llama_model_is_recurrent(pointer)
        self.is_hybrid: bool = binding.llama_model_is_hybrid(pointer)
        self.n_swa: int = binding.llama_model_n_swa(pointer)

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        for context in list(self._contexts):
            context.close()
        self._free()

    @cached_property
    def description(self) -> str:
        """Architecture, size and quantization as llama.cpp words them, e.g. `qwen2 7B Q4_K - Medium`."""
        buffer = ctypes.create_string_buffer(256)
        library().llama_model_desc(self.pointer, buffer, len(buffer))
        return buffer.value.decode("utf-8", errors="replace")

    @cached_property
    def quantization(self) -> str:
        """llama.cpp's name of the file type, e.g. `Q4_K - Medium`."""
        binding = library()
        name: bytes | None = binding.llama_ftype_name(binding.llama_model_ftype(self.pointer))
        return name.decode() if name else "unknown"

    @cached_property
    def metadata(self) -> dict[str, str]:
        """The scalar metadata as text; arrays are not readable here (`engine.gguf_file` reads them)."""
        binding = library()
        pairs = {}
        for index in range(binding.llama_model_meta_count(self.pointer)):
            key = _string(binding.llama_model_meta_key_by_index, self.pointer, index)
            pairs[key] = _string(binding.llama_model_meta_val_str_by_index, self.pointer, index)
        return pairs

    def chat_template(self, name: str | None = None) -> str | None:
        """The GGUF's chat template, or the one called `name` (e.g. `tool_use`); None where there is none."""
        template: bytes | None = library().llama_model_chat_template(self.pointer, name.encode() if name else None)
        return None if template is None else template.decode("utf-8", errors="replace")

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return read_vocabulary(self.vocab_ptr)

    def vocabulary(self) -> Vocabulary:
        return self._vocabulary

    def tokenize(self, text: str, *, parse_special: bool = True, add_special: bool = False) -> list[int]:
        """Token ids of `text`; a lone surrogate, which UTF-8 cannot carry, becomes `?`."""
        data = text.encode("utf-8", errors="replace")
        if len(text) <= _SHORT:
            return self._tokenize(data, parse_special, add_special)
        return on_stack(len(text) * _STACK_PER_CHARACTER, lambda: self._tokenize(data, parse_special, add_special))

    def _tokenize(self, data: bytes, parse_special: bool, add_special: bool) -> list[int]:
        tokenize = library().llama_tokenize
        capacity = len(data) + 2  # a token holds at least a byte, except for the two that may be added
        for _attempt in range(2):
            tokens = np.empty(capacity, dtype=np.int32)
            pointer = tokens.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
            n_tokens = tokenize(self.vocab_ptr, data, len(data), pointer, capacity, add_special, parse_special)
            if n_tokens >= 0:
                ids: list[int] = tokens[:n_tokens].tolist()
                return ids
            capacity = -n_tokens
        raise ToolgaugeError(f"a text of {len(data):,} bytes is too long to be tokenized")

    def can_rewind(self, params: ContextParams) -> bool:
        """Whether such a context can take back the last tokens of a sequence and go on from there."""
        windowed = self.n_swa > 0 and not params.swa_full  # such a cache drops what falls out of its window
        return not (self.is_recurrent or self.is_hybrid or windowed)

    def context(self, params: ContextParams | None = None) -> Context:
        """A new context with its own cache; raises `OutOfMemory` when that does not fit."""
        context = Context(self, params or ContextParams())
        self._contexts.add(context)
        return context


def _string(function: Callable[..., int], pointer: int, index: int) -> str:
    """A text that llama.cpp writes into a buffer, whatever its length."""
    buffer = ctypes.create_string_buffer(1024)
    n_bytes = function(pointer, index, buffer, len(buffer))
    if n_bytes >= len(buffer):
        buffer = ctypes.create_string_buffer(n_bytes + 1)
        function(pointer, index, buffer, len(buffer))
    return buffer.value.decode("utf-8", errors="replace")
