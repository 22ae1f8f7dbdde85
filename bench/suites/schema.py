"""The lines of a suite file as pydantic models; the format is described in docs/suites.md.

What one line cannot know (other lines, the tools' schemas) is checked in `bench.suites.build` and `bench.suites.read`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bench.suites.case import content_text

Name = Annotated[str, Field(min_length=1)]
MISSABLE = Literal[
    "unexpected_call",
    "no_call",
    "wrong_count",
    "wrong_tool",
    "schema_invalid",
    "wrong_arguments",
    "wrong_order",
    "correct",
]
"""Outcomes that an answer can get for what it says."""


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class HeaderLine(_Line):
    """`includes` is for folders only."""

    suite: Name
    version: Name
    description: str = ""
    tools: str | list[str | dict[str, Any]] | None = None
    includes: list[Name] = []


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
    state: dict[str, Any] = {}


class _Shown(_Line):
    """Something that the model is shown: `result` as JSON text, or `content` as it stands."""

    result: Any = None
    content: str | None = None

    def n_ways(self) -> int:
        """In how many ways it is written; only one is meant."""
        return ("result" in self.model_fields_set) + (self.content is not None)

    def shown(self) -> str:
        return self.content if self.content is not None else content_text(self.result)


class RuleLine(_Shown):
    name: Name
    arguments: dict[str, Any] = {}

    @model_validator(mode="after")
    def has_one(self) -> Self:
        if self.n_ways() != 1:
            raise ValueError("write either 'result' or 'content'")
        return self


class FaultLine(_Shown):
    on: str
    kind: Literal["validation", "not_found", "transient", "timeout", "permission", "malformed"]
    times: Annotated[int, Field(ge=1, le=3)] | None = None  # recovery is looked for within three calls
    field: str | None = None
    seed: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def has_one(self) -> Self:
        if self.n_ways() + (self.seed is not None) != 1:
            raise ValueError("write either 'result' or 'content', or a 'seed' that draws the wording")
        if self.seed is not None and self.kind == "validation" and self.field is None:
            raise ValueError("a validation error whose wording is drawn needs the 'field' that it names")
        return self


class WithoutFaultLine(_Line):
    expected: ExpectedLine


class NearMissLine(_Line):
    outcome: MISSABLE
    calls: list[CallLine] = []
    steps: list[list[CallLine]] = []
    reply: str = ""

    @model_validator(mode="after")
    def has_one(self) -> Self:
        if bool(self.calls) + bool(self.steps) + bool(self.reply) != 1:
            raise ValueError("write one of 'calls', 'steps' and 'reply'")
        return self


class WorldLine(_Line):
    name: Name
    seed: int = 0
    state: dict[str, Any] = {}


class CaseLine(_Line):
    id: Name
    category: Name
    tools: list[str | dict[str, Any]] | None = None
    messages: Annotated[list[MessageLine], Field(min_length=1)]
    tool_choice: Literal["auto", "required"] = "auto"
    parallel_tool_calls: bool = True
    expected: ExpectedLine
    fault: FaultLine | None = None
    results: list[RuleLine] = []
    max_steps: Annotated[int, Field(ge=1)] | None = None
    any_call: bool = False
    world: WorldLine | None = None
    without_fault: Literal[True] | WithoutFaultLine | None = None
    why: str = ""
    near_misses: list[NearMissLine] = []

    @property
    def is_episode(self) -> bool:
        return bool(self.results) or self.fault is not None or self.world is not None

    @model_validator(mode="after")
    def is_answerable(self) -> Self:
        if self.tools is None and self.world is None:
            raise ValueError("'tools' is missing; only a case in a world can do without, and offers all of the world's")
        if self.messages[-1].role not in ("user", "tool"):
            raise ValueError("the last message has to be a user or a tool message")
        if self.any_call and (self.expected.calls or self.is_episode):
            raise ValueError("'any_call' is for a case with one step that expects no call in particular")
        if self.expected.state and self.world is None:
            raise ValueError("'expected.state' needs a 'world'")
        if not self.is_episode:
            self._fits_one_step()
        if self.without_fault is not None:
            self._can_do_without_fault()
        return self

    def _fits_one_step(self) -> None:
        needs = "needs 'results', a 'fault' or a 'world': without them a case has one step"
        if self.max_steps is not None:
            raise ValueError(f"'max_steps' {needs}")
        if any(call.after for call in self.expected.calls):
            raise ValueError(f"'after' {needs}")
        if any(len(miss.steps) > 1 for miss in self.near_misses):
            raise ValueError(f"a near miss of several steps {needs}")

    def _can_do_without_fault(self) -> None:
        if self.fault is None:
            raise ValueError("'without_fault' needs a 'fault'")
        if not self.results and self.world is None:
            raise ValueError("'without_fault' needs 'results' or a 'world' to answer the call that does not fail")
        reactions = [call.name for call in self.expected.calls if self.fault.on in call.after]
        if self.without_fault is True and self.fault.times is None and reactions:
            raise ValueError(
                f"{reactions[0]} is right because of the fault; write in 'without_fault' what is 'expected' without it"
            )
