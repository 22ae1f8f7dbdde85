"""What decodes: the seam between the engine and whoever asks it for answers.

Requests are submitted and answers collected as they finish, so that an episode's next step can join the batch while
others are still decoding. `engine.decoder` implements it over llama.cpp, `engine.fake` with a script.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from engine.constraint.protocol import Compiled
from engine.formats.protocol import StreamWatcher
from engine.types import Generation, Sampling


@dataclass(frozen=True, slots=True)
class Reasoning:
    """The texts between which a model reasons; `opened`: the prompt already contains the opening one.

    `resume` is written between the closing text and an answer that is constrained from its start, as in `Frame`, where
    the others are explained, too. With one of `calls` reasoning ends only where the answer is constrained.
    """

    open: str
    close: str
    opened: bool = False
    resume: str = ""
    others: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """Token budgets; when one is spent the generation stops by LENGTH or REASONING_LENGTH."""

    answer: int = 512
    reasoning: int = 1024


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt to answer. `key` comes back with the Generation."""

    key: Hashable
    prompt: tuple[int, ...]
    goes_on: bool = False  # an episode's next step: begins as the answer to the last request of this key ended
    n_shared: int = 0  # leading prompt tokens that other requests have too, worth keeping decoded
    compiled: Compiled | None = None
    triggers: tuple[str, ...] = ()  # as in ConstraintSpec
    trigger_at_start: bool = False  # as ConstraintSpec's `at_start`
    limits: Limits = field(default_factory=Limits)
    sampling: Sampling = field(default_factory=Sampling)
    stop_tokens: frozenset[int] = frozenset()  # beside the vocabulary's end-of-generation set
    reasoning: Reasoning | None = None
    watcher: StreamWatcher | None = None
    use_forced: bool = True
    draft: bool = False  # guess what is copied, and verify several choices in one batch; the answer stays the same
    compile_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Finished:
    """An answer, or the reason why there is none (`error`, e.g. the prompt does not fit the context)."""

    key: Hashable
    generation: Generation | None
    error: str | None = None
    context_exceeded: bool = False
    constraint_failed: bool = False  # the constraint could not be started, or broke off; the model is not to blame


class Runtime(Protocol):
    n_ctx: int
    n_slots: int

    def submit(self, request: Request) -> None: ...

    def read_ahead(self, tokens: tuple[int, ...]) -> None:
        """Decode what the next request begins with (its first `n_shared` tokens), while nobody waits for it.

        For a runtime of one slot with nothing pending. The answer's `n_cached` says whether it was of use.
        """

    def step(self) -> Sequence[Finished]:
        """Decode one batch; returns what finished with it. Cheap and empty when idle."""

    @property
    def n_pending(self) -> int:
        """Requests submitted and not finished."""
