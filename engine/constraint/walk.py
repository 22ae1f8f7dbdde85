"""Whether a grammar accepts a text, whatever its tokens: for tests, and for people who try a grammar on an answer."""

from __future__ import annotations

from dataclasses import dataclass

from engine.constraint.protocol import Constraint
from engine.constraint.tokens import TokenKinds


@dataclass(frozen=True, slots=True)
class Walk:
    """How far a grammar followed a text."""

    n_bytes: int  # accepted ones
    complete: bool  # the answer may end there


def walk(constraint: Constraint, kinds: TokenKinds, text: str) -> Walk:
    """Feed `text` to a constraint in the longest tokens that it allows; where it can, a marker as one token."""
    data, at = text.encode(), 0
    structural = {kinds.vocabulary.pieces[token]: token for token in kinds.structural - kinds.vocabulary.eog}
    markers = {piece: token for piece, token in structural.items() if piece and piece in data}
    while at < len(data):
        found = _next(constraint, kinds, markers, data, at)
        if found is None:
            return Walk(at, constraint.complete)
        token, size = found
        constraint.accept(token)
        at += size
    return Walk(at, constraint.complete)


def accepts(constraint: Constraint, kinds: TokenKinds, text: str) -> bool:
    """Whether `text` is a whole answer."""
    end = walk(constraint, kinds, text)
    return end.complete and end.n_bytes == len(text.encode())


def _next(
    constraint: Constraint, kinds: TokenKinds, markers: dict[bytes, int], data: bytes, at: int
) -> tuple[int, int] | None:
    for token in constraint.forced()[:1]:
        piece = kinds.vocabulary.pieces[token]
        return (token, len(piece)) if data.startswith(piece, at) else None
    for piece, token in markers.items():
        if data.startswith(piece, at) and constraint.allows(token):
            return token, len(piece)
    # No token of text reaches into what could be a marker: where one is meant, there would be no way back.
    ahead = [place for piece in markers if (place := data.find(piece, at + 1)) > 0]
    for size in range(min(kinds.longest_piece, min(ahead, default=len(data)) - at), 0, -1):
        text_token = kinds.by_piece.get(data[at : at + size])
        if text_token is not None and constraint.allows(text_token):
            return text_token, size
    return None
