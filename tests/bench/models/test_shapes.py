"""shapes.toml: the rows are whole, agree with what was published, and are told apart from wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.models import registry, shapes
from bench.models.registry import RegistryError
from engine.shapes import FAMILIES
from engine.shapes.mix import header

SHAPES = shapes.load()
QWEN3 = """
[[shape]]
name = "qwen3-8b"
n_params = 8_190_735_360
source = "its config.json"
[shape.config]
arch = "qwen3"
hidden_size = 4096
intermediate_size = 12288
num_hidden_layers = 36
num_attention_heads = 32
num_key_value_heads = 8
head_dim = 128
vocab_size = 151936
max_position_embeddings = 40960
"""

# Sizes of files that their publishers made with llama.cpp's own rules, as public download lists have them.
PUBLISHED = {
    ("qwen3-8b", "Q4_K_M"): (399, 5_027_783_488),
    ("llama-3.1-8b", "Q4_K_M"): (292, 4_920_739_232),
    ("gpt-oss-20b", "MXFP4"): (459, 12_109_566_560),
    ("nemotron-3-nano-4b", "Q4_K_M"): (263, 2_837_072_864),
    ("ministral-3-3b", "Q4_K_M"): (236, 2_147_023_008),
}


def test_every_model_of_the_registry_has_a_shape_but_the_bundled_one() -> None:
    models = {model.name for model in registry.load().models if model.file is None}
    assert models <= {row.name for row in SHAPES.shape}


def test_every_family_has_a_row() -> None:
    assert {type(row.config) for row in SHAPES.shape} == {*FAMILIES}


@pytest.mark.parametrize(("model", "level"), PUBLISHED, ids=lambda part: part)
def test_a_published_file_has_these_tensors_and_its_vocabulary_beside_them(model: str, level: str) -> None:
    n_tensors, n_bytes = PUBLISHED[model, level]
    shape = SHAPES.get(model).config
    expected = header(shape, level)
    assert len(expected.tensors) == n_tensors
    assert 32 < (n_bytes - expected.n_bytes) / shape.vocab_size < 72  # bytes of a token with its merge


@pytest.mark.parametrize("row", SHAPES.shape, ids=lambda row: row.name)
def test_a_row_agrees_with_the_registry_on_the_context(row: shapes.ShapeRow) -> None:
    model = registry.load().find(row.name)
    if model is not None:
        assert model.n_ctx <= row.config.max_position_embeddings


def test_a_name_that_is_near_is_suggested() -> None:
    with pytest.raises(RegistryError, match=r"no shape is known for 'qwen3-8'; did you mean qwen3-8b"):
        SHAPES.get("qwen3-8")
    assert SHAPES.get("QWEN3-8B").name == "qwen3-8b"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("num_hidden_layers = 36", "num_hidden_layers = 35", r"make 7,\d{3},\d{3},\d{3} parameters, not 8,190,735,360"),
        ("n_params = 8_190_735_360", "n_params_whole = 8_000_000_000", "cannot be most of 8,000,000,000"),
        ('arch = "qwen3"', 'arch = "qwen9"', "qwen9"),
        ("head_dim = 128", "head_dim = 0", "head_dim: input should be greater than 0"),
        ("head_dim = 128\n", "", "head_dim: field required"),
        ("head_dim = 128\n", "head_dim = 128\nrope_thetta = 1e6\n", "rope_thetta: extra inputs are not permitted"),
        ('source = "its config.json"\n', "", "source: field required"),
        (QWEN3, QWEN3 + QWEN3, "the name 'qwen3-8b' is taken by an earlier shape"),
    ],
)
def test_a_wrong_row_is_refused_with_file_line_and_reason(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    file = tmp_path / "shapes.toml"
    file.write_text(QWEN3.replace(old, new), encoding="utf-8")
    with pytest.raises(RegistryError, match=complaint) as raised:
        shapes.load(file)
    place = str(raised.value).removeprefix(f"{file}:").partition(":")[0]
    assert place.isdigit()
    assert int(place) > 1
