"""One reader of tools for every command that takes some: a JSON file, or Python functions.

    tools_from("my_tools.json")
    tools_from("my_app.tools:book_table,cancel_table")

Whatever is wrong is one sentence that begins with the source. Knows no suite, no case and no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.suites.json_text import parse, read_text
from bench.suites.sources.documents import KNOWN, definitions_in
from engine.types import Tool
from grammars.errors import InvalidSchema, ToolgaugeError
from grammars.schema import normalise_tool

_DATA_SUFFIXES = frozenset(("json", "jsonl", "txt", "toml", "yaml", "yml"))


def tools_from(source: str | Path) -> tuple[Tool, ...]:
    """The tools of a file, or of `module:function,function`, as prompts, grammars and scores read them."""
    return tuple(tool for _, tool in _read(source))


def definitions_from(source: str | Path) -> tuple[Mapping[str, Any], ...]:
    """The same tools as their author wrote them, known to be usable."""
    return tuple(raw for raw, _ in _read(source))


def read_document(path: Path) -> Sequence[Mapping[str, Any]]:
    """The definitions in a JSON file, not yet looked at; `ValueError` says what is wrong."""
    try:
        text = read_text(path)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    try:
        document = parse(text)
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    try:
        return definitions_in(document)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read(source: str | Path) -> list[tuple[Mapping[str, Any], Tool]]:
    found: dict[str, tuple[Mapping[str, Any], Tool]] = {}
    for number, raw in enumerate(_definitions(str(source)), start=1):
        try:
            tool = normalise_tool(raw)
        except InvalidSchema as error:
            raise ToolgaugeError(f"{source}: tool {number}: {error}") from error
        if tool.name in found:
            raise ToolgaugeError(f"{source}: two tools are named '{tool.name}'; give each its own name")
        found[tool.name] = (raw, Tool(tool.name, tool.description, tool.parameters, tool.written))
    return list(found.values())


def _definitions(source: str) -> Sequence[Mapping[str, Any]]:
    from bench.suites.sources import python_module  # pydantic is loaded with it

    is_python = python_module.is_file(source)
    if Path(source).is_file() and not is_python:
        return _documents(Path(source))
    module, colon, names = source.rpartition(":")
    if is_python:
        raise ToolgaugeError(f"{source} is a Python file; say which functions: {source}:NAME, or {source}: for all")
    if not colon:
        return _documents(Path(source), _module_hint(source))
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if not module:
        raise ToolgaugeError(f"'{source}' names no module; write a file with {KNOWN}, or MODULE:FUNCTION")
    return python_module.definitions_from(module, wanted)


def _documents(path: Path, hint: str = "") -> Sequence[Mapping[str, Any]]:
    try:
        return read_document(path)
    except ValueError as error:
        raise ToolgaugeError(f"{error}{hint}") from error


def _module_hint(source: str) -> str:
    """How to write a module's functions, for a name that may be a module's; nothing for what looks like a file."""
    parts = source.split(".")
    if parts[-1].lower() in _DATA_SUFFIXES or not all(part.isidentifier() for part in parts):
        return ""
    return f"; for functions of a module write {source}:NAME, or {source}: for all"
