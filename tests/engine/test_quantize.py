from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from engine import quantize as module
from engine.errors import ToolgaugeError
from engine.gguf_file import read_gguf
from engine.llama import ContextParams, LoadParams, load_model
from engine.quantize import LADDER, cached_path, default_cache, find_level, is_made, quantize, size_estimate
from tests.tiny_gguf import write_tiny_model


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("source") / "tiny-F16.gguf", width=256)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that the tests of this module share, as runs would."""
    return tmp_path_factory.mktemp("cache")


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def logits(path: Path) -> np.ndarray:
    with load_model(path, LoadParams(n_gpu_layers=0)) as model:
        context = model.context(ContextParams(n_ctx=256, n_threads=1))
        batch = context.batch()
        row = batch.add(model.tokenize("What is the weather"), position=0, sequence=0, n_outputs=1)
        context.decode(batch)
        return context.logits(row).copy()


def test_a_ladder_gets_smaller_and_rougher(source: Path, cache: Path) -> None:
    exact = logits(source)
    sizes, errors = [source.stat().st_size], [0.0]
    for level, quantization in (("Q8_0", "Q8_0"), ("Q4_K_M", "Q4_K - Medium"), ("Q2_K-pure", "Q2_K - Medium")):
        fractions: list[float] = []
        path = quantize(source, level, cache, fractions.append)
        assert path.name == f"tiny-{level}.gguf"
        assert fractions == sorted(fractions) and len(fractions) > 10 and fractions[-1] == 1.0
        with load_model(path, LoadParams(n_gpu_layers=0)) as model:
            assert model.quantization == quantization
        sizes.append(path.stat().st_size)
        errors.append(float(np.abs(logits(path) - exact).mean()))
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)
    assert files_in(cache) == ["tiny-Q2_K-pure.gguf", "tiny-Q4_K_M.gguf", "tiny-Q8_0.gguf"]


def test_what_was_made_is_found_again_and_other_sources_are_not(
    source: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = quantize(source, "Q8_0", cache)

    def refuse(*_args: object, **_settings: object) -> None:
        raise AssertionError("nothing has to be made")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert quantize(source, "q8_0", cache) == made
    renamed = tmp_path / "renamed-f16.gguf"
    shutil.copy(source, renamed)
    with pytest.raises(AssertionError):  # another name, so it shall appear under that
        quantize(renamed, "Q8_0", cache)
    other = write_tiny_model(tmp_path / "tiny-F16.gguf", seed=1, width=256)
    with pytest.raises(AssertionError):
        quantize(other, "Q8_0", cache)


def test_the_sources_own_level_is_the_source(source: Path, cache: Path) -> None:
    assert quantize(source, "F16", cache) == source
    assert size_estimate(source, "f16") == source.stat().st_size


def test_the_size_is_known_beforehand(source: Path, cache: Path) -> None:
    assert size_estimate(source, "Q4_K_M") == pytest.approx(quantize(source, "Q4_K_M", cache).stat().st_size, rel=0.02)


def test_every_level_of_the_ladder_is_known() -> None:
    assert [find_level(name).name for name in LADDER] == list(LADDER)
    assert len({find_level(name).file_type for name in LADDER}) == len(LADDER)
    pure, mixed = find_level("q2_k-PURE"), find_level("Q2_K")
    assert (pure.name, pure.pure, pure.file_type) == ("Q2_K-pure", True, mixed.file_type)


@pytest.mark.parametrize("name", ["Q5", "", "-pure", "GUESSED", "Q4_K_M-Pure-pure"])
def test_an_unknown_level_is_answered_with_those_there_are(name: str, source: Path) -> None:
    with pytest.raises(ToolgaugeError, match=r"no quantization level .*BF16.*IQ4_XS.*Q4_K_M.*Q8_0"):
        quantize(source, name)


def test_what_is_quantized_already_is_refused(source: Path, cache: Path, tmp_path: Path) -> None:
    quantized = quantize(source, "Q8_0", cache)
    for level in ("Q4_K_M", "Q8_0"):
        with pytest.raises(ToolgaugeError, match=r"tiny-Q8_0.gguf is quantized already \(Q8_0\).*F32, BF16 or F16"):
            quantize(quantized, level, tmp_path)
    assert files_in(tmp_path) == []


def test_a_level_that_needs_an_importance_matrix_says_so(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ToolgaugeError, match="to IQ2_XS failed: this level needs an importance matrix"):
        quantize(source, "IQ2_XS", tmp_path)
    assert files_in(tmp_path) == []


def test_a_disk_without_room_is_noticed_before_it_is_full(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil._ntuple_diskusage(10**9, 10**9 - 500_000, 500_000)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(ToolgaugeError, match=r"takes 1.4 MiB in .*, where 0.5 MiB are free; make room there"):
        quantize(source, "Q8_0", tmp_path)
    assert files_in(tmp_path) == []


@contextmanager
def file_size_limit(n_bytes: int) -> Iterator[None]:
    """The nearest thing to a full disk that a test can have: children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_fails_leaves_nothing_behind(source: Path, tmp_path: Path) -> None:
    with file_size_limit(300_000), pytest.raises(ToolgaugeError, match="could not be written; the disk is full"):
        quantize(source, "Q8_0", tmp_path)
    assert files_in(tmp_path) == []


def test_a_cache_that_cannot_be_written_is_one_sentence(source: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(ToolgaugeError, match=r"cannot be kept in .*make it writable, or choose another"):
        quantize(source, "Q8_0", tmp_path / "cache")


def test_a_child_that_is_aborted_is_an_error_with_its_last_words(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "aborts"
    script.write_text("#!/bin/sh\necho 'GGML_ASSERT(fine) failed' >&2\nkill -ABRT $$\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    with pytest.raises(ToolgaugeError, match=r"broke off \(exit code -6; .*GGML_ASSERT\(fine\) failed"):
        quantize(source, "Q8_0", tmp_path / "cache")
    assert files_in(tmp_path / "cache") == []


def test_an_interrupt_ends_the_child_and_leaves_nothing_behind(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    children: list[subprocess.Popen[str]] = []
    popen = subprocess.Popen

    def remember(*args: object, **settings: object) -> subprocess.Popen[str]:
        children.append(popen(*args, **settings))  # type: ignore[call-overload]
        return children[-1]

    def interrupt(_fraction: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", remember)
    with pytest.raises(KeyboardInterrupt):
        quantize(source, "Q8_0", tmp_path, interrupt)
    assert [child.returncode is not None for child in children] == [True]
    assert files_in(tmp_path) == []


def test_a_child_whose_parent_is_gone_removes_what_it_wrote(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "orphan.part"
    target.touch()
    job = {"source": str(source), "target": str(target), "file_type": find_level("Q8_0").file_type, "pure": False}
    reader, writer = os.pipe()
    os.close(reader)
    root = Path(module.__file__).parents[1]
    child = subprocess.run(
        [sys.executable, "-m", "engine.quantize_child", json.dumps(job)], stdout=writer, cwd=root, check=False
    )
    os.close(writer)
    assert child.returncode == 1
    assert not target.exists()


def test_modules_in_the_current_folder_are_not_run(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with an `engine/` package of its own, and a download with a `psutil.py` in it."""
    poison = f"open({str(tmp_path / 'poisoned')!r}, 'w').close()"
    (tmp_path / "engine").mkdir()
    for name in ("engine/__init__.py", "engine/quantize_child.py", "psutil.py"):
        (tmp_path / name).write_text(poison)
    expected = size_estimate(source, "Q8_0")
    monkeypatch.chdir(tmp_path)
    assert size_estimate(source, "Q8_0") == expected
    assert files_in(tmp_path) == ["__init__.py", "psutil.py", "quantize_child.py"]


def test_a_child_that_prints_something_else_is_a_sentence(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('hello')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ToolgaugeError, match=r"engine\.quantize_child printed .* 'hello'"):
        size_estimate(source, "Q8_0")


def test_parts_of_dead_writers_are_removed_and_those_of_living_ones_kept(source: Path, tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    folder = module.cached_path(module.read_gguf(source), find_level("Q4_0"), tmp_path).parent
    folder.mkdir(parents=True)
    abandoned, foreign = folder / f".tiny-Q4_0.gguf.{dead.pid}.part", folder / f".tiny-Q4_0.gguf.{os.getppid()}.part"
    abandoned.touch()
    foreign.touch()
    quantize(source, "Q4_0", tmp_path)
    assert files_in(tmp_path) == [foreign.name, "tiny-Q4_0.gguf"]


def test_a_file_that_was_made_is_known_by_its_place(tmp_path: Path) -> None:
    source = write_tiny_model(tmp_path / "tiny-F16.gguf")
    made = cached_path(read_gguf(source), find_level("Q4_K_M"), default_cache())
    assert is_made(made)
    assert not is_made(source)
    assert not is_made(Path("/models/quantized/tiny/b1/tiny-Q4_K_M.gguf"))
