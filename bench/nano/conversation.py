"""Conversations for the bundled model: what is asked, what is called, what comes back, what is said.

`Generator(seed, ...)` yields `Conversation`s without end, in fixed proportions of categories. Everything that the
exclusion list names is kept out. Knows no tokens and no prompt text.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from bench.nano import phrases
from bench.nano.everyday import TRAINED, catalog, concrete, small_talk
from bench.nano.exclusions import Exclusions
from bench.nano.made_up import made_up
from bench.nano.tools import Asked, ConcreteTool, Param, World, listed, result_of
from bench.nano.words import Lexicon

# Share of each category in the training data. Calls come first, for they are what is hard to learn.
MIX = {
    "single": 0.18,
    "choose": 0.22,
    "parallel": 0.15,
    "abstain": 0.15,
    "ask": 0.09,
    "recover": 0.09,
    "chain": 0.09,
    "follow_up": 0.03,
}


@dataclass(frozen=True, slots=True)
class Turn:
    """One message; `calls` are (name, arguments) pairs of an assistant turn, `name` the tool of a result."""

    role: str
    content: str = ""
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    name: str | None = None
    learned: bool = True


@dataclass(frozen=True, slots=True)
class Conversation:
    category: str
    tools: tuple[dict[str, Any], ...]
    turns: tuple[Turn, ...]
    fault: str | None = None
    domains: tuple[str, ...] = field(default=())


class Generator:
    """An endless, seeded stream of conversations.

    `catalogs` are the hand-written tools to draw from, `made_up_share` how many tools are invented instead,
    `many_tools` how often five tools and more stand beside the wanted one; `alone`: none ever does.
    """

    def __init__(
        self,
        seed: int,
        lexicon: Lexicon,
        exclusions: Exclusions,
        *,
        catalogs: tuple[str, ...] = TRAINED,
        made_up_share: float = 0.55,
        mix: dict[str, float] | None = None,
        many_tools: float = 0.08,
        alone: bool = False,
    ) -> None:
        self.rng = random.Random(seed)
        self.lexicon, self.exclusions = lexicon, exclusions
        self.catalogs, self.made_up_share, self.many_tools = catalogs, made_up_share, many_tools
        self.mix, self.alone = mix or MIX, alone

    def __iter__(self) -> Iterator[Conversation]:
        categories, weights = list(self.mix), list(self.mix.values())
        while True:
            conversation = self.make(self.rng.choices(categories, weights)[0])
            if conversation is not None and not self._excluded(conversation):
                yield conversation

    def make(self, category: str) -> Conversation | None:
        """One conversation of a category; None when the draw cannot be one (a chain that finds no partner)."""
        maker: Callable[[World], Conversation | None] = getattr(self, f"_{category}")
        return maker(self._world())

    def _world(self) -> World:
        """What the values of one conversation come from; a third of them are told today's date."""
        today = date(2026, 1, 1) + timedelta(days=self.rng.randint(0, 720)) if self.rng.random() < 0.35 else None
        return World(self.rng, self.lexicon, today)

    # -- tools -------------------------------------------------------------------------------------------------

    def _tool(self, world: World, *, like: ConcreteTool | None = None, unlike: str | None = None) -> ConcreteTool:
        while True:
            if not self.catalogs or self.rng.random() < self.made_up_share:
                tool: ConcreteTool | None = made_up(world, like=like)
            else:
                tool = concrete(self.rng.choice(catalog(*self.catalogs)), world, self.exclusions.names)
            if tool and tool.domain != unlike and tool.name not in self.exclusions.names:
                return tool

    def _offer(self, world: World, wanted: list[ConcreteTool], others: int) -> tuple[dict[str, Any], ...]:
        """The wanted tools among others, in random order, names unique."""
        offered = {tool.name: tool.definition for tool in wanted}
        while len(offered) < len(wanted) + others:
            like = self.rng.choice(wanted) if self.rng.random() < 0.4 else None
            other = self._tool(world, like=like, unlike=None if self.rng.random() < 0.3 else wanted[0].domain)
            offered.setdefault(other.name, other.definition)
        definitions = list(offered.values())
        self.rng.shuffle(definitions)
        return tuple(definitions)

    def _others(self, low: int, high: int) -> int:
        """How many tools stand beside the wanted ones: few, but sometimes as many as an application offers."""
        if self.alone:
            return 0
        draw = self.rng.random()
        if draw < self.many_tools:
            return self.rng.randint(5, 8)
        return self.rng.randint(9, 13) if draw < self.many_tools * 1.15 else self.rng.randint(low, high)

    # -- phrasing ----------------------------------------------------------------------------------------------

    def _polite(self, text: str, asked: Asked | None = None) -> str:
        draw = self.rng.random()
        if draw < 0.12:
            text = self.rng.choice(phrases.POLITE_BEFORE) + phrases.continued(text, asked)
        elif draw < 0.24:
            text = text.rstrip(".?!") + self.rng.choice(phrases.POLITE_AFTER)
        if self.rng.random() < 0.15 and not phrases.begins_with_value(text, asked):
            text = text[0].upper() + text[1:]
        return text + self.rng.choice((".", "?", "!")) if text[-1].isalnum() and self.rng.random() < 0.25 else text

    def _opening(self, world: World) -> list[Turn]:
        if world.today:
            text = (
                world.today.strftime("Today is %Y-%m-%d (%A).")
                if self.rng.random() < 0.8
                else world.today.strftime("It is %A, %Y-%m-%d.")
            )
            return [Turn("system", text if self.rng.random() < 0.8 else f"{self.rng.choice(phrases.SYSTEMS)} {text}")]
        return [Turn("system", self.rng.choice(phrases.SYSTEMS))] if self.rng.random() < 0.2 else []

    def _call(self, tool: ConcreteTool, asked: Asked) -> tuple[str, dict[str, Any]]:
        return tool.name, asked.arguments

    def _result(self, tool: ConcreteTool, result: Any) -> Turn:
        return Turn(
            "tool", result if isinstance(result, str) else json.dumps(result, ensure_ascii=False), name=tool.name
        )

    def _finish(self, world: World, tool: ConcreteTool, asked: Asked) -> list[Turn]:
        """The result and what is said of it."""
        result = result_of(tool, world)
        return [self._result(tool, result), Turn("assistant", tool.answer(asked.arguments, result, self.rng))]

    # -- categories --------------------------------------------------------------------------------------------

    def _single(self, world: World) -> Conversation:
        return self._one_call(world, "single", 0 if self.alone else self.rng.randint(0, 2))

    def _choose(self, world: World) -> Conversation:
        return self._one_call(world, "choose", self._others(2, 3))

    def _one_call(self, world: World, category: str, others: int) -> Conversation:
        tool = self._tool(world)
        asked = tool.ask(world)
        turns = [
            *self._opening(world),
            Turn("user", self._polite(asked.text, asked)),
            Turn("assistant", calls=(self._call(tool, asked),)),
        ]
        if self.rng.random() < 0.25:
            turns += self._finish(world, tool, asked)
        return Conversation(category, self._offer(world, [tool], others), tuple(turns), domains=(tool.domain,))

    def _parallel(self, world: World) -> Conversation | None:
        pairs = self._same_tool(world) if self.rng.random() < 0.45 else None
        if pairs is None:
            tools = self._several(world, self.rng.choice((2, 2, 2, 2, 3, 3, 4)))
            if len({tool.name for tool in tools}) < len(tools):
                return None
            asks = [tool.ask(world) for tool in tools]
            text, link = self.rng.choice(phrases.LEADS) + asks[0].text.rstrip(".?!"), self.rng.choice(phrases.LINKS)
            for asked in asks[1:]:
                link = self.rng.choice(phrases.LINKS) if self.rng.random() < 0.3 else link
                text += link + phrases.continued(asked.text, asked).rstrip(".?!")
            calls, offered = tuple(self._call(t, a) for t, a in zip(tools, asks, strict=True)), tools
        else:
            tool, text, arguments = pairs
            calls, offered = tuple((tool.name, item) for item in arguments), [tool]
        turns = [*self._opening(world), Turn("user", self._polite(text)), Turn("assistant", calls=calls)]
        others = self._others(0, 2)
        return Conversation(
            "parallel", self._offer(world, offered, others), tuple(turns), domains=tuple(t.domain for t in offered)
        )

    def _several(self, world: World, count: int) -> list[ConcreteTool]:
        return [self._tool(world) for _ in range(count)]

    def _same_tool(self, world: World) -> tuple[ConcreteTool, str, list[dict[str, Any]]] | None:
        """`the weather in Paris, Rome and Oslo`: one tool, one value each."""
        tool = self._tool(world)
        asked = tool.ask(world)
        keys = [
            key
            for key in asked.surfaces
            if tool.param(key).schema["type"] != "array" and asked.text.count(asked.surfaces[key]) == 1
        ]
        if not keys:
            return None
        key = self.rng.choice(keys)
        surfaces, values = [asked.surfaces[key]], [asked.arguments[tool.param(key).name]]
        for _ in range(self.rng.choice((1, 1, 1, 2, 2, 3, 4))):
            surface, value = tool.fill(world, tool.param(key))
            if value not in values:
                surfaces.append(surface)
                values.append(value)
        if len(values) == 1 or any(
            surface in other for surface in surfaces for other in surfaces if other is not surface
        ):
            return None
        text = asked.text.replace(surfaces[0], listed(surfaces, self.rng))
        return tool, text, [{**asked.arguments, tool.param(key).name: value} for value in values]

    def _abstain(self, world: World) -> Conversation:
        offered = [self._tool(world)]
        draw = self.rng.random()
        if draw < 0.25:
            entry = self.rng.choice(small_talk("chat"))
            text, reply = entry["t"], entry["reply"]
        elif draw < 0.35:
            entry = self.rng.choice(small_talk("impossible"))
            text, reply = entry["t"], entry["reply"]
        else:
            wanted = self._missing(world, offered[0])
            text, reply = self._polite(wanted.ask(world).text), self.rng.choice(phrases.REFUSALS)
            return self._said(world, "abstain", text, reply, self._offer_without(world, offered, wanted))
        return self._said(world, "abstain", text, reply, self._offer(world, offered, self._others(0, 3)))

    def _missing(self, world: World, offered: ConcreteTool) -> ConcreteTool:
        """A tool that is wanted and not offered, sometimes a near neighbour of one that is."""
        return self._tool(world, like=offered if self.rng.random() < 0.3 else None, unlike=offered.domain)

    def _offer_without(
        self, world: World, offered: list[ConcreteTool], wanted: ConcreteTool
    ) -> tuple[dict[str, Any], ...]:
        for _ in range(self._others(0, 3)):
            other = self._tool(world, unlike=wanted.domain)
            if other.name not in {tool.name for tool in (*offered, wanted)}:
                offered.append(other)
        return tuple(tool.definition for tool in offered)

    def _said(
        self, world: World, category: str, text: str, reply: str, tools: tuple[dict[str, Any], ...]
    ) -> Conversation:
        return Conversation(category, tools, (*self._opening(world), Turn("user", text), Turn("assistant", reply)))

    def _ask(self, world: World) -> Conversation | None:
        """A required value is missing: ask for it; often the user then gives it."""
        tool = self._tool(world)
        if not tool.asks:
            return None
        entry = self.rng.choice(tool.asks)
        text = tool.fill_in(entry["t"], world)
        conversation = self._said(
            world, "ask", self._polite(text), entry["reply"], self._offer(world, [tool], self._others(0, 2))
        )
        if self.rng.random() < 0.75:
            return conversation
        asked = tool.ask(world)
        more = (Turn("user", asked.text), Turn("assistant", calls=(self._call(tool, asked),)))
        return Conversation("ask", conversation.tools, (*conversation.turns, *more))

    def _recover(self, world: World) -> Conversation | None:
        tool = self._tool(world)
        asked = tool.ask(world)
        first = Turn("assistant", calls=(self._call(tool, asked),))
        turns = [*self._opening(world), Turn("user", self._polite(asked.text, asked)), first]
        draw = self.rng.random()
        if draw < 0.4:
            kind = "transient" if draw < 0.28 else "malformed"
            fault: Any = self.rng.choice(phrases.TRANSIENT) if kind == "transient" else self.rng.choice(phrases.BROKEN)
            turns += [self._result(tool, fault), first, *self._finish(world, tool, asked)]
        elif draw < 0.65:
            kind, fault = self.rng.choice(phrases.PERMANENT)
            turns += [
                self._result(tool, fault),
                Turn("assistant", self.rng.choice(phrases.STOPS).format(why=_reason(fault))),
            ]
        else:
            kind = "validation"
            corrected = self._corrected(world, tool, asked)
            if corrected is None:
                return None
            fault, again = corrected
            turns += [
                self._result(tool, fault),
                Turn("assistant", calls=(self._call(tool, again),)),
                *self._finish(world, tool, again),
            ]
        return Conversation(
            "recover", self._offer(world, [tool], self._others(0, 2)), tuple(turns), kind, (tool.domain,)
        )

    def _corrected(self, world: World, tool: ConcreteTool, asked: Asked) -> tuple[dict[str, Any], Asked] | None:
        """The tool names the field and the value that it would take."""
        scalars = [
            p
            for p in tool.params
            if p.name in asked.arguments
            and p.schema["type"] in ("string", "integer", "number")
            and "enum" not in p.schema
        ]
        if not scalars:
            return None
        param = self.rng.choice(scalars)
        old, (_, new) = asked.arguments[param.name], tool.fill(world, param)
        if old == new:
            return None
        message = self.rng.choice(
            (
                f"{param.name} must be {new}",
                f"no {param.name} {old}; did you mean {new}?",
                f"{old} is not possible; the next possible {param.name} is {new}",
                f"{old} is no longer in use; use {new}",
                f"unknown {param.name}, the closest entry is {new}",
                f"use {new} instead of {old}",
            )
        )
        field_named = {
            "type": self.rng.choice(("validation", "invalid_value")),
            "field": param.name,
            "message": message,
        }
        fault = self.rng.choice(
            (
                {"error": field_named},
                {"error": field_named},
                {"error": message},
                {"status": "error", "message": message},
            )
        )
        return fault, Asked(asked.text, {**asked.arguments, param.name: new}, asked.surfaces)

    def _chain(self, world: World) -> Conversation | None:
        """Two dependent calls: a value of the first result is an argument of the second call."""
        for _ in range(25):
            first, second = self._tool(world), self._tool(world)
            links = linked(first, second)
            if links and first.name != second.name:
                break
        else:
            return None
        name, param = self.rng.choice(links)
        a, b = first.ask(world), second.ask(world)
        if param.name not in b.arguments or param.key not in b.surfaces:
            return None
        result = result_of(first, world)
        is_list = param.schema["type"] == "array"
        arguments = {**b.arguments, param.name: [result[name]] if is_list else result[name]}
        asked_b = b.text.replace(b.surfaces[param.key], self.rng.choice(phrases.REFERENCES[param.kind or ""]))
        text = a.text.rstrip(".?!") + self.rng.choice(phrases.JOINS).format(b=phrases.continued(asked_b, b))
        again = Asked(text, arguments, b.surfaces)
        turns = [
            *self._opening(world),
            Turn("user", self._polite(text)),
            Turn("assistant", calls=(self._call(first, a),)),
            self._result(first, result),
            Turn("assistant", calls=(self._call(second, again),)),
            *self._finish(world, second, again),
        ]
        return Conversation(
            "chain",
            self._offer(world, [first, second], self._others(0, 2)),
            tuple(turns),
            domains=(first.domain, second.domain),
        )

    def _follow_up(self, world: World) -> Conversation:
        """A second request after the first was answered; sometimes only a thank-you."""
        first, second = self._tool(world), self._tool(world)
        a, b = first.ask(world), second.ask(world)
        turns = [
            *self._opening(world),
            Turn("user", self._polite(a.text, a)),
            Turn("assistant", calls=(self._call(first, a),)),
            *self._finish(world, first, a),
        ]
        if self.rng.random() < 0.4:
            entry = self.rng.choice(small_talk("chat"))
            turns += [Turn("user", entry["t"]), Turn("assistant", entry["reply"])]
        else:
            turns += [Turn("user", self._polite(b.text, b)), Turn("assistant", calls=(self._call(second, b),))]
        return Conversation(
            "follow_up",
            self._offer(world, [first, second] if first.name != second.name else [first], self._others(0, 2)),
            tuple(turns),
        )

    def _excluded(self, conversation: Conversation) -> bool:
        names = {tool["name"] for tool in conversation.tools}
        said = (turn.content for turn in conversation.turns if turn.role == "user")
        return bool(names & self.exclusions.names) or any(self.exclusions.has_sentence(text) for text in said)


def linked(first: ConcreteTool, second: ConcreteTool) -> list[tuple[str, Param]]:
    """Where a field of the first tool's result can be a required argument of the second."""
    return [
        (name, param)
        for name, kind in first.result.items()
        for param in second.params
        if param.kind == kind and kind in phrases.REFERENCES and first.domain != second.domain and param.required
    ]


def _reason(fault: Any) -> str:
    """The human part of an error."""
    error = fault.get("error", fault)
    return str(error if isinstance(error, str) else error.get("message") or error.get("reason"))
