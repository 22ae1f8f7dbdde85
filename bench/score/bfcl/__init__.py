"""BFCL's single-turn verdicts, equal to those of its official checker: `check`, or a `Checker` for many answers.

Every other module here is one part of the official rules; docs/bfcl.md says what they are and how equality is proven.
"""

from __future__ import annotations

from bench.score.bfcl.checker import Checker, check
from bench.score.bfcl.verdict import BadReference, OfficialVerdict

__all__ = ["BadReference", "Checker", "OfficialVerdict", "check"]
