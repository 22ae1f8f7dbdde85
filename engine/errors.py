"""Errors of the engine; each message is one sentence that says what to do next."""

from __future__ import annotations

from grammars.errors import InvalidSchema, ToolgaugeError, UnsupportedSchema

__all__ = [
    "ConstraintError",
    "InvalidSchema",
    "ModelFileError",
    "OutOfMemory",
    "TemplateError",
    "ToolgaugeError",
    "UnsupportedSchema",
]


class ModelFileError(ToolgaugeError):
    """A model file is missing, truncated, not GGUF, or not loadable by this llama.cpp."""


class OutOfMemory(ToolgaugeError):
    """The device has too little memory; the message says how much was missing and what would fit."""


class TemplateError(ToolgaugeError):
    """A chat template raised, looped past its time limit, or could not be parsed."""


class ConstraintError(ToolgaugeError):
    """A constraint could not be built, or reached a state in which no token is allowed."""
