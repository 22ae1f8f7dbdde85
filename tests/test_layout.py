"""The rules of the house that a machine can hold: who may import whom, how long things may be, what is never called."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("grammars", "engine", "bench")  # each may import the ones before it
# The same within bench, by package or module: nothing imports what stands below it, so no two import each other.
SHELVES = (
    *("apart", "models", "modes", "nano", "numbers", "records", "stats", "version"),
    *("suites", "rates", "score", "results", "fit", "run", "audit", "authoring"),
    *("report", "truncation", "drift", "attempt", "export", "doctor", "shell", "perf", "profile", "cli"),
)
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
MODULE_LINES, FUNCTION_LINES = 500, 60

# Who alone may import a library, as patterns of paths from the root.
SOLE_IMPORTERS = {
    "llama_cpp": ("engine/llama/*.py",),
    "pynvml": ("engine/meter.py",),
    "torch": ("bench/nano/*.py",),
}
# What a whole room does without.
FORBIDDEN = {
    "engine": {"rich", "typer", "scipy", "sqlite3"},
    "grammars": {"rich", "typer", "scipy", "sqlite3", "numpy", "pydantic", "llguidance", "outlines_core", "gguf"},
}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=name(path))


def imported_roots(module: ast.Module) -> Iterator[tuple[str, int]]:
    """The first part of every absolute import, wherever in the module it stands, with its line."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.partition(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0], node.lineno


def problems_of_imports(path: str, module: ast.Module) -> list[str]:
    room = path.partition("/")[0]
    later_rooms = set(ROOMS[ROOMS.index(room) + 1 :])
    found = []
    for root, line in imported_roots(module):
        if root in later_rooms:
            found.append(f"{path}:{line} imports {root}: the direction is {' <- '.join(ROOMS)}")
        if root in FORBIDDEN.get(room, ()):
            found.append(f"{path}:{line} imports {root}, which {room} does without")
        sole = SOLE_IMPORTERS.get(root)
        if sole and not any(Path(path).match(pattern) for pattern in sole):
            found.append(f"{path}:{line} imports {root}, which only {' or '.join(sole)} may")
        if root == "tests":
            found.append(f"{path}:{line} imports the tests")
    return found


def imported_modules(module: ast.Module) -> Iterator[tuple[str, int]]:
    """All that an import may mean: of `from a import b`, both `a` and `a.b`."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def problems_of_shelves(path: str, module: ast.Module) -> list[str]:
    room, _, rest = path.removesuffix(".py").partition("/")
    if room != "bench" or rest == "__init__":
        return []
    own = rest.partition("/")[0]
    above = set(SHELVES[: SHELVES.index(own) + 1])
    imported = ((name.split("."), line) for name, line in imported_modules(module))
    return [
        f"{path}:{line} imports bench.{parts[1]}, which stands on a later shelf than {own}"
        for parts, line in imported
        if parts[0] == "bench" and len(parts) > 1 and parts[1] not in above
    ]


def problems_of_calls(path: str, module: ast.Module) -> list[str]:
    return [
        f"{path}:{node.lineno} calls {node.func.id}"
        for node in ast.walk(module)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"eval", "exec"}
    ]


def problems_of_length(path: str, text: str, module: ast.Module) -> list[str]:
    n_lines = len(text.splitlines())
    found = [f"{path} has {n_lines} lines, {MODULE_LINES} are allowed"] if n_lines > MODULE_LINES else []
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            n_lines = body_lines(node)
            if n_lines > FUNCTION_LINES:
                found.append(f"{path}:{node.lineno} {node.name} has {n_lines} lines, {FUNCTION_LINES} are allowed")
    return found


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function's body: a command's options or a dataclass-like signature are a table, not logic."""
    return (function.end_lineno or function.lineno) - function.body[0].lineno + 1


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_module_keeps_the_rules(path: Path) -> None:
    module = tree(path)
    problems = [
        *problems_of_imports(name(path), module),
        *problems_of_shelves(name(path), module),
        *problems_of_calls(name(path), module),
        *problems_of_length(name(path), path.read_text(encoding="utf-8"), module),
    ]
    if module.body and not ast.get_docstring(module):
        problems.append(f"{name(path)} does not say what it is: the module docstring is missing")
    assert not problems, "\n".join(problems)


def test_there_are_modules_in_every_room() -> None:
    assert {name(path).partition("/")[0] for path in MODULES} == set(ROOMS)


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        ("grammars/x.py", "def f():\n    from engine import types", "direction"),
        ("engine/x.py", "import bench.results.store", "direction"),
        ("engine/x.py", "import rich.table", "does without"),
        ("grammars/x.py", "import numpy as np", "does without"),
        ("engine/decoder.py", "import llama_cpp", "only engine/llama"),
        ("bench/doctor/machine.py", "def f():\n    import pynvml", "only engine/meter"),
        ("bench/run/execute.py", "from torch import nn", "only bench/nano"),
        ("bench/run/execute.py", "from tests import conftest", "imports the tests"),
    ],
)
def test_a_broken_import_rule_is_seen(path: str, source: str, complaint: str) -> None:
    problems = problems_of_imports(path, ast.parse(source))
    assert len(problems) == 1
    assert complaint in problems[0]


def test_an_import_from_a_later_shelf_is_seen() -> None:
    later = ast.parse("from bench.score import score\nfrom bench import numbers, cli")
    assert problems_of_shelves("bench/score/scorer.py", later) == [
        "bench/score/scorer.py:2 imports bench.cli, which stands on a later shelf than score"
    ]
    assert problems_of_shelves("bench/cli/main.py", later) == []
    assert problems_of_shelves("engine/decoder.py", later) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("engine/llama/library.py", "import llama_cpp"),
        ("engine/llama/log.py", "import llama_cpp"),
        ("engine/meter.py", "import pynvml"),
        ("bench/run/execute.py", "from engine.types import Call\nfrom grammars import nodes\nimport scipy.stats"),
        ("engine/x.py", "from . import types"),
    ],
)
def test_an_allowed_import_is_not(path: str, source: str) -> None:
    assert problems_of_imports(path, ast.parse(source)) == []


def test_eval_exec_and_overlong_things_are_seen() -> None:
    assert len(problems_of_calls("engine/x.py", ast.parse("eval('1')\nexec('2')\nmodel.eval()"))) == 2
    long = "def f():\n" + "    x = 1\n" * (FUNCTION_LINES + 1)
    assert len(problems_of_length("engine/x.py", long, ast.parse(long))) == 1
    source = "x = 1\n" * (MODULE_LINES + 1)
    assert len(problems_of_length("engine/x.py", source, ast.parse(source))) == 1
