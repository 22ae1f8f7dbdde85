"""An item's record as it would be, had its answers been given fewer tokens.

    cutter = Cutter(fmt, vocabulary, "native.schema", "gbnf", finished)
    cutter.cut(case, record, 64)        # the record itself where nothing is cut

It follows the rules by which `engine.decoding.answer` spends a budget: reasoning has one of its own; the last token
that fits ends the answer by LENGTH even if the model would have ended it next, but not where the grammar has ended it
with that token. Knows no store and no run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.audit.answerable import format_of
from bench.audit.trial import beginning
from bench.modes import MODES
from bench.records import EpisodeEnd, ItemRecord, StepRecord
from bench.run.play import spec_of
from bench.suites.bfcl.multi_turn import is_multi_turn
from bench.suites.case import Case
from bench.suites.simulate import offered
from engine.constraint.protocol import Backend
from engine.formats.protocol import ToolFormat
from engine.prompt import ends_in_reasoning
from engine.types import StopReason, Timings, Tool
from engine.vocabulary import Vocabulary

if TYPE_CHECKING:
    from engine.constraint.tokens import TokenKinds
    from engine.llama import Model


EndingKey = tuple[str, str, str, int, str]  # mode, backend, case, step, text


@dataclass(frozen=True, slots=True)
class Ending:
    """An answer under a constraint that ended with just as many tokens as a budget has.

    Either the model ended it, which it would not have come to with that budget, or the grammar did.
    """

    key: EndingKey
    tools: tuple[Tool, ...]
    required: bool
    several: bool
    reasoning_opened: bool  # by the prompt


def endings_of(
    case: Case, record: ItemRecord, fmt: ToolFormat, mode: str, backend: str, budgets: Sequence[int]
) -> Iterator[Ending]:
    """Those of the record for which it matters."""
    if not MODES[mode].constrained:
        return
    for number, (step, tools) in enumerate(zip(record.steps, offered(case, record), strict=True)):
        generation = step.generation
        if generation.stop is StopReason.EOG and len(generation.tokens) - generation.n_reasoning in budgets:
            yield Ending(
                key=(mode, backend, case.id, number, generation.text),
                tools=tools,
                required=case.tool_choice == "required" and number == 0,
                several=case.parallel_tool_calls,
                reasoning_opened=ends_in_reasoning(step.prompt, fmt.frame),
            )


def finished_by_grammar(model: Model, format_id: str | None, endings: Sequence[Ending]) -> frozenset[EndingKey]:
    """Those after which the grammar allows nothing; `model` may be a vocabulary alone."""
    from engine.constraint import backend
    from engine.constraint.tokens import TokenKinds

    kinds = TokenKinds(model.vocabulary())
    engines = {name: backend(name, model) for name in dict.fromkeys(ending.key[1] for ending in endings)}
    return frozenset(
        ending.key
        for ending in endings
        if _is_finished(ending, format_of(ending.key[0], format_id), engines[ending.key[1]], kinds)
    )


def _is_finished(ending: Ending, fmt: ToolFormat, engine: Backend, kinds: TokenKinds) -> bool:
    from engine.constraint.walk import walk

    mode, _, _, _, text = ending.key
    spec = spec_of(MODES[mode], fmt, ending.tools, required=ending.required, several=ending.several)
    begins = beginning(spec, text, fmt, opened=ending.reasoning_opened) if spec else None
    if spec is None or begins is None:
        return False  # nothing but free text, which the model ends
    constraint = engine.compile(spec.root).start()
    walked = walk(constraint, kinds, text[begins:])
    return walked.complete and constraint.finished


class Cutter:
    """Cuts the records of one cell. `finished`: the endings that were the grammar's."""

    def __init__(
        self, fmt: ToolFormat, vocabulary: Vocabulary, mode: str, backend: str, finished: frozenset[EndingKey]
    ) -> None:
        self._format, self._vocabulary, self._finished = fmt, vocabulary, finished
        self._mode, self._backend = mode, backend

    def cut(self, case: Case, record: ItemRecord, budget: int) -> ItemRecord:
        """The record with this budget for each step's answer; what follows the first cut never happens.

        A multi-turn conversation goes on after it, as it did as long as the calls are the same.
        """
        steps = list(record.steps)
        for number, (step, tools) in enumerate(zip(record.steps, offered(case, record), strict=True)):
            n_kept = self._n_kept(case, number, step, budget)
            if n_kept is None:
                continue
            steps[number] = self._shortened(step, n_kept, tools)
            if is_multi_turn(case) and steps[number].parsed.calls == step.parsed.calls:
                steps[number] = replace(steps[number], results=step.results)
                continue
            end = EpisodeEnd.CUT if case.is_episode else EpisodeEnd.SINGLE
            return replace(record, steps=tuple(steps[: number + 1]), end=end, error=None)
        return record if steps == list(record.steps) else replace(record, steps=tuple(steps))

    def _n_kept(self, case: Case, number: int, step: StepRecord, budget: int) -> int | None:
        """How many tokens of a step are left; None: all, and it ends as it did."""
        generation = step.generation
        if budget < self._n_opening(step):
            return budget
        n_answer = len(generation.tokens) - generation.n_reasoning
        if n_answer < budget or (n_answer == budget and generation.stop is StopReason.LENGTH):
            return None
        if n_answer == budget and (self._mode, self._backend, case.id, number, generation.text) in self._finished:
            return None
        return generation.n_reasoning + budget

    def _n_opening(self, step: StepRecord) -> int:
        """The first so many tokens count as answer, until they have opened the reasoning; 0 where none did."""
        opening = self._format.frame.open.encode()
        if not step.generation.n_reasoning or ends_in_reasoning(step.prompt, self._format.frame):
            return 0
        written = b""
        for number, token in enumerate(step.generation.tokens):
            written += self._vocabulary.pieces[token]
            if written.lstrip().startswith(opening):
                return number
        return 0

    def _shortened(self, step: StepRecord, n_tokens: int, tools: Sequence[Tool]) -> StepRecord:
        generation = step.generation
        tokens = generation.tokens[:n_tokens]
        shortened = replace(
            generation,
            tokens=tokens,
            text=self._vocabulary.text(tokens),
            stop=StopReason.LENGTH,
            n_reasoning=generation.n_reasoning if n_tokens >= generation.n_reasoning else 0,
            timings=Timings(),  # of the whole answer, and so no longer known
            constraint=None,
        )
        opened = ends_in_reasoning(step.prompt, self._format.frame)
        parsed = self._format.parse(shortened.text, tools, reasoning_opened=opened)
        return replace(step, generation=shortened, parsed=parsed, results=())
