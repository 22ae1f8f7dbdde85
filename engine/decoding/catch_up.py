"""Makes a constraint accept text that has been written already, in whatever tokens it wants that text.

A model may write a trigger in other tokens than a constraint takes it in: spelled in letters where there is a marker,
or alone where certain text behind it shares a token with it. Knows no logits and no phases.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.constraint.protocol import Constraint
from engine.decoding.spelling import Spell


def catch_up(constraint: Constraint, text: bytes, spell: Spell, pieces: Sequence[bytes]) -> bytes | None:
    """Let the constraint accept `text`; what it accepted beyond the end of it, None if it does not accept it.

    It goes beyond the end only where it forces a token that does. A constraint that has refused is not to be used.
    """
    while text:
        token = _next(constraint, text, spell, pieces)
        if token is None:
            return None
        constraint.accept(token)
        piece = pieces[token]
        if len(piece) > len(text):
            return piece[len(text) :]
        text = text[len(piece) :]
    return b""


def _next(constraint: Constraint, text: bytes, spell: Spell, pieces: Sequence[bytes]) -> int | None:
    """An allowed token with which `text` begins: the forced one, else the canonical one, else one for a byte."""
    if forced := constraint.forced():
        piece = pieces[forced[0]]
        return forced[0] if text.startswith(piece) or piece.startswith(text) else None
    for token in (*spell(text)[:1], *spell(text[:1])[:1]):
        piece = pieces[token]
        if piece and text.startswith(piece) and constraint.allows(token):
            return token
    return None
