"""Simulated worlds: tools as plain Python functions over a state that a seed determines.

    world = get("stock")
    state = world.begin(seed=7, changes={"items.lamp.count": 0})
    world.call(state, Call("order_item", {"item": "lamp"}))   # -> Answer; the state has changed, or not

A world is a module of this package with `VERSION`, a dataclass `State`, `start(seed) -> State` and `TOOLS`, functions
`tool(state, *, ...)` that return a JSON object, change nothing but their state, and raise `ToolFault` where a real
service would answer with an error. A call that fails has changed nothing. Knows no case and no model.
"""

from __future__ import annotations

import copy
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib import import_module
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from bench.suites.from_python import arguments_model, definition
from bench.suites.match import ABSENT
from engine.types import Call

STATE = "state"
"""The parameter that is the world's and not the model's to give."""


_ANY: TypeAdapter[Any] = TypeAdapter(Any)


class ToolFault(Exception):
    """What a service answers in place of a result; `kind` is e.g. not_found, conflict, permission, validation."""

    def __init__(self, kind: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.kind, self.message, self.field = kind, message, field


@dataclass(frozen=True, slots=True)
class WorldTool:
    """One function: how it is offered, and how a call's arguments become what it takes."""

    function: Callable[..., Mapping[str, Any]]
    definition: Mapping[str, Any]
    arguments: type[BaseModel]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool of a world returned; or the fault."""

    result: Mapping[str, Any] | None
    fault: ToolFault | None = None


@dataclass(frozen=True, slots=True)
class World:
    name: str
    version: str
    tools: Mapping[str, WorldTool]
    start: Callable[[int], Any]
    states: TypeAdapter[Any]  # reads a state

    def begin(self, seed: int, changes: Mapping[str, Any]) -> Any:
        """The state at the beginning; `ValueError` says which of the changes does not fit."""
        state = self.start(seed)
        document = document_of(state)
        for path, value in changes.items():
            _put(document, path, value)
        try:
            # in strict mode a text does not become a number
            return self.states.validate_json(_ANY.dump_json(document), strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error

    def call(self, state: Any, call: Call) -> Answer:
        """Run one call whose arguments fit the tool's schema. What it changes is changed in `state`, all or nothing."""
        tool = self.tools[call.name]
        try:
            given = tool.arguments.model_validate(dict(call.arguments))
        except ValidationError as error:  # what a schema cannot say, e.g. that there is no 30 February
            first = error.errors()[0]
            return Answer(None, ToolFault("validation", first["msg"], ".".join(map(str, first["loc"]))))
        trial = copy.deepcopy(state)
        try:
            result = tool.function(trial, **{name: getattr(given, name) for name in type(given).model_fields})
        except ToolFault as fault:
            return Answer(None, fault)
        for field in fields(state):
            setattr(state, field.name, getattr(trial, field.name))
        return Answer(result)


def names() -> tuple[str, ...]:
    """The worlds that there are."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


@cache
def get(name: str) -> World:
    if name not in names():
        raise LookupError(f"there is no world '{name}'; known are {', '.join(names())}")
    module = import_module(f"{__name__}.{name}")
    tools = {
        function.__name__: WorldTool(
            function, definition(function, without=(STATE,)), arguments_model(function, without=(STATE,))
        )
        for function in module.TOOLS
    }
    return World(name, module.VERSION, tools, module.start, TypeAdapter(module.State))


def document_of(state: Any) -> dict[str, Any]:
    """A state as JSON values."""
    document: dict[str, Any] = _ANY.dump_python(asdict(state), mode="json")
    return document


def look(document: Any, path: str) -> Any:
    """What stands at a path such as `orders.A-17.status`; `ABSENT` if nothing does."""
    for step in path.split("."):
        document = _step(document, step)
    return document


def _step(document: Any, step: str) -> Any:
    if isinstance(document, Mapping):
        return document.get(step, ABSENT)
    if isinstance(document, list) and step.isdecimal() and int(step) < len(document):
        return document[int(step)]
    return ABSENT


def _put(document: dict[str, Any], path: str, value: Any) -> None:
    *way, last = path.split(".")
    place: Any = look(document, ".".join(way)) if way else document
    known = isinstance(place, dict) and (way or last in document)  # a dataclass has no further fields
    if isinstance(place, list) and _step(place, last) is not ABSENT:
        place[int(last)] = value
    elif known:
        place[last] = value
    else:
        raise ValueError(f"there is no '{path}' in this world")
