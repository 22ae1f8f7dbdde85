"""The one error root of toolgauge, and the leaf that a schema can cause.

An error here is a person's mistake or a missing prerequisite; its message is one sentence that says what to do
next. A misbehaving model is never an error: it is data (see `engine.types`).
"""

from __future__ import annotations


class ToolgaugeError(Exception):
    """Root of every error that is shown to a person without a traceback (exit code 2)."""


class UnsupportedSchema(ToolgaugeError):
    """A backend cannot express a keyword of a tool's schema."""

    def __init__(self, backend: str, keyword: str, path: str, reason: str = "") -> None:
        self.backend, self.keyword, self.path, self.reason = backend, keyword, path, reason
        detail = f": {reason}" if reason else ""
        super().__init__(f"the {backend} backend cannot express '{keyword}' at {path}{detail}")


class InvalidSchema(ToolgaugeError):
    """A tool definition is not a usable tool or its parameters are not a valid JSON Schema."""
