"""Which tokens of a vocabulary are text to a grammar, which are structure, and masks over all of them.

Structural tokens (control tokens, and user-defined ones that look like the markers of a format) are never part of a
text: they occur only where a grammar names them. Knows no engine.
"""

from __future__ import annotations

import codecs
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from engine.constraint.protocol import Mask
from engine.errors import ConstraintError
from engine.vocabulary import Vocabulary
from grammars.nodes import AnyOrder, Choice, Marker, Node, QuotedDict, Repeat, Seq

# <tool_call>, <|"|>, <｜tool▁sep｜>; [TOOL_CALLS], [/THINK]; ｜DSML｜
_MARKER = re.compile(rb"<.*>|\[/?[A-Z_][A-Z0-9_]*\]|" + "｜.+｜".encode(), re.DOTALL)
_HEAD = 5  # bytes
_BITS = np.uint32(1) << np.arange(32, dtype=np.uint32)


def empty_mask(n_tokens: int) -> Mask:
    return np.zeros((n_tokens + 31) // 32, dtype=np.uint32)


def set_bits(mask: Mask, tokens: NDArray[np.int32]) -> None:
    np.bitwise_or.at(mask, tokens >> 5, _BITS[tokens & 31])


def clear_bits(mask: Mask, tokens: NDArray[np.int32]) -> None:
    np.bitwise_and.at(mask, tokens >> 5, ~_BITS[tokens & 31])


def has_bit(mask: Mask, token: int) -> bool:
    return bool(mask[token >> 5] & _BITS[token & 31])


def set_tokens(mask: Mask) -> NDArray[np.int32]:
    """The ids of the allowed tokens."""
    bits = np.unpackbits(mask.view(np.uint8), bitorder="little")
    return np.flatnonzero(bits).astype(np.int32)


def utf8_tail(pending: bytes, piece: bytes) -> bytes | None:
    """The unfinished character at the end of `pending + piece`; None where that is not the beginning of any UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(pending + piece)
    except UnicodeDecodeError:
        return None
    tail = bytes(decoder.getstate()[0])
    is_surrogate = tail[:1] == b"\xed" and tail[1:2] >= b"\xa0"  # the decoder waits for the third byte to say so
    return None if is_surrogate else tail


@dataclass(frozen=True)
class TokenKinds:
    """A vocabulary as constraints see it."""

    vocabulary: Vocabulary

    @cached_property
    def structural(self) -> frozenset[int]:
        """Control tokens, and user-defined ones that look like them: older conversions do not tell the two apart."""
        pieces = self.vocabulary.pieces
        named = {token for token in self.vocabulary.user_defined if _MARKER.fullmatch(pieces[token])}
        return self.vocabulary.control | named

    @cached_property
    def text(self) -> NDArray[np.int32]:
        """The tokens that texts are made of, in order."""
        outside = self.structural | self.vocabulary.eog
        found = [token for token, piece in enumerate(self.vocabulary.pieces) if piece and token not in outside]
        return np.array(found, dtype=np.int32)

    @cached_property
    def end(self) -> NDArray[np.int32]:
        """The tokens that end a generation."""
        return np.array(sorted(self.vocabulary.eog), dtype=np.int32)

    @cached_property
    def by_piece(self) -> dict[bytes, int]:
        """The first text token with each piece."""
        pieces = self.vocabulary.pieces
        return {pieces[token]: token for token in reversed(self.text.tolist())}

    @cached_property
    def longest_piece(self) -> int:
        return max(map(len, self.by_piece), default=0)

    @cached_property
    def _longest_by_head(self) -> dict[bytes, int]:
        """The length of the longest piece with each beginning: most texts are told at once that nothing goes beyond."""
        return {piece[:_HEAD]: len(piece) for piece in sorted(self.vocabulary.pieces, key=len)}

    @cached_property
    def _sorted_pieces(self) -> list[bytes]:
        return sorted(self.by_piece)

    def beyond(self, data: bytes) -> list[int]:
        """The text tokens that begin with all of `data` and go on behind it."""
        if len(data) >= _HEAD and self._longest_by_head.get(data[:_HEAD], 0) <= len(data):
            return []
        pieces, tokens = self._sorted_pieces, []
        index = bisect_right(pieces, data)
        while index < len(pieces) and pieces[index].startswith(data):
            tokens.append(self.by_piece[pieces[index]])
            index += 1
        return tokens

    def within(self, data: bytes) -> list[int]:
        """The text tokens that `data` begins with, the shortest first."""
        pieces = (data[:size] for size in range(1, min(self.longest_piece, len(data)) + 1))
        return [self.by_piece[piece] for piece in pieces if piece in self.by_piece]

    def spelled(self, data: bytes) -> list[int] | None:
        """The longest text tokens, one after the other, that write `data`; None where they cannot."""
        tokens: list[int] = []
        start = 0
        while start < len(data):
            found = self.within(data[start : start + self.longest_piece])
            if not found:
                return None
            tokens.append(found[-1])
            start += len(self.vocabulary.pieces[found[-1]])
        return tokens

    def marker_ids(self, root: Node) -> dict[str, int]:
        """The markers of a format that this vocabulary has as structural tokens; the others are text."""
        ids: dict[str, int] = {}
        for text in dict.fromkeys(_markers(root)):
            token = self.vocabulary.token_of(text)
            if token is None or token not in self.structural:
                continue
            if token in self.vocabulary.eog:
                raise ConstraintError(f"the marker {text} ends generation in this model; no grammar can go on after it")
            ids[text] = token
        return ids


def _markers(node: Node) -> Iterator[str]:
    parts: Iterable[Node] = ()
    match node:
        case Marker(text) | QuotedDict(_, text):
            yield text
        case Seq(parts) | Choice(parts) | AnyOrder(parts):
            pass
        case Repeat(item, separator):
            parts = (item, separator)
    for part in parts:
        yield from _markers(part)
