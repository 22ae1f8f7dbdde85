"""Building llama.cpp's speed tools: from a small distribution of our own, with compilers that are scripts."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from bench.perf.build_tools import build_tools, main
from bench.perf.commands import BuildError, first_error
from bench.perf.native_tools import NOTE, TOOLS, binding_version, find
from bench.perf.sdist import unpack

NAME = f"llama_cpp_python-{binding_version()}"
SOURCE = f"{NAME}/vendor/llama.cpp"
LOG = "\n".join(
    [
        "## [Unreleased]",
        "- feat: update llama.cpp to ggml-org/llama.cpp@fffffff",
        f"## [{binding_version()}]",
        "- feat: update llama.cpp to ggml-org/llama.cpp@0c1e57098",
        "## [0.1.0]",
        "- feat: update llama.cpp to ggml-org/llama.cpp@aaaaaaa",
    ]
)
FILES = {
    f"{NAME}/CHANGELOG.md": LOG,
    f"{NAME}/llama_cpp/llama.py": "not wanted",
    f"{SOURCE}/CMakeLists.txt": "",
    f"{SOURCE}/tools/llama-bench/main.cpp": "",
    f"{SOURCE}/tools/llama-bench/llama-bench.cpp": "",
    f"{SOURCE}/tools/batched-bench/main.cpp": "",
    f"{SOURCE}/tools/batched-bench/batched-bench.cpp": "",
}
# Compiles by writing its arguments to the file that it is to make.
COMPILER = """
if "--version" in sys.argv:
    print("fake++ 1.0")
else:
    made = pathlib.Path(sys.argv[sys.argv.index("-o") + 1])
    made.write_text(json.dumps(sys.argv[1:]))
    made.chmod(0o755)
"""
# Configures by remembering its arguments, and builds where cmake would.
CMAKE = """
log = pathlib.Path(__file__ + ".asked")
log.write_text((log.read_text() if log.exists() else "") + json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1] == "--build":
    made = pathlib.Path(sys.argv[2]) / "bin"
    made.mkdir(parents=True)
    for name in ("llama-bench", "llama-batched-bench"):
        (made / name).write_text("made")
else:
    compiler = pathlib.Path(sys.argv[4]) / "CMakeFiles" / "3.0" / "CMakeCXXCompiler.cmake"
    compiler.parent.mkdir(parents=True)
    compiler.write_text('set(CMAKE_CXX_COMPILER_ID "GNU")\\nset(CMAKE_CXX_COMPILER_VERSION "12.2.0")')
"""


def sdist(path: Path, files: Mapping[str, str] = FILES) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


class Machine:
    """A cache, a PATH with nothing but what is put there, and a binding with its libraries."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bin, self.libraries = folder / "bin", folder / "site" / "llama_cpp" / "lib"
        self.common = folder / "site" / "lib"
        for path in (self.bin, self.libraries, self.common):
            path.mkdir(parents=True)
        monkeypatch.setenv("PATH", str(self.bin))
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(self.libraries))
        for name in ("CXX", "CMAKE_ARGS"):
            monkeypatch.delenv(name, raising=False)
        suffix = "dylib" if sys.platform == "darwin" else "so"
        (self.common / f"libllama-common.{suffix}").write_text("")
        self.sdist = sdist(folder / f"{NAME}.tar.gz")

    def install(self, name: str, body: str) -> Path:
        path = self.bin / name
        path.write_text(f"#!{sys.executable}\nimport json, pathlib, sys\n{body}\n", encoding="utf-8")
        path.chmod(0o755)
        return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_the_tools_are_compiled_against_the_bindings_libraries_once(machine: Machine) -> None:
    compiler = machine.install("c++", COMPILER)
    said: list[str] = []
    folder = build_tools(machine.sdist, say=said.append)
    assert said == ["compiling the tools of llama.cpp 0c1e57098"]
    for name, directory in (("llama-bench", "llama-bench"), ("llama-batched-bench", "batched-bench")):
        asked = json.loads((folder / name).read_text(encoding="utf-8"))
        sources = [Path(word) for word in asked if word.endswith(".cpp")]
        assert {(path.parent.name, path.name) for path in sources} == {
            (directory, "main.cpp"),
            (directory, f"{directory}.cpp"),
        }
        for place in (machine.libraries, machine.common):
            assert f"-L{place}" in asked
            assert f"-Wl,-rpath,{place}" in asked
        assert {"-lllama-common", "-lllama", "-lggml", "-DNDEBUG"} <= {*asked}
    note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    assert note["llama_cpp_commit"] == "0c1e57098"
    assert (note["libraries"], note["compiler"]) == ("the binding's", "fake++ 1.0")
    assert len(note["sdist_sha256"]) == 64
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]  # nothing is left behind

    compiler.unlink()  # nothing is compiled, and no source looked for, the second time
    assert build_tools(Path("none"), say=said.append) == folder
    assert said[1:] == ["they are there already"]
    found = find("llama-bench")
    assert found is not None
    assert (found.path, found.built) == (folder / "llama-bench", note)


def test_all_of_llama_cpp_is_compiled_with_the_options_of_the_binding(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.install("c++", COMPILER)
    cmake = machine.install("cmake", CMAKE)
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_CUDA=ON '-DA=b c'")
    folder = build_tools(machine.sdist, whole=True, n_jobs=3, say=lambda text: None)
    configured, built = map(json.loads, Path(f"{cmake}.asked").read_text(encoding="utf-8").splitlines())
    assert {"-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=ON", "-DGGML_CUDA=ON", "-DA=b c"} <= {*configured}
    assert "-DLLAMA_BUILD_COMMIT=0c1e57098" in configured
    assert built[built.index("--parallel") + 1] == "3"
    assert built[built.index("--target") + 1 :] == [*TOOLS]
    note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    assert (note["libraries"], note["compiler"], note["system_info"]) == ("its own", "GNU 12.2.0", None)

    monkeypatch.setenv("CMAKE_ARGS", "")  # other options: built again
    assert build_tools(machine.sdist, whole=True, say=lambda text: None) == folder
    assert len(Path(f"{cmake}.asked").read_text(encoding="utf-8").splitlines()) == 4
    assert "-DGGML_CUDA=ON" not in json.loads((folder / NOTE).read_text(encoding="utf-8"))["options"]


def test_what_is_missing_is_one_sentence(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(says: str, *, whole: bool = False, source: Path | None = machine.sdist) -> None:
        with pytest.raises(BuildError, match=says):
            build_tools(source, whole=whole, say=lambda text: None)

    fails("a C.. compiler is not installed; on Debian and Ubuntu")
    monkeypatch.setenv("CXX", "ccache g++-99")
    fails(r"the C.. compiler ccache \(CXX\) is not installed")
    monkeypatch.delenv("CXX")
    machine.install("g++", "sys.exit('x.cpp:1: error: no such thing')")
    fails("cmake is not installed", whole=True)
    fails("llama-bench cannot be compiled here: no such thing")
    machine.install("cmake", "sys.exit('CMake Error at x:\\n  Could NOT find Threads (missing: x)')")
    fails(r"cannot be configured here: Could NOT find Threads \(missing: x\)", whole=True)
    machine.install("cmake", "if sys.argv[1] == '--build': sys.exit('y.cpp:2: error: oh no')")
    fails("llama.cpp cannot be compiled here: oh no", whole=True)
    machine.install("cmake", "")
    fails("its tools are not where they used to be", whole=True)
    fails("there is no file", source=machine.bin / "none.tar.gz")
    fails(f"is not llama-cpp-python-{binding_version()}.tar.gz", source=sdist(machine.bin / "x-1.tar.gz"))
    for path in machine.common.iterdir():
        path.unlink()
    fails("came without llama.cpp's common parts .* with --whole")


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"x/README": ""}, "holds no llama.cpp"),
        ({f"{NAME}/CHANGELOG.md": LOG}, "holds no llama.cpp"),
        ({f"{SOURCE}/../../../../out": ""}, "cannot be unpacked"),
    ],
)
def test_an_archive_that_is_something_else_is_one_sentence(tmp_path: Path, files: dict[str, str], says: str) -> None:
    with pytest.raises(BuildError, match=says):
        unpack(sdist(tmp_path / "x.tar.gz", files), tmp_path / "to" / "here")
    assert not (tmp_path / "out").exists()


def test_a_broken_archive_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.tar.gz").write_bytes(b"no archive")
    with pytest.raises(BuildError, match=r"x\.tar\.gz cannot be unpacked"):
        unpack(tmp_path / "x.tar.gz", tmp_path / "to")


def test_only_llama_cpp_is_unpacked(tmp_path: Path) -> None:
    source, commit = unpack(sdist(tmp_path / "x.tar.gz"), tmp_path / "to")
    assert (source, commit) == (tmp_path / "to" / SOURCE, "0c1e57098")
    assert not (tmp_path / "to" / NAME / "llama_cpp").exists()


def test_a_change_log_without_the_version_names_no_commit(tmp_path: Path) -> None:
    files = {**FILES, f"{NAME}/CHANGELOG.md": "## [0.1.0]\n- ggml-org/llama.cpp@aaaaaaa"}
    assert unpack(sdist(tmp_path / "x.tar.gz", files), tmp_path / "to")[1] is None


def test_the_command_prints_where_the_tools_are(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.install("c++", COMPILER)
    assert main(["--from", str(machine.sdist)]) == 0
    assert [Path(line).name for line in capsys.readouterr().out.splitlines()] == [*TOOLS]
    assert main(["--from", str(machine.bin / "none"), "--whole"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: cmake is not installed")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a\nx.cpp:3:4: error: this\nerror: that", "this"),
        ("a\nthe last\n\n", "the last"),
        ("", "it did not say why"),
        ("a\nerror:", "error:"),
        ("a\nerror: at x:3 (find):\n\n  no such thing\nmore", "no such thing"),
    ],
)
def test_the_first_error_is_found(text: str, says: str) -> None:
    assert first_error(text, "error:") == says
