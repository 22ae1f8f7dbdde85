"""A constraint for tests: the answer is one of a few given texts. Slow, simple, and wrong about nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.constraint.protocol import Mask
from engine.vocabulary import Vocabulary


@dataclass
class Options:
    """Implements `engine.constraint.protocol.Compiled`."""

    vocabulary: Vocabulary
    tokenize: Callable[[str], list[int]]
    texts: tuple[str, ...]
    text: str = ""
    started: list[OptionsState] = field(default_factory=list)

    def start(self) -> OptionsState:
        state = OptionsState(self)
        self.started.append(state)
        return state


class OptionsState:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._vocabulary = options.vocabulary
        self.written = b""
        self.accepted: list[int] = []

    @property
    def _rests(self) -> list[bytes]:
        texts = [text.encode() for text in self._options.texts]
        return [text[len(self.written) :] for text in texts if text.startswith(self.written)]

    def allows(self, token: int) -> bool:
        if token in self._vocabulary.eog:
            return self.complete
        piece = self._vocabulary.pieces[token]
        return bool(piece) and any(rest.startswith(piece) for rest in self._rests)

    def mask(self) -> Mask:
        allowed = np.zeros(-(-self._vocabulary.n_tokens // 32) * 32, dtype=np.uint8)
        allowed[: self._vocabulary.n_tokens] = [self.allows(token) for token in range(self._vocabulary.n_tokens)]
        return np.packbits(allowed, bitorder="little").view(np.uint32)

    def accept(self, token: int) -> None:
        assert self.allows(token) and token not in self._vocabulary.eog, "the caller has to check first"
        self.written += self._vocabulary.pieces[token]
        self.accepted.append(token)

    def forced(self) -> list[int]:
        rests = self._rests
        return self._options.tokenize(rests[0].decode()) if len(rests) == 1 and rests[0] else []

    def copy(self) -> OptionsState:
        other = type(self)(self._options)
        other.written, other.accepted = self.written, [*self.accepted]
        return other

    @property
    def complete(self) -> bool:
        return b"" in self._rests

    @property
    def finished(self) -> bool:
        return self._rests == [b""]


class CheckingState(OptionsState):
    """The same as llama.cpp's grammars are asked: a few candidates at a time."""

    n_checked = 0

    def check(self, candidates: NDArray[np.int32]) -> NDArray[np.bool_]:
        self.n_checked += len(candidates)
        return np.array([self.allows(int(token)) for token in candidates], dtype=bool)


@dataclass
class CheckedOptions(Options):
    def start(self) -> CheckingState:
        state = CheckingState(self)
        self.started.append(state)
        return state
