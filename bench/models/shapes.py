"""shapes.toml: the true sizes of known models, checked when read.

    shapes.load().get("qwen3-8b").config.tiny()

A row without a download: what `toolgauge profile` writes with random weights, and what `toolgauge fit` counts. Where a
count of the model's parameters was published, its row is held to it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bench.models.registry import Name, Text, check_names, find_row, get_row, read_rows, shipped
from engine.shapes import AnyShape, Shape

# What is left out of a shape (drafting layers, a vision tower) is a part of the whole, and a smaller one.
_LARGEST_REST = 0.25


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ShapeRow(_Row):
    """A model's sizes and where they come from; `name` as in models.toml, if the model is there."""

    name: Name
    n_params: int | None = Field(default=None, gt=0)
    n_params_whole: int | None = Field(default=None, gt=0)
    source: Text
    config: AnyShape

    @model_validator(mode="after")
    def _agrees_with_the_published_counts(self) -> Self:
        n_params = trained_params(self.config)
        if self.n_params is not None and n_params != self.n_params:
            raise ValueError(f"these sizes make {n_params:,} parameters, not {self.n_params:,}")
        whole = self.n_params_whole
        if whole is not None and not n_params < whole < n_params * (1 + _LARGEST_REST):
            raise ValueError(f"these sizes make {n_params:,} parameters, which cannot be most of {whole:,}")
        return self


class Shapes(_Row):
    shape: tuple[ShapeRow, ...]

    def find(self, name: str) -> ShapeRow | None:
        return find_row(self.shape, name)

    def get(self, name: str) -> ShapeRow:
        return get_row(self.shape, name, f"no shape is known for '{name}'")


def default_path() -> Path:
    """The file that came with toolgauge."""
    return shipped("shapes.toml")


def load(path: Path | None = None) -> Shapes:
    """Raises `RegistryError` with file, line and reason."""
    return _load(path or default_path())


@cache
def _load(path: Path) -> Shapes:
    shapes, text = read_rows(path, Shapes, "shape", "install toolgauge again")
    check_names(path, text, "shape", [row.name for row in shapes.shape])
    return shapes


def trained_params(shape: Shape) -> int:
    """Without the factors of positions, which the conversion adds."""
    return sum(weight.n_values for weight in shape.weights() if not weight.name.startswith("rope_freqs"))
