"""Free answers that go on until their budget is spent, whatever the model writes: as llama.cpp's own tools decode.

A rate over an answer that ended after a dozen tokens could not be compared with one over hundreds. Constrained answers
end where they always do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from engine.constraint.protocol import Mask
from engine.decoding.answer import Answer
from engine.decoding.spelling import Spell
from engine.runtime import Request
from engine.sampler import Logits, Workspace
from engine.types import StopReason
from engine.vocabulary import Vocabulary


class EndlessAnswer(Answer):
    """Made for a runtime's `make_answer`."""

    def __init__(
        self, request: Request, vocabulary: Vocabulary, workspace: Workspace, spell: Spell, **options: Any
    ) -> None:
        self._endless = request.compiled is None
        if self._endless:
            vocabulary = replace(vocabulary, eog=frozenset())
        super().__init__(request, vocabulary, workspace, spell, **options)

    def advance(self, logits: Logits, mask: Mask | None = None, best: Sequence[int] = ()) -> list[int]:
        tokens = super().advance(logits, mask, best)
        if self._endless and self.stop is StopReason.REPETITION:
            self.stop = None
        return tokens
