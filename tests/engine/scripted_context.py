"""A context whose logits are made up from the tokens before them, so that no shape of batch can move their last bits.

It keeps the tokens of each sequence as llama.cpp would and refuses what llama.cpp could not do: a token that is not the
next of its sequence, logits that were not asked for, a cache that overflows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from engine.llama import ContextParams, Model
from engine.llama.context import Batch

_SEEN = 3  # tokens that the next one depends on; few, so that answers repeat what stood before


class ScriptedContext:
    """Stands in for `engine.llama.Context` in the decoding loop."""

    can_rewind = True

    def __init__(self, model: Model, params: ContextParams) -> None:
        self.params, self.n_cells = params, params.n_cells
        self.n_decodes = self.n_tokens = 0
        self._n_vocab = model.n_vocab
        self._sequences: list[list[int]] = [[] for _ in range(params.n_seq_max)]
        self._rows: dict[int, NDArray[np.float32]] = {}

    def batch(self) -> Batch:
        return Batch(self.params.n_batch, max(self.params.n_outputs_max, self.params.n_seq_max))

    def decode(self, batch: Batch) -> None:
        self.n_decodes += 1
        self.n_tokens += batch.n_tokens
        self._rows.clear()
        for place in range(batch.n_tokens):
            tokens = self._sequences[batch._sequences[place]]
            assert batch._positions[place] == len(tokens), "not the next position of its sequence"
            tokens.append(int(batch._tokens[place]))
            if batch._outputs[place]:
                self._rows[place] = self._logits(tokens)
        # with shared prefixes fewer are needed, so this is what was reserved at most
        assert max(map(len, self._sequences)) <= self.params.n_ctx

    def _logits(self, tokens: list[int]) -> NDArray[np.float32]:
        random = np.random.default_rng([7, *tokens[-_SEEN:]])
        row = random.normal(size=self._n_vocab).astype(np.float32)
        for back in range(1, min(len(tokens), 40)):  # and likes to go on as it did before
            if back > 1 and tokens[-back] == tokens[-1]:
                row[tokens[1 - back]] += 5
        return row

    def synchronize(self) -> None:
        pass

    def logits(self, row: int) -> NDArray[np.float32]:
        return self._rows[row]

    def copy_sequence(self, source: int, target: int) -> None:
        self._sequences[target] = [*self._sequences[source]]

    def remove_sequence(self, sequence: int) -> None:
        self._sequences[sequence] = []

    def rewind(self, sequence: int, position: int) -> None:
        assert position <= len(self._sequences[sequence])
        del self._sequences[sequence][position:]

    def clear(self) -> None:
        self._sequences = [[] for _ in self._sequences]

    def close(self) -> None:
        pass


def scripted(
    model: Model, params: ContextParams, n_ctx: int, n_slots: int, n_prefixes: int, n_rows: int
) -> ScriptedContext:
    """In place of `engine.decoder._context`."""
    n_sequences = n_slots + n_prefixes
    cells = params.n_cells or n_ctx * n_slots
    return ScriptedContext(
        model, replace(params, n_ctx=n_ctx, n_seq_max=n_sequences, n_cells=cells, n_outputs_max=n_sequences + n_rows)
    )
