"""Drafts: what an answer will probably say next, copied from where its last words stood before. Knows no logits.

The values of a call are mostly copied from the prompt. So what follows the last place that reads like the end of the
answer is put behind it, as tokens, before the model is asked; the model then reads all of them in one batch, and the
answer keeps those that it would have chosen anyway. A draft is a guess: a wrong one costs time and changes nothing.

Texts are compared as bytes and not as tokens, since a word is cut into other tokens behind a quote than behind a space.
What is inside a value is looked for without the key before it, and taken as far as a phrase goes: most values are words
of a sentence. What stands between values is looked for as it stands; that pays where calls resemble each other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from engine.constraint.protocol import Constraint
from engine.decoding.spelling import Spell

# Choices in the first draft of an answer, inside a value and elsewhere, and in any.
FIRST_LENGTH: Final = {True: 4, False: 2}
LONGEST: Final = 16
_TAIL: Final = 32  # bytes at the end of the answer that a place is compared with
_WINDOW: Final = 96  # bytes that are taken from there
_PLACES: Final = 16  # places that are looked at, the last ones
_WORD: Final = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz")
_PHRASE_END: Final = re.compile(rb"[,.;:?!)](?=[\s\"'])|\s?[\n\"(]")


class Source:
    """Prompt and answer as one text that grows, and where its end stood before."""

    def __init__(self, text: bytes = b"") -> None:
        self._text = bytearray(text)

    def append(self, piece: bytes) -> None:
        self._text += piece

    @property
    def in_value(self) -> bool:
        """Whether the first words of a value have been written, behind a quote, a colon or a bracket."""
        tail = bytes(self._text[-_TAIL:])
        begun = _value(tail).lstrip(b" :=\n")
        return bool(begun) and (begun == tail or _begins_word(begun, 0))

    def after(self, guessed: bytes = b"", *, in_value: bool = False) -> bytes:
        """What stood behind the last place that reads like the end of the text (and of `guessed`, which follows it).

        The longest ending that can be found counts; it begins with a word, as does the place. Nothing where there is
        no such place.
        """
        tail = bytes(self._text[-_TAIL:]) + guessed
        size = self._longest((_value(tail) if in_value else tail)[-_TAIL:])
        while size:
            ending = tail[len(tail) - size :]
            if _begins_word(tail, len(tail) - size) and (place := self._find_word(ending)) is not None:
                found = bytes(self._text[place + size : place + size + _WINDOW])
                phrase_end = _PHRASE_END.search(found) if in_value else None
                return found[: phrase_end.start()] if phrase_end else found
            size -= 1
        return b""

    def _longest(self, tail: bytes) -> int:
        """The length of the longest ending of `tail` that something follows somewhere."""
        found, tried = 0, len(tail)
        while found < tried:
            size = (found + tried + 1) // 2
            if self._text.rfind(tail[len(tail) - size :], 0, len(self._text) - 1) >= 0:
                found = size
            else:
                tried = size - 1
        return found

    def _find_word(self, words: bytes) -> int | None:
        """The last place where a word begins and the text goes on with `words` and then with anything."""
        end = len(self._text) - 1
        for _ in range(_PLACES):
            place = self._text.rfind(words, 0, end)
            if place < 0:
                return None
            if _begins_word(self._text, place):
                return place
            end = place + len(words) - 1
        return None


def _value(tail: bytes) -> bytes:
    """What has been written behind the last quote or angle bracket: of a value its beginning, in any format."""
    return tail[max(tail.rfind(b'"'), tail.rfind(b">")) + 1 :]


def _begins_word(text: bytes | bytearray, place: int) -> bool:
    """Whether a word or a character of another script begins there, which is no more than the rest of one."""
    first = text[place]
    if first not in _WORD:
        return first >= 0xC0
    return place == 0 or text[place - 1] not in _WORD


class Drafter:
    """Drafts of one answer. They grow while they turn out right, and shrink when they do not."""

    def __init__(self, prompt: bytes, pieces: Sequence[bytes], spell: Spell, ends: frozenset[int]) -> None:
        """`ends`: tokens that end an answer; none of them is ever drafted."""
        self.n_drafted = self.n_accepted = 0  # choices; what a constraint forces behind one is not counted
        self._source = Source(prompt)
        self._n_seen = 0  # tokens of the answer that the source has
        self._pieces, self._spell, self._ends = pieces, spell, ends
        self._in_value = False  # the last draft
        self._lengths = dict(FIRST_LENGTH)

    def propose(
        self, tokens: Sequence[int], n_tokens: int, constraint: Constraint | None, *, use_forced: bool
    ) -> list[list[int]]:
        """At most `n_tokens` behind those of the answer: each time a choice, and what is forced behind it.

        `constraint` is a copy that is used up here; the draft ends with the first token that it does not allow.
        """
        for token in tokens[self._n_seen :]:
            self._source.append(self._pieces[token])
        self._n_seen = len(tokens)
        self._in_value = self._source.in_value
        length = self._lengths[self._in_value]
        draft: list[list[int]] = []
        written, n_left = b"", n_tokens
        while guesses := self._guesses(written):
            for token in guesses:
                if len(draft) == length or token in self._ends:
                    return draft
                if constraint is not None and not constraint.allows(token):
                    return draft
                group = [token, *(_forced_behind(token, constraint, use_forced, self._ends) if constraint else ())]
                n_left -= len(group)
                if n_left < 0:
                    return draft
                draft.append(group)
                written += b"".join(self._pieces[each] for each in group)
                if len(group) > 1:  # which may lead to another place
                    break
        return draft

    def learn(self, n_drafted: int, n_accepted: int) -> None:
        """How many choices were drafted, and how many of them the answer has made."""
        self.n_drafted += n_drafted
        self.n_accepted += n_accepted
        length = self._lengths[self._in_value]
        if n_accepted == n_drafted:
            length = min(LONGEST, max(length, 2 * n_drafted))
        elif 2 * n_accepted < n_drafted:
            length = max(1, length // 2)
        self._lengths[self._in_value] = length

    def _guesses(self, written: bytes) -> list[int]:
        data = self._source.after(written, in_value=self._in_value)
        tokens = self._spell(data) if data else []
        return tokens[:-1] if len(data) == _WINDOW else tokens  # a word that is cut off has other tokens


def _forced_behind(token: int, constraint: Constraint, use_forced: bool, ends: frozenset[int]) -> list[int]:
    """Let the constraint accept the token, and everything to which there is no alternative behind it."""
    constraint.accept(token)
    accepted: list[int] = []
    while use_forced and (forced := constraint.forced()):
        for each in forced:
            if each in ends or not constraint.allows(each):
                return accepted
            constraint.accept(each)
            accepted.append(each)
    return accepted
