"""The one error root of toolgauge, and the leaf that a schema can cause.

An error here is a person's mistake or a missing prerequisite; its message is one sentence that says what to do
next. A misbehaving model is never an error: it is data (see `engine.types`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class ToolgaugeError(Exception):
    """Root of every error that is shown to a person without a traceback (exit code 2)."""


class UnsupportedSchema(ToolgaugeError):
    """A backend cannot express a keyword of a tool's schema."""

    def __init__(self, backend: str, keyword: str, path: str, reason: str = "", tool: str = "") -> None:
        self.backend, self.keyword, self.path, self.reason = backend, keyword, path, reason
        self.tool = tool
        owner = f" of the tool '{tool}'" if tool else ""
        detail = f": {reason}" if reason else ""
        super().__init__(f"the {backend} backend cannot express '{keyword}' at {path}{owner}{detail}")

    @classmethod
    @contextmanager
    def named(cls, tool: str) -> Iterator[None]:
        """Within the block the schema is this tool's, and an error says so."""
        try:
            yield
        except cls as error:
            raise cls(error.backend, error.keyword, error.path, error.reason, tool) from error


class InvalidSchema(ToolgaugeError):
    """A tool definition is not a usable tool or its parameters are not a valid JSON Schema."""
