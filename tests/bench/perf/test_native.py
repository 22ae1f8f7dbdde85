"""llama.cpp's own speed tools: reading what they print (recorded of llama.cpp 0c1e570), running and finding them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.perf import native_tools
from bench.perf.native import (
    Like,
    ToolError,
    llama_batched_bench,
    llama_bench,
    read_llama_batched_bench,
    read_llama_bench,
)
from bench.perf.native_tools import NOTE, NativeTool, ToolName, find, tools_folder
from bench.perf.record import built_otherwise
from engine.errors import ToolgaugeError
from engine.llama import system_info

OUTPUTS = Path(__file__).with_name("outputs")
BENCH = (OUTPUTS / "llama-bench.json").read_text(encoding="utf-8")
BATCHED = (OUTPUTS / "llama-batched-bench.jsonl").read_text(encoding="utf-8")
WANTED = {"pp": 64, "tg": 32, "pl": 4, "n_threads": 2}
LIKE = Like(Path("m.gguf"), 512, 256, 2, -1, True, "f16", "q8_0")


def test_llama_benchs_time_is_that_of_its_tokens() -> None:
    run = read_llama_bench(BENCH, depth=64, n_tokens=31, n_threads=2)
    assert (run.n_tokens, run.seconds) == (31, pytest.approx(13.332672118))
    assert run.n_tokens / run.seconds == pytest.approx(run.says["avg_ts"], rel=1e-5)
    assert run.says["build_commit"] == "0c1e570"


def test_llama_batched_benchs_time_is_that_of_decoding_all_sequences() -> None:
    run = read_llama_batched_bench(BATCHED, WANTED)
    assert (run.n_tokens, run.seconds) == (128, pytest.approx(35.203903))
    assert run.n_tokens / run.seconds == pytest.approx(run.says["speed_tg"], rel=1e-5)


def changed(**values: Any) -> str:
    (test,) = json.loads(BENCH)
    return json.dumps([{**test, **values}])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "printed no JSON: nothing"),
        ("[\n", "printed no JSON: ["),  # what it leaves when the model does not load
        ("{}", "printed no single test"),
        ("[]", "printed no single test"),
        (changed(n_gen=128), "says n_gen = 128 where 31 was asked for; is it another version?"),
        (changed(n_depth=0), "says n_depth = 0 where 64"),
        (changed(n_threads=4), "says n_threads = 4 where 2"),
        (changed(samples_ns=[]), r"no time of its single repetition \(samples_ns\): \[\]"),
        (changed(samples_ns=[1, 2]), "no time of its single repetition"),
        (changed(samples_ns=[0]), "printed no time"),
        (changed(samples_ns=["fast"]), "printed no time"),
    ],
)
def test_what_llama_bench_should_not_print_is_named(text: str, says: str) -> None:
    with pytest.raises(ToolError, match=says.replace("[", r"\[") if says.endswith("[") else says):
        read_llama_bench(text, depth=64, n_tokens=31, n_threads=2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\n", "printed 0 results in place of one: nothing"),  # its context was too small
        (BATCHED * 2, "printed 2 results in place of one"),
        ('{"pp": 64,', "printed no JSON"),
        (BATCHED.replace('"pl": 4', '"pl": 1'), "says pl = 1 where 4 was asked for"),
        (BATCHED.replace('"t_tg": 35.203903', '"t_tg": 0.0'), r"printed no time \(t_tg = 0.0\)"),
        (BATCHED.replace('"t_tg"', '"t_other"'), r"printed no time \(t_tg = None\)"),
    ],
)
def test_what_llama_batched_bench_should_not_print_is_named(text: str, says: str) -> None:
    with pytest.raises(ToolError, match=says):
        read_llama_batched_bench(text, WANTED)


def fake(folder: Path, name: ToolName, body: str) -> NativeTool:
    """A program that writes its arguments beside itself and does as `body` says."""
    path = folder / name
    note = "import json, pathlib, sys\npathlib.Path(__file__ + '.asked').write_text(json.dumps(sys.argv[1:]))\n"
    path.write_text(f"#!{sys.executable}\n{note}{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return NativeTool(name, path)


def asked(tool: NativeTool) -> dict[str, str]:
    words = json.loads(Path(f"{tool.path}.asked").read_text(encoding="utf-8"))
    return dict(zip(words[::2], words[1::2], strict=True))


def test_the_tools_are_asked_for_what_ours_does(tmp_path: Path) -> None:
    bench = fake(tmp_path, "llama-bench", f"print({BENCH!r})")
    assert llama_bench(bench, LIKE, depth=64, n_tokens=31).n_tokens == 31
    same = {"-m": "m.gguf", "-b": "512", "-ub": "256", "-t": "2", "-ngl": "-1", "-fa": "on", "-ctk": "f16"}
    same["-ctv"] = "q8_0"
    assert asked(bench) == same | {"-p": "0", "-n": "31", "-d": "64", "-r": "1", "-o": "json"}

    batched = fake(tmp_path, "llama-batched-bench", f"print('a log line')\nprint({BATCHED!r})")
    assert llama_batched_bench(batched, LIKE, n_sequences=4, n_prompt=64, n_tokens=32).n_tokens == 128
    alone = asked(batched)
    llama_batched_bench(batched, LIKE, n_sequences=4, n_prompt=64, n_tokens=32, unified=True)
    *words, last = json.loads(Path(f"{batched.path}.asked").read_text(encoding="utf-8"))
    assert (last, dict(zip(words[::2], words[1::2], strict=True))) == ("-kvu", alone)
    own = {"-tb": "2", "-c": "384", "-npp": "64", "-ntg": "32", "-npl": "4", "--output-format": "jsonl"}
    assert alone == same | own


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (
            "print('[')\nsys.exit('llama_bench: error: failed to load model')",
            r"failed \(exit code 1\): .*failed to load",
        ),
        ("import os\nos.kill(os.getpid(), 9)", r"failed \(signal 9\): nothing"),
        ("sys.exit(3)", r"failed \(exit code 3\): nothing"),
    ],
)
def test_a_tool_that_fails_is_one_sentence(tmp_path: Path, body: str, says: str) -> None:
    with pytest.raises(ToolError, match=says):
        llama_bench(fake(tmp_path, "llama-bench", body), LIKE, depth=64, n_tokens=31)


def test_a_tool_that_cannot_be_run_is_one_sentence(tmp_path: Path) -> None:
    tool = fake(tmp_path, "llama-bench", "")
    tool.path.write_text("#!/no/such/interpreter\n", encoding="utf-8")
    with pytest.raises(ToolError, match="cannot be run: no such file"):
        llama_bench(tool, LIKE, depth=1, n_tokens=1)


def test_a_given_tool_comes_first_then_the_built_ones_then_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert find("llama-bench") is None
    places = [tmp_path / "bin", tools_folder(whole=True), tools_folder(), tmp_path / "mine"]
    for folder in places:
        folder.mkdir(parents=True)
        fake(folder, "llama-bench", "")
        if folder != places[-1]:
            found = find("llama-bench")
            assert found is not None
            assert (found.path.parent, found.built) == (folder, None)
    (tools_folder() / NOTE).write_text('{"libraries": "x"}', encoding="utf-8")
    built, given = find("llama-bench"), find("llama-bench", places[-1] / "llama-bench")
    assert built is not None
    assert given is not None
    assert (built.built, given.path.parent, given.built) == ({"libraries": "x"}, places[-1], None)


def test_a_given_tool_that_is_no_program_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("", encoding="utf-8")  # no one may execute it
    for path in (tmp_path / "none", tmp_path, tmp_path / "text"):
        with pytest.raises(ToolgaugeError, match="no program that could be run as llama-bench"):
            find("llama-bench", path)


def test_tools_of_another_build_are_warned_of() -> None:
    def warning(built: dict[str, Any] | None) -> str | None:
        return built_otherwise({"llama-bench": NativeTool("llama-bench", Path("x"), built)})

    assert built_otherwise({}) is None
    assert warning({"libraries": "the binding's"}) is None
    assert warning({"libraries": "its own", "system_info": system_info()}) is None
    assert "is not known" in (warning(None) or "")
    other = warning({"libraries": "its own", "system_info": f"{system_info()} | NOVEL = 1"})
    assert other is not None
    assert "other options than the binding (NOVEL = 1)" in other


def test_libraries_are_looked_for_where_the_binding_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLAMA_CPP_LIB_PATH", raising=False)
    own = tools_folder()
    assert native_tools.binding_libraries().is_dir()
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(tmp_path))
    assert native_tools.binding_libraries() == tmp_path
    assert tools_folder() != own
