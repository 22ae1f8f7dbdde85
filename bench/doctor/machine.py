"""Is this machine ready? One check for each thing that a run needs, with what to do where one fails.

llama.cpp is asked in a process of its own: a build for another processor does not raise, it kills. Prints nothing.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from bench import numbers
from bench.apart import one_process
from bench.run.plan import version_of
from bench.run.prepare import BUNDLED
from bench.version import is_installed, own_version
from engine.cache import cache_path
from engine.llama.params import Device
from engine.meter import Gpus, gpus
from grammars.errors import ToolgaugeError

State = Literal["ok", "note", "fail"]  # "note": worth knowing, and a run works without it

PIN = "llama-cpp-python==0.3.36"
PIP_INSTALL = f"{shlex.quote(sys.executable)} -m pip install"  # a bare `pip` may be another environment's
REBUILD = f"{PIP_INSTALL} --force-reinstall --no-deps --no-cache-dir --no-binary llama-cpp-python {PIN}"
CUDA_BUILD = f'CMAKE_ARGS="-DGGML_CUDA=on" {REBUILD}'
_REINSTALL = "install toolgauge again: models.toml and the bundled model are part of it"
_LOW_MEMORY_BYTES = 2 << 30
_LOW_DISK_BYTES = 5 << 30


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    state: State
    detail: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Llama:
    """What a working llama.cpp says about itself."""

    build: str
    supports_gpu: bool
    has_amx: bool
    devices: tuple[Device, ...]


def examine(database: Path) -> list[Check]:
    """Every check, in reading order."""
    nvml = gpus()
    llama = ask_llama()
    return [
        _python(),
        _llama(llama),
        _gpu(llama if isinstance(llama, Llama) else None, nvml),
        _memory(),
        *_backends(),
        _bundled_model(),
        _result_file(database),
        *_caches(),
    ]


def usable(checks: list[Check]) -> bool:
    return all(check.state != "fail" for check in checks)


def ask_llama() -> Llama | str:
    """Load llama.cpp elsewhere and ask it; a text says why that failed."""
    with one_process() as pool:
        try:
            return pool.submit(_llama_facts).result()
        except BrokenProcessPool:
            return "its library ends the process that loads it; it was probably built for another processor"
        except ToolgaugeError as error:
            return str(error)


def _llama_facts() -> Llama:
    from engine import llama

    return Llama(llama.build_info(), llama.supports_gpu(), llama.has_amx(), llama.devices())


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    own = own_version() + ("" if is_installed() else ", used from its folder")
    return Check("toolgauge", "ok", f"{own}; Python {version} in {sys.prefix}")


def _llama(llama: Llama | str) -> Check:
    if isinstance(llama, str):
        return Check("llama.cpp", "fail", llama, REBUILD)
    wanted = PIN.partition("==")[2]
    found = version_of("llama-cpp-python")
    if found != wanted:
        detail = f"llama-cpp-python {found}, but toolgauge is written for exactly {wanted}"
        return Check("llama.cpp", "fail", detail, f"{PIP_INSTALL} {PIN}")
    detail = f"{llama.build}, {'with' if llama.supports_gpu else 'without'} GPU support"
    if llama.has_amx:
        return Check("llama.cpp", "note", f"{detail}; its AMX kernels are left out, for they crash in some builds")
    return Check("llama.cpp", "ok", detail)


def _gpu(llama: Llama | None, nvml: Gpus) -> Check:
    cards = ", ".join(f"{gpu.name} ({numbers.size(gpu.free_bytes)} free)" for gpu in nvml.devices)
    seen = [device for device in llama.devices if device.kind in ("gpu", "igpu")] if llama else []
    if seen:
        free = ", ".join(f"{device.description} ({numbers.size(device.free_bytes)} free)" for device in seen)
        if nvml.problem:
            return Check("GPU", "note", f"{free}; no video memory figures of single processes: {nvml.problem}")
        if nvml.doubt:
            return Check("GPU", "note", f"{free}, driver {nvml.driver}; {nvml.doubt}")
        return Check("GPU", "ok", f"{free}, driver {nvml.driver}")
    if nvml.devices:
        built = "llama.cpp is built without GPU support" if llama and not llama.supports_gpu else "llama.cpp sees none"
        return Check("GPU", "note", f"{cards}, but {built}: models run on the CPU", CUDA_BUILD)
    return Check("GPU", "note", f"none, models run on the CPU ({nvml.problem})")


def _memory() -> Check:
    import psutil

    memory = psutil.virtual_memory()
    detail = f"{numbers.size(memory.available)} free of {numbers.size(memory.total)}"
    if memory.available < _LOW_MEMORY_BYTES:
        return Check("memory", "note", detail, "close other programs, or measure small models only")
    return Check("memory", "ok", detail)


_BACKENDS: dict[str, tuple[str, str]] = {
    "llguidance": ("llguidance", "llguidance"),
    "gbnf": ("llama_cpp", "llama-cpp-python"),
    "outlines": ("outlines_core", "outlines_core"),
}


def _backends() -> Iterator[Check]:
    for name, (module, distribution) in _BACKENDS.items():
        if find_spec(module) is None:
            yield Check(f"backend {name}", "fail", f"{distribution} is not installed", f"{PIP_INSTALL} {distribution}")
        else:
            yield Check(f"backend {name}", "ok", f"{distribution} {version_of(distribution)}")


def _bundled_model() -> Check:
    from bench.models import registry
    from engine.gguf_file import read_gguf

    name = "bundled model"
    try:
        path = registry.load().get(BUNDLED).bundled_path
        if path is None:
            return Check(name, "fail", f"models.toml gives no file for {BUNDLED}", _REINSTALL)
        facts = read_gguf(path)
    except ToolgaugeError as error:
        return Check(name, "fail", str(error), _REINSTALL)
    return Check(name, "ok", f"{facts.quant}, {numbers.size(facts.n_bytes)}, {path}")


def _result_file(path: Path) -> Check:
    from bench.results.store import Store

    name = "results"
    if not path.exists():
        return _writable(name, path.absolute().parent, f"{path} will be made by the first run")
    try:
        with Store.read(path) as store:
            n_runs = len(store.runs())
    except ToolgaugeError as error:
        return Check(name, "fail", str(error), "name another file with --db")
    return Check(name, "ok", f"{path}, {numbers.plural(n_runs, 'run')}, {numbers.size(path.stat().st_size)}")


def _writable(name: str, folder: Path, detail: str) -> Check:
    if os.access(folder, os.W_OK):
        return Check(name, "ok", detail)
    return Check(name, "fail", f"{folder} cannot be written", "work in another folder, or name a file with --db")


def _caches() -> Iterator[Check]:
    from huggingface_hub.constants import HF_HUB_CACHE

    yield _cache("cache", cache_path(), "quantized models; may be deleted")
    yield _cache("downloads", Path(HF_HUB_CACHE), "the Hugging Face cache; HF_HOME moves it")


def _cache(name: str, folder: Path, what: str) -> Check:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    detail = f"{folder}, {numbers.size(folder_bytes(folder))} used, {numbers.size(free)} free ({what})"
    if free < _LOW_DISK_BYTES:
        return Check(name, "note", detail, "free some space before quantizing or downloading")
    return Check(name, "ok", detail)


def folder_bytes(folder: Path) -> int:
    """What a folder takes on disk; links, as the Hugging Face cache has them, count once."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
