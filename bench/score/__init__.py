"""Scoring: what came out, held against what is right. `score` is the way in; each other module answers one question."""

from __future__ import annotations

from bench.score.outcome import NOT_SCORED, CutAt, NoCall, Outcome
from bench.score.scorer import SCORER, VERSION, Score, score

__all__ = ["NOT_SCORED", "SCORER", "VERSION", "CutAt", "NoCall", "Outcome", "Score", "score"]
