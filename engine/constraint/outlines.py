"""outlines_core: the grammar as one automaton over all tokens; slow to build, and then a look-up per token."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.constraint.protocol import Mask
from engine.constraint.tokens import TokenKinds, clear_bits, empty_mask, has_bit, set_bits, set_tokens
from engine.errors import ConstraintError
from grammars.nodes import Node
from grammars.regex import FIRST_STAND_IN, START, to_regex
from grammars.regular import LAST

if TYPE_CHECKING:
    from engine.llama import Model

_N_KEPT = 32  # automata, of some megabytes each
_PLANE_16 = 0xF4  # the byte with which the characters begin that stand for markers; no text may have it


class OutlinesBackend:
    """Implements `Backend`. Automata are kept, as they can take seconds to build."""

    name = "outlines"

    def __init__(self, model: Model) -> None:
        self.version = version("outlines_core")
        self.kinds = TokenKinds(model.vocabulary())
        if not self.kinds.vocabulary.eog:
            raise ConstraintError("the model has no end-of-generation token; outlines needs one")
        structural = sorted(self.kinds.structural - self.kinds.vocabulary.eog)[: LAST - FIRST_STAND_IN]
        self._stand_ins = {token: chr(FIRST_STAND_IN + place) for place, token in enumerate(structural)}
        self._vocabulary = self._read_vocabulary()
        self._indices: OrderedDict[str, Any] = OrderedDict()

    def _read_vocabulary(self) -> Any:
        from outlines_core import Vocabulary

        pieces = self.kinds.vocabulary.pieces
        tokens: dict[bytes, list[int]] = {}
        for token in self.kinds.text.tolist():
            if _PLANE_16 not in pieces[token]:
                tokens.setdefault(pieces[token], []).append(token)
        tokens |= {char.encode(): [token] for token, char in self._stand_ins.items()}
        tokens[START.encode()] = [len(pieces)]
        return Vocabulary(int(self.kinds.end[0]), tokens)

    def compile(self, root: Node) -> OutlinesCompiled:
        marker_ids = self.kinds.marker_ids(root)
        text = to_regex(root, {marker: self._stand_ins[token] for marker, token in marker_ids.items()})
        if text not in self._indices:
            self._indices[text] = self._build(text)
            if len(self._indices) > _N_KEPT:
                self._indices.popitem(last=False)
        self._indices.move_to_end(text)
        return OutlinesCompiled(text, self._indices[text], self.kinds)

    def _build(self, text: str) -> Any:
        from outlines_core import Index

        try:
            return Index(text, self._vocabulary)
        except ValueError as error:
            raise ConstraintError(f"outlines does not accept the regular expression: {error}") from None


class OutlinesCompiled:
    """Implements `Compiled`."""

    def __init__(self, text: str, index: Any, kinds: TokenKinds) -> None:
        self.text = text
        self._index, self._kinds = index, kinds

    def start(self) -> OutlinesConstraint:
        return OutlinesConstraint(self._index, self._kinds)


class OutlinesConstraint:
    """Implements `Constraint`."""

    def __init__(self, index: Any, kinds: TokenKinds, accepted: Sequence[int] = ()) -> None:
        from outlines_core import Guide

        self._guide, self._index, self._kinds = Guide(index), index, kinds
        self._accepted = [*accepted]
        self._mask: Mask | None = None
        start = kinds.vocabulary.n_tokens  # the token that `START` was given
        for token in (start, *accepted):
            self._guide.advance(token, return_tokens=False)

    def allows(self, token: int) -> bool:
        return has_bit(self.mask(), token)

    def mask(self) -> Mask:
        if self._mask is None:
            mask = empty_mask(self._kinds.vocabulary.n_tokens)
            self._guide.write_mask_into(mask.ctypes.data, mask.size, mask.itemsize)
            (set_bits if self.complete else clear_bits)(mask, self._kinds.end)
            self._mask = mask
        return self._mask

    def accept(self, token: int) -> None:
        if not self.allows(token):
            raise ConstraintError(f"the regular expression does not allow token {token} here")
        self._mask = None
        self._guide.advance(token, return_tokens=False)
        self._accepted.append(token)

    def forced(self) -> list[int]:
        """The tokens along which each state has a single way on."""
        forced: list[int] = []
        if int(np.bitwise_count(self.mask()).sum()) != 1:  # far cheaper than the list of all that are allowed
            return forced
        state = self._guide.get_state()
        while not self._index.is_final_state(state):
            allowed = self._index.get_allowed_tokens(state)
            if len(allowed) != 1:
                break
            forced += allowed
            state = self._index.get_next_state(state, allowed[0])
        return forced

    def copy(self) -> OutlinesConstraint:
        """By going the same way again: a guide cannot be copied without the whole automaton."""
        return OutlinesConstraint(self._index, self._kinds, self._accepted)

    @property
    def complete(self) -> bool:
        final: bool = self._guide.is_finished()
        return final

    @property
    def finished(self) -> bool:
        return self.complete and self._only_end(set_tokens(self.mask()))

    def _only_end(self, allowed: NDArray[np.int32]) -> bool:
        return bool(np.isin(allowed, self._kinds.end).all())
