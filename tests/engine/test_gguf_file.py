"""Header facts against files written and read by the `gguf` package, and every way in which a file can be unusable."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import ModelFileError
from engine.gguf_file import read_gguf, same_model, sha256_of
from engine.gguf_header import LongArray, header_from_start, read_header

TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"


def write_model(
    path: Path,
    *,
    file_type: int | None = int(gguf.LlamaFileType.MOSTLY_F16),
    n_layers: int = 2,
    rows: int = 8,
    tokens: int = 100,
    change: Callable[[Any], None] | None = None,
    **split: Any,
) -> Path:
    writer = gguf.GGUFWriter(path, "llama", **split)
    writer.add_name("Tiny")
    writer.add_block_count(n_layers)
    writer.add_context_length(4096)
    if file_type is not None:
        writer.add_file_type(file_type)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([f"t{index}" for index in range(tokens)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    if change:
        change(writer)
    writer.add_tensor("token_embd.weight", np.ones((rows, 32), np.float16))
    writer.add_tensor("blk.0.weight", np.zeros((4, 34), np.uint8), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "tiny.gguf")


def test_facts(model: Path) -> None:
    facts = read_gguf(model)
    assert (facts.arch, facts.name, facts.quant) == ("llama", "Tiny", "F16")
    assert (facts.n_ctx_train, facts.n_layers, facts.n_params) == (4096, 2, 8 * 32 + 4 * 32)
    assert facts.n_bytes == model.stat().st_size
    assert facts.path == model
    assert facts.templates == {"default": TEMPLATE}
    assert (facts.tokenizer.model, facts.tokenizer.pre, facts.tokenizer.n_tokens) == ("gpt2", "qwen2", 100)
    assert (facts.tokenizer.bos, facts.tokenizer.eos, facts.tokenizer.add_bos) == (1, 2, False)
    assert isinstance(facts.metadata["tokenizer.ggml.tokens"], LongArray)


def test_the_header_agrees_with_the_gguf_package(tmp_path: Path) -> None:
    def every_type(writer: Any) -> None:
        for name in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"):
            getattr(writer, f"add_{name}")(f"x.{name}", 100)
        writer.add_float32("x.float32", 0.5)
        writer.add_float64("x.float64", 0.1)
        writer.add_bool("x.bool", True)
        writer.add_string("x.string", "h\u00e9 \u4e16")
        writer.add_array("x.integers", [1, -2, 3])
        writer.add_array("x.strings", ["a", "", "\u00e9"])
        writer.add_array("x.flags", [True, False])

    path = write_model(tmp_path / "all.gguf", change=every_type)
    header, oracle = read_header(path), gguf.GGUFReader(path)
    for key, field in oracle.fields.items():
        if not key.startswith("GGUF.") and key != "tokenizer.ggml.tokens":
            assert header.metadata[key] == field.contents(), key
    assert len(header.metadata) == len(oracle.fields) - 3
    for tensor, expected in zip(header.tensors, oracle.tensors, strict=True):
        assert tensor.name == expected.name
        assert tensor.shape == tuple(int(n) for n in expected.shape)
        assert tensor.n_bytes == expected.n_bytes
        assert tensor.type_id == expected.tensor_type


@pytest.mark.parametrize(
    ("file_type", "quant"),
    [(15, "Q4_K_M"), (7, "Q8_0"), (0, "F32"), (32, "BF16"), (38, "MXFP4_MOE"), (9999, "type9999"), (None, "F16")],
)
def test_the_quantization_level_is_named_as_llama_cpp_names_it(tmp_path: Path, file_type: int, quant: str) -> None:
    assert read_gguf(write_model(tmp_path / "m.gguf", file_type=file_type)).quant == quant


def test_named_templates(tmp_path: Path) -> None:
    def name_another(writer: Any) -> None:
        writer.add_string("tokenizer.chat_template.tool_use", "with tools")

    facts = read_gguf(write_model(tmp_path / "m.gguf", change=name_another))
    assert facts.template(tools=True) == "with tools"
    assert facts.template(tools=False) == TEMPLATE
    assert read_gguf(write_model(tmp_path / "plain.gguf")).template(tools=True) == TEMPLATE


# Files that are none


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"there is no file .*gone\.gguf"):
        read_gguf(tmp_path / "gone.gguf")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="is a folder"):
        read_gguf(tmp_path)


def test_a_path_that_cannot_even_be_looked_at(tmp_path: Path) -> None:
    """As in a folder that may not be entered, which root, as whom the tests may run, always may."""
    with pytest.raises(ModelFileError, match=r"cannot be read \(File name too long\)"):
        read_gguf(tmp_path / ("x" * 300))


def test_an_unreadable_file(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, mode: str = "r") -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # the tests may run as root, whom no mode bits stop
    with pytest.raises(ModelFileError, match=r"cannot be read \(Permission denied\)"):
        read_gguf(model)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello, this is text\n" * 20, r"not a GGUF file: it starts with b'hello, t'"),
        (b"", "not a GGUF file: it is empty"),
        (b"GG", "not a GGUF file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
        (b"GGUF", "cut short inside its header"),
        (b"GGUF" + struct.pack("<I", 1) + bytes(60), "GGUF version 1, which is not supported"),
        (b"GGUF" + struct.pack(">I", 3) + bytes(60), "big-endian GGUF"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60), "cut short or damaged"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0), "cut short or damaged"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**63) + bytes(16), "cut short inside its header"),
        (b"GGUF" + struct.pack("<IQQQ1sI", 3, 0, 1, 1, b"k", 77) + bytes(16), "unknown type 77"),
        (b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"k", 9, 8, 2**40) + bytes(16), "cut short or damaged"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "names no architecture"),
    ],
)
def test_what_is_no_gguf_model_is_said_in_one_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=message):
        read_gguf(path)


def test_a_file_cut_anywhere_is_cut_short(model: Path) -> None:
    whole = model.read_bytes()
    padding = 24  # after the last tensor, which is 136 bytes long
    for length in [*range(4, len(whole) - padding, 37), len(whole) - padding - 1]:
        model.write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match="cut short"):
            read_gguf(model)


def test_cut_tensor_data_says_how_much_is_missing(model: Path) -> None:
    whole = model.read_bytes()
    model.write_bytes(whole[:-100])
    with pytest.raises(ModelFileError, match=rf"has {len(whole) - 100:,} bytes and its tensors need"):
        read_gguf(model)


# Splits


@pytest.fixture
def split(tmp_path: Path) -> list[Path]:
    write_model(tmp_path / "big.gguf", split_max_tensors=1)
    return sorted(tmp_path.glob("big-*-of-*.gguf"))


def test_any_part_of_a_split_stands_for_the_whole(split: list[Path], tmp_path: Path) -> None:
    whole = read_gguf(write_model(tmp_path / "whole.gguf"))
    assert len(split) == 2
    for part in split:
        facts = read_gguf(part)
        assert facts.paths == tuple(split)
        assert facts.path == split[0]
        assert (facts.n_params, facts.quant, facts.arch) == (whole.n_params, whole.quant, whole.arch)
        assert facts.n_bytes == sum(path.stat().st_size for path in split)
    assert same_model(read_gguf(split[0]), whole).same


def test_a_missing_part_is_named(split: list[Path]) -> None:
    split[1].unlink()
    with pytest.raises(ModelFileError, match=r"big-00002-of-00002\.gguf are missing"):
        read_gguf(split[0])


def test_a_cut_part_is_found(split: list[Path]) -> None:
    split[1].write_bytes(split[1].read_bytes()[:-40])
    with pytest.raises(ModelFileError, match=r"big-00002-of-00002\.gguf is cut short"):
        read_gguf(split[0])


def test_a_renamed_part_is_refused(split: list[Path], tmp_path: Path) -> None:
    renamed = split[0].rename(tmp_path / "renamed.gguf")
    with pytest.raises(ModelFileError, match="is one of 2 parts"):
        read_gguf(renamed)


# Hashes


def test_the_hash_is_remembered_until_the_file_changes(model: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "hashes.json"
    expected = hashlib.sha256(model.read_bytes()).hexdigest()
    read_bytes: list[int] = []
    assert sha256_of(read_gguf(model), cache=cache, on_progress=read_bytes.append) == expected
    assert sum(read_bytes) == model.stat().st_size
    assert sha256_of(read_gguf(model), cache=cache, on_progress=read_bytes.append) == expected
    assert sum(read_bytes) == model.stat().st_size  # not read again
    write_model(model, rows=16)
    assert sha256_of(read_gguf(model), cache=cache) == hashlib.sha256(model.read_bytes()).hexdigest() != expected


def test_a_broken_or_forbidden_cache_does_no_harm(model: Path, tmp_path: Path) -> None:
    expected = hashlib.sha256(model.read_bytes()).hexdigest()
    cache = tmp_path / "hashes.json"
    cache.write_text("not json")
    assert sha256_of(read_gguf(model), cache=cache) == expected
    assert sha256_of(read_gguf(model), cache=model / "impossible.json") == expected


def test_the_hash_of_a_split_covers_every_part(split: list[Path], tmp_path: Path) -> None:
    cache = tmp_path / "hashes.json"
    first = sha256_of(read_gguf(split[0]), cache=cache)
    assert sha256_of(read_gguf(split[1]), cache=cache) == first
    data = bytearray(split[1].read_bytes())
    data[-1] ^= 1
    split[1].write_bytes(data)
    assert sha256_of(read_gguf(split[0]), cache=tmp_path / "other.json") != first


# Ladders


def test_two_levels_of_one_model_are_the_same_model(model: Path, tmp_path: Path) -> None:
    def convert_later(writer: Any) -> None:
        writer.add_quantized_by("somebody")
        writer.add_vocab_size(100)

    other = write_model(tmp_path / "q8.gguf", file_type=7, change=convert_later)
    sameness = same_model(read_gguf(model), read_gguf(other))
    assert sameness.same
    assert sameness.notes == ("llama.vocab_size: absent / 100",)
    assert sameness.marks == ()


def test_a_changed_template_is_noted(model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(model.read_bytes().replace(TEMPLATE.encode(), TEMPLATE.upper().encode()))
    sameness = same_model(read_gguf(model), read_gguf(other))
    assert sameness.same
    assert [note.partition(":")[0] for note in sameness.notes] == ["tokenizer.chat_template"]
    assert sameness.marks == sameness.notes


def test_another_name_marks_a_fine_tune_and_another_spelling_does_not(tmp_path: Path) -> None:
    names = ("Qwen3 8B Instruct", "qwen3-8b_instruct", "Hammer")
    first, spelled, tuned = (
        read_gguf(write_model(tmp_path / f"{number}.gguf", change=lambda writer, name=name: writer.add_basename(name)))
        for number, name in enumerate(names)
    )
    assert same_model(first, spelled).marks == ()
    assert len(same_model(first, spelled).notes) == 1
    assert same_model(first, tuned).marks == ("general.basename: 'Qwen3 8B Instruct' / 'Hammer'",)


@pytest.mark.parametrize(
    ("difference", "conflict"),
    [
        ({"n_layers": 3}, "llama.block_count: 2 / 3"),
        ({"rows": 9}, "tensor token_embd.weight: (32, 8) / (32, 9)"),
        ({"tokens": 101}, "tokenizer.ggml.tokens: 100 values"),
    ],
)
def test_another_model_is_not(model: Path, tmp_path: Path, difference: dict[str, int], conflict: str) -> None:
    sameness = same_model(read_gguf(model), read_gguf(write_model(tmp_path / "other.gguf", **difference)))
    assert not sameness.same
    assert len(sameness.conflicts) == 1
    assert sameness.conflicts[0].startswith(conflict)


@pytest.mark.real
def test_real_vocabularies(real_data: Path) -> None:
    sizes = {}
    for path in sorted((real_data / "vocab").glob("*.gguf")):
        facts = read_gguf(path)
        sizes[facts.arch] = facts.tokenizer.n_tokens
    assert sizes == {"qwen2": 151_936, "llama": 128_256, "gemma4": 262_144}


# The beginning of a file


@given(st.data())
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_beginning_of_a_file_is_a_header_or_too_short(model: Path, data: st.DataObject) -> None:
    whole = model.read_bytes()
    header = read_header(model)
    start = whole[: data.draw(st.integers(24, len(whole)))]
    found = header_from_start(start, len(whole), Path("org/repo/model.gguf"))
    assert found in (None, header)
    assert found == header or len(start) < len(whole)
    longer = header_from_start(whole[: len(start) + 1], len(whole), Path("model.gguf"))
    assert found is None or longer == header


def test_a_file_that_ends_inside_its_header_is_damaged_and_no_beginning(model: Path) -> None:
    start = model.read_bytes()[:100]
    assert header_from_start(start, 1000, Path("model.gguf")) is None
    with pytest.raises(ModelFileError, match="cut short or damaged inside its header"):
        header_from_start(start, 100, Path("model.gguf"))


def test_a_number_for_each_layer_is_kept_and_longer_lists_are_hashed(tmp_path: Path) -> None:
    path = tmp_path / "deep.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_array("llama.attention.head_count_kv", [index % 8 for index in range(512)])
    writer.add_array("llama.many", list(range(513)))
    writer.add_array("llama.words", [str(index) for index in range(65)])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    metadata = read_header(path).metadata
    assert metadata["llama.attention.head_count_kv"] == [index % 8 for index in range(512)]
    assert isinstance(metadata["llama.many"], LongArray)
    assert isinstance(metadata["llama.words"], LongArray)
