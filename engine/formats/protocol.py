"""What a tool-call format is: how a family of models writes calls, and how to read and constrain them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.constraint.protocol import ConstraintSpec
from engine.errors import ToolgaugeError
from engine.formats.reasoning import Frame
from engine.types import Call, Parsed, Tool


class CannotCarry(ToolgaugeError):
    """A format has no way of writing these calls; the message names the value and says why."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What the source of a family's chat template contains, and does not contain."""

    all_of: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()

    def matches(self, template: str) -> bool:
        """Whether a template is of this family; an empty signature matches none."""
        found, missing, against = self.evidence(template)
        return bool(found) and not missing and not against

    def evidence(self, template: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """The texts that are there, that are missing, and that speak against it."""
        found = [text for text in (*self.all_of, *self.any_of) if text in template]
        missing = [text for text in self.all_of if text not in template]
        if self.any_of and not any(text in template for text in self.any_of):
            missing.append(" or ".join(self.any_of))
        return tuple(found), tuple(missing), tuple(text for text in self.none_of if text in template)


@dataclass(frozen=True, slots=True)
class Closing:
    """What ends a call that is no JSON object of its own, for whoever reads an answer that lacks its end.

    `ends` closes what stands around a call, in each of its spellings; before it may be missing, too, one of `inner`.
    Without the end it is ambiguous whether a call is whole where nothing else closes its arguments.
    """

    ends: tuple[str, ...] = ()
    inner: tuple[str, ...] = ()
    is_ambiguous: bool = False


class StreamWatcher(Protocol):
    """An incremental view of one output; fed text as it arrives, in pieces of any size."""

    def feed(self, text: str) -> None: ...

    @property
    def name_known(self) -> bool:
        """The first call's function name has been written completely."""

    @property
    def call_complete(self) -> bool:
        """The first complete, parseable call has been written."""

    @property
    def call_start(self) -> int | None:
        """Where it begins, its envelope included, as a character offset into what was fed; None: there is none yet."""


class ToolFormat(Protocol):
    id: str
    version: str  # changes when the parser's verdicts could change, or the answers that the grammar leads to
    title: str  # the models that write it, e.g. "Qwen3-Coder, Qwen3.5, Nemotron 3"
    markers: tuple[str, ...]  # texts that should be single tokens of the vocabulary
    stop_texts: tuple[str, ...]  # tokens that end the answer beside the model's own end-of-generation tokens
    frame: Frame  # how reasoning opens and closes, and what stands before an answer in plain text
    signature: Signature
    closing: Closing
    max_calls: int | None  # calls in one answer; None: any number
    limits: tuple[str, ...]  # what the format cannot carry, one sentence each

    def write(self, calls: Sequence[Call], tools: Sequence[Tool]) -> str:
        """The text of an answer that makes these calls, as the makers' template writes it, without reasoning.

        `parse` reads it back to the same calls, and `constraint` accepts it (from its trigger on) where the arguments
        are valid. Raises `CannotCarry`.
        """

    def parse(self, text: str, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> Parsed:
        """Read an answer. Never raises, whatever the text. `reasoning_opened`: the prompt ended inside reasoning."""

    def constraint(self, tools: Sequence[Tool], *, required: bool, several: bool = True) -> ConstraintSpec:
        """The grammar that enforces envelope and argument schemas; one call, or `several` where the format has them."""

    def watcher(self, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> StreamWatcher: ...
