r"""A byte-level BPE vocabulary of any size, made up from nothing but a seed. Knows no GGUF and no model.

Its merges are learned in the order in which the words come: bytes, letter pairs, the words of the workload, then
invented words until the size is reached. A new word is first cut by the merges that exist, and its parts are then
joined, so that every token can be reached by tokenizing a text, as in a vocabulary that was trained.

    made = synthesise(151_936, words=("weather", "city"))
    made.tokens[260], made.merges[4]
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Final

# In the order of their frequency in English, which is what merges are learned by.
_LETTER_PAIRS: Final = (
    "th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le ve co me de hi ri ro ic "
    "ne ea ra ce li ch ll be ma si om ur ing ion ent ati for her ter ate con res ver all ons nce men ted ers pro ess "
    "ive ect com per int est sta ica ist ear ain our iti rat"
)
# What stands between keys and values in JSON, and the ends of sentences, as the Qwen splitting rule cuts them.
_PUNCTUATION: Final = (
    *('":', '",', ' "', '"}', ' {"', '{"', "}}", '"},', " {"),
    *('."', " (", ").", " -", "\n\n", "    "),
)
_ONSETS: Final = ("", *"bcdfghjklmnprstvwz", "br", "ch", "cl", "dr", "fl", "gr", "pl", "pr", "qu", "sh", "st", "tr")
_VOWELS: Final = (*"aeiou", "ai", "ea", "io", "ou")
_CODAS: Final = ("", "", "", *"lmnrstx", "ck", "nd", "ng", "nt", "rd", "st")
_FOREIGN_SHARE: Final = 0.2  # about what the vocabularies of multilingual models give to other scripts
_FOREIGN: Final = ((0x0430, 0x044F, (3, 7)), (0x3042, 0x3093, (2, 4)), (0x4E00, 0x6FFF, (1, 2)))


@dataclass(frozen=True, slots=True)
class Bpe:
    """Tokens in GPT-2's byte alphabet, by id, and the merges by rank."""

    tokens: tuple[str, ...]
    merges: tuple[str, ...]


def synthesise(n_tokens: int, *, words: Sequence[str] = (), seed: int = 0) -> Bpe:
    """The same vocabulary for the same arguments, on every machine."""
    if n_tokens < 256 + len(_LETTER_PAIRS.split()):
        raise ValueError(f"{n_tokens} tokens are too few: the bytes and letter pairs alone take more")
    learner = _Learner(n_tokens)
    pairs = _LETTER_PAIRS.split()
    for word in (*pairs, *_PUNCTUATION, *_variants(words), *(f" {pair}" for pair in pairs)):
        learner.learn(word)
    invented = _invent(random.Random(seed))
    while not learner.full:
        learner.learn(next(invented))
    return Bpe(tuple(learner.tokens), tuple(f"{left} {right}" for left, right in learner.ranks))


class _Learner:
    """Merges learned so far, and the tokens that they make."""

    def __init__(self, n_tokens: int) -> None:
        self._n_tokens = n_tokens
        self._letters = byte_letters()
        self.tokens: dict[str, int] = {letter: token for token, letter in enumerate(self._letters)}
        self.ranks: dict[tuple[str, str], int] = {}

    @property
    def full(self) -> bool:
        return len(self.tokens) >= self._n_tokens

    def learn(self, word: str) -> None:
        parts = self._cut([self._letters[byte] for byte in word.encode()])
        while len(parts) > 1 and not self.full:
            pair = parts[0], parts[1]
            self.ranks[pair] = len(self.ranks)
            self.tokens.setdefault("".join(pair), len(self.tokens))
            parts = self._cut(parts)  # which also merges the pair where the word repeats it

    def _cut(self, parts: list[str]) -> list[str]:
        """What byte-pair encoding makes of a word with the merges that exist."""
        ranks = self.ranks
        while len(parts) > 1:
            rank, at = min((ranks.get(pair, len(ranks)), at) for at, pair in enumerate(pairwise(parts)))
            if rank == len(ranks):
                break
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        return parts


def _variants(words: Iterable[str]) -> Iterator[str]:
    """A word inside a text, at the start of one, after an underscore."""
    for word in words:
        yield from (f" {word}", word, f"_{word}")


def _invent(rng: random.Random) -> Iterator[str]:
    while True:
        if rng.random() < _FOREIGN_SHARE:
            first, last, (shortest, longest) = rng.choice(_FOREIGN)
            yield "".join(chr(rng.randint(first, last)) for _ in range(rng.randint(shortest, longest)))
            continue
        n_syllables = rng.choice((1, 2, 2, 2, 3, 3, 4))
        syllables = (rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(n_syllables))
        word = "".join(syllables)
        yield rng.choice((f" {word}", f" {word}", word, f" {word.capitalize()}"))


@cache
def byte_letters() -> tuple[str, ...]:
    """GPT-2's printable stand-in for each byte."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(256, 512))
    return tuple(chr(byte) if byte in printable else chr(next(others)) for byte in range(256))
