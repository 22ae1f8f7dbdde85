"""Build `llama-bench` and `llama-batched-bench` from the source distribution of the installed binding.

    python -m bench.perf.build_tools [--from SDIST] [--whole]

Only the tools are compiled, and use the libraries that the binding loads: so both sides of a comparison compute with
the very same llama.cpp, on whatever device it was built for, and what differs is the loop around it. `--whole` compiles
llama.cpp again, with the options of the binding's own build and those in CMAKE_ARGS; for a binding that came without
llama.cpp's library of common parts. The tools go to the user's cache, where `python -m bench.perf` finds them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from bench.perf.commands import BuildError, first_error, run
from bench.perf.native_tools import (
    NOTE,
    TOOLS,
    binding_libraries,
    binding_version,
    executable,
    read_note,
    tools_folder,
)
from bench.perf.sdist import DISTRIBUTION, download, given, unpack
from engine.errors import ToolgaugeError

_LINK_S: Final = 1800.0
_CONFIGURE_S: Final = 900.0
_COMPILE_S: Final = 4 * 3600.0
_LIBRARIES: Final = ("llama-common", "llama", "ggml", "ggml-base")
_COMPILE: Final = ("-O3", "-DNDEBUG", "-std=c++17", "-w")
_INCLUDE: Final = ("common", "include", "ggml/include", "vendor")
_SUFFIX: Final = ".dylib" if sys.platform == "darwin" else ".so"
_ORIGIN: Final = "@loader_path" if sys.platform == "darwin" else "$ORIGIN"  # libraries lie beside their program
# The binding's own build sets the first three; the others leave out what the tools do not need.
_OPTIONS: Final = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=ON",
    "-DLLAMA_BUILD_COMMON=ON",
    "-DLLAMA_BUILD_TOOLS=ON",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_SERVER=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_OPENSSL=OFF",
    f"-DCMAKE_INSTALL_RPATH={_ORIGIN}",
    "-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON",
)
# Prints what the built library says of itself; in a process of its own, because ours has loaded another one.
_SYSTEM_INFO: Final = """
import ctypes, sys
info = ctypes.CDLL(sys.argv[1]).llama_print_system_info
info.restype = ctypes.c_char_p
print(info().decode().strip(" |"))
"""

Say = Callable[[str], None]


def build_tools(sdist: Path | None = None, *, whole: bool = False, n_jobs: int = 1, say: Say = print) -> Path:
    """The folder with the tools; built only if they are not there, or were built with other options."""
    target = tools_folder(whole=whole)
    options = [*_OPTIONS, *shlex.split(os.environ.get("CMAKE_ARGS", ""))] if whole else [*_COMPILE]
    note = read_note(target)
    if note and note.get("options") == options and all((target / executable(name)).is_file() for name in TOOLS):
        say("they are there already")
        return target
    compiler, folders = _compiler(), () if whole else _library_folders()
    if whole and not shutil.which("cmake"):
        raise BuildError("cmake is not installed; install it with the system's package manager or `pip install cmake`")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=target.parent) as temporary:
        room = Path(temporary)
        if sdist is None:
            say(f"downloading the source of {DISTRIBUTION} {binding_version()}")
        archive = given(sdist) if sdist else download(room)
        source, commit = unpack(archive, room / "source")
        say(f"compiling {'llama.cpp' if whole else 'the tools of llama.cpp'} {commit or 'of unknown commit'}")
        if whole:
            made, facts = _compile(source, room / "build", options, commit, n_jobs)
        else:
            made, facts = _link(source, room / "linked", compiler, folders)
        facts = {
            "binding": f"{DISTRIBUTION} {binding_version()}",
            "sdist_sha256": _sha256(archive),
            "llama_cpp_commit": commit,
            "options": options,
            **facts,
        }
        (made / NOTE).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        if target.exists():
            target.replace(room / "old")
        made.replace(target)
    return target


def _compiler() -> list[str]:
    """The C++ compiler's command; asked for before anything is downloaded."""
    named = shlex.split(os.environ.get("CXX", ""))
    for command in [named] if named else [["c++"], ["g++"], ["clang++"]]:
        if shutil.which(command[0]):
            return command
    what = f"the C++ compiler {named[0]} (CXX)" if named else "a C++ compiler"
    raise BuildError(f"{what} is not installed; on Debian and Ubuntu `apt install g++` brings one")


def _library_folders() -> tuple[Path, ...]:
    """Where the binding's libraries are; the common parts are not among those that it loads, but come with it."""
    own = binding_libraries()
    for folder in (own, own.parent.parent / "lib"):
        if (folder / f"libllama-common{_SUFFIX}").is_file():
            return tuple(dict.fromkeys((own, folder)))
    raise BuildError(
        f"the binding came without llama.cpp's common parts (libllama-common{_SUFFIX}); "
        "compile all of llama.cpp with --whole"
    )


def _link(source: Path, target: Path, compiler: Sequence[str], folders: Sequence[Path]) -> tuple[Path, dict[str, Any]]:
    """Compile the tools alone, and let them load the binding's libraries."""
    target.mkdir()
    include = [f"-I{source / folder}" for folder in _INCLUDE]
    libraries = [*(f"-L{folder}" for folder in folders), *(f"-l{name}" for name in _LIBRARIES)]
    # of GPU libraries some symbols come from a driver that need not be there
    linker = [] if sys.platform == "darwin" else ["-Wl,--disable-new-dtags", "-Wl,--allow-shlib-undefined"]
    linker += [f"-Wl,-rpath,{folder.resolve()}" for folder in folders]
    for name in TOOLS:
        folder = source / "tools" / name.removeprefix("llama-" if name == "llama-batched-bench" else "")
        sources = [str(path) for path in sorted(folder.glob("*.cpp"))]
        if not sources:
            raise BuildError(f"this llama.cpp has no {folder.relative_to(source)}")
        command = [*compiler, *_COMPILE, *include, *sources, "-o", str(target / name), *libraries, *linker]
        done = run(command, _LINK_S, f"compiling {name}")
        if done.returncode:
            raise BuildError(f"{name} cannot be compiled here: {first_error(done.stderr, 'error:')}")
    version = run([*compiler, "--version"], 60.0, "asking the compiler").stdout.splitlines()
    return target, {"libraries": "the binding's", "compiler": version[0] if version else None}


def _compile(
    source: Path, build: Path, options: Sequence[str], commit: str | None, n_jobs: int
) -> tuple[Path, dict[str, Any]]:
    """Compile all of llama.cpp; the folder has programs and libraries."""
    names = {"LLAMA_BUILD_COMMIT": commit or "unknown", "LLAMA_BUILD_NUMBER": "0"}  # no history to ask for them
    known = [f"-D{name}={value}" for name, value in names.items()]
    command = ["cmake", "-S", str(source), "-B", str(build), *options, *known]
    done = run(command, _CONFIGURE_S, "configuring the build")
    if done.returncode:
        raise BuildError(f"llama.cpp cannot be configured here: {first_error(done.stderr, 'CMake Error')}")
    command = ["cmake", "--build", str(build), "--config", "Release", "--parallel", str(n_jobs), "--target", *TOOLS]
    done = run(command, _COMPILE_S, "compiling")
    if done.returncode:
        raise BuildError(f"llama.cpp cannot be compiled here: {first_error(done.stderr + done.stdout, 'error:')}")
    for folder in (build / "bin", build / "bin" / "Release"):
        if all((folder / executable(name)).is_file() for name in TOOLS):
            facts = {"libraries": "its own", "compiler": _cmakes_compiler(build), "system_info": _system_info(folder)}
            return folder, facts
    raise BuildError("llama.cpp was compiled, but its tools are not where they used to be")


def _cmakes_compiler(build: Path) -> str | None:
    """The C++ compiler that cmake chose, with its version."""
    for path in build.glob("CMakeFiles/*/CMakeCXXCompiler.cmake"):
        found = dict(re.findall(r'set\(CMAKE_CXX_COMPILER_(ID|VERSION) "([^"]*)"\)', path.read_text(encoding="utf-8")))
        return f"{found.get('ID', 'unknown')} {found.get('VERSION', '')}".strip()
    return None


def _system_info(folder: Path) -> str | None:
    """What llama.cpp's library says it was built with; None where it cannot be loaded alone."""
    names = (f"libllama{_SUFFIX}", "llama.dll")
    library = next((folder / name for name in names if (folder / name).exists()), None)
    if library is None:
        return None
    done = run([sys.executable, "-c", _SYSTEM_INFO, str(library)], 60.0, "asking llama.cpp how it was built")
    return done.stdout.strip() or None if done.returncode == 0 else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the tools, as the command line says."""
    from bench.shell import Exit, emit_text, say
    from engine.llama.params import default_threads

    parser = argparse.ArgumentParser("python -m bench.perf.build_tools", description="Build llama.cpp's speed tools.")
    parser.add_argument("--from", type=Path, dest="sdist", metavar="SDIST", help="use this source distribution")
    parser.add_argument("--whole", action="store_true", help="compile all of llama.cpp, not only its tools")
    n_jobs = default_threads()
    parser.add_argument("-j", type=int, default=n_jobs, metavar="N", help="compilers at a time (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        folder = build_tools(options.sdist, whole=options.whole, n_jobs=options.j, say=lambda text: say(text, "dim"))
    except ToolgaugeError as error:
        say(f"error: {error}", "bold red")
        return Exit.USAGE
    except OSError as error:
        say(f"error: {error.filename or 'a file'}: {(error.strerror or str(error)).lower()}", "bold red")
        return Exit.USAGE
    except KeyboardInterrupt:
        say("interrupted", "yellow")
        return Exit.INTERRUPTED
    emit_text("".join(f"{folder / executable(name)}\n" for name in TOOLS))
    return Exit.OK


if __name__ == "__main__":
    sys.exit(main())
