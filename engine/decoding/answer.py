"""One answer in the making: from rows of logits to tokens, phase by phase, until a stop rule ends it.

An answer reasons first (if the model does), then runs free until a trigger, or is constrained from its first token.
Knows neither llama.cpp nor the answers decoded beside it, so it can be tested with made-up logits.

Three rules where the contract leaves room:

- White space before reasoning, and between it and a constrained answer, stays free: models write it, and no grammar
  mentions it.
- A token that reaches over the end of a marker is kept if the constraint accepts the rest of it; otherwise it is
  replaced by tokens that end with the marker. Where the constraint takes a trigger only together with the certain text
  behind it, that text is written with the trigger.
- A model that may open reasoning itself does so when its free choice begins the opening text, or goes on with it, and
  the constraint does not allow it; the opening text is then completed for it. While both are possible, both stay so.
  What begins several openings, but not the first, opens none: which one is meant cannot be told.

What begins a call for certain ends reasoning, too, where calls are constrained: models call without closing it first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Final, TypeVar

import numpy as np

from engine.constraint.protocol import Constraint, Mask
from engine.constraint.tokens import set_bits
from engine.decoding.catch_up import catch_up
from engine.decoding.draft import Drafter
from engine.decoding.moments import Decode, Moments
from engine.decoding.opening import Opening
from engine.decoding.spelling import Spell
from engine.decoding.stops import REPEATED_TOKENS, Found, MarkerFinder, circles, nests, repeats
from engine.decoding.timed import TimedConstraint, start_timed
from engine.errors import ConstraintError
from engine.runtime import Request
from engine.sampler import CandidateChecker, Logits, Sampler, Workspace
from engine.types import ConstraintStats, Generation, StopReason, Timings
from engine.vocabulary import Vocabulary

T = TypeVar("T")

# White-space tokens that may stand before reasoning, and as many between it and a constrained answer.
_MAX_LEAD: Final = 8
_REPETITION_STEP: Final = 16  # repetition is looked for whenever so many tokens more have been written


class _Phase(Enum):
    OPENING = auto()  # the model may still open its reasoning
    REASONING = auto()
    LEAD_IN = auto()  # reasoning is over, the constrained answer has not begun
    FREE = auto()
    CONSTRAINED = auto()


class Answer:
    """The state of one request; `advance` is called with logits until it is `done`.

    `measure`: find the removed mass, and whether forced tokens were what the model wanted; both cost time.
    """

    def __init__(
        self,
        request: Request,
        vocabulary: Vocabulary,
        workspace: Workspace,
        spell: Spell,
        *,
        n_ctx: int,
        measure: bool = False,
    ) -> None:
        self.request = request
        self.tokens: list[int] = []
        self.stop: StopReason | None = None
        self._vocabulary, self._spell = vocabulary, spell
        self._room = n_ctx - len(request.prompt)
        self._measure = measure
        self._sampler = Sampler(request.sampling, workspace)
        self._stop_tokens = vocabulary.eog | request.stop_tokens
        self._formal = request.stop_tokens - vocabulary.eog  # ends answers of this format; a grammar does not know it
        self._constraint: TimedConstraint | None = None
        self._discarded_s = 0.0  # spent in constraints that were started in vain
        self._aside_s = 0.0  # spent on masks while the device worked
        self._waited_s = 0.0  # for such masks, when the device was done
        self._call_wait_s = 0.0  # for the constraint, until the first call was complete
        self._opening = Opening(request.reasoning)
        self._n_answer = self._n_reasoning = self._n_lead = 0
        self._n_first = 0  # tokens that were there with the first one
        self._n_unrepeated = 0  # tokens until which repetition is not looked for again
        self._n_masked = self._n_interventions = self._n_forced = 0
        self._removed_mass = 0.0
        self._intervened = False  # at the last choice under the constraint
        self._forced: list[bool] = []  # for each token of the last `advance`
        self._unmeasured = False
        self._moments = Moments(request.watcher)
        self._drafter: Drafter | None = None
        if request.draft:
            prompt = b"".join(vocabulary.pieces[token] for token in request.prompt)
            self._drafter = Drafter(prompt, vocabulary.pieces, spell, self._stop_tokens)
        self._begin()

    def _begin(self) -> None:
        reasoning, request = self.request.reasoning, self.request
        self._resume = reasoning.resume.encode() if reasoning else b""
        self._close = MarkerFinder((reasoning.close, *reasoning.breaks)) if reasoning else None
        self._call: MarkerFinder | None = None
        if request.compiled and reasoning and reasoning.calls:
            self._call = MarkerFinder(reasoning.calls)
        self._trigger: MarkerFinder | None = None
        if request.compiled and request.triggers:
            self._trigger = MarkerFinder(request.triggers, at_start=request.trigger_at_start)
        if request.compiled and not self._trigger:
            self._constraint = start_timed(request.compiled)
        if reasoning:
            self._phase = _Phase.REASONING if reasoning.opened else _Phase.OPENING
        else:
            self._phase = _Phase.CONSTRAINED if self._constraint else _Phase.FREE
        self._force_first = self._phase is _Phase.CONSTRAINED and request.use_forced

    # What the runtime asks

    @property
    def done(self) -> bool:
        return self.stop is not None and not self._unmeasured

    @property
    def wants_all_rows(self) -> bool:
        """Logits are wanted behind every token of the last `advance`, not only behind its last one."""
        return self._measure and any(self._forced)

    @property
    def wants_mask(self) -> bool:
        """Computing the constraint's mask while the device works will probably save time."""
        constraint = self._constraint
        if constraint is None or self.stop or self._force_first or self._phase in (_Phase.REASONING, _Phase.FREE):
            return False
        if self._measure or self._sampler.needs_mask:
            return True
        # refusals come in runs: after one, the next is likely
        return self._intervened and not isinstance(constraint, CandidateChecker)

    def mask(self) -> Mask:
        """The mask of the next position; may be called on another thread, while nothing else is asked."""
        assert self._constraint is not None
        before_s = self._constraint.seconds
        mask = self._constraint.mask()
        self._aside_s += self._constraint.seconds - before_s
        return mask

    def waited(self, seconds: float) -> None:
        """For a mask that was not ready when the device was done."""
        self._waited_s += seconds

    def best(self, logits: Logits) -> int:
        """The free argmax of a row behind a token that was not the last one; `advance` wants them in order."""
        return self._sampler.best(logits)

    def advance(self, logits: Logits, mask: Mask | None = None, best: Sequence[int] = ()) -> list[int]:
        """Take the logits behind the last token; returns the new tokens, which are to be decoded unless `done`.

        `best`: if all rows were wanted, the free choices behind the tokens before the last one.
        """
        self._measure_forced(self.tokens[len(self.tokens) - len(self._forced) :], self._forced, best, offset=1)
        self._unmeasured = False
        if self.stop:
            return []
        n_before, self._forced = len(self.tokens), []
        if self._force_first:
            self._force_first = False
            self._force()
            if self._measure and self._forced:
                self._measure_forced(self.tokens, self._forced, [self._sampler.best(logits)], offset=0)
        if len(self.tokens) == n_before and not self.stop:
            self._choose(logits, mask)
        if not n_before:
            self._n_first = len(self.tokens)
        # The last forced tokens need no decoding for the answer's sake, only to see what the model would have written.
        self._unmeasured = self.stop is not None and self._measure and any(self._forced[1:])
        return self.tokens[n_before:]

    def draft(self, n_tokens: int) -> list[list[int]]:
        """What the next calls of `advance` will return, as far as it can be guessed; at most so many tokens."""
        drafter, use_forced = self._drafter, self.request.use_forced
        if drafter is None or self.stop:
            return []
        limits = self.request.limits
        left = limits.answer - self._n_answer
        if self._phase is _Phase.REASONING:
            left = limits.reasoning - self._n_reasoning
        # the last token that there is room for is never decoded
        n_tokens = min(n_tokens, left - 1, self._room - len(self.tokens) - 1)
        if self._phase in (_Phase.REASONING, _Phase.FREE):
            return drafter.propose(self.tokens, n_tokens, None, use_forced=False)
        if self._phase is not _Phase.CONSTRAINED or self._constraint is None:
            return []
        draft = self._look_ahead(lambda ahead: drafter.propose(self.tokens, n_tokens, ahead, use_forced=use_forced))
        return draft or []

    def drafted(self, n_drafted: int, n_accepted: int) -> None:
        """What came of the last draft."""
        if self._drafter:
            self._drafter.learn(n_drafted, n_accepted)

    def generation(
        self, *, submitted_s: float, prefill_s: float, decodes: Sequence[Decode], n_cached: int
    ) -> Generation:
        """The finished answer. `decodes`: the time spent in llama.cpp since the first token was there."""
        moments = self._moments
        first, last = moments.first_s, moments.last_s
        decode_s = last - first if first is not None and last is not None else 0.0
        timings = Timings(
            prefill_s=prefill_s,
            ttft_s=_since(submitted_s, first),
            ttfn_s=_since(submitted_s, moments.name_s),
            ttfc_s=_since(submitted_s, moments.call_s),
            decode_s=decode_s,
            mask_s=self._constraint_s,
            # the decode behind the last token brought none, and is no part of `decode_s`
            host_s=max(0.0, decode_s - sum(seconds for n_before, seconds in decodes if n_before < len(self.tokens))),
            compile_s=self.request.compile_s,
            total_s=time.perf_counter() - submitted_s,
        )
        return Generation(
            tokens=tuple(self.tokens),
            text=self._vocabulary.text(self.tokens),
            stop=self.stop or StopReason.CONSTRAINT,
            n_prompt=len(self.request.prompt),
            n_cached=n_cached,
            n_reasoning=self._n_reasoning,
            n_first=self._n_first,
            n_drafted=self._drafter.n_drafted if self._drafter else 0,
            n_accepted=self._drafter.n_accepted if self._drafter else 0,
            timings=timings,
            first_call=moments.first_call(
                submitted_s, prefill_s, decodes, self._call_wait_s, n_reasoning=self._n_reasoning
            ),
            constraint=self._stats(),
        )

    @property
    def _constraint_s(self) -> float:
        """Spent in the constraint, on whichever thread."""
        return self._discarded_s + (self._constraint.seconds if self._constraint else 0.0)

    def _stats(self) -> ConstraintStats | None:
        if self.request.compiled is None:
            return None
        removed = self._removed_mass / self._n_masked if self._measure and self._n_masked else None
        return ConstraintStats(self._n_masked, self._n_interventions, removed, self._n_forced)

    # One token

    def _choose(self, logits: Logits, mask: Mask | None) -> None:
        constraint = self._constraint
        if constraint is None or self._phase in (_Phase.REASONING, _Phase.FREE):
            self._write(self._sampler.free(logits))
        elif self._phase is _Phase.CONSTRAINED:
            self._choose_constrained(constraint, logits, mask)
        else:
            token = self._sampler.free(logits)
            piece = self._vocabulary.pieces[token]
            if self._phase is _Phase.OPENING and self._opens(constraint, token):
                self._write_opening(constraint, token)
            elif self._leads(piece) and not constraint.allows(token):
                self._n_lead += 1
                self._emit(token)
            else:
                self._phase = _Phase.CONSTRAINED
                self._choose_constrained(constraint, logits, mask)

    def _choose_constrained(self, constraint: TimedConstraint, logits: Logits, mask: Mask | None) -> None:
        ends = self._formal if self._formal and constraint.complete else frozenset()
        if ends and self._sampler.needs_mask:  # drawn with its share, as the vocabulary's own ends are
            mask = (constraint.mask() if mask is None else mask).copy()
            set_bits(mask, np.array(sorted(ends), dtype=np.int32))
        elif ends and self._sampler.best(logits) in ends:
            self.stop = StopReason.EOG
            return
        pick = self._sampler.constrained(logits, constraint, mask, measure=self._measure)
        self._n_masked += 1
        self._n_interventions += pick.intervened
        self._intervened = pick.intervened
        self._removed_mass += pick.removed_mass or 0.0
        if pick.token is None:
            self.stop = StopReason.CONSTRAINT
        elif pick.token in self._vocabulary.eog or pick.token in ends:
            self.stop = StopReason.EOG
        else:
            constraint.accept(pick.token)
            self._emit(pick.token)
            self._end_or_force(constraint)

    def _end_or_force(self, constraint: TimedConstraint) -> None:
        """After the constraint has moved: it may have nothing more to say, or only one thing."""
        if constraint.complete and constraint.finished:
            self.stop = StopReason.EOG
        elif self.request.use_forced and not self.stop:
            self._force()

    def _force(self) -> None:
        constraint = self._constraint
        assert constraint is not None
        while not self.stop and (forced := constraint.forced()):
            for token in forced:
                if token in self._vocabulary.eog:
                    self.stop = StopReason.EOG
                    return
                if not constraint.allows(token):  # accepting it could end the process
                    raise ConstraintError(f"the constraint forces token {token} and does not allow it")
                constraint.accept(token)
                self._n_forced += 1
                self._emit(token, forced=True)
                if self.stop:
                    break
            if constraint.complete and constraint.finished:
                self.stop = StopReason.EOG

    def _write(self, token: int) -> None:
        """A token of free text or reasoning, which may end a phase."""
        if token in self._stop_tokens:
            self.stop = StopReason.EOG
            return
        piece = self._vocabulary.pieces[token]
        if self._phase is _Phase.OPENING:
            self._watch_opening(piece)
        finder = self._close if self._phase is _Phase.REASONING else self._trigger
        found = finder.feed(piece) if finder else None
        called = self._call.feed(piece) if self._call and self._phase is _Phase.REASONING and not found else None
        if called:
            self._begin_constrained(token, called)
        elif found is None:
            self._emit(token)
        elif self._phase is _Phase.REASONING:
            self._end_reasoning(token, found)
        else:
            self._begin_constrained(token, found)

    def _emit(self, token: int, *, forced: bool = False, ends_reasoning: bool = False) -> None:
        """Append a token, note the time, and apply the stop rules."""
        self.tokens.append(token)
        self._forced.append(forced)
        if self._moments.token(self._vocabulary.pieces[token]):
            self._call_wait_s = self._constraint_s - self._aside_s + self._waited_s
        limits = self.request.limits
        if self._phase is _Phase.REASONING:
            self._n_reasoning += 1
            if self._n_reasoning >= limits.reasoning and not ends_reasoning:
                self.stop = StopReason.REASONING_LENGTH
        else:
            self._n_answer += 1
            if self._n_answer >= limits.answer:
                self.stop = StopReason.LENGTH
        if not self.stop and len(self.tokens) >= self._room:
            self.stop = StopReason.CONTEXT
        if not self.stop and len(self.tokens) % _REPETITION_STEP == 0 and self._is_endless():
            self.stop = StopReason.REPETITION

    def _is_endless(self) -> bool:
        """Whether the last tokens are a repetition that the constraint, if there is one, would not end either.

        If it would, the answer may end as well, and only what it repeats from here on can be held against it.
        """
        n_tokens = len(self.tokens)
        period = repeats(self.tokens) if n_tokens >= self._n_unrepeated else 0
        if not period or self._constraint is None or self._phase is not _Phase.CONSTRAINED:
            return period > 0
        block = self.tokens[-period:]
        if nests(b"".join(self._vocabulary.pieces[token] for token in block)):
            return True  # to follow that far down takes llama.cpp's grammars minutes
        self._n_unrepeated = n_tokens + REPEATED_TOKENS
        return bool(self._look_ahead(lambda ahead: circles(ahead, block)))

    def _look_ahead(self, look: Callable[[Constraint], T]) -> T | None:
        """What `look` finds with a copy of the constraint; None if that breaks.

        The answer may never get there. If it does, its own constraint will say so.
        """
        assert self._constraint is not None
        ahead = self._constraint.copy()
        try:
            return look(ahead)
        except ConstraintError:
            return None
        finally:
            self._constraint.seconds = ahead.seconds

    # Reasoning and triggers

    def _opens(self, constraint: TimedConstraint, token: int) -> bool:
        """Whether a token opens reasoning that the constraint knows, too, or that can be completed without it."""
        piece = self._vocabulary.pieces[token]
        return self._opening.goes_on(piece) and (self._opening.is_clear(piece) or constraint.allows(token))

    def _leads(self, piece: bytes) -> bool:
        # white space would break off what opens reasoning
        begun = self._phase is _Phase.OPENING and self._opening.begun
        return not begun and piece.isspace() and self._n_lead < _MAX_LEAD

    def _write_opening(self, constraint: TimedConstraint, token: int) -> None:
        """A token that opens reasoning, or goes on opening it, in an answer that is otherwise constrained."""
        possible = constraint.allows(token)
        advanced = possible or self._opening.begun
        if possible:
            constraint.accept(token)
        self._write(token)
        if not possible:
            self._complete_opening()
        if self._phase is _Phase.REASONING and advanced:
            self._start()

    def _complete_opening(self) -> None:
        for part in self._spell(self._opening.missing) if self._phase is _Phase.OPENING else ():
            if self.stop:
                return
            self._n_forced += 1
            self._write(part)
            self._forced[-1] = True

    def _watch_opening(self, piece: bytes) -> None:
        """Decide, before it is counted, whether `piece` opens reasoning or shows that there will be none."""
        is_open = self._opening.feed(piece)
        if is_open:
            self._phase = _Phase.REASONING
            self._n_reasoning, self._n_answer, self._n_lead = self._n_answer, 0, 0
            if self._trigger:
                self._trigger.reset()
        elif is_open is False:
            self._phase = _Phase.FREE

    def _end_reasoning(self, token: int, end: Found) -> None:
        """`token` ends reasoning; what begins the next message may end it, too."""
        rest, resume = end.rest, self._resume.removeprefix(end.marker)
        found = self._trigger.feed(rest) if self._trigger else None
        if found:
            self._begin_constrained(token, found)
        elif self._constraint and (rest.strip() or resume):
            self._begin_constrained(token, Found(b"", rest), resume=resume)
        else:
            self._emit(token, ends_reasoning=True)
            self._phase = _Phase.LEAD_IN if self._constraint else _Phase.FREE

    def _begin_constrained(self, token: int, found: Found, *, resume: bytes = b"") -> None:
        """`token` has completed a marker, with which the constraint begins, unless `resume` stands before it."""
        piece, rest = self._vocabulary.pieces[token], found.rest
        beyond = None if rest and resume else self._start(found.marker + rest)
        refused = beyond is None
        if refused:
            self._n_interventions += 1
            piece, beyond = piece[: len(piece) - len(rest)], self._start(found.marker)
        if beyond is None:
            raise ConstraintError(f"the grammar does not begin with its trigger {found.marker.decode()}")
        for part in self._spell(piece + beyond) if refused or beyond else (token,):
            if self.stop:
                return
            self._emit(part, ends_reasoning=True)
        self._phase = _Phase.CONSTRAINED
        for part in self._spell(resume):
            if self.stop:
                return
            self._n_forced += 1
            self._emit(part, forced=True)
        assert self._constraint is not None
        self._end_or_force(self._constraint)

    def _start(self, text: bytes = b"") -> bytes | None:
        """Begin a new constraint and let it accept `text`; what `catch_up` says of it."""
        assert self.request.compiled is not None
        if self._constraint:
            self._discarded_s += self._constraint.seconds
        self._constraint = start_timed(self.request.compiled)
        return catch_up(self._constraint, text, self._spell, self._vocabulary.pieces)

    # Forced tokens

    def _measure_forced(self, tokens: list[int], forced: list[bool], best: Sequence[int], *, offset: int) -> None:
        """Count the forced tokens where the model would have written something else.

        `best[i]` is the free choice in the place of `tokens[i + offset]`. Another segmentation of the text that is
        forced anyway is no intervention.
        """
        pieces = self._vocabulary.pieces
        for index, choice in enumerate(best, start=offset):
            if not forced[index] or choice == tokens[index]:
                continue
            due = b"".join(pieces[token] for token in tokens[index:])
            piece = pieces[choice]
            if not piece or not (due.startswith(piece) or piece.startswith(due)):
                self._n_interventions += 1


def _since(start: float, moment: float | None) -> float | None:
    return None if moment is None else moment - start
