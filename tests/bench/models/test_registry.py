"""models.toml as it is shipped, and every way of breaking one: the message names the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.models import registry
from bench.models.registry import RegistryError
from engine.formats import NATIVE, detect
from engine.gguf_file import read_gguf

ROW = """\
# a comment
[[model]]
name = "tiny"
title = "Tiny"
repo = "someone/Tiny-GGUF"
files = "Tiny-{quant}.gguf"
quants = ["Q4_K_M", "Q8_0"]
default_quant = "Q4_K_M"
format = "hermes"
n_ctx = 4096
license = "MIT"
verified = false
sampling = { temperature = 0.7 }
[model.sources]
repo = "a"
files = "b"
format = "c"
n_ctx = "d"
license = "e"
sampling = "f"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "models.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_registry_is_whole() -> None:
    shipped = registry.load()
    assert {model.name for model in shipped.models} >= {
        *("nano", "qwen3-8b", "qwen3.5-4b", "qwen3.5-9b", "qwen3.6-27b", "qwen3-coder-next", "glm-4.7-flash"),
        *("nemotron-3-nano-4b", "nemotron-3-nano-30b", "mistral-nemo-12b", "mistral-small-3.2", "ministral-3-3b"),
        *("gpt-oss-20b", "gemma-4-31b", "llama-3.1-8b", "hammer-2.1-7b", "xlam-2-8b"),
    }
    for model in shipped.models:
        assert all(source.strip() for source in model.sources.values())
        # Nobody could open the files of the others; a row that claims otherwise needs a check like the one below.
        assert model.verified == (model.name == "nano")


def test_the_bundled_row_agrees_with_the_bundled_file() -> None:
    nano = registry.load().get("nano")
    assert nano.bundled_path is not None
    if not nano.bundled_path.is_file():
        pytest.skip(f"{nano.bundled_path.name} has not been made yet")
    facts = read_gguf(nano.bundled_path)
    assert (facts.n_ctx_train, facts.quant) == (nano.n_ctx, nano.default_quant)
    template = facts.template(tools=True)
    assert template is not None
    found = detect(template).format
    assert found is not None
    assert found.id == nano.format


def test_a_model_is_found_by_its_name_in_any_case(tmp_path: Path) -> None:
    models = registry.load(write(tmp_path, ROW))
    assert models.get("TINY").filename("Q8_0") == "Tiny-Q8_0.gguf"
    assert models.get("tiny").bundled_path is None
    assert models.find("other") is None
    with pytest.raises(RegistryError, match=r"no model 'tinny'; did you mean tiny\?"):
        models.get("tinny")
    with pytest.raises(RegistryError, match="no model 'zzz'; choose one of: tiny"):
        models.get("zzz")


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ('name = "tiny"\n', "", 2, "name: field required"),
        ('name = "tiny"', 'name = "Tiny Model"', 3, "name: string should match pattern"),
        ("n_ctx = 4096", "n_ctx = 0", 10, "n_ctx: input should be greater than 0"),
        ("n_ctx = 4096", 'n_ctx = "long"', 10, "n_ctx: input should be a valid integer"),
        ('format = "hermes"', 'format = "heremes"', 9, "format: is no model's own format; choose one of: "),
        ('files = "Tiny-{quant}.gguf"', 'files = "Tiny.gguf"', 6, "files: must contain {quant} once"),
        ('license = "MIT"', 'license = "MIT"\ncolour = "red"', 12, "colour: extra inputs are not permitted"),
        ("{ temperature = 0.7 }", "{ temperature = -1 }", 13, "sampling.temperature: input should be greater"),
        ('default_quant = "Q4_K_M"', 'default_quant = "Q2_K"', 2, "default_quant 'Q2_K' is not among quants"),
        ('n_ctx = "d"\n', "", 2, "no source is given for n_ctx"),
        ('n_ctx = "d"', 'n_ctx = ""', 18, "sources.n_ctx: string should have at least 1 character"),
        ('n_ctx = "d"', 'n_ctx = "d"\ntitle = "x"', 2, "a source is given for title, which the row does not have"),
        ('repo = "someone/Tiny-GGUF"\n', "", 2, "give either repo and files, or file"),
        ("verified = false", 'verified = false\nfile = "x.gguf"', 2, "give either repo and files, or file"),
        ("[[model]]", "[[models]]", 2, "models: extra inputs are not permitted"),
    ],
)  # fmt: skip
def test_a_broken_row_names_file_line_and_reason(tmp_path: Path, old: str, new: str, line: int, reason: str) -> None:
    assert old in ROW
    path = write(tmp_path, ROW.replace(old, new, 1))
    with pytest.raises(RegistryError) as error:
        registry.load(path)
    assert str(error.value).startswith(f"{path}:{line}: {reason}")


def test_the_line_is_that_of_the_right_row(tmp_path: Path) -> None:
    second = ROW.replace('"tiny"', '"other"').replace("n_ctx = 4096", "n_ctx = -4096")
    path = write(tmp_path, ROW + second)
    with pytest.raises(RegistryError, match=r"models\.toml:30: n_ctx"):
        registry.load(path)


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    path = write(tmp_path, ROW + ROW)
    with pytest.raises(RegistryError, match=r"models\.toml:23: the name 'tiny' is taken"):
        registry.load(path)


def test_a_file_that_is_no_toml_names_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, ROW + "n_ctx = = 3\n")
    with pytest.raises(RegistryError, match=r"models\.toml is not TOML: .*at line 21"):
        registry.load(path)
    path.write_bytes(b'name = "\xff"')
    with pytest.raises(RegistryError, match="is not UTF-8"):
        registry.load(path)


def test_another_registry_by_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLGAUGE_MODELS", str(write(tmp_path, ROW)))
    assert [model.name for model in registry.load().models] == ["tiny"]
    monkeypatch.setenv("TOOLGAUGE_MODELS", str(tmp_path / "gone.toml"))
    with pytest.raises(RegistryError, match=r"gone\.toml cannot be read .*TOOLGAUGE_MODELS"):
        registry.load()


def test_every_format_named_in_the_registry_is_known() -> None:
    assert {model.format for model in registry.load().models} <= set(NATIVE)
