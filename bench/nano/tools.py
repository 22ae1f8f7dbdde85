"""What a tool is in the bundled model's data: its names, its parameters, the ways of asking for it.

Where tools come from is `everyday` (hand-written) and `made_up`. Knows no conversation.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from bench.nano.values import Value, make, near, number
from bench.nano.words import Lexicon

_MINUTES = re.compile(r"\{(\w+)\}[ -](?:minutes|minute|mins|min)\b")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class World:
    """What one conversation's values are drawn from; `today` is set where the system message names the date."""

    rng: random.Random
    lexicon: Lexicon
    today: date | None = None

    def value(self, kind: str) -> Value:
        if kind == "date" and self.today and self.rng.random() < 0.7:
            return near(self.today, self.rng)
        return make(kind, self.rng, self.lexicon)


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter as it is written in one conversation; `key` is its name in the phrasings."""

    key: str
    name: str
    schema: Mapping[str, Any]
    kind: str | None
    required: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """A request and what the call must say; `surfaces` are the values as written, by parameter key."""

    text: str
    arguments: dict[str, Any]
    surfaces: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConcreteTool:
    """A tool with all its names settled."""

    domain: str
    name: str
    description: str
    params: tuple[Param, ...]
    requests: tuple[Mapping[str, Any], ...]
    asks: tuple[Mapping[str, str], ...]
    result: Mapping[str, str]
    answers: tuple[str, ...]
    source: str = ""  # the catalogue that it was written in; none: made up

    @property
    def definition(self) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "type": "object",
            "properties": {param.name: dict(param.schema) for param in self.params},
        }
        if required := [param.name for param in self.params if param.required]:
            parameters["required"] = required
        return {"name": self.name, "description": self.description, "parameters": parameters}

    def ask(self, world: World, *, without: frozenset[str] = frozenset()) -> Asked:
        """One way of asking; phrasings that mention a parameter in `without` are avoided where possible."""
        choices = [r for r in self.requests if not without & set(_PLACEHOLDER.findall(r["t"]))] or list(self.requests)
        request = world.rng.choice(choices)
        text, given, surfaces = _MINUTES.sub(self._bare_minutes, str(request["t"])), dict(request.get("set", {})), {}
        for key in dict.fromkeys(_PLACEHOLDER.findall(text)):
            surfaces[key], given[key] = self.fill(world, self.param(key))
            text = text.replace("{" + key + "}", surfaces[key])
        arguments = {param.name: given[param.key] for param in self.params if param.key in given}
        return Asked(text, arguments, surfaces)

    def _bare_minutes(self, match: re.Match[str]) -> str:
        """`{x} minutes` becomes `{x}` where the value brings its own unit, as in `half an hour`."""
        return "{" + match[1] + "}" if self.param(match[1]).kind == "duration_minutes" else match[0]

    def param(self, key: str) -> Param:
        return next(param for param in self.params if param.key == key)

    def fill_in(self, text: str, world: World) -> str:
        """A phrasing whose values nobody will need, with values."""
        return _PLACEHOLDER.sub(lambda match: self.fill(world, self.param(match[1]))[0], text)

    def answer(self, arguments: Mapping[str, Any], result: Mapping[str, Any], rng: random.Random) -> str:
        """What is said after a success; phrasings whose fields are at hand only."""
        fields = {**{param.key: arguments[param.name] for param in self.params if param.name in arguments}, **result}
        fields = {
            key: ", ".join(map(str, value)) if isinstance(value, list) else value for key, value in fields.items()
        }
        fitting = [answer for answer in self.answers if set(_PLACEHOLDER.findall(answer)) <= fields.keys()]
        if not fitting:
            return "Done."
        return _PLACEHOLDER.sub(lambda match: str(fields[match[1]]), rng.choice(fitting))

    def fill(self, world: World, param: Param) -> tuple[str, Any]:
        if "enum" in param.schema:
            choice = world.rng.choice(list(param.schema["enum"]))
            return str(choice), choice
        kind = param.kind or "word"
        if param.schema["type"] == "array":
            values = [world.value(kind) for _ in range(world.rng.choice((1, 2, 2, 3, 3, 4)))]
            return listed([value.surface for value in values], world.rng), [value.argument for value in values]
        value = world.value(kind)
        return value.surface, value.argument


def listed(words: list[str], rng: random.Random) -> str:
    """`a, b and c`, as people write lists."""
    if len(words) == 1:
        return words[0]
    return ", ".join(words[:-1]) + rng.choice((" and ", " and ", ", and ", " & ")) + words[-1]


def decorate(schema: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Schemas are written in many hands: vary the order of keys, and leave the description out now and then."""
    items = list(schema.items())
    if rng.random() < 0.12:
        items = [item for item in items if item[0] != "description"]
    if rng.random() < 0.15:
        rng.shuffle(items)
    return dict(items)


def result_of(tool: ConcreteTool, world: World) -> dict[str, Any]:
    """A plausible successful result."""
    fields: dict[str, Any] = {name: make(kind, world.rng, world.lexicon).argument for name, kind in tool.result.items()}
    draw = world.rng.random()
    if not fields:
        return {"status": "ok"}
    if draw < 0.2:
        return {"status": "ok", **fields}
    return fields if draw < 0.9 else {**fields, "count": number(world.rng, world.lexicon, 1, 30)}
