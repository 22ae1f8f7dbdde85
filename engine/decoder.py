"""The decoding loop over llama.cpp: slots, shared prefixes, batches. Implements `engine.runtime.Runtime`.

Each step decodes one batch: first the new tokens of all answers in the making, then as much of the waiting prompts as
still fits. While the device works, the masks of the next position are computed on other threads. What a token means is
`engine.decoding.answer`'s business, and who has which cells of the cache `engine.decoding.cells`'.

With one slot no state is kept from one request to the next: the cache is cleared, nothing is shared, and every prompt
is cut into the same batches. That is the exact reference; only `read_ahead` lets the one next request find its
beginning decoded. With more slots the shape of the batches, and with it the last bits of the logits, depends on what
runs beside (`engine.divergence` tells such differences from real ones).

Behind the new tokens of an answer there may be a draft of the next ones (`engine.decoding.draft`). The answer is then
asked as often as its choices are those of the draft, with the logits that stand there; the rest is taken out of the
cache again. So whatever an answer does at a token, it does under a draft too, in the same order, at the same logits.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

import numpy as np

from engine.constraint.protocol import Mask
from engine.decoding.answer import Answer
from engine.decoding.cells import Cells
from engine.decoding.draft import LONGEST
from engine.decoding.kept import Kept
from engine.decoding.prefix import Prefix
from engine.decoding.slot import Slot
from engine.decoding.spelling import Spelling
from engine.errors import ConstraintError, ToolgaugeError, UnsupportedSchema
from engine.llama import Context, ContextParams, Model
from engine.llama.context import DecodeError
from engine.runtime import Finished, Request
from engine.sampler import Workspace
from engine.types import Generation

N_PREFIXES: Final = 2
# Rows of logits beside one for each slot, when forced tokens are measured; longer runs are cut into several batches.
_MEASURED_ROWS: Final = 64
_DRAFTED_ROWS: Final = 64  # the same for drafts; there are as many as fit
CANNOT_DRAFT: Final = (
    "the answers of this model cannot be drafted: what it has read cannot be taken back "
    "(it keeps a recurrent state, or a cache of a sliding window only)"
)


class LlamaRuntime:
    """Answers requests with one model.

    `context_params.n_ctx` is the room of each answer, whatever the number of slots; `n_seq_max` is set here. Slots
    wait where `n_cells` is too small for all of them. `measure_constraint` finds the removed mass and looks at forced
    positions too: for the accuracy pass, never for the latency pass. `drafts`: requests may ask for drafts.
    `make_answer` is there for measurements that decide what the model says.
    """

    def __init__(
        self,
        model: Model,
        context_params: ContextParams | None = None,
        n_slots: int = 1,
        *,
        measure_constraint: bool = False,
        share_prefixes: bool = True,
        drafts: bool = False,
        make_answer: Callable[..., Answer] = Answer,
    ) -> None:
        params = context_params or ContextParams()
        self.n_slots = n_slots
        self.n_ctx = params.n_ctx or model.n_ctx_train
        n_prefixes = N_PREFIXES if share_prefixes and n_slots > 1 else 0
        n_rows = n_more_rows(n_slots, measure_constraint=measure_constraint, drafts=drafts)
        self.context = _context(model, params, self.n_ctx, n_slots, n_prefixes, n_rows)
        if drafts and not self.context.can_rewind:
            self.context.close()
            raise ToolgaugeError(CANNOT_DRAFT)
        self.drafts, self._measure, self._make_answer = drafts, measure_constraint, make_answer
        self._vocabulary = model.vocabulary()
        self._spelling = Spelling(self._vocabulary, model.tokenize)
        self._workspace = Workspace(self._vocabulary)
        self._batch = self.context.batch()
        self._cells = Cells(self.context, n_slots, n_prefixes)
        self._prefix_chunks: list[tuple[Prefix, int]] = []
        self._read: tuple[int, ...] = ()  # ahead, for the next request
        self._queue: deque[tuple[Request, float]] = deque()
        self._refused: list[Finished] = []
        self._active: list[Slot] = []
        self._spare_rows = 0
        self._masks = ThreadPoolExecutor(min(n_slots, os.cpu_count() or 1), thread_name_prefix="mask")

    def __enter__(self) -> LlamaRuntime:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop what is pending and free the context."""
        self._masks.shutdown(wait=True, cancel_futures=True)
        self._queue.clear()
        self._active.clear()
        self._refused.clear()
        self.context.close()

    @property
    def n_pending(self) -> int:
        return len(self._queue) + len(self._active) + len(self._refused)

    def submit(self, request: Request) -> None:
        n_prompt = len(request.prompt)
        if not n_prompt:
            self._refused.append(Finished(request.key, None, "the prompt is empty"))
        elif n_prompt + 1 > self.n_ctx:
            error = (
                f"the prompt's {n_prompt:,} tokens leave no room for an answer in a context of {self.n_ctx:,}; see -c"
            )
            self._refused.append(Finished(request.key, None, error, context_exceeded=True))
        elif request.draft and (reason := self._why_no_draft(request)):
            self._refused.append(Finished(request.key, None, reason))
        else:
            self._queue.append((request, time.perf_counter()))

    def _why_no_draft(self, request: Request) -> str | None:
        if request.sampling.temperature > 0:
            return "answers can only be drafted where the likeliest token is taken, at temperature 0"
        if not self.context.can_rewind:
            return CANNOT_DRAFT
        return None if self.drafts else "this runtime was not made for drafts"

    def read_ahead(self, tokens: tuple[int, ...]) -> None:
        """As `Runtime` has it; raises `DecodeError`. The one sequence is continued, so that every model can do it."""
        if self.n_slots > 1 or self.n_pending:
            raise ValueError("only a single stream that is idle can read ahead")
        self.context.clear()
        self._read = ()
        for start in range(0, len(tokens), self._batch.capacity):
            self._batch.clear()
            chunk = tokens[start : start + self._batch.capacity]
            self._batch.add(chunk, position=start, sequence=0)
            self.context.decode(self._batch)
        self.context.synchronize()
        self._read = tokens

    def cancel(self, key: Hashable) -> bool:
        """Forget a request; no `Finished` will come for it. False if it is not pending."""
        for slot in self._active:
            if slot.answer.request.key == key:
                self._release(slot)
                return True
        n_before = self.n_pending
        self._queue = deque(entry for entry in self._queue if entry[0].key != key)
        self._refused = [finished for finished in self._refused if finished.key != key]
        return self.n_pending < n_before

    def step(self) -> list[Finished]:
        finished, self._refused = self._refused, []
        self._cells.forget_all_but({request.key for request, _ in self._queue if request.goes_on})
        while self._queue and len(self._active) < self.n_slots and self._admit(*self._queue[0], finished):
            self._queue.popleft()
        if not self._active:
            return finished
        self._fill()
        self._start_masks()
        started = time.perf_counter()
        try:
            self.context.decode(self._batch)
            self.context.synchronize()
        except DecodeError as error:
            return finished + self._give_up(str(error))
        self._collect(time.perf_counter() - started, finished)
        return finished

    # Admission

    def _admit(self, request: Request, submitted_s: float, finished: list[Finished]) -> bool:
        """Give the request a slot; False if the cache has no room for it yet."""
        budget = request.limits.answer + (request.limits.reasoning if request.reasoning else 0)
        n_cells = min(self.n_ctx, len(request.prompt) + budget)
        kept = self._cells.take(request.key)
        n_read = kept.n_common(request.prompt, can_rewind=self.context.can_rewind) if kept and request.goes_on else 0
        if kept and not n_read:
            self._cells.forget(kept)
            kept = None
        tokens = () if kept else self._shared(request)
        prefix = kept.prefix if kept else self._cells.find_prefix(tokens)
        n_there = len(prefix.tokens) if prefix else 0
        if not self._cells.make_room(n_cells - n_there, keep=prefix):
            if kept:
                self._cells.keep(request.key, kept)
            return False
        try:
            answer = self._make_answer(
                request,
                self._vocabulary,
                self._workspace,
                self._spelling.tokens,
                n_ctx=self.n_ctx,
                measure=self._measure,
            )
        except ToolgaugeError as error:
            if kept:
                self._cells.forget(kept)
            failed = isinstance(error, ConstraintError | UnsupportedSchema)
            finished.append(Finished(request.key, None, str(error), constraint_failed=failed))
            return True
        if kept:
            self._go_on(kept, answer, submitted_s, n_read, n_cells - n_there)
        else:
            self._begin(answer, submitted_s, prefix, tokens, n_cells)
        return True

    def _shared(self, request: Request) -> tuple[int, ...]:
        return request.prompt[: min(request.n_shared, len(request.prompt) - 1)] if self._cells.shares else ()

    def _begin(
        self, answer: Answer, submitted_s: float, prefix: Prefix | None, shared: tuple[int, ...], n_cells: int
    ) -> None:
        request, n_past = answer.request, 0
        pending = np.array(request.prompt, dtype=np.int32)
        n_cached = len(prefix.tokens) if prefix else 0
        prefix = prefix or (self._cells.new_prefix(shared) if shared else None)
        if prefix:
            n_cells, pending = n_cells - len(shared), pending[len(shared) :]
        if self.n_slots == 1:
            n_cached = n_past = self._take_up(request)
            pending = pending[n_past:]
        sequence = self._cells.borrow(n_cells, prefix)
        self._active.append(Slot(sequence, answer, submitted_s, prefix, n_cached, pending, n_past=n_past))

    def _go_on(self, kept: Kept, answer: Answer, submitted_s: float, n_read: int, n_cells: int) -> None:
        """An episode's next step, behind what was read in the last one."""
        if n_read < len(kept.tokens):
            self.context.rewind(kept.sequence, n_read)
        pending = np.array(answer.request.prompt[n_read:], dtype=np.int32)
        self._cells.borrow_again(kept, n_cells)
        self._active.append(Slot(kept.sequence, answer, submitted_s, kept.prefix, n_read, pending, n_past=n_read))

    def _take_up(self, request: Request) -> int:
        """How many of the prompt's tokens the only sequence holds; anything else in it is forgotten."""
        tokens, self._read = self._read, ()
        if tokens and tokens == request.prompt[: request.n_shared]:
            return len(tokens)
        self.context.clear()
        return 0

    # One batch

    def _fill(self) -> None:
        """New tokens first, so that prompts never hold up answers; then prefixes and prompts, as much as fits."""
        self._batch.clear()
        self._spare_rows = self._batch.n_outputs_max - self.n_slots
        self._prefix_chunks = []
        for slot in self._active:
            slot.n_batched, slot.rows = 0, range(0)
            if slot.writing:
                self._add(slot)
        if self.drafts:
            self._add_drafts()
        for prefix in self._cells.incomplete_prefixes:
            chunk = prefix.tokens[prefix.n_decoded : prefix.n_decoded + self._batch.room]
            if chunk:
                self._batch.add(chunk, position=prefix.n_decoded, sequence=prefix.sequence)
                self._prefix_chunks.append((prefix, len(chunk)))
        for slot in self._active:
            if not slot.writing and self._branched(slot):
                self._add(slot)

    def _branched(self, slot: Slot) -> bool:
        """Whether the slot's sequence holds its prefix; copies it as soon as that is decoded."""
        if slot.prefix is None or slot.n_past:
            return True
        if not slot.prefix.complete:
            return False
        self.context.copy_sequence(slot.prefix.sequence, slot.sequence)
        slot.n_past = len(slot.prefix.tokens)
        return True

    def _add(self, slot: Slot) -> None:
        """Put as many of the slot's tokens into the batch as there is room and rows of logits for."""
        n_pending = len(slot.pending)
        n_tokens = min(n_pending, self._batch.room)
        all_rows = slot.writing and slot.answer.wants_all_rows
        if all_rows:
            n_tokens = min(n_tokens, self._spare_rows + (self._spare_rows >= n_pending - 1))
        if not n_tokens:
            return
        whole = n_tokens == n_pending
        n_rows = n_tokens if all_rows else int(whole)
        self._spare_rows -= n_rows - whole
        last = self._batch.add(slot.pending[:n_tokens], position=slot.n_past, sequence=slot.sequence, n_outputs=n_rows)
        slot.n_batched, slot.rows = n_tokens, range(last + 1 - n_rows, last + 1)

    def _add_drafts(self) -> None:
        """Behind the new tokens of each answer those that it will probably write next, as far as they can be guessed.

        Logits are needed where there will be a choice, that is behind each part of a draft.
        """
        for slot in self._active:
            if not slot.n_batched or slot.n_batched < len(slot.pending):
                continue
            position = slot.n_past + slot.n_batched
            for part in slot.answer.draft(min(self._batch.room, self._spare_rows)):
                n_rows = len(part) if self._measure else 1
                if n_rows > self._spare_rows:
                    break
                last = self._batch.add(part, position=position, sequence=slot.sequence, n_outputs=n_rows)
                slot.draft.append((part, last))
                position += len(part)
                self._spare_rows -= n_rows

    def _start_masks(self) -> None:
        for slot in self._active:
            if slot.n_batched == len(slot.pending) and slot.answer.wants_mask:
                slot.mask = self._masks.submit(slot.answer.mask)

    def _collect(self, spent_s: float, finished: list[Finished]) -> None:
        """Hand the logits of the batch to the answers they belong to."""
        for prefix, n_tokens in self._prefix_chunks:
            prefix.n_decoded += n_tokens
        for slot in list(self._active):
            if not slot.writing:
                slot.prefill_s += spent_s
            elif not slot.answer.stop:
                slot.decodes.append((len(slot.answer.tokens), spent_s))
            if not slot.n_batched:
                continue
            slot.n_past += slot.n_batched
            slot.pending = slot.pending[slot.n_batched :]
            self._advance(slot, finished)

    def _advance(self, slot: Slot, finished: list[Finished]) -> None:
        """Give an answer its rows of logits; what goes wrong with them ends it, and no other."""
        generation, error, failed = None, None, False
        rows = slot.rows if len(slot.pending) else slot.rows[:-1]
        try:
            slot.best += [slot.answer.best(self.context.logits(row)) for row in rows]
            if len(slot.pending):
                return
            last = self.context.logits(slot.rows[-1])
            slot.pending = slot.answer.advance(last, _mask(slot), slot.best)
            slot.best, slot.mask = [], None
            if slot.draft:
                self._verify(slot)
            if not slot.answer.done:
                return
            generation = self._generation(slot)
        except ConstraintError as broken:  # what was written until then is worth keeping
            generation, error, failed = self._generation(slot), str(broken), True
        except ToolgaugeError as broken:
            error = str(broken)
        finished.append(Finished(slot.answer.request.key, generation, error, constraint_failed=failed))
        if generation and not error and self._cells.shares:
            self._keep(slot)
        else:
            self._release(slot)

    def _verify(self, slot: Slot) -> None:
        """Go on for as long as the answer is what was drafted; forget the rest of the draft."""
        answer, draft, n_accepted = slot.answer, slot.draft, 0
        slot.draft = []
        for part, last in draft:
            if answer.done or slot.pending != part:
                break
            n_accepted += 1
            slot.n_past += len(part)
            rows = range(last + 1 - len(part), last) if answer.wants_all_rows else ()
            best = [answer.best(self.context.logits(row)) for row in rows]
            slot.pending = answer.advance(self.context.logits(last), None, best)
        answer.drafted(len(draft), n_accepted)
        if n_accepted < len(draft):
            self.context.rewind(slot.sequence, slot.n_past)

    def _generation(self, slot: Slot) -> Generation:
        return slot.answer.generation(
            submitted_s=slot.submitted_s,
            prefill_s=slot.prefill_s,
            decodes=slot.decodes,
            n_cached=slot.n_cached,
        )

    def _keep(self, slot: Slot) -> None:
        """Leave the sequence as it is until the next step, which may begin with going on from it."""
        self._active.remove(slot)
        request = slot.answer.request
        tokens = (*request.prompt, *slot.answer.tokens)[: slot.n_past]
        self._cells.keep(request.key, Kept(slot.sequence, tokens, slot.prefix))

    def _release(self, slot: Slot) -> None:
        if slot.mask:
            slot.mask.exception()  # wait for it
        self._active.remove(slot)
        self._cells.give_back(slot.sequence, slot.prefix)

    def _give_up(self, error: str) -> list[Finished]:
        """After a failed decode the cache cannot be trusted: everything in flight is lost, what is queued is not."""
        lost = [Finished(slot.answer.request.key, None, error) for slot in self._active]
        for slot in list(self._active):
            self._release(slot)
        self._cells.clear()
        return lost


def _mask(slot: Slot) -> Mask | None:
    """The mask that was started, if one was; what there is to wait for it counts for the answer."""
    if slot.mask is None:
        return None
    started = time.perf_counter()
    mask = slot.mask.result()
    slot.answer.waited(time.perf_counter() - started)
    return mask


def n_more_rows(n_slots: int, *, measure_constraint: bool, drafts: bool) -> int:
    """Rows of logits that a batch may ask for, beside one for each sequence."""
    return _MEASURED_ROWS * measure_constraint + min(_DRAFTED_ROWS, n_slots * LONGEST) * drafts


def _context(model: Model, params: ContextParams, n_ctx: int, n_slots: int, n_prefixes: int, n_rows: int) -> Context:
    """`n_rows`: of logits, beside one for each sequence."""
    if n_slots < 1:
        raise ToolgaugeError("at least one answer has to be decoded at a time (--parallel 1)")
    n_cells = params.n_cells or n_ctx * n_slots
    if n_cells < n_ctx:
        raise ToolgaugeError(f"a cache of {n_cells:,} cells cannot hold one context of {n_ctx:,} tokens")
    n_sequences = n_slots + n_prefixes
    n_outputs = n_sequences + n_rows
    return model.context(replace(params, n_ctx=n_ctx, n_seq_max=n_sequences, n_cells=n_cells, n_outputs_max=n_outputs))
