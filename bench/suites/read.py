"""Reads suites: a JSON Lines file, or a folder of them with a `suite.json`.

    read_suite(path)          # the suite; the first thing that is wrong is an error
    look_through(path)        # everything that is wrong, and the cases that are not

Whatever is wrong has file, line and place. Knows the layout of files; what stands in one case is known to
`bench.suites.build`.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from bench.suites.build import Misfits, Offer, cases_of, offer_of
from bench.suites.case import HEADER_FILE, Case, Suite, SuiteError, bundled, load
from bench.suites.json_text import parse, read_text
from bench.suites.schema import CaseLine, HeaderLine
from bench.suites.sources.tools import read_document
from bench.suites.wording import told
from grammars.errors import InvalidSchema

COMMENT = "//"
"""Begins a line that is for people only."""

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong; `line` None: the file is one document, or it is about the whole of it."""

    path: Path
    line: int | None
    place: str  # within the line
    problem: str

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else str(self.path)
        return f"{where}: {self.place}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Found:
    """A case and where it stands; `written` is the line's JSON value. A twin stands where its case does."""

    case: Case
    path: Path
    line: int
    written: Mapping[str, Any]

    @property
    def named_tools(self) -> list[str]:
        """Those that it offers by name."""
        return [tool for tool in self.written.get("tools") or () if isinstance(tool, str)]


@dataclass(slots=True)
class Reading:
    """What a file or a folder holds. Where there are troubles, cases may be missing."""

    path: Path
    header: HeaderLine | None = None
    included: list[Case] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    shared: Mapping[str, Offer] = field(default_factory=dict)  # the header's tools, by name

    def suite(self) -> Suite:
        """Raises `SuiteError` with the first trouble."""
        if self.troubles or self.header is None:
            n_more = len(self.troubles) - 1
            rest = f" ({n_more} more: toolgauge suite check {shlex.quote(str(self.path))})" if n_more else ""
            raise SuiteError(f"{self.troubles[0]}{rest}")
        cases = (*self.included, *(each.case for each in self.found))
        # of the value, not of its spelling
        written = [self.header.suite, self.header.version, *(case.content_hash for case in cases)]
        digest = hashlib.sha256(json.dumps(written, separators=(",", ":")).encode()).hexdigest()
        return Suite(self.header.suite, self.header.version, self.header.description, cases, digest, self.path)


def read_suite(path: Path, tools: Sequence[Mapping[str, Any]] = ()) -> Suite:
    """The suite in a file or a folder; `SuiteError` says what is wrong with it."""
    return look_through(path, tools).suite()


def look_through(path: Path, tools: Sequence[Mapping[str, Any]] = ()) -> Reading:
    """Read all of it, whatever is wrong; `SuiteError` where there is nothing to read.

    `tools` are known to be usable, and stand in place of the header's of the same names.
    """
    reader = _Reader(Reading(path), tools)
    if path.is_dir():
        reader.folder(path)
    else:
        reader.file(path)
    return reader.reading


class _Reader:
    """Goes through the lines; notes what is wrong and goes on with the next."""

    def __init__(self, reading: Reading, tools: Sequence[Mapping[str, Any]]) -> None:
        self.reading = reading
        self._given = {offer.tool.name: offer for offer in map(offer_of, tools)}
        self._lines_of_ids: dict[str, str] = {}  # id -> where it was first used
        self._knows_tools = True

    def file(self, path: Path) -> None:
        lines = list(_lines(_text(path)))
        if not lines:
            raise SuiteError(f"{path} is empty; its first line has to be the suite's header")
        self._header(path, *lines[0])
        if self.reading.header and self.reading.header.includes:
            self._note(path, lines[0][0], "includes", f"only a folder with a {HEADER_FILE} can include other suites")
        self._cases(path, lines[1:])
        self._has_cases(path, lines[0][0])

    def folder(self, folder: Path) -> None:
        path = folder / HEADER_FILE
        if not path.is_file():
            raise SuiteError(f"{folder} is a folder without a {HEADER_FILE}, which would make it a suite")
        self._header(path, None, _text(path))
        for name in self.reading.header.includes if self.reading.header else ():
            if name not in bundled() or name == folder.name:
                self._note(path, None, "includes", f"there is no bundled suite '{name}' to include")
                continue
            for case in load(name).cases:
                if self._is_new(case, path, None, f"{name}'s"):
                    self.reading.included.append(case)
        for file in sorted(folder.glob("*.jsonl")):
            try:
                _refuse_special(file)
                lines = list(_lines(_text(file)))
            except (SuiteError, ValueError) as error:
                self._note(file, None, "file", str(error))
                continue
            self._cases(file, lines)
        self._has_cases(path, None)

    def _header(self, path: Path, line: int | None, text: str) -> None:
        raw = self._json(path, line, text)
        if raw is None:
            return
        if line and isinstance(raw, Mapping) and "suite" not in raw and "messages" in raw:
            self._note(path, line, "header", 'this is a case; a header comes first: {"suite": "NAME", "version": "1"}')
            return
        header = self._checked(path, line, HeaderLine, raw)
        if header:
            self.reading.header = header
            self._shared_tools(path, line, header)

    def _shared_tools(self, path: Path, line: int | None, header: HeaderLine) -> None:
        """The header's tools by name, from the files that it names and from the header itself."""
        offers: dict[str, Offer] = {}
        origins: dict[str, str] = {}
        n_troubles = len(self.reading.troubles)
        for position, written in enumerate([header.tools] if isinstance(header.tools, str) else header.tools or []):
            try:
                found = _named_document(path.parent / written) if isinstance(written, str) else [written]
            except ValueError as error:
                self._note(path, line, "tools", str(error))
                continue
            origin = str(path.parent / written) if isinstance(written, str) else "the header itself"
            for raw in found:
                try:
                    offer = offer_of(raw)
                except InvalidSchema as error:
                    told_of = f"{origin}: {error}" if isinstance(written, str) else str(error)
                    self._note(path, line, f"tools.{position}", told_of)
                    continue
                name = offer.tool.name
                if name in offers:
                    both = f"twice in {origin}" if origins[name] == origin else f"in {origins[name]} and in {origin}"
                    self._note(path, line, "tools", f"the tool '{name}' is defined {both}; keep one, or rename one")
                    continue
                offers[name], origins[name] = offer, origin
        self.reading.shared = offers | self._given
        self._knows_tools = len(self.reading.troubles) == n_troubles

    def _cases(self, path: Path, lines: Sequence[tuple[int, str]]) -> None:
        for number, text in lines:
            raw = self._json(path, number, text)
            if raw is None:
                continue
            if isinstance(raw, Mapping) and "suite" in raw and "messages" not in raw:
                self._note(path, number, "line", "this is a header, where a case has to be; a suite has one header")
                continue
            line = self._checked(path, number, CaseLine, raw)
            if line and self._knows_tools and self.reading.header:
                self._add(path, number, line, raw)

    def _add(self, path: Path, number: int, line: CaseLine, raw: Mapping[str, Any]) -> None:
        try:
            cases = cases_of(line, self.reading.shared)
        except Misfits as error:
            for each in error.found:
                self._note(path, number, each.place, each.problem)
            return
        for case in cases:
            if self._is_new(case, path, number, f"{path.name}:{number}"):
                self.reading.found.append(Found(case, path, number, raw))

    def _is_new(self, case: Case, path: Path, line: int | None, where: str) -> bool:
        if case.id in self._lines_of_ids:
            self._note(path, line, "id", f"'{case.id}' is used twice; the first is {self._lines_of_ids[case.id]}")
            return False
        self._lines_of_ids[case.id] = where
        return True

    def _has_cases(self, path: Path, line: int | None) -> None:
        if not (self.reading.found or self.reading.included or self.reading.troubles):
            self._note(path, line, "suite", "there is no case after the header")

    def _json(self, path: Path, line: int | None, text: str) -> Any:
        """None where there is none: null is no line of a suite either."""
        try:
            value = parse(text)
        except ValueError as error:
            self._note(path, line, "line" if line else "document", f"not a JSON document ({error})")
            return None
        if not isinstance(value, Mapping):
            self._note(path, line, "line" if line else "document", "has to be a JSON object")
            return None
        return value

    def _checked(self, path: Path, line: int | None, model: type[_Model], raw: Any) -> _Model | None:
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            for place, problem in told(error, model):
                self._note(path, line, place, problem)
            return None

    def _note(self, path: Path, line: int | None, place: str, problem: str) -> None:
        self.reading.troubles.append(Trouble(path, line, place, problem))


def _named_document(path: Path) -> Sequence[Mapping[str, Any]]:
    """The definitions in a file that the suite's author named."""
    _refuse_special(path)
    return read_document(path)


def _refuse_special(path: Path) -> None:
    """Raises `ValueError` for a device or a pipe, which may never end; a person's own may, an author's may not."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError(f"{path} is no regular file, but a device or a pipe")


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except ValueError as error:
        raise SuiteError(f"{path} is not a UTF-8 text file; a suite is a JSON Lines file ({error})") from error
    except OSError as error:
        beside = path.with_name(f"{path.name}.jsonl")
        known = f"did you mean {beside}?" if beside.is_file() else f"give a path or one of: {', '.join(bundled())}"
        raise SuiteError(f"cannot read suite '{path}' ({error.strerror}); {known}") from error


def _lines(text: str) -> Iterator[tuple[int, str]]:
    # not str.splitlines: JSON strings may hold U+2028 and its like
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip() and not line.lstrip().startswith(COMMENT):
            yield number, line
