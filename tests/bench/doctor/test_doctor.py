from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.doctor import machine as doctor
from bench.doctor.machine import Check, Llama
from bench.shell import Exit
from engine.llama import has_amx
from engine.llama.params import Device
from engine.meter import Gpu, Gpus

CPU = Device("CPU", "some CPU", "cpu", 8 << 30, 16 << 30)
CARD = Device("CUDA0", "NVIDIA H200", "gpu", 130 << 30, 141 << 30)
NVML = Gpus((Gpu(0, "NVIDIA H200", 141 << 30, 130 << 30),), driver="580.1")
NO_NVML = Gpus(problem="NVML does not start: no driver")


@pytest.mark.parametrize(
    ("llama", "nvml", "state", "detail", "fix"),
    [
        (Llama("b", True, False, (CPU, CARD)), NVML, "ok", "NVIDIA H200 (130 GiB free), driver 580.1", ""),
        (Llama("b", True, False, (CPU, CARD)), NO_NVML, "note", "no video memory figures", ""),
        (Llama("b", False, False, (CPU,)), NVML, "note", "built without GPU support", "GGML_CUDA=on"),
        (Llama("b", True, False, (CPU,)), NVML, "note", "llama.cpp sees none", "GGML_CUDA=on"),
        (Llama("b", False, False, (CPU,)), NO_NVML, "note", "none, models run on the CPU", ""),
        (None, NVML, "note", "NVIDIA H200", "GGML_CUDA=on"),
        (Llama("b", True, False, (CPU, CARD)), replace(NVML, doubt="in doubt"), "note", "driver 580.1; in doubt", ""),
    ],
)
def test_the_gpu_line(llama: Llama | None, nvml: Gpus, state: str, detail: str, fix: str) -> None:
    check = doctor._gpu(llama, nvml)
    assert check.state == state
    assert detail in check.detail
    assert (fix in check.fix) if fix else not check.fix


def test_a_library_that_does_not_load_is_a_failure_with_a_fix() -> None:
    check = doctor._llama("libllama.so: cannot open shared object file")
    assert (check.state, check.detail) == ("fail", "libllama.so: cannot open shared object file")
    assert "--force-reinstall" in check.fix


def test_another_version_of_the_binding_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "version_of", lambda name: "0.3.0")
    check = doctor._llama(Llama("b", False, False, (CPU,)))
    assert check.state == "fail"
    assert check.fix == f"{sys.executable} -m pip install {doctor.PIN}"  # not whatever `pip` is on the PATH


def test_amx_kernels_are_said_to_be_left_out() -> None:
    plain, with_amx = (doctor._llama(Llama("b", False, has_amx, (CPU,))) for has_amx in (False, True))
    assert (plain.state, with_amx.state) == ("ok", "note")
    assert "AMX" in with_amx.detail and "AMX" not in plain.detail


def test_the_pin_is_the_one_that_the_project_installs() -> None:
    pyproject = (Path(__file__).resolve().parents[3] / "pyproject.toml").read_text()
    assert f'"{doctor.PIN}"' in pyproject


def _dies() -> Llama:
    os.abort()


def test_a_library_that_kills_its_process_does_not_kill_the_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_llama_facts", _dies)
    answer = doctor.ask_llama()
    assert isinstance(answer, str)
    assert "ends the process" in answer


def test_a_missing_backend_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda module: None if module == "llguidance" else object())
    checks = {check.name: check for check in doctor._backends()}
    assert checks["backend llguidance"].state == "fail"
    assert checks["backend llguidance"].fix == f"{sys.executable} -m pip install llguidance"
    assert checks["backend gbnf"].state == checks["backend outlines"].state == "ok"


def test_the_result_file_line(tmp_path: Path) -> None:
    assert doctor._result_file(tmp_path / "results.db").state == "ok"
    (tmp_path / "notes.txt").write_text("x" * 5000)
    check = doctor._result_file(tmp_path / "notes.txt")
    assert check.state == "fail"
    assert "not a SQLite database" in check.detail


def test_a_cache_folder_counts_its_files_once(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "a").write_bytes(b"x" * 1000)
    (tmp_path / "link").symlink_to(tmp_path / "blobs" / "a")
    assert doctor.folder_bytes(tmp_path) == 1000
    assert doctor.folder_bytes(tmp_path / "missing") == 0


@pytest.mark.parametrize(("state", "code"), [("ok", Exit.OK), ("note", Exit.OK), ("fail", Exit.USAGE)])
def test_only_a_failure_makes_a_machine_unusable(
    state: doctor.State, code: Exit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = [Check("one", "ok", "fine"), Check("two", state, "look at it", "turn it off and on again")]
    monkeypatch.setattr(doctor, "examine", lambda database: checks)
    assert main(["doctor"]) == code
    text = capsys.readouterr().out
    assert "turn it off and on again" in text
    assert ("Not ready" in text) == (state == "fail")
    assert main(["doctor", "--json"]) == code
    assert json.loads(capsys.readouterr().out)["ready"] == (state != "fail")


def test_the_real_machine_is_examined_whole(tmp_path: Path) -> None:
    checks = {check.name: check for check in doctor.examine(tmp_path / "results.db")}
    assert list(checks)[:3] == ["toolgauge", "llama.cpp", "GPU"]
    assert checks["llama.cpp"].state == ("note" if has_amx() else "ok")
    assert {"memory", "backend llguidance", "bundled model", "results", "cache", "downloads"} <= set(checks)
    assert all(check.fix for check in checks.values() if check.state == "fail")
