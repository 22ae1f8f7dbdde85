"""The rule of thumb for scratch against llama.cpp's own plan, for models of true size.

llama.cpp plans a model's buffers without allocating them (`no_alloc`), and a file of holes is as large as it says.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench.models import shapes
from engine.gguf_file import read_gguf
from engine.llama import Model
from engine.llama.library import has_amx, library
from engine.memory import Predictor, Settings, read_layout
from tests.engine.memory.allocations import allocated
from tests.engine.memory.sizes import write_hollow

PROMISE = 0.2
SETTINGS = (
    Settings(8192, devices=()),
    Settings(4096, n_slots=6, devices=()),
    Settings(8192, n_rows=512, devices=()),
    Settings(8192, flash_attn=False, devices=()),
)
ONE_OF_EACH = {row.config.arch: row for row in shapes.load().shape}


@pytest.mark.parametrize("arch", sorted(ONE_OF_EACH))
def test_scratch_of_true_models(arch: str, tmp_path: Path) -> None:
    path = write_hollow(tmp_path / "hollow.gguf", ONE_OF_EACH[arch].config)
    file = read_gguf(path)
    predictor = Predictor(read_layout(file.metadata, file.tensors), file.tensors)
    binding: Any = library()
    native = binding.llama_model_default_params()
    native.no_alloc, native.load_mode, native.use_extra_bufts = True, 0, not has_amx()
    pointer = binding.llama_model_load_from_file(str(path).encode(), native)
    assert pointer
    try:
        model = cast(Model, SimpleNamespace(pointer=pointer, buffers=()))
        for settings in SETTINGS:
            predicted = predictor.estimate(settings).host.compute_bytes
            assert predicted == pytest.approx(allocated(model, settings)["compute"], rel=PROMISE), settings
    finally:
        binding.llama_model_free(pointer)
