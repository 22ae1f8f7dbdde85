"""Modes: a prompt style combined with a constraint. Knows no model, no prompt and no grammar."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from engine.types import PromptStyle
from grammars.errors import ToolgaugeError

ConstraintKind = Literal["free", "syntax", "schema"]

NO_BACKEND = "none"  # the backend of a free mode


@dataclass(frozen=True, slots=True)
class Mode:
    """Within one style the token prompt is the same, so that two modes of it differ by their constraint alone."""

    id: str
    style: PromptStyle
    constraint: ConstraintKind
    summary: str

    @property
    def constrained(self) -> bool:
        return self.constraint != "free"


MODES = {
    mode.id: mode
    for mode in (
        Mode("native.free", "native", "free", "the model's own tool syntax, unconstrained"),
        Mode("native.schema", "native", "schema", "the same prompt; a call must follow the chosen tool's schema"),
        Mode("json.free", "json", "free", "tools and a JSON envelope described in the system message, unconstrained"),
        Mode("json.syntax", "json", "syntax", "the same prompt; the answer must be a JSON object"),
        Mode("json.schema", "json", "schema", "the same prompt; envelope and tool schemas are enforced"),
    )
}

DEFAULT_MODES = ("native.free", "native.schema", "json.free", "json.schema")


def select(ids: Iterable[str]) -> tuple[Mode, ...]:
    """The modes with these ids, in the order given, each once."""
    found = {}
    for id_ in ids:
        if id_ not in MODES:
            raise ToolgaugeError(f"unknown mode {id_!r}; known modes are: {', '.join(MODES)}")
        found[id_] = MODES[id_]
    if not found:
        raise ToolgaugeError(f"no mode given; known modes are: {', '.join(MODES)}")
    return tuple(found.values())


def check_backend(name: str) -> str:
    """The name itself if such a constraint backend exists."""
    from engine.constraint import BACKENDS

    if name not in BACKENDS:
        raise ToolgaugeError(f"unknown constraint backend {name!r}; known backends are: {', '.join(BACKENDS)}")
    return name
