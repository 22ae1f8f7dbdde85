"""Makes a constraint accept text that has been written already, in whatever tokens it wants that text.

A model may write a trigger in other tokens than a constraint takes it in: spelled in letters where there is a marker,
or alone where certain text behind it shares a token with it. Knows no logits and no phases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.constraint.protocol import Constraint
from engine.spelling import Tokenize


def catch_up(constraint: Constraint, text: bytes, tokenize: Tokenize, pieces: Sequence[bytes]) -> bytes | None:
    """Let the constraint accept `text`; what it accepted beyond the end of it, None if it does not accept it.

    It goes beyond the end only where it forces a token that does. A constraint that has refused is not to be used.
    """
    while text:
        token = next(_fitting(constraint, text, tokenize, pieces), None)
        if token is None:
            return None
        constraint.accept(token)
        piece = pieces[token]
        if len(piece) > len(text):
            return piece[len(text) :]
        text = text[len(piece) :]
    return b""


def _fitting(constraint: Constraint, text: bytes, tokenize: Tokenize, pieces: Sequence[bytes]) -> Iterator[int]:
    """Allowed tokens with which `text` begins: the forced one, else the canonical one, else one for a character."""
    forced = constraint.forced()
    if forced:
        candidates = forced[:1]
    else:
        known = text.decode(errors="ignore")  # a character may be unfinished at the end
        candidates = [*tokenize(known)[:1], *tokenize(known[:1])[:1]]
    for token in candidates:
        piece = pieces[token]
        fits = text.startswith(piece) or (bool(forced) and piece.startswith(text))
        if piece and fits and constraint.allows(token):
            yield token
