"""What a tool-call format is: how a family of models writes calls, and how to read and constrain them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from engine.constraint.protocol import ConstraintSpec
from engine.types import Parsed, Tool


class StreamWatcher(Protocol):
    """An incremental view of one output; fed text as it arrives, in pieces of any size."""

    def feed(self, text: str) -> None: ...

    @property
    def name_known(self) -> bool:
        """The first call's function name has been written completely."""

    @property
    def call_complete(self) -> bool:
        """The first complete, parseable call has been written."""


class ToolFormat(Protocol):
    id: str
    version: str  # changes when the parser's verdicts could change
    markers: tuple[str, ...]  # texts that should be single tokens of the vocabulary
    stop_texts: tuple[str, ...]  # tokens that end the answer beside the model's own end-of-generation tokens

    def detect(self, template: str, has_token: Callable[[str], bool]) -> bool:
        """Whether a model with this chat template and vocabulary writes calls this way."""

    def parse(self, text: str, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> Parsed:
        """Read an answer. Never raises, whatever the text. `reasoning_opened`: the prompt ended inside reasoning."""

    def constraint(self, tools: Sequence[Tool], *, required: bool) -> ConstraintSpec:
        """The grammar that enforces envelope and argument schemas; one call or several."""

    def watcher(self, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> StreamWatcher: ...
