"""Tools in a person's own Python: typed functions, and pydantic models that describe a tool's arguments.

    definitions_from("my_app.tools", ("book_table",))   # a module as `import` finds it, from here first
    definitions_from("tools.py", ())                    # a file; no names: all public functions of it

Importing a module runs it. That is done here and nowhere else, and only for a name that a person typed: no suite, no
list of tools and no log can ask for it. The functions themselves are never called.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from bench.suites.from_python import NotATool, definition, model_definition
from grammars.errors import ToolgaugeError

_SUFFIX = ".py"


def definitions_from(module: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """The tools in the order of `names`, or of the module; `ToolgaugeError` says what is missing."""
    found = _imported(module)
    if names:
        return [_definition(found, module, name) for name in names]
    names = _public(found)
    if not names:
        raise ToolgaugeError(f"{module} defines no public function; name what to offer: {module}:NAME")
    try:
        return [_definition(found, module, name) for name in names]
    except NotATool as error:
        raise NotATool(f"{error}; name those to offer: {module}:NAME,NAME") from error


def is_file(module: str) -> bool:
    return module.endswith(_SUFFIX)


def _definition(module: ModuleType, shown: str, name: str) -> dict[str, Any]:
    tool = getattr(module, name, None)
    if tool is None:
        known = ", ".join(_public(module)) or "none"
        raise ToolgaugeError(f"{shown} has no '{name}'; its public functions are: {known}")
    if inspect.isclass(tool) and issubclass(tool, BaseModel):
        return model_definition(tool)
    if not inspect.isroutine(tool):
        what = "class without pydantic's BaseModel" if inspect.isclass(tool) else f"value of type {type(tool).__name__}"
        raise ToolgaugeError(f"{shown}:{name} is a {what}; a tool is a function or a pydantic model")
    return definition(tool)


def _public(module: ModuleType) -> list[str]:
    """What the module itself offers: `__all__` if it has one, else its own functions without an underscore."""
    listed = getattr(module, "__all__", None)
    names = listed if listed is not None else [name for name in vars(module) if not name.startswith("_")]
    functions = {name: getattr(module, name, None) for name in names}
    return [
        name
        for name, found in functions.items()
        if inspect.isfunction(found) and (listed is not None or found.__module__ == module.__name__)
    ]


def _imported(name: str) -> ModuleType:
    """What the module prints goes to standard error: standard output is for results."""
    folder = str(Path(name).parent.resolve()) if is_file(name) else str(Path.cwd())
    with _importable_from(folder), redirect_stdout(sys.stderr):
        try:
            return _from_file(Path(name)) if is_file(name) else importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
                raise ToolgaugeError(
                    f"there is no Python module '{name}', neither in {folder} nor installed"
                ) from error
            raise ToolgaugeError(f"{name} needs the Python module '{error.name}', which is not installed") from error
        except (Exception, SystemExit) as error:
            raise ToolgaugeError(f"importing {name} failed{_where(error)}: {_what(error)}") from error


@contextmanager
def _importable_from(folder: str) -> Iterator[None]:
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ToolgaugeError(f"there is no file {path}")
    place = str(path.resolve())
    known = sys.modules.get(path.stem)
    if known is not None and getattr(known, "__file__", None) == place:
        return known
    name = path.stem if known is None else f"{path.stem}_of_tools"  # a file may be named like a module in use
    spec = importlib.util.spec_from_file_location(name, place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # type hints of classes are looked up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _where(error: BaseException) -> str:
    """The last place that the error went through, which is the person's own code or what that uses."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({Path(error.filename).name}, line {error.lineno})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if len(frames) > 1 else ""


def _what(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return "it ends the program; keep that below `if __name__ == '__main__':`"
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {' '.join(text.split())}" if text else type(error).__name__
