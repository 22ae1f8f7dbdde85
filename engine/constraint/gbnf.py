"""llama.cpp's own grammar engine: nothing to prepare, one token checked in microseconds, all of them in milliseconds.

It matches characters, and so would take a control token for its text, and ill-formed UTF-8 for characters. Both are
refused here, so that its language is the one that the other backends have.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.constraint.protocol import Mask
from engine.constraint.tokens import TokenKinds, empty_mask, has_bit, set_bits, utf8_tail
from engine.errors import ConstraintError
from grammars.gbnf import to_gbnf
from grammars.nodes import AnyOrder, Choice, Node, QuotedDict, RawString, RawText, Repeat, Seq

if TYPE_CHECKING:
    from engine.llama import GrammarSampler, Model


_REFUSED, _WHOLE, _RAGGED, _MARKER, _END = range(5)
_NEVER = frozenset({0xC0, 0xC1, *range(0xF5, 0x100)})  # no UTF-8 has these bytes


def _sorted_tokens(kinds: TokenKinds) -> NDArray[np.uint8]:
    pieces = kinds.vocabulary.pieces
    sort = np.full(len(pieces), _REFUSED, dtype=np.uint8)
    sort[kinds.text] = _WHOLE
    sort[[token for token in kinds.text.tolist() if utf8_tail(b"", pieces[token]) != b""]] = _RAGGED
    sort[kinds.end] = _END
    return sort


def _bytewise(kinds: TokenKinds) -> NDArray[np.int32] | None:
    """A token for each byte that a text may have; None where the vocabulary lacks one."""
    found = [kinds.by_piece.get(bytes((byte,))) for byte in range(1, 256) if byte not in _NEVER]
    known = [token for token in found if token is not None]
    return np.array(known, dtype=np.int32) if len(known) == len(found) else None


class GbnfBackend:
    """Implements `Backend`."""

    name = "gbnf"

    def __init__(self, model: Model) -> None:
        self.version = version("llama_cpp_python")
        self.kinds = TokenKinds(model.vocabulary())
        self._model, self._sort, self._bytewise = model, _sorted_tokens(self.kinds), _bytewise(self.kinds)

    def compile(self, root: Node) -> GbnfCompiled:
        from engine.llama import GrammarSampler

        marker_ids = self.kinds.marker_ids(root)
        text = to_gbnf(root, marker_ids)
        tokens = GbnfTokens(self.kinds, self._sort, self._bytewise, marker_ids)
        spelled = to_gbnf(root, {}) if marker_ids and _has_raw_text(root) else None
        witness = GrammarSampler(self._model, spelled) if spelled else None
        return GbnfCompiled(text, GrammarSampler(self._model, text), tokens, witness)


def _has_raw_text(node: Node) -> bool:
    match node:
        case RawText() | RawString() | QuotedDict():
            return True
        case Seq(parts) | Choice(parts) | AnyOrder(parts):
            return any(map(_has_raw_text, parts))
        case Repeat(item, separator):
            return _has_raw_text(item) or _has_raw_text(separator)
    return False


class GbnfTokens:
    """What the states of one grammar have in common: how to treat each token."""

    def __init__(
        self,
        kinds: TokenKinds,
        sort: NDArray[np.uint8],
        bytewise: NDArray[np.int32] | None,
        marker_ids: dict[str, int],
    ) -> None:
        self.kinds = kinds
        self.spellings = {token: kinds.spelled(text.encode()) for text, token in marker_ids.items()}
        self.sort = sort.copy()
        self.sort[list(self.spellings)] = _MARKER
        self.possible = np.flatnonzero(self.sort != _REFUSED).astype(np.int32)
        self.ragged = np.flatnonzero(self.sort == _RAGGED).astype(np.int32)
        markers = np.array(list(self.spellings), dtype=np.int32)
        going_on = self.possible[self.sort[self.possible] != _END]
        # Where each byte has a token, those and the markers show whether anything may follow at all.
        self.probes = going_on if bytewise is None else np.append(bytewise, markers)


class GbnfCompiled:
    """Implements `Compiled`."""

    def __init__(
        self, text: str, sampler: GrammarSampler, tokens: GbnfTokens, witness: GrammarSampler | None = None
    ) -> None:
        self.text = text
        self._sampler, self._tokens, self._witness = sampler, tokens, witness

    def start(self) -> GbnfConstraint:
        return GbnfConstraint(self._sampler.clone(), self._tokens, self._witness.clone() if self._witness else None)


class GbnfConstraint:
    """Implements `Constraint`, and `check` for a few tokens at a time.

    In raw text llama.cpp's check errs: having matched the first characters of a marker as text, it takes the marker's
    id for the next thing, and `accept` then ends the process. So the same grammar with its markers spelled out, the
    `witness`, goes along and says whether a marker is really due.
    """

    def __init__(self, sampler: GrammarSampler, tokens: GbnfTokens, witness: GrammarSampler | None = None) -> None:
        self._sampler, self._tokens, self._witness = sampler, tokens, witness
        self._pending = b""  # an unfinished character
        self._mask: Mask | None = None

    def allows(self, token: int) -> bool:
        if self._mask is not None:
            return has_bit(self._mask, token)
        if not self._pending and self._tokens.sort[token] == _WHOLE:
            return self._sampler.allows(token)
        return bool(self.check(np.array([token], dtype=np.int32))[0])

    def check(self, candidates: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which of the candidate tokens may come next."""
        sort = self._tokens.sort[candidates]
        possible = (sort == _RAGGED) if self._pending else (sort != _REFUSED)
        allowed: NDArray[np.bool_] = possible & self._sampler.check(candidates)
        for place in np.flatnonzero(allowed & (sort == _RAGGED)).tolist():
            allowed[place] = self._tail_after(int(candidates[place])) is not None
        for place in np.flatnonzero(allowed & (sort == _MARKER)).tolist():
            marker = int(candidates[place])
            allowed[place] = not self._spells(self._sampler, marker) and self._is_due(marker)
        return allowed

    def _tail_after(self, token: int) -> bytes | None:
        return utf8_tail(self._pending, self._tokens.kinds.vocabulary.pieces[token])

    def _is_due(self, marker: int) -> bool:
        return self._witness is None or self._spells(self._witness, marker)

    def _spells(self, sampler: GrammarSampler, marker: int) -> bool:
        """Whether the text that the marker looks like is allowed; where it is so as text, it is that and no marker."""
        spelling = self._tokens.spellings[marker]
        if spelling is None:
            return False
        probe = sampler.clone()
        for token in spelling:
            if not probe.allows(token):
                return False
            probe.accept(token)
        return True

    def mask(self) -> Mask:
        if self._mask is None:
            asked = self._tokens.ragged if self._pending else self._tokens.possible
            self._mask = empty_mask(len(self._tokens.sort))
            set_bits(self._mask, asked[self.check(asked)])
        return self._mask

    def accept(self, token: int) -> None:
        if not self.allows(token):
            raise ConstraintError(f"the grammar does not allow token {token} here")
        self._mask = None
        if self._tokens.sort[token] == _RAGGED:
            tail = self._tail_after(token)
            assert tail is not None  # `allows` has seen to it
            self._pending = tail
        self._sampler.accept(token)
        if self._witness is not None:
            for part in self._tokens.spellings.get(token) or [token]:
                self._witness.accept(part)

    def forced(self) -> list[int]:
        """Always none: to find out, this engine would have to check every token."""
        return []

    def copy(self) -> GbnfConstraint:
        witness = self._witness.clone() if self._witness else None
        other = GbnfConstraint(self._sampler.clone(), self._tokens, witness)
        other._pending = self._pending
        return other

    @property
    def complete(self) -> bool:
        end = self._tokens.kinds.end
        return len(end) > 0 and self.allows(int(end[0]))

    @property
    def finished(self) -> bool:
        return self.complete and not self.check(self._tokens.probes).any()
