"""The values that flow through the engine: tools, messages, calls, generations. Plain frozen dataclasses, no behaviour.

Times are seconds of a monotonic clock, counted from the submission of the request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
PromptStyle = Literal["native", "json"]
ToolChoice = Literal["auto", "required"]


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as an application offers it.

    `parameters` is a JSON Schema of type object, normalised (`grammars.schema`): what grammars and scores read.
    `written` is the schema as the application wrote it, which is what a prompt shows; None: the same.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    written: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call; `arguments` is always a JSON object."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. A tool result has `role="tool"`, the tool's `name` and its JSON text as `content`.

    `reasoning` is what the model thought before it answered so; whether it is shown again is for the template to say.
    """

    role: Role
    content: str = ""
    calls: tuple[Call, ...] = ()
    name: str | None = None
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen. `temperature` 0 is greedy; the seed then has no effect."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0


class StopReason(StrEnum):
    EOG = "eog"  # an end-of-generation token of the model or the format
    LENGTH = "length"  # the answer's token budget is spent
    REASONING_LENGTH = "reasoning_length"  # the budget for reasoning is spent before reasoning ended
    CONTEXT = "context"  # the context window is full
    REPETITION = "repetition"  # the same tokens over and over
    CONSTRAINT = "constraint"  # the constraint allows nothing more, and is not complete


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds from submission, except the durations `prefill_s`, `decode_s`, `mask_s`, `host_s`, `compile_s`."""

    prefill_s: float = 0.0
    ttft_s: float | None = None  # first token
    ttfn_s: float | None = None  # the first call's function name is known
    ttfc_s: float | None = None  # the first complete, parseable call
    decode_s: float = 0.0
    mask_s: float = 0.0
    host_s: float = 0.0  # decode time spent outside llama.cpp
    compile_s: float = 0.0  # building the constraint
    total_s: float = 0.0


@dataclass(frozen=True, slots=True)
class FirstCall:
    """What the time to the first complete call went to: seconds that add up to `ttfc_s`, together with `prefill_s`.

    The first three were spent in llama.cpp, each on the tokens of its part.
    """

    reasoning_s: float
    prose_s: float  # between reasoning and the call; broken attempts at a call included
    call_s: float
    mask_wait_s: float  # waiting for the constraint; a mask that is computed while the device works is not waited for
    overhead_s: float  # all the rest: choosing tokens, filling batches, watching the text


@dataclass(frozen=True, slots=True)
class ConstraintStats:
    """How hard the constraint had to push."""

    n_masked: int = 0  # sampled tokens for which a mask was active
    n_interventions: int = 0  # the free argmax was not allowed; at forced positions counted only if measured
    removed_mass: float | None = None  # mean probability of what was not allowed, over n_masked; None: not measured
    n_forced: int = 0  # tokens appended without sampling


@dataclass(frozen=True, slots=True)
class Generation:
    """What came out of one prompt. `text` keeps special tokens and leaves out the end-of-generation token."""

    tokens: tuple[int, ...]
    text: str
    stop: StopReason
    n_prompt: int
    n_cached: int  # prompt tokens that were shared and not decoded again
    n_reasoning: int = 0
    n_first: int | None = None  # tokens that were there together with the first one; None: nobody counted
    n_drafted: int = 0  # choices that were guessed from the text before them, to be verified in one batch
    n_accepted: int = 0  # those of them that the answer then made
    timings: Timings = field(default_factory=Timings)
    first_call: FirstCall | None = None  # None: there was none, or nobody watched
    constraint: ConstraintStats | None = None

    @property
    def n_after_first(self) -> int | None:
        """Tokens that a rate counts: those that came after the first moment in which there were any."""
        return None if self.n_first is None else len(self.tokens) - self.n_first


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of output that looked like a call and is not one. `position` is a character offset into the text."""

    text: str
    reason: str
    position: int


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a format's parser read; parsing never raises and never guesses."""

    calls: tuple[Call, ...] = ()
    fragments: tuple[Fragment, ...] = ()
    reasoning: str = ""
    content: str = ""
    open_block: bool = False  # a call was opened and never closed
    open_reasoning: bool = False  # the text ends while the model still reasons, and with no call

    @property
    def is_readable(self) -> bool:
        """Whether the answer is whole, and nothing in it was meant as a call and is none."""
        return not (self.fragments or self.open_block or self.open_reasoning)


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement between a model's template, its vocabulary and its format, or a setting without effect.

    `rendered` and `expected` stand beside each other where there are two texts to compare.
    """

    name: str  # e.g. "call-text-differs"; stable, for programs
    message: str  # one sentence, for people
    rendered: str = ""
    expected: str = ""
