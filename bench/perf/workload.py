"""The pinned workload: prompts, tools, lengths and seeds, read from `workload.json` beside this file.

Nothing about it can be changed from the command line but its size (`full` or `quick`): a figure is only worth
comparing with another one of the same workload.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

from engine.formats.calls import call_nodes
from engine.formats.hermes import CLOSE, OPEN
from engine.types import Message, Tool
from grammars.nodes import Choice, Marker, Node, Seq
from grammars.nodes import Literal as Text
from grammars.schema import normalise_tool

_FILE: Final = Path(__file__).with_name("workload.json")

Size = Literal["full", "quick"]
Budget = Literal["free", "answer", "scanning", "warm_up"]
Messages = tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Lengths:
    """How much is measured; of cases and further requests the first ones.

    `n_tokens["answer"]` is more than a whole answer takes, cut as the tokenizer does. "scanning" is for llama.cpp's
    grammars, which look at the whole vocabulary: slow, at a rate that does not depend on the length.
    """

    repetitions: int
    n_cases: int
    n_text_users: int
    n_tokens: Mapping[Budget, int]


@dataclass(frozen=True, slots=True)
class Case:
    """One prompt, and the one call that answers it. `others`: more prompts for the same tool, not timed."""

    id: str
    messages: Messages
    tool: Tool
    others: tuple[Messages, ...]

    def plain(self, messages: Messages) -> str:
        """The prompt for a model that has no chat template for tools."""
        lines = [f"{message.content}\n" for message in messages]
        return "\n".join([*lines, f"Tool: {self.tool.name}. {self.tool.description}\n", "Answer:\n"])

    @property
    def root(self) -> Node:
        """One call in the hermes format, and nothing after it."""
        call = Choice(call_nodes([self.tool]))
        return Seq((Marker(OPEN), Text("\n"), call, Text("\n"), Marker(CLOSE)))

    @property
    def schema(self) -> Mapping[str, Any]:
        """The same call, without its markers, as a JSON Schema: what the binding's own converter takes."""
        name = {"const": self.tool.name}
        properties = {"name": name, "arguments": self.tool.parameters}
        return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


@dataclass(frozen=True)
class Workload:
    version: int
    n_ctx: int
    n_batch: int
    order_seed: int
    sizes: Mapping[Size, Lengths]
    cases: tuple[Case, ...]
    text: str  # the file as it is

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def load_workload() -> Workload:
    text = _FILE.read_text(encoding="utf-8")
    data = json.loads(text)
    sizes: dict[Size, Lengths] = {"full": Lengths(**data["full"]), "quick": Lengths(**data["quick"])}
    return Workload(
        version=data["version"],
        n_ctx=data["n_ctx"],
        n_batch=data["n_batch"],
        order_seed=data["order_seed"],
        sizes=sizes,
        cases=tuple(_case(case, data["system"]) for case in data["cases"]),
        text=text,
    )


def _case(data: Mapping[str, Any], system: str) -> Case:
    tool = normalise_tool(data["tool"])
    first, *others = (
        (Message("system", system), Message("user", user)) for user in (data["user"], *data["text_users"])
    )
    return Case(data["id"], first, Tool(tool.name, tool.description, tool.parameters, tool.written), tuple(others))
