"""Stored answers as lines of official result files, which `bfcl evaluate --partial-eval` judges.

    line = result_line(case, record, writer("Qwen/Qwen3-8B-FC"))

The official evaluation reads an answer with the handler of the model it is told, so calls are written the way that
model writes them: as JSON in tags, which carries every call; or as Python, which has no way of writing some names and
reads Java's and JavaScript's arguments as those languages. What our parser could not read is no call there, either.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final, Protocol

from bench.records import ItemRecord, StepRecord
from bench.suites.bfcl.calls import NotACall, write_calls
from bench.suites.bfcl.categories import CATEGORIES, Language
from bench.suites.bfcl.multi_turn import is_multi_turn
from bench.suites.case import Case
from engine.types import Call
from grammars.errors import ToolgaugeError

DEFAULT_NAME: Final = "Qwen/Qwen3-8B-FC"
_SIZES: Final = "0.6B 1.7B 4B-Instruct-2507 8B 14B 32B 30B-A3B-Instruct-2507 235B-A22B-Instruct-2507"
_OPENING: Final = "<tool_call>"


class Writer(Protocol):
    """`calls` raises `NotACall` where the official handler cannot be told."""

    def calls(self, case: Case, calls: Sequence[Call]) -> str: ...

    def words(self, text: str) -> str:
        """An answer without a readable call, so that the official handler reads none either."""
        ...


class Tagged:
    """As the handlers of function-calling Qwen models read it."""

    def calls(self, case: Case, calls: Sequence[Call]) -> str:
        """Any call whatever; `<` is escaped, so that no value can end the tag."""
        del case
        bodies = (json.dumps({"name": call.name, "arguments": dict(call.arguments)}) for call in calls)
        escaped = (body.replace("<", r"\u003c") for body in bodies)
        return "\n".join(f"{_OPENING}\n{body}\n</tool_call>" for body in escaped)

    def words(self, text: str) -> str:
        return text.replace(_OPENING, _OPENING.replace("<", "&lt;"))


class Python:
    """As the handlers of prompted models read it."""

    def calls(self, case: Case, calls: Sequence[Call]) -> str:
        assert case.official is not None
        if case.official.data.get("language", Language.PYTHON) != Language.PYTHON:
            raise NotACall(f"{case.id} is read as {case.official.data['language']}")
        return write_calls(calls)

    def words(self, text: str) -> str:
        return f"Text: {text}" if _reads_as_calls(text) else text


def writer(name: str) -> Writer:
    """How answers are written for a model of the official registry; only for those whose handler is known here."""
    if name.removesuffix("-FC") in {f"Qwen/Qwen3-{size}" for size in _SIZES.split()}:
        return Tagged() if name.endswith("-FC") else Python()
    raise ToolgaugeError(
        f"results cannot be written for '{name}'; name a model whose official handler toolgauge knows: "
        f"Qwen/Qwen3-SIZE-FC (every call) or Qwen/Qwen3-SIZE (Python), with SIZE one of {', '.join(_SIZES.split())}"
    )


def path_of(name: str, category: str) -> PurePosixPath:
    """Where the official evaluation looks for a category's results of the model, below the folder of results."""
    group = CATEGORIES[category].group.value
    return PurePosixPath(name.replace("/", "_"), group, f"BFCL_v4_{category}_result.json")


def result_line(case: Case, record: ItemRecord, writer: Writer) -> dict[str, Any]:
    """One line; raises `NotACall` where the writer cannot say it."""
    if record.error is not None or not record.steps:
        reason = record.error.message if record.error else "no answer"
        return {"id": case.id, "result": f"Error during inference: {reason}"}
    turns = _turns(record) if is_multi_turn(case) else [[record.steps[0]]]
    columns: dict[str, list[list[Any]]] = {
        "result": [[_text(case, step, writer) for step in turn] for turn in turns],
        "input_token_count": [[step.generation.n_prompt for step in turn] for turn in turns],
        "output_token_count": [[len(step.generation.tokens) for step in turn] for turn in turns],
        "latency": [[step.generation.timings.total_s for step in turn] for turn in turns],
    }
    if is_multi_turn(case):
        return {"id": case.id, **columns}
    return {"id": case.id, **{key: values[0][0] for key, values in columns.items()}}


def _turns(record: ItemRecord) -> list[list[StepRecord]]:
    """The steps of each turn, the answer that ends it included."""
    turns: list[list[StepRecord]] = [[]]
    for step in record.steps:
        turns[-1].append(step)
        if not step.parsed.calls:
            turns.append([])
    return [turn for turn in turns if turn]


def _text(case: Case, step: StepRecord, writer: Writer) -> str:
    parsed = step.parsed
    is_readable = is_multi_turn(case) or not (parsed.fragments or parsed.open_block)
    if not parsed.calls or not is_readable:
        return writer.words(step.generation.text)
    assert case.official is not None
    official: Mapping[str, str] = case.official.data.get("names", {})
    return writer.calls(case, [Call(official.get(call.name, call.name), call.arguments) for call in parsed.calls])


def _reads_as_calls(text: str) -> bool:
    stripped = re.sub(r"^[`\n ]+|[`\n ]+$", "", text)
    body = stripped if stripped.startswith("[") else f"[{stripped}"
    try:
        node = ast.parse(body if body.endswith("]") else f"{body}]", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return isinstance(node, ast.Call) or (
        isinstance(node, ast.List) and bool(node.elts) and all(isinstance(element, ast.Call) for element in node.elts)
    )
