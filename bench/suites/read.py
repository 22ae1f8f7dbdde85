"""Reads suites: a JSON Lines file, or a folder of them with a `suite.json`.

Whatever is wrong is one sentence with file, line and place. Knows the layout of files; what stands in one case is known
to `bench.suites.build`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from bench.suites.build import Misfit, Offer, cases_of, offer_of
from bench.suites.case import HEADER_FILE, Case, Suite, SuiteError, bundled, load
from bench.suites.schema import CaseLine, HeaderLine

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(slots=True)
class _Place:
    """Where in which file something is wrong; `line` None: the file is one document."""

    path: Path
    line: int | None = None

    def wrong(self, place: str, problem: str) -> SuiteError:
        where = f"{self.path}:{self.line}" if self.line else str(self.path)
        return SuiteError(f"{where}: {place}: {problem}")

    def json(self, text: str) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self.wrong("line" if self.line else "document", f"not a JSON document ({error})") from error

    def checked(self, model: type[_Model], raw: Any) -> _Model:
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "line"
            raise self.wrong(place, first["msg"].removeprefix("Value error, ")) from error


@dataclass(slots=True)
class _Cases:
    """The cases read so far, by id."""

    shared: Mapping[str, Offer]
    cases: dict[str, Case] = field(default_factory=dict)

    def add(self, case: Case, place: _Place) -> None:
        if case.id in self.cases:
            raise place.wrong("id", f"'{case.id}' is used twice")
        self.cases[case.id] = case

    def read(self, place: _Place, lines: Sequence[tuple[int, str]]) -> None:
        for place.line, text in lines:
            line = place.checked(CaseLine, place.json(text))
            try:
                found = cases_of(line, self.shared)
            except Misfit as error:
                raise place.wrong(error.place, error.problem) from error
            for case in found:
                self.add(case, place)


def read_suite(path: Path) -> Suite:
    """The suite in a file or a folder; `SuiteError` says what is wrong with it."""
    return _from_folder(path) if path.is_dir() else _from_file(path)


def _from_file(path: Path) -> Suite:
    lines = list(_lines(_text(path)))
    if not lines:
        raise SuiteError(f"{path} is empty; its first line has to be the suite's header")
    place = _Place(path, lines[0][0])
    header = place.checked(HeaderLine, place.json(lines[0][1]))
    if header.includes:
        raise place.wrong("includes", f"only a folder with a {HEADER_FILE} can include other suites")
    cases = _Cases(_shared_tools(place, header))
    cases.read(place, lines[1:])
    return _suite(place, header, cases)


def _from_folder(folder: Path) -> Suite:
    place = _Place(folder / HEADER_FILE)
    if not place.path.exists():
        raise SuiteError(f"{folder} is a folder without a {HEADER_FILE}, which would make it a suite")
    header = place.checked(HeaderLine, place.json(_text(place.path)))
    cases = _Cases(_shared_tools(place, header))
    for name in header.includes:
        if name not in bundled() or name == folder.name:
            raise place.wrong("includes", f"there is no bundled suite '{name}' to include")
        for case in load(name).cases:
            cases.add(case, place)
    for file in sorted(folder.glob("*.jsonl")):
        cases.read(_Place(file), list(_lines(_text(file))))
    return _suite(place, header, cases)


def _suite(place: _Place, header: HeaderLine, read: _Cases) -> Suite:
    cases = tuple(read.cases.values())
    if not cases:
        raise place.wrong("suite", "there is no case after the header")
    # of the value, not of its spelling
    written = json.dumps([header.suite, header.version, *(case.content_hash for case in cases)], separators=(",", ":"))
    digest = hashlib.sha256(written.encode()).hexdigest()
    path = place.path.parent if place.path.name == HEADER_FILE else place.path
    return Suite(header.suite, header.version, header.description, cases, digest, path)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SuiteError(f"{path} is not a UTF-8 text file; a suite is a JSON Lines file") from error
    except OSError as error:
        known = ", ".join(bundled())
        raise SuiteError(f"cannot read suite '{path}' ({error.strerror}); give a path or one of: {known}") from error


def _lines(text: str) -> Iterator[tuple[int, str]]:
    # not str.splitlines: JSON strings may hold U+2028 and its like
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


def _shared_tools(place: _Place, header: HeaderLine) -> Mapping[str, Offer]:
    """The header's tools by name, from the files that it names and from the header itself."""
    written = [header.tools] if isinstance(header.tools, str) else header.tools or []
    offers: dict[str, Offer] = {}
    for source in written:
        for raw in _tools_in(place, source) if isinstance(source, str) else [source]:
            try:
                offer = offer_of(f"tools.{len(offers)}", raw)
            except Misfit as error:
                raise place.wrong(error.place, error.problem) from error
            offers[offer.tool.name] = offer
    return offers


def _tools_in(place: _Place, name: str) -> Sequence[Mapping[str, Any]]:
    path = place.path.parent / name
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise place.wrong("tools", f"cannot read {path} ({error})") from error
    if not isinstance(raw, list) or not all(isinstance(tool, dict) for tool in raw):
        raise place.wrong("tools", f"{path} has to be a list of tools")
    return raw
