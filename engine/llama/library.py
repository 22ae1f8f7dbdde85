"""The one place that imports `llama_cpp`: loads it at the first call, once, silently, with its log in our hands.

Nothing happens at import time, so that a program that only shows its help does not load a GPU library.
"""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from engine.errors import ToolgaugeError
from engine.llama.log import ERROR, LogCapture
from engine.llama.params import Device

LOG: Final = LogCapture()

_DEVICE_KINDS: Final = ("cpu", "gpu", "igpu", "accel", "meta")
_keep_alive: list[Any] = []  # callbacks that C holds pointers to


@cache
def library() -> Any:
    """The binding module, with the backends started."""
    loaded = binding()
    loaded.llama_backend_init()
    return loaded


@cache
def binding() -> Any:
    """The binding module with its log captured; enough for names and versions, and no device is touched."""
    # Without it, an abort forks a debugger to print a backtrace.
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    # CUDA would number the fastest card first, and NVML, whose figures `engine.meter` reads, goes by the bus.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    try:
        from llama_cpp import llama_cpp
    except (ImportError, OSError, RuntimeError) as error:
        raise ToolgaugeError(
            f"llama-cpp-python cannot be loaded ({error}); reinstall it for this machine, "
            "and for a CUDA build put the CUDA libraries on LD_LIBRARY_PATH"
        ) from error

    def on_log(level: int, text: bytes, _user_data: object) -> None:
        LOG.write(level, text.decode("utf-8", errors="replace"))

    def on_abort(message: bytes) -> None:
        LOG.write(ERROR, message.decode("utf-8", errors="replace") + "\n")
        os.write(2, message + b"\n")

    log_callback = llama_cpp.llama_log_callback(on_log)
    abort_callback = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(on_abort)
    _keep_alive.extend((log_callback, abort_callback))
    llama_cpp.llama_log_set(log_callback, None)
    set_abort = ggml(llama_cpp, "ggml_set_abort_callback", ctypes.c_void_p, ctypes.c_void_p)
    set_abort(ctypes.cast(abort_callback, ctypes.c_void_p))
    return llama_cpp


@contextmanager
def stderr_text() -> Iterator[Callable[[], str]]:
    """What C code prints to the standard error stream within the block; the grammar parser knows no other way."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield lambda: os.pread(file.fileno(), 64_000, 0).decode("utf-8", errors="replace")
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def ggml(llama_cpp: Any, name: str, restype: Any, *argtypes: Any) -> Callable[..., Any]:
    """A ggml function that the binding does not declare; the dynamic loader finds it among libllama's dependencies."""
    prototype = ctypes.CFUNCTYPE(restype, *argtypes)
    return prototype((name, llama_cpp._lib))


def fast(name: str, restype: Any, *argtypes: Any) -> Callable[..., Any]:
    """A function called without releasing the GIL.

    For calls of a few microseconds: giving the GIL up and fighting another thread for it costs far more.
    """
    prototype = ctypes.PYFUNCTYPE(restype, *argtypes)
    return prototype((name, library()._lib))


def address(name: str) -> int:
    """Where a function of libllama lies in memory, for a library that calls it by itself."""
    found = ctypes.cast(getattr(library()._lib, name), ctypes.c_void_p).value
    assert found is not None
    return found


def system_info() -> str:
    """Instruction sets and backends that this llama.cpp was built with and found."""
    text: bytes = library().llama_print_system_info()
    return text.decode().strip(" |")


def has_amx() -> bool:
    """Whether this llama.cpp would multiply quantized weights with AMX.

    Models are loaded without it: its kernels end the process at the first prompt of a quantized model where the
    compiler has dropped the tile configuration, as GCC 12 does (llama.cpp's issue 20824 and pull request 26954).
    """
    return "AMX_INT8 = 1" in system_info()


def supports_gpu() -> bool:
    return bool(library().llama_supports_gpu_offload())


def build_info() -> str:
    """Names the llama.cpp that computes, e.g. `llama-cpp-python 0.3.36, llama.cpp 0.5.0-dev`."""
    llama_cpp: bytes = binding().llama_version()
    return f"llama-cpp-python {version('llama-cpp-python')}, llama.cpp {llama_cpp.decode()}"


def devices() -> tuple[Device, ...]:
    """The devices that ggml found, with the memory that is free now."""
    llama_cpp = library()
    handle = ctypes.c_void_p
    get = ggml(llama_cpp, "ggml_backend_dev_get", handle, ctypes.c_size_t)
    name = ggml(llama_cpp, "ggml_backend_dev_name", ctypes.c_char_p, handle)
    description = ggml(llama_cpp, "ggml_backend_dev_description", ctypes.c_char_p, handle)
    kind = ggml(llama_cpp, "ggml_backend_dev_type", ctypes.c_int, handle)
    size_p = ctypes.POINTER(ctypes.c_size_t)
    memory = ggml(llama_cpp, "ggml_backend_dev_memory", None, handle, size_p, size_p)
    found = []
    for index in range(ggml(llama_cpp, "ggml_backend_dev_count", ctypes.c_size_t)()):
        device = get(index)
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        memory(device, ctypes.byref(free), ctypes.byref(total))
        number = kind(device)
        word = _DEVICE_KINDS[number] if number < len(_DEVICE_KINDS) else f"kind {number}"
        found.append(Device(name(device).decode(), description(device).decode(), word, free.value, total.value))
    return tuple(found)


def last_log_lines(n_lines: int = 20) -> list[str]:
    """The last lines that llama.cpp wrote in this process."""
    return LOG.last(n_lines)


def log_to_file(path: Path | None) -> None:
    """Let a parent process read llama.cpp's lines, and the reason of an abort, in `path`; None stops it."""
    LOG.to_file(path)
