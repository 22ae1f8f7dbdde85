"""The lines of a suite file as pydantic models; the format is described in docs/suites.md.

What one line cannot know (other lines, the tools' schemas) is checked in `bench.suites.case`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bench.suites.case import content_text

Name = Annotated[str, Field(min_length=1)]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class HeaderLine(_Line):
    suite: Name
    version: Name
    description: str = ""
    tools: str | list[dict[str, Any]] | None = None


class CallLine(_Line):
    name: Name
    arguments: dict[str, Any] = {}


class ExpectedCallLine(CallLine):
    id: str | None = None
    after: list[str] = []
    threads: dict[str, str | list[str]] = {}


class MessageLine(_Line):
    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    calls: list[CallLine] = []
    name: str | None = None

    @model_validator(mode="after")
    def fits_role(self) -> Self:
        if self.calls and self.role != "assistant":
            raise ValueError("only an assistant message has calls")
        if (self.name is not None) != (self.role == "tool"):
            raise ValueError("a tool message, and no other, has the tool's name")
        return self


class ExpectedLine(_Line):
    calls: list[ExpectedCallLine]
    reply: dict[Literal["asks", "declines", "mentions", "claims_success", "admits_failure"], list[Name]] = {}


class _Shown(_Line):
    """Something that the model is shown: `result` as JSON text, or `content` as it stands."""

    result: Any = None
    content: str | None = None

    @model_validator(mode="after")
    def has_one(self) -> Self:
        if ("result" in self.model_fields_set) == (self.content is not None):
            raise ValueError("write either 'result' or 'content'")
        return self

    def shown(self) -> str:
        return self.content if self.content is not None else content_text(self.result)


class RuleLine(_Shown):
    name: Name
    arguments: dict[str, Any] = {}


class FaultLine(_Shown):
    on: str
    kind: Literal["validation", "not_found", "transient", "timeout", "permission", "malformed"]
    times: Annotated[int, Field(ge=1, le=3)] | None = None  # recovery is looked for within three calls
    field: str | None = None


class CaseLine(_Line):
    id: Name
    category: Name
    tools: list[str | dict[str, Any]]
    messages: Annotated[list[MessageLine], Field(min_length=1)]
    tool_choice: Literal["auto", "required"] = "auto"
    parallel_tool_calls: bool = True
    expected: ExpectedLine
    fault: FaultLine | None = None
    results: list[RuleLine] = []
    max_steps: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def is_answerable(self) -> Self:
        if self.messages[-1].role not in ("user", "tool"):
            raise ValueError("the last message has to be a user or a tool message")
        if not self.results and self.fault is None:
            if self.max_steps is not None:
                raise ValueError("'max_steps' needs 'results' or a 'fault': without them a case has one step")
            if any(call.after for call in self.expected.calls):
                raise ValueError("'after' needs 'results' or a 'fault': without them a case has one step")
        return self
