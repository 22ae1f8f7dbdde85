"""What a worker needs of a loaded model, and how one is opened: llama.cpp for a file, the script for `fake:NAME`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.messages import Loaded, Reading
from engine.constraint.protocol import Backend
from engine.formats.protocol import ToolFormat
from engine.runtime import Reasoning, Runtime
from engine.types import Message, PromptStyle, Tool


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt."""

    text: str
    tokens: tuple[int, ...]
    n_shared: int = 0
    reasoning: Reasoning | None = None

    @property
    def reasoning_opened(self) -> bool:
        return self.reasoning is not None and self.reasoning.opened


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """One model in this process. The functions are what differs between llama.cpp and the script."""

    runtime: Runtime
    native: ToolFormat | None
    prompt: Callable[[Sequence[Message], Sequence[Tool], PromptStyle], Prompt]  # raises TemplateError
    backend: Callable[[str], Backend]
    stop_tokens: Callable[[ToolFormat], frozenset[int]]
    facts: Loaded
    peaks: Callable[[], tuple[Reading, ...]]
    joules: Callable[[], float | None]  # the card's counter since it started; None: it has none
