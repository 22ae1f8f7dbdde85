"""Who has which cells of the cache: answers in the making, prefixes that several share, and what episodes leave behind.

An answer borrows a sequence and reserves as many cells as it may need, so that none runs out of them halfway. Where
there are too few, what is only kept goes first: prefixes that nobody uses, then the oldest step of an episode, whose
next one reads its prompt anew. Decodes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable

from engine.decoding.kept import Kept
from engine.decoding.prefix import Prefix, PrefixPool
from engine.llama import Context


class Cells:
    """Of `context`: sequences 0 to `n_slots` for answers, and behind them `n_prefixes` for prefixes."""

    def __init__(self, context: Context, n_slots: int, n_prefixes: int) -> None:
        self._context = context
        self._free = list(range(n_slots))
        self._reserved: dict[int, int] = {}  # cells by sequence, beside those of its prefix
        self._kept: dict[Hashable, Kept] = {}
        self._prefixes = PrefixPool(range(n_slots, n_slots + n_prefixes))
        self.shares = n_prefixes > 0

    # Room

    def make_room(self, n_cells: int, keep: Prefix | None) -> bool:
        """Whether so many cells can be reserved, if need be by forgetting what is kept, other than `keep`."""
        if keep:
            keep.n_users += 1
        try:
            while self._n_reserved + n_cells > self._context.n_cells:
                if not self._evict() and not self._forget_oldest():
                    return False
            return True
        finally:
            if keep:
                keep.n_users -= 1

    @property
    def _n_reserved(self) -> int:
        return self._prefixes.n_cells + sum(self._reserved.values())

    # Sequences of answers

    def borrow(self, n_cells: int, prefix: Prefix | None) -> int:
        """A sequence for an answer that begins with `prefix`, and `n_cells` more; what is kept may go for it."""
        if not self._free:
            self._forget_oldest()
        sequence = self._free.pop(0)
        self._reserved[sequence] = n_cells
        if prefix:
            prefix.n_users += 1
        return sequence

    def give_back(self, sequence: int, prefix: Prefix | None) -> None:
        self._free.append(sequence)
        self._free.sort()
        self._reserved.pop(sequence, None)
        if prefix:
            prefix.n_users -= 1
        self._context.remove_sequence(sequence)

    # What episodes leave behind from one step to the next

    def keep(self, key: Hashable, kept: Kept) -> None:
        """Leave a borrowed sequence as it is, with the cells that it fills."""
        self._kept[key] = kept
        self._reserved[kept.sequence] = kept.n_cells

    def take(self, key: Hashable) -> Kept | None:
        """What was kept under this key, no longer reserved: to be borrowed again, kept again or forgotten."""
        kept = self._kept.pop(key, None)
        if kept:
            del self._reserved[kept.sequence]
        return kept

    def borrow_again(self, kept: Kept, n_cells: int) -> None:
        self._reserved[kept.sequence] = n_cells

    def forget(self, kept: Kept) -> None:
        self.give_back(kept.sequence, kept.prefix)

    def forget_all_but(self, keys: Collection[Hashable]) -> None:
        for key in self._kept.keys() - set(keys):
            self.forget(self._kept.pop(key))

    def _forget_oldest(self) -> bool:
        oldest = next(iter(self._kept), None)
        if oldest is not None:
            self.forget(self._kept.pop(oldest))
        return oldest is not None

    # Prefixes

    @property
    def incomplete_prefixes(self) -> list[Prefix]:
        return self._prefixes.incomplete

    def find_prefix(self, tokens: tuple[int, ...]) -> Prefix | None:
        return self._prefixes.find(tokens)

    def new_prefix(self, tokens: tuple[int, ...]) -> Prefix | None:
        """None when every prefix that is kept is in use: the request then decodes its whole prompt itself."""
        prefix = self._prefixes.add(tokens)
        return prefix or (self._prefixes.add(tokens) if self._evict() else None)

    def _evict(self) -> bool:
        evicted = self._prefixes.evict()
        if evicted:
            self._context.remove_sequence(evicted.sequence)
        return evicted is not None

    def clear(self) -> None:
        """Forget everything that no answer has borrowed, and empty the cache."""
        while self._forget_oldest():
            pass
        self._prefixes.clear()
        self._context.clear()
