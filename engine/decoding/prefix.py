"""Prompt prefixes that several requests share, each decoded once into a sequence of its own and copied from there.

A request branches off exactly at the end of a prefix, never before it: recurrent and hybrid models cannot rewind. The
last few prefixes are kept, because prompt styles and tool sets alternate within a run. Knows sequence ids and cell
counts, and no context: the runtime decodes and copies.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Prefix:
    """Tokens that are, or are being, decoded into sequence `sequence`."""

    tokens: tuple[int, ...]
    sequence: int
    n_decoded: int = 0
    n_users: int = 0  # answers in the making that began with it

    @property
    def complete(self) -> bool:
        return self.n_decoded == len(self.tokens)


class PrefixPool:
    """At most as many prefixes as there are sequence ids to hold them; the least recently used goes first."""

    def __init__(self, sequences: range) -> None:
        self._free = list(sequences)
        self._kept: dict[tuple[int, ...], Prefix] = {}  # in the order of last use

    @property
    def n_cells(self) -> int:
        """Cells that the prefixes fill, or will."""
        return sum(len(prefix.tokens) for prefix in self._kept.values())

    @property
    def incomplete(self) -> list[Prefix]:
        return [prefix for prefix in self._kept.values() if not prefix.complete]

    def find(self, tokens: tuple[int, ...]) -> Prefix | None:
        prefix = self._kept.pop(tokens, None)
        if prefix:
            self._kept[tokens] = prefix
        return prefix

    def add(self, tokens: tuple[int, ...]) -> Prefix | None:
        """A new prefix, still to be decoded; None when all sequences hold one (see `evict`)."""
        if not self._free:
            return None
        prefix = self._kept[tokens] = Prefix(tokens, self._free.pop())
        return prefix

    def evict(self) -> Prefix | None:
        """Forget the least recently used prefix that no answer uses; its sequence is to be removed from the cache.

        One that is in use keeps its cells whoever forgets it, so evicting it would win nothing.
        """
        for tokens, prefix in self._kept.items():
            if not prefix.n_users:
                del self._kept[tokens]
                self._free.append(prefix.sequence)
                return prefix
        return None

    def clear(self) -> None:
        self._free += [prefix.sequence for prefix in self._kept.values()]
        self._kept.clear()
