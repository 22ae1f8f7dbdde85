"""Constraints: which token may come next, computed by three engines behind one protocol.

compiled = backend("llguidance", model).compile(spec.root)
constraint = compiled.start()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.constraint.protocol import Backend
from engine.errors import ConstraintError

if TYPE_CHECKING:
    from engine.llama import Model

BACKENDS = ("llguidance", "gbnf", "outlines")


def backend(name: str, model: Model) -> Backend:
    """The named backend for a model's vocabulary; make it once a model. Imports only the engine that is asked for."""
    match name:
        case "llguidance":
            from engine.constraint.llguidance import LlguidanceBackend

            return LlguidanceBackend(model)
        case "gbnf":
            from engine.constraint.gbnf import GbnfBackend

            return GbnfBackend(model)
        case "outlines":
            from engine.constraint.outlines import OutlinesBackend

            return OutlinesBackend(model)
    raise ConstraintError(f"there is no backend '{name}'; choose one of {', '.join(BACKENDS)}")
