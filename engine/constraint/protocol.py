"""What a constraint is: the state of one sequence under a grammar, whoever computes the masks.

A `ConstraintSpec` is what a format asks for; a `Backend` compiles it once per tool set; `Compiled.start()` gives the
state of one sequence. The decoder asks `allows` before every `accept`: accepting a token that is not allowed kills
the process in some engines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from grammars.nodes import Node

Mask = NDArray[np.uint32]  # packed bits, shape (ceil(n_vocab / 32),), little-endian within a word, 1 = allowed


@dataclass(frozen=True, slots=True)
class ConstraintSpec:
    """The language of an answer, and when it begins.

    Without `triggers` it begins with the first token (after reasoning, if the model reasons first). Otherwise text is
    free until one of the `triggers` has been written, with which `root` begins: the constraint starts at the first
    character of the trigger. `at_start`: a trigger counts only where nothing but white space stands before it in the
    answer. The answer ends where `root` does.
    """

    root: Node
    triggers: tuple[str, ...] = ()
    at_start: bool = False


class Constraint(Protocol):
    """One sequence under one grammar."""

    def allows(self, token: int) -> bool:
        """Whether `token` may come next; an end-of-generation token is allowed exactly when `complete`."""

    def mask(self) -> Mask:
        """All tokens that may come next, end-of-generation tokens included when `complete`."""

    def accept(self, token: int) -> None:
        """Advance; the caller has checked `allows(token)`. Never called with an end-of-generation token."""

    def forced(self) -> list[int]:
        """The tokens that are the only continuation from here, in canonical segmentation; empty if there is a choice.

        Does not advance: the caller accepts them one by one.
        """

    def copy(self) -> Constraint:
        """Another constraint in the same state, to look ahead with; what happens to it does not touch this one."""

    @property
    def complete(self) -> bool:
        """The answer may end here."""

    @property
    def finished(self) -> bool:
        """The answer must end here: nothing but an end-of-generation token is allowed."""


class Compiled(Protocol):
    """A grammar bound to a vocabulary, shared by many sequences."""

    text: str  # the constraint text as the engine got it, for people to read

    def start(self) -> Constraint: ...


class Backend(Protocol):
    """One way of computing token masks."""

    name: str  # "llguidance", "gbnf", "outlines"
    version: str

    def compile(self, root: Node) -> Compiled:
        """Raises `UnsupportedSchema` (keyword and path) or `ConstraintError`; never falls back."""
