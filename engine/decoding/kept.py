"""What an answer leaves in its sequence until it is known whether an episode's next step goes on from there.

The next prompt begins with the last one and, as far as it is tokenized alike, its answer. Knows sequence ids and
tokens, and no context: the runtime rewinds, and `engine.decoding.cells` forgets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.decoding.prefix import Prefix


@dataclass(frozen=True, slots=True)
class Kept:
    """Tokens that sequence `sequence` holds; the first of them are those of `prefix`, which stays in use."""

    sequence: int
    tokens: tuple[int, ...]
    prefix: Prefix | None

    @property
    def n_prefix(self) -> int:
        return len(self.prefix.tokens) if self.prefix else 0

    @property
    def n_cells(self) -> int:
        """Beside those of the prefix."""
        return len(self.tokens) - self.n_prefix

    def n_common(self, prompt: Sequence[int], *, can_rewind: bool) -> int:
        """How many tokens a prompt can go on from; 0 where it has to begin anew.

        One token at least is decoded again, for its logits. What cannot be taken back must all be in the prompt.
        """
        n = 0
        for ours, theirs in zip(self.tokens, prompt[:-1], strict=False):
            if ours != theirs:
                break
            n += 1
        is_usable = n >= self.n_prefix and (can_rewind or n == len(self.tokens))
        return n if is_usable else 0
