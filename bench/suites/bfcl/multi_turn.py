"""BFCL's multi-turn conversations as cases: what the user says in each turn, and which services stand behind the tools.

Every function of the involved classes is offered; in `miss_func` some are held back until their turn. Knows neither how
the services run (`simulators`) nor what follows from an answer (`dialogue`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from bench.suites.bfcl.calls import ReadCall, read_call
from bench.suites.bfcl.categories import Category, Language
from bench.suites.bfcl.package import MPMATH, PULL, mpmath_folder
from bench.suites.bfcl.rows import rows_of
from bench.suites.bfcl.tools import offered_tool
from bench.suites.case import Case, Official, SuiteError
from engine.types import Call, Message, Tool

MOST_STEPS: Final = 20  # of a turn; one more, and the conversation is broken off
MORE_TOOLS: Final = "I have updated some more functions you can choose from. What about now?"
"""What the user says, officially, when functions that were held back are there."""

_DOCUMENTS: Final = {
    "GorillaFileSystem": "gorilla_file_system.json",
    "MathAPI": "math_api.json",
    "MessageAPI": "message_api.json",
    "TwitterAPI": "posting_api.json",
    "TicketAPI": "ticket_api.json",
    "TradingBot": "trading_bot.json",
    "TravelAPI": "travel_booking.json",
    "VehicleControlAPI": "vehicle_control.json",
}
_NEEDS_MPMATH: Final = "MathAPI"


@dataclass(frozen=True)
class Documents:
    """The official function documents of each service."""

    folder: Path

    @cached_property
    def by_class(self) -> Mapping[str, Mapping[str, dict[str, Any]]]:
        place = self.folder / "data" / "multi_turn_func_doc"
        return {
            name: {document["name"]: document for document in rows_of(place / file)}
            for name, file in _DOCUMENTS.items()
        }

    @cached_property
    def sha256(self) -> str:
        place = self.folder / "data" / "multi_turn_func_doc"
        return hashlib.sha256(b"".join((place / file).read_bytes() for file in _DOCUMENTS.values())).hexdigest()

    @cached_property
    def has_mpmath(self) -> bool:
        return mpmath_folder(self.folder) is not None


def case(
    category: Category, row: Mapping[str, Any], truth: Sequence[Sequence[str]], documents: Documents, content_hash: str
) -> Case:
    """One conversation, as it is officially put to a model."""
    classes = row["involved_classes"]
    if _NEEDS_MPMATH in classes and not documents.has_mpmath:
        raise SuiteError(f"{row['id']} calls a service that needs {MPMATH.name}; run `{PULL} --force` to get it too")
    functions = [document for name in classes for document in documents.by_class[name].values()]
    by_name = {document["name"]: document for document in functions}
    held_back: Mapping[str, Sequence[str]] = row.get("missed_function", {})  # turn -> names
    missing = {name for names in held_back.values() for name in names}
    turns = [
        [[message["role"], message["content"]] for message in turn] or [["user", MORE_TOOLS]]
        for turn in row["question"]
    ]
    return Case(
        id=row["id"],
        category=category.name,
        tools=_tools([document for document in functions if document["name"] not in missing]),
        messages=_messages(turns[0]),
        tool_choice="auto",
        expected=(),
        reply={},
        fault=None,
        results=(),
        max_steps=len(turns) * (MOST_STEPS + 1),
        content_hash=content_hash,
        official=Official(
            "bfcl",
            {
                "category": category.name,
                "turns": turns,
                "held_back": {turn: [by_name[name] for name in names] for turn, names in held_back.items()},
                "scenario": {
                    "classes": {name: list(documents.by_class[name]) for name in classes},
                    "config": row["initial_config"],
                    "long_context": "long_context" in category.name,
                },
                "ground_truth": [list(turn) for turn in truth],
            },
        ),
    )


def is_multi_turn(case: Case) -> bool:
    return case.official is not None and case.official.checker == "bfcl" and "turns" in case.official.data


def n_turns(case: Case) -> int:
    return len(_data(case)["turns"])


def scenario_of(case: Case) -> Mapping[str, Any]:
    """What the services are to be set up with."""
    scenario: Mapping[str, Any] = _data(case)["scenario"]
    return scenario


def user_turn(case: Case, turn: int) -> tuple[Message, ...]:
    """What the user says at the beginning of a turn."""
    return _messages(_data(case)["turns"][turn])


def tools_in(case: Case, turn: int) -> tuple[Tool, ...]:
    """What is offered in a turn: functions that were held back come last, from their turn on."""
    added = [documents for at, documents in _data(case)["held_back"].items() if int(at) <= turn]
    return case.tools + _tools([document for documents in added for document in documents])


def reference(case: Case) -> tuple[tuple[ReadCall, ...], ...]:
    """The official ideal calls of each turn; a turn without any is right without any."""
    return tuple(tuple(map(read_call, turn)) for turn in _data(case)["ground_truth"])


def reference_calls(case: Case) -> tuple[tuple[Call, ...], ...]:
    """The same with every argument by its name, as a model has to give them."""
    everything = {tool.name: tool for tool in tools_in(case, n_turns(case))}
    return tuple(tuple(_named(call, everything) for call in turn) for turn in reference(case))


def _named(call: ReadCall, tools: Mapping[str, Tool]) -> Call:
    """A few ideal calls give arguments by position."""
    names = list(tools[call.name].parameters["properties"])
    return Call(call.name, dict(zip(names, call.positional, strict=False)) | dict(call.named))


def _data(case: Case) -> Mapping[str, Any]:
    assert case.official is not None, "asked only of multi-turn cases"
    return case.official.data


def _messages(turn: Sequence[Sequence[Any]]) -> tuple[Message, ...]:
    return tuple(Message(role, content) for role, content in turn)


def _tools(documents: Sequence[dict[str, Any]]) -> tuple[Tool, ...]:
    return tuple(offered_tool(document, Language.PYTHON) for document in documents)
