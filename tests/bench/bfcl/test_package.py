"""Getting the official package: what is checked, what is kept, and what is said where it cannot be had."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.cli.main import main
from bench.suites.bfcl import download, package
from bench.suites.bfcl.download import PullError, files_sha256, pull
from bench.suites.bfcl.package import BFCL, ENVIRONMENT, MPMATH, folder, version

KEPT = {
    "bfcl_eval/__init__.py": b"",
    "bfcl_eval/data/BFCL_v4_simple_python.json": b"{}\n",
    "bfcl_eval/data/possible_answer/BFCL_v4_simple_python.json": b"{}\n",
    "bfcl_eval/eval_checker/ast_eval/ast_checker.py": b"x = 1\n",
}
LEFT = {
    "bfcl_eval/data/BFCL_v4_memory.json": b"{}\n",
    "bfcl_eval/data/unused_datasets/question/BFCL_v4_rest.json": b"{}\n",
    "bfcl_eval/model_handler/api_inference/claude.py": b"x = 1\n",
    "bfcl_eval/../../evil.py": b"x = 1\n",
    "/bfcl_eval/__init__.py": b"x = 1\n",
    "bfcl_eval/eval_checker/..\\evil.py": b"x = 1\n",
    "bfcl_eval-2026.3.23.dist-info/METADATA": b"x\n",
}
CALCULATOR = {"mpmath/__init__.py": b"", "mpmath/libmp/__init__.py": b""}


def write_wheel(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with small wheels that are the pinned ones, and an empty cache."""
    place = tmp_path / "wheels"
    place.mkdir()
    pins = []
    for pin, kept, more in ((BFCL, KEPT, LEFT), (MPMATH, CALCULATOR, {"mpmath/tests/test.py": b""})):
        wheel = write_wheel(place / pin.wheel, {**kept, **more})
        sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
        pins.append(replace(pin, sha256=sha256, files_sha256=files_sha256(kept)))
    for module, name, value in (
        (download, "PINS", tuple(pins)),
        (download, "BFCL", pins[0]),
        (package, "BFCL", pins[0]),
        (package, "MPMATH", pins[1]),
    ):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "cache")
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    return place


def files_below(place: Path) -> dict[str, bytes]:
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_a_wheel_is_checked_and_only_what_is_needed_kept(wheels: Path) -> None:
    pulled = pull(wheels / BFCL.wheel)
    assert pulled.is_new
    there = files_below(pulled.folder)
    assert json.loads(there.pop("toolgauge.json"))["version"] == "2026.3.23"
    assert there == KEPT | CALCULATOR
    assert folder() == pulled.folder / "bfcl_eval"
    assert version(pulled.folder / "bfcl_eval") == "2026.3.23"
    assert [(part.name, part.n_files) for part in pulled.parts] == [("bfcl-eval", 4), ("mpmath", 2)]


def test_nothing_lands_outside_and_nothing_is_left_over(wheels: Path, tmp_path: Path) -> None:
    pulled = pull(wheels)
    assert not list(tmp_path.rglob("evil.py"))
    assert [path.name for path in pulled.folder.parent.iterdir()] == [pulled.folder.name]


def test_what_is_there_stays_unless_it_is_to_be_replaced(wheels: Path) -> None:
    place = pull(wheels).folder
    (place / "mark").touch()
    assert not pull(wheels).is_new
    assert (place / "mark").exists()
    assert pull(wheels, replace=True).is_new
    assert not (place / "mark").exists()


def test_another_wheel_is_refused_and_what_was_there_stays(wheels: Path) -> None:
    place = pull(wheels).folder
    write_wheel(wheels / BFCL.wheel, {**KEPT, "bfcl_eval/__init__.py": b"# other"})
    with pytest.raises(PullError, match=r"is not bfcl-eval 2026\.3\.23: its SHA-256 is"):
        pull(wheels, replace=True)
    assert files_below(place)["bfcl_eval/__init__.py"] == b""


def test_an_unpacked_copy_is_held_against_the_same_pin(wheels: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for name, content in {**KEPT, "bfcl_eval/data/BFCL_v4_memory.json": b"", "bfcl_eval/x.pyc": b""}.items():
        path = copy / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    pulled = pull(copy)
    assert [part.name for part in pulled.parts] == ["bfcl-eval"]
    assert pull(copy / "bfcl_eval", replace=True).is_new
    (copy / "bfcl_eval" / "__init__.py").write_text("x = 1\n")
    with pytest.raises(PullError, match=r"differs from bfcl-eval 2026\.3\.23; give the wheel"):
        pull(copy, replace=True)


def test_a_place_without_the_package_is_named(wheels: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(PullError, match=r"is neither bfcl_eval-.*\.whl nor a folder"):
        pull(tmp_path / "empty")
    with pytest.raises(PullError, match="there is nothing at"):
        pull(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("code", "said", "complaint"),
    [
        (1, "/usr/bin/python: No module named pip\n", "has no pip; get bfcl_eval"),
        (1, "ERROR: Could not find a version\nERROR: No matching\n", r"\(Could not find a version\); get bfcl_eval"),
        (7, "", r"\(exit code 7\)"),
    ],
)
def test_without_pip_or_network_the_way_by_hand_is_said(
    wheels: Path, monkeypatch: pytest.MonkeyPatch, code: int, said: str, complaint: str
) -> None:
    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        assert command[1:4] == ["-m", "pip", "download"]
        return subprocess.CompletedProcess(command, code, "", said)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(PullError, match=complaint) as found:
        pull()
    assert "--from FOLDER" in str(found.value)


def test_what_pip_brings_is_checked_too(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        target = Path(command[command.index("--dest") + 1])
        target.mkdir()
        for path in wheels.iterdir():
            (target / path.name).write_bytes(path.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    said: list[str] = []
    assert pull(tell=said.append).is_new
    assert said == [f"Downloading {BFCL.wheel} and {MPMATH.wheel} with pip"]


def test_a_named_folder_is_taken_with_or_without_the_packages_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bfcl_eval" / "data").mkdir(parents=True)
    for named in (tmp_path, tmp_path / "bfcl_eval"):
        monkeypatch.setenv(ENVIRONMENT, str(named))
        assert folder() == tmp_path / "bfcl_eval"
    assert version(tmp_path / "bfcl_eval") == "unpinned"
    (tmp_path / "bfcl_eval-2025.1.1.dist-info").mkdir()
    assert version(tmp_path / "bfcl_eval") == "2025.1.1"


def test_the_command_says_what_it_got(wheels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pull", "bfcl", "--from", str(wheels / BFCL.wheel)]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"bfcl-eval\W+2026\.3\.23\W+Apache-2\.0", shown)
    assert "BSD-3-Clause" in shown
    assert main(["pull", "bfcl", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["new"] is False
    assert [part["licence"] for part in found["parts"]] == ["Apache-2.0", "BSD-3-Clause"]
    (wheels / MPMATH.wheel).unlink()
    assert main(["pull", "bfcl", "--from", str(wheels), "--force"]) == 0
    assert "Without mpmath-1.3.0" in capsys.readouterr().out


def test_a_suite_that_nobody_pulls_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pull", "gorilla"]) == 2
    assert "bfcl" in capsys.readouterr().err
