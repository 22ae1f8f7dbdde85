"""Drift: what each quantization level thinks of the right answers, beside what the most precise one thinks of them.

    found = measure(models, suites, settings, person)
    found.levels[0].shifts[0]           # of the first case, one for each token of its answer

The answer of a case is the first step of its reference, written by the model's format. It is put into the mouth of each
level (`engine.teacher`), one prefill a case, and the distributions over the next token are compared place by place
(`engine.drift`). The most precise level comes first, and its logits are kept in a temporary file, whole and as they
are, so that one model at a time is in memory and equal weights show no drift at all. Each level has a process of its
own. Judges no answer and prints nothing.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, chain, pairwise
from pathlib import Path

import numpy as np

from bench import numbers
from bench.apart import apart, tell
from bench.run.config import DEFAULT_N_CTX
from bench.run.plan import PlannedModel, distinct, spread
from bench.run.prepare import Person
from bench.suites.case import Case, Suite
from bench.suites.reference import reference_steps
from bench.suites.simulate import begin
from engine import formats
from engine.drift import Shift, compare
from engine.errors import TemplateError
from engine.fake import PREFIX
from engine.formats.protocol import CannotCarry, ToolFormat
from engine.formats.roles import RolesUnknown, TokenRole, roles, token_roles
from engine.gguf_file import read_gguf, same_model
from engine.llama import ContextParams, LoadParams, Model, load_model
from engine.llama.params import default_threads
from engine.prompt import PromptBuilder
from engine.quantize import imprecision
from engine.sampler import Logits
from engine.teacher import Forced, Forcing, Teacher
from engine.template import ChatTemplate
from engine.types import Call, Message, PromptStyle, Tool
from grammars.errors import ToolgaugeError

NO_CALL = "no call is right there, or any call is"
_BYTES_PER_LOGIT = 4
_MOST_CONFLICTS = 2
Opener = Callable[[Path, LoadParams], Model]


@dataclass(frozen=True, slots=True)
class Settings:
    """How the answers are asked for, and how the levels run."""

    style: PromptStyle = "native"
    load: LoadParams = field(default_factory=LoadParams)
    context: ContextParams = field(default_factory=ContextParams)  # `n_ctx`: longer cases are left out
    thinking: bool | None = False
    reasoning_effort: str | None = None
    limit: int | None = None  # cases of each suite
    opener: Opener = load_model  # of a module: it is looked up by name in the new process


@dataclass(frozen=True, slots=True)
class Lesson:
    """The right answer to one case, in tokens; `texts` and `roles` have one entry for each token of the answer."""

    suite: str
    case_id: str
    forced: Forced
    texts: tuple[str, ...]
    roles: tuple[TokenRole, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A case without an answer to measure on."""

    suite: str
    case_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Level:
    """What became of one level: a row of shifts for each lesson, or the reason why there are none."""

    model: PlannedModel
    shifts: tuple[tuple[Shift, ...], ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Drift:
    """All that was measured. `pieces` are the vocabulary's tokens."""

    reference: PlannedModel
    format_id: str
    lessons: tuple[Lesson, ...]
    left_out: tuple[LeftOut, ...]
    levels: tuple[Level, ...]
    pieces: tuple[bytes, ...]

    @property
    def n_tokens(self) -> int:
        return sum(len(lesson.roles) for lesson in self.lessons)


def measure(models: Sequence[PlannedModel], suites: Sequence[Suite], settings: Settings, person: Person) -> Drift:
    """Every level beside the most precise one of them. One that fails is an error of its own; the others go on."""
    reference, others = _ordered(models)
    fmt = _format(reference, settings.style)
    questions = tuple(_questions(distinct(suites), settings.limit))
    asked = tuple(question for question in questions if question.calls)
    if not asked:
        raise ToolgaugeError("in none of these cases is a call right, so there are no answers to measure drift on")
    prepared = apart(partial(_prepare, reference, fmt, settings, asked), what=reference.label)
    if not prepared.lessons:
        reason = prepared.left_out[0].reason
        raise ToolgaugeError(f"no case has an answer that could be measured; {prepared.left_out[0].case_id}: {reason}")
    without = tuple(LeftOut(each.suite, each.case_id, NO_CALL) for each in questions if not each.calls)
    with tempfile.TemporaryDirectory(prefix="toolgauge-drift-") as folder:
        place = Path(folder) / "logits"
        _announce(prepared, reference, place, person)
        with person.progress(f"{reference.label}, the reference") as progress:
            apart(
                partial(_record, reference.path, settings, prepared.lessons, place),
                what=reference.label,
                progress=progress,
            )
        levels = tuple(_level(model, settings, prepared, place, person) for model in others)
    return Drift(reference, fmt.id, prepared.lessons, without + prepared.left_out, levels, prepared.pieces)


def _level(model: PlannedModel, settings: Settings, prepared: _Prepared, reference: Path, person: Person) -> Level:
    with person.progress(model.label) as progress:
        work = partial(_compared, model.path, settings, prepared.lessons, reference)
        try:
            return Level(model, apart(work, what=model.label, progress=progress))
        except ToolgaugeError as error:
            return Level(model, error=str(error))


# What is measured


def _ordered(models: Sequence[PlannedModel]) -> tuple[PlannedModel, tuple[PlannedModel, ...]]:
    """The most precise level, and the others in the order given; all of one model."""
    if any(model.path.startswith(PREFIX) for model in models):
        raise ToolgaugeError("a scripted model has no distributions that could drift; name a GGUF file")
    if len(models) < 2:
        raise ToolgaugeError("drift is measured between levels; name at least two, e.g. --quants F16,Q8_0,Q4_K_M")
    reference = min(models, key=lambda model: imprecision(model.quant, model.gguf_bytes))
    file = read_gguf(reference.path)
    others = tuple(model for model in models if model is not reference)
    for model in others:
        conflicts = same_model(file, read_gguf(model.path)).conflicts
        if conflicts:
            shown = "; ".join(conflicts[:_MOST_CONFLICTS])
            raise ToolgaugeError(
                f"{reference.path} and {model.path} are not levels of one model, so their tokens cannot be compared:"
                f" {shown}"
            )
    return reference, others


def _format(reference: PlannedModel, style: PromptStyle) -> ToolFormat:
    if style == "native" and reference.format_id not in formats.NATIVE:
        raise ToolgaugeError(
            f"{reference.label} writes tool calls in a format that toolgauge does not recognise; name it with"
            " --format ID (`toolgauge formats` lists them), or measure with --style json"
        )
    return formats.of_style(style, reference.format_id)


@dataclass(frozen=True, slots=True)
class _Question:
    suite: str
    case_id: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    calls: tuple[Call, ...]


def _questions(suites: Sequence[Suite], limit: int | None) -> Iterator[_Question]:
    """The cases in their suites' order; the limit counts those in which a call is right."""
    for suite in suites:
        questions = {case.id: _question(suite, case) for case in suite.cases}
        callers = [case for case in suite.cases if questions[case.id].calls]
        chosen = {case.id for case in spread(callers, limit)}
        for question in questions.values():
            if question.case_id in chosen or (not question.calls and limit is None):
                yield question


def _question(suite: Suite, case: Case) -> _Question:
    first = begin(case)
    calls = () if case.any_call else reference_steps(case)[0]
    return _Question(suite.name, case.id, tuple(first.messages), tuple(first.tools), calls)


def _announce(prepared: _Prepared, reference: PlannedModel, place: Path, person: Person) -> None:
    """Say what will be computed; raise where the disk is too small for it."""
    n_tokens = sum(len(lesson.roles) for lesson in prepared.lessons)
    n_cases = numbers.plural(len(prepared.lessons), "case")
    n_bytes = n_tokens * prepared.n_vocab * _BYTES_PER_LOGIT
    n_free = shutil.disk_usage(place.parent).free
    if n_bytes > n_free:
        raise ToolgaugeError(
            f"the logits of {reference.label} take {numbers.size(n_bytes)} in {place.parent.parent}, where"
            f" {numbers.size(n_free)} are free; measure about {len(prepared.lessons) * n_free // n_bytes} cases"
            " (--limit), or name a larger folder in the environment variable TMPDIR"
        )
    person.say(
        f"Drift on {n_tokens:,} tokens of {n_cases}; the logits of {reference.label} take {numbers.size(n_bytes)}"
        f" in {place.parent.parent} meanwhile"
    )


# In processes of their own


@dataclass(frozen=True, slots=True)
class _Prepared:
    n_vocab: int
    pieces: tuple[bytes, ...]
    lessons: tuple[Lesson, ...]
    left_out: tuple[LeftOut, ...]


def _prepare(
    reference: PlannedModel, fmt: ToolFormat, settings: Settings, questions: Sequence[_Question], log: Path
) -> _Prepared:
    """Prompts and answers in tokens; needs the vocabulary and no weights."""
    del log
    n_ctx = settings.context.n_ctx or min(reference.n_ctx_train or DEFAULT_N_CTX, DEFAULT_N_CTX)
    template = None if reference.template is None else ChatTemplate(reference.template)
    lessons, left_out = [], []
    with settings.opener(Path(reference.path), LoadParams(n_gpu_layers=0, vocab_only=True)) as model:
        builder = PromptBuilder(model, template, fmt, settings.style, settings.thinking, settings.reasoning_effort)
        forcing = Forcing(model)
        pieces = model.vocabulary().pieces
        for question in questions:
            try:
                lesson = _lesson(question, builder, forcing, pieces)
            except (TemplateError, CannotCarry, RolesUnknown) as error:
                left_out.append(LeftOut(question.suite, question.case_id, str(error)))
                continue
            if lesson.forced.n_tokens > n_ctx:
                reason = f"prompt and answer do not fit into a context of {n_ctx:,} tokens (-c)"
                left_out.append(LeftOut(question.suite, question.case_id, reason))
            else:
                lessons.append(lesson)
        return _Prepared(model.n_vocab, pieces, tuple(lessons), tuple(left_out))


def _lesson(question: _Question, builder: PromptBuilder, forcing: Forcing, pieces: Sequence[bytes]) -> Lesson:
    answer = builder.fmt.write(question.calls, question.tools)
    forced = forcing.forced(builder.build(question.messages, question.tools), answer)
    written = [pieces[token] for token in forced.answer]
    found = token_roles(written, roles(answer, builder.fmt, question.tools), answer)
    texts = tuple(piece.decode("utf-8", errors="replace") for piece in written)
    return Lesson(question.suite, question.case_id, forced, texts, found)


def _record(path: str, settings: Settings, lessons: Sequence[Lesson], place: Path, log: Path) -> None:
    """Write the reference's logits, row after row. Not through a memory map: a full disk would end the process."""
    del log
    with place.open("wb") as file:
        for start, chunk in _taught(path, settings, lessons):
            file.seek(start * chunk[0].nbytes)
            for row in chunk:
                file.write(row.tobytes())


def _compared(
    path: str, settings: Settings, lessons: Sequence[Lesson], reference: Path, log: Path
) -> tuple[tuple[Shift, ...], ...]:
    """A level's shifts from the reference, for each lesson."""
    del log
    tokens = [token for lesson in lessons for token in lesson.forced.answer]
    before = np.memmap(reference, dtype=np.float32, mode="r").reshape(len(tokens), -1)
    shifts: dict[int, Shift] = {}
    with ThreadPoolExecutor(settings.context.n_threads or default_threads()) as pool:
        for start, chunk in _taught(path, settings, lessons):
            rows = range(start, start + len(chunk))
            found = pool.map(lambda row, after: compare(before[row], after, tokens[row]), rows, chunk)
            shifts.update(zip(rows, found, strict=True))
    starts = _starts(lessons)
    return tuple(tuple(shifts[row] for row in range(*ends)) for ends in pairwise([*starts, len(tokens)]))


def _taught(path: str, settings: Settings, lessons: Sequence[Lesson]) -> Iterator[tuple[int, list[Logits]]]:
    """The logits of all lessons in chunks, each with the number of its first row among all of them.

    Lessons with the same prefix follow each other, so that it is decoded once.
    """
    starts = _starts(lessons)
    n_tokens = starts[-1] + len(lessons[-1].forced.answer)
    longest = max(lesson.forced.n_tokens for lesson in lessons)
    alike: dict[tuple[int, ...], list[int]] = {}
    for number, lesson in enumerate(lessons):
        alike.setdefault(lesson.forced.prompt[: lesson.forced.n_shared], []).append(number)
    n_done = 0
    with settings.opener(Path(path), settings.load) as model, Teacher(model, settings.context, longest) as teacher:
        for number in chain.from_iterable(alike.values()):
            row = starts[number]
            for chunk in teacher.rows(lessons[number].forced):
                yield row, chunk
                row += len(chunk)
                n_done += len(chunk)
            tell(n_done / n_tokens)


def _starts(lessons: Sequence[Lesson]) -> list[int]:
    """The number of each lesson's first token among those of all answers."""
    return list(accumulate((len(lesson.forced.answer) for lesson in lessons[:-1]), initial=0))
