"""The types at each level, held against what llama.cpp itself would choose for the same file."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ToolgaugeError
from engine.llama import quantizer
from engine.shapes import Shape
from engine.shapes.mix import LEVELS, TYPES, header, kinds, level, tensors
from engine.shapes.tokens import made_up_tokens
from engine.shapes.writer import write
from tests.engine.shapes.every import N_TOKENS, TINY

QUANTIZED = [name for name in LEVELS if name not in ("F32", "F16", "BF16")]
TENSOR = re.compile(r"^\[ *\d+/ *\d+\] +(\S+) .*type = +(\w+),.*?(?:\((\w+)\))?\s*$")


def deep(shape: Shape, **more: Any) -> Shape:
    """Deep enough for the rules that count layers, and wide enough for blocks of 256."""
    wide = ("intermediate_size", "moe_intermediate_size", "shared_expert_intermediate_size")
    sizes: dict[str, Any] = {"hidden_size": 256, "num_hidden_layers": 16}
    sizes |= {name: 256 for name in wide if getattr(shape, name, None)}
    pattern = getattr(shape, "hybrid_override_pattern", None)
    if pattern:
        sizes["hybrid_override_pattern"] = pattern * 4
    return shape.changed(sizes | more)


def chosen_by_llama_cpp(path: Path, level_name: str) -> dict[str, str]:
    lines = quantizer._run(path, path, LEVELS[level_name].file_type, pure=False, n_threads=1, dry_run=True)
    found = [match for line in lines if (match := TENSOR.match(line.text))]
    return {match[1]: (match[3] or match[2]).upper() for match in found}


@pytest.mark.parametrize("arch", TINY)
def test_every_tensor_gets_the_type_that_llama_cpp_gives_it(arch: str, tmp_path: Path) -> None:
    shape = deep(TINY[arch])
    path = write(tmp_path / "model.gguf", shape, "F16", made_up_tokens(N_TOKENS))
    for name in ("Q4_K_M", "Q3_K_M", "IQ4_XS", "MXFP4_MOE"):
        assert kinds(shape, name) == chosen_by_llama_cpp(path, name), name


EIGHT = {"num_experts": 8}
ODD = {"intermediate_size": 96, "hidden_size": 320}


@pytest.mark.parametrize("shape", [deep(TINY["qwen3moe"], **EIGHT), deep(TINY["llama"], **ODD)], ids=["eight", "odd"])
def test_eight_experts_and_odd_widths_have_rules_of_their_own_at_every_level(shape: Shape, tmp_path: Path) -> None:
    path = write(tmp_path / "model.gguf", shape, "F16", made_up_tokens(N_TOKENS))
    for name in QUANTIZED:
        assert kinds(shape, name) == chosen_by_llama_cpp(path, name), name


def test_the_numbers_of_types_and_levels_are_ggmls() -> None:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, LlamaFileType

    for name, (values, n_bytes, number) in TYPES.items():
        kind = GGMLQuantizationType(number)
        assert (kind.name, GGML_QUANT_SIZES[kind]) == (name, (values, n_bytes))
    for name, found in LEVELS.items():
        assert LlamaFileType(found.file_type).name in (f"MOSTLY_{name}", f"ALL_{name}")


def test_tensors_lie_one_after_another_at_multiples_of_32() -> None:
    placed = tensors(TINY["qwen3"], "Q8_0")
    for before, after in pairwise(placed):
        end = before.offset + (before.n_bytes or 0)
        assert end <= after.offset < end + 32
        assert after.offset % 32 == 0
    assert header(TINY["qwen3"], "Q8_0").n_bytes == placed[-1].offset + (placed[-1].n_bytes or 0)


@pytest.mark.parametrize(("asked", "official"), [("q4_k_m", "Q4_K_M"), ("mxfp4", "MXFP4_MOE"), ("F16", "F16")])
def test_levels_are_found_in_any_case(asked: str, official: str) -> None:
    assert level(asked) == official


def test_a_level_with_rules_of_its_own_is_refused_with_those_there_are() -> None:
    with pytest.raises(ToolgaugeError, match=r"'UD-Q4_K_XL' are not known; choose one of llama.cpp's own: F32, F16"):
        level("UD-Q4_K_XL")
