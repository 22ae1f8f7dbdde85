"""A grammar without a model: the text of the constraint for a model's vocabulary, and whether it lets an answer pass.

    found = tried(Trial(path, "hermes", tools, mode="native.schema", backend="llguidance", answer=text))
    found.verdict.accepted, found.verdict.stopped, found.verdict.allowed

Weights are never loaded, only the vocabulary, in a process of its own. What is tried is what a run would use: the same
tree, the same tokens, the same parser. Prints nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.apart import apart
from bench.modes import MODES
from bench.score.adherence import violations
from engine import formats
from engine.constraint.protocol import Constraint, ConstraintSpec
from engine.formats.detect import end_texts
from engine.formats.envelope import EnvelopeFormat
from engine.formats.protocol import ToolFormat
from engine.formats.reasoning import split_reasoning
from engine.types import Parsed, Tool

if TYPE_CHECKING:
    from engine.constraint.tokens import TokenKinds

_N_ALLOWED = 8  # tokens shown of those that might have come next


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried; `answer` None: nothing, only the grammar is wanted."""

    path: Path
    format_id: str | None  # the model's native one; the json.* modes can do without
    tools: tuple[Tool, ...]
    mode: str
    backend: str
    required: bool = False
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the grammar says of the answer; places are characters of it."""

    accepted: bool
    begins: int | None  # where the grammar begins; None: nowhere, nothing in the answer begins a call
    stopped: int | None = None  # what stands here is not allowed, or the answer ends here and must not
    may_end: bool = False  # an answer might have ended where it stopped
    allowed: tuple[str, ...] = ()  # what might have come there, by first characters
    n_allowed: int = 0  # tokens
    is_excerpt: bool = False  # there are other first characters


@dataclass(frozen=True, slots=True)
class Tried:
    """`reading` and `violations` (of each call, empty if it is valid) are there where an answer was given."""

    format_id: str
    backend: str
    backend_version: str
    grammar: str
    triggers: tuple[str, ...]
    at_start: bool
    markers: dict[str, int | None]  # text -> token; None: the vocabulary has no such token, it is written as text
    verdict: Verdict | None = None
    reading: Parsed | None = None
    violations: tuple[frozenset[str], ...] = ()
    stopped_among_calls: bool = False  # what the grammar refused stands in or between calls, not before or behind them


def tried(trial: Trial) -> Tried:
    """Raises `ToolgaugeError` where the vocabulary cannot be read or the backend cannot express the grammar."""
    return apart(partial(_try, trial), what=trial.path.name)


def _try(trial: Trial, log: Path) -> Tried:
    """In the new process."""
    del log
    from bench.run.play import spec_of
    from engine.constraint import backend
    from engine.constraint.tokens import TokenKinds
    from engine.llama import LoadParams, load_model

    mode = MODES[trial.mode]
    fmt = formats.of_style(mode.style, trial.format_id)
    spec = spec_of(mode, fmt, trial.tools, required=trial.required, several=True)
    assert spec is not None, "whoever tries a grammar names tools and a constrained mode"
    with load_model(trial.path, LoadParams(n_gpu_layers=0, vocab_only=True)) as model:
        engine = backend(trial.backend, model)
        compiled = engine.compile(spec.root)
        kinds = TokenKinds(model.vocabulary())
        found = Tried(
            format_id=fmt.id,
            backend=engine.name,
            backend_version=engine.version,
            grammar=compiled.text,
            triggers=spec.triggers,
            at_start=spec.at_start,
            markers={text: kinds.vocabulary.token_of(text) for text in fmt.markers},
        )
        if trial.answer is None:
            return found
        answer = _without_end(trial.answer, end_texts(fmt, kinds.vocabulary).values())
        return _judged(found, answer, compiled.start(), kinds, spec, fmt, trial.tools)


def _judged(
    found: Tried,
    answer: str,
    constraint: Constraint,
    kinds: TokenKinds,
    spec: ConstraintSpec,
    fmt: ToolFormat,
    tools: Sequence[Tool],
) -> Tried:
    """What was tried, with what the grammar and the parser say of the answer."""
    opened = _reasoning_was_opened(fmt, tools, answer)
    verdict = _verdict(constraint, kinds, spec, answer, fmt, opened=opened)
    reading = fmt.parse(answer, tools, reasoning_opened=opened)
    before = fmt.parse(answer[: verdict.stopped], tools, reasoning_opened=opened)
    by_name = {tool.name: tool for tool in tools}
    return replace(
        found,
        verdict=verdict,
        reading=reading,
        violations=tuple(violations(call, by_name) for call in reading.calls),
        stopped_among_calls=verdict.stopped is not None and (isinstance(fmt, EnvelopeFormat) or before.open_block),
    )


def _without_end(answer: str, ends: Iterable[str]) -> str:
    """The answer without the token that ends it, which is no part of any grammar."""
    return next((answer.removesuffix(end) for end in ends if end and answer.endswith(end)), answer)


def _reasoning_was_opened(fmt: ToolFormat, tools: Sequence[Tool], answer: str) -> bool:
    """Whether the answer begins inside reasoning, as it does where the prompt has opened it.

    There is no prompt to ask. So the mark that closes reasoning must come first: behind what begins a call, or JSON, it
    is text. Where it closes every message, it says nothing, and no prompt opens reasoning.
    """
    if fmt.frame.resume:
        return False
    before, closing, _ = answer.partition(fmt.frame.close)
    triggers = fmt.constraint(tools, required=False).triggers
    return bool(closing) and not any(text in before for text in (fmt.frame.open, *fmt.markers, *triggers, "{"))


def _verdict(
    constraint: Constraint, kinds: TokenKinds, spec: ConstraintSpec, answer: str, fmt: ToolFormat, *, opened: bool
) -> Verdict:
    from engine.constraint.walk import walk

    begins = beginning(spec, answer, fmt, opened=opened)
    if begins is None:
        return Verdict(accepted=True, begins=None)
    rest = answer[begins:].encode("utf-8", errors="replace")
    end = walk(constraint, kinds, rest.decode())
    if end.complete and end.n_bytes == len(rest):
        return Verdict(accepted=True, begins=begins, may_end=True)
    allowed = _allowed(constraint, kinds)
    n_bytes = end.n_bytes + max((_n_common(piece, rest[end.n_bytes :]) for piece in allowed), default=0)
    examples = _examples(allowed, rest[end.n_bytes : n_bytes])
    return Verdict(
        accepted=False,
        begins=begins,
        stopped=begins + len(rest[:n_bytes].decode(errors="ignore")),
        may_end=end.complete,
        allowed=tuple(examples[:_N_ALLOWED]),
        n_allowed=len(allowed),
        is_excerpt=len(examples) > _N_ALLOWED,
    )


def beginning(spec: ConstraintSpec, answer: str, fmt: ToolFormat, *, opened: bool) -> int | None:
    """The character with which the grammar begins, as the decoder finds it; None if it never does."""
    split = split_reasoning(answer, opened=opened, frame=fmt.frame)
    calls = [place for mark in fmt.frame.calls if 0 <= (place := answer.find(mark, split.begin)) < split.start]
    if calls:
        return min(calls)
    start = begun = split.start
    if start and fmt.frame.resume and answer.startswith(fmt.frame.resume, start):
        begun += len(fmt.frame.resume)
    first = len(answer) - len(answer[begun:].lstrip())
    if not spec.triggers:
        return first if start else 0  # white space is free only between reasoning and the answer
    if spec.at_start:
        return first if answer.startswith(spec.triggers, first) else None
    places = [place for trigger in spec.triggers if (place := answer.find(trigger, start)) >= 0]
    return min(places, default=None)


def _allowed(constraint: Constraint, kinds: TokenKinds) -> list[bytes]:
    """The pieces that may come next; end-of-generation tokens have none."""
    from engine.constraint.tokens import set_tokens

    if constraint.finished:
        return []
    pieces = kinds.vocabulary.pieces
    tokens: Sequence[int] = constraint.forced()[:1] or set_tokens(constraint.mask()).tolist()
    return [pieces[token] for token in tokens if token not in kinds.vocabulary.eog and pieces[token]]


def _n_common(first: bytes, second: bytes) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def _examples(pieces: Sequence[bytes], written: bytes) -> list[str]:
    """Continuations of what was written: for each first character the longest, so that they differ."""
    longest: dict[str, str] = {}
    for piece in pieces:
        if not piece.startswith(written) or len(piece) == len(written):
            continue
        try:
            text = piece[len(written) :].decode()
        except UnicodeDecodeError:
            continue  # half a character is no example
        if len(text) > len(longest.get(text[0], "")):
            longest[text[0]] = text
    return list(longest.values())
