"""models.toml: the models known by name, checked when read; what is wrong is said with its line.

Knows what rows mean and where the bundled file lies; finding and downloading files is `bench.models.resolve`.

    registry.load().get("qwen3-8b").filename("Q4_K_M")
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Protocol, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from engine.formats import NATIVE
from grammars.errors import ToolgaugeError

ENVIRONMENT = "TOOLGAUGE_MODELS"
ROOT = Path(__file__).resolve().parents[2]  # the checkout, or the folder that packages are installed into
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
Repo = Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$")]
Text = Annotated[str, StringConstraints(min_length=1)]
Rows = TypeVar("Rows", bound=BaseModel)


class RegistryError(ToolgaugeError):
    """models.toml cannot be used, or has no such model."""


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SamplingAdvice(_Row):
    """What the model's maker recommends; toolgauge shows it and decodes greedily all the same."""

    temperature: float = Field(ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=0)
    note: str = ""


class Model(_Row):
    """One row: a repository with a pattern for its files, or a file that comes with toolgauge."""

    name: Name
    title: Text
    repo: Repo | None = None
    files: str | None = None
    file: str | None = None
    quants: tuple[Text, ...] = Field(min_length=1)  # those known to exist; the repository may have more
    default_quant: Text
    format: str
    n_ctx: int = Field(gt=0)
    license: Text
    verified: bool
    sampling: SamplingAdvice | None = None
    sources: Mapping[str, Text]

    @field_validator("files")
    @classmethod
    def _files_have_a_place_for_the_quant(cls, files: str | None) -> str | None:
        if files is not None and (files.count("{quant}") != 1 or not files.endswith(".gguf")):
            raise ValueError('must contain {quant} once and end in ".gguf"')
        return files

    @field_validator("format")
    @classmethod
    def _format_is_known(cls, format_id: str) -> str:
        if format_id not in NATIVE:
            raise ValueError(f"is no model's own format; choose one of: {', '.join(sorted(NATIVE))}")
        return format_id

    @model_validator(mode="after")
    def _is_one_kind_of_row_with_sources(self) -> Self:
        if (self.file is None) == (self.repo is None) or (self.repo is None) != (self.files is None):
            raise ValueError("give either repo and files, or file")
        if self.default_quant not in self.quants:
            raise ValueError(f"default_quant '{self.default_quant}' is not among quants")
        facts = [fact for fact in ("repo", "files", "file", "sampling") if getattr(self, fact) is not None]
        facts += ["format", "n_ctx", "license"]
        if missing := [fact for fact in facts if fact not in self.sources]:
            raise ValueError(f"no source is given for {', '.join(missing)}")
        if unknown := sorted(set(self.sources) - set(facts)):
            raise ValueError(f"a source is given for {', '.join(unknown)}, which the row does not have")
        return self

    @property
    def bundled_path(self) -> Path | None:
        return None if self.file is None else ROOT / self.file

    def filename(self, quant: str) -> str | None:
        """The name of one level's file in the repository, if it is named as the others are."""
        return None if self.files is None else self.files.replace("{quant}", quant)


class Registry(_Row):
    model: tuple[Model, ...]

    @property
    def models(self) -> tuple[Model, ...]:
        return self.model

    def find(self, name: str) -> Model | None:
        """The model with this name, capitals or not."""
        return find_row(self.model, name)

    def get(self, name: str) -> Model:
        return get_row(self.model, name, f"models.toml has no model '{name}'")


def default_path() -> Path:
    """TOOLGAUGE_MODELS, else the file that came with toolgauge."""
    if chosen := os.environ.get(ENVIRONMENT):
        return Path(chosen)
    return shipped("models.toml")


def shipped(name: str) -> Path:
    """A file of tables that came with toolgauge."""
    packaged = ROOT / "bench" / name  # where the wheel puts it
    return packaged if packaged.is_file() else ROOT / name


def load(path: Path | None = None) -> Registry:
    """Raises `RegistryError` with file, line and reason."""
    path = path or default_path()
    registry, text = read_rows(path, Registry, "model", f"check {ENVIRONMENT}")
    check_names(path, text, "model", [model.name for model in registry.model])
    return registry


def read_rows(path: Path, kind: type[Rows], table: str, advice: str) -> tuple[Rows, str]:
    """A TOML file of `[[table]]` rows, checked, and its text; raises `RegistryError` with file, line and reason."""
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RegistryError(f"{path} is not TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise RegistryError(f"{path} is not UTF-8 text; save it as such") from error
    except OSError as error:
        raise RegistryError(f"{path} cannot be read ({error.strerror}); {advice}") from error
    try:
        return kind.model_validate(raw), text
    except ValidationError as error:
        raise RegistryError(_sentence(path, text, error, table)) from error


class _Named(Protocol):
    @property
    def name(self) -> str: ...


NamedRow = TypeVar("NamedRow", bound=_Named)


def find_row(rows: Sequence[NamedRow], name: str) -> NamedRow | None:
    """The row with this name, capitals or not."""
    return next((row for row in rows if row.name == name.lower()), None)


def get_row(rows: Sequence[NamedRow], name: str, complaint: str) -> NamedRow:
    """The same; raises `RegistryError` with the complaint and the names that might be meant."""
    found = find_row(rows, name)
    if found is not None:
        return found
    names = [row.name for row in rows]
    near = difflib.get_close_matches(name.lower(), names, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose one of: {', '.join(names)}"
    raise RegistryError(f"{complaint}; {hint}")


def check_names(path: Path, text: str, table: str, names: Sequence[str]) -> None:
    """Raises `RegistryError` where a name stands twice."""
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            line = _line(text, (table, index, "name"))
            raise RegistryError(f"{path}:{line}: the name '{name}' is taken by an earlier {table}")
        seen.add(name)


def _sentence(path: Path, text: str, error: ValidationError, table: str) -> str:
    """The first problem, where it is and what is wrong; how many more there are."""
    problems = error.errors(include_url=False)
    first = min(problems, key=lambda problem: len(problem["loc"]) > 1 or problem["type"] != "extra_forbidden")
    place = ".".join(str(part) for part in first["loc"][2:] or first["loc"][:1] if part != table)
    reason = first["msg"].removeprefix("Value error, ")
    reason = reason[:1].lower() + reason[1:]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{path}:{_line(text, first['loc'])}: {place + ': ' if place else ''}{reason}{more}"


_HEADER = re.compile(r"^\s*\[\[\s*([\w.]+)\s*\]\]")
_TABLE = re.compile(r"^\s*\[\s*([\w.]+)\s*\]")


def _line(text: str, location: tuple[str | int, ...]) -> int:
    """The line of a value in the file: its key's, else its table's, else its row's, else the first.

    tomllib keeps no positions, and a library that does is not worth its weight for one error message.
    """
    keys = [str(part) for part in location if isinstance(part, str)]
    index = next((part for part in location if isinstance(part, int)), None)
    row, table, best = -1, "", 1
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line) or _TABLE.match(line):
            row, table = row + bool(_HEADER.match(line) and header[1] == keys[0]), header[1]
        is_here = index is None or row == index
        if header:
            if is_here and table in (keys[0], ".".join(keys[:2])):
                best = number
            continue
        key = re.match(r"\s*[\"']?([\w.-]+)[\"']?\s*=", line)
        if key and is_here and f"{table}.{key[1]}".lstrip(".") in (".".join(keys), ".".join(keys[:2])):
            return number
    return best
