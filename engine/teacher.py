"""Teacher forcing: what a model thinks of an answer that is put into its mouth, from one prefill of prompt and answer.

    teacher = Teacher(model, params, n_tokens=longest)
    for chunk in teacher.rows(forced):      # one row of logits for each token of the answer: what it would say there
        ...

Each answer is decoded on its own, in batches whose shape depends on nothing but its own tokens: the leading tokens that
it shares with others, which are kept from one answer to the next, and the rest. So an answer's logits do not depend on
which others are asked for, and the same weights give the same bits. Knows no case and no format.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from engine.decoding.spelling import Spelling
from engine.errors import ToolgaugeError
from engine.llama import Context, ContextParams, Model
from engine.prompt import Prompt, Tokenizer
from engine.sampler import Logits

# Rows of logits in one batch: a gigabyte for each thousand with the largest vocabularies.
N_ROWS: Final = 128
# How many of the prompt's last tokens may be needed to cut the answer as the whole text would be.
_N_BEFORE: Final = 32
_PREFIX, _ANSWER = 0, 1  # sequences


@dataclass(frozen=True, slots=True)
class Forced:
    """A prompt, and the answer that follows it whatever the model would say."""

    prompt: tuple[int, ...]
    n_shared: int  # leading tokens of the prompt that other prompts have, too
    answer: tuple[int, ...]
    is_joined: bool  # the whole text would be cut into the same tokens; else one would lie across prompt and answer

    @property
    def n_tokens(self) -> int:
        return len(self.prompt) + len(self.answer)


class Forcing:
    """Puts answers behind prompts, token by token; keeps what it knows of one vocabulary."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer, self._vocabulary = tokenizer, tokenizer.vocabulary()
        self._spelling = Spelling(self._vocabulary, tokenizer.tokenize)

    def forced(self, prompt: Prompt, answer: str) -> Forced:
        """The prompt as a run would send it, and behind it the tokens that write `answer`, exactly.

        Where the prompt ends inside reasoning, that is closed first, as a part of the prompt: what is measured is the
        answer. Tokens are those of the whole text; where one of these would lie across the end of the prompt, which
        no model can write, the answer is cut as a text of its own.
        """
        before = prompt.tokens
        if prompt.reasoning and prompt.reasoning.opened:
            closing = (prompt.reasoning.close + prompt.reasoning.resume).encode()
            before = (*before, *self._spelling.tokens(closing))
        joined = self._joined(before, answer)
        tokens = self._spelling.tokens(answer.encode()) if joined is None else joined
        if self._written(tokens) != answer.encode():
            raise ToolgaugeError("the vocabulary has no tokens for the answer")
        return Forced(before, min(prompt.n_shared, len(before) - 1), tuple(tokens), joined is not None)

    def _joined(self, prompt: Sequence[int], answer: str) -> list[int] | None:
        """The answer's tokens within the whole text; None where prompt and answer are not cut apart there."""
        tail = self._tail(prompt)
        context = self._written(tail)
        try:
            text = context.decode() + answer
        except UnicodeDecodeError:
            return None
        tokens = self._tokenizer.tokenize(text)
        is_whole = tokens[: len(tail)] == tail and self._written(tokens) == text.encode()
        return tokens[len(tail) :] if is_whole else None

    def _tail(self, prompt: Sequence[int]) -> list[int]:
        """The prompt's end from its last special token on, at which every tokenizer cuts."""
        last = list(prompt[-_N_BEFORE:])
        special = self._vocabulary.control | self._vocabulary.user_defined
        return last[max((place for place, token in enumerate(last) if token in special), default=0) :]

    def _written(self, tokens: Sequence[int]) -> bytes:
        return b"".join(self._vocabulary.pieces[token] for token in tokens)


class Teacher:
    """One model and a context for answers of up to `n_tokens` tokens, prompts included."""

    def __init__(self, model: Model, params: ContextParams, n_tokens: int) -> None:
        # An answer begins as a copy of its prefix, whose cells it shares, so that both need no more than one of them.
        self._context: Context = model.context(
            replace(params, n_ctx=n_tokens, n_cells=n_tokens, n_seq_max=2, n_outputs_max=N_ROWS)
        )
        self._batch = self._context.batch()
        self._n_rows = min(self._batch.n_outputs_max, self._batch.capacity)
        self._prefix: tuple[int, ...] = ()

    def __enter__(self) -> Teacher:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._context.close()

    def rows(self, forced: Forced) -> Iterator[list[Logits]]:
        """The logits before each token of the answer, in chunks; each chunk is valid until the next one is asked for.

        Raises `engine.llama.context.DecodeError`.
        """
        n_shared = forced.n_shared
        self._begin(forced.prompt[:n_shared])
        tokens = (*forced.prompt[n_shared:], *forced.answer[:-1])
        n_silent = len(tokens) - len(forced.answer)  # the last token of the prompt predicts the first of the answer
        self._decode(tokens[:n_silent], n_shared, _ANSWER)
        for start in range(n_silent, len(tokens), self._n_rows):
            chunk = tokens[start : start + self._n_rows]
            last = self._decode(chunk, n_shared + start, _ANSWER, n_outputs=len(chunk))
            yield [self._context.logits(row) for row in range(last + 1 - len(chunk), last + 1)]

    def _begin(self, prefix: tuple[int, ...]) -> None:
        """Let the answer's sequence hold the prefix and nothing else."""
        if prefix == self._prefix:
            self._context.remove_sequence(_ANSWER)
        else:
            self._context.clear()
            self._prefix = ()
            self._decode(prefix, 0, _PREFIX)
            self._prefix = prefix
        if prefix:
            self._context.copy_sequence(_PREFIX, _ANSWER)

    def _decode(self, tokens: Sequence[int], position: int, sequence: int, n_outputs: int = 0) -> int:
        """All of the tokens, in as many batches as they need; outputs are for tokens that fit into one."""
        last = -1
        for start in range(0, len(tokens), self._batch.capacity):
            self._batch.clear()
            part = tokens[start : start + self._batch.capacity]
            last = self._batch.add(part, position=position + start, sequence=sequence, n_outputs=n_outputs)
            self._context.decode(self._batch)
            self._context.synchronize()
        return last
